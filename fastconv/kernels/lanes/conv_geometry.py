"""The sizes, steps and tiles (`g`) that the kernels of contract.py run on, for every shape.

A buffer's planes are `plane` vectors apart and its rows `row`; a halo of zeros around each plane stands
for the padding, so that offset 0 is the first element inside it and a negative one lies in the halo.
They run when a network is planned, and those for convolutions inside a user's own @njit code.
"""

import numpy as np

from ...simd.compiling import compiled
from ...simd.tiles import entries
from .conv import (
    ADDS,
    BIAS,
    CHANNELS,
    COUNT,
    ENDING,
    ENDS,
    G_BAND,
    G_BIAS,
    G_COUNT,
    G_GROUPS,
    G_HEADER,
    G_HEIGHT,
    G_TAPS,
    G_WIDTH,
    G_X_GROUP,
    G_X_LINE,
    G_X_STEP,
    G_Y_GROUP,
    G_Y_LINE,
    G_Y_ROW,
    GROUPS,
    HEADER,
    LINES,
    MANY_ROWS,
    ONE_POSITION,
    PASS_FIELDS,
    PASSES,
    ROWS,
    SLACK,
    STEPS,
    TILE_HEADER,
    W_CHANNEL,
    W_FIRST,
    W_GROUP,
    W_LINE,
    W_ROW,
    W_STEP,
    X_CHANNEL,
    X_GROUP,
    X_LINE,
    X_STEP,
    Y_GROUP,
    Y_ROW,
    channels_at_once,
    lines_at_once,
    passes,
)
from .conv_tiling import (
    ACROSS,
    BOTTOM,
    RIGHT,
    TILE_LINES,
    TILE_STEPS,
    TILES,
    box,
    box_taps,
    covers,
    next_across,
    position,
    tile_count,
)

# An axis of a sum, (positions, start, step, size, taps, tap start, tap step): position i and tap k meet the
# source at start + i * step + tap start + k * tap step, which is padding unless it is from 0 to size - 1.

# Numba compiles a function anew for each constant in a tuple that it gets: here they become int64.


@compiled
def _axis(positions, start, step, size, taps, tap_start, tap_step):
    integer = np.int64
    first = integer(positions), integer(start), integer(step), integer(size)
    return (*first, integer(taps), integer(tap_start), integer(tap_step))


@compiled
def _grid(first, line, step):
    """Where the first element is, and how far it is from line to line and from step to step."""
    return np.int64(first), np.int64(line), np.int64(step)


@compiled
def _channels(count, least_taps, x_step, w_step):
    """How many channels, and from one to the next x and weights.

    A part of a sum counts `least_taps` a channel, even where its tile misses some.
    """
    return np.int64(count), np.int64(least_taps), np.int64(x_step), np.int64(w_step)


@compiled
def _useful_taps(axis):
    """(first, last excluded) of the taps that meet the source, for every position along an axis."""
    positions, start, step, size, taps, tap_start, tap_step = axis
    ranges = np.zeros((positions, 2), np.int64)
    for i in range(positions):
        at = start + i * step + tap_start
        first = 0
        while first < taps and not 0 <= at + first * tap_step < size:
            first += 1
        last = first
        while last < taps and 0 <= at + last * tap_step < size:
            last += 1
        ranges[i, 0], ranges[i, 1] = first, last
    return ranges


@compiled
def _parts(channels, taps):
    """(channels in a part of a sum, parts) of a tile with so many taps; without channels, one empty part."""
    at_once = channels_at_once(max(taps, channels[1]))
    return at_once, max(1, (channels[0] + at_once - 1) // at_once)


@compiled
def _contraction(count, source, weights, target, channels):
    """A geometry with its passes and tiles; rows and groups are left to be filled in.

    `source` is (axis of the lines, axis of the steps, from one row of x to the next), `weights` the grid of
    the taps' weights, `target` that of the stored positions.
    """
    line_axis, step_axis, x_row = source
    lines, steps = _useful_taps(line_axis), _useful_taps(step_axis)
    positions = len(lines) * len(steps)
    most_parts = _parts(channels, line_axis[4] * step_axis[4])[1]
    plans, areas = passes(count, positions), covers(lines, steps, count)
    length = HEADER
    for number in range(len(plans)):
        _, _, size, block_lines = plans[number]
        length += tile_count(areas[number]) * most_parts * (TILE_HEADER + 2 * entries(size, block_lines))
    g = np.zeros(length, np.int64)
    g[GROUPS], g[COUNT], g[ONE_POSITION] = 1, count, positions == 1
    g[X_CHANNEL], g[W_CHANNEL] = channels[2], channels[3]
    g[X_LINE], g[W_LINE] = line_axis[6] * x_row, weights[1]
    g[X_STEP], g[W_STEP] = step_axis[6], weights[2]
    at = np.int64(HEADER)
    for number in range(len(plans)):
        first, last, size, block_lines = plans[number]
        header = PASSES + number * PASS_FIELDS
        g[header], g[header + 1], g[header + 3] = first, last, at
        tile_length = TILE_HEADER + 2 * entries(size, block_lines)
        for area in areas[number]:
            at = _write_area(g, at, area, tile_length, lines, steps, (source, weights, target, channels))
        g[header + 2] = (at - g[header + 3]) // tile_length
    return g


@compiled
def _write_area(g, at, area, tile_length, lines, steps, sums):
    """Write the tiles of an area from g[at] on; returns where they end."""
    fields = area[0], area[1], area[2], area[3], area[4], area[5], area[6]  # g might be the same memory
    for number in range(area[TILES]):
        bounds = box(fields, number)
        taps, corner = box_taps(lines, steps, bounds), (bounds[0], bounds[2])
        at_once, parts = _parts(sums[3], (taps[1] - taps[0]) * (taps[3] - taps[2]))
        for part in range(parts):
            _write_part(g, at, taps, part * at_once, at_once, sums)
            _write_offsets(g, at + TILE_HEADER, fields, number, corner, taps, part * at_once, sums)
            at += tile_length
    return at


@compiled
def _write_offsets(g, at, area, number, corner, taps, channel, sums):
    """Write where the positions of a tile are read and stored; past its end it repeats its last position."""
    tile_lines, tile_steps = area[TILE_LINES], area[TILE_STEPS]
    if min(tile_lines, tile_steps) > 1:
        count = tile_lines + tile_steps
        first = _addresses(corner, taps, channel, sums)
        for k in range(tile_lines):
            place = min(corner[0] + k, area[BOTTOM] - 1), corner[1]
            g[at + k], g[at + count + k] = _addresses(place, taps, channel, sums)
        for k in range(tile_steps):
            place = corner[0], min(corner[1] + k, area[RIGHT] - 1)
            here = _addresses(place, taps, channel, sums)
            g[at + tile_lines + k] = here[0] - first[0]
            g[at + count + tile_lines + k] = here[1] - first[1]
        return
    size = tile_lines * tile_steps
    place = position(area, number * size) if area[ACROSS] else corner
    for k in range(size):
        g[at + k], g[at + size + k] = _addresses(place, taps, channel, sums)
        if area[ACROSS]:
            place = next_across(area, place)
        elif tile_lines > 1:
            place = min(place[0] + 1, area[BOTTOM] - 1), place[1]
        else:
            place = place[0], min(place[1] + 1, area[RIGHT] - 1)


@compiled
def _write_part(g, at, taps, channel, at_once, sums):
    """Write what a tile sums up from `channel` on."""
    _, weights, _, (count, _, _, w_channel) = sums
    a0, a1, b0, b1 = taps
    here = min(at_once, count - channel)
    g[at + W_FIRST] = weights[0] + a0 * weights[1] + b0 * weights[2] + channel * w_channel
    g[at + CHANNELS], g[at + LINES], g[at + STEPS] = here, a1 - a0, b1 - b0
    g[at + ADDS], g[at + ENDS] = channel > 0, channel + here == count


@compiled
def _addresses(place, taps, channel, sums):
    """Where the first tap of a position is read, and where its sum is stored."""
    (line_axis, step_axis, x_row), _, target, channels = sums
    line = line_axis[1] + place[0] * line_axis[2] + line_axis[5] + taps[0] * line_axis[6]
    step = step_axis[1] + place[1] * step_axis[2] + step_axis[5] + taps[2] * step_axis[6]
    return (
        line * x_row + step + channel * channels[2],
        target[0] + place[0] * target[1] + place[1] * target[2],
    )


@compiled
def conv_forward(
    channels,
    out_channels,
    kernel,
    in_size,
    out_size,
    stride,
    padding,
    dilation,
    groups,
    x_steps,
    y_steps,
    has_bias,
    ending,
):
    """Geometry of `contract` for a convolution; `x_steps` and `y_steps` are (plane, row)."""
    c_count, o_count = channels // groups, out_channels // groups
    taps = kernel[0] * kernel[1]
    source = (
        _axis(out_size[0], -padding[0], stride[0], in_size[0], kernel[0], 0, dilation[0]),
        _axis(out_size[1], -padding[1], stride[1], in_size[1], kernel[1], 0, dilation[1]),
        np.int64(x_steps[1]),
    )
    g = _contraction(
        o_count,
        source,
        _grid(0, kernel[1], 1),
        _grid(0, y_steps[1], 1),
        _channels(c_count, taps, x_steps[0], taps),  # as in the sums of a single sample
    )
    g[Y_ROW], g[BIAS], g[ENDING] = y_steps[0], has_bias, ending
    _set_weight_rows(g, c_count * taps)
    g[GROUPS], g[X_GROUP], g[W_GROUP] = groups, c_count * x_steps[0], o_count * c_count * taps
    g[Y_GROUP] = o_count * y_steps[0]
    return g


@compiled
def _meeting_taps(kernel, dilation, stride, reach):
    """(first, step, count) of the taps k with (reach - k * dilation) a multiple of the stride."""
    first = 0
    while first < kernel and (reach - first * dilation) % stride != 0:
        first += 1
    step = 1
    while step * dilation % stride != 0:
        step += 1
    return first, step, (kernel - first + step - 1) // step if first < kernel else 0


@compiled
def _input_axis(in_size, out_size, kernel, stride, padding, dilation, phase):
    """The axis of the input gradient at the positions phase, phase + stride, ..., and its first tap and step.

    Tap k reaches input position h from output position (h + padding - k * dilation) / stride, where that is
    whole: which taps these are depends on the phase alone, and the output positions go on with h.
    """
    first, step, taps = _meeting_taps(kernel, dilation, stride, phase + padding)
    positions = max(0, (in_size - phase + stride - 1) // stride)
    tap_start = (phase + padding - first * dilation) // stride
    return _axis(positions, 0, 1, out_size, taps, tap_start, -(step * dilation // stride)), first, step


@compiled
def conv_grad_input(
    channels,
    out_channels,
    kernel,
    in_size,
    out_size,
    stride,
    padding,
    dilation,
    groups,
    dx_steps,
    dy_steps,
    phase,
    ending,
):
    """Geometry of `contract` for the input gradient, at the input positions (h, w) = phase modulo stride.

    Each of the stride[0] * stride[1] phases is an ordinary convolution of dy with some of the taps.
    """
    o_count, c_count = out_channels // groups, channels // groups
    taps = kernel[0] * kernel[1]
    line_axis, kh, kh_step = _input_axis(
        in_size[0], out_size[0], kernel[0], stride[0], padding[0], dilation[0], phase[0]
    )
    step_axis, kw, kw_step = _input_axis(
        in_size[1], out_size[1], kernel[1], stride[1], padding[1], dilation[1], phase[1]
    )
    g = _contraction(
        c_count,
        (line_axis, step_axis, np.int64(dy_steps[1])),
        _grid(kh * kernel[1] + kw, kh_step * kernel[1], kw_step),
        _grid(phase[0] * dx_steps[1] + phase[1], stride[0] * dx_steps[1], stride[1]),
        _channels(o_count, 0, dy_steps[0], c_count * taps),
    )
    g[Y_ROW], g[ENDING] = dx_steps[0], ending
    _set_weight_rows(g, taps)
    g[GROUPS], g[X_GROUP], g[W_GROUP] = groups, o_count * dy_steps[0], o_count * c_count * taps
    g[Y_GROUP] = c_count * dx_steps[0]
    return g


@compiled
def grad_input_halo(kernel, in_size, out_size, stride, padding, dilation):
    """(top, bottom, left, right): how far the taps of `conv_grad_input` reach outside dy."""
    top = max(0, ((kernel[0] - 1) * dilation[0] - padding[0] + stride[0] - 1) // stride[0])
    left = max(0, ((kernel[1] - 1) * dilation[1] - padding[1] + stride[1] - 1) // stride[1])
    bottom = max(0, (in_size[0] - 1 + padding[0]) // stride[0] - (out_size[0] - 1))
    right = max(0, (in_size[1] - 1 + padding[1]) // stride[1] - (out_size[1] - 1))
    return top, bottom, left, right


@compiled
def _set_weight_rows(g, w_row):
    """Set the distance of the weights of one row from those of the next."""
    g[W_ROW] = w_row
    for r in range(MANY_ROWS):
        g[ROWS + r] = r * w_row


@compiled
def conv_grad_weight(
    channels, out_channels, kernel, out_size, stride, padding, dilation, groups, x_steps, y_steps, has_bias
):
    """Geometry of `contract_grad_weight`."""
    c_count, o_count = channels // groups, out_channels // groups
    taps = c_count * kernel[0] * kernel[1]
    g = np.zeros(G_HEADER + taps + SLACK, np.int64)
    g[G_COUNT], g[G_TAPS], g[G_GROUPS] = o_count, taps, groups
    g[G_HEIGHT], g[G_WIDTH], g[G_BIAS] = out_size[0], out_size[1], has_bias
    g[G_X_GROUP], g[G_Y_GROUP] = c_count * x_steps[0], o_count * y_steps[0]
    g[G_X_LINE], g[G_X_STEP] = stride[0] * x_steps[1], stride[1]
    g[G_Y_ROW], g[G_Y_LINE] = y_steps
    g[G_BAND] = lines_at_once(out_size[1])
    at = G_HEADER
    for c in range(c_count):
        for kh in range(kernel[0]):
            line = c * x_steps[0] + (kh * dilation[0] - padding[0]) * x_steps[1]
            for kw in range(kernel[1]):
                g[at] = line + kw * dilation[1] - padding[1]
                at += 1
    _repeat_last(g, at)
    return g


@compiled
def _repeat_last(g, end):
    """Fill the slack from `end` with the entry before it."""
    for k in range(end, end + SLACK):
        g[k] = g[end - 1]
