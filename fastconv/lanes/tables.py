"""The sizes, steps and tiles (`g`) that the kernels of contract.py run on, for every shape.

A buffer's planes are `plane` vectors apart and its rows `row`; a halo of zeros around each plane stands
for the padding, so that offset 0 is the first element inside it and a negative one lies in the halo.
All functions are compiled: they run when a network is planned, and inside a user's own @njit code.
"""

import numpy as np

from ..compiling import compiled
from . import pack
from .contract import (
    ADDS,
    BIAS,
    CHANNELS,
    COUNT,
    DENSE,
    DENSE_PRODUCTS,
    DENSE_ROWS,
    ENDING,
    ENDS,
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
    PASS_FIELDS,
    PASSES,
    R_BIAS,
    R_DY_ROW,
    R_HEADER,
    R_IN,
    R_OUT,
    R_X_ROW,
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
    passes,
)

# An axis of a sum, (positions, start, step, size, taps, tap start, tap step): position i and tap k meet the
# source at start + i * step + tap start + k * tap step, which is padding unless it is from 0 to size - 1.


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
def _union(ranges, first, last):
    """The taps from the first to the last that any of the positions first..last uses."""
    low, high = 0, 0
    for i in range(first, last + 1):
        if ranges[i, 0] < ranges[i, 1]:
            if low == high:
                low, high = ranges[i, 0], ranges[i, 1]
            else:
                low, high = min(low, ranges[i, 0]), max(high, ranges[i, 1])
    return low, high


@compiled
def _tile_taps(lines, steps, first, last):
    """The grid of taps, (lines from, to, steps from, to), of the positions first..last in row-major order."""
    width = len(steps)
    i0, i1 = first // width, last // width
    a0, a1 = _union(lines, i0, i1)
    b0, b1 = _union(steps, first % width, last % width) if i0 == i1 else _union(steps, 0, width - 1)
    return a0, a1, b0, b1


@compiled
def _products(lines, steps, size, anew):
    """How many products tiles of `size` positions make, and how many tiles there are.

    The tiles start anew in each row, or go on across the ends of rows.
    """
    height, width = len(lines), len(steps)
    runs, length = (height, width) if anew else (1, height * width)
    products, tiles = 0, 0
    for run in range(runs):
        for start in range(run * length, (run + 1) * length, size):
            end = min(start + size, (run + 1) * length)
            a0, a1, b0, b1 = _tile_taps(lines, steps, start, end - 1)
            products += (a1 - a0) * (b1 - b0)
            tiles += 1
    return products, tiles


@compiled
def _contraction(
    count, line_axis, step_axis, w_first, w_line, w_step, x_row, y_start, y_line, y_step, channels
):
    """A geometry with its passes and tiles; rows and groups are left to be filled in.

    w_first is the weight of the first tap; y_start, y_line and y_step say where positions are stored.
    `channels` is (how many, how many in a part of the sum, x and weights from one to the next, whether they
    are the steps of the grid of taps, as in a dense layer).
    """
    lines, steps = _useful_taps(line_axis), _useful_taps(step_axis)
    height, width = len(lines), len(steps)
    positions = height * width
    number_of, at_once, x_channel, w_channel, as_steps = channels
    parts = max(1, (number_of + at_once - 1) // at_once)
    plans = passes(count, positions)
    anew = np.zeros(len(plans), np.bool_)
    tiles = np.zeros(len(plans), np.int64)
    length = HEADER
    for number in range(len(plans)):
        first, last, _, size = plans[number]
        if first < last and positions > 0:
            across, in_rows = _products(lines, steps, size, False), _products(lines, steps, size, True)
            anew[number] = in_rows[0] < across[0]
            tiles[number] = in_rows[1] if anew[number] else across[1]
            length += tiles[number] * parts * (TILE_HEADER + 2 * size)
    g = np.zeros(length, np.int64)
    g[GROUPS], g[COUNT], g[DENSE] = 1, count, positions == 1
    g[X_CHANNEL], g[W_CHANNEL] = x_channel, w_channel
    g[X_LINE], g[W_LINE] = line_axis[6] * x_row, w_line
    g[X_STEP], g[W_STEP] = step_axis[6], w_step
    at = HEADER
    for number in range(len(plans)):
        first, last, _, size = plans[number]
        header = PASSES + number * PASS_FIELDS
        g[header], g[header + 1], g[header + 2], g[header + 3] = first, last, tiles[number] * parts, at
        start = 0
        for _ in range(tiles[number]):
            run_end = (start // width + 1) * width if anew[number] else positions
            end = min(start + size, run_end)
            a0, a1, b0, b1 = _tile_taps(lines, steps, start, end - 1)
            for part in range(parts):
                channel = part * at_once
                here = min(at_once, number_of - channel)
                g[at + W_FIRST] = w_first + a0 * w_line + b0 * w_step + channel * w_channel
                g[at + CHANNELS], g[at + LINES], g[at + STEPS] = here, a1 - a0, b1 - b0
                if as_steps:
                    g[at + CHANNELS], g[at + LINES], g[at + STEPS] = 1, 1, here
                g[at + ADDS], g[at + ENDS] = part > 0, part == parts - 1
                at += TILE_HEADER
                for k in range(size):
                    p = min(start + k, end - 1)  # a last tile repeats its last position
                    i, j = p // width, p % width
                    line = line_axis[1] + i * line_axis[2] + line_axis[5] + a0 * line_axis[6]
                    step = step_axis[1] + j * step_axis[2] + step_axis[5] + b0 * step_axis[6]
                    g[at + k] = line * x_row + step + channel * x_channel
                    g[at + size + k] = y_start + i * y_line + j * y_step
                at += 2 * size
            start = end
    return g


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
    g = _contraction(
        o_count,
        (out_size[0], -padding[0], stride[0], in_size[0], kernel[0], 0, dilation[0]),
        (out_size[1], -padding[1], stride[1], in_size[1], kernel[1], 0, dilation[1]),
        0, kernel[1], 1, x_steps[1], 0, y_steps[1], 1,
        (c_count, channels_at_once(taps), x_steps[0], taps, False),
    )  # fmt: skip
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
    return (positions, 0, 1, out_size, taps, tap_start, -(step * dilation // stride)), first, step


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
        c_count, line_axis, step_axis, kh * kernel[1] + kw, kh_step * kernel[1], kw_step, dy_steps[1],
        phase[0] * dx_steps[1] + phase[1], stride[0] * dx_steps[1], stride[1],
        (o_count, channels_at_once(taps), dy_steps[0], c_count * taps, False),
    )  # fmt: skip
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
def dense_forward(in_features, out_features, has_bias, ending):
    """Geometry of `contract` for y = W x + b."""
    return _dense(in_features, out_features, in_features, 1, has_bias, ending)


@compiled
def dense_grad_input(in_features, out_features, ending):
    """Geometry of `contract` for dx = W^T dy."""
    return _dense(out_features, in_features, 1, in_features, 0, ending)


@compiled
def _dense(features, count, w_row, w_step, has_bias, ending):
    point = (1, 0, 1, 1, 1, 0, 1)
    channels = features, DENSE_PRODUCTS, 1, w_step, True
    g = _contraction(count, point, point, 0, 0, w_step, 1, 0, 0, 0, channels)
    g[Y_ROW], g[BIAS], g[ENDING] = 1, has_bias, ending
    _set_weight_rows(g, w_row)
    return g


@compiled
def _set_weight_rows(g, w_row):
    """Set the distance of the weights of one row from those of the next."""
    g[W_ROW] = w_row
    for r in range(DENSE_ROWS):
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


@compiled
def _nchw_table(g, at, shape, steps):
    """Write where the features of one sample lie, in row-major order, from g[at] on."""
    for c in range(shape[1]):
        for h in range(shape[2]):
            for w in range(shape[3]):
                g[at] = c * steps[0] + h * steps[1] + w
                at += 1


@compiled
def gather_array(x, steps):
    """Geometry of `gather` from a C-ordered array of images (N, C, H, W)."""
    channels, height, width = x.shape[1:]
    g = np.zeros(pack.TABLE + channels * height * width, np.int64)
    g[pack.KIND] = pack.FLOAT32 if x.itemsize == 4 else pack.FLOAT64
    g[pack.PLANES], g[pack.LINES], g[pack.PIXELS] = channels, height, width
    g[pack.W_STEP], g[pack.H_STEP] = x.itemsize, width * x.itemsize
    g[pack.C_STEP] = height * g[pack.H_STEP]
    g[pack.N_STEP], g[pack.SOURCE] = channels * g[pack.C_STEP], x.ctypes.data
    _nchw_table(g, pack.TABLE, x.shape, steps)
    return g


@compiled
def scatter_array(y, steps):
    """Geometry of `scatter` to a C-ordered array of images (N, C, H, W)."""
    features = y.shape[1] * y.shape[2] * y.shape[3]
    g = np.zeros(pack.SCATTER_TABLE + features, np.int64)
    g[pack.FEATURES], g[pack.TARGET] = features, y.ctypes.data
    _nchw_table(g, pack.SCATTER_TABLE, y.shape, steps)
    return g


@compiled
def dense_grad_weight(in_features, out_features, x_row, dy_row, has_bias, lanes):
    """Geometry of `rows_grad_weight`; rows of x and dy are `x_row` and `dy_row` scalars apart."""
    vectors = (in_features + lanes - 1) // lanes
    g = np.zeros(R_HEADER + vectors + SLACK, np.int64)
    g[R_OUT], g[R_IN], g[R_X_ROW], g[R_DY_ROW], g[R_BIAS] = out_features, in_features, x_row, dy_row, has_bias
    for v in range(vectors):
        g[R_HEADER + v] = v
    _repeat_last(g, R_HEADER + vectors)
    return g
