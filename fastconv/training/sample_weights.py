"""How much each sample counts in the loss: sample weights and class weights, checked and put together."""

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks.settings import real_number
from ..engine.inputs import classes_of
from ..engine.ranks.communicator import ALONE
from ..engine.ranks.spread import Spread
from ..nn.losses import Loss

Weights = NDArray[np.float64]


def check_sample_weight(
    sample_weight: "ArrayLike", count: int, name: str = "sample_weight", may_be_zeros: bool = False
) -> Weights:
    """`sample_weight` as float64 of shape (count,), a copy only where it has to be.

    Raises
    ------
    TypeError
        If it is not an array of real numbers.
    ValueError
        If its shape does not fit, a weight is negative or not finite, or all are 0 and may not be.
    """
    weights = np.asarray(sample_weight)
    if weights.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` must be an array of real numbers, got {weights.dtype}")
    if weights.shape != (count,):
        raise ValueError(f"`{name}` must have shape ({count},), one weight a sample, got {weights.shape}")
    weights = weights.astype(np.float64, copy=False)[...]
    if count and not (np.isfinite(weights).all() and weights.min() >= 0):
        first = int(np.argmax(~(np.isfinite(weights) & (weights >= 0))))
        raise ValueError(f"`{name}` must be finite numbers >= 0, got {weights[first]} at [{first}]")
    if count and not may_be_zeros:
        check_above_zero(weights, name, Spread(ALONE, count))
    return weights


def check_above_zero(weights: Weights, name: str, spread: Spread) -> None:
    """Raise ValueError where all weights, of all ranks that have some of the samples, are 0."""
    if not any(spread.ranks.gather(bool(weights.any()))):
        raise ValueError(f"`{name}` must have a weight above 0, got only zeros")


def class_weights(
    class_weight: Any, labels: NDArray[Any], count: int, sample_weight: Weights | None = None
) -> Weights:
    """The weight of each of `count` classes.

    Parameters
    ----------
    class_weight : dict, array_like of shape (count,) or "balanced"
        Class number -> weight, 1 for those that are missing; a weight for each class; or total / (classes x
        total of the class), so that all classes count the same, as in scikit-learn. A class without samples
        then has weight 0.
    labels : ndarray of int, shape (N,)
    count : int
        How many classes there are.
    sample_weight : ndarray, shape (N,), optional
        Of which the totals are; 1 for each by default.

    Raises
    ------
    TypeError, ValueError
        If `class_weight` is neither, or names a class that there is not.

    Examples
    --------
    >>> class_weights("balanced", np.array([0, 0, 0, 1]), 2)
    array([0.66666667, 2.        ])
    >>> class_weights({1: 5.0}, np.array([0, 1]), 2)
    array([1., 5.])
    """
    if isinstance(class_weight, str) and class_weight == "balanced":
        totals = np.bincount(labels, sample_weight, count).astype(np.float64)
        present = totals > 0
        return np.divide(totals.sum() / present.sum(), totals, out=np.zeros(count), where=present)
    if isinstance(class_weight, (list, tuple, np.ndarray)):
        if np.shape(class_weight) != (count,):
            raise ValueError(
                f"`class_weight` must have shape ({count},), one weight a class, got {np.shape(class_weight)}"
            )
        class_weight = dict(enumerate(class_weight))
    if not isinstance(class_weight, Mapping):
        or_array = f"or an array of {count} weights"
        raise TypeError(
            f'`class_weight` must be None, "balanced" or a dict, got {class_weight!r} ({or_array})'
        )
    weights = np.ones(count)
    for label, weight in class_weight.items():
        if not isinstance(label, numbers.Integral) or not 0 <= int(label) < count:
            raise ValueError(f"`class_weight` must have class numbers 0 to {count - 1}, got {label!r}")
        weights[int(label)] = real_number(weight, f"class_weight[{label!r}]")
    return weights


def combine(
    sample_weight: "ArrayLike | None",
    class_weight: Any,
    y: NDArray[Any],
    loss: Loss,
    output_features: int,
    batch: bool = False,
    spread: Spread | None = None,
) -> Weights | None:
    """The weight of each sample, or None where all count the same.

    Parameters
    ----------
    sample_weight : array_like, shape (N,), optional
    class_weight : dict, array_like or "balanced", optional
        It needs a class for each sample: labels, or 0 and 1 for a single binary output.
    y : ndarray
        The targets, as `check_targets` gives them.
    loss : Loss
    output_features : int
        Numbers of one output sample.
    batch : bool
        Whether these are not all samples, so that all of their weights may be 0.
    spread : Spread, optional
        Where other ranks have samples too, over all of which classes are balanced.

    Raises
    ------
    TypeError, ValueError
        If an argument does not fit.
    """
    spread = Spread(ALONE, len(y)) if spread is None else spread
    weights = None
    if sample_weight is not None:
        weights = check_sample_weight(sample_weight, len(y), may_be_zeros=True)
        if not batch:
            check_above_zero(weights, "sample_weight", spread)
    if class_weight is None:
        return weights
    labels, count = classes_of(y, loss), output_features if loss.targets == "labels" else 2
    if labels is None and loss.targets == "labels":
        raise ValueError(
            "`class_weight` needs a class for each sample, and there is one for each pixel: give the loss "
            "its own, such as losses.CrossEntropy(class_weight=[1.0, 5.0])"
        )
    known = labels is not None if batch else all(spread.ranks.gather(labels is not None))
    if labels is None or not known:
        raise ValueError(
            f"`class_weight` needs a class for each sample: {loss} has none, or not just 0 and 1"
        )
    everyones, own = labels, weights
    if not batch:
        everyones, own = spread.of_all(labels), None if weights is None else spread.of_all(weights)
    by_class = class_weights(class_weight, everyones, count, own)[labels]
    weights = by_class if weights is None else by_class * weights
    check_sample_weight(weights, len(y), "class_weight", may_be_zeros=True)
    if not batch:
        check_above_zero(weights, "class_weight", spread)
    return weights
