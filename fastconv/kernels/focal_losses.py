"""Focal losses: cross-entropy that turns to what is hard, times (1 - p)**gamma with p the probability of what
is right.

Reductions are those of the other losses: see losses.py.
Source: Lin and others (2017), Focal loss for dense object detection, eq. 4 and 5.
"""

from typing import Any

import numpy as np

from ..checks.jit import Array, public_with_text
from ..checks.scalars import scalar
from ..simd.compiling import compiled
from .loss_arguments import slope_factor, with_labels, with_target
from .reductions import reduce_losses, reduction_code

__all__ = ["binary_focal", "binary_focal_grad", "focal", "focal_grad"]


@public_with_text
def focal(logits: Array, labels: Array, gamma: float = 2.0, reduction: str = "mean") -> Any:
    """Focal loss of several classes: -(1 - p)**gamma log p, with p the softmax of the label's logit.

    Parameters
    ----------
    logits : ndarray, shape (N, K)
        float32 or float64, any strides.
    labels : ndarray of ints, shape (N,)
        0 to K - 1.
    gamma : float
        How much less a sure answer counts, at least 0; with 0 it is `cross_entropy`.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    float, or ndarray of shape (N,) for "none"

    Raises
    ------
    TypeError, ValueError
        If types or shapes do not fit, a label is out of range, `gamma` is negative, or the reduction is
        unknown.

    Notes
    -----
    The mean of an empty batch is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import focal
    >>> round(float(focal(np.zeros((2, 2)), np.array([0, 1]))), 6)  # 0.5**2 log 2
    0.173287
    """
    logits, labels = with_labels(logits, "logits", labels)
    power = _not_negative(scalar(gamma, "gamma"))
    reduction_code(reduction)
    losses = np.empty(logits.shape[0], logits.dtype)
    _focal(logits, labels, power, losses)
    return reduce_losses(losses, reduction)


@public_with_text
def focal_grad(logits: Array, labels: Array, gamma: float = 2.0, reduction: str = "mean") -> Array:
    """Gradient of `focal`: w (softmax(z), minus 1 at the label); divided by N for "mean".

    w = (1 - p)**gamma - gamma p log p (1 - p)**(gamma - 1).

    Parameters
    ----------
    logits, labels, gamma, reduction
        As in `focal`.

    Returns
    -------
    ndarray, shape (N, K)

    Raises
    ------
    TypeError, ValueError
        As in `focal`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import focal_grad
    >>> focal_grad(np.zeros((1, 2)), np.array([1]), gamma=0.0)
    array([[ 0.5, -0.5]])
    """
    logits, labels = with_labels(logits, "logits", labels)
    power = _not_negative(scalar(gamma, "gamma"))
    scale = slope_factor(reduction, logits.shape[0])
    slopes = np.empty(logits.shape, logits.dtype)
    _focal_grad(logits, labels, power, scale, slopes)
    return slopes


@public_with_text
def binary_focal(
    z: Array, target: Array, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean"
) -> Any:
    """Focal loss of logits of a yes: alpha_t (1 - p_t)**gamma times `bce_with_logits`.

    p_t = p y + (1 - p) (1 - y) for p = sigmoid(z), and alpha_t = alpha y + (1 - alpha) (1 - y).

    Parameters
    ----------
    z : ndarray of float32 or float64
        Logits.
    target : ndarray
        Of the shape and dtype of `z`, 0 to 1.
    alpha : float
        Part of the loss that a yes has, 0 to 1; less than 0: yes and no count as they are.
    gamma : float
        How much less a sure answer counts, at least 0.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    float, or ndarray of the shape of `z` for "none"

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ, a number is out of range, or the reduction is unknown.

    Notes
    -----
    The mean of an empty batch is NaN. Order and meaning are those of torchvision's sigmoid_focal_loss.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import binary_focal
    >>> round(float(binary_focal(np.array([0.0]), np.array([1.0]))), 6)  # 0.25 * 0.5**2 log 2
    0.043322
    """
    z, target = with_target(z, "z", -1, target)
    part, power = _at_most_1(scalar(alpha, "alpha")), _not_negative(scalar(gamma, "gamma"))
    reduction_code(reduction)
    losses = np.empty(z.shape, z.dtype)
    _binary_focal(z.reshape(-1), target.reshape(-1), part, power, losses.reshape(-1))
    return reduce_losses(losses, reduction)


@public_with_text
def binary_focal_grad(
    z: Array, target: Array, alpha: float = 0.25, gamma: float = 2.0, reduction: str = "mean"
) -> Array:
    """Gradient of `binary_focal` with respect to z, over the count for "mean".

    With u = 1 - p_t: alpha_t u**gamma (gamma (1 - 2 y) p (1 - p) / u * bce_with_logits + p - y).

    Parameters
    ----------
    z, target, alpha, gamma, reduction
        As in `binary_focal`.

    Returns
    -------
    ndarray, of the shape and dtype of `z`

    Raises
    ------
    TypeError, ValueError
        As in `binary_focal`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import binary_focal_grad
    >>> binary_focal_grad(np.array([0.0]), np.array([1.0]), alpha=-1.0, gamma=0.0)
    array([-0.5])
    """
    z, target = with_target(z, "z", -1, target)
    part, power = _at_most_1(scalar(alpha, "alpha")), _not_negative(scalar(gamma, "gamma"))
    scale = slope_factor(reduction, z.size)
    slopes = np.empty(z.shape, z.dtype)
    _binary_focal_grad(z.reshape(-1), target.reshape(-1), part, power, scale, slopes.reshape(-1))
    return slopes


@compiled
def _not_negative(gamma):
    """`gamma`, if it is a number of at least 0."""
    if not gamma >= 0:
        raise ValueError("`gamma` must be a number >= 0")
    return gamma


@compiled
def _at_most_1(alpha):
    """`alpha`, if it is a number of at most 1."""
    if not alpha <= 1:
        raise ValueError("`alpha` must be a number from 0 to 1, or less than 0 for none")
    return alpha


@compiled
def _row_terms(row, label):
    """(the largest, the powers of the others and of the label from there on, the cross-entropy) of a row."""
    top = row[0]
    for value in row:
        if value > top or np.isnan(value):
            top = value
    own, others = np.exp(np.float64(row[label] - top)), 0.0
    for k in range(row.size):
        if k != label:
            others += np.exp(np.float64(row[k] - top))
    if others > own:  # else the logarithm of the sum would lose all digits of a sure answer
        return top, others, own, np.log(own + others) - (row[label] - top)
    return top, others, own, np.log1p(others / own)


@compiled
def _focal(logits, labels, gamma, out):
    for n in range(logits.shape[0]):
        _, others, own, entropy = _row_terms(logits[n], labels[n])
        out[n] = (others / (own + others)) ** gamma * entropy


@compiled
def _focal_grad(logits, labels, gamma, scale, out):
    for n in range(logits.shape[0]):
        top, others, own, entropy = _row_terms(logits[n], labels[n])
        mass = own + others
        miss = others / mass
        steeper = 1.0
        if own > 0:  # no infinity times 0
            steeper += gamma * own / mass * (entropy / miss if miss > 0 else 1.0)
        factor = miss**gamma * steeper * scale
        for k in range(logits.shape[1]):
            p = np.exp(logits[n, k] - top) / mass
            out[n, k] = factor * (-miss if k == labels[n] else p)


@compiled
def _binary_terms(z, y, alpha, gamma):
    """The loss of one logit, and its slope."""
    small = np.exp(-abs(z))
    p, q = (1.0 if z >= 0 else small) / (1 + small), (small if z >= 0 else 1.0) / (1 + small)
    wrong = 1 - y if z > 0 else y
    entropy = (abs(z) * wrong if wrong != 0 else 0.0) + np.log1p(small)
    miss = p * (1 - y) + q * y
    power = miss**gamma * (1.0 if alpha < 0 else alpha * y + (1 - alpha) * (1 - y))
    spread = p * q / miss if miss > 0 else 1.0
    steeper = gamma * (1 - 2 * y) * spread * entropy if spread > 0 else 0.0  # no infinity times 0
    return power * entropy, power * (steeper + p * (1 - y) - q * y)


@compiled
def _binary_focal(z, target, alpha, gamma, out):
    for k in range(z.size):
        out[k] = _binary_terms(np.float64(z[k]), np.float64(target[k]), alpha, gamma)[0]


@compiled
def _binary_focal_grad(z, target, alpha, gamma, scale, out):
    for k in range(z.size):
        out[k] = _binary_terms(np.float64(z[k]), np.float64(target[k]), alpha, gamma)[1] * scale
