"""Max and average pooling of NCHW arrays and their gradients.

window (i, j) of a plane:  rows  i * stride - padding + kh * dilation, clipped to the image,
                           columns likewise; what lies outside is -infinity (max) or zero (average).
"""

import numpy as np

from ..arguments import (
    Array,
    IntOrPair,
    check_indices,
    check_pool,
    check_shape4,
    check_total,
    flag,
    float_array,
    int_array,
    nonnegative_pair,
    pair_or,
    positive_pair,
    public,
)
from ..compiling import compiled


@public
def max_pool2d(
    x: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
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
    padding : int or pair of ints
        Elements of -infinity around the image, at most half of `kernel_size`.
    ceil_mode : bool
        Whether a last window that starts inside and hangs over the end counts.

    Returns
    -------
    y : ndarray, shape (N, C, OH, OW)
        OH = floor((H + 2 * padding - dilation * (KH - 1) - 1) / stride) + 1 (ceil with `ceil_mode`).
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
    padding = nonnegative_pair(padding, "padding")
    dilation = positive_pair(dilation, "dilation")
    height, width = check_pool(x.shape, kernel, stride, padding, dilation, flag(ceil_mode, "ceil_mode"))
    y = np.empty((x.shape[0], x.shape[1], height, width), x.dtype)
    argmax = np.empty(y.shape, np.int64)
    _max_pool2d(x, kernel, stride, padding, dilation, y, argmax)
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
    padding: IntOrPair = 0,
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
    padding = nonnegative_pair(padding, "padding")
    counted = flag(count_include_pad, "count_include_pad")
    height, width = check_pool(x.shape, kernel, stride, padding, (1, 1), flag(ceil_mode, "ceil_mode"))
    y = np.empty((x.shape[0], x.shape[1], height, width), x.dtype)
    _avg_pool2d(x, kernel, stride, padding, counted, y)
    return y


@public
def avg_pool2d_grad(
    dy: Array,
    input_size: IntOrPair,
    kernel_size: IntOrPair,
    stride: IntOrPair | None = None,
    padding: IntOrPair = 0,
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
    padding = nonnegative_pair(padding, "padding")
    counted = flag(count_include_pad, "count_include_pad")
    x_shape = (dy.shape[0], dy.shape[1], size[0], size[1])
    check_total(x_shape[0], x_shape[1], size[0], size[1], "input_size")
    height, width = check_pool(x_shape, kernel, stride, padding, (1, 1), flag(ceil_mode, "ceil_mode"))
    check_shape4(dy.shape, dy.shape[0], dy.shape[1], height, width, "dy")
    dx = np.zeros(x_shape, dy.dtype)
    _avg_pool2d_grad(dy, kernel, stride, padding, counted, dx)
    return dx


@compiled
def _first_inside(start, step):
    """The first tap of a window that is not left of the image."""
    return (-start + step - 1) // step if start < 0 else 0


@compiled
def _max_pool2d(x, kernel, stride, padding, dilation, y, argmax):
    height, width = x.shape[2], x.shape[3]
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(y.shape[2]):
                top = i * stride[0] - padding[0]
                for j in range(y.shape[3]):
                    left = j * stride[1] - padding[1]
                    h = top + _first_inside(top, dilation[0]) * dilation[0]
                    first = left + _first_inside(left, dilation[1]) * dilation[1]
                    h_end = min(top + kernel[0] * dilation[0], height)
                    w_end = min(left + kernel[1] * dilation[1], width)
                    best, where = x.dtype.type(-np.inf), h * width + first
                    if h >= h_end or first >= w_end:
                        where = max(0, min(h, height - 1)) * width + max(0, min(first, width - 1))
                    while h < h_end:
                        w = first
                        while w < w_end:
                            value = x[n, c, h, w]
                            if value > best or np.isnan(value):
                                best, where = value, h * width + w
                            w += dilation[1]
                        h += dilation[0]
                    y[n, c, i, j] = best
                    argmax[n, c, i, j] = where


@compiled
def _max_pool2d_grad(dy, argmax, dx):
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            plane = dx[n, c].reshape(-1)
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    plane[argmax[n, c, i, j]] += dy[n, c, i, j]


@compiled
def _window(start, size, kernel, padding, count_include_pad):
    """First and last (excluded) element inside the image, and the length that the mean divides by."""
    last = min(start + kernel, size + padding)
    length = last - start
    first, last = max(start, 0), min(last, size)
    return first, last, length if count_include_pad else last - first


@compiled
def _avg_pool2d(x, kernel, stride, padding, count_include_pad, y):
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            for i in range(y.shape[2]):
                h0, h1, rows = _window(
                    i * stride[0] - padding[0], x.shape[2], kernel[0], padding[0], count_include_pad
                )
                for j in range(y.shape[3]):
                    w0, w1, columns = _window(
                        j * stride[1] - padding[1], x.shape[3], kernel[1], padding[1], count_include_pad
                    )
                    total = 0.0
                    for h in range(h0, h1):
                        for w in range(w0, w1):
                            total += x[n, c, h, w]
                    y[n, c, i, j] = total / (rows * columns)


@compiled
def _avg_pool2d_grad(dy, kernel, stride, padding, count_include_pad, dx):
    for n in range(dy.shape[0]):
        for c in range(dy.shape[1]):
            for i in range(dy.shape[2]):
                h0, h1, rows = _window(
                    i * stride[0] - padding[0], dx.shape[2], kernel[0], padding[0], count_include_pad
                )
                for j in range(dy.shape[3]):
                    w0, w1, columns = _window(
                        j * stride[1] - padding[1], dx.shape[3], kernel[1], padding[1], count_include_pad
                    )
                    share = dy[n, c, i, j] / (rows * columns)
                    for h in range(h0, h1):
                        for w in range(w0, w1):
                            dx[n, c, h, w] += share
