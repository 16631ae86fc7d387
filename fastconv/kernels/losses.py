"""Losses and their gradients.

With reduction "mean" or "sum" a loss is one number, and its gradient that number's; with "none" a loss is
an array, and its gradient that of the array's sum. Sums are carried in float64; the mean of an empty batch
is NaN.
"""

from typing import Any

import numpy as np

from ..checks.jit import Array, public_with_text
from ..simd.compiling import compiled
from .loss_arguments import slope_factor, with_labels, with_target
from .reductions import reduce_losses, reduction_code

__all__ = [
    "bce",
    "bce_grad",
    "bce_with_logits",
    "bce_with_logits_grad",
    "cross_entropy",
    "cross_entropy_grad",
    "mse",
    "mse_grad",
    "soft_cross_entropy",
    "soft_cross_entropy_grad",
]

SMALLEST = 1e-12  # of p (1 - p) in the gradient of bce, as in PyTorch


@public_with_text
def bce(p: Array, target: Array, reduction: str = "mean") -> Any:
    """Binary cross-entropy of probabilities: -(y log p + (1 - y) log(1 - p)), logarithms not below -100.

    Parameters
    ----------
    p : ndarray of float32 or float64
        Probabilities, 0 to 1.
    target : ndarray
        Of the shape and dtype of `p`, 0 to 1.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    float, or ndarray of the shape of `p` for "none"

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ, or the reduction is unknown.

    Notes
    -----
    The mean of an empty batch is NaN. Source: Bishop (2006), eq. 4.90; clipped as in PyTorch.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import bce
    >>> round(float(bce(np.array([0.5, 1.0]), np.array([1.0, 1.0]))), 6)
    0.346574
    """
    p, target = with_target(p, "p", -1, target)
    reduction_code(reduction)
    losses = np.empty(p.shape, p.dtype)
    _bce(p.reshape(-1), target.reshape(-1), losses.reshape(-1))
    return reduce_losses(losses, reduction)


@public_with_text
def bce_grad(p: Array, target: Array, reduction: str = "mean") -> Array:
    """Gradient of `bce` with respect to p: (p - y) / max(p (1 - p), 1e-12), over the count for "mean".

    Parameters
    ----------
    p, target, reduction
        As in `bce`.

    Returns
    -------
    ndarray, of the shape and dtype of `p`

    Raises
    ------
    TypeError, ValueError
        As in `bce`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import bce_grad
    >>> bce_grad(np.array([0.5]), np.array([1.0]))
    array([-2.])
    """
    p, target = with_target(p, "p", -1, target)
    scale = slope_factor(reduction, p.size)
    slopes = np.empty(p.shape, p.dtype)
    _bce_grad(p.reshape(-1), target.reshape(-1), scale, slopes.reshape(-1))
    return slopes


@public_with_text
def bce_with_logits(z: Array, target: Array, reduction: str = "mean") -> Any:
    """`bce` of sigmoid(z), computed as |z| w + log(1 + exp(-|z|)), w being 1 - y if z > 0, else y.

    Parameters
    ----------
    z : ndarray of float32 or float64
        Logits.
    target : ndarray
        Of the shape and dtype of `z`, 0 to 1.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    float, or ndarray of the shape of `z` for "none"

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ, or the reduction is unknown.

    Notes
    -----
    The mean of an empty batch is NaN. Source: Bishop (2006), eq. 4.90 with 4.59.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import bce_with_logits
    >>> float(bce_with_logits(np.array([1e4]), np.array([0.0])))
    10000.0
    """
    z, target = with_target(z, "z", -1, target)
    reduction_code(reduction)
    losses = np.empty(z.shape, z.dtype)
    _bce_with_logits(z.reshape(-1), target.reshape(-1), losses.reshape(-1))
    return reduce_losses(losses, reduction)


@public_with_text
def bce_with_logits_grad(z: Array, target: Array, reduction: str = "mean") -> Array:
    """Gradient of `bce_with_logits` with respect to z: sigmoid(z) - y, over the count for "mean".

    Parameters
    ----------
    z, target, reduction
        As in `bce_with_logits`.

    Returns
    -------
    ndarray, of the shape and dtype of `z`

    Raises
    ------
    TypeError, ValueError
        As in `bce_with_logits`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import bce_with_logits_grad
    >>> bce_with_logits_grad(np.array([0.0]), np.array([1.0]))
    array([-0.5])
    """
    z, target = with_target(z, "z", -1, target)
    scale = slope_factor(reduction, z.size)
    slopes = np.empty(z.shape, z.dtype)
    _bce_with_logits_grad(z.reshape(-1), target.reshape(-1), scale, slopes.reshape(-1))
    return slopes


@public_with_text
def mse(y: Array, target: Array, reduction: str = "mean") -> Any:
    """Squared error: (y - target)**2.

    Parameters
    ----------
    y : ndarray of float32 or float64
    target : ndarray
        Of the shape and dtype of `y`.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    float, or ndarray of the shape of `y` for "none"

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ, or the reduction is unknown.

    Notes
    -----
    The mean of an empty batch is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import mse
    >>> float(mse(np.array([1.0, 3.0]), np.array([0.0, 0.0])))
    5.0
    """
    y, target = with_target(y, "y", -1, target)
    reduction_code(reduction)
    losses = np.empty(y.shape, y.dtype)
    _mse(y.reshape(-1), target.reshape(-1), losses.reshape(-1))
    return reduce_losses(losses, reduction)


@public_with_text
def mse_grad(y: Array, target: Array, reduction: str = "mean") -> Array:
    """Gradient of `mse` with respect to y: 2 (y - target), over the count for "mean".

    Parameters
    ----------
    y, target, reduction
        As in `mse`.

    Returns
    -------
    ndarray, of the shape and dtype of `y`

    Raises
    ------
    TypeError, ValueError
        As in `mse`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import mse_grad
    >>> mse_grad(np.array([3.0]), np.array([1.0]))
    array([4.])
    """
    y, target = with_target(y, "y", -1, target)
    scale = slope_factor(reduction, y.size)
    slopes = np.empty(y.shape, y.dtype)
    _mse_grad(y.reshape(-1), target.reshape(-1), scale, slopes.reshape(-1))
    return slopes


@public_with_text
def cross_entropy(logits: Array, labels: Array, reduction: str = "mean") -> Any:
    """Cross-entropy of a softmax: log(sum of exp(z)) - z[label], for each sample.

    Parameters
    ----------
    logits : ndarray, shape (N, K)
        float32 or float64, any strides.
    labels : ndarray of ints, shape (N,)
        0 to K - 1.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    float, or ndarray of shape (N,) for "none"

    Raises
    ------
    TypeError, ValueError
        If types or shapes do not fit, a label is out of range, or the reduction is unknown.

    Notes
    -----
    The mean of an empty batch is NaN. Source: Bishop (2006), eq. 4.108 with 4.62.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import cross_entropy
    >>> round(float(cross_entropy(np.zeros((2, 4)), np.array([0, 3]))), 6)
    1.386294
    """
    logits, labels = with_labels(logits, "logits", labels)
    reduction_code(reduction)
    losses = np.empty(logits.shape[0], logits.dtype)
    _cross_entropy(logits, labels, losses)
    return reduce_losses(losses, reduction)


@public_with_text
def cross_entropy_grad(logits: Array, labels: Array, reduction: str = "mean") -> Array:
    """Gradient of `cross_entropy`: softmax(z), minus 1 at the label; divided by N for "mean".

    Parameters
    ----------
    logits, labels, reduction
        As in `cross_entropy`.

    Returns
    -------
    ndarray, shape (N, K)

    Raises
    ------
    TypeError, ValueError
        As in `cross_entropy`.

    Notes
    -----
    Source: Bishop (2006), eq. 4.109.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import cross_entropy_grad
    >>> cross_entropy_grad(np.zeros((1, 2)), np.array([1]))
    array([[ 0.5, -0.5]])
    """
    logits, labels = with_labels(logits, "logits", labels)
    scale = slope_factor(reduction, logits.shape[0])
    slopes = np.empty(logits.shape, logits.dtype)
    _cross_entropy_grad(logits, labels, scale, slopes)
    return slopes


@public_with_text
def soft_cross_entropy(logits: Array, target: Array, reduction: str = "mean") -> Any:
    """Cross-entropy of a softmax with a part for each class: sum of t (log(sum of exp(z)) - z).

    Parameters
    ----------
    logits : ndarray, shape (N, K)
        float32 or float64, any strides.
    target : ndarray, shape (N, K)
        Of the dtype of `logits`; each row mostly sums to 1, which is not checked.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    float, or ndarray of shape (N,) for "none"

    Raises
    ------
    TypeError, ValueError
        If types or shapes do not fit, or the reduction is unknown.

    Notes
    -----
    A class of part 0 counts nothing, even where its logit is -infinity. The mean of an empty batch is NaN.
    Source: Bishop (2006), eq. 4.108.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import soft_cross_entropy
    >>> round(float(soft_cross_entropy(np.zeros((1, 4)), np.array([[0.5, 0.5, 0.0, 0.0]]))), 6)
    1.386294
    """
    logits, target = with_target(logits, "logits", 2, target)
    reduction_code(reduction)
    losses = np.empty(logits.shape[0], logits.dtype)
    _soft_cross_entropy(logits, target, losses)
    return reduce_losses(losses, reduction)


@public_with_text
def soft_cross_entropy_grad(logits: Array, target: Array, reduction: str = "mean") -> Array:
    """Gradient of `soft_cross_entropy`: softmax(z) times the sum of t, minus t; divided by N for "mean".

    Parameters
    ----------
    logits, target, reduction
        As in `soft_cross_entropy`.

    Returns
    -------
    ndarray, shape (N, K)

    Raises
    ------
    TypeError, ValueError
        As in `soft_cross_entropy`.

    Notes
    -----
    Source: Bishop (2006), eq. 4.109.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import soft_cross_entropy_grad
    >>> soft_cross_entropy_grad(np.zeros((1, 2)), np.array([[0.25, 0.75]]))
    array([[ 0.25, -0.25]])
    """
    logits, target = with_target(logits, "logits", 2, target)
    scale = slope_factor(reduction, logits.shape[0])
    slopes = np.empty(logits.shape, logits.dtype)
    _soft_cross_entropy_grad(logits, target, scale, slopes)
    return slopes


@compiled
def _log(p):
    """The logarithm, not below -100."""
    return max(np.log(p), -100.0) if p > 0 else (-100.0 if p == 0 else np.nan)


@compiled
def _log_rest(p):
    """The logarithm of 1 - p, not below -100; 1 - p itself would lose the digits of a small p."""
    return max(np.log1p(-p), -100.0) if p < 1 else (-100.0 if p == 1 else np.nan)


@compiled
def _bce(p, target, out):
    for k in range(p.size):
        out[k] = -(target[k] * _log(p[k]) + (1 - target[k]) * _log_rest(p[k]))


@compiled
def _bce_grad(p, target, scale, out):
    for k in range(p.size):
        spread = p[k] * (1 - p[k])
        if spread < SMALLEST:
            spread = SMALLEST
        out[k] = (p[k] - target[k]) / spread * scale


@compiled
def _bce_with_logits(z, target, out):
    for k in range(z.size):
        wrong = 1 - target[k] if z[k] > 0 else target[k]
        size = abs(z[k])
        out[k] = (size * wrong if wrong != 0 else 0.0) + np.log1p(np.exp(-size))  # no infinity times 0


@compiled
def _bce_with_logits_grad(z, target, scale, out):
    for k in range(z.size):
        small = np.exp(-abs(z[k]))
        p = (1.0 if z[k] >= 0 else small) / (1 + small)
        out[k] = (p - target[k]) * scale


@compiled
def _mse(y, target, out):
    for k in range(y.size):
        out[k] = (y[k] - target[k]) ** 2


@compiled
def _mse_grad(y, target, scale, out):
    for k in range(y.size):
        out[k] = 2 * (y[k] - target[k]) * scale


@compiled
def _log_sum_exp(row):
    """The largest element, and the logarithm of the sum of exp(element - largest)."""
    top = row[0]
    for value in row:
        if value > top or np.isnan(value):
            top = value
    total = 0.0
    for value in row:
        total += np.exp(value - top)
    return top, np.log(total)


@compiled
def _cross_entropy(logits, labels, out):
    for n in range(logits.shape[0]):
        top, rest = _log_sum_exp(logits[n])
        out[n] = rest - (logits[n, labels[n]] - top)


@compiled
def _cross_entropy_grad(logits, labels, scale, out):
    for n in range(logits.shape[0]):
        top, rest = _log_sum_exp(logits[n])
        for k in range(logits.shape[1]):
            out[n, k] = (np.exp(logits[n, k] - top - rest) - (1.0 if k == labels[n] else 0.0)) * scale


@compiled
def _soft_cross_entropy(logits, target, out):
    for n in range(logits.shape[0]):
        if logits.shape[1] == 0:
            out[n] = 0.0
            continue
        top, rest = _log_sum_exp(logits[n])
        loss = 0.0
        for k in range(logits.shape[1]):
            if target[n, k] != 0:  # no infinity times 0
                loss += target[n, k] * (rest - (logits[n, k] - top))
        out[n] = loss


@compiled
def _soft_cross_entropy_grad(logits, target, scale, out):
    for n in range(logits.shape[0]):
        if logits.shape[1] == 0:
            continue
        top, rest = _log_sum_exp(logits[n])
        whole = 0.0
        for k in range(logits.shape[1]):
            whole += target[n, k]
        for k in range(logits.shape[1]):
            out[n, k] = (np.exp(logits[n, k] - top - rest) * whole - target[n, k]) * scale
