"""Smooth and bent activations of arrays of any shape, elementwise, and their gradients.

What they compute of a vector is in `simd/curves.py`, their loops are in `elementwise.py`.
"""

from ..checks.jit import Array, public
from ..checks.scalars import flag, scalar
from ..simd import curves
from ..simd.compiling import compiled
from .elementwise import elementwise

__all__ = [
    "elu", "elu_grad", "gelu", "gelu_grad", "hardsigmoid", "hardsigmoid_grad", "hardswish", "hardswish_grad",
    "relu6", "relu6_grad", "silu", "silu_grad", "softplus", "softplus_grad",
]  # fmt: skip

ELU, GELU, GELU_TANH, HARDSIGMOID, HARDSWISH, RELU6, SILU, SOFTPLUS = range(8)


@public
def relu6(x: Array) -> Array:
    """min(max(x, 0), 6), elementwise.

    Parameters
    ----------
    x : ndarray of float32 or float64
        Any shape and strides.

    Returns
    -------
    ndarray, of the shape and dtype of `x`

    Raises
    ------
    TypeError
        If `x` is not an array of float32 or float64.

    Notes
    -----
    Source: Krizhevsky (2010), Convolutional deep belief networks on CIFAR-10.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import relu6
    >>> relu6(np.array([-1.0, 2.0, 8.0]))
    array([0., 2., 6.])
    """
    return _activation(RELU6, x, 0.0)


@public
def relu6_grad(dy: Array, y: Array) -> Array:
    """Gradient of `relu6`: dy where 0 < y < 6, else 0.

    Parameters
    ----------
    dy, y : ndarrays of float32 or float64
        Of one shape: the gradient with respect to the output, and the output.

    Returns
    -------
    ndarray, of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import relu6_grad
    >>> relu6_grad(np.ones(3), np.array([0.0, 2.0, 6.0]))
    array([0., 1., 0.])
    """
    return _gradient(RELU6, dy, y, "y", 0.0)


@public
def silu(x: Array) -> Array:
    """x / (1 + exp(-x)), elementwise.

    Parameters
    ----------
    x : ndarray of float32 or float64
        Any shape and strides.

    Returns
    -------
    ndarray, of the shape and dtype of `x`

    Raises
    ------
    TypeError
        If `x` is not an array of float32 or float64.

    Notes
    -----
    Source: Elfwing, Uchibe and Doya (2018).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import silu
    >>> silu(np.array([0.0, 100.0]))
    array([  0., 100.])
    """
    return _activation(SILU, x, 0.0)


@public
def silu_grad(dy: Array, x: Array) -> Array:
    """Gradient of `silu`: dy * s * (1 + x * (1 - s)) with s = sigmoid(x).

    Parameters
    ----------
    dy, x : ndarrays of float32 or float64
        Of one shape: the gradient with respect to the output, and the input.

    Returns
    -------
    ndarray, of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import silu_grad
    >>> silu_grad(np.ones(1), np.zeros(1))
    array([0.5])
    """
    return _gradient(SILU, dy, x, "x", 0.0)


@public
def hardsigmoid(x: Array) -> Array:
    """min(max(x / 6 + 1 / 2, 0), 1), elementwise.

    Parameters
    ----------
    x : ndarray of float32 or float64
        Any shape and strides.

    Returns
    -------
    ndarray, of the shape and dtype of `x`

    Raises
    ------
    TypeError
        If `x` is not an array of float32 or float64.

    Notes
    -----
    Source: Courbariaux, Bengio and David (2015); slope as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import hardsigmoid
    >>> hardsigmoid(np.array([-4.0, 0.0, 4.0]))
    array([0. , 0.5, 1. ])
    """
    return _activation(HARDSIGMOID, x, 0.0)


@public
def hardsigmoid_grad(dy: Array, y: Array) -> Array:
    """Gradient of `hardsigmoid`: dy / 6 where 0 < y < 1, else 0.

    Parameters
    ----------
    dy, y : ndarrays of float32 or float64
        Of one shape: the gradient with respect to the output, and the output.

    Returns
    -------
    ndarray, of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import hardsigmoid_grad
    >>> hardsigmoid_grad(np.array([6.0, 6.0]), np.array([0.5, 1.0]))
    array([1., 0.])
    """
    return _gradient(HARDSIGMOID, dy, y, "y", 0.0)


@public
def hardswish(x: Array) -> Array:
    """x * hardsigmoid(x), elementwise.

    Parameters
    ----------
    x : ndarray of float32 or float64
        Any shape and strides.

    Returns
    -------
    ndarray, of the shape and dtype of `x`

    Raises
    ------
    TypeError
        If `x` is not an array of float32 or float64.

    Notes
    -----
    Source: Howard et al. (2019), Searching for MobileNetV3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import hardswish
    >>> hardswish(np.array([-4.0, 3.0]))
    array([-0.,  3.])
    """
    return _activation(HARDSWISH, x, 0.0)


@public
def hardswish_grad(dy: Array, x: Array) -> Array:
    """Gradient of `hardswish`: dy * (x / 3 + 1 / 2) where -3 < x < 3, 0 below, dy above.

    Parameters
    ----------
    dy, x : ndarrays of float32 or float64
        Of one shape: the gradient with respect to the output, and the input.

    Returns
    -------
    ndarray, of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import hardswish_grad
    >>> hardswish_grad(np.ones(3), np.array([-4.0, 0.0, 4.0]))
    array([0. , 0.5, 1. ])
    """
    return _gradient(HARDSWISH, dy, x, "x", 0.0)


@public
def softplus(x: Array) -> Array:
    """log(1 + exp(x)), elementwise.

    Parameters
    ----------
    x : ndarray of float32 or float64
        Any shape and strides.

    Returns
    -------
    ndarray, of the shape and dtype of `x`

    Raises
    ------
    TypeError
        If `x` is not an array of float32 or float64.

    Notes
    -----
    Source: Dugas et al. (2001).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import softplus
    >>> softplus(np.array([0.0, 100.0])).round(6)
    array([  0.693147, 100.      ])
    """
    return _activation(SOFTPLUS, x, 0.0)


@public
def softplus_grad(dy: Array, y: Array) -> Array:
    """Gradient of `softplus`: dy * (1 - exp(-y)), which is dy * sigmoid(x).

    Parameters
    ----------
    dy, y : ndarrays of float32 or float64
        Of one shape: the gradient with respect to the output, and the output.

    Returns
    -------
    ndarray, of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import softplus_grad
    >>> softplus_grad(np.ones(1), np.log([2.0]))
    array([0.5])
    """
    return _gradient(SOFTPLUS, dy, y, "y", 0.0)


@public
def elu(x: Array, alpha: float = 1.0) -> Array:
    """x where it is positive, else alpha * (exp(x) - 1), elementwise.

    Parameters
    ----------
    x : ndarray of float32 or float64
        Any shape and strides.
    alpha : float
        Not negative.

    Returns
    -------
    ndarray, of the shape and dtype of `x`

    Raises
    ------
    TypeError
        If `x` is not an array of float32 or float64, or `alpha` not a number.

    Notes
    -----
    Source: Clevert, Unterthiner and Hochreiter (2016).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import elu
    >>> elu(np.array([-50.0, 2.0]))
    array([-1.,  2.])
    """
    return _activation(ELU, x, scalar(alpha, "alpha"))


@public
def elu_grad(dy: Array, y: Array, alpha: float = 1.0) -> Array:
    """Gradient of `elu`: dy where y is positive, else dy * (y + alpha).

    Parameters
    ----------
    dy, y : ndarrays of float32 or float64
        Of one shape: the gradient with respect to the output, and the output.
    alpha : float
        As for `elu`.

    Returns
    -------
    ndarray, of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import elu_grad
    >>> elu_grad(np.ones(2), np.array([-0.5, 2.0]))
    array([0.5, 1. ])
    """
    return _gradient(ELU, dy, y, "y", scalar(alpha, "alpha"))


@public
def gelu(x: Array, approximate: bool = False) -> Array:
    """x times the share of standard normal numbers below x, elementwise.

    Parameters
    ----------
    x : ndarray of float32 or float64
        Any shape and strides.
    approximate : bool
        Whether to use x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x**3))) / 2 instead.

    Returns
    -------
    ndarray, of the shape and dtype of `x`

    Raises
    ------
    TypeError
        If `x` is not an array of float32 or float64.

    Notes
    -----
    Source: Hendrycks and Gimpel (2016); the normal distribution's tail after Shepherd and Laframboise (1981).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import gelu
    >>> gelu(np.array([-1.0, 1.0])).round(6)
    array([-0.158655,  0.841345])
    """
    return _activation(GELU_TANH if flag(approximate, "approximate") else GELU, x, 0.0)


@public
def gelu_grad(dy: Array, x: Array, approximate: bool = False) -> Array:
    """Gradient of `gelu`: dy * (share below x + x * density at x).

    Parameters
    ----------
    dy, x : ndarrays of float32 or float64
        Of one shape: the gradient with respect to the output, and the input.
    approximate : bool
        As for `gelu`.

    Returns
    -------
    ndarray, of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ.

    Notes
    -----
    Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import gelu_grad
    >>> gelu_grad(np.ones(1), np.zeros(1))
    array([0.5])
    """
    return _gradient(GELU_TANH if flag(approximate, "approximate") else GELU, dy, x, "x", 0.0)


@compiled
def _value(kind, v, alpha):
    """The activation of one vector."""
    if kind == RELU6:
        return curves.relu6(v)
    if kind == ELU:
        return curves.elu(v, alpha)
    if kind == SILU:
        return curves.silu(v)
    if kind == GELU:
        return curves.gelu(v)
    if kind == GELU_TANH:
        return curves.gelu_tanh(v)
    if kind == HARDSIGMOID:
        return curves.hardsigmoid(v)
    if kind == HARDSWISH:
        return curves.hardswish(v)
    return curves.softplus(v)


@compiled
def _slope(kind, dy, v, alpha):
    """dy times the derivative, from one vector of outputs or inputs: see `simd/curves.py`."""
    if kind == RELU6:
        return curves.relu6_slope(dy, v)
    if kind == ELU:
        return curves.elu_slope(dy, v, alpha)
    if kind == SILU:
        return curves.silu_slope(dy, v)
    if kind == GELU:
        return curves.gelu_slope(dy, v)
    if kind == GELU_TANH:
        return curves.gelu_tanh_slope(dy, v)
    if kind == HARDSIGMOID:
        return curves.hardsigmoid_slope(dy, v)
    if kind == HARDSWISH:
        return curves.hardswish_slope(dy, v)
    return curves.softplus_slope(dy, v)


_activation, _gradient = elementwise(_value, _slope)
