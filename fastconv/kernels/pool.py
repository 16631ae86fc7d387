"""Max and average pooling of NCHW arrays and their gradients.

    window (i, j) of a plane:  rows  i * stride - padding + kh * dilation, clipped to the image,
                               columns likewise; what lies outside is -infinity (max) or zero (average)

A row of windows is reduced over kh for all columns, padding included, then over kw for windows that start at
every column, of which each stride-th is kept: loops of step 1, which LLVM turns into vectors. Max pooling is
1.6 (2x2) to 10 times (3x3, stride 1) as fast as window by window.
"""

import numpy as np

from ..checks.arrays import check_indices, check_shape4, float_array, int_array
from ..checks.jit import Array, IntOrPair, Padding, public
from ..checks.padding import first_of, padding_around
from ..checks.scalars import flag, pair_or, positive_pair
from ..checks.windows import check_pool, check_total
from ..simd import advance, keep, pointer
from ..simd.compiling import compiled
from .lanes.pool import average_window

__all__ = ["avg_pool2d", "avg_pool2d_grad", "max_pool2d", "max_pool2d_grad"]


@public
def max_pool2d(
    x: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    """The largest element of each window, and where it lies.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        float32 or float64, any strides.
    kernel_size, dilation : int or pair of ints
        Size of a window, and the step between its elements.
    stride : int, pair of ints or None
        Step of the windows; None stands for `kernel_size`.
    padding : int, pair of ints, pair of pairs, "same", "same_lower" or "valid"
        Elements of -infinity around the image, as for `conv2d`; at most half of `kernel_size` on a side.
    ceil_mode : bool
        Whether a last window that starts inside and hangs over the end counts.

    Returns
    -------
    y : ndarray, shape (N, C, OH, OW)
        OH = floor((H + top + bottom - dilation * (KH - 1) - 1) / stride) + 1 (ceil with `ceil_mode`).
    argmax : ndarray of int64, shape (N, C, OH, OW)
        ih * W + iw of each maximum. The first in row-major order wins a tie. NaN wins over
        numbers, the last NaN over others.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or does not fit the image.

    Notes
    -----
    Source: Goodfellow, Bengio and Courville (2016), section 9.3; edge rules as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import max_pool2d
    >>> y, argmax = max_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    >>> y
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    >>> argmax
    array([[[[ 5,  7],
             [13, 15]]]])
    """
    x = float_array(x, "x", 4)
    kernel = positive_pair(kernel_size, "kernel_size")
    stride = pair_or(stride, kernel, "stride")
    dilation = positive_pair(dilation, "dilation")
    pads = padding_around(padding, "padding", x.shape[2:], kernel, stride, dilation)
    height, width = check_pool(x.shape, kernel, stride, pads, dilation, flag(ceil_mode, "ceil_mode"))
    y = np.empty((x.shape[0], x.shape[1], height, width), x.dtype)
    argmax = np.empty(y.shape, np.int64)
    _max_pool2d(x, kernel, stride, first_of(pads), dilation, y, argmax)
    return y, argmax


@public
def max_pool2d_grad(dy: Array, argmax: Array, input_size: IntOrPair) -> Array:
    """Gradient of `max_pool2d`: each dy goes to the maximum of its window, summed where windows share it.

    Parameters
    ----------
    dy : ndarray, shape (N, C, OH, OW)
        Gradient of the loss with respect to the output.
    argmax : ndarray of ints, shape (N, C, OH, OW)
        As `max_pool2d` gives it.
    input_size : pair of ints
        (H, W) of the input.

    Returns
    -------
    ndarray, shape (N, C, H, W)

    Raises
    ------
    TypeError, ValueError
        If the shapes differ, or an index lies outside the image.

    Notes
    -----
    Source: the chain rule; a maximum's derivative is 1 at the maximum, 0 elsewhere.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import max_pool2d_grad
    >>> max_pool2d_grad(np.ones((1, 1, 1, 1)), np.array([[[[3]]]]), (2, 2))
    array([[[[0., 0.],
             [0., 1.]]]])
    """
    dy = float_array(dy, "dy", 4)
    argmax = int_array(argmax, "argmax", 4)
    size = positive_pair(input_size, "input_size")
    check_shape4(argmax.shape, dy.shape[0], dy.shape[1], dy.shape[2], dy.shape[3], "argmax")
    check_total(dy.shape[0], dy.shape[1], size[0], size[1], "input_size")
    check_indices(argmax, size[0] * size[1], "argmax")
    dx = np.zeros((dy.shape[0], dy.shape[1], size[0], size[1]), dy.dtype)
    _max_pool2d_grad(dy, argmax, dx)
    return dx


@public
def avg_pool2d(
    x: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The mean of each window.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        float32 or float64, any strides.
    kernel_size, stride, padding, ceil_mode
        As in `max_pool2d`; the padding is zeros.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.

    Returns
    -------
    ndarray, shape (N, C, OH, OW)

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or does not fit the image.

    Notes
    -----
    Source: LeCun et al. (1998); edge rules as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import avg_pool2d
    >>> avg_pool2d(np.arange(16.0).reshape(1, 1, 4, 4), 2)
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """
    x = float_array(x, "x", 4)
    kernel = positive_pair(kernel_size, "kernel_size")
    stride = pair_or(stride, kernel, "stride")
    counted = flag(count_include_pad, "count_include_pad")
    pads = padding_around(padding, "padding", x.shape[2:], kernel, stride, (1, 1))
    height, width = check_pool(x.shape, kernel, stride, pads, (1, 1), flag(ceil_mode, "ceil_mode"))
    y = np.empty((x.shape[0], x.shape[1], height, width), x.dtype)
    _avg_pool2d(x, kernel, stride, pads, counted, y)
    return y


@public
def avg_pool2d_grad(
    dy: Array,
    input_size: IntOrPair,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Gradient of `avg_pool2d`: each dy is shared out evenly over its window.

    Parameters
    ----------
    dy : ndarray, shape (N, C, OH, OW)
        Gradient of the loss with respect to the output.
    input_size : pair of ints
        (H, W) of the input.
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As in `avg_pool2d`.

    Returns
    -------
    ndarray, shape (N, C, H, W)

    Raises
    ------
    TypeError, ValueError
        As in `avg_pool2d`, and if `dy` has not the shape of the output.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import avg_pool2d_grad
    >>> avg_pool2d_grad(np.ones((1, 1, 1, 1)), (2, 2), 2)
    array([[[[0.25, 0.25],
             [0.25, 0.25]]]])
    """
    dy = float_array(dy, "dy", 4)
    size = positive_pair(input_size, "input_size")
    kernel = positive_pair(kernel_size, "kernel_size")
    stride = pair_or(stride, kernel, "stride")
    counted = flag(count_include_pad, "count_include_pad")
    pads = padding_around(padding, "padding", size, kernel, stride, (1, 1))
    x_shape = (dy.shape[0], dy.shape[1], size[0], size[1])
    check_total(x_shape[0], x_shape[1], size[0], size[1], "input_size")
    height, width = check_pool(x_shape, kernel, stride, pads, (1, 1), flag(ceil_mode, "ceil_mode"))
    check_shape4(dy.shape, dy.shape[0], dy.shape[1], height, width, "dy")
    dx = np.zeros(x_shape, dy.dtype)
    _avg_pool2d_grad(dy, kernel, stride, pads, counted, dx)
    return dx


@compiled
def _first_inside(start, step):
    """The first tap of a window that is not left of the image."""
    return (-start + step - 1) // step if start < 0 else 0


@compiled
def _row(width, out_width, kernel, stride, padding, dilation):
    """(taps, padding, starts, span) of a row of windows.

    First and last taps that meet only padding are left out, and as much padding. Windows start at `starts`
    columns, counted at step 1, and reach over `span`.
    """
    starts = (out_width - 1) * stride + 1
    first = max(0, padding - starts + 1) // dilation
    taps = min(kernel, (width - 1 + padding) // dilation + 1) - first
    left = padding - first * dilation
    return taps, left, starts, max(left + width, starts + (taps - 1) * dilation)


@compiled
def _takes_over(value, at, best, where):
    """Whether an element is its window's maximum so far: the first in a tie, the last NaN; in any order."""
    if np.isnan(value):
        return not np.isnan(best) or at > where
    return value > best or (value == best and at < where)


@compiled
def _max_pool2d(x, kernel, stride, padding, dilation, y, argmax):
    height, width, out_width = x.shape[2], x.shape[3], y.shape[3]
    taps, left, starts, span = _row(width, out_width, kernel[1], stride[1], padding[1], dilation[1])
    least, last = x.dtype.type(-np.inf), height * width - 1  # any element of the image takes over from these
    columns, columns_at = np.full(span, least), np.full(span, last)
    windows, windows_at = np.empty(starts, x.dtype), np.empty(starts, np.int64)
    inside, inside_at = advance(pointer(columns), left), advance(pointer(columns_at), left)
    best, where = pointer(windows), pointer(windows_at)
    source, target, target_at = pointer(x), pointer(y), pointer(argmax)
    for _ in range(x.shape[0] * x.shape[1]):
        for i in range(y.shape[2]):
            for w in range(width):
                inside[w], inside_at[w] = least, last
            top = i * stride[0] - padding[0]
            first = top + _first_inside(top, dilation[0]) * dilation[0]
            for h in range(first, min(top + kernel[0] * dilation[0], height), dilation[0]):
                row, row_at = advance(source, h * width), h * width
                for w in range(width):
                    takes = _takes_over(row[w], row_at + w, inside[w], inside_at[w])
                    inside[w] = row[w] if takes else inside[w]
                    inside_at[w] = row_at + w if takes else inside_at[w]
            for w in range(starts):
                best[w], where[w] = columns[w], columns_at[w]
            for kw in range(1, taps):
                tap, tap_at = pointer(columns[kw * dilation[1] :]), pointer(columns_at[kw * dilation[1] :])
                for w in range(starts):
                    takes = _takes_over(tap[w], tap_at[w], best[w], where[w])
                    best[w] = tap[w] if takes else best[w]
                    where[w] = tap_at[w] if takes else where[w]
            for j in range(out_width):
                target[j], target_at[j] = best[j * stride[1]], where[j * stride[1]]
            target, target_at = advance(target, out_width), advance(target_at, out_width)
        source = advance(source, height * width)
    keep(columns)
    keep(columns_at)
    keep(windows)
    keep(windows_at)


@compiled
def _max_pool2d_grad(dy, argmax, dx):
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            slope, where, target = pointer(dy[n, c]), pointer(argmax[n, c]), pointer(dx[n, c])
            for k in range(dy.shape[2] * dy.shape[3]):
                target[where[k]] += slope[k]


@compiled
def _lengths(size, out_size, kernel, stride, pads, count_include_pad):
    """The length that the mean divides by, for each window along an axis."""
    lengths = np.empty(out_size)
    for j in range(out_size):
        lengths[j] = average_window(j * stride - pads[0], size, kernel, pads[1], count_include_pad)[2]
    return lengths


@compiled
def _avg_pool2d(x, kernel, stride, pads, count_include_pad, y):
    height, width, out_width = x.shape[2], x.shape[3], y.shape[3]
    taps, left, starts, span = _row(width, out_width, kernel[1], stride[1], pads[1][0], 1)
    lengths = _lengths(width, out_width, kernel[1], stride[1], pads[1], count_include_pad)
    columns, windows = np.zeros(span), np.empty(starts)
    inside, total = advance(pointer(columns), left), pointer(windows)
    source, target = pointer(x), pointer(y)
    for _ in range(x.shape[0] * x.shape[1]):
        for i in range(y.shape[2]):
            for w in range(width):
                inside[w] = 0.0
            top = i * stride[0] - pads[0][0]
            first, last, rows = average_window(top, height, kernel[0], pads[0][1], count_include_pad)
            for h in range(first, last):
                row = advance(source, h * width)
                for w in range(width):
                    inside[w] += row[w]
            for w in range(starts):
                total[w] = columns[w]
            for kw in range(1, taps):
                tap = pointer(columns[kw:])
                for w in range(starts):
                    total[w] += tap[w]
            for j in range(out_width):
                target[j] = total[j * stride[1]] / (rows * lengths[j])
            target = advance(target, out_width)
        source = advance(source, height * width)
    keep(columns)
    keep(windows)


@compiled
def _avg_pool2d_grad(dy, kernel, stride, pads, count_include_pad, dx):
    height, width, out_width = dx.shape[2], dx.shape[3], dy.shape[3]
    taps, left, starts, span = _row(width, out_width, kernel[1], stride[1], pads[1][0], 1)
    lengths = _lengths(width, out_width, kernel[1], stride[1], pads[1], count_include_pad)
    columns, windows = np.empty(span), np.zeros(starts)
    inside, share = advance(pointer(columns), left), pointer(windows)
    slope, target = pointer(dy), pointer(dx)
    for _ in range(dy.shape[0] * dy.shape[1]):
        for i in range(dy.shape[2]):
            top = i * stride[0] - pads[0][0]
            first, last, rows = average_window(top, height, kernel[0], pads[0][1], count_include_pad)
            for j in range(out_width):
                share[j * stride[1]] = slope[j] / (rows * lengths[j])
            columns[:] = 0.0
            for kw in range(taps):
                tap = pointer(columns[kw:])
                for w in range(starts):
                    tap[w] += share[w]
            for h in range(first, last):
                row = advance(target, h * width)
                for w in range(width):
                    row[w] += inside[w]
            slope = advance(slope, out_width)
        target = advance(target, height * width)
    keep(columns)
    keep(windows)
