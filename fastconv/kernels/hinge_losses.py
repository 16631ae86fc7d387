"""Hinge losses: nothing to pay where the right answer leads by a margin, as support vector machines have it.

Reductions are those of the other losses: see losses.py.
"""

from typing import Any

import numpy as np

from ..checks.jit import Array, public_with_text
from ..checks.scalars import scalar
from ..simd.compiling import compiled
from .loss_arguments import positive, slope_factor, with_labels, with_target
from .reductions import reduce_losses, reduction_code

__all__ = ["binary_hinge", "binary_hinge_grad", "hinge", "hinge_grad"]


@public_with_text
def hinge(scores: Array, labels: Array, margin: float = 1.0, reduction: str = "mean") -> Any:
    """Hinge loss of several classes: the sum over k != label of max(0, margin - z[label] + z[k]), over K.

    Parameters
    ----------
    scores : ndarray, shape (N, K)
        float32 or float64, any strides; the largest wins.
    labels : ndarray of ints, shape (N,)
        0 to K - 1.
    margin : float
        By how much the right score must lead; above 0.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    float, or ndarray of shape (N,) for "none"

    Raises
    ------
    TypeError, ValueError
        If types or shapes do not fit, a label is out of range, `margin` is not positive, or the reduction is
        unknown.

    Notes
    -----
    It is PyTorch's multi_margin_loss with p=1; Keras's categorical_hinge counts the largest of the other
    scores only. The mean of an empty batch is NaN. Source: Weston and Watkins (1999), Support vector machines
    for multi-class pattern recognition, eq. 3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import hinge
    >>> float(hinge(np.array([[2.0, 1.5, 0.0, -3.0]]), np.array([0])))  # (0.5 + 0 + 0) / 4
    0.125
    """
    scores, labels = with_labels(scores, "scores", labels)
    lead = positive(scalar(margin, "margin"), "margin")
    reduction_code(reduction)
    losses = np.empty(scores.shape[0], scores.dtype)
    _hinge(scores, labels, lead, losses)
    return reduce_losses(losses, reduction)


@public_with_text
def hinge_grad(scores: Array, labels: Array, margin: float = 1.0, reduction: str = "mean") -> Array:
    """Gradient of `hinge`: 1 / K for each score that is too near, and minus their sum at the label.

    Parameters
    ----------
    scores, labels, margin, reduction
        As in `hinge`.

    Returns
    -------
    ndarray, shape (N, K)

    Raises
    ------
    TypeError, ValueError
        As in `hinge`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import hinge_grad
    >>> hinge_grad(np.array([[2.0, 1.5, 0.0, -3.0]]), np.array([0]))
    array([[-0.25,  0.25,  0.  ,  0.  ]])
    """
    scores, labels = with_labels(scores, "scores", labels)
    lead = positive(scalar(margin, "margin"), "margin")
    scale = slope_factor(reduction, scores.shape[0])
    slopes = np.empty(scores.shape, scores.dtype)
    _hinge_grad(scores, labels, lead, scale, slopes)
    return slopes


@public_with_text
def binary_hinge(z: Array, target: Array, reduction: str = "mean") -> Any:
    """Hinge loss of scores of a yes: max(0, 1 - t z) for t = 2 y - 1, so that a yes is 1 and a no is -1.

    Parameters
    ----------
    z : ndarray of float32 or float64
        Scores; above 0 they say yes.
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
    The mean of an empty batch is NaN. Source: Cortes and Vapnik (1995), Support-vector networks; Keras's
    hinge with targets 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import binary_hinge
    >>> float(binary_hinge(np.array([0.25, -3.0]), np.array([1.0, 0.0])))  # (0.75 + 0) / 2
    0.375
    """
    z, target = with_target(z, "z", -1, target)
    reduction_code(reduction)
    losses = np.empty(z.shape, z.dtype)
    _binary_hinge(z.reshape(-1), target.reshape(-1), losses.reshape(-1))
    return reduce_losses(losses, reduction)


@public_with_text
def binary_hinge_grad(z: Array, target: Array, reduction: str = "mean") -> Array:
    """Gradient of `binary_hinge` with respect to z: -t where there is something to pay, else 0.

    Parameters
    ----------
    z, target, reduction
        As in `binary_hinge`.

    Returns
    -------
    ndarray, of the shape and dtype of `z`

    Raises
    ------
    TypeError, ValueError
        As in `binary_hinge`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import binary_hinge_grad
    >>> binary_hinge_grad(np.array([0.25, 0.5, 3.0]), np.array([1.0, 0.0, 1.0]), "sum")
    array([-1.,  1.,  0.])
    """
    z, target = with_target(z, "z", -1, target)
    scale = slope_factor(reduction, z.size)
    slopes = np.empty(z.shape, z.dtype)
    _binary_hinge_grad(z.reshape(-1), target.reshape(-1), scale, slopes.reshape(-1))
    return slopes


@compiled
def _paid(value):
    """What there is to pay; NaN stays NaN."""
    return 0.0 if value < 0 else value


@compiled
def _hinge(scores, labels, margin, out):
    for n in range(scores.shape[0]):
        loss = 0.0
        for k in range(scores.shape[1]):
            if k != labels[n]:
                loss += _paid(margin - scores[n, labels[n]] + scores[n, k])
        out[n] = loss / scores.shape[1]


@compiled
def _hinge_grad(scores, labels, margin, scale, out):
    for n in range(scores.shape[0]):
        payers = 0
        for k in range(scores.shape[1]):
            pays = k != labels[n] and margin - scores[n, labels[n]] + scores[n, k] > 0
            payers += pays
            out[n, k] = scale / scores.shape[1] if pays else 0.0
        out[n, labels[n]] = -payers * scale / scores.shape[1]


@compiled
def _binary_hinge(z, target, out):
    for k in range(z.size):
        out[k] = _paid(1 - (2 * target[k] - 1) * z[k])


@compiled
def _binary_hinge_grad(z, target, scale, out):
    for k in range(z.size):
        sign = 2 * target[k] - 1
        out[k] = -sign * scale if 1 - sign * z[k] > 0 else 0.0
