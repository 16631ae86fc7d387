"""Losses of numbers that a few far-off targets don't rule: squares near the target, straight lines beyond.

                 up to the limit        beyond it
    huber        e**2 / 2               delta (|e| - delta / 2)
    smooth_l1    e**2 / (2 beta)        |e| - beta / 2            huber divided by its delta, beta

Reductions are those of the other losses: see losses.py.
"""

from typing import Any

import numpy as np

from ..checks.jit import Array, public_with_text
from ..checks.scalars import scalar
from ..simd.compiling import compiled
from .loss_arguments import positive, slope_factor, with_target
from .reductions import reduce_losses, reduction_code

__all__ = ["huber", "huber_grad", "smooth_l1", "smooth_l1_grad"]


@public_with_text
def huber(y: Array, target: Array, delta: float = 1.0, reduction: str = "mean") -> Any:
    """Huber loss: e**2 / 2 for errors e = y - target up to delta, beyond it delta (|e| - delta / 2).

    Parameters
    ----------
    y : ndarray of float32 or float64
    target : ndarray
        Of the shape and dtype of `y`.
    delta : float
        Where the parabola goes over into straight lines; above 0.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    float, or ndarray of the shape of `y` for "none"

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ, `delta` is not positive, or the reduction is unknown.

    Notes
    -----
    The mean of an empty batch is NaN. Source: Huber (1964), Robust estimation of a location parameter.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import huber
    >>> float(huber(np.array([0.5, 3.0]), np.array([0.0, 0.0])))  # (0.125 + 2.5) / 2
    1.3125
    """
    y, target = with_target(y, "y", -1, target)
    limit = positive(scalar(delta, "delta"), "delta")
    reduction_code(reduction)
    losses = np.empty(y.shape, y.dtype)
    _huber(y.reshape(-1), target.reshape(-1), limit, losses.reshape(-1))
    return reduce_losses(losses, reduction)


@public_with_text
def huber_grad(y: Array, target: Array, delta: float = 1.0, reduction: str = "mean") -> Array:
    """Gradient of `huber` with respect to y: the error, at most delta to either side.

    Parameters
    ----------
    y, target, delta, reduction
        As in `huber`.

    Returns
    -------
    ndarray, of the shape and dtype of `y`

    Raises
    ------
    TypeError, ValueError
        As in `huber`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import huber_grad
    >>> huber_grad(np.array([0.5, -3.0]), np.array([0.0, 0.0]), reduction="sum")
    array([ 0.5, -1. ])
    """
    y, target = with_target(y, "y", -1, target)
    limit = positive(scalar(delta, "delta"), "delta")
    scale = slope_factor(reduction, y.size)
    slopes = np.empty(y.shape, y.dtype)
    _huber_grad(y.reshape(-1), target.reshape(-1), limit, scale, slopes.reshape(-1))
    return slopes


@public_with_text
def smooth_l1(y: Array, target: Array, beta: float = 1.0, reduction: str = "mean") -> Any:
    """Smooth L1 loss: e**2 / (2 beta) for errors e = y - target up to beta, beyond it |e| - beta / 2.

    Parameters
    ----------
    y : ndarray of float32 or float64
    target : ndarray
        Of the shape and dtype of `y`.
    beta : float
        Where the parabola goes over into straight lines; above 0.
    reduction : {"mean", "sum", "none"}

    Returns
    -------
    float, or ndarray of the shape of `y` for "none"

    Raises
    ------
    TypeError, ValueError
        If dtypes or shapes differ, `beta` is not positive, or the reduction is unknown.

    Notes
    -----
    The mean of an empty batch is NaN. Source: Girshick (2015), Fast R-CNN, eq. 3; PyTorch's smooth_l1_loss.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import smooth_l1
    >>> float(smooth_l1(np.array([0.5, 3.0]), np.array([0.0, 0.0]), 0.5))  # (0.25 + 2.75) / 2
    1.5
    """
    y, target = with_target(y, "y", -1, target)
    limit = positive(scalar(beta, "beta"), "beta")
    reduction_code(reduction)
    losses = np.empty(y.shape, y.dtype)
    _smooth_l1(y.reshape(-1), target.reshape(-1), limit, losses.reshape(-1))
    return reduce_losses(losses, reduction)


@public_with_text
def smooth_l1_grad(y: Array, target: Array, beta: float = 1.0, reduction: str = "mean") -> Array:
    """Gradient of `smooth_l1` with respect to y: the error over beta, at most 1 to either side.

    Parameters
    ----------
    y, target, beta, reduction
        As in `smooth_l1`.

    Returns
    -------
    ndarray, of the shape and dtype of `y`

    Raises
    ------
    TypeError, ValueError
        As in `smooth_l1`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import smooth_l1_grad
    >>> smooth_l1_grad(np.array([0.25, -3.0]), np.array([0.0, 0.0]), 0.5, reduction="sum")
    array([ 0.5, -1. ])
    """
    y, target = with_target(y, "y", -1, target)
    limit = positive(scalar(beta, "beta"), "beta")
    scale = slope_factor(reduction, y.size)
    slopes = np.empty(y.shape, y.dtype)
    _huber_grad(y.reshape(-1), target.reshape(-1), limit, scale / limit, slopes.reshape(-1))
    return slopes


@compiled
def _huber(y, target, delta, losses):
    number = y.dtype.type
    limit, half = number(delta), number(0.5)
    for k in range(y.size):
        error = abs(y[k] - target[k])
        losses[k] = half * error * error if error <= limit else limit * (error - half * limit)


@compiled
def _smooth_l1(y, target, beta, losses):
    number = y.dtype.type
    limit, half = number(beta), number(0.5)
    for k in range(y.size):
        error = abs(y[k] - target[k])
        losses[k] = half * error * error / limit if error <= limit else error - half * limit


@compiled
def _huber_grad(y, target, delta, scale, slopes):
    number = y.dtype.type
    limit, factor = number(delta), number(scale)
    for k in range(y.size):
        error = y[k] - target[k]
        if error > limit:
            error = limit
        elif error < -limit:
            error = -limit
        slopes[k] = error * factor
