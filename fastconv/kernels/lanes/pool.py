"""Max and average pooling in the lane layout.

A window is clipped to the image, so that the padding is never read; `argmax` holds which tap, kh * KW + kw,
was the largest. Where all windows are 2x2 and inside the image, as mostly, their taps are written out: 3
times faster.
"""

import math

from numba.extending import register_jitable

from ...simd import add, either, equal, fill, fill_like, greater, is_nan, load, multiply, select, store
from .operation import operation

CHANNELS, OUT_HEIGHT, OUT_WIDTH, HEIGHT, WIDTH, KERNEL_H, KERNEL_W, STRIDE_H, STRIDE_W = range(9)
PADDING_H, PADDING_W, DILATION_H, DILATION_W, X_PLANE, X_ROW, Y_PLANE, Y_ROW = range(9, 17)
FOURS = 17  # of max_pool and its gradient: whether all windows are 2x2 and inside the image
TAPS_WANTED, GATED = 18, 19  # of max_pool: whether `argmax` is stored, and with -1 where nothing is positive
OVERLAP = 18  # of max_pool_grad
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


@register_jitable
def _store_maximum(y, argmax, at, tap_at, best, where, taps_wanted, gated):
    store(y, at, best)
    if taps_wanted:
        if gated:
            where = select(greater(best, fill_like(best, 0.0)), where, fill_like(best, -1.0))
        store(argmax, tap_at, where)


@operation
def max_pool(x, y, argmax, _c, _d, _e, g, s):
    """y = the largest element of each window, argmax = which tap it was; -infinity and -1 for an empty one.

    NaN wins over numbers, and the first in row-major order wins a tie. With `GATED`, x is what a ReLU gave,
    and argmax is -1 where y is not positive: nothing gets a gradient through the ReLU there.
    """
    out_width, width, stride, padding = g[OUT_WIDTH], g[WIDTH], g[STRIDE_W], g[PADDING_W]
    kernel, line, step = g[KERNEL_W], g[DILATION_H] * g[X_ROW], g[DILATION_W]
    wanted, gated = g[TAPS_WANTED], g[GATED]
    for c in range(g[CHANNELS]):
        for i in range(g[OUT_HEIGHT]):
            top = i * g[STRIDE_H] - g[PADDING_H]
            x_row, y_row = c * g[X_PLANE] + top * g[X_ROW], c * g[Y_PLANE] + i * g[Y_ROW]
            argmax_row = (c * g[OUT_HEIGHT] + i) * out_width
            if g[FOURS]:
                for j in range(out_width):
                    best, where = _largest_of_four(x, x_row + j * stride, line, step)
                    _store_maximum(y, argmax, y_row + j, argmax_row + j, best, where, wanted, gated)
            else:
                h0, h1 = _taps_inside(top, g[DILATION_H], g[KERNEL_H], g[HEIGHT])
                for j in range(out_width):
                    left = j * stride - padding
                    w0, w1 = _taps_inside(left, step, kernel, width)
                    best, where = _largest(x, x_row + left, line, step, kernel, h0, h1, w0, w1)
                    _store_maximum(y, argmax, y_row + j, argmax_row + j, best, where, wanted, gated)


@register_jitable
def _clear_planes(dx, g):
    """dx = 0."""
    zero = fill(dx, 0.0)
    for c in range(g[CHANNELS]):
        for h in range(g[HEIGHT]):
            for w in range(g[WIDTH]):
                store(dx, c * g[X_PLANE] + h * g[X_ROW] + w, zero)


@register_jitable
def _give(dx, at, slope, where, tap, overlap):
    """The gradient `slope` for one tap of a window, where it was the largest."""
    here = select(equal(where, fill_like(where, tap)), slope, fill_like(slope, 0.0))
    store(dx, at, add(load(dx, at), here) if overlap else here)


@operation
def max_pool_grad(dy, argmax, dx, _c, _d, _e, g, s):
    """dx = dy at each window's maximum, summed where windows overlap."""
    out_width, width, stride, padding = g[OUT_WIDTH], g[WIDTH], g[STRIDE_W], g[PADDING_W]
    kernel, line, step, overlap = g[KERNEL_W], g[DILATION_H] * g[X_ROW], g[DILATION_W], g[OVERLAP]
    if overlap:
        _clear_planes(dx, g)
    for c in range(g[CHANNELS]):
        for i in range(g[OUT_HEIGHT]):
            top = i * g[STRIDE_H] - g[PADDING_H]
            row, dy_row = c * g[X_PLANE] + top * g[X_ROW], c * g[Y_PLANE] + i * g[Y_ROW]
            argmax_row = (c * g[OUT_HEIGHT] + i) * out_width
            if g[FOURS]:
                for j in range(out_width):
                    slope, where = load(dy, dy_row + j), load(argmax, argmax_row + j)
                    at = row + j * stride
                    _give(dx, at, slope, where, 0.0, overlap)
                    _give(dx, at + step, slope, where, 1.0, overlap)
                    _give(dx, at + line, slope, where, 2.0, overlap)
                    _give(dx, at + line + step, slope, where, 3.0, overlap)
                continue
            h0, h1 = _taps_inside(top, g[DILATION_H], g[KERNEL_H], g[HEIGHT])
            for j in range(out_width):
                left = j * stride - padding
                w0, w1 = _taps_inside(left, step, kernel, width)
                slope, where = load(dy, dy_row + j), load(argmax, argmax_row + j)
                for kh in range(h0, h1):
                    for kw in range(w0, w1):
                        at = row + left + kh * line + kw * step
                        _give(dx, at, slope, where, float(kh * kernel + kw), overlap)


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
