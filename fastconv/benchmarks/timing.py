"""Several contenders timed in turns, so that whatever disturbs the machine disturbs all of them."""

import gc
import math
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple


class Contender(NamedTuple):
    """Something to be timed.

    Parameters
    ----------
    call : callable
        Does the work.
    pieces : int
        Pieces of work (training steps, say) that one call does; times are for one piece.
    result : callable, optional
        What has been computed, if `call` doesn't return it.
    """

    call: Callable[[], object]
    pieces: int = 1
    result: Callable[[], object] | None = None


class ContenderError(RuntimeError):
    """A contender has failed while it was timed; `who` says which."""

    def __init__(self, who: str, error: Exception) -> None:
        super().__init__(f"{who} failed: {error}")
        self.who, self.error = who, error


class Timing(NamedTuple):
    """Seconds for a piece of work: the best sample, the median of the samples, and how many there were."""

    best: float
    median: float
    samples: int


class Effort(NamedTuple):
    """How long to measure.

    Parameters
    ----------
    seconds : float
        For each contender, more or less.
    turns : int
        At least so many, however long they take.
    patience : int
        Stop after so many turns in which no contender became 1 % better.
    sample : float
        Shortest sample in seconds: a faster call is repeated.
    settle : float
        Seconds of rest before a turn. With several threads a contender's idle threads go on spinning for a
        while and would take a core from the next one: 50 ms is enough for OpenBLAS and OpenMP.
    """

    seconds: float = 2.0
    turns: int = 5
    patience: int = 20
    sample: float = 2e-3
    settle: float = 0.0


QUICK = Effort(seconds=0.2, turns=2, patience=3, sample=1e-3)


def race(
    contenders: Mapping[str, Contender],
    effort: Effort | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Timing]:
    """Time all contenders, taking turns.

    Parameters
    ----------
    contenders : mapping of str to Contender
        Each is called once before (compiling, filling caches); in a turn it is sampled three times.
    effort : Effort, optional
        How long to measure.
    clock : callable
        Gives seconds.

    Returns
    -------
    dict of str to Timing

    Raises
    ------
    ContenderError
        If one of them fails.

    Examples
    --------
    >>> timings = race({"sum": Contender(lambda: sum(range(1000)))}, QUICK)
    >>> 0 < timings["sum"].best <= timings["sum"].median
    True
    """
    effort = effort or Effort()
    contenders = {name: c._replace(call=_named(name, c.call)) for name, c in contenders.items()}
    repeats = {name: _repeats(c, effort.sample, clock) for name, c in contenders.items()}
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    names = list(contenders)
    spent, turn, idle = 0.0, 0, 0
    while names and (turn < effort.turns or (spent < effort.seconds * len(names) and idle < effort.patience)):
        before = {name: min(times, default=math.inf) for name, times in samples.items()}
        for name in names:
            if effort.settle:
                time.sleep(effort.settle)
            start = clock()
            for _ in range(3):
                samples[name].append(_sample(contenders[name], repeats[name], clock))
            spent += clock() - start
        names.append(names.pop(0))
        better = any(min(times) < 0.99 * before[name] for name, times in samples.items())
        turn, idle = turn + 1, 0 if better else idle + 1
    return {
        name: Timing(min(times), sorted(times)[len(times) // 2], len(times))
        for name, times in samples.items()
    }


def _named(who: str, call: Callable[[], object]) -> Callable[[], object]:
    """The call, whose errors tell who it was."""

    def named() -> object:
        try:
            return call()
        except Exception as error:
            raise ContenderError(who, error) from error

    return named


def _repeats(contender: Contender, sample: float, clock: Callable[[], float]) -> int:
    contender.call()
    start = clock()
    contender.call()
    once = clock() - start
    return max(1, math.ceil(sample / max(once, 1e-7)))


def _sample(contender: Contender, repeats: int, clock: Callable[[], float]) -> float:
    collecting = gc.isenabled()
    gc.disable()
    try:
        start = clock()
        for _ in range(repeats):
            contender.call()
        return (clock() - start) / (repeats * contender.pieces)
    finally:
        if collecting:
            gc.enable()
