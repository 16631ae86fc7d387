"""Normalisation of each whole sample, of any shape, and its gradients: one mean and variance for all of it.

Scale and shift are those of each element. Sums are made as in `norm.py`, the sample being its only channel.
"""

import numpy as np

from ..checks.arrays import check_length, check_same_shape, float_array, same_dtype
from ..checks.jit import Array, public
from ..checks.scalars import scalar
from ..simd import keep, pointer
from ..simd.compiling import compiled
from .norm import channel_sums, group_statistics

__all__ = ["layer_norm", "layer_norm_grad"]


@public
def layer_norm(x: Array, gamma: Array, beta: Array, eps: float = 1e-5) -> tuple[Array, Array]:
    """Layer normalisation: y = gamma * (x - mean) / sqrt(variance + eps) + beta, sample by sample.

    Parameters
    ----------
    x : ndarray, shape (N, ...)
        float32 or float64, any strides; two dimensions or more.
    gamma, beta : ndarrays, of the shape of a sample
        Scale and shift of each element, of the dtype of `x`.
    eps : float
        Added to the variance.

    Returns
    -------
    y : ndarray, of the shape of `x`
    saved : ndarray, shape (2, N)
        The mean, and the inverse standard deviation 1 / sqrt(variance + eps), of each sample.

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes do not fit.

    Notes
    -----
    Source: Ba, Kiros and Hinton (2016), eq. 3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import layer_norm
    >>> y, saved = layer_norm(np.array([[1.0, 3.0]]), np.array([1.0, 2.0]), np.zeros(2), eps=1e-12)
    >>> y.round(6), saved[0]
    (array([[-1.,  2.]]), array([2.]))
    """
    x, gamma, beta = float_array(x, "x", -1), float_array(gamma, "gamma", -1), float_array(beta, "beta", -1)
    _check_samples(x.ndim)
    same_dtype(gamma, "gamma", x, "x")
    same_dtype(beta, "beta", x, "x")
    check_same_shape(gamma.shape, x.shape[1:], "gamma", "a sample of `x`")
    check_same_shape(beta.shape, x.shape[1:], "beta", "a sample of `x`")
    small, rows = scalar(eps, "eps"), x.reshape((x.shape[0], 1, 1, gamma.size))
    saved, y = np.empty((2, x.shape[0]), x.dtype), np.empty(x.shape, x.dtype)
    group_statistics(rows, small, saved.reshape((2, x.shape[0], 1)))
    _normalise(rows, gamma.reshape(-1), beta.reshape(-1), saved, y.reshape(rows.shape))
    return y, saved


@public
def layer_norm_grad(dy: Array, x: Array, gamma: Array, saved: Array) -> tuple[Array, Array, Array]:
    """Gradients of `layer_norm`.

    Parameters
    ----------
    dy, x : ndarrays, shape (N, ...)
        The gradient with respect to the output, and the input.
    gamma : ndarray, of the shape of a sample
    saved : ndarray, shape (2, N)
        As `layer_norm` gives it.

    Returns
    -------
    dx : ndarray, of the shape of `x`
        With d = dy * gamma and means over a sample: (d - mean(d) - xhat * mean(d * xhat)) / deviation.
    dgamma, dbeta : ndarrays, of the shape of a sample
        The sums over samples of dy * xhat and of dy.

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes do not fit.

    Notes
    -----
    Source: Ba, Kiros and Hinton (2016), eq. 3, by the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import layer_norm_grad
    >>> x = np.array([[1.0, 3.0]])
    >>> layer_norm_grad(x, x, np.ones(2), np.array([[2.0], [1.0]]))
    (array([[0., 0.]]), array([-1.,  3.]), array([1., 3.]))
    """
    dy, x = float_array(dy, "dy", -1), float_array(x, "x", -1)
    gamma, saved = float_array(gamma, "gamma", -1), float_array(saved, "saved", 2)
    _check_samples(x.ndim)
    same_dtype(dy, "dy", x, "x")
    same_dtype(gamma, "gamma", x, "x")
    same_dtype(saved, "saved", x, "x")
    check_same_shape(dy.shape, x.shape, "dy", "x")
    check_same_shape(gamma.shape, x.shape[1:], "gamma", "a sample of `x`")
    check_length(saved.shape[0], 2, "saved", "rows")
    check_length(saved.shape[1], x.shape[0], "saved", "columns, one for each sample of `x`")
    shape = (x.shape[0], 1, 1, gamma.size)
    dx, dgamma, dbeta = np.empty(x.shape, x.dtype), np.empty_like(gamma), np.empty_like(gamma)
    _gradient(
        dy.reshape(shape), x.reshape(shape), gamma.reshape(-1), saved, dx.reshape(shape),
        dgamma.reshape(-1), dbeta.reshape(-1),
    )  # fmt: skip
    return dx, dgamma, dbeta


@public
def _check_samples(ndim):
    """Raise ValueError where samples would be single numbers."""
    if ndim < 2:
        raise ValueError("`x` must be an array of samples, of two dimensions or more, got one of fewer")


@compiled
def _normalise(x, gamma, beta, saved, y):
    for n in range(x.shape[0]):
        mean, inverse = saved[0, n], saved[1, n]
        source, target = x[n, 0, 0], y[n, 0, 0]
        for k in range(source.size):
            target[k] = (source[k] - mean) * (inverse * gamma[k]) + beta[k]


@compiled
def _gradient(dy, x, gamma, saved, dx, dgamma, dbeta):
    number, count = x.dtype.type, max(gamma.size, 1)
    scaled, sums = np.empty((1, 1, 1, gamma.size)), np.zeros((2, gamma.size))
    d, gamma_sums, beta_sums = pointer(scaled), pointer(sums[0]), pointer(sums[1])
    for n in range(x.shape[0]):
        mean, inverse = saved[0, n], saved[1, n]
        slope, source, target = pointer(dy[n]), pointer(x[n]), pointer(dx[n])
        for k in range(gamma.size):
            d[k] = slope[k] * gamma[k]
            beta_sums[k] += slope[k]
            gamma_sums[k] += slope[k] * ((source[k] - mean) * inverse)
        sum_d, sum_d_x = channel_sums(scaled, x[n : n + 1], 0, 0.0, mean)
        shift, factor = number(sum_d / count), number(inverse * inverse * sum_d_x / count)
        for k in range(gamma.size):
            target[k] = inverse * (gamma[k] * slope[k] - shift - (source[k] - mean) * factor)
    keep(scaled)
    dgamma[:] = sums[0]
    dbeta[:] = sums[1]
