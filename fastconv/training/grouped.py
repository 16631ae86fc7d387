"""Several batches as one: what gradient accumulation comes to."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.columns import arrays_in, like
from ..engine.ranks.spread import Spread
from .batch_feed import BatchFeed
from .parts import Part, ScatteredPart


class GroupedFeed:
    """Groups of `count` batches of a feed, each one step; the last group of a pass may have fewer.

    A step on all samples of a group is what the sum of the batches' gradients, each with its share of the
    samples, would make: to the bit, since it is computed as that of one batch.
    """

    def __init__(self, feed: BatchFeed, count: int) -> None:
        self._feed, self._count = feed, count
        self.steps = None if feed.steps is None else -(-feed.steps // count)
        self.samples, self.weighted, self.targets = feed.samples, feed.weighted, feed.targets
        self.batch_size, self.ended = feed.batch_size * count, False

    def parts(self, epoch: int) -> Iterator[Part]:
        """The groups of one epoch."""
        waiting: list[Part] = []
        for part in self._feed.parts(epoch):
            waiting.append(part)
            if len(waiting) == self._count:
                yield joined(waiting)
                waiting = []
        self.ended = self._feed.ended
        if waiting:
            yield joined(waiting)

    def fingerprint(self) -> dict[str, Any]:
        """That of the batches."""
        return self._feed.fingerprint()


def joined(parts: list[Part]) -> Part:
    """The samples of several batches as one."""
    if len(parts) == 1:
        return parts[0]
    weight = None
    if any(part.weight is not None for part in parts):
        weight = np.concatenate([np.ones(len(p.X)) if p.weight is None else p.weight for p in parts])
    X, y = _columns([part.X for part in parts], _samples), _columns([part.y for part in parts], _targets)
    after = f" and the {len(parts) - 1} after it" if len(parts) > 2 else " and the one after it"
    names = parts[0].names[0] + after, parts[0].names[1] + after
    spreads = [part.spread for part in parts if isinstance(part, ScatteredPart)]
    if not spreads:
        return Part(X, y, weight, len(X), names=names)
    counts = np.array([spread.counts for spread in spreads])  # by batch and rank
    spread = Spread(spreads[0].ranks, len(X), counts.sum(axis=0).tolist())
    return ScatteredPart(X, y, weight, spread.total, _batch_by_batch(counts), names, spread)


def _batch_by_batch(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of samples, counted rank by rank, in the order of batches, of which each rank has some."""
    of_ranks = counts.sum(axis=0)
    before = np.cumsum(of_ranks) - of_ranks + np.cumsum(counts, axis=0) - counts
    return np.concatenate(
        [np.arange(first, first + count) for first, count in zip(before.flat, counts.flat, strict=True)]
    )


def _columns(several: list[Any], join: Any) -> Any:
    """Each input, or output, of several batches joined."""
    arrays = zip(*map(arrays_in, several), strict=True)
    return like(several[0], [join(list(same)) for same in arrays])


def _samples(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Samples in a row: those of uint8, which are divided by 255, can't lie beside others as they are."""
    kinds = {array.dtype == np.uint8 for array in arrays}
    if len(kinds) > 1:
        arrays = [array / 255 if array.dtype == np.uint8 else array for array in arrays]
    return np.concatenate(arrays)


def _targets(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    """Targets in a row: labels beside parts of classes become such."""
    most = max(array.ndim for array in arrays)
    classes = next(array.shape[1] for array in arrays if array.ndim == most) if most > 1 else 0
    return np.concatenate([a if a.ndim == most else np.moveaxis(np.eye(classes)[a], -1, 1) for a in arrays])
