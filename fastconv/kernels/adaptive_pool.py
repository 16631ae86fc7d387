"""Average pooling to a given size, of images and of signals, and its gradients.

    window i of O along an axis of length H:  from floor(i * H / O) to before ceil((i + 1) * H / O)

Windows cover the whole axis and overlap by at most one element where H is no multiple of O; more windows than
elements repeat them. A line of windows is summed over its rows for all columns at once, then over columns.
"""

import numpy as np

from ..checks.arrays import float_array
from ..checks.jit import Array, IntOrPair, public
from ..checks.scalars import positive_int, positive_pair
from ..checks.windows import check_images, check_total
from ..simd import advance, keep, pointer
from ..simd.compiling import compiled
from .lanes.pool import adaptive_window

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool1d_grad",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_grad",
]


@public
def adaptive_avg_pool2d(x: Array, output_size: IntOrPair) -> Array:
    """The mean of each of `output_size` windows, which share out the image evenly.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        float32 or float64, any strides.
    output_size : int or pair of ints
        (OH, OW), smaller or larger than the image.

    Returns
    -------
    ndarray, shape (N, C, OH, OW)

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, or the images have no elements.

    Notes
    -----
    Window i goes from floor(i * H / OH) to before ceil((i + 1) * H / OH), as in PyTorch. Source: He et al.
    (2014), Spatial pyramid pooling in deep convolutional networks, section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import adaptive_avg_pool2d
    >>> adaptive_avg_pool2d(np.arange(6.0).reshape(1, 1, 2, 3), (1, 2))
    array([[[[2., 3.]]]])
    """
    x = float_array(x, "x", 4)
    size = positive_pair(output_size, "output_size")
    check_images(x.shape[2], x.shape[3], "x")
    check_total(x.shape[0], x.shape[1], size[0], size[1], "output_size")
    y = np.empty((x.shape[0], x.shape[1], size[0], size[1]), x.dtype)
    _pool(x, y)
    return y


@public
def adaptive_avg_pool2d_grad(dy: Array, input_size: IntOrPair) -> Array:
    """Gradient of `adaptive_avg_pool2d`: each dy is shared out evenly over its window.

    Parameters
    ----------
    dy : ndarray, shape (N, C, OH, OW)
        Gradient of the loss with respect to the output.
    input_size : pair of ints
        (H, W) of the input.

    Returns
    -------
    ndarray, shape (N, C, H, W)

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, or `dy` has no positions.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import adaptive_avg_pool2d_grad
    >>> adaptive_avg_pool2d_grad(np.array([[[[4.0, 8.0]]]]), (1, 3))
    array([[[[2., 6., 4.]]]])
    """
    dy = float_array(dy, "dy", 4)
    size = positive_pair(input_size, "input_size")
    check_images(dy.shape[2], dy.shape[3], "dy")
    check_total(dy.shape[0], dy.shape[1], size[0], size[1], "input_size")
    dx = np.zeros((dy.shape[0], dy.shape[1], size[0], size[1]), dy.dtype)
    _pool_grad(dy, dx)
    return dx


@public
def adaptive_avg_pool1d(x: Array, output_size: int) -> Array:
    """The mean of each of `output_size` windows, which share out the signal evenly.

    Parameters
    ----------
    x : ndarray, shape (N, C, L)
        float32 or float64, any strides.
    output_size : int
        OL, smaller or larger than L.

    Returns
    -------
    ndarray, shape (N, C, OL)

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, or the signals have no elements.

    Notes
    -----
    As `adaptive_avg_pool2d` of images of one line. Source: He et al. (2014), section 2.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import adaptive_avg_pool1d
    >>> adaptive_avg_pool1d(np.array([[[3.0, 1.0, 4.0, 2.0]]]), 2)
    array([[[2., 3.]]])
    """
    x = float_array(x, "x", 3)
    size = positive_int(output_size, "output_size")
    y = adaptive_avg_pool2d(x.reshape((x.shape[0], x.shape[1], 1, x.shape[2])), (1, size))
    return y.reshape((y.shape[0], y.shape[1], y.shape[3]))


@public
def adaptive_avg_pool1d_grad(dy: Array, input_size: int) -> Array:
    """Gradient of `adaptive_avg_pool1d`: each dy is shared out evenly over its window.

    Parameters
    ----------
    dy : ndarray, shape (N, C, OL)
        Gradient of the loss with respect to the output.
    input_size : int
        L of the input.

    Returns
    -------
    ndarray, shape (N, C, L)

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type, or `dy` has no positions.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import adaptive_avg_pool1d_grad
    >>> adaptive_avg_pool1d_grad(np.array([[[4.0, 8.0]]]), 3)
    array([[[2., 6., 4.]]])
    """
    dy = float_array(dy, "dy", 3)
    size = positive_int(input_size, "input_size")
    dx = adaptive_avg_pool2d_grad(dy.reshape((dy.shape[0], dy.shape[1], 1, dy.shape[2])), (1, size))
    return dx.reshape((dx.shape[0], dx.shape[1], dx.shape[3]))


@compiled
def _pool(x, y):
    height, width, out_height, out_width = x.shape[2], x.shape[3], y.shape[2], y.shape[3]
    columns = np.empty(width)
    total, source, target = pointer(columns), pointer(x), pointer(y)
    for _ in range(x.shape[0] * x.shape[1]):
        for i in range(out_height):
            first, last = adaptive_window(i, height, out_height)
            for w in range(width):
                total[w] = 0.0
            for h in range(first, last):
                row = advance(source, h * width)
                for w in range(width):
                    total[w] += row[w]
            for j in range(out_width):
                left, right = adaptive_window(j, width, out_width)
                value = 0.0
                for w in range(left, right):
                    value += total[w]
                target[j] = value / ((last - first) * (right - left))
            target = advance(target, out_width)
        source = advance(source, height * width)
    keep(columns)


@compiled
def _pool_grad(dy, dx):
    height, width, out_height, out_width = dx.shape[2], dx.shape[3], dy.shape[2], dy.shape[3]
    columns = np.empty(width)
    share, slope, target = pointer(columns), pointer(dy), pointer(dx)
    for _ in range(dy.shape[0] * dy.shape[1]):
        for i in range(out_height):
            first, last = adaptive_window(i, height, out_height)
            for w in range(width):
                share[w] = 0.0
            for j in range(out_width):
                left, right = adaptive_window(j, width, out_width)
                each = slope[j] / ((last - first) * (right - left))
                for w in range(left, right):
                    share[w] += each
            for h in range(first, last):
                row = advance(target, h * width)
                for w in range(width):
                    row[w] += share[w]
            slope = advance(slope, out_width)
        target = advance(target, height * width)
    keep(columns)
