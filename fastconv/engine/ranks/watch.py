"""What becomes of all ranks where one raises an error, hangs, is killed or ends too soon: nobody waits on.

- An error that leaves a call of the trainer (`together`) on one rank is told to all. Those that wait for it
  stop waiting and raise `RankError`. Then all compare: where each has raised an error of its own after the
  same exchanges, such as for an argument that all were given, nothing is lost, and it is an ordinary error.
  Otherwise exchanges have been left half done; the script may tidy up, and its end is that of all ranks.
- A rank that stops, or does not go on, is found by the heart of the next one (`heart.py`).
- One that is killed can say nothing: its witness does (`witness.py`), and MPI's launcher ends the others.
- A rank whose script ends waits for the others, so that an error of one of them is seen.
"""

import atexit
import contextlib
import os
import socket
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any

import numpy as np

from ...checks import interrupts
from .errors import RankError, place_of
from .heart import BUSY, GONE, OUTSIDE, WAITING, WORKING, Heart, News, say, summary
from .witness import Witness

# A rank whose script has ended with an error waits so long for the others to end in the same way.
LAST_SECONDS = 2.0


def time_limit() -> float:
    """How long a rank is waited for that gives no sign of life, in seconds: FASTCONV_RANK_TIMEOUT, or 8.

    Raises
    ------
    ValueError
        If the setting is no number > 0.

    Examples
    --------
    >>> time_limit() > 0
    True
    """
    text = os.environ.get("FASTCONV_RANK_TIMEOUT", "8").strip()
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"`FASTCONV_RANK_TIMEOUT` must be a number of seconds > 0, got {text!r}")
    return seconds


class Watch:
    """What the ranks of a communicator know of each other; one for all `Ranks` of it.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm
        Of its own.
    give_way : function
        Called while this rank waits.
    """

    def __init__(self, communicator: Any, give_way: Callable[[], None]) -> None:
        from mpi4py import MPI

        self._communicator, self._give_way = communicator, give_way
        self.number, self.count = communicator.Get_rank(), communicator.Get_size()
        mine = np.zeros(1, np.dtype([("host", "S224"), ("run", "S32")]))
        mine["host"], mine["run"] = socket.gethostname().encode(errors="replace"), os.urandom(16).hex()
        all_of_them = np.empty(self.count, mine.dtype)
        self._wait(communicator.Iallgather(mine.view(np.uint8), all_of_them.view(np.uint8)))
        self.hosts = [host.decode() for host in all_of_them["host"].tolist()]
        self._turn = 0  # of the errors so far
        self._begun = 0  # exchanges, before they were waited for
        self._call, self._busy, self._doing = "", "", OUTSIDE
        self.over: str | None = None  # what has put an end to training together
        self._cause, self._unsaid = "", False  # in short, and that nobody has been told
        self._ended = self.count == 1
        self._heart = Heart(communicator, MPI, self.hosts, time_limit())
        if not self._ended:
            self._heart.start()
            self._be_watched(all_of_them["run"][0].decode())
            self._heart.hush = _hush
            MPI.COMM_SELF.Set_attr(MPI.Comm.Create_keyval(delete_fn=lambda *_: self.farewell()), self)

    def _be_watched(self, run: str) -> None:
        """From now on the end of this process is seen."""
        if not _watches:
            _watch_the_end()
        _watches.append(self)
        spoken, path = -1, os.path.join(tempfile.gettempdir(), f"fastconv-{run}")
        if not _witness and os.name == "posix":
            with contextlib.suppress(OSError):  # no place to write to: the launcher alone tells of kills
                spoken = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        self._wait(self._communicator.Ibarrier())
        if spoken >= 0:
            # It is open on every rank of this machine now; without a name it is gone when they are.
            with contextlib.suppress(OSError):
                os.unlink(path)
            _witness.append(Witness(self.name(), spoken, time_limit()))

    def name(self) -> str:
        """What people call this rank."""
        return self._heart.title(self.number)

    # Calls and exchanges

    def begin(self) -> None:
        """An exchange begins that this rank does not wait for yet."""
        if self.over is not None:
            self._check_whole()
        self._begun += 1

    def finish(self, request: Any) -> None:
        """Wait until an exchange is done.

        Raises
        ------
        RankError
            If another rank has raised an error.
        """
        heart, turn = self._heart, self._turn
        if self.over is not None:
            self._check_whole()
        heart.exchanges += 1
        if not request.Test():
            heart.doing = WAITING
            while not request.Test():
                if turn in heart.news:
                    raise RankError(heart.news[turn].text.removeprefix("fastconv: "))
                self._give_way()
        heart.doing = self._doing

    def _set(self, call: str, busy: str) -> None:
        """Let the heart tell what this rank does from now on."""
        self._call, self._busy = call, busy
        self._doing = self._heart.doing = BUSY if busy else WORKING if call else OUTSIDE
        self._heart.what = busy or call

    @contextlib.contextmanager
    def busy(self, what: str) -> Iterator[None]:
        """What may take long, such as compiling: others wait for this rank as long as it lives."""
        before = self._busy
        self._set(self._call, what)
        try:
            yield
        finally:
            self._set(self._call, before)

    @contextlib.contextmanager
    def together(self, call: str, wait_for_all: Callable[[], None]) -> Iterator[None]:
        """A call that all ranks make: none goes on until all are through, and an error is one of all.

        Within another one, such as a command, it says what this one is about.
        """
        self._check_whole()
        before = self._call, self._busy
        self._set(call, "")
        try:
            yield
            if not before[0]:
                wait_for_all()
        except BaseException as error:
            if not before[0] and self.count > 1:
                self._compare(error)
            raise
        finally:
            self._set(*before)

    def _check_whole(self) -> None:
        if self.over is not None:
            raise RankError(
                f"nothing more can be done on these ranks: {self.over.removeprefix('fastconv: ')}"
            )

    def _compare(self, error: BaseException) -> None:
        """Find out whether all ranks have raised an error in the same place; if not, all is over."""
        own = not isinstance(error, RankError)
        heart, line = self._heart, f"fastconv: {self.name()} ended with {summary(error)}"
        if own:
            heart.tell(News(self._turn, self.number, line))
        self.over = line
        heart.exchanges += 1
        heart.doing = WAITING
        text = summary(error).encode(errors="replace")
        mine = np.array([own, heart.exchanges, self._begun, zlib.crc32(text)])
        all_of_them = np.empty((self.count, 4), np.int64)
        self._wait(self._communicator.Iallgather(mine, all_of_them))
        all_own, same_ends, same_begun, one_error = (all_of_them == mine).all(axis=0) & own
        one_place = same_ends and same_begun
        # Of a thousand ranks that end with one error, one shows it.
        shown_elsewhere = not own or (all_own and one_error and self.number > 0)
        if shown_elsewhere:
            _mark(error, _SAID)
        if all_own and one_place:
            self.over, self._turn = None, self._turn + 1
            if not shown_elsewhere:
                _mark(error, _ALIKE)
            return
        _hush()
        if not own:
            self.over = str(error)
        elif not shown_elsewhere and not (all_own and isinstance(error, KeyboardInterrupt)):
            say(line)

    def _wait(self, request: Any) -> None:
        while not request.Test():
            self._give_way()

    # The end

    def uncaught(self, error: BaseException) -> None:
        """The script ends with an error."""
        if self.over is None and _marked(error) is None:
            self._cause, self._unsaid = f"ended with {summary(error)}", True
            self.over = f"fastconv: {self.name()} {self._cause}"

    def farewell(self) -> None:
        """The script has ended: wait for the other ranks, and end them if it has not ended well."""
        if self._ended:
            return
        try:
            self._ended = True
            self._leave()
        except BaseException as error:  # of a signal's handler: the others would wait for ever
            self._heart.end_all(f"fastconv: {self.name()} ended with {summary(error)}")

    def _leave(self) -> None:
        heart = self._heart
        whole = not self._call and heart.doing != WAITING and self._turn not in heart.news
        heart.doing, heart.what = GONE, self._cause if self._unsaid else ""
        everyone, until = self._communicator.Ibarrier(), time.monotonic() + LAST_SECONDS
        while not everyone.Test():
            if self.over is not None and time.monotonic() > until:
                self._end_all()
            time.sleep(0.005)
        if self.over is not None and not (self._unsaid and whole):
            self._end_all()
        for witness in _witness:
            witness.farewell()
        # Hearts beat until all witnesses know: of a rank that is stopped before, the next one tells.
        self._wait(self._communicator.Ibarrier())
        heart.stop()
        self._wait(self._communicator.Ibarrier())
        heart.drain()

    def _end_all(self) -> None:
        if self._unsaid and self.over is not None:
            self._heart.end_all(self.over)
        if self.number:
            time.sleep(0.5)  # one is enough, and MPI prints a line for each
        self._heart.abort()


# What is known of an error: that all ranks have raised one in the same place, or that another rank shows it.
_ALIKE, _SAID = "alike", "said"


def _mark(error: BaseException, what: str) -> None:
    with contextlib.suppress(AttributeError):  # a class with __slots__
        error._fastconv_ranks = what  # type: ignore[attr-defined]


def _marked(error: BaseException) -> str | None:
    return getattr(error, "_fastconv_ranks", None)


# Of the process

_watches: list[Watch] = []
_witness: list[Witness] = []


def is_watching() -> bool:
    """Whether the end of this process is seen."""
    return bool(_watches)


def _watch_the_end() -> None:
    process, before = os.getpid(), sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if os.getpid() == process:
            for one in _watches:
                one.uncaught(error)
            if _marked(error) == _SAID:
                return
        before(kind, error, trace)
        if os.getpid() == process and (place := place_of(error)):
            say(f"fastconv: {place} ended with {summary(error)}, and so did the others")

    def farewell() -> None:
        if os.getpid() == process:  # children that were forked end in peace
            for one in _watches:
                one.farewell()

    sys.excepthook = hook
    atexit.register(farewell)
    interrupts.before_the_end(lambda: _hush(True))


def _hush(everyone: bool = False) -> None:
    """The end of this process needs no words, or that of no process on this machine."""
    for witness in _witness:
        if everyone:
            witness.silence_all()
        witness.dismiss()
