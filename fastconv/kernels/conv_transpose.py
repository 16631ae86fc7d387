"""Transposed convolution of images (N, C, H, W) and of signals (N, C, L), and its gradients.

    y of a transposed convolution  is dx of the convolution that goes back from y to x,
    its input gradient             is y of that convolution,
    its weight gradient            is dweight of that convolution, x and dy changing places:

so all of it runs on the kernels of `conv.py`, and weights are (C, O // groups, KH, KW). The gradient of the
bias is `conv2d_grad_bias`.
"""

import numpy as np
from numba.extending import overload, register_jitable

from ..checks.arrays import check_length, check_shape4, float_array, same_dtype
from ..checks.jit import Array, IntOrPair, Padding, public
from ..checks.padding import first_of, padding_along, padding_around
from ..checks.scalars import nonnegative_int, nonnegative_pair, positive_int, positive_pair
from ..checks.windows import check_conv_transpose, conv_output_size
from .conv_passes import convolve, input_gradient, weight_gradient
from .signal import _no_line, _one_line

__all__ = [
    "conv_transpose1d", "conv_transpose1d_grad_input", "conv_transpose1d_grad_weight",
    "conv_transpose2d", "conv_transpose2d_grad_input", "conv_transpose2d_grad_weight",
]  # fmt: skip

_NOT_CAUSAL = '`padding` of a transposed convolution must not be "causal"'


@register_jitable
def _settings(stride, dilation, output_padding, groups):
    """(stride, dilation, output padding, groups) as pairs and an int."""
    step, gap = positive_pair(stride, "stride"), positive_pair(dilation, "dilation")
    return step, gap, nonnegative_pair(output_padding, "output_padding"), positive_int(groups, "groups")


@register_jitable
def _full_size(size, stride):
    """What "same" padding leaves of an output: as many rows and columns as there are strides."""
    return size[0] * stride[0], size[1] * stride[1]


@public
def conv_transpose2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
) -> Array:
    """Transposed convolution of images, also called deconvolution: `conv2d_grad_input`, run forward.

    Every x[n, c, i, j] * weight[c, o, kh, kw] is added to
    y[n, o, i * stride - top + kh * dilation, j * stride - left + kw * dilation], and bias[o] to all of them.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        float32 or float64, any strides.
    weight : ndarray, shape (C, O // groups, KH, KW)
        Of the dtype of `x`.
    bias : ndarray, shape (O,), optional
    stride, dilation : int or pair of ints
        (height, width) from one input's window to the next, and between its taps.
    padding : int, pair of ints, pair of pairs, "same", "same_lower" or "valid"
        What is cut off the output: on all sides, (above and below, left and right), or ((top, bottom), (left,
        right)). "same" cuts off what goes beyond H * stride rows, as in Keras, an odd row below;
        "same_lower" has it above. In `@njit` code a text must be a literal.
    output_padding : int or pair of ints
        Rows and columns more below and right of the output, fewer than the stride or the dilation.
    groups : int
        Input and output channels are divided into so many groups, each on its own.

    Returns
    -------
    ndarray, shape (N, O, OH, OW)
        With OH = (H - 1) * stride + dilation * (KH - 1) + 1 + output_padding - top - bottom, and OW likewise.

    Raises
    ------
    TypeError
        If an array is not of float32 or float64, or their dtypes differ.
    ValueError
        If shapes do not fit each other.

    Notes
    -----
    Source: Dumoulin and Visin (2016), chapter 4.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv_transpose2d
    >>> conv_transpose2d(np.array([[[[1.0, 2.0]]]]), np.ones((1, 1, 1, 3)), stride=2)
    array([[[[1., 1., 3., 2., 2.]]]])
    """
    x, weight = float_array(x, "x", 4), float_array(weight, "weight", 4)
    same_dtype(weight, "weight", x, "x")
    step, gap, more, count = _settings(stride, dilation, output_padding, groups)
    full = _full_size(x.shape[2:], step)
    pads = padding_around(padding, "padding", full, weight.shape[2:], step, gap)
    height, width = check_conv_transpose(x.shape, weight.shape, step, pads, more, gap, count, "weight")
    y = np.empty((x.shape[0], weight.shape[1] * count, height, width), x.dtype)
    if bias is None:
        input_gradient(x, weight, weight.reshape(-1)[:0], step, first_of(pads), gap, count, y)
    else:
        bias = float_array(bias, "bias", 1)
        same_dtype(bias, "bias", x, "x")
        check_length(bias.size, y.shape[1], "bias", "entries, one for each output channel")
        input_gradient(x, weight, bias, step, first_of(pads), gap, count, y)
    return y


@public
def conv_transpose2d_grad_input(
    dy: Array,
    weight: Array,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
) -> Array:
    """Gradient of `conv_transpose2d` with respect to its input: the convolution of dy with the weight.

    Parameters
    ----------
    dy : ndarray, shape (N, O, OH, OW)
        Gradient of the loss with respect to the output.
    weight : ndarray, shape (C, O // groups, KH, KW)
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`.

    Returns
    -------
    ndarray, shape (N, C, H, W)

    Raises
    ------
    TypeError, ValueError
        As in `conv_transpose2d`, and if `dy` is not the size of an output.

    Notes
    -----
    Source: Dumoulin and Visin (2016), chapter 4.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv_transpose2d_grad_input
    >>> dy = np.array([[[[1.0, 1.0, 3.0, 2.0, 2.0]]]])
    >>> conv_transpose2d_grad_input(dy, np.ones((1, 1, 1, 3)), stride=2)
    array([[[[5., 7.]]]])
    """
    dy, weight = float_array(dy, "dy", 4), float_array(weight, "weight", 4)
    same_dtype(weight, "weight", dy, "dy")
    step, gap, more, count = _settings(stride, dilation, output_padding, groups)
    kernel = weight.shape[2:]
    pads = padding_around(padding, "padding", dy.shape[2:], kernel, step, gap)
    rows = conv_output_size(dy.shape[2] - more[0], kernel[0], step[0], pads[0], gap[0])
    columns = conv_output_size(dy.shape[3] - more[1], kernel[1], step[1], pads[1], gap[1])
    x_shape = dy.shape[0], weight.shape[0], rows, columns
    height, width = check_conv_transpose(x_shape, weight.shape, step, pads, more, gap, count, "weight")
    check_shape4(dy.shape, dy.shape[0], weight.shape[1] * count, height, width, "dy")
    dx = np.empty(x_shape, dy.dtype)
    convolve(dy, weight, weight.reshape(-1)[:0], step, first_of(pads), gap, count, dx)
    return dx


@public
def conv_transpose2d_grad_weight(
    x: Array,
    dy: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    output_padding: IntOrPair = 0,
    groups: int = 1,
    dilation: IntOrPair = 1,
) -> Array:
    """Gradient of `conv_transpose2d` with respect to its weight: the correlation of dy with x.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    dy : ndarray, shape (N, O, OH, OW)
        Gradient of the loss with respect to the output.
    kernel_size : int or pair of ints
        (KH, KW).
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose2d`.

    Returns
    -------
    ndarray, shape (C, O // groups, KH, KW)

    Raises
    ------
    TypeError, ValueError
        As in `conv_transpose2d`, and if `dy` has not the shape of the output.

    Notes
    -----
    Source: Dumoulin and Visin (2016), chapter 4, and the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv_transpose2d_grad_weight
    >>> x, dy = np.array([[[[1.0, 2.0]]]]), np.array([[[[1.0, 1.0, 3.0, 2.0, 2.0]]]])
    >>> conv_transpose2d_grad_weight(x, dy, (1, 3), stride=2)
    array([[[[7., 5., 7.]]]])
    """
    x, dy = float_array(x, "x", 4), float_array(dy, "dy", 4)
    same_dtype(dy, "dy", x, "x")
    kernel = positive_pair(kernel_size, "kernel_size")
    step, gap, more, count = _settings(stride, dilation, output_padding, groups)
    pads = padding_around(padding, "padding", _full_size(x.shape[2:], step), kernel, step, gap)
    shape = x.shape[1], dy.shape[1] // count, kernel[0], kernel[1]
    height, width = check_conv_transpose(x.shape, shape, step, pads, more, gap, count, "kernel_size")
    check_shape4(dy.shape, x.shape[0], shape[1] * count, height, width, "dy")
    dweight = np.zeros(shape, x.dtype)
    weight_gradient(dy, x, step, first_of(pads), gap, count, dweight)
    return dweight


def _cut_off(padding, size, kernel, stride, dilation):
    """((0, 0), (before, after)) of a padding, for an output of length `size`."""
    if isinstance(padding, str) and padding == "causal":
        raise ValueError(_NOT_CAUSAL)
    return padding_along(padding, "padding", size, kernel, stride, dilation)


@overload(_cut_off)
def _cut_off_typed(padding, size, kernel, stride, dilation):
    if getattr(padding, "literal_value", None) == "causal":
        raise ValueError(_NOT_CAUSAL)
    return lambda padding, size, kernel, stride, dilation: padding_along(
        padding, "padding", size, kernel, stride, dilation
    )


@public
def conv_transpose1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    padding: Padding = 0,
    output_padding: int = 0,
    groups: int = 1,
    dilation: int = 1,
) -> Array:
    """Transposed convolution of signals.

    Every x[n, c, i] * weight[c, o, k] is added to y[n, o, i * stride - before + k * dilation].

    Parameters
    ----------
    x : ndarray, shape (N, C, L)
        float32 or float64, any strides.
    weight : ndarray, shape (C, O // groups, K)
        Of the dtype of `x`.
    bias : ndarray, shape (O,), optional
    stride, dilation, output_padding, groups : int
        As in `conv_transpose2d`.
    padding : int, pair of ints, "same", "same_lower" or "valid"
        What is cut off on both sides, or (before, after).

    Returns
    -------
    ndarray, shape (N, O, OL)
        With OL = (L - 1) * stride + dilation * (K - 1) + 1 + output_padding - before - after.

    Raises
    ------
    TypeError, ValueError
        As in `conv_transpose2d`.

    Notes
    -----
    Source: Dumoulin and Visin (2016), chapter 4.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv_transpose1d
    >>> conv_transpose1d(np.array([[[1.0, 2.0]]]), np.ones((1, 1, 2)), stride=2)
    array([[[1., 1., 2., 2.]]])
    """
    x, weight = float_array(x, "x", 3), float_array(weight, "weight", 3)
    step, gap = positive_int(stride, "stride"), positive_int(dilation, "dilation")
    more = nonnegative_int(output_padding, "output_padding")
    pads = _cut_off(padding, x.shape[2] * step, weight.shape[2], step, gap)
    y = conv_transpose2d(_one_line(x), _one_line(weight), bias, (1, step), pads, (0, more), groups, (1, gap))
    return _no_line(y)


@public
def conv_transpose1d_grad_input(
    dy: Array,
    weight: Array,
    stride: int = 1,
    padding: Padding = 0,
    output_padding: int = 0,
    groups: int = 1,
    dilation: int = 1,
) -> Array:
    """Gradient of `conv_transpose1d` with respect to its input.

    Parameters
    ----------
    dy : ndarray, shape (N, O, OL)
        Gradient of the loss with respect to the output.
    weight : ndarray, shape (C, O // groups, K)
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose1d`.

    Returns
    -------
    ndarray, shape (N, C, L)

    Raises
    ------
    TypeError, ValueError
        As in `conv_transpose2d_grad_input`.

    Notes
    -----
    Source: Dumoulin and Visin (2016), chapter 4.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv_transpose1d_grad_input
    >>> conv_transpose1d_grad_input(np.array([[[1.0, 1.0, 2.0, 2.0]]]), np.ones((1, 1, 2)), stride=2)
    array([[[2., 4.]]])
    """
    dy, weight = float_array(dy, "dy", 3), float_array(weight, "weight", 3)
    step, gap = positive_int(stride, "stride"), positive_int(dilation, "dilation")
    more = nonnegative_int(output_padding, "output_padding")
    pads = _cut_off(padding, dy.shape[2], weight.shape[2], step, gap)
    dx = conv_transpose2d_grad_input(
        _one_line(dy), _one_line(weight), (1, step), pads, (0, more), groups, (1, gap)
    )
    return _no_line(dx)


@public
def conv_transpose1d_grad_weight(
    x: Array,
    dy: Array,
    kernel_size: int,
    stride: int = 1,
    padding: Padding = 0,
    output_padding: int = 0,
    groups: int = 1,
    dilation: int = 1,
) -> Array:
    """Gradient of `conv_transpose1d` with respect to its weight.

    Parameters
    ----------
    x : ndarray, shape (N, C, L)
    dy : ndarray, shape (N, O, OL)
        Gradient of the loss with respect to the output.
    kernel_size : int
        K.
    stride, padding, output_padding, groups, dilation
        As in `conv_transpose1d`.

    Returns
    -------
    ndarray, shape (C, O // groups, K)

    Raises
    ------
    TypeError, ValueError
        As in `conv_transpose2d_grad_weight`.

    Notes
    -----
    Source: Dumoulin and Visin (2016), chapter 4, and the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv_transpose1d_grad_weight
    >>> x, dy = np.array([[[1.0, 2.0]]]), np.array([[[1.0, 1.0, 2.0, 2.0]]])
    >>> conv_transpose1d_grad_weight(x, dy, 2, stride=2)
    array([[[5., 5.]]])
    """
    x, dy = float_array(x, "x", 3), float_array(dy, "dy", 3)
    step, gap = positive_int(stride, "stride"), positive_int(dilation, "dilation")
    kernel, more = positive_int(kernel_size, "kernel_size"), nonnegative_int(output_padding, "output_padding")
    pads = _cut_off(padding, x.shape[2] * step, kernel, step, gap)
    dweight = conv_transpose2d_grad_weight(
        _one_line(x), _one_line(dy), (1, kernel), (1, step), pads, (0, more), groups, (1, gap)
    )
    return _no_line(dweight)
