"""What many ranks would make of a training step: foretold from what it takes here, and from their network."""

import copy
import math
import time
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..checks.settings import real_number, whole_number
from ..checks.units import given_bytes_per_second, given_seconds
from ..engine.measuring import TURNS
from ..engine.memory import lanes_of
from ..engine.shares import shares_of
from ..engine.threads import get_num_threads
from ..models.building import given_model, loss_for
from ..models.model import Model
from ..nn.optimizers import Optimizer, OptimizerName
from .exchanges import exchanges_of, hidden_by
from .scaling import Computing, Link, StepModel, most_samples
from .steps import Mute, random_rounds, shared_plan
from .texts import aligned, bytes_text, count_text, html_table, time_text

__all__ = ["Scaling", "ScalingRow", "scale"]

MOST_RANKS = 1024
STILL_PAYS = 0.5  # an efficiency: with less, half of the ranks would be as fast, or nearly
HEAD = ("ranks", "samples of one", "step", "exchange", "efficiency", "samples/s", "pays from a batch of")


class ScalingRow(NamedTuple):
    """What a training step takes on so many ranks.

    Parameters
    ----------
    ranks : int
    samples : int
        Of the batch, at the rank that has the most of them.
    seconds : float
        Of a step.
    exchange_seconds : float
        The part of them in which ranks wait for what others say.
    efficiency : float
        The seconds of one rank, divided by those of all of these ranks together.
    pays_from : int or None
        The smallest batch that so many ranks train with an efficiency of at least one half; None if there is
        none.

    Examples
    --------
    >>> import fastconv as fc
    >>> row = fc.ScalingRow(4, 32, 0.01, 0.002, 0.8, 64)
    >>> row.share_of_exchange
    0.2
    """

    ranks: int
    samples: int
    seconds: float
    exchange_seconds: float
    efficiency: float
    pays_from: int | None

    @property
    def share_of_exchange(self) -> float:
        """The part of a step in which ranks wait for what others say.

        Examples
        --------
        >>> import fastconv as fc
        >>> fc.ScalingRow(1, 128, 0.01, 0.0, 1.0, 16).share_of_exchange
        0.0
        """
        return self.exchange_seconds / self.seconds


@dataclass(frozen=True)
class Scaling:
    """Training steps on 1, 2, 4, ... ranks, as `fastconv.scale` foretells them.

    Parameters
    ----------
    rows : tuple of ScalingRow
    batch_size : int
        Of all ranks together.
    threads : int
        Of each rank.
    dtype : str
    latency, bandwidth : float
        Of the network between ranks: seconds for a message, bytes a second.

    Examples
    --------
    >>> import fastconv as fc
    >>> rows = (fc.ScalingRow(1, 64, 1.0, 0.0, 1.0, 16), fc.ScalingRow(2, 32, 0.8, 0.3, 0.625, 40),
    ...         fc.ScalingRow(4, 16, 0.9, 0.65, 0.28, 160))
    >>> found = fc.Scaling(rows, 64, 1, "float32", 2e-6, 1e10)
    >>> found.fastest, found.most_that_pay
    (2, 2)
    """

    rows: tuple[ScalingRow, ...]
    batch_size: int
    threads: int
    dtype: str
    latency: float
    bandwidth: float

    @property
    def fastest(self) -> int:
        """The ranks beyond which a step of this batch gets slower, or no faster.

        Examples
        --------
        >>> import fastconv as fc
        >>> rows = fc.ScalingRow(1, 16, 1.0, 0.0, 1.0, 16), fc.ScalingRow(2, 16, 1.1, 0.1, 0.45, 32)
        >>> fc.Scaling(rows, 16, 1, "float32", 2e-6, 1e10).fastest
        1
        """
        return min(self.rows, key=lambda row: row.seconds).ranks

    @property
    def most_that_pay(self) -> int:
        """The most ranks that train this batch with an efficiency of at least one half.

        Examples
        --------
        >>> import fastconv as fc
        >>> rows = fc.ScalingRow(1, 32, 1.0, 0.0, 1.0, 16), fc.ScalingRow(2, 16, 0.6, 0.1, 0.83, 32)
        >>> fc.Scaling(rows, 32, 1, "float32", 2e-6, 1e10).most_that_pay
        2
        """
        return max(row.ranks for row in self.rows if row.efficiency >= STILL_PAYS)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers and texts, for JSON.

        Returns
        -------
        dict

        Examples
        --------
        >>> import fastconv as fc
        >>> found = fc.Scaling((fc.ScalingRow(1, 16, 0.5, 0.0, 1.0, 16),), 16, 1, "float32", 2e-6, 1e10)
        >>> found.to_dict()["rows"][0]["samples_per_second"]
        32.0
        """
        rows = [
            {
                **row._asdict(),
                "share_of_exchange": row.share_of_exchange,
                "samples_per_second": self.batch_size / row.seconds,
            }
            for row in self.rows
        ]
        return {**vars(self), "rows": rows, "fastest": self.fastest, "most_that_pay": self.most_that_pay}

    def __str__(self) -> str:
        return "\n".join([*aligned(self._cells(), left=0), *self._notes()])

    def _repr_html_(self) -> str:
        return html_table(self._cells(), self._notes())

    def _cells(self) -> list[tuple[str, ...]]:
        return [HEAD, *map(self._texts, self.rows)]

    def _texts(self, row: ScalingRow) -> tuple[str, ...]:
        return (
            f"{row.ranks:,}",
            f"{row.samples:,}",
            time_text(row.seconds),
            f"{row.share_of_exchange:.0%}",
            f"{row.efficiency:.0%}",
            f"{self.batch_size / row.seconds:,.0f}",
            "none" if row.pays_from is None else f"{row.pays_from:,}",
        )

    def _notes(self) -> list[str]:
        """What the table is of, and what it says."""
        most, fastest = self.rows[-1].ranks, self.fastest
        notes = [
            f"training steps of {count_text(self.batch_size, 'sample')}, {self.dtype}, "
            f"{count_text(self.threads, 'thread')} a rank; a message takes {time_text(self.latency)}, "
            f"at {bytes_text(self.bandwidth)}/s"
        ]
        if fastest < most:
            notes.append(f"more than {count_text(fastest, 'rank')} make a step of this batch no faster")
        else:
            notes.append(f"a step of this batch gets faster up to {count_text(most, 'rank')}")
        pays = count_text(self.most_that_pay, "rank")
        notes.append(f"up to {pays} work with an efficiency of at least one half")
        return notes


def scale(
    model: Model,
    *,
    batch_size: int = 128,
    ranks: int = 64,
    latency: float | str = "2us",
    bandwidth: float | str = "10GB/s",
    loss: Any = None,
    loss_weights: Any = None,
    optimizer: Optimizer | OptimizerName | None = None,
    seconds: float = 1.0,
) -> Scaling:
    """Foretell how training scales over many ranks, from what steps take in this process.

    Parameters
    ----------
    model : Sequential or Model
        It is left as it is.
    batch_size : int
        Samples of a step, of all ranks together.
    ranks : int
        At most 1,024: how far to look. The table has 1, 2, 4, ... up to this.
    latency : float or str
        Of a message between two ranks: seconds, or a text such as "2us".
    bandwidth : float or str
        Between ranks: bytes a second, or a text such as "10GB/s" or "25Gbit/s".
    loss : str or Loss, or list or dict of them, optional
        Default is the one that suits the output.
    loss_weights : list or dict of floats, optional
        As for `Trainer`.
    optimizer : optimizer or str, optional
        Default is SGD.
    seconds : float
        How long to measure, more or less.

    Returns
    -------
    Scaling
        `print` shows its table: time, share of exchange and efficiency for each number of ranks, and from
        which batch on so many pay; `rows` has the figures.

    Raises
    ------
    ValueError, TypeError
        If an argument does not fit.

    Notes
    -----
    A step takes what the rank with the most samples computes, and the exchanges:

        T(R) = C(samples of that rank, R) + the sum of X over all exchanges

    C is measured here, in one process of `get_num_threads()` threads that hears nothing from others, with the
    samples that a rank would get: whole blocks of 16 in float32, 8 in float64; ranks beyond their number have
    none. X is what MPI takes for N bytes of all ranks: where everybody gets all of them, m latencies and
    (R - 1) / R N / bandwidth, m being log2(R) if N is less than 512 KiB, else R - 1; where each gets its
    slice, R - 1 latencies and (R - 1) / R N / R / bandwidth (R. Thakur, R. Rabenseifner, W. Gropp,
    Optimization of collective communication operations in MPICH, 2005). A step has such exchanges for the
    sums of each batch normalisation, forward and backward, for the losses, and for the gradients: the sums of
    those nodes of a tree over the shards of the batch that a rank has. Where it pays, the gradients of the
    last layers are sent while those of the first are computed, and what passes meanwhile is taken off. That
    ranks wait for the slowest is left out.

    Examples
    --------
    >>> import fastconv as fc
    >>> found = fc.scale(fc.models.reference_cnn(), batch_size=64, ranks=8, seconds=0.01)
    >>> [(row.ranks, row.samples) for row in found.rows]
    [(1, 64), (2, 32), (4, 16), (8, 16)]
    """
    model = copy.deepcopy(given_model(model))
    batch_size = whole_number(batch_size, "batch_size")
    ranks = whole_number(ranks, "ranks")
    if ranks > MOST_RANKS:
        raise ValueError(f"`ranks` must be an int >= 1 and <= {MOST_RANKS:,}, got {ranks}")
    link = Link(given_seconds(latency, "latency"), given_bytes_per_second(bandwidth, "bandwidth"))
    seconds = real_number(seconds, "seconds", above=True)
    loss = loss_for(model, loss, loss_weights)
    lanes = lanes_of(model.dtype)
    counts = [1 << k for k in range(ranks.bit_length())]
    counts += [ranks] if counts[-1] < ranks else []
    computing = _measured(model, batch_size, counts, loss, optimizer, seconds)
    plan = shared_plan(model, loss)
    foretold = StepModel(computing, exchanges_of(plan), link, lanes, hidden_by(plan, model, link))
    rows = tuple(_row(foretold, batch_size, count) for count in counts)
    return Scaling(rows, batch_size, get_num_threads(), str(model.dtype), link.latency, link.bandwidth)


def _measured(
    model: Model, batch_size: int, counts: list[int], loss: Any, optimizer: Any, seconds: float
) -> Computing:
    """What a process computes on its own and as the busiest of so many ranks, measured in turns."""
    lanes = lanes_of(model.dtype)
    sizes = {count: most_samples(shares_of(batch_size, lanes, count)) for count in counts}
    alone = sorted({*sizes.values(), lanes, 2 * lanes})
    rounds = {("alone", size): random_rounds(model, size, loss, optimizer)[0] for size in alone}
    for count in counts[1:]:
        own = np.diff(shares_of(batch_size, lanes, count).sample_ends)
        busiest = Mute(int(own.argmax()), count)
        rounds["ranks", count] = random_rounds(model, batch_size, loss, optimizer, busiest)[0]
    best = dict.fromkeys(rounds, math.inf)
    turns, end = 0, time.perf_counter() + seconds
    while turns < TURNS or time.perf_counter() < end:
        for key, steps in rounds.items():
            best[key] = min(best[key], steps.seconds())
        turns += 1
    more = {n: max(0.0, best["ranks", n] - best["alone", sizes[n]]) for n in counts[1:]}
    return Computing({size: best["alone", size] for size in alone}, more)


def _row(foretold: StepModel, samples: int, ranks: int) -> ScalingRow:
    computing, exchanging = foretold.seconds(samples, ranks)
    return ScalingRow(
        ranks,
        most_samples(shares_of(samples, foretold.lanes, ranks)),
        computing + exchanging,
        exchanging,
        foretold.efficiency(samples, ranks),
        foretold.pays_from(ranks, STILL_PAYS),
    )
