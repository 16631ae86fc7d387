"""ReLU with a learned slope for what is negative: of one number, or one for each channel; and its gradients.

x is seen as [samples][channels][positions]; with a single slope, all of it is one channel
"""

import numpy as np
from numba.extending import overload

from ..checks.arrays import check_same_shape, float_array, same_dtype
from ..checks.jit import Array, checked, public
from ..simd import keep, pointer
from ..simd.compiling import compiled

__all__ = ["prelu", "prelu_grad"]

PARTS = 128  # partial sums: they add as vectors


@public
def prelu(x: Array, weight: Array) -> Array:
    """x where it is positive, else weight * x.

    Parameters
    ----------
    x : ndarray of float32 or float64, shape (N, C, ...)
        Any shape and strides where there is a single weight.
    weight : ndarray, shape (1,) or (C,)
        One slope, or that of each channel; of the dtype of `x`.

    Returns
    -------
    ndarray, of the shape and dtype of `x`

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes do not fit.

    Notes
    -----
    Source: He et al. (2015), Delving deep into rectifiers, eq. 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import prelu
    >>> prelu(np.array([[-2.0, -2.0, 3.0]]), np.array([0.5, 0.1, 0.1]))
    array([[-1. , -0.2,  3. ]])
    """
    x, weight = float_array(x, "x", -1), float_array(weight, "weight", 1)
    same_dtype(weight, "weight", x, "x")
    shape = _check_slopes(x.size, _leading(x.shape), weight.size)
    y = np.empty(x.shape, x.dtype)
    _forward(x.reshape(shape), weight, y.reshape(shape))
    return y


@public
def prelu_grad(dy: Array, x: Array, weight: Array) -> tuple[Array, Array]:
    """Gradients of `prelu`.

    Parameters
    ----------
    dy, x : ndarrays of float32 or float64
        Of one shape: the gradient with respect to the output, and the input.
    weight : ndarray, shape (1,) or (C,)

    Returns
    -------
    dx : ndarray, of the shape of `x`
        dy where x > 0, else weight * dy.
    dweight : ndarray, of the shape of `weight`
        The sums of dy * x where x is not positive.

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes do not fit.

    Notes
    -----
    Source: He et al. (2015), Delving deep into rectifiers, eqs. 2 and 3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import prelu_grad
    >>> prelu_grad(np.array([1.0, 1.0]), np.array([-2.0, 3.0]), np.array([0.5]))
    (array([0.5, 1. ]), array([-2.]))
    """
    dy, x, weight = float_array(dy, "dy", -1), float_array(x, "x", -1), float_array(weight, "weight", 1)
    same_dtype(dy, "dy", x, "x")
    same_dtype(weight, "weight", x, "x")
    check_same_shape(dy.shape, x.shape, "dy", "x")
    shape = _check_slopes(x.size, _leading(x.shape), weight.size)
    dx, dweight = np.empty(x.shape, x.dtype), np.empty(weight.shape, x.dtype)
    _gradient(dy.reshape(shape), x.reshape(shape), weight, dx.reshape(shape), dweight)
    return dx, dweight


def _leading(shape):
    """(samples, channels) of a shape; an array of fewer dimensions has one of what it lacks."""
    return (shape[0] if shape else 1), (shape[1] if len(shape) > 1 else 1)


@overload(_leading)
def _leading_typed(shape):
    if len(shape) > 1:
        return lambda shape: (shape[0], shape[1])
    return (lambda shape: (shape[0], 1)) if len(shape) else (lambda shape: (1, 1))


@checked
def _check_slopes(size, leading, slopes):
    """(samples, channels, positions) as `weight` divides them.

    Raises
    ------
    ValueError
        If it has neither one entry nor one for each channel.
    """
    if slopes == 1:
        return 1, 1, size
    if slopes != leading[1]:
        raise ValueError(
            f"`weight` must have 1 entry or {leading[1]}, one for each channel of `x`, got {slopes}"
        )
    return leading[0], leading[1], size // max(leading[0] * leading[1], 1)


@compiled
def _forward(x, weight, y):
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            factor, source, target = weight[c], pointer(x[n, c]), pointer(y[n, c])
            for k in range(x.shape[2]):
                target[k] = source[k] if source[k] > 0 else source[k] * factor


@compiled
def _gradient(dy, x, weight, dx, dweight):
    partial = np.empty(PARTS)
    part_sums = pointer(partial)
    for c in range(x.shape[1]):
        partial[:] = 0.0
        factor = weight[c]
        for n in range(x.shape[0]):
            slope, source, target = pointer(dy[n, c]), pointer(x[n, c]), pointer(dx[n, c])
            for k in range(0, x.shape[2], PARTS):
                for part in range(min(PARTS, x.shape[2] - k)):
                    positive = source[k + part] > 0
                    target[k + part] = slope[k + part] if positive else slope[k + part] * factor
                    part_sums[part] += 0.0 if positive else slope[k + part] * source[k + part]
        dweight[c] = partial.sum()
    keep(partial)
