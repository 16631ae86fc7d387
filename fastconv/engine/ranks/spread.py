"""Rows that lie with several ranks, one part below the other, and how they come to where they are wanted."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .communicator import Alone

Rows = NDArray[np.int64]  # numbers of rows, counted over all ranks


class Spread:
    """How many rows each rank has, rank 0's first; every method but `here` is called by all ranks together.

    Parameters
    ----------
    ranks : Alone or Ranks
    here : int
        Rows of this rank, 0 or more.
    counts : list of int, optional
        Those of all ranks, where they are known.
    """

    def __init__(self, ranks: Alone, here: int, counts: list[int] | None = None) -> None:
        self.ranks = ranks
        self.counts: list[int] = ranks.gather(here) if counts is None else counts
        self.total = sum(self.counts)  # rows of all ranks

    @cached_property
    def _bounds(self) -> Rows:
        """The first row of each rank, and the end of all."""
        return np.cumsum([0, *self.counts])

    @property
    def _own(self) -> tuple[int, int]:
        """This rank's rows: the first, the one after the last."""
        first, end = self._bounds[self.ranks.number : self.ranks.number + 2].tolist()
        return first, end

    def here(self, values: Any) -> Any:
        """Of something for each row, what belongs to this rank's rows."""
        return values[slice(*self._own)]

    def of_all(self, values: NDArray[Any]) -> NDArray[Any]:
        """This rank's rows below and above those of the others, on every rank."""
        return self._joined(values, self.counts)

    def rows(self, values: NDArray[Any], rows: Rows) -> NDArray[Any]:
        """Some rows, of all ranks, on every rank; their numbers ascend."""
        ends = np.searchsorted(rows, self._bounds)
        mine = rows[ends[self.ranks.number] : ends[self.ranks.number + 1]] - self._own[0]
        return self._joined(values[mine], np.diff(ends).tolist())

    def _joined(self, values: NDArray[Any], counts: list[int]) -> NDArray[Any]:
        if self.ranks.count == 1:
            return values
        return self.ranks.all_rows(np.ascontiguousarray(values), counts)

    def fetched(self, values: NDArray[Any], wanted: list[Rows]) -> NDArray[Any]:
        """The rows that this rank wants, in its order; `wanted` has those of every rank."""
        mine, (first, end) = wanted[self.ranks.number], self._own
        sent = [rows[(rows >= first) & (rows < end)] - first for rows in wanted]
        owners = np.searchsorted(self._bounds[1:], mine, side="right")
        received = np.bincount(owners, minlength=self.ranks.count).tolist()
        rows = np.ascontiguousarray(values[np.concatenate(sent)])
        came = self.ranks.scatter_rows(rows, [len(some) for some in sent], received)
        found = np.empty_like(came)
        found[np.argsort(owners, kind="stable")] = came  # they come owner by owner
        return found
