"""Convolution of NCHW arrays and its gradients: what they take and give. `conv_passes.py` has the work."""

import numpy as np

from ..checks.arrays import check_length, check_shape4, float_array, same_dtype
from ..checks.jit import Array, IntOrPair, Padding, public
from ..checks.padding import first_of, padding_around
from ..checks.scalars import positive_int, positive_pair
from ..checks.windows import check_conv, check_total
from ..simd.compiling import compiled
from .conv_passes import convolve, input_gradient, weight_gradient

__all__ = ["conv2d", "conv2d_grad_bias", "conv2d_grad_input", "conv2d_grad_weight"]


@public
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Array:
    """Convolution (cross-correlation) of images.

    y[n, o, i, j] = bias[o] + sum over c, kh, kw of
    x[n, c, i * stride - top + kh * dilation, j * stride - left + kw * dilation] * weight[o, c, kh, kw]

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        float32 or float64, any strides.
    weight : ndarray, shape (O, C // groups, KH, KW)
        Of the dtype of `x`.
    bias : ndarray, shape (O,), optional
    stride, dilation : int or pair of ints
        (height, width).
    padding : int, pair of ints, pair of pairs, "same", "same_lower" or "valid"
        Zeros around the images: on all sides, (above and below, left and right), or ((top, bottom), (left,
        right)). "same" gives ceil(H / stride) rows, the odd zero below and right, as in Keras; "same_lower"
        has it above and left. In `@njit` code a text must be a literal.
    groups : int
        Input and output channels are divided into so many groups, each convolved on its own.

    Returns
    -------
    ndarray, shape (N, O, OH, OW)
        With OH = (H + top + bottom - dilation * (KH - 1) - 1) // stride + 1, and OW likewise.

    Raises
    ------
    TypeError
        If an array is not of float32 or float64, or their dtypes differ.
    ValueError
        If shapes do not fit each other.

    Notes
    -----
    The zeros of the padding are multiplied, or left out where that is faster: a weight that is not finite may
    make an output NaN where its tap meets the padding. Sums of float32 may be made by Winograd's products:
    see `fastconv.set_precision`.

    Source: Dumoulin and Visin (2016), A guide to convolution arithmetic for deep learning.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv2d
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> conv2d(x, np.ones((1, 1, 3, 3)))
    array([[[[45., 54.],
             [81., 90.]]]])
    """
    x = float_array(x, "x", 4)
    weight = float_array(weight, "weight", 4)
    same_dtype(weight, "weight", x, "x")
    stride = positive_pair(stride, "stride")
    dilation = positive_pair(dilation, "dilation")
    groups = positive_int(groups, "groups")
    pads = padding_around(padding, "padding", x.shape[2:], weight.shape[2:], stride, dilation)
    height, width = check_conv(x.shape, weight.shape, stride, pads, dilation, groups, "weight")
    y = np.empty((x.shape[0], weight.shape[0], height, width), x.dtype)
    if bias is None:
        convolve(x, weight, weight.reshape(-1)[:0], stride, first_of(pads), dilation, groups, y)
    else:
        bias = float_array(bias, "bias", 1)
        same_dtype(bias, "bias", x, "x")
        check_length(bias.size, weight.shape[0], "bias", "entries, one for each output channel")
        convolve(x, weight, bias, stride, first_of(pads), dilation, groups, y)
    return y


@public
def conv2d_grad_input(
    dy: Array,
    weight: Array,
    input_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Array:
    """Gradient of `conv2d` with respect to its input: the full correlation of dy with the turned weight.

    Parameters
    ----------
    dy : ndarray, shape (N, O, OH, OW)
        Gradient of the loss with respect to the output.
    weight : ndarray, shape (O, C // groups, KH, KW)
    input_size : pair of ints
        (H, W) of the input; several sizes give the same output size.
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    ndarray, shape (N, C, H, W)

    Raises
    ------
    TypeError, ValueError
        As in `conv2d`, and if `dy` has not the shape of the output.

    Notes
    -----
    As in `conv2d`, a weight that is not finite may make a gradient NaN where its tap meets no output.

    Source: Dumoulin and Visin (2016), chapter 4 (transposed convolution).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv2d_grad_input
    >>> conv2d_grad_input(np.ones((1, 1, 1, 1)), np.arange(4.0).reshape(1, 1, 2, 2), (2, 2))
    array([[[[0., 1.],
             [2., 3.]]]])
    """
    dy = float_array(dy, "dy", 4)
    weight = float_array(weight, "weight", 4)
    same_dtype(weight, "weight", dy, "dy")
    size = positive_pair(input_size, "input_size")
    stride = positive_pair(stride, "stride")
    dilation = positive_pair(dilation, "dilation")
    groups = positive_int(groups, "groups")
    pads = padding_around(padding, "padding", size, weight.shape[2:], stride, dilation)
    x_shape = (dy.shape[0], weight.shape[1] * groups, size[0], size[1])
    check_total(x_shape[0], x_shape[1], size[0], size[1], "input_size")
    height, width = check_conv(x_shape, weight.shape, stride, pads, dilation, groups, "weight")
    check_shape4(dy.shape, dy.shape[0], weight.shape[0], height, width, "dy")
    dx = np.empty(x_shape, dy.dtype)
    input_gradient(dy, weight, weight.reshape(-1)[:0], stride, first_of(pads), dilation, groups, dx)
    return dx


@public
def conv2d_grad_weight(
    x: Array,
    dy: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Array:
    """Gradient of `conv2d` with respect to its weight: the correlation of x with dy, summed over samples.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    dy : ndarray, shape (N, O, OH, OW)
        Gradient of the loss with respect to the output.
    kernel_size : int or pair of ints
        (KH, KW).
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    ndarray, shape (O, C // groups, KH, KW)

    Raises
    ------
    TypeError, ValueError
        As in `conv2d`, and if `dy` has not the shape of the output.

    Notes
    -----
    Source: Goodfellow, Bengio and Courville (2016), eq. 9.11.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv2d_grad_weight
    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> conv2d_grad_weight(x, np.ones((1, 1, 2, 2)), 2)
    array([[[[ 8., 12.],
             [20., 24.]]]])
    """
    x = float_array(x, "x", 4)
    dy = float_array(dy, "dy", 4)
    same_dtype(dy, "dy", x, "x")
    kernel = positive_pair(kernel_size, "kernel_size")
    stride = positive_pair(stride, "stride")
    dilation = positive_pair(dilation, "dilation")
    groups = positive_int(groups, "groups")
    pads = padding_around(padding, "padding", x.shape[2:], kernel, stride, dilation)
    weight_shape = (dy.shape[1], x.shape[1] // groups, kernel[0], kernel[1])
    height, width = check_conv(x.shape, weight_shape, stride, pads, dilation, groups, "kernel_size")
    check_shape4(dy.shape, x.shape[0], dy.shape[1], height, width, "dy")
    dweight = np.zeros(weight_shape, x.dtype)
    weight_gradient(x, dy, stride, first_of(pads), dilation, groups, dweight)
    return dweight


@public
def conv2d_grad_bias(dy: Array) -> Array:
    """Gradient of `conv2d` with respect to its bias: the sum of dy over samples and positions.

    Parameters
    ----------
    dy : ndarray, shape (N, O, OH, OW)
        float32 or float64, any strides.

    Returns
    -------
    ndarray, shape (O,)

    Raises
    ------
    TypeError, ValueError
        If `dy` is not a 4-D array of float32 or float64.

    Notes
    -----
    The sum is carried in float64, so that large images lose nothing. Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv2d_grad_bias
    >>> conv2d_grad_bias(np.ones((2, 3, 4, 4)))
    array([32., 32., 32.])
    """
    dy = float_array(dy, "dy", 4)
    dbias = np.zeros(dy.shape[1], dy.dtype)
    _conv2d_grad_bias(dy, dbias)
    return dbias


@compiled
def _conv2d_grad_bias(dy, dbias):
    for c in range(dy.shape[1]):
        total = 0.0
        for n in range(dy.shape[0]):
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    total += dy[n, c, i, j]
        dbias[c] = total
