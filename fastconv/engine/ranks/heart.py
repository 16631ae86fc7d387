"""The thread by which ranks know of each other's life while they compute or wait.

    rank 0 --beat--> rank 1 --beat--> rank 2 --beat--> rank 3 --beat--> rank 0

Five times a second each tells the next of a ring how far it is, and hears that of the one before, so that the
work does not grow with the number of ranks. Who is not heard of, or keeps the next one waiting for too long
without a reason, is named, and all are ended. News go in all directions, from each to those 1, 2, 4, 8, ...
places on, so that they reach a thousand ranks in ten steps.

Time is counted in the ticks of this thread, not by a clock: when all ranks are stopped and go on an hour
later (Ctrl-Z, a laptop that sleeps), nobody has waited for an hour.
"""

import contextlib
import os
import pickle
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, NamedTuple

TICK_SECONDS = 0.1
TICKS_PER_BEAT = 2
# Who has waited for so long for one that lives, but does something else, says so once.
TICKS_BEFORE_NOTE = 300
_BEAT, _NEWS = 1, 2
_BEATS = struct.Struct("<qqqq400s")
OUTSIDE, WORKING, BUSY, WAITING, GONE = range(5)


class State(NamedTuple):
    """What a rank is doing."""

    exchanges: int  # that it has begun so far: all ranks make the same
    doing: int  # nothing of ours, work, something that may take long, waiting for the others, or it has ended
    what: str = ""


class News(NamedTuple):
    """What all ranks are to know."""

    turn: int  # of the errors so far; -1 is the end of all
    rank: int
    text: str


class Heart(threading.Thread):
    """Beats until it is stopped.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm
        Nobody else sends anything on it.
    MPI : module
        mpi4py's.
    hosts : list of str
        The machine of each rank.
    seconds : float
        How long a rank is waited for.
    """

    def __init__(self, communicator: Any, MPI: Any, hosts: list[str], seconds: float) -> None:
        super().__init__(name="fastconv-heart", daemon=True)
        self._communicator, self._MPI, self._hosts = communicator, MPI, hosts
        self._number, self._count = communicator.Get_rank(), len(hosts)
        self._limit = max(1, round(seconds / TICK_SECONDS))
        self.exchanges, self.doing, self.what = 0, OUTSIDE, ""  # assigned by the main thread
        self.news: dict[int, News] = {}  # the first of each turn
        self.hush: Callable[[bool], None] = lambda everyone: None  # witnesses: the end has come
        self._wake, self._over = threading.Event(), threading.Event()
        self._to_tell: list[News] = []
        self._told: set[int] = set()
        self._on_their_way: list[tuple[Any, bytes]] = []
        # Of this rank: the state at the last tick, how long it has been the same, how long it worked since
        # the last exchange and before it, and how many ranks in a row have waited for too long.
        self._seen, self._same, self._worked, self._stretch, self._row = State(0, OUTSIDE), 0, 0, 0, 0
        # Of the rank before it: its state, for how many of its ticks, its row, and ticks since it was heard.
        self._heard, self._heard_same, self._heard_row, self._silence = State(0, OUTSIDE), 0, 0, 0
        self._noted: State | None = None

    # For the main thread

    def tell(self, news: News) -> None:
        """Let all ranks know."""
        self._to_tell.append(news)
        self._wake.set()

    def stop(self) -> None:
        """End the thread."""
        self._over.set()
        self._wake.set()
        self.join()

    def drain(self) -> None:
        """Take in what others have sent before they stopped: nothing must be on its way at the end of MPI."""
        self._talk()

    def end_all(self, line: str) -> None:
        """Say what has happened, and end all ranks."""
        say(line)
        self.tell(News(-1, self._number, line))
        if threading.current_thread() is self:
            self._talk()
        time.sleep(3 * TICK_SECONDS)  # the others' witnesses are to be silent
        self.abort()

    def abort(self) -> None:
        """End all ranks, now."""
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        self._communicator.Abort(1)
        os._exit(1)  # where a launcher lets Abort return

    def title(self, rank: int) -> str:
        """What people call a rank.

        Examples
        --------
        "rank 2 of 4 on host b"
        """
        return f"rank {rank} of {self._count} on host {self._hosts[rank]}"

    # The thread

    @property
    def _before(self) -> int:
        return (self._number - 1) % self._count

    def run(self) -> None:
        ticks = 0
        while not self._over.is_set():
            in_time = self._wake.wait(TICK_SECONDS)
            self._wake.clear()
            try:
                self._talk()
                if not in_time:
                    ticks += 1
                    self._look_at_myself()
                    if ticks % TICKS_PER_BEAT == 0:
                        self._beat()
                    self._judge()
            except self._MPI.Exception:  # MPI itself has come to its end, and the launcher will end this rank
                return

    def _talk(self) -> None:
        """Take in what has come, and pass news on."""
        self._on_their_way = [(sent, text) for sent, text in self._on_their_way if not sent.Test()]
        communicator, status = self._communicator, self._MPI.Status()
        buffer = bytearray(_BEATS.size)
        while communicator.Iprobe(self._before, _BEAT):
            communicator.Recv(buffer, self._before, _BEAT)
            exchanges, doing, self._heard_same, self._heard_row, what = _BEATS.unpack(buffer)
            self._heard = State(exchanges, doing, what.rstrip(b"\0").decode(errors="replace"))
            self._silence = -1
        while communicator.Iprobe(self._MPI.ANY_SOURCE, _NEWS, status):
            text = bytearray(status.Get_count(self._MPI.BYTE))
            communicator.Recv(text, status.source, _NEWS)
            self._to_tell.append(News(*pickle.loads(text)))
        while self._to_tell:
            self._pass_on(self._to_tell.pop(0))

    def _pass_on(self, news: News) -> None:
        if news.turn in self._told:
            return
        self._told.add(news.turn)
        self.news[news.turn] = news
        if news.turn < 0:
            self.hush(news.rank == self._number)
        text, step = pickle.dumps(tuple(news)), 1
        while step < self._count:
            self._send(text, (self._number + step) % self._count, _NEWS)
            step *= 2

    def _send(self, text: bytes, rank: int, tag: int) -> None:
        self._on_their_way.append((self._communicator.Isend(text, rank, tag), text))

    def _look_at_myself(self) -> None:
        """What this rank has been doing, and for how long."""
        before, self._seen = self._seen, State(self.exchanges, self.doing, self.what)
        self._same = self._same + 1 if self._seen == before else 0
        if self._seen.exchanges != before.exchanges:
            self._stretch = self._worked if self._seen.doing == WAITING else 0
            self._worked = 0
        if self._seen.doing != WAITING:
            self._worked += 1
        # No longer than this rank has waited, in beats: if all are in the row, they have waited at one time.
        waited = (self._same - self._limit) // TICKS_PER_BEAT if self._seen.doing == WAITING else 0
        self._row = max(0, min(waited, 1 + self._heard_row))

    def _beat(self) -> None:
        if len(self._on_their_way) < 100:  # else the next one does not take them
            exchanges, doing, what = self._seen
            told = what.encode(errors="replace")[:400]
            beat = _BEATS.pack(exchanges, doing, self._same, self._row, told)
            self._send(beat, (self._number + 1) % self._count, _BEAT)

    def _judge(self) -> None:
        """End all ranks if the one before this has stopped, or keeps this one waiting without a reason."""
        mine, theirs = self._seen, self._heard
        self._silence += 1
        if self._silence > self._limit:
            self._end_with("does not answer: it was stopped, or its machine is out of reach", self._silence)
        if mine.doing != WAITING:
            return
        if self._row >= self._count + 3 * self._number:  # others leave it to rank 0
            everyone = f"fastconv: all {self._count} ranks wait for each other, {self.title(self._number)} in"
            self.end_all(f"{everyone} {mine.what}: they have made different calls, or have lost each other")
        if theirs.exchanges >= mine.exchanges:
            return
        # As long as this rank itself has worked before it waited, another one may, and somewhat longer.
        patience = max(self._limit, 3 * self._stretch)
        if theirs.doing == GONE and self._same > 1 / TICK_SECONDS:
            self._end_with(theirs.what or "has ended its script, and others wait for it", 0)
        elif theirs.doing == WORKING and min(self._same, self._heard_same) > patience:
            self._end_with(f"does not go on in {theirs.what}, and others wait for it", self._heard_same)
        elif self._same > TICKS_BEFORE_NOTE and theirs != self._noted:
            self._noted = theirs
            doing = f"is busy ({theirs.what})" if theirs.doing == BUSY else "is in no call of fastconv"
            if theirs.doing in (BUSY, OUTSIDE):
                say(f"fastconv: {self.title(self._before)} {doing}, and others wait for it")

    def _end_with(self, cause: str, ticks: int) -> None:
        """End all ranks for what the one before this is doing."""
        error = self.news.get(max(self.news, default=-1))
        if error is not None and error.text not in cause:
            say(error.text)
        seconds = f", for {ticks * TICK_SECONDS:.0f} s" if ticks else ""
        self.end_all(f"fastconv: {self.title(self._before)} {cause}{seconds}")


def say(line: str) -> None:
    """Print a line to standard error, whoever reads it."""
    with contextlib.suppress(Exception):
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


def summary(error: BaseException) -> str:
    """An error in one line.

    Examples
    --------
    >>> summary(ValueError("no\\nsuch number"))
    'ValueError: no such number'
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:1000]}" if text else type(error).__name__
