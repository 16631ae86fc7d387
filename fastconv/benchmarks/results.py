"""One measured piece of work."""

from collections.abc import Mapping
from typing import NamedTuple

from .timing import Timing


class Row(NamedTuple):
    """One piece of work, measured."""

    work: str
    flops: int
    threads: int
    timings: Mapping[str, Timing]
    peak: float | None = None
    right: bool = True
    kind: str = "kernel"
    failed: Mapping[str, str] = {}  # contender -> its error

    @property
    def flops_per_second(self) -> float | None:
        """Of fastconv; None where operations are not counted, or it failed."""
        mine = self.timings.get("fastconv")
        return self.flops / mine.best if self.flops and mine else None

    @property
    def share_of_peak(self) -> float | None:
        """Of fastconv; None where operations are not counted or the peak is not known."""
        speed = self.flops_per_second
        return speed / self.peak if speed and self.peak else None

    def ratio(self, who: str) -> float | None:
        """How many times as fast as `who` fastconv is; None where one of them was not timed."""
        mine, theirs = self.timings.get("fastconv"), self.timings.get(who)
        return theirs.best / mine.best if mine and theirs else None
