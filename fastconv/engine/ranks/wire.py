"""What it takes until others have what a rank sends, and how much of that passes by itself while it computes.

Between the processes of one machine the processors move the data themselves, and nothing passes by itself.
On a network most of the time is that of the wire, and what fits into the memory of sockets needs nobody.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from .communicator import Alone

TOTAL = 1 << 19  # bytes of all ranks together
SMALL = 8  # bytes of each, where only the message counts
TURNS = 5


class Wire(NamedTuple):
    """What exchanges take.

    Parameters
    ----------
    latency : float
        Seconds of an exchange of next to nothing.
    bandwidth : float
        Bytes that a rank gets from others in a second.
    hidden : float
        The share of the time that passes while a rank computes and calls nothing of MPI: 0 to 1.

    Examples
    --------
    >>> wire = Wire(latency=1e-4, bandwidth=1e8, hidden=0.9)
    >>> round(wire.hidden_seconds(2_000_000), 6)
    0.018
    """

    latency: float
    bandwidth: float
    hidden: float

    def hidden_seconds(self, size: float) -> float:
        """How long a rank may compute until so many bytes have come from others, which costs it nothing."""
        return self.hidden * size / self.bandwidth


NO_WIRE = Wire(0.0, float("inf"), 0.0)


def measured_wire(ranks: "Alone") -> Wire:
    """The wire between ranks, as rank 0 finds it: all call this at once.

    Examples
    --------
    >>> from fastconv.engine.ranks.communicator import ALONE
    >>> measured_wire(ALONE).hidden
    0.0
    """
    if ranks.count == 1:
        return NO_WIRE
    counts, share = [1] * ranks.count, max(SMALL, TOTAL // ranks.count)
    small, large = (np.zeros((1, size), np.uint8) for size in (SMALL, share))
    latency = _best(ranks, lambda: ranks.all_rows(small, counts))
    whole = ranks.broadcast(_best(ranks, lambda: ranks.all_rows(large, counts)))

    def around() -> None:
        """An exchange around that many seconds of computing."""
        coming, end = ranks.begin_all_rows(large, counts), time.perf_counter() + whole
        while time.perf_counter() < end:
            pass
        coming.finish()

    rest = _best(ranks, around) - whole
    hidden = min(1.0, max(0.0, 1 - rest / whole))
    size = share * (ranks.count - 1)
    return ranks.broadcast(Wire(latency, size / max(whole - latency, 1e-9), hidden))  # type: ignore[no-any-return]


def _best(ranks: "Alone", act: Callable[[], object]) -> float:
    """The seconds that something takes which all ranks begin together."""
    best = float("inf")
    for _ in range(TURNS):
        ranks.wait_for_all()
        started = time.perf_counter()
        act()
        best = min(best, time.perf_counter() - started)
    return best
