"""Max and average pooling in the lane layout.

A window is clipped to the image, so that the padding is never read; `argmax` holds which tap, kh * KW + kw,
was the largest. 2x2 windows inside the image, most there are, have their taps written out: 3 times faster.
"""

import math

from numba.extending import register_jitable

from ..simd import add, both, either, equal, fill, fill_like, greater, is_nan, load, multiply, select, store
from .operation import operation

CHANNELS, OUT_HEIGHT, OUT_WIDTH, HEIGHT, WIDTH, KERNEL_H, KERNEL_W, STRIDE_H, STRIDE_W = range(9)
PADDING_H, PADDING_W, DILATION_H, DILATION_W, X_PLANE, X_ROW, Y_PLANE, Y_ROW = range(9, 17)
TAPS_WANTED = 17  # of max_pool: whether `argmax` is stored
OVERLAP, GATED, GATE_PLANE, GATE_ROW = range(17, 21)  # of max_pool_grad
COUNTED = 17  # of avg_pool: whether padding counts in the mean


@register_jitable
def _taps_inside(start, step, taps, size):
    """(first, last excluded) of the taps of a window that lie in the image."""
    if start >= 0 and start + (taps - 1) * step < size:  # most do, and divisions are slow
        return 0, taps
    first = (-start + step - 1) // step if start < 0 else 0
    last = min(taps, (size - start + step - 1) // step) if start < size else 0
    return first, max(first, last)


@register_jitable
def _larger(best, where, v, tap):
    """The larger of two elements and its tap: NaN wins over numbers, the first wins a tie."""
    better = either(greater(v, best), is_nan(v))
    return select(better, v, best), select(better, tap, where)


@register_jitable
def _largest_of_four(x, at, line, step):
    """(largest, its tap) of the 2x2 window at vector `at`."""
    below = at + line
    upper = _larger(load(x, at), fill(x, 0.0), load(x, at + step), fill(x, 1.0))
    lower = _larger(load(x, below), fill(x, 2.0), load(x, below + step), fill(x, 3.0))
    return _larger(upper[0], upper[1], lower[0], lower[1])


@register_jitable
def _largest(x, at, line, step, width, h0, h1, w0, w1):
    """(largest, its tap) of the taps h0..h1 x w0..w1, of `width` a line, of the window at vector `at`."""
    best, where = fill(x, -math.inf), fill(x, -1.0)
    if h0 < h1 and w0 < w1:
        best, where = load(x, at + h0 * line + w0 * step), fill(x, h0 * width + w0)
    for kh in range(h0, h1):
        for kw in range(w0, w1):
            v, tap = load(x, at + kh * line + kw * step), fill(x, kh * width + kw)
            best, where = _larger(best, where, v, tap)
    return best, where


@operation
def max_pool(x, y, argmax, _c, _d, _e, g, s):
    """y = the largest element of each window, argmax = which tap it was; -infinity and -1 for an empty one.

    NaN wins over numbers, and the first in row-major order wins a tie.
    """
    out_width, width, stride, padding = g[OUT_WIDTH], g[WIDTH], g[STRIDE_W], g[PADDING_W]
    kernel, line, step = g[KERNEL_W], g[DILATION_H] * g[X_ROW], g[DILATION_W]
    taps_wanted = g[TAPS_WANTED]
    for c in range(g[CHANNELS]):
        for i in range(g[OUT_HEIGHT]):
            top = i * g[STRIDE_H] - g[PADDING_H]
            h0, h1 = _taps_inside(top, g[DILATION_H], g[KERNEL_H], g[HEIGHT])
            x_row, y_row = c * g[X_PLANE] + top * g[X_ROW], c * g[Y_PLANE] + i * g[Y_ROW]
            argmax_row = (c * g[OUT_HEIGHT] + i) * out_width
            for j in range(out_width):
                left = j * stride - padding
                w0, w1 = _taps_inside(left, step, kernel, width)
                at = x_row + left
                if h0 == 0 and w0 == 0 and h1 == 2 and w1 == 2 and kernel == 2:
                    best, where = _largest_of_four(x, at, line, step)
                else:
                    best, where = _largest(x, at, line, step, kernel, h0, h1, w0, w1)
                store(y, y_row + j, best)
                if taps_wanted:
                    store(argmax, argmax_row + j, where)


@register_jitable
def _clear_planes(dx, g):
    """dx = 0."""
    zero = fill(dx, 0.0)
    for c in range(g[CHANNELS]):
        for h in range(g[HEIGHT]):
            for w in range(g[WIDTH]):
                store(dx, c * g[X_PLANE] + h * g[X_ROW] + w, zero)


@register_jitable
def _give(dx, at, x, x_at, slope, where, tap, gated, overlap):
    """The gradient `slope` for one tap of a window, where it was the largest."""
    mine = equal(where, fill_like(where, tap))
    if gated:
        mine = both(mine, greater(load(x, x_at), fill_like(where, 0.0)))
    here = select(mine, slope, fill_like(slope, 0.0))
    store(dx, at, add(load(dx, at), here) if overlap else here)


@operation
def max_pool_grad(dy, argmax, dx, x, _d, _e, g, s):
    """dx = dy at each window's maximum, summed where windows overlap.

    With `GATED`, dx is 0 where x is not positive: the gradient of a ReLU before the pooling.
    """
    out_width, width, stride, padding = g[OUT_WIDTH], g[WIDTH], g[STRIDE_W], g[PADDING_W]
    kernel, step, gated, overlap = g[KERNEL_W], g[DILATION_W], g[GATED], g[OVERLAP]
    line, x_line = g[DILATION_H] * g[X_ROW], g[DILATION_H] * g[GATE_ROW]
    if overlap:
        _clear_planes(dx, g)
    for c in range(g[CHANNELS]):
        for i in range(g[OUT_HEIGHT]):
            top = i * g[STRIDE_H] - g[PADDING_H]
            h0, h1 = _taps_inside(top, g[DILATION_H], g[KERNEL_H], g[HEIGHT])
            row, x_row = c * g[X_PLANE] + top * g[X_ROW], c * g[GATE_PLANE] + top * g[GATE_ROW]
            dy_row, argmax_row = c * g[Y_PLANE] + i * g[Y_ROW], (c * g[OUT_HEIGHT] + i) * out_width
            for j in range(out_width):
                left = j * stride - padding
                w0, w1 = _taps_inside(left, step, kernel, width)
                slope, where = load(dy, dy_row + j), load(argmax, argmax_row + j)
                at, x_at = row + left, x_row + left
                if h0 == 0 and w0 == 0 and h1 == 2 and w1 == 2 and kernel == 2:
                    _give(dx, at, x, x_at, slope, where, 0.0, gated, overlap)
                    _give(dx, at + step, x, x_at + step, slope, where, 1.0, gated, overlap)
                    at, x_at = at + line, x_at + x_line
                    _give(dx, at, x, x_at, slope, where, 2.0, gated, overlap)
                    _give(dx, at + step, x, x_at + step, slope, where, 3.0, gated, overlap)
                    continue
                for kh in range(h0, h1):
                    for kw in range(w0, w1):
                        tap_at, x_tap = at + kh * line + kw * step, x_at + kh * x_line + kw * step
                        _give(dx, tap_at, x, x_tap, slope, where, float(kh * kernel + kw), gated, overlap)


@register_jitable
def average_window(start, size, kernel, padding, counted):
    """First and last (excluded) row of a clipped window, and the length that an average divides by."""
    last = min(start + kernel, size + padding)
    length = last - start
    first, last = max(start, 0), min(last, size)
    return first, last, length if counted else last - first


@operation
def avg_pool(x, y, _b, _c, _d, _e, g, s):
    """y = the mean of each window; padding counts as zeros with `COUNTED`."""
    for c in range(g[CHANNELS]):
        for i in range(g[OUT_HEIGHT]):
            top = i * g[STRIDE_H] - g[PADDING_H]
            h0, h1, height = average_window(top, g[HEIGHT], g[KERNEL_H], g[PADDING_H], g[COUNTED])
            for j in range(g[OUT_WIDTH]):
                left = j * g[STRIDE_W] - g[PADDING_W]
                w0, w1, width = average_window(left, g[WIDTH], g[KERNEL_W], g[PADDING_W], g[COUNTED])
                acc = fill(x, 0.0)
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        acc = add(acc, load(x, c * g[X_PLANE] + h * g[X_ROW] + w))
                mean = multiply(acc, fill(x, 1.0 / (height * width)))
                store(y, c * g[Y_PLANE] + i * g[Y_ROW] + j, mean)


@operation
def avg_pool_grad(dy, dx, _b, _c, _d, _e, g, s):
    """dx = dy / size of the window, summed over the windows that hold the element."""
    _clear_planes(dx, g)
    for c in range(g[CHANNELS]):
        for i in range(g[OUT_HEIGHT]):
            top = i * g[STRIDE_H] - g[PADDING_H]
            h0, h1, height = average_window(top, g[HEIGHT], g[KERNEL_H], g[PADDING_H], g[COUNTED])
            for j in range(g[OUT_WIDTH]):
                left = j * g[STRIDE_W] - g[PADDING_W]
                w0, w1, width = average_window(left, g[WIDTH], g[KERNEL_W], g[PADDING_W], g[COUNTED])
                slope = load(dy, c * g[Y_PLANE] + i * g[Y_ROW] + j)
                share = multiply(slope, fill(dy, 1.0 / (height * width)))
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        at = c * g[X_PLANE] + h * g[X_ROW] + w
                        store(dx, at, add(load(dx, at), share))
