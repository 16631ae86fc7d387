"""The measurement: one work after the other, and nobody's failure ends it."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from ..engine.peak import fma_peak
from . import machine
from .choice import Choice, works
from .results import Row
from .timing import ContenderError, Effort, Timing, race
from .work import Work, error_line

SETTLE = 0.05  # seconds before a turn, where others' threads go on spinning after their call


def measure(
    others: Sequence[str],
    counts: Sequence[int],
    effort: Effort,
    report: TextIO,
    choice: Choice,
    keep: Callable[[list[Row]], None] = lambda rows: None,
) -> list[Row]:
    """Measure works on each number of threads in turn.

    Results are compared with those of the others before anything is timed.

    Parameters
    ----------
    others : sequence of str
        Whom to compare with.
    counts : sequence of int
        Numbers of threads.
    effort : Effort
    report : file
        Is told about each work, how much time is left, and who fails.
    choice : Choice
    keep : callable
        Is given all rows after each work, so that a run that is stopped loses nothing.

    Returns
    -------
    list of Row
    """
    chosen = {count: works(choice, count) for count in counts}
    progress = _Progress(report, sum(map(len, chosen.values())))
    rows: list[Row] = []
    for count, mine in chosen.items():
        if not machine.numpy_threads_are_set(count):
            progress.say("NumPy chooses its own threads: pip install threadpoolctl to set them")
        quiet = effort._replace(settle=SETTLE if count > 1 else 0.0)
        with machine.threads(count):
            peak = fma_peak(count)
            before = len(rows)
            for row in _rows(mine, others, count, quiet, progress):
                rows.append(row._replace(peak=peak))
                keep(rows)
            peak = max(peak, fma_peak(count))  # whichever was less disturbed
        rows[before:] = [row._replace(peak=peak) for row in rows[before:]]
    progress.end()
    keep(rows)
    return rows


def _rows(
    chosen: Sequence[Work], others: Sequence[str], threads: int, effort: Effort, progress: "_Progress"
) -> Iterator[Row]:
    for work in chosen:
        progress.next(work.name)
        row = Row(work.name, work.flops, threads, {}, None, True, work.kind)
        try:
            found = work.compare(others)
            failed = dict(found.failed)
            timings = _timings(work, [name for name in others if name not in failed], effort, failed)
        except Exception as error:  # of fastconv: the rest can be measured all the same
            found, failed, timings = None, {"fastconv": error_line(error)}, {}
        wrong = found.wrong if found else []
        for line in (*wrong, *(f"{name} failed: {error}" for name, error in failed.items())):
            progress.say(f"{work.name}: {line}")
        right = not wrong and "fastconv" not in failed
        yield row._replace(timings=timings, right=right, failed=failed)


def _timings(work: Work, others: Sequence[str], effort: Effort, failed: dict[str, str]) -> dict[str, Timing]:
    """Of fastconv and those who do not fail; the others' errors go into `failed`."""
    contenders = work.contenders(["fastconv"])
    for name in others:
        try:
            contenders |= work.contenders([name])
        except Exception as error:
            failed[name] = error_line(error)
    while True:
        try:
            return race(contenders, effort)
        except ContenderError as error:
            if error.who == "fastconv":
                raise error.error from error
            failed[error.who] = error_line(error.error)
            del contenders[error.who]


class _Progress:
    """What is measured now, and how long the rest will take."""

    def __init__(self, report: TextIO, total: int) -> None:
        self._report, self._total, self._begun = report, total, 0
        self._start = time.monotonic()
        self._line_start, self._line_end = ("\r\033[K", "") if report.isatty() else ("", "\n")

    def next(self, name: str) -> None:
        """Another work begins."""
        taken = time.monotonic() - self._start
        left = taken / self._begun * (self._total - self._begun) if self._begun else 0.0
        self._begun += 1
        rest = f", {time_left(left)}" if left else ""
        text = f"{self._begun}/{self._total} {name}{rest}"
        print(f"{self._line_start}{text}", end=self._line_end, file=self._report, flush=True)

    def say(self, text: str) -> None:
        """A line that stays."""
        print(f"{self._line_start}{text}", file=self._report, flush=True)

    def end(self) -> None:
        """Nothing more is told."""
        print(self._line_start, end="", file=self._report, flush=True)


def time_left(seconds: float) -> str:
    """In words.

    Examples
    --------
    >>> time_left(20.0), time_left(125.0), time_left(5400.0)
    ('less than a minute left', 'about 2 min left', 'about 1.5 h left')
    """
    if seconds < 60:
        return "less than a minute left"
    return f"about {seconds / 60:.0f} min left" if seconds < 5400 else f"about {seconds / 3600:.1f} h left"
