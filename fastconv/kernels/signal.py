"""Convolution, pooling and batch normalisation of signals (N, C, L): those of images (N, C, 1, L)."""

from ..checks.arrays import float_array, int_array
from ..checks.jit import Array, Padding, public
from ..checks.padding import padding_along
from ..checks.scalars import positive_int
from .conv import conv2d, conv2d_grad_bias, conv2d_grad_input, conv2d_grad_weight
from .norm import batch_norm2d, batch_norm2d_grad
from .pool import avg_pool2d, avg_pool2d_grad, max_pool2d, max_pool2d_grad

__all__ = [
    "avg_pool1d", "avg_pool1d_grad", "batch_norm1d", "batch_norm1d_grad", "conv1d", "conv1d_grad_bias",
    "conv1d_grad_input", "conv1d_grad_weight", "max_pool1d", "max_pool1d_grad",
]  # fmt: skip


@public
def _one_line(x):
    """(A, B, L) as (A, B, 1, L)."""
    return x.reshape((x.shape[0], x.shape[1], 1, x.shape[2]))


@public
def _no_line(x):
    """(A, B, 1, L) as (A, B, L)."""
    return x.reshape((x.shape[0], x.shape[1], x.shape[3]))


@public
def conv1d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: int = 1,
    padding: Padding = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """Convolution (cross-correlation) of signals.

    y[n, o, i] = bias[o] + sum over c, k of x[n, c, i * stride - before + k * dilation] * weight[o, c, k]

    Parameters
    ----------
    x : ndarray, shape (N, C, L)
        float32 or float64, any strides.
    weight : ndarray, shape (O, C // groups, K)
        Of the dtype of `x`; it may be longer than the signal where the padding is wide enough.
    bias : ndarray, shape (O,), optional
    stride, dilation : int
    padding : int, pair of ints, "same", "same_lower", "valid" or "causal"
        Zeros on both sides of a signal, or (before, after). "same" gives ceil(L / stride) windows; "causal"
        puts dilation * (K - 1) zeros before and none after. In `@njit` code a text must be a literal.
    groups : int
        Input and output channels are divided into so many groups, each convolved on its own.

    Returns
    -------
    ndarray, shape (N, O, OL)
        With OL = (L + before + after - dilation * (K - 1) - 1) // stride + 1.

    Raises
    ------
    TypeError
        If an array is not of float32 or float64, or their dtypes differ.
    ValueError
        If shapes do not fit each other.

    Notes
    -----
    Source: Dumoulin and Visin (2016), A guide to convolution arithmetic for deep learning.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv1d
    >>> conv1d(np.arange(5.0).reshape(1, 1, 5), np.ones((1, 1, 3)), padding="causal")
    array([[[0., 1., 3., 6., 9.]]])
    """
    x, weight = float_array(x, "x", 3), float_array(weight, "weight", 3)
    step, gap = positive_int(stride, "stride"), positive_int(dilation, "dilation")
    pads = padding_along(padding, "padding", x.shape[2], weight.shape[2], step, gap)
    y = conv2d(_one_line(x), _one_line(weight), bias, (1, step), pads, (1, gap), groups)
    return _no_line(y)


@public
def conv1d_grad_input(
    dy: Array,
    weight: Array,
    input_size: int,
    stride: int = 1,
    padding: Padding = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """Gradient of `conv1d` with respect to its input.

    Parameters
    ----------
    dy : ndarray, shape (N, O, OL)
        Gradient of the loss with respect to the output.
    weight : ndarray, shape (O, C // groups, K)
    input_size : int
        L of the input; several lengths give the same output length.
    stride, padding, dilation, groups
        As in `conv1d`.

    Returns
    -------
    ndarray, shape (N, C, L)

    Raises
    ------
    TypeError, ValueError
        As in `conv1d`, and if `dy` has not the shape of the output.

    Notes
    -----
    Source: Dumoulin and Visin (2016), chapter 4.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv1d_grad_input
    >>> conv1d_grad_input(np.ones((1, 1, 1)), np.arange(3.0).reshape(1, 1, 3), 3)
    array([[[0., 1., 2.]]])
    """
    dy, weight = float_array(dy, "dy", 3), float_array(weight, "weight", 3)
    step, gap = positive_int(stride, "stride"), positive_int(dilation, "dilation")
    size = positive_int(input_size, "input_size")
    pads = padding_along(padding, "padding", size, weight.shape[2], step, gap)
    dx = conv2d_grad_input(_one_line(dy), _one_line(weight), (1, size), (1, step), pads, (1, gap), groups)
    return _no_line(dx)


@public
def conv1d_grad_weight(
    x: Array,
    dy: Array,
    kernel_size: int,
    stride: int = 1,
    padding: Padding = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Array:
    """Gradient of `conv1d` with respect to its weight.

    Parameters
    ----------
    x : ndarray, shape (N, C, L)
    dy : ndarray, shape (N, O, OL)
        Gradient of the loss with respect to the output.
    kernel_size : int
        K.
    stride, padding, dilation, groups
        As in `conv1d`.

    Returns
    -------
    ndarray, shape (O, C // groups, K)

    Raises
    ------
    TypeError, ValueError
        As in `conv1d`, and if `dy` has not the shape of the output.

    Notes
    -----
    Source: Goodfellow, Bengio and Courville (2016), eq. 9.11.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv1d_grad_weight
    >>> conv1d_grad_weight(np.arange(4.0).reshape(1, 1, 4), np.ones((1, 1, 2)), 3)
    array([[[1., 3., 5.]]])
    """
    x, dy = float_array(x, "x", 3), float_array(dy, "dy", 3)
    step, gap = positive_int(stride, "stride"), positive_int(dilation, "dilation")
    kernel = positive_int(kernel_size, "kernel_size")
    pads = padding_along(padding, "padding", x.shape[2], kernel, step, gap)
    dweight = conv2d_grad_weight(_one_line(x), _one_line(dy), (1, kernel), (1, step), pads, (1, gap), groups)
    return _no_line(dweight)


@public
def conv1d_grad_bias(dy: Array) -> Array:
    """Gradient of `conv1d` with respect to its bias: the sum of dy over samples and positions.

    Parameters
    ----------
    dy : ndarray, shape (N, O, OL)
        float32 or float64, any strides.

    Returns
    -------
    ndarray, shape (O,)

    Raises
    ------
    TypeError, ValueError
        If `dy` is not a 3-D array of float32 or float64.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv1d_grad_bias
    >>> conv1d_grad_bias(np.ones((2, 3, 4)))
    array([8., 8., 8.])
    """
    return conv2d_grad_bias(_one_line(float_array(dy, "dy", 3)))


@public
def max_pool1d(
    x: Array,
    kernel_size: int,
    stride: int | None = None,
    padding: Padding = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> tuple[Array, Array]:
    """The largest element of each window of a signal, and where it lies.

    Parameters
    ----------
    x : ndarray, shape (N, C, L)
        float32 or float64, any strides.
    kernel_size, dilation : int
        Length of a window, and the step between its elements.
    stride : int or None
        Step of the windows; None stands for `kernel_size`.
    padding : int, pair of ints, "same", "same_lower" or "valid"
        Elements of -infinity, as zeros in `conv1d`; at most half of `kernel_size` on a side.
    ceil_mode : bool
        Whether a last window that starts inside and hangs over the end counts.

    Returns
    -------
    y : ndarray, shape (N, C, OL)
    argmax : ndarray of int64, shape (N, C, OL)
        Where in its signal each maximum lies; the first wins a tie.

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or does not fit the signal.

    Notes
    -----
    Source: Goodfellow, Bengio and Courville (2016), section 9.3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import max_pool1d
    >>> max_pool1d(np.array([[[3.0, 1.0, 4.0, 1.0]]]), 2)
    (array([[[3., 4.]]]), array([[[0, 2]]]))
    """
    x = float_array(x, "x", 3)
    kernel, gap = positive_int(kernel_size, "kernel_size"), positive_int(dilation, "dilation")
    step = kernel if stride is None else positive_int(stride, "stride")
    pads = padding_along(padding, "padding", x.shape[2], kernel, step, gap)
    y, argmax = max_pool2d(_one_line(x), (1, kernel), (1, step), pads, (1, gap), ceil_mode)
    return _no_line(y), _no_line(argmax)


@public
def max_pool1d_grad(dy: Array, argmax: Array, input_size: int) -> Array:
    """Gradient of `max_pool1d`: each dy goes to the maximum of its window, summed where windows share it.

    Parameters
    ----------
    dy : ndarray, shape (N, C, OL)
        Gradient of the loss with respect to the output.
    argmax : ndarray of ints, shape (N, C, OL)
        As `max_pool1d` gives it.
    input_size : int
        L of the input.

    Returns
    -------
    ndarray, shape (N, C, L)

    Raises
    ------
    TypeError, ValueError
        If the shapes differ, or an index lies outside the signal.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import max_pool1d_grad
    >>> max_pool1d_grad(np.ones((1, 1, 1)), np.array([[[2]]]), 3)
    array([[[0., 0., 1.]]])
    """
    dy, argmax = float_array(dy, "dy", 3), int_array(argmax, "argmax", 3)
    size = positive_int(input_size, "input_size")
    return _no_line(max_pool2d_grad(_one_line(dy), _one_line(argmax), (1, size)))


@public
def avg_pool1d(
    x: Array,
    kernel_size: int,
    stride: int | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The mean of each window of a signal.

    Parameters
    ----------
    x : ndarray, shape (N, C, L)
        float32 or float64, any strides.
    kernel_size, stride, padding, ceil_mode
        As in `max_pool1d`; the padding is zeros.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.

    Returns
    -------
    ndarray, shape (N, C, OL)

    Raises
    ------
    TypeError, ValueError
        If an argument is of the wrong type or does not fit the signal.

    Notes
    -----
    Source: LeCun et al. (1998).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import avg_pool1d
    >>> avg_pool1d(np.array([[[3.0, 1.0, 4.0, 2.0]]]), 2)
    array([[[2., 3.]]])
    """
    x = float_array(x, "x", 3)
    kernel = positive_int(kernel_size, "kernel_size")
    step = kernel if stride is None else positive_int(stride, "stride")
    pads = padding_along(padding, "padding", x.shape[2], kernel, step, 1)
    return _no_line(avg_pool2d(_one_line(x), (1, kernel), (1, step), pads, ceil_mode, count_include_pad))


@public
def avg_pool1d_grad(
    dy: Array,
    input_size: int,
    kernel_size: int,
    stride: int | None = None,
    padding: Padding = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """Gradient of `avg_pool1d`: each dy is shared out evenly over its window.

    Parameters
    ----------
    dy : ndarray, shape (N, C, OL)
        Gradient of the loss with respect to the output.
    input_size : int
        L of the input.
    kernel_size, stride, padding, ceil_mode, count_include_pad
        As in `avg_pool1d`.

    Returns
    -------
    ndarray, shape (N, C, L)

    Raises
    ------
    TypeError, ValueError
        As in `avg_pool1d`, and if `dy` has not the shape of the output.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import avg_pool1d_grad
    >>> avg_pool1d_grad(np.ones((1, 1, 2)), 4, 2)
    array([[[0.5, 0.5, 0.5, 0.5]]])
    """
    dy = float_array(dy, "dy", 3)
    size, kernel = positive_int(input_size, "input_size"), positive_int(kernel_size, "kernel_size")
    step = kernel if stride is None else positive_int(stride, "stride")
    pads = padding_along(padding, "padding", size, kernel, step, 1)
    dx = avg_pool2d_grad(_one_line(dy), (1, size), (1, kernel), (1, step), pads, ceil_mode, count_include_pad)
    return _no_line(dx)


@public
def batch_norm1d(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Array]:
    """Batch normalisation of signals, channel by channel.

    Parameters
    ----------
    x : ndarray, shape (N, C, L)
        float32 or float64, any strides; features (N, C) are signals of one position: `x[:, :, None]`.
    gamma, beta, running_mean, running_var, training, momentum, eps
        As in `batch_norm2d`.

    Returns
    -------
    y : ndarray, shape (N, C, L)
    saved : ndarray, shape (2, C)
        As of `batch_norm2d`.

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes do not fit.

    Notes
    -----
    Source: Ioffe and Szegedy (2015).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import batch_norm1d
    >>> x, one, zero = np.array([[[1.0, 3.0]]]), np.ones(1), np.zeros(1)
    >>> batch_norm1d(x, one, zero, np.zeros(1), np.ones(1), training=True, eps=1e-12)[0].round(6)
    array([[[-1.,  1.]]])
    """
    x = _one_line(float_array(x, "x", 3))
    y, saved = batch_norm2d(x, gamma, beta, running_mean, running_var, training, momentum, eps)
    return _no_line(y), saved


@public
def batch_norm1d_grad(dy: Array, x: Array, gamma: Array, saved: Array) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm1d` in training.

    Parameters
    ----------
    dy, x : ndarrays, shape (N, C, L)
        The gradient with respect to the output, and the input.
    gamma : ndarray, shape (C,)
    saved : ndarray, shape (2, C)
        As `batch_norm1d(..., training=True)` gives it.

    Returns
    -------
    dx : ndarray, shape (N, C, L)
    dgamma, dbeta : ndarrays, shape (C,)

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes do not fit.

    Notes
    -----
    Source: Ioffe and Szegedy (2015), section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import batch_norm1d_grad
    >>> x = np.array([[[1.0, 3.0]]])
    >>> batch_norm1d_grad(np.ones((1, 1, 2)), x, np.ones(1), np.array([[2.0], [1.0]]))[2]
    array([2.])
    """
    dy, x = float_array(dy, "dy", 3), float_array(x, "x", 3)
    dx, dgamma, dbeta = batch_norm2d_grad(_one_line(dy), _one_line(x), gamma, saved)
    return _no_line(dx), dgamma, dbeta
