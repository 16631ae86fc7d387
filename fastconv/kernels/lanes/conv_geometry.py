"""The sizes, distances and tiles (`g`) that the kernels of convolutions run on, for every shape.

`x_distances` and `y_distances` are how many vectors the planes of a buffer are apart, and its lines. A halo
of zeros around each plane stands for the padding, so that distance 0 is the first element inside it and a
negative one lies in the halo. These functions run when a network is planned, or inside a user's @njit code.
"""

from typing import NamedTuple

import numpy as np

from ...simd.compiling import compiled
from ...simd.tiles import entries
from .conv import (
    CONTRACT,
    MANY_ROWS,
    POSITIONS_AT,
    SWEEP,
    SWEEPS_AT,
    TILE,
    TILES_AT,
    W_ROWS_AT,
    channels_at_once,
    sweeps,
)
from .conv_grad_weight import GRAD_WEIGHT, TABLE_TAIL, TAPS_AT, band_size, outputs_at_once, takes_fives
from .conv_tiling import AREA, area_taps, corner, covers, tile_count, tile_taps


class Axis(NamedTuple):
    """One direction of a convolution, down or across: where in the source position i and tap k meet.

    That is start + i * stride + tap_start + k * tap_stride, or padding unless it is from 0 to size - 1.
    """

    positions: int
    start: int
    stride: int
    size: int
    taps: int
    tap_start: int
    tap_stride: int


class Grid(NamedTuple):
    """Where the first element of a grid lies, and how far it is to the ones below and at its right."""

    first: int
    down: int
    right: int


class Channels(NamedTuple):
    """The channels that a sum runs over, and how far it is from one to the next in x and in the weights.

    A part of a sum counts `least_taps` a channel, even where its tile misses some.
    """

    number: int
    least_taps: int
    x_distance: int
    w_distance: int


class Contraction(NamedTuple):
    """What `contract` sums up: axes and line distance of x, grids of the weights and of y, and channels."""

    down: Axis
    across: Axis
    x_line: int
    weights: Grid
    target: Grid
    channels: Channels


# Numba compiles a function anew for each constant in a tuple that it gets: here they become int64.


@compiled
def _axis(positions, start, stride, size, taps, tap_start, tap_stride):
    """An `Axis` of int64."""
    return Axis(
        int(positions), int(start), int(stride), int(size), int(taps), int(tap_start), int(tap_stride)
    )


@compiled
def _grid(first, down, right):
    """A `Grid` of int64."""
    return Grid(int(first), int(down), int(right))


@compiled
def _channels(number, least_taps, x_distance, w_distance):
    """`Channels` of int64."""
    return Channels(int(number), int(least_taps), int(x_distance), int(w_distance))


@compiled
def _useful_taps(axis):
    """The taps that meet the source and no padding, at every position of an axis: (first, after the last)."""
    ranges = []
    for i in range(axis.positions):
        at = axis.start + i * axis.stride + axis.tap_start
        first = 0
        while first < axis.taps and not 0 <= at + first * axis.tap_stride < axis.size:
            first += 1
        last = first
        while last < axis.taps and 0 <= at + last * axis.tap_stride < axis.size:
            last += 1
        ranges.append((first, last))
    return ranges


@compiled
def _parts(channels, taps):
    """How a sum over `channels` of so many taps is divided: (channels in a part, parts, at least one)."""
    at_once = channels_at_once(max(taps, channels.least_taps))
    return at_once, max(1, (channels.number + at_once - 1) // at_once)


@compiled
def _contraction(outputs, sums):
    """Make a geometry of `contract` with its sweeps and tiles; bias, ending, outputs and groups are left."""
    taps_h, taps_w = _useful_taps(sums.down), _useful_taps(sums.across)
    positions = len(taps_h) * len(taps_w)
    most_parts = _parts(sums.channels, sums.down.taps * sums.across.taps)[1]
    planned, areas = sweeps(outputs, positions), covers(taps_h, taps_w, outputs)
    length = TILES_AT
    for number in range(len(planned)):
        length += tile_count(areas[number]) * most_parts * _tile_length(planned[number])
    g = np.zeros(length, np.int64)
    g[CONTRACT.groups], g[CONTRACT.outputs], g[CONTRACT.one_position] = 1, outputs, positions == 1
    x_distances = sums.channels.x_distance, sums.down.tap_stride * sums.x_line, sums.across.tap_stride
    w_distances = sums.channels.w_distance, sums.weights.down, sums.weights.right
    g[CONTRACT.x_outer], g[CONTRACT.x_middle], g[CONTRACT.x_inner] = _nested(x_distances, sums)
    g[CONTRACT.w_outer], g[CONTRACT.w_middle], g[CONTRACT.w_inner] = _nested(w_distances, sums)
    at = int(TILES_AT)
    for number in range(len(planned)):
        sweep, tile_length, tiles_at = SWEEPS_AT + number * len(SWEEP), _tile_length(planned[number]), at
        for area in areas[number]:
            at = _write_area(g, at, area, tile_length, taps_h, taps_w, sums)
        g[sweep + SWEEP.first], g[sweep + SWEEP.last] = planned[number][0], planned[number][1]
        g[sweep + SWEEP.tiles], g[sweep + SWEEP.tiles_at] = (at - tiles_at) // tile_length, tiles_at
    return g


@compiled
def _tile_length(sweep):
    """How many numbers a tile of one of the `sweeps` takes in a geometry."""
    _, _, size, patch_lines = sweep
    return len(TILE) + 2 * entries(size, patch_lines)


@compiled
def _write_area(g, at, area, tile_length, taps_h, taps_w, sums):
    """Write the tiles of an area from g[at] on; returns where they end."""
    taps, alike = area_taps(taps_h, taps_w, area)
    for number in range(area[AREA.tiles]):
        if not alike:
            taps = tile_taps(taps_h, taps_w, area, number)
        at_once, parts = _parts(sums.channels, (taps[1] - taps[0]) * (taps[3] - taps[2]))
        place = corner(area, number)
        for part in range(parts):
            _write_part(g, at, taps, part * at_once, at_once, sums)
            _write_positions(g, at + POSITIONS_AT, area, place, taps, part * at_once, sums)
            at += tile_length
    return at


@compiled
def _nested(axes, sums):
    """Numbers of (channels, taps down, taps across) in the order of the loops over products, outer first.

    A direction with a single tap goes outside: to begin an inner loop takes as long as some products. The
    order of the products stays the same.
    """
    channels, taps_h, taps_w = axes
    if sums.down.taps == 1 and sums.across.taps == 1:
        return taps_h, taps_w, channels
    if sums.across.taps == 1:
        return taps_w, channels, taps_h
    if sums.down.taps == 1:
        return taps_h, channels, taps_w
    return channels, taps_h, taps_w


@compiled
def _write_part(g, at, taps, channel, at_once, sums):
    """Write to g[at] and on which taps and channels a tile sums up: at most `at_once`, from `channel` on."""
    weights, count = sums.weights, sums.channels.number
    h0, h1, w0, w1 = taps
    here = min(at_once, count - channel)
    first_tap = weights.first + h0 * weights.down + w0 * weights.right
    g[at + TILE.w_first] = first_tap + channel * sums.channels.w_distance
    g[at + TILE.outer], g[at + TILE.middle], g[at + TILE.inner] = _nested((here, h1 - h0, w1 - w0), sums)
    g[at + TILE.adds], g[at + TILE.ends] = channel > 0, channel + here == count


@compiled
def _write_positions(g, at, area, place, taps, channel, sums):
    """Write where the positions of a tile are read in x, then where in y their sums go, from g[at] on.

    The first of them is `place`. A tile that goes on past the end of its area repeats its last position.
    """
    down, across, target = sums.down, sums.across, sums.target
    x_line, x_place, y_line, y_place = down.stride * sums.x_line, across.stride, target.down, target.right
    i, j = place
    tile_h, tile_w, bottom, right = area[AREA.tile_h], area[AREA.tile_w], area[AREA.bottom], area[AREA.right]
    x, y = _addresses(place, taps, channel, sums)
    if tile_h > 1 and tile_w > 1:
        count = tile_h + tile_w
        for k in range(tile_h):
            lines = min(k, bottom - 1 - i)
            g[at + k], g[at + count + k] = x + lines * x_line, y + lines * y_line
        for k in range(tile_w):
            places = min(k, right - 1 - j)
            g[at + tile_h + k], g[at + count + tile_h + k] = places * x_place, places * y_place
        return
    size = tile_h * tile_w
    along, across_too = (1, 0) if tile_h > 1 else (0, 1)
    for k in range(size):
        g[at + k], g[at + size + k] = x, y
        next_i, next_j = i + along, j + across_too
        if area[AREA.wraps] and next_i == bottom:
            next_i, next_j = area[AREA.top], j + 1
        elif area[AREA.wraps] and next_j == right:
            next_i, next_j = i + 1, area[AREA.left]
        if next_i < bottom and next_j < right:
            x += (next_i - i) * x_line + (next_j - j) * x_place
            y += (next_i - i) * y_line + (next_j - j) * y_place
            i, j = next_i, next_j


@compiled
def _addresses(place, taps, channel, sums):
    """At which vector of x the first tap of position `place` lies, and at which one of y its sum."""
    i, j = place
    down, across, target = sums.down, sums.across, sums.target
    line = down.start + i * down.stride + down.tap_start + taps[0] * down.tap_stride
    place = across.start + j * across.stride + across.tap_start + taps[2] * across.tap_stride
    return (
        line * sums.x_line + place + channel * sums.channels.x_distance,
        target.first + i * target.down + j * target.right,
    )


@compiled
def conv_forward(
    channels, out_channels, kernel, in_size, out_size, stride, padding, dilation, groups,
    x_distances, y_distances, has_bias, ending,
):  # fmt: skip
    """Make the geometry of `contract` for a convolution, y from x."""
    c_count, o_count = channels // groups, out_channels // groups
    taps = kernel[0] * kernel[1]
    sums = Contraction(
        _axis(out_size[0], -padding[0], stride[0], in_size[0], kernel[0], 0, dilation[0]),
        _axis(out_size[1], -padding[1], stride[1], in_size[1], kernel[1], 0, dilation[1]),
        int(x_distances[1]),
        _grid(0, kernel[1], 1),
        _grid(0, y_distances[1], 1),
        _channels(c_count, taps, x_distances[0], taps),  # as in the sums of one sample alone
    )
    g = _contraction(o_count, sums)
    g[CONTRACT.bias], g[CONTRACT.ending] = has_bias, ending
    _set_outputs(g, y_distances[0], c_count * taps)
    _set_groups(g, groups, c_count * x_distances[0], o_count * y_distances[0], o_count * c_count * taps)
    return g


@compiled
def _meeting_taps(kernel, dilation, stride, reach):
    """The taps k whose reach - k * dilation is a multiple of the stride: the first, every which, how many."""
    first = 0
    while first < kernel and (reach - first * dilation) % stride != 0:
        first += 1
    every = stride // np.gcd(stride, dilation)
    return first, every, (kernel - first + every - 1) // every if first < kernel else 0


@compiled
def _input_axis(in_size, out_size, kernel, stride, padding, dilation, phase):
    """One direction of the input gradient, at positions phase, phase + stride, ...: (axis, first tap, every).

    Tap k reaches input position h from output position (h + padding - k * dilation) / stride, where that is
    whole: which taps these are depends on the phase alone, and the output positions go on with h.
    """
    first, every, taps = _meeting_taps(kernel, dilation, stride, phase + padding)
    positions = max(0, (in_size - phase + stride - 1) // stride)
    tap_start = (phase + padding - first * dilation) // stride
    return _axis(positions, 0, 1, out_size, taps, tap_start, -(every * dilation // stride)), first, every


@compiled
def conv_grad_input(
    channels, out_channels, kernel, in_size, out_size, stride, padding, dilation, groups,
    dx_distances, dy_distances, phase, has_bias, ending,
):  # fmt: skip
    """Make the geometry of `contract` for dx from dy, at the input positions (h, w) = phase modulo stride.

    Each of the stride[0] * stride[1] phases is an ordinary convolution of dy with some of the taps. Run
    forward, from x to y, it is a transposed convolution, which may have a bias.
    """
    o_count, c_count = out_channels // groups, channels // groups
    taps = kernel[0] * kernel[1]
    down, kh, every_kh = _input_axis(
        in_size[0], out_size[0], kernel[0], stride[0], padding[0], dilation[0], phase[0]
    )
    across, kw, every_kw = _input_axis(
        in_size[1], out_size[1], kernel[1], stride[1], padding[1], dilation[1], phase[1]
    )
    sums = Contraction(
        down,
        across,
        int(dy_distances[1]),
        _grid(kh * kernel[1] + kw, every_kh * kernel[1], every_kw),
        _grid(phase[0] * dx_distances[1] + phase[1], stride[0] * dx_distances[1], stride[1]),
        _channels(o_count, down.taps * across.taps, dy_distances[0], c_count * taps),  # as in `conv_forward`
    )
    g = _contraction(c_count, sums)
    g[CONTRACT.bias], g[CONTRACT.ending] = has_bias, ending
    _set_outputs(g, dx_distances[0], taps)
    _set_groups(g, groups, o_count * dy_distances[0], c_count * dx_distances[0], o_count * c_count * taps)
    return g


@compiled
def add_to_target(g):
    """Let a geometry's sums be added to what y holds; returns whether any has a product."""
    planned, found = sweeps(g[CONTRACT.outputs], 1 if g[CONTRACT.one_position] else 2), False
    for number in range(len(planned)):
        sweep, length = SWEEPS_AT + number * len(SWEEP), _tile_length(planned[number])
        at = g[sweep + SWEEP.tiles_at]
        for _ in range(g[sweep + SWEEP.tiles]):
            g[at + TILE.adds] = 1
            found |= g[at + TILE.outer] * g[at + TILE.middle] * g[at + TILE.inner] > 0
            at += length
    return found


@compiled
def forward_halo(kernel, in_size, out_size, stride, padding, dilation):
    """How many zeros a convolution reads around x: (top, bottom, left, right)."""
    down, across = (kernel[0] - 1) * dilation[0] + 1, (kernel[1] - 1) * dilation[1] + 1
    bottom = max(0, (out_size[0] - 1) * stride[0] + down - in_size[0] - padding[0])
    right = max(0, (out_size[1] - 1) * stride[1] + across - in_size[1] - padding[1])
    return padding[0], bottom, padding[1], right


@compiled
def grad_input_halo(kernel, in_size, out_size, stride, padding, dilation):
    """How many zeros the input gradient reads around dy: (top, bottom, left, right)."""
    top = max(0, ((kernel[0] - 1) * dilation[0] - padding[0] + stride[0] - 1) // stride[0])
    left = max(0, ((kernel[1] - 1) * dilation[1] - padding[1] + stride[1] - 1) // stride[1])
    bottom = max(0, (in_size[0] - 1 + padding[0]) // stride[0] - (out_size[0] - 1))
    right = max(0, (in_size[1] - 1 + padding[1]) // stride[1] - (out_size[1] - 1))
    return top, bottom, left, right


@compiled
def _set_outputs(g, y_output, w_output):
    """Fill in how far one output's sums are from the next one's in y, and its weights in w."""
    g[CONTRACT.y_output], g[CONTRACT.w_output] = y_output, w_output
    for r in range(MANY_ROWS):
        g[W_ROWS_AT + r] = r * w_output


@compiled
def _set_groups(g, groups, x_group, y_group, w_group):
    """Fill in how many groups there are, and how far one is from the next in x, y and w."""
    g[CONTRACT.groups] = groups
    g[CONTRACT.x_group], g[CONTRACT.y_group], g[CONTRACT.w_group] = x_group, y_group, w_group


@compiled
def conv_grad_weight(
    channels, out_channels, kernel, out_size, stride, padding, dilation, groups,
    x_distances, y_distances, has_bias,
):  # fmt: skip
    """Make the geometry of `contract_grad_weight` for a convolution's weight and bias, from x and dy."""
    c_count, o_count = channels // groups, out_channels // groups
    taps = c_count * kernel[0] * kernel[1]
    g = np.zeros(TAPS_AT + taps + TABLE_TAIL, np.int64)
    g[GRAD_WEIGHT.outputs], g[GRAD_WEIGHT.taps], g[GRAD_WEIGHT.bias] = o_count, taps, has_bias
    g[GRAD_WEIGHT.groups] = groups
    g[GRAD_WEIGHT.x_group], g[GRAD_WEIGHT.y_group] = c_count * x_distances[0], o_count * y_distances[0]
    g[GRAD_WEIGHT.x_window_h], g[GRAD_WEIGHT.x_window_w] = stride[0] * x_distances[1], stride[1]
    g[GRAD_WEIGHT.y_output], g[GRAD_WEIGHT.y_line] = y_distances
    height, width = out_size
    if g[GRAD_WEIGHT.x_window_h] == width * stride[1] and y_distances[1] == width:
        height, width = 1, height * width  # lines that touch are one line
    g[GRAD_WEIGHT.height], g[GRAD_WEIGHT.width] = height, width
    lines, places = band_size(width, kernel, stride)
    g[GRAD_WEIGHT.band_lines], g[GRAD_WEIGHT.band_places] = lines, places
    g[GRAD_WEIGHT.outputs_at_once] = outputs_at_once(lines * places)
    g[GRAD_WEIGHT.fives] = takes_fives(taps)
    at = TAPS_AT
    for c in range(c_count):
        for kh in range(kernel[0]):
            line = c * x_distances[0] + (kh * dilation[0] - padding[0]) * x_distances[1]
            for kw in range(kernel[1]):
                g[at] = line + kw * dilation[1] - padding[1]
                at += 1
    _repeat_last(g, at)
    return g


@compiled
def _repeat_last(g, end):
    """Fill the tail of a table, which begins at g[end], with the entry before it."""
    for k in range(end, end + TABLE_TAIL):
        g[k] = g[end - 1]
