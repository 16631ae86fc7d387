"""Which samples `validation_split` holds out: of each class the last ones."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.columns import arrays_in
from ..engine.inputs import classes_of
from ..engine.ranks.communicator import ALONE
from ..engine.ranks.spread import Spread
from ..nn.joint_loss import parts_of
from ..nn.losses import Loss

Chosen = NDArray[np.bool_]  # whether a sample is, which takes an eighth of the memory of its number
BLOCK = 4096


def held_out_samples(y: Any, split: float, loss: Loss, spread: Spread | None = None) -> Chosen:
    """Which samples are held out, the others being trained on; of those of all ranks, where `spread` says so.

    Of each class its last ones are held out, so that it has its share on both sides, however y is sorted; a
    class of one sample stays in training. Where there are no classes, the last samples are held out.

    Examples
    --------
    >>> from fastconv.nn.losses import CrossEntropy, MSE
    >>> labels = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])
    >>> np.flatnonzero(held_out_samples(labels, 0.25, CrossEntropy()))
    array([3, 7])
    >>> held_out_samples(np.array([[3.0], [1.0], [2.0]]), 0.3, MSE())
    array([False, False,  True])
    """
    spread = Spread(ALONE, len(y)) if spread is None else spread
    count = spread.total
    wanted = round(count * split)
    labels = _labels(y, loss, spread)
    taken = None if labels is None else _taken(np.bincount(labels), split, wanted)
    if not (0 < wanted < count and (taken is None or taken.any())):
        what = "" if taken is None else ", in classes that keep a sample to train on"
        raise ValueError(f"`validation_split` = {split} leaves no samples on one side of {count}{what}")
    if labels is not None and taken is not None:
        return _last_of_each(labels, taken)
    for targets in arrays_in(y):
        if targets.shape[1:] == (1,):
            everyones = spread.of_all(targets)
            _warn_of_sorted(everyones[:-wanted], everyones[-wanted:])
    return np.arange(count) >= count - wanted


def _labels(y: Any, loss: Loss, spread: Spread) -> NDArray[np.int64] | None:
    """The class of each sample, by the first output that has classes on every rank, or None."""
    for targets, (part, _) in zip(arrays_in(y), parts_of(loss), strict=True):
        labels = classes_of(targets, part)
        if all(spread.ranks.gather(labels is not None)) and labels is not None:
            return spread.of_all(labels)
    return None


def _taken(counts: NDArray[np.int64], split: float, wanted: int) -> NDArray[np.int64]:
    """How many samples to hold out of classes of so many: `wanted` of all, and one at least stays of each."""
    shares, most = counts * split, np.maximum(counts - 1, 0)
    taken = np.minimum(np.floor(shares).astype(np.int64), most)
    missing = np.where(taken < most, shares - taken, -1.0)  # largest remainders first
    for place in np.argsort(-missing, kind="stable")[: max(0, wanted - int(taken.sum()))]:
        taken[place] += missing[place] >= 0
    return taken


def _last_of_each(labels: NDArray[np.int64], taken: NDArray[np.int64]) -> Chosen:
    """Which samples are the last `taken` of their class; found block by block, which needs little memory."""
    out, left = np.zeros(len(labels), bool), taken.copy()
    for stop in range(len(labels), 0, -BLOCK):
        block = labels[max(0, stop - BLOCK) : stop][::-1]
        order = np.argsort(block, kind="stable")
        place = np.empty(len(block), np.int64)  # among those of its class in the block, from the end
        place[order] = np.arange(len(block)) - np.searchsorted(block[order], block[order])
        out[max(0, stop - BLOCK) : stop] = (place < left[block])[::-1]
        left = np.maximum(left - np.bincount(block, minlength=len(left)), 0)
    return out


def _warn_of_sorted(trained: NDArray[Any], rest: NDArray[Any]) -> None:
    """Warn where all held-out targets lie beyond those that are trained: y is sorted."""
    if rest.min() > trained.max() or rest.max() < trained.min():
        warnings.warn(
            f"`validation_split` holds out the last {len(rest)} samples, and their y, {rest.min()} to "
            f"{rest.max()}, is beyond that of all others: shuffle X and y, or give `validation_data`",
            stacklevel=8,
        )
