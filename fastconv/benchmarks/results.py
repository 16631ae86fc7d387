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

    @property
    def flops_per_second(self) -> float | None:
        """Of fastconv; None where operations are not counted."""
        return self.flops / self.timings["fastconv"].best if self.flops else None

    @property
    def share_of_peak(self) -> float | None:
        """Of fastconv; None where operations are not counted or the peak is not known."""
        speed = self.flops_per_second
        return speed / self.peak if speed and self.peak else None

    def ratio(self, who: str) -> float | None:
        """How many times as fast as `who` fastconv is."""
        return self.timings[who].best / self.timings["fastconv"].best if who in self.timings else None
