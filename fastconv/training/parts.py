"""Samples to go through in steps: where they are, in which order, and what becomes of them on many ranks.

Part            samples that this process has, as one process does or every rank does
ScatteredPart   samples of which every rank has some
FetchedPart     some of these, as a rank has asked for: what it does not need points anywhere
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.columns import arrays_in, like, named
from ..engine.lowering.strips import samples_of_strip
from ..engine.ranks.spread import Spread
from .finite import first_not_finite
from .sample_weights import Weights

STRETCH_BYTES = 1 << 22  # of samples that come to a rank at once
Span = tuple[int, int]  # places in an order: the first, the one after the last


@dataclass(frozen=True)
class Part:
    """Samples to go through in steps of `batch_size`: all as they lie, or those of `order`."""

    X: Any  # an array, or Columns
    y: Any
    weight: Weights | None
    batch_size: int
    order: NDArray[np.int64] | None = None
    names: tuple[str, str] = ("X", "y")  # of X and y, for errors

    @property
    def samples(self) -> int:
        """How many samples there are to go through."""
        return len(self.X) if self.order is None else len(self.order)

    def pieces(self, lanes: int) -> "Iterator[Part]":
        """The same, with a last batch on its own that is computed in another way than the larger ones.

        What becomes of a batch depends on its own size alone: see `samples_of_strip`.
        """
        whole, rest = divmod(self.samples, self.batch_size)
        if not whole or not rest or samples_of_strip(rest, lanes) == samples_of_strip(self.batch_size, lanes):
            yield self
            return
        first = whole * self.batch_size
        order = np.arange(first, self.samples) if self.order is None else self.order[first:]
        yield self.between(0, first)
        yield replace(self, batch_size=rest, order=order)

    def between(self, first: int, stop: int) -> "Part":
        """The samples at some places of the order."""
        if self.order is not None:
            return replace(self, order=self.order[first:stop])
        weight = None if self.weight is None else self.weight[first:stop]
        return replace(self, X=self.X[first:stop], y=self.y[first:stop], weight=weight)

    def stretches(self, owned: Callable[[int, int], Span], ranks: int, all_targets: bool) -> "Iterator[Part]":
        """The same in parts whose samples are here as far as this rank computes them.

        `owned` tells which samples of a batch of some size a rank of this number computes; `all_targets` asks
        for those of the others too.
        """
        yield self

    def on_each(self, spans: list[Span], rank: int) -> "Part":
        """Of samples that are shared out, `spans` to the ranks, those of this rank."""
        first, stop = spans[rank]
        if (first, stop) == (0, self.samples):
            return self
        some = self.between(first, stop)
        if self.order is not None:
            return some
        numbers = np.arange(first, stop)
        return FetchedPart(some.X, some.y, some.weight, self.batch_size, None, self.names, numbers)

    def targets(self, done: int) -> Any:
        """The targets of the first samples."""
        return self.y[:done].copy() if self.order is None else self.y[self.order[:done]]

    def what_is_not_finite(self, seen: int) -> str | None:
        """What is wrong with the first `seen` samples, in words, or None where all are finite."""
        rows = np.arange(seen) if self.order is None else np.sort(self.order[:seen])
        return self._not_finite(rows)

    def _not_finite(self, rows: NDArray[np.int64], numbers: NDArray[np.int64] | None = None) -> str | None:
        for columns, what in zip((self.X, self.y), self.names, strict=True):
            for values, name in named(columns, what):
                found = first_not_finite(values, name, rows, numbers)
                if found:
                    return found
        return None


@dataclass(frozen=True)
class FetchedPart(Part):
    """Rows that were taken out, or sent for; `numbers` is what they are called, counted over all ranks."""

    numbers: Any = None
    everyones: Any = None  # the targets at all places of the order, where they were asked for

    def targets(self, done: int) -> Any:
        return self.everyones[:done] if self.everyones is not None else super().targets(done)

    def what_is_not_finite(self, seen: int) -> str | None:
        rows = np.arange(len(self.X))
        if self.order is not None:
            rows = np.intersect1d(rows, self.order[:seen])
        return self._not_finite(rows, self.numbers)


@dataclass(frozen=True)
class ScatteredPart(Part):
    """Samples of which every rank has some: X, y and weight are this rank's, `order` counts those of all."""

    order: NDArray[np.int64] = field(default_factory=lambda: np.arange(0))  # always there
    spread: Any = None

    def stretches(self, owned: Callable[[int, int], Span], ranks: int, all_targets: bool) -> "Iterator[Part]":
        """Each of some steps, so that what is sent takes little memory."""
        size = sum(array.itemsize * math.prod(array.shape[1:]) for array in arrays_in(self.X))
        steps = max(1, STRETCH_BYTES * ranks // (self.batch_size * size))
        for first in range(0, self.samples, steps * self.batch_size):
            order = self.order[first : first + steps * self.batch_size]
            yield replace(self, order=order)._stretch(owned, all_targets)

    def _stretch(self, owned: Callable[[int, int], Span], all_targets: bool) -> Part:
        places = [self._places(owned, rank) for rank in range(self.spread.ranks.count)]
        mine = places[self.spread.ranks.number]
        order = np.zeros(self.samples, np.int64)
        order[mine] = np.arange(len(mine))
        return replace(self._fetched(places, all_targets), order=order)

    def _places(self, owned: Callable[[int, int], Span], rank: int) -> NDArray[np.int64]:
        """The places whose samples a rank computes; one at least: what nobody reads must lie somewhere."""
        whole, rest = divmod(self.samples, self.batch_size)
        starts = np.arange(whole)[:, None] * self.batch_size
        last = self.samples - rest + np.arange(*owned(rest, rank))
        found = np.concatenate([(starts + np.arange(*owned(self.batch_size, rank))).ravel(), last])
        return found if len(found) else np.arange(1)

    def on_each(self, spans: list[Span], rank: int) -> Part:
        return self._fetched([np.arange(*span) for span in spans], False)

    def _fetched(self, places: list[NDArray[np.int64]], all_targets: bool) -> Part:
        """The samples at the places that this rank wants; `places` has those of every rank."""
        spread, order = self.spread, self.order
        wanted = [order[some] for some in places]
        numbers, everyones = wanted[spread.ranks.number], None
        if all_targets:
            everyones = _sent(spread, self.y, [order] * len(wanted))
            y = everyones[places[spread.ranks.number]]
        else:
            y = _sent(spread, self.y, wanted)
        weight = None if self.weight is None else spread.fetched(self.weight, wanted)
        X = _sent(spread, self.X, wanted)
        return FetchedPart(X, y, weight, self.batch_size, None, self.names, numbers, everyones)


def _sent(spread: Spread, columns: Any, wanted: list[NDArray[np.int64]]) -> Any:
    """Rows of an array, or of columns, that come to this rank."""
    return like(columns, [spread.fetched(array, wanted) for array in arrays_in(columns)])
