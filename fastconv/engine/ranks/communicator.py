"""What the processes of one training run say to each other, over MPI.

A communicator of mpi4py is wrapped in `Ranks`; a process on its own has `ALONE`, with the same methods, so
that nobody has to ask which of the two there is. All ranks make the same calls in the same order.
"""

import contextlib
import math
import os
import pickle
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .wire import NO_WIRE, Wire, measured_wire

if TYPE_CHECKING:
    from .watch import Watch

GATHERED = 0x67617468  # comes before a size, so that no other message is taken for one
NOBODYS = 1  # the tag of a message that nobody sends: who waits for it is found by the watch

_give_way = getattr(os, "sched_yield", lambda: time.sleep(0))


def share_of(things: int, rank: int, ranks: int) -> tuple[int, int]:
    """Which of so many things in a row belong to a rank: (the first, the one after the last)."""
    return things * rank // ranks, things * (rank + 1) // ranks


class Coming:
    """Rows that are on their way, into an array that is theirs.

    Parameters
    ----------
    rows : ndarray
    wait : function, optional
        Waits until they are there.
    """

    def __init__(self, rows: NDArray[Any], wait: Callable[[], None] = lambda: None) -> None:
        self._rows, self._wait = rows, wait

    def finish(self) -> NDArray[Any]:
        """The rows, as soon as they are there."""
        self._wait()
        return self._rows


class Alone:
    """A process that trains on its own: all is here already."""

    number, count = 0, 1
    seconds = 0.0  # that went into talking and waiting so far

    @property
    def leads(self) -> bool:
        """Whether this is the rank that prints, saves, draws and calls back."""
        return self.number == 0

    def share(self, things: int) -> tuple[int, int]:
        """Which of so many things belong to this rank: (the first, the one after the last)."""
        return share_of(things, self.number, self.count)

    def gather(self, thing: Any) -> list[Any]:
        """What all ranks have given, in order: any objects."""
        return [thing]

    def broadcast(self, thing: Any) -> Any:
        """What rank 0 has given."""
        return thing

    def broadcast_array(self, array: NDArray[Any]) -> None:
        """Put the numbers of rank 0's array into that of every rank, which has its shape and dtype."""

    def all_rows(self, rows: NDArray[Any], counts: list[int]) -> NDArray[Any]:
        """The rows of all ranks below each other; `counts` says how many each has, C-ordered as here."""
        return self.begin_all_rows(rows, counts).finish()

    def begin_all_rows(self, rows: NDArray[Any], counts: list[int]) -> Coming:
        """As `all_rows`, without waiting: what comes is there once that has finished; `rows` stay."""
        return Coming(rows)

    def scatter_rows(self, rows: NDArray[Any], sent: list[int], received: list[int]) -> NDArray[Any]:
        """Send the first sent[0] rows to rank 0, the next to rank 1, ...; returns those that come in turn."""
        return self.begin_scatter_rows(rows, sent, received).finish()

    def begin_scatter_rows(self, rows: NDArray[Any], sent: list[int], received: list[int]) -> Coming:
        """As `scatter_rows`, without waiting."""
        return Coming(rows)

    def wait_for_all(self) -> None:
        """Go on when every rank has come here."""

    def wire(self) -> Wire:
        """What exchanges take: measured when it is asked for first, by all ranks at once."""
        return NO_WIRE

    def together(self, call: str) -> contextlib.AbstractContextManager[None]:
        """For a call that all ranks make: an error on one of them is an error on all, see `watch.py`."""
        return contextlib.nullcontext()

    def busy(self, what: str) -> contextlib.AbstractContextManager[None]:
        """For what may take long on this rank, such as "compiling": the others wait as long as it lives."""
        return contextlib.nullcontext()


class Ranks(Alone):
    """The processes of an MPI communicator.

    Parameters
    ----------
    communicator : mpi4py.MPI.Comm
        Of all processes that take part. What is said here does not mix with other messages on it.
    """

    def __init__(self, communicator: Any) -> None:
        self._line = _line_of(communicator)
        self._communicator, self._watch = self._line.communicator, self._line.watch
        self.number, self.count = communicator.Get_rank(), communicator.Get_size()
        self.seconds = 0.0
        self.hosts = self._watch.hosts

    def _finish(self, request: Any) -> None:
        """Wait until a request is done, without keeping other ranks on this processor from their work."""
        started = time.perf_counter()
        self._watch.finish(request)
        self.seconds += time.perf_counter() - started

    def _begin(self, call: Callable[..., Any], sent: Any, received: Any, rows: NDArray[Any]) -> Coming:
        """Begin an exchange that brings `rows`."""
        started = time.perf_counter()
        self._watch.begin()
        request = call(sent, received)
        self._line.keep(request, sent, received)
        self.seconds += time.perf_counter() - started
        return Coming(rows, lambda: self._finish(request))

    def wire(self) -> Wire:
        if self._line.wire is None:
            before = self.seconds
            self._line.wire = measured_wire(self)
            self.seconds = before
        return self._line.wire

    def together(self, call: str) -> contextlib.AbstractContextManager[None]:
        return self._watch.together(call, self.wait_for_all)

    def busy(self, what: str) -> contextlib.AbstractContextManager[None]:
        return self._watch.busy(what)

    def gather(self, thing: Any) -> list[Any]:
        sent = np.frombuffer(pickle.dumps(thing), np.uint8)
        told = np.array([GATHERED, sent.size], np.int64)
        all_told = np.tile(told, (self.count, 1))
        self._finish(self._communicator.Iallgather(told, all_told))
        if (all_told[:, 0] != GATHERED).any():  # somebody makes another call: what is here says nothing
            self._finish(self._communicator.Irecv(np.empty(1), source=self.number, tag=NOBODYS))
        counts = all_told[:, 1]
        joined, found = self.all_rows(sent, counts.tolist()), []
        for end, size in zip(np.cumsum(counts), counts, strict=True):
            found.append(pickle.loads(joined[end - size : end].tobytes()))
        return found

    def broadcast(self, thing: Any) -> Any:
        return self.gather(thing if self.leads else None)[0]

    def broadcast_array(self, array: NDArray[Any]) -> None:
        self._finish(self._communicator.Ibcast(_bytes(array), root=0))

    def begin_all_rows(self, rows: NDArray[Any], counts: list[int]) -> Coming:
        row_bytes = rows.itemsize * math.prod(rows.shape[1:])
        found = np.empty((sum(counts), *rows.shape[1:]), rows.dtype)
        sizes = [count * row_bytes for count in counts]
        return self._begin(self._communicator.Iallgatherv, _bytes(rows), [_bytes(found), sizes], found)

    def begin_scatter_rows(self, rows: NDArray[Any], sent: list[int], received: list[int]) -> Coming:
        row_bytes = rows.itemsize * math.prod(rows.shape[1:])
        found = np.empty((sum(received), *rows.shape[1:]), rows.dtype)
        out, back = ([count * row_bytes for count in counts] for counts in (sent, received))
        call = self._communicator.Ialltoallv
        return self._begin(call, [_bytes(rows), out], [_bytes(found), back], found)

    def wait_for_all(self) -> None:
        self._finish(self._communicator.Ibarrier())


_KEYS: list[int] = []  # under which a communicator keeps its line


class _Line:
    """What is said on a communicator goes through one of our own, made once: MPI has a thousand or two."""

    def __init__(self, communicator: Any, watch: "Watch") -> None:
        self.communicator, self.watch = communicator, watch
        self.wire: Wire | None = None
        self._begun: list[tuple[Any, ...]] = []

    def keep(self, request: Any, *memory: Any) -> None:
        """Keep memory as long as MPI may write into it, even where an interrupt keeps us from waiting."""
        self._begun = [one for one in self._begun if not one[0].Test()]
        self._begun.append((request, *memory))


def _line_of(communicator: Any) -> _Line:
    """The line of a communicator."""
    from mpi4py import MPI

    from .watch import Watch

    if not _KEYS:
        _KEYS.append(MPI.Comm.Create_keyval())
    found: _Line | None = communicator.Get_attr(_KEYS[0])
    if found is None:
        if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
            raise RuntimeError("`communicator` must be of an MPI for several threads: MPI.THREAD_MULTIPLE")
        pair = []
        for _ in range(2):
            own, request = communicator.Idup()
            while not request.Test():
                _give_way()
            pair.append(own)
        found = _Line(pair[0], Watch(pair[1], _give_way))
        communicator.Set_attr(_KEYS[0], found)
    return found


def _bytes(rows: NDArray[Any]) -> NDArray[np.uint8]:
    """The bytes of C-ordered rows, in place.

    Raises
    ------
    ValueError
        If they lie otherwise.

    Examples
    --------
    >>> _bytes(np.array([[1, 2]], np.uint16)).tolist()
    [1, 0, 2, 0]
    """
    if not rows.flags.c_contiguous:
        raise ValueError(f"`rows` must be C-contiguous, got strides {rows.strides} for shape {rows.shape}")
    return rows.reshape(-1).view(np.uint8)


ALONE = Alone()
