"""Training steps that ranks share, measured on these ranks: `rank_table.py` has MPI start this file.

    mpiexec -n 2 python -m fastconv.benchmarks.ranks JOB FILE

JOB is the JSON of [works, seconds that each contender of a work takes, more or less]; rank 0 writes what was
found to FILE, anew after each work.
"""

import json
import math
import sys
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..engine.engine import Engine
from ..engine.measuring import Rounds
from ..engine.memory import lanes_of
from ..engine.ranks.communicator import ALONE, Alone, Ranks
from ..engine.shares import shares_of
from ..engine.threads import get_num_threads, processors, set_num_threads
from ..formats.atomic import write_bytes
from ..formats.json_text import to_json
from ..inspection.exchanges import exchanges_of
from ..inspection.scaling import Exchange, Link
from ..inspection.steps import Mute, random_rounds
from .networks import NETWORKS, given_loss, made

SMALL, LARGE = 8, 1 << 18  # bytes that each rank gives to all, to see what messages take
PINGS, TURNS = 5, 200
ROUND_SECONDS = 0.004  # ranks begin a round at once: on a busy machine, few long ones are undisturbed
QUIET = 5e-4  # seconds between two looks of a rank that waits while others are measured
LEAST_TURNS = 5


class Work(NamedTuple):
    """A training step: of which network, of how many samples in all, and of a rank to compare with."""

    network: str
    batch: int
    alone: int


class Found(NamedTuple):
    """A work, measured.

    Parameters
    ----------
    work : Work
    ranks : int
    seconds : float
        Of a step that the ranks share.
    exchange : float
        The part of it in which rank 0 talked and waited.
    alone : float
        Seconds of a step of one rank with the batch to compare with, while the others rest.
    threads : float or None
        Of a step of one rank with the whole batch and a thread for each rank; None where there are fewer
        processors.
    modelled : float
        Of a step, as the model has it: what the slowest of the ranks takes that compute their shares beside
        each other and hear nothing of the others, and the exchanges.
    """

    work: Work
    ranks: int
    seconds: float
    exchange: float
    alone: float
    threads: float | None
    modelled: float


def measured_link(ranks: Alone, alone: Alone) -> Link:
    """What messages take between these ranks, and what a call takes that has nobody to talk to."""

    def best(who: Alone, size: int) -> float:
        rows, counts, times = np.zeros((1, size), np.uint8), [1] * who.count, []
        for _ in range(TURNS):
            started = time.perf_counter()
            for _ in range(PINGS):
                who.all_rows(rows, counts)
            times.append((time.perf_counter() - started) / PINGS)
        return min(times)

    times = [best(who, size) for who, size in ((alone, SMALL), (ranks, SMALL), (ranks, LARGE))]
    return link_of(ranks.count, *times)


def link_of(ranks: int, call: float, small: float, large: float) -> Link:
    """The link whose exchanges take these seconds, of a rank on its own, of SMALL and of LARGE bytes.

    Examples
    --------
    >>> link = link_of(4, call=1e-6, small=5e-6, large=105e-6)
    >>> f"{link.latency:.1e} {link.bandwidth:.2e}"
    '2.0e-06 8.02e+09'
    """
    latency = max(0.0, small - call) / math.ceil(math.log2(ranks))
    exchange = Exchange("gather", ranks * LARGE, (ranks - 1) * LARGE)
    passing = max(large - Link(latency, math.inf, call).seconds(exchange, ranks), 1e-9)
    return Link(latency, exchange.passing / passing, call)


class _Bench:
    """The ranks of this run, and how they take turns."""

    def __init__(self, communicator: Any, alone: Any, seconds: float) -> None:
        self.ranks, self._communicator, self._seconds = Ranks(communicator), communicator, seconds
        self.link = measured_link(self.ranks, Ranks(alone)) if self.ranks.count > 1 else None

    def measure(self, work: Work) -> Found:
        """All contenders of a work, taking turns."""
        ranks = self.ranks
        shares = shares_of(work.batch, lanes_of("float32"), ranks.count)
        with ranks.busy("compiling"):
            shared, together = _steps(work.network, work.batch, ranks=ranks)
            contenders: dict[str, Rounds | None] = {
                "shared": shared,
                "apart": _steps(work.network, work.batch, ranks=_mute(ranks))[0],
                "alone": _rounds(work.network, work.alone) if ranks.leads else None,
            }
            if 1 < ranks.count <= processors():
                whole = _rounds(work.network, work.batch, ranks.count) if ranks.leads else None
                contenders["threads"] = whole
        best, exchange = self._race(contenders)
        foretold = best["apart"]
        if self.link is not None:
            said = exchanges_of(together.program.plan)(shares)
            foretold += sum(self.link.seconds(one, ranks.count) for one in said)
            foretold -= together.cut.seconds if together.cut else 0.0
        return Found(
            work, ranks.count, best["shared"], exchange, best["alone"], best.get("threads"), foretold
        )

    def _race(self, contenders: Mapping[str, Rounds | None]) -> tuple[dict[str, float], float]:
        """The best seconds of each, of its slowest rank; and the part that rank 0 talked and waited."""
        best, exchange = dict.fromkeys(contenders, math.inf), 0.0
        turn, end = 0, time.perf_counter() + self._seconds * len(contenders)
        while self.ranks.broadcast(turn < LEAST_TURNS or time.perf_counter() < end):
            for name, rounds in contenders.items():
                self._rest_until_all_come()
                before, started = self.ranks.seconds, time.perf_counter()
                mine = rounds.seconds() if rounds else 0.0
                waited = (self.ranks.seconds - before) / (time.perf_counter() - started)
                self._rest_until_all_come()
                taken = max(self.ranks.gather(mine))
                if taken < best[name]:
                    best[name] = taken
                    exchange = waited if name == "shared" else exchange
            turn += 1
        return best, exchange

    def _rest_until_all_come(self) -> None:
        """Wait without a processor, while others are measured; then all go on at once."""
        request = self._communicator.Ibarrier()
        while not request.Test():
            time.sleep(QUIET)
        self.ranks.wait_for_all()


def _rounds(network: str, samples: int, threads: int = 1) -> Rounds:
    """Steps of this process on its own."""
    return _steps(network, samples, threads)[0]


def _steps(network: str, samples: int, threads: int = 1, ranks: Alone = ALONE) -> tuple[Rounds, Engine]:
    """Steps of a network on a batch of random samples, the same on all ranks, and what takes them."""
    model = made(network)
    before = get_num_threads()
    set_num_threads(threads)
    try:
        loss = given_loss(network, model)
        return random_rounds(model, samples, loss, ranks=ranks, seconds=ROUND_SECONDS)
    finally:
        set_num_threads(before)


def _mute(ranks: Alone) -> Alone:
    """A rank in the place of this one that hears nothing of the others."""
    return Mute(ranks.number, ranks.count) if ranks.count > 1 else ALONE


def main(job: str, path: str) -> None:
    """Measure all works of a job; rank 0 says what it is at."""
    from mpi4py import MPI

    works, seconds = json.loads(job)
    bench, found = _Bench(MPI.COMM_WORLD, MPI.COMM_SELF, seconds), []
    for work in map(Work._make, works):
        if bench.ranks.leads:
            ranks = f"{bench.ranks.count} rank{'s' * (bench.ranks.count > 1)}"
            print(
                f"{NETWORKS[work.network][0]}, {work.batch:,} samples, {ranks}", file=sys.stderr, flush=True
            )
        found.append(bench.measure(work))
        if bench.ranks.leads:
            write_bytes(path, to_json({"link": bench.link, "found": found}).encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
