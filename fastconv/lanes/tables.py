"""The offset tables and sizes (`g`) that the kernels of contract.py run on, for every shape.

These functions run interpreted when a network is planned and compiled inside a user's own @njit code.
A buffer's planes are `plane` vectors apart and its rows `row`; a halo of zeros around each plane stands
for the padding, so that offset 0 is the first element inside it and a negative one lies in the halo.
"""

import numpy as np
from numba.extending import register_jitable

from .contract import HEADER, TABLE_SLACK


@register_jitable
def _repeat_last(table, start, count):
    """Fill the slack after `count` entries from `start`."""
    for k in range(TABLE_SLACK):
        table[start + count + k] = table[start + count - 1] if count > 0 else 0


@register_jitable
def _new(positions, taps):
    """A geometry with room for two tables of positions and two of taps, and where each begins."""
    g = np.zeros(HEADER + 2 * (positions + taps) + 4 * TABLE_SLACK, np.int64)
    y_position = HEADER + positions + TABLE_SLACK
    tap = y_position + positions + TABLE_SLACK
    return g, HEADER, y_position, tap, tap + taps + TABLE_SLACK


@register_jitable
def conv_forward(
    channels,
    out_channels,
    kernel,
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
    kh_count, kw_count = kernel
    height, width = out_size
    c_count, o_count = channels // groups, out_channels // groups
    positions, taps = height * width, c_count * kh_count * kw_count
    g, x_at, y_at, tap, w_tap = _new(positions, taps)
    g[0], g[1], g[2], g[3], g[4] = o_count, positions, taps, ending, groups
    g[5], g[6], g[7] = c_count * x_steps[0], o_count * taps, o_count * y_steps[0]
    g[8], g[9], g[12] = taps, y_steps[0], has_bias
    p = 0
    for i in range(height):
        for j in range(width):
            g[x_at + p] = (i * stride[0] - padding[0]) * x_steps[1] + j * stride[1] - padding[1]
            g[y_at + p] = i * y_steps[1] + j
            p += 1
    t = 0
    for c in range(c_count):
        for kh in range(kh_count):
            for kw in range(kw_count):
                g[tap + t] = c * x_steps[0] + kh * dilation[0] * x_steps[1] + kw * dilation[1]
                g[w_tap + t] = t
                t += 1
    _repeat_last(g, x_at, positions)
    _repeat_last(g, y_at, positions)
    _repeat_last(g, tap, taps)
    return g


@register_jitable
def conv_grad_weight(
    channels, out_channels, kernel, out_size, stride, padding, dilation, groups, x_steps, y_steps
):
    """Geometry of `contract_grad_weight`."""
    kh_count, kw_count = kernel
    c_count, o_count = channels // groups, out_channels // groups
    taps = c_count * kh_count * kw_count
    g = np.zeros(HEADER + taps + TABLE_SLACK, np.int64)
    g[0], g[1], g[2], g[3], g[4] = o_count, taps, out_size[0], out_size[1], groups
    g[5], g[6] = c_count * x_steps[0], o_count * taps
    g[7], g[8], g[9], g[10], g[11] = stride[0] * x_steps[1], stride[1], y_steps[0], y_steps[1], taps
    g[12] = o_count * y_steps[0]
    t = 0
    for c in range(c_count):
        for kh in range(kh_count):
            for kw in range(kw_count):
                row = kh * dilation[0] - padding[0]
                g[HEADER + t] = c * x_steps[0] + row * x_steps[1] + kw * dilation[1] - padding[1]
                t += 1
    _repeat_last(g, HEADER, taps)
    return g


@register_jitable
def conv_grad_input(
    channels,
    out_channels,
    kernel,
    in_size,
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

    Tap kh reaches input row h from output row (h + padding - kh * dilation) / stride, where that is whole:
    which taps these are depends on h modulo stride alone, so each of the stride[0] * stride[1] phases is
    an ordinary convolution of dy. What lies outside dy must be zeros of its halo.
    """
    o_count, c_count = out_channels // groups, channels // groups
    kh_count, kw_count = kernel
    heights = max(0, (in_size[0] - phase[0] + stride[0] - 1) // stride[0])
    widths = max(0, (in_size[1] - phase[1] + stride[1] - 1) // stride[1])
    taps = 0
    for kh in range(kh_count):
        for kw in range(kw_count):
            if _meets(phase[0], padding[0], kh * dilation[0], stride[0]):
                taps += _meets(phase[1], padding[1], kw * dilation[1], stride[1])
    taps *= o_count
    positions = heights * widths
    g, x_at, y_at, tap, w_tap = _new(positions, taps)
    g[0], g[1], g[2], g[3], g[4] = c_count, positions, taps, ending, groups
    w_row = kh_count * kw_count
    g[5], g[6], g[7] = o_count * dy_steps[0], o_count * c_count * w_row, c_count * dx_steps[0]
    g[8], g[9], g[12] = w_row, dx_steps[0], 0
    p = 0
    for i in range(heights):
        for j in range(widths):
            g[x_at + p] = i * dy_steps[1] + j
            g[y_at + p] = (phase[0] + i * stride[0]) * dx_steps[1] + phase[1] + j * stride[1]
            p += 1
    t = 0
    for o in range(o_count):
        for kh in range(kh_count):
            for kw in range(kw_count):
                row, column = (
                    phase[0] + padding[0] - kh * dilation[0],
                    phase[1] + padding[1] - kw * dilation[1],
                )
                if row % stride[0] == 0 and column % stride[1] == 0:
                    g[tap + t] = o * dy_steps[0] + row // stride[0] * dy_steps[1] + column // stride[1]
                    g[w_tap + t] = (o * c_count * kh_count + kh) * kw_count + kw
                    t += 1
    _repeat_last(g, x_at, positions)
    _repeat_last(g, y_at, positions)
    _repeat_last(g, tap, taps)
    return g


@register_jitable
def _meets(phase, padding, reach, stride):
    return 1 if (phase + padding - reach) % stride == 0 else 0


@register_jitable
def grad_input_halo(kernel, in_size, out_size, stride, padding, dilation):
    """(top, bottom, left, right): how far the taps of `conv_grad_input` reach outside dy."""
    top = max(0, ((kernel[0] - 1) * dilation[0] - padding[0] + stride[0] - 1) // stride[0])
    left = max(0, ((kernel[1] - 1) * dilation[1] - padding[1] + stride[1] - 1) // stride[1])
    bottom = max(0, (in_size[0] - 1 + padding[0]) // stride[0] - (out_size[0] - 1))
    right = max(0, (in_size[1] - 1 + padding[1]) // stride[1] - (out_size[1] - 1))
    return top, bottom, left, right


@register_jitable
def dense_forward(in_features, out_features, has_bias, ending):
    """Geometry of `contract` for y = W x + b."""
    return _dense(in_features, out_features, in_features, 1, has_bias, ending)


@register_jitable
def dense_grad_input(in_features, out_features, ending):
    """Geometry of `contract` for dx = W^T dy."""
    return _dense(out_features, in_features, 1, in_features, 0, ending)


@register_jitable
def _dense(taps, count, w_row, w_step, has_bias, ending):
    g, _, _, tap, w_tap = _new(1, taps)
    g[0], g[1], g[2], g[3], g[4] = count, 1, taps, ending, 1
    g[8], g[9], g[12] = w_row, 1, has_bias
    for t in range(taps):
        g[tap + t] = t
        g[w_tap + t] = t * w_step
    return g


@register_jitable
def dense_grad_weight(in_features, out_features, x_row, dy_row, has_bias, lanes):
    """Geometry of `rows_grad_weight`; rows of x and dy are `x_row` and `dy_row` scalars apart."""
    vectors = (in_features + lanes - 1) // lanes
    g = np.zeros(HEADER + vectors + TABLE_SLACK, np.int64)
    g[0], g[1], g[2], g[3], g[4] = out_features, in_features, x_row, dy_row, has_bias
    for v in range(vectors):
        g[HEADER + v] = v
    _repeat_last(g, HEADER, vectors)
    return g
