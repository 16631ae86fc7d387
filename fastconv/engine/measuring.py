"""What each operation of an engine takes, in the course of steps that it takes anyway."""

import time
from typing import NamedTuple

import numpy as np

from .clock import read_often
from .loop import parts_of_block, run_steps
from .ports import STEPS_PER_CALL
from .tables import CHAIN_CHANNELS
from .threads import run_threads

READS, READ_ROUNDS = 1000, 20  # of the clock, to see what one takes: some rounds are undisturbed
ROUND_SECONDS = 0.02  # of steps in a row: long enough for the start of threads not to count
TURNS = 3  # at least, of steps with clocks and without


class Measured(NamedTuple):
    """A step: the seconds of each operation in the order of the plan, and those of everything else.

    Of several threads, each figure is the mean over them, so that all of them add up to the step. `exchange`
    is what sharing with other ranks takes, waiting for them included. What the readings of the clock took is
    in none of these, but in `clock`; `plain` is a step without any.
    """

    operations: np.ndarray
    waiting: float
    exchange: float
    rest: float
    clock: float
    plain: float

    @property
    def total(self):
        """Seconds of a step."""
        return self.operations.sum() + self.waiting + self.exchange + self.rest


def measure(engine, X, y, outputs, seconds):
    """Time an engine on X and y, again and again for about so many seconds.

    A "step" is all of these samples, even where the engine takes them in several. `outputs` makes memory for
    the outputs of so many samples, where the engine writes some. Rounds of steps with clocks and without take
    turns; the fastest of each counts.
    """
    rounds = Rounds(engine, X, y, outputs)
    read = (read_often(READS) for _ in range(READ_ROUNDS))
    cost = min(last - first for first, last in read) / READS  # in ticks
    best, plain, turns, end = None, np.inf, 0, time.perf_counter() + seconds
    while engine.ranks.broadcast(turns < TURNS or time.perf_counter() < end):
        plain = min(plain, rounds.seconds())
        measured = _with_clocks(engine, rounds.steps, cost)
        best = measured if best is None or measured.total < best.total else best
        turns += 1
    return best._replace(plain=plain)


class Rounds:
    """A step that is taken again and again, in rounds of so many that the start of threads does not count.

    `steps` is how many make a round of about so many seconds; ranks that train together take the same number.
    """

    def __init__(self, engine, X, y, outputs, seconds=ROUND_SECONDS):
        self._engine, self.steps = engine, 1
        load(engine, X, y, outputs, 1)
        once = min(self.seconds() for _ in range(3))
        steps = min(STEPS_PER_CALL // engine.steps, int(seconds / max(once, 1e-9)))
        self.steps = engine.ranks.broadcast(max(1, steps))
        load(engine, X, y, outputs, self.steps)

    def seconds(self):
        """What a step takes in another round, without clocks inside."""
        started = time.perf_counter()
        self._engine.run(0, self._engine.steps)
        return (time.perf_counter() - started) / self.steps


def load(engine, X, y, outputs, steps):
    """Set samples that are the same in every step."""
    engine.load(X, y, np.tile(np.arange(len(X)), steps))
    if engine.ports.sinks:
        engine.write_to(outputs(steps * len(X)))


def _with_clocks(engine, steps, cost):
    """Take steps with clocks, whose readings take `cost` ticks each."""
    program, threads, runs = engine.program, engine.threads, _runs(engine)
    times = np.zeros((threads, len(runs) + 1), np.int64)
    rows, inside = [row.ctypes.data for row in times], 0.0

    def run(job, threads):
        nonlocal inside
        before = time.perf_counter()
        run_threads(threads, lambda k: run_steps(job, k, rows[k]))
        inside += time.perf_counter() - before

    first, started = read_often(0)[0], time.perf_counter()
    engine.take(0, engine.steps, run)
    seconds, ticks = time.perf_counter() - started, read_often(0)[0] - first
    exchange = (seconds - inside) / steps if engine.ranks.count > 1 else 0.0
    intervals = np.array([*runs, len(program.stages)])
    ends = ((chain.first, chain.last) for chain in program.plan.chains)
    firsts = {first for _, first, _ in program.stages}.union(*ends)
    begun = sum(runs[first] for first in firsts if first < len(runs)) + len(program.stages)
    second = seconds / ticks / steps  # of a step, for a tick of all of them
    own = np.maximum(times.mean(axis=0) - cost * intervals * engine.steps, 0) * second
    clock = cost * (intervals.sum() + begun) * engine.steps * second
    rest = max(0.0, seconds / steps - clock - own.sum() - exchange)
    return Measured(own[:-1], float(own[-1]), exchange, rest, clock, 0.0)


def _runs(engine):
    """How often each thread runs each operation in a step of the engine, on the average."""
    blocks = int(np.diff(engine.shares(0).block_ends)[engine.ranks.number])
    parts = parts_of_block(blocks, engine.threads)
    pieces = {"batch": engine.threads, "block": blocks, "divided": blocks * parts}
    stages, chains = engine.program.plan.stages, engine.program.chains
    runs = [pieces[kind] / engine.threads for kind, operations in stages for _ in operations]
    return [count * max(1, chain[CHAIN_CHANNELS]) for count, chain in zip(runs, chains, strict=False)]
