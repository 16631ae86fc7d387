"""Elementwise functions of arrays of any shape, softmax over the last axis, and their gradients.

The loops of elementwise functions are in `elementwise.py`; here is what they compute of one vector.
"""

import numpy as np

from ..checks.arrays import float_array
from ..checks.jit import Array, public
from ..checks.scalars import scalar
from ..simd import add, divide, fill_like, greater, multiply, select, subtract, vector_math
from ..simd.compiling import compiled
from ..simd.vector_math import exp
from .elementwise import elementwise

__all__ = [
    "leaky_relu",
    "leaky_relu_grad",
    "relu",
    "relu_grad",
    "sigmoid",
    "sigmoid_grad",
    "softmax",
    "tanh",
    "tanh_grad",
]

RELU, LEAKY_RELU, SIGMOID, TANH = 0, 1, 2, 3


@public
def relu(x: Array) -> Array:
    """max(x, 0), elementwise; NaN stays.

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
    Source: Nair and Hinton (2010).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import relu
    >>> relu(np.array([-1.0, 2.0]))
    array([0., 2.])
    """
    return _activation(RELU, x, 0.0)


@public
def relu_grad(dy: Array, x: Array) -> Array:
    """Gradient of `relu`: dy where x > 0, else 0.

    Parameters
    ----------
    dy, x : ndarrays of float32 or float64
        Of one shape: the gradient with respect to the output, and the input (or the output: the sign counts).

    Returns
    -------
    ndarray, of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ.

    Notes
    -----
    At x = 0 the gradient is 0, as in PyTorch; at NaN it is 0 too, where PyTorch passes dy on.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import relu_grad
    >>> relu_grad(np.array([3.0, 3.0]), np.array([-1.0, 2.0]))
    array([0., 3.])
    """
    return _gradient(RELU, dy, x, "x", 0.0)


@public
def leaky_relu(x: Array, negative_slope: float = 0.01) -> Array:
    """x where x > 0, else negative_slope * x, elementwise.

    Parameters
    ----------
    x : ndarray of float32 or float64
        Any shape and strides.
    negative_slope : float

    Returns
    -------
    ndarray, of the shape and dtype of `x`

    Raises
    ------
    TypeError
        If `x` is not an array of float32 or float64, or the slope not a number.

    Notes
    -----
    Source: Maas, Hannun and Ng (2013).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import leaky_relu
    >>> leaky_relu(np.array([-1.0, 2.0]), 0.5)
    array([-0.5,  2. ])
    """
    return _activation(LEAKY_RELU, x, scalar(negative_slope, "negative_slope"))


@public
def leaky_relu_grad(dy: Array, x: Array, negative_slope: float = 0.01) -> Array:
    """Gradient of `leaky_relu`: dy where x > 0, else negative_slope * dy.

    Parameters
    ----------
    dy, x : ndarrays of float32 or float64
        Of one shape: the gradient with respect to the output, and the input.
    negative_slope : float

    Returns
    -------
    ndarray, of the shape and dtype of `dy`

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import leaky_relu_grad
    >>> leaky_relu_grad(np.array([3.0, 3.0]), np.array([-1.0, 2.0]), 0.5)
    array([1.5, 3. ])
    """
    return _gradient(LEAKY_RELU, dy, x, "x", scalar(negative_slope, "negative_slope"))


@public
def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), elementwise.

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
    Source: Bishop (2006), eq. 4.59.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import sigmoid
    >>> sigmoid(np.array([0.0]))
    array([0.5])
    """
    return _activation(SIGMOID, x, 0.0)


@public
def sigmoid_grad(dy: Array, y: Array) -> Array:
    """Gradient of `sigmoid`: dy * y * (1 - y).

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
    Source: Bishop (2006), eq. 4.88.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import sigmoid_grad
    >>> sigmoid_grad(np.array([4.0]), np.array([0.5]))
    array([1.])
    """
    return _gradient(SIGMOID, dy, y, "y", 0.0)


@public
def tanh(x: Array) -> Array:
    """The hyperbolic tangent, elementwise.

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

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import tanh
    >>> tanh(np.array([0.0, 50.0]))
    array([0., 1.])
    """
    return _activation(TANH, x, 0.0)


@public
def tanh_grad(dy: Array, y: Array) -> Array:
    """Gradient of `tanh`: dy * (1 - y**2).

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

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import tanh_grad
    >>> tanh_grad(np.array([4.0]), np.array([0.5]))
    array([3.])
    """
    return _gradient(TANH, dy, y, "y", 0.0)


@public
def softmax(x: Array) -> Array:
    """exp(x) / sum(exp(x)) over the last axis, computed from x - max(x).

    Parameters
    ----------
    x : ndarray of float32 or float64
        At least one axis.

    Returns
    -------
    ndarray, of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If `x` is not an array of float32 or float64, or a single number.

    Notes
    -----
    Source: Bishop (2006), eq. 4.62.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import softmax
    >>> softmax(np.array([[1000.0, 1000.0]]))
    array([[0.5, 0.5]])
    """
    x = float_array(x, "x", -1)
    if x.ndim == 0:
        raise ValueError("`x` must have at least one axis, got a single number")
    y = np.empty(x.shape, x.dtype)
    _softmax(x.reshape(-1), x.shape[x.ndim - 1], y.reshape(-1))
    return y


@compiled
def _value(kind, v, slope):
    """The activation of one vector."""
    zero, one = fill_like(v, 0.0), fill_like(v, 1.0)
    if kind == RELU:
        return select(greater(zero, v), zero, v)
    if kind == LEAKY_RELU:
        return select(greater(v, zero), v, multiply(v, slope))
    if kind == SIGMOID:
        return divide(one, add(one, exp(subtract(zero, v))))
    return vector_math.tanh(v)


@compiled
def _slope(kind, dy, v, slope):
    """dy times the derivative, from one vector of inputs (ReLU) or outputs (sigmoid, tanh)."""
    zero, one = fill_like(v, 0.0), fill_like(v, 1.0)
    if kind == RELU:
        return select(greater(v, zero), dy, zero)
    if kind == LEAKY_RELU:
        return select(greater(v, zero), dy, multiply(dy, slope))
    if kind == SIGMOID:
        return multiply(dy, multiply(v, subtract(one, v)))
    return multiply(dy, multiply(subtract(one, v), add(one, v)))  # 1 - v * v would lose digits near 1


_activation, _gradient = elementwise(_value, _slope)


@compiled
def _softmax(x, length, y):
    for start in range(0, x.size, max(length, 1)):
        top = x[start]
        for k in range(1, length):
            if x[start + k] > top or np.isnan(x[start + k]):
                top = x[start + k]
        total = 0.0
        for k in range(length):
            value = np.exp(x[start + k] - top)
            y[start + k] = value
            total += value
        for k in range(length):
            y[start + k] /= total
