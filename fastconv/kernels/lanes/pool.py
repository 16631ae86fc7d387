"""Max and average pooling in the lane layout.

A window is clipped to the image, so that the padding is never read; `argmax` holds which tap, kh * KW + kw,
was the largest. Where all windows are 2x2 and inside the image, as mostly, their taps are written out: 3
times faster.
"""

import math
from typing import NamedTuple

from numba.extending import register_jitable

from ...simd import add, either, equal, fill, fill_like, greater, is_nan, load, multiply, select, store
from .operation import channel_operation, offsets_of, share


class PoolGeometry(NamedTuple):
    """Sizes of images and windows, and the distances in vectors from plane to plane and line to line."""

    channels: int
    out_height: int
    out_width: int
    height: int
    width: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    padding_h: int  # before the image
    padding_w: int
    dilation_h: int
    dilation_w: int
    x_plane: int  # of x, or of dx in the backward pass
    x_line: int
    y_plane: int  # of y, or of dy
    y_line: int
    fours: int = 0  # max-pool: whether all windows are 2x2 and inside the image
    overlap: int = 0  # max-pool, backward: whether windows overlap
    gaps: int = 0  # max-pool, backward: whether there is an element that no window holds
    taps_wanted: int = 0  # max-pool, forward: whether `argmax` is stored
    gated: int = 0  # max-pool, forward: whether `argmax` is -1 where nothing is positive
    counted: int = 0  # average: whether padding counts in the mean
    end_h: int = 0  # average: padding behind the image
    end_w: int = 0
    adaptive: int = 0  # average: whether the windows share out the image evenly


POOL = offsets_of(PoolGeometry)


def _geometry(x, y, kernel, stride, padding, dilation, **more):
    """What the geometries of all pools have in common; sizes of windows are pairs (down, across)."""
    return PoolGeometry(
        channels=y.channels,
        out_height=y.height,
        out_width=y.width,
        height=x.height,
        width=x.width,
        kernel_h=kernel[0],
        kernel_w=kernel[1],
        stride_h=stride[0],
        stride_w=stride[1],
        padding_h=padding[0],
        padding_w=padding[1],
        dilation_h=dilation[0],
        dilation_w=dilation[1],
        x_plane=x.plane,
        x_line=x.row,
        y_plane=y.plane,
        y_line=y.row,
        **more,
    )


def max_pool_geometry(x, y, kernel, stride, padding, dilation, taps_wanted=False, gated=False):
    """Make the geometry of `max_pool` from planes x to y, or of its gradient, given dx for x and dy for y."""
    inside = all(
        pad == 0 and (out - 1) * by + distance < size
        for size, out, by, pad, distance in zip(
            (x.height, x.width), (y.height, y.width), stride, padding, dilation, strict=True
        )
    )
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    return _geometry(
        x, y, kernel, stride, padding, dilation,
        fours=int(tuple(kernel) == (2, 2) and inside),
        overlap=int(any(r > by for r, by in zip(reach, stride, strict=True))),
        gaps=int(not _all_held((x.height, x.width), (y.height, y.width), kernel, stride, padding, dilation)),
        taps_wanted=int(taps_wanted),
        gated=int(gated),
    )  # fmt: skip


def _all_held(size, out, kernel, stride, padding, dilation):
    """Whether windows that do not overlap hold every element."""
    for n, windows, k, by, pad, distance in zip(size, out, kernel, stride, padding, dilation, strict=True):
        if by > k or distance > 1 or windows * by < n + pad:
            return False
    return True


def avg_pool_geometry(x, y, kernel, stride, pads, counted):
    """Make the geometry of `avg_pool` from planes x to y, or of its gradient, given dx for x and dy for y."""
    (top, bottom), (left, right) = pads
    return _geometry(
        x, y, kernel, stride, (top, left), (1, 1), counted=int(counted), end_h=bottom, end_w=right
    )


def adaptive_pool_geometry(x, y):
    """Make the geometry of `avg_pool` from planes x to planes y of any size, or of its gradient."""
    ones = 1, 1
    return _geometry(x, y, ones, ones, (0, 0), ones, adaptive=1)


@register_jitable
def _taps_inside(start, dilation, taps, size):
    """Which taps of a window lie in the image: (the first, the one after the last).

    Along one axis: the window starts at `start`, its taps are `dilation` apart, the image is `size` long.
    """
    if start >= 0 and start + (taps - 1) * dilation < size:  # most do, and divisions are slow
        return 0, taps
    first = (-start + dilation - 1) // dilation if start < 0 else 0
    last = min(taps, (size - start + dilation - 1) // dilation) if start < size else 0
    return first, max(first, last)


@register_jitable
def _larger(best, where, v, tap):
    """The larger of `best`, found at tap `where`, and v, at `tap`; and its tap. NaN wins, then the first."""
    better = either(greater(v, best), is_nan(v))
    return select(better, v, best), select(better, tap, where)


@register_jitable
def _largest_of_four(x, at, tap_h, tap_w):
    """The largest element of the 2x2 window that starts at vector `at`, and which of its 4 taps that is.

    The taps are `tap_h` vectors apart down and `tap_w` across.
    """
    below = at + tap_h
    upper = _larger(load(x, at), fill(x, 0.0), load(x, at + tap_w), fill(x, 1.0))
    lower = _larger(load(x, below), fill(x, 2.0), load(x, below + tap_w), fill(x, 3.0))
    return _larger(upper[0], upper[1], lower[0], lower[1])


@register_jitable
def _largest(x, at, tap_h, tap_w, kernel_w, h0, h1, w0, w1):
    """The largest element of the window that starts at vector `at`, and which of its taps that is.

    Only the taps from (h0, w0) to before (h1, w1) are looked at.
    """
    best, where = fill(x, -math.inf), fill(x, -1.0)
    if h0 < h1 and w0 < w1:
        best, where = load(x, at + h0 * tap_h + w0 * tap_w), fill(x, h0 * kernel_w + w0)
    for kh in range(h0, h1):
        for kw in range(w0, w1):
            v, tap = load(x, at + kh * tap_h + kw * tap_w), fill(x, kh * kernel_w + kw)
            best, where = _larger(best, where, v, tap)
    return best, where


@register_jitable
def _store_maximum(y, argmax, at, tap_at, best, where, taps_wanted, gated):
    """Store the maximum of a window at y[at] and, where `taps_wanted`, its tap at argmax[tap_at]."""
    store(y, at, best)
    if taps_wanted:
        if gated:
            where = select(greater(best, fill_like(best, 0.0)), where, fill_like(best, -1.0))
        store(argmax, tap_at, where)


@channel_operation
def max_pool(x, y, argmax, _c, _d, _e, g, s):
    """y = the largest element of each window, argmax = which tap it was; -infinity and -1 for an empty one.

    NaN wins over numbers, and the first in row-major order wins a tie. Where it is gated, x is what a ReLU
    gave, and argmax is -1 where y is not positive: nothing gets a gradient through the ReLU there.
    """
    out_width, width, stride, padding = g[POOL.out_width], g[POOL.width], g[POOL.stride_w], g[POOL.padding_w]
    kernel, tap_h, tap_w = g[POOL.kernel_w], g[POOL.dilation_h] * g[POOL.x_line], g[POOL.dilation_w]
    wanted, gated = g[POOL.taps_wanted], g[POOL.gated]
    first, last = share(g[POOL.channels], s)
    for c in range(first, last):
        for i in range(g[POOL.out_height]):
            top = i * g[POOL.stride_h] - g[POOL.padding_h]
            x_line, y_line = _x_line(g, c, top), _y_line(g, c, i)
            argmax_line = (c * g[POOL.out_height] + i) * out_width
            if g[POOL.fours]:
                for j in range(out_width):
                    best, where = _largest_of_four(x, x_line + j * stride, tap_h, tap_w)
                    _store_maximum(y, argmax, y_line + j, argmax_line + j, best, where, wanted, gated)
            else:
                h0, h1 = _taps_inside(top, g[POOL.dilation_h], g[POOL.kernel_h], g[POOL.height])
                for j in range(out_width):
                    left = j * stride - padding
                    w0, w1 = _taps_inside(left, tap_w, kernel, width)
                    best, where = _largest(x, x_line + left, tap_h, tap_w, kernel, h0, h1, w0, w1)
                    _store_maximum(y, argmax, y_line + j, argmax_line + j, best, where, wanted, gated)


@register_jitable
def _x_line(g, c, h):
    """At which vector line `h` of channel `c` of x, or of dx, begins."""
    return c * g[POOL.x_plane] + h * g[POOL.x_line]


@register_jitable
def _y_line(g, c, i):
    """At which vector line `i` of channel `c` of y, or of dy, begins."""
    return c * g[POOL.y_plane] + i * g[POOL.y_line]


@register_jitable
def _clear_planes(dx, g, first, last):
    """Set the channels from `first` to before `last` of dx to 0."""
    zero = fill(dx, 0.0)
    for c in range(first, last):
        for h in range(g[POOL.height]):
            for w in range(g[POOL.width]):
                store(dx, _x_line(g, c, h) + w, zero)


@register_jitable
def _give(dx, at, slope, where, tap, overlap):
    """Give vector `at` of dx the gradient `slope` of a window, in the lanes where `tap` was the largest."""
    here = select(equal(where, fill_like(where, tap)), slope, fill_like(slope, 0.0))
    store(dx, at, add(load(dx, at), here) if overlap else here)


@channel_operation
def max_pool_grad(dy, argmax, dx, _c, _d, _e, g, s):
    """dx = dy at each window's maximum, summed where windows overlap."""
    out_width, width, stride, padding = g[POOL.out_width], g[POOL.width], g[POOL.stride_w], g[POOL.padding_w]
    kernel, tap_h, tap_w = g[POOL.kernel_w], g[POOL.dilation_h] * g[POOL.x_line], g[POOL.dilation_w]
    overlap = g[POOL.overlap]
    first, last = share(g[POOL.channels], s)
    if overlap or g[POOL.gaps]:
        _clear_planes(dx, g, first, last)
    for c in range(first, last):
        for i in range(g[POOL.out_height]):
            top = i * g[POOL.stride_h] - g[POOL.padding_h]
            dx_line, dy_line = _x_line(g, c, top), _y_line(g, c, i)
            argmax_line = (c * g[POOL.out_height] + i) * out_width
            if g[POOL.fours]:
                for j in range(out_width):
                    slope, where = load(dy, dy_line + j), load(argmax, argmax_line + j)
                    at = dx_line + j * stride
                    _give(dx, at, slope, where, 0.0, overlap)
                    _give(dx, at + tap_w, slope, where, 1.0, overlap)
                    _give(dx, at + tap_h, slope, where, 2.0, overlap)
                    _give(dx, at + tap_h + tap_w, slope, where, 3.0, overlap)
                continue
            h0, h1 = _taps_inside(top, g[POOL.dilation_h], g[POOL.kernel_h], g[POOL.height])
            for j in range(out_width):
                left = j * stride - padding
                w0, w1 = _taps_inside(left, tap_w, kernel, width)
                slope, where = load(dy, dy_line + j), load(argmax, argmax_line + j)
                for kh in range(h0, h1):
                    for kw in range(w0, w1):
                        at = dx_line + left + kh * tap_h + kw * tap_w
                        _give(dx, at, slope, where, float(kh * kernel + kw), overlap)


@register_jitable
def average_window(start, size, kernel, padding_end, counted):
    """Where a window lies in the image along one axis: (first, end, length that an average divides by)."""
    last = min(start + kernel, size + padding_end)
    length = last - start
    first, last = max(start, 0), min(last, size)
    return first, last, length if counted else last - first


@register_jitable
def adaptive_window(i, size, count):
    """(first, end) of window `i` of `count` that share out `size` elements along one axis."""
    return i * size // count, ((i + 1) * size + count - 1) // count


@register_jitable
def _window_h(g, i):
    """`average_window` down the image, for the windows of line `i` of the output."""
    if g[POOL.adaptive]:
        first, last = adaptive_window(i, g[POOL.height], g[POOL.out_height])
        return first, last, last - first
    start = i * g[POOL.stride_h] - g[POOL.padding_h]
    return average_window(start, g[POOL.height], g[POOL.kernel_h], g[POOL.end_h], g[POOL.counted])


@register_jitable
def _window_w(g, j):
    """`average_window` across the image, for window `j` of each line of the output."""
    if g[POOL.adaptive]:
        first, last = adaptive_window(j, g[POOL.width], g[POOL.out_width])
        return first, last, last - first
    start = j * g[POOL.stride_w] - g[POOL.padding_w]
    return average_window(start, g[POOL.width], g[POOL.kernel_w], g[POOL.end_w], g[POOL.counted])


@channel_operation
def avg_pool(x, y, _b, _c, _d, _e, g, s):
    """y = the mean of each window; padding counts as zeros with `COUNTED`."""
    first, last = share(g[POOL.channels], s)
    for c in range(first, last):
        for i in range(g[POOL.out_height]):
            h0, h1, height = _window_h(g, i)
            for j in range(g[POOL.out_width]):
                w0, w1, width = _window_w(g, j)
                acc = fill(x, 0.0)
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        acc = add(acc, load(x, _x_line(g, c, h) + w))
                mean = multiply(acc, fill(x, 1.0 / (height * width)))
                store(y, _y_line(g, c, i) + j, mean)


@channel_operation
def avg_pool_grad(dy, dx, _b, _c, _d, _e, g, s):
    """dx = dy / size of the window, summed over the windows that hold the element."""
    first, last = share(g[POOL.channels], s)
    _clear_planes(dx, g, first, last)
    for c in range(first, last):
        for i in range(g[POOL.out_height]):
            h0, h1, height = _window_h(g, i)
            for j in range(g[POOL.out_width]):
                w0, w1, width = _window_w(g, j)
                slope = load(dy, _y_line(g, c, i) + j)
                each = multiply(slope, fill(dy, 1.0 / (height * width)))
                for h in range(h0, h1):
                    for w in range(w0, w1):
                        at = _x_line(g, c, h) + w
                        store(dx, at, add(load(dx, at), each))
