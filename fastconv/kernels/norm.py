"""Normalisation of NCHW arrays and its gradients: by batch (each channel over all samples), and by group.

Group normalisation takes each sample on its own: mean and variance of some of its channels together.
"""

import numpy as np

from ..checks.arrays import check_length, check_same_shape, check_some, float_array, output_array, same_dtype
from ..checks.jit import Array, checked, public
from ..checks.scalars import flag, positive_int, scalar
from ..simd import keep, pointer
from ..simd.compiling import compiled

__all__ = ["batch_norm2d", "batch_norm2d_grad", "group_norm", "group_norm_grad"]


@public
def batch_norm2d(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, Array]:
    """Batch normalisation: y = gamma * (x - mean) / sqrt(variance + eps) + beta, channel by channel.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        float32 or float64, any strides.
    gamma, beta : ndarrays, shape (C,)
        Scale and shift, of the dtype of `x`.
    running_mean, running_var : ndarrays, shape (C,)
        Used where not training; in training changed in place, the variance by its unbiased estimate.
    training : bool
        Whether mean and variance are the batch's own.
    momentum : float
        Share of the batch in the running mean and variance.
    eps : float
        Added to the variance.

    Returns
    -------
    y : ndarray, shape (N, C, H, W)
    saved : ndarray, shape (2, C)
        The mean, and the inverse standard deviation 1 / sqrt(variance + eps), that were used.

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes do not fit, or a batch to train on has no elements.

    Notes
    -----
    A single value per channel is its own mean: in training y is beta, and the unbiased variance, a sum of
    squares over max(count - 1, 1), is 0. A variance of 0 with `eps` 0 gives infinities and NaN.

    Source: Ioffe and Szegedy (2015), algorithm 1; the running figures as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import batch_norm2d
    >>> x = np.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    >>> one, zero = np.ones(1), np.zeros(1)
    >>> y, saved = batch_norm2d(x, one, zero, zero.copy(), one.copy(), True, eps=0.0)
    >>> y.ravel(), saved.ravel()
    (array([-1.,  1.]), array([2., 1.]))
    """
    x = float_array(x, "x", 4)
    gamma, beta = float_array(gamma, "gamma", 1), float_array(beta, "beta", 1)
    same_dtype(gamma, "gamma", x, "x")
    same_dtype(beta, "beta", x, "x")
    output_array(running_mean, "running_mean", 1)
    output_array(running_var, "running_var", 1)
    same_dtype(running_mean, "running_mean", x, "x")
    same_dtype(running_var, "running_var", x, "x")
    for size, name in (
        (gamma.size, "gamma"),
        (beta.size, "beta"),
        (running_mean.size, "running_mean"),
        (running_var.size, "running_var"),
    ):
        check_length(size, x.shape[1], name, "entries, one for each channel of `x`")
    share, small = scalar(momentum, "momentum"), scalar(eps, "eps")
    saved = np.empty((2, x.shape[1]), x.dtype)
    if flag(training, "training"):
        check_some(x.size, "x")
        _statistics(x, share, small, running_mean, running_var, saved)
    else:
        _running_statistics(running_mean, running_var, small, saved)
    y = np.empty(x.shape, x.dtype)
    _normalise(x, gamma, beta, saved, y)
    return y, saved


@public
def batch_norm2d_grad(dy: Array, x: Array, gamma: Array, saved: Array) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm2d` in training.

    Parameters
    ----------
    dy, x : ndarrays, shape (N, C, H, W)
        The gradient with respect to the output, and the input.
    gamma : ndarray, shape (C,)
    saved : ndarray, shape (2, C)
        As `batch_norm2d(..., training=True)` gives it.

    Returns
    -------
    dx : ndarray, shape (N, C, H, W)
        gamma / deviation * (dy - mean(dy) - xhat * mean(dy * xhat)).
    dgamma, dbeta : ndarrays, shape (C,)
        The sums of dy * xhat and of dy.

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
    >>> from fastconv.kernels import batch_norm2d_grad
    >>> x = np.array([1.0, 3.0]).reshape(2, 1, 1, 1)
    >>> dx, dgamma, dbeta = batch_norm2d_grad(x, x, np.ones(1), np.array([[2.0], [1.0]]))
    >>> dx.ravel(), dgamma, dbeta
    (array([0., 0.]), array([2.]), array([4.]))
    """
    dy, x = float_array(dy, "dy", 4), float_array(x, "x", 4)
    gamma, saved = float_array(gamma, "gamma", 1), float_array(saved, "saved", 2)
    same_dtype(dy, "dy", x, "x")
    same_dtype(gamma, "gamma", x, "x")
    same_dtype(saved, "saved", x, "x")
    check_same_shape(dy.shape, x.shape, "dy", "x")
    check_length(gamma.size, x.shape[1], "gamma", "entries, one for each channel of `x`")
    check_length(saved.shape[0], 2, "saved", "rows")
    check_length(saved.shape[1], x.shape[1], "saved", "columns, one for each channel of `x`")
    dx = np.empty(x.shape, x.dtype)
    dgamma, dbeta = np.zeros(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)
    _gradient(dy, x, gamma, saved, dx, dgamma, dbeta)
    return dx, dgamma, dbeta


@public
def group_norm(
    x: Array, num_groups: int, gamma: Array, beta: Array, eps: float = 1e-5
) -> tuple[Array, Array]:
    """Group normalisation: y = gamma * (x - mean) / sqrt(variance + eps) + beta, group by group of a sample.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        float32 or float64, any strides.
    num_groups : int
        Into how many groups the channels are divided; C must be a multiple of it.
    gamma, beta : ndarrays, shape (C,)
        Scale and shift of each channel, of the dtype of `x`.
    eps : float
        Added to the variance.

    Returns
    -------
    y : ndarray, shape (N, C, H, W)
    saved : ndarray, shape (2, N, num_groups)
        The mean, and the inverse standard deviation 1 / sqrt(variance + eps), of each group.

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes do not fit, or the channels can't be divided so.

    Notes
    -----
    One group is layer normalisation over (C, H, W) with a scale for each channel; as many groups as channels
    are instance normalisation. Source: Wu and He (2018), eq. 7.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import group_norm
    >>> x = np.array([1.0, 3.0, 4.0, 4.0]).reshape(1, 4, 1, 1)
    >>> y, saved = group_norm(x, 2, np.ones(4), np.zeros(4), eps=1.0)
    >>> y.ravel().round(6), saved[0]
    (array([-0.707107,  0.707107,  0.      ,  0.      ]), array([[2., 4.]]))
    """
    x = float_array(x, "x", 4)
    gamma, beta = float_array(gamma, "gamma", 1), float_array(beta, "beta", 1)
    same_dtype(gamma, "gamma", x, "x")
    same_dtype(beta, "beta", x, "x")
    check_length(gamma.size, x.shape[1], "gamma", "entries, one for each channel of `x`")
    check_length(beta.size, x.shape[1], "beta", "entries, one for each channel of `x`")
    groups, small = positive_int(num_groups, "num_groups"), scalar(eps, "eps")
    _check_groups(x.shape[1], groups)
    saved, y = np.empty((2, x.shape[0], groups), x.dtype), np.empty(x.shape, x.dtype)
    group_statistics(x, small, saved)
    _normalise_groups(x, gamma, beta, saved, y)
    return y, saved


@public
def group_norm_grad(dy: Array, x: Array, gamma: Array, saved: Array) -> tuple[Array, Array, Array]:
    """Gradients of `group_norm`.

    Parameters
    ----------
    dy, x : ndarrays, shape (N, C, H, W)
        The gradient with respect to the output, and the input.
    gamma : ndarray, shape (C,)
    saved : ndarray, shape (2, N, num_groups)
        As `group_norm` gives it.

    Returns
    -------
    dx : ndarray, shape (N, C, H, W)
        With d = dy * gamma and means over a group: (d - mean(d) - xhat * mean(d * xhat)) / deviation.
    dgamma, dbeta : ndarrays, shape (C,)
        The sums of dy * xhat and of dy.

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes do not fit.

    Notes
    -----
    Source: Wu and He (2018), eq. 7, by the chain rule as in Ioffe and Szegedy (2015), section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import group_norm_grad
    >>> x = np.array([1.0, 3.0]).reshape(1, 2, 1, 1)
    >>> saved = np.array([2.0, 1.0]).reshape(2, 1, 1)
    >>> dx, dgamma, dbeta = group_norm_grad(x, x, np.ones(2), saved)
    >>> dx.ravel(), dgamma, dbeta
    (array([0., 0.]), array([-1.,  3.]), array([1., 3.]))
    """
    dy, x = float_array(dy, "dy", 4), float_array(x, "x", 4)
    gamma, saved = float_array(gamma, "gamma", 1), float_array(saved, "saved", 3)
    same_dtype(dy, "dy", x, "x")
    same_dtype(gamma, "gamma", x, "x")
    same_dtype(saved, "saved", x, "x")
    check_same_shape(dy.shape, x.shape, "dy", "x")
    check_length(gamma.size, x.shape[1], "gamma", "entries, one for each channel of `x`")
    check_length(saved.shape[0], 2, "saved", "planes")
    check_length(saved.shape[1], x.shape[0], "saved", "rows, one for each sample of `x`")
    _check_groups(x.shape[1], saved.shape[2])
    dx = np.empty(x.shape, x.dtype)
    dgamma, dbeta = np.zeros(x.shape[1], x.dtype), np.zeros(x.shape[1], x.dtype)
    _group_gradient(dy, x, gamma, saved, dx, dgamma, dbeta)
    return dx, dgamma, dbeta


@checked
def _check_groups(channels, groups):
    """Raise ValueError unless the channels can be divided into so many groups."""
    if groups < 1 or channels % groups != 0:
        raise ValueError(f"`num_groups` must divide the {channels} channels of `x`, got {groups}")


PARTS = 128  # partial sums: they add as vectors, 10 times as fast as one after another; 16 are half as fast


@compiled
def channel_sums(a, b, c, a_mean, b_mean):
    """The sums over channel c of a - a_mean and of (a - a_mean) (b - b_mean), carried in float64."""
    size = a.shape[2] * a.shape[3]
    partial = np.zeros((2, PARTS))
    first, second = pointer(partial[0]), pointer(partial[1])
    for n in range(a.shape[0]):
        left, right = pointer(a[n, c]), pointer(b[n, c])
        for k in range(0, size, PARTS):
            for part in range(min(PARTS, size - k)):
                value = left[k + part] - a_mean
                first[part] += value
                second[part] += value * (right[k + part] - b_mean)
    keep(partial)
    return partial[0].sum(), partial[1].sum()


@compiled
def _statistics(x, momentum, eps, running_mean, running_var, saved):
    count = x.shape[0] * x.shape[2] * x.shape[3]
    for c in range(x.shape[1]):
        mean = channel_sums(x, x, c, 0.0, 0.0)[0] / count
        squares = channel_sums(x, x, c, mean, mean)[1]
        saved[0, c] = mean
        saved[1, c] = 1.0 / np.sqrt(squares / count + eps)
        running_mean[c] += momentum * (mean - running_mean[c])
        running_var[c] += momentum * (squares / max(count - 1, 1) - running_var[c])


@compiled
def _running_statistics(running_mean, running_var, eps, saved):
    for c in range(running_mean.size):
        saved[0, c] = running_mean[c]
        saved[1, c] = 1.0 / np.sqrt(running_var[c] + eps)


@compiled
def _normalise(x, gamma, beta, saved, y):
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            scale = gamma[c] * saved[1, c]
            source, target = x[n, c].reshape(-1), y[n, c].reshape(-1)
            for k in range(source.size):
                target[k] = (source[k] - saved[0, c]) * scale + beta[c]


@compiled
def _gradient(dy, x, gamma, saved, dx, dgamma, dbeta):
    count, number = x.shape[0] * x.shape[2] * x.shape[3], x.dtype.type
    for c in range(x.shape[1]):
        mean, inverse = saved[0, c], saved[1, c]
        sum_dy, sum_dy_x = channel_sums(dy, x, c, 0.0, mean)
        dgamma[c] = sum_dy_x * inverse
        dbeta[c] = sum_dy
        scale, shift = gamma[c] * inverse, number(sum_dy / count)
        factor = number(inverse * inverse * sum_dy_x / count)
        for n in range(x.shape[0]):
            slope, source, target = pointer(dy[n, c]), pointer(x[n, c]), pointer(dx[n, c])
            for k in range(x.shape[2] * x.shape[3]):
                target[k] = scale * (slope[k] - shift - (source[k] - mean) * factor)


@compiled
def group_statistics(x, eps, saved):
    groups = saved.shape[2]
    size = x.shape[1] // max(groups, 1)
    count = max(size * x.shape[2] * x.shape[3], 1)
    for n in range(x.shape[0]):
        for group in range(groups):
            total, squares = 0.0, 0.0
            for c in range(group * size, (group + 1) * size):
                total += channel_sums(x[n : n + 1], x[n : n + 1], c, 0.0, 0.0)[0]
            mean = total / count
            for c in range(group * size, (group + 1) * size):
                squares += channel_sums(x[n : n + 1], x[n : n + 1], c, mean, mean)[1]
            saved[0, n, group] = mean
            saved[1, n, group] = 1.0 / np.sqrt(squares / count + eps)


@compiled
def _normalise_groups(x, gamma, beta, saved, y):
    size = x.shape[1] // max(saved.shape[2], 1)
    for n in range(x.shape[0]):
        for c in range(x.shape[1]):
            mean, scale = saved[0, n, c // size], gamma[c] * saved[1, n, c // size]
            source, target = x[n, c].reshape(-1), y[n, c].reshape(-1)
            for k in range(source.size):
                target[k] = (source[k] - mean) * scale + beta[c]


@compiled
def _group_gradient(dy, x, gamma, saved, dx, dgamma, dbeta):
    groups, number = saved.shape[2], x.dtype.type
    size = x.shape[1] // max(groups, 1)
    count = max(size * x.shape[2] * x.shape[3], 1)
    gamma_sums, beta_sums = np.zeros(x.shape[1]), np.zeros(x.shape[1])
    for n in range(x.shape[0]):
        for group in range(groups):
            mean, inverse = saved[0, n, group], saved[1, n, group]
            sum_d, sum_d_x = 0.0, 0.0
            for c in range(group * size, (group + 1) * size):
                sum_dy, sum_dy_x = channel_sums(dy[n : n + 1], x[n : n + 1], c, 0.0, mean)
                beta_sums[c] += sum_dy
                gamma_sums[c] += sum_dy_x * inverse
                sum_d += sum_dy * gamma[c]
                sum_d_x += sum_dy_x * gamma[c]
            shift, factor = number(sum_d / count), number(inverse * inverse * sum_d_x / count)
            for c in range(group * size, (group + 1) * size):
                slope, source, target = pointer(dy[n, c]), pointer(x[n, c]), pointer(dx[n, c])
                for k in range(x.shape[2] * x.shape[3]):
                    target[k] = inverse * (gamma[c] * slope[k] - shift - (source[k] - mean) * factor)
    dgamma[:] = gamma_sums
    dbeta[:] = beta_sums
