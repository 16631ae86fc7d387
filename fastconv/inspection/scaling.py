"""How long a training step takes on many ranks: a model of computing and of what ranks say to each other.

A batch is cut in blocks of samples, one in each lane of a vector (16 in float32, 8 in float64), and these in
shards: as many as there are blocks, and at most 1,024. Ranks divide the shards among them; where there are
more ranks than shards, some have nothing to compute. With n samples at the rank that has the most,

    T(R) = C(n, R) + X(1) + X(2) + ...        the step of R ranks
    T(1) / (R T(R))                           their efficiency

C(n, R) is what a rank of R computes with these samples, measured in one process that hears nothing from
others: forward and backward pass, the sums over its shards and over what comes, and the optimizer's step,
which every rank takes in full. For samples that were not measured, C(n, R) - C(n, 1) is as for those that
were. X is the time of an exchange, by Hockney's model [1]: a message of n bytes takes
latency + n / bandwidth. Of the two kinds of exchanges that there are (`Ranks.all_rows` and
`Ranks.scatter_rows`), with N bytes of all ranks,

    gather     everybody gets what all have     m * latency + (R - 1) / R * N / bandwidth
    scatter    each gets its slice of it        (R - 1) * latency + (R - 1) / R * N / R / bandwidth

where m is log2(R), rounded up, if less than 512 KiB come together, and else R - 1: the algorithms that MPICH
takes [2]. Where ranks have parts of different sizes, the largest counts. A call of MPI takes some time, too.
Of the gradients' exchange is taken off what passes while ranks compute, where a step is cut for that: see
engine/overlap.py.

[1] R. W. Hockney, The communication challenge for MPP: Intel Paragon and Meiko CS-2. Parallel Computing 20
(1994), 389-398.
[2] R. Thakur, R. Rabenseifner, W. Gropp, Optimization of collective communication operations in MPICH.
International Journal of High Performance Computing Applications 19 (2005), 49-66.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np

from ..engine.shares import Shares, shares_of

LONG_MESSAGE = 512 * 1024  # bytes that come together: from here on MPICH's allgather goes round a ring
# What a call of `Ranks.all_rows` takes on a communicator of one rank, on a Zen 4: measured.
CALL_SECONDS = 6e-6
MOST_BLOCKS_A_RANK = 1 << 16  # where it is no longer looked for a batch that is large enough


class Exchange(NamedTuple):
    """What all ranks say to each other at one moment of a step.

    Parameters
    ----------
    way : {"gather", "scatter"}
        Whether everybody gets everything, or each its slice.
    total : int
        Bytes of all ranks together.
    passing : int
        The bytes that a rank gets from others, or sends to them, of the rank that has the most to do.

    Examples
    --------
    >>> Exchange("gather", total=60, passing=40).passing
    40
    """

    way: str
    total: int
    passing: int


class Link(NamedTuple):
    """What exchanges take.

    Parameters
    ----------
    latency : float
        Seconds of a message.
    bandwidth : float
        Bytes a second.
    call : float
        Seconds of an exchange with nobody.
    """

    latency: float
    bandwidth: float
    call: float = CALL_SECONDS

    def seconds(self, exchange: Exchange, ranks: int) -> float:
        """Of an exchange.

        Examples
        --------
        >>> link = Link(latency=1.0, bandwidth=10.0, call=0.5)
        >>> link.seconds(Exchange("gather", 80, 60), ranks=4)  # 2 messages, 60 bytes
        8.5
        >>> link.seconds(Exchange("scatter", 80, 15), ranks=4)  # 3 messages, 15 bytes
        5.0
        """
        if exchange.way == "scatter" or exchange.total >= LONG_MESSAGE:
            messages = ranks - 1
        else:
            messages = math.ceil(math.log2(ranks))
        return self.call + messages * self.latency + exchange.passing / self.bandwidth


class Computing:
    """What a rank computes in a step, by its samples and by how many ranks there are.

    Parameters
    ----------
    alone : mapping of int to float
        Samples -> the seconds of a process on its own. Between two numbers, and beyond the last one, it goes
        along a line.
    more : mapping of int to float, optional
        Ranks -> the seconds that it takes besides to share a step with so many.

    Examples
    --------
    >>> computing = Computing({16: 3.0, 48: 5.0, 64: 7.0}, {2: 0.5})
    >>> [computing(samples, 1) for samples in (16, 32, 64, 96)], computing(16, 2)
    ([3.0, 4.0, 7.0, 11.0], 3.5)
    """

    def __init__(self, alone: Mapping[int, float], more: Mapping[int, float] | None = None) -> None:
        self._samples, self._more = sorted(alone), more or {}
        self._seconds = [alone[samples] for samples in self._samples]

    def __call__(self, samples: int, ranks: int) -> float:
        last, more = self._samples[-1], self._more.get(ranks, 0.0)
        if samples <= last or len(self._samples) == 1:
            return float(np.interp(samples, self._samples, self._seconds)) + more
        slope = (self._seconds[-1] - self._seconds[-2]) / (last - self._samples[-2])
        return self._seconds[-1] + max(slope, 0.0) * (samples - last) + more


def most_samples(shares: Shares) -> int:
    """The samples of the rank that has the most of them.

    Examples
    --------
    >>> [most_samples(shares_of(100, 16, ranks)) for ranks in (1, 2, 3, 100)]
    [100, 52, 36, 16]
    """
    return max(stop - first for first, stop in itertools.pairwise(shares.sample_ends))


class StepModel(NamedTuple):
    """A step on any number of ranks.

    Parameters
    ----------
    computing : callable
        (samples of a rank, ranks) -> the seconds that it computes.
    exchanges : callable
        The shares of a batch -> the exchanges of a step.
    link : Link
    lanes : int
        Samples of a block.
    hidden : callable, optional
        The shares of a batch -> the seconds of its exchanges that pass while ranks compute.
    """

    computing: Callable[[int, int], float]
    exchanges: Callable[[Shares], Iterable[Exchange]]
    link: Link
    lanes: int
    hidden: Callable[[Shares], float] = lambda shares: 0.0

    def seconds(self, samples: int, ranks: int) -> tuple[float, float]:
        """(computing, exchanging) of a step."""
        shares = shares_of(samples, self.lanes, ranks)
        said = [self.link.seconds(one, ranks) for one in self.exchanges(shares)] if ranks > 1 else []
        return self.computing(most_samples(shares), ranks), max(0.0, sum(said) - self.hidden(shares))

    def efficiency(self, samples: int, ranks: int) -> float:
        """What part of their time ranks spend on what one of them would do as well."""
        return self.computing(samples, 1) / (ranks * sum(self.seconds(samples, ranks)))

    def pays_from(self, ranks: int, efficiency: float) -> int | None:
        """The smallest batch, the same blocks for each rank, that has this efficiency; None if there is none.

        A larger batch is taken to be more efficient.
        """

        def enough(blocks: int) -> bool:  # at each rank
            return self.efficiency(blocks * ranks * self.lanes, ranks) >= efficiency

        low, high = 0, 1
        while not enough(high):
            low, high = high, 2 * high
            if high > MOST_BLOCKS_A_RANK:
                return None
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if enough(middle) else (middle, high)
        return high * ranks * self.lanes
