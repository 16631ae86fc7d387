"""What the processes of one training run say to each other, over MPI.

A communicator of mpi4py is wrapped in `Ranks`; a process on its own has `ALONE`, with the same methods, so
that nobody has to ask which of the two there is. All ranks make the same calls in the same order.
"""

import contextlib
import math
import os
import pickle
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from .watch import Watch

_give_way = getattr(os, "sched_yield", lambda: time.sleep(0))


def share_of(things: int, rank: int, ranks: int) -> tuple[int, int]:
    """Which of so many things in a row belong to a rank: (the first, the one after the last)."""
    return things * rank // ranks, things * (rank + 1) // ranks


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
        return rows

    def scatter_rows(self, rows: NDArray[Any], sent: list[int], received: list[int]) -> NDArray[Any]:
        """Send the first sent[0] rows to rank 0, the next to rank 1, ...; returns those that come in turn."""
        return rows

    def wait_for_all(self) -> None:
        """Go on when every rank has come here."""

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
        self._communicator, self._watch = _line(communicator)
        self.number, self.count = communicator.Get_rank(), communicator.Get_size()
        self.seconds = 0.0
        self.hosts = self._watch.hosts

    def _finish(self, request: Any) -> None:
        """Wait until a request is done, without keeping other ranks on this processor from their work."""
        started = time.perf_counter()
        self._watch.finish(request)
        self.seconds += time.perf_counter() - started

    def together(self, call: str) -> contextlib.AbstractContextManager[None]:
        return self._watch.together(call, self.wait_for_all)

    def busy(self, what: str) -> contextlib.AbstractContextManager[None]:
        return self._watch.busy(what)

    def gather(self, thing: Any) -> list[Any]:
        sent = np.frombuffer(pickle.dumps(thing), np.uint8)
        counts = np.empty(self.count, np.int64)
        self._finish(self._communicator.Iallgather(np.array([sent.size], np.int64), counts))
        joined, found = self.all_rows(sent, counts.tolist()), []
        for end, size in zip(np.cumsum(counts), counts, strict=True):
            found.append(pickle.loads(joined[end - size : end].tobytes()))
        return found

    def broadcast(self, thing: Any) -> Any:
        return self.gather(thing if self.leads else None)[0]

    def broadcast_array(self, array: NDArray[Any]) -> None:
        self._finish(self._communicator.Ibcast(_bytes(array), root=0))

    def all_rows(self, rows: NDArray[Any], counts: list[int]) -> NDArray[Any]:
        row_bytes = rows.itemsize * math.prod(rows.shape[1:])
        found = np.empty((sum(counts), *rows.shape[1:]), rows.dtype)
        sizes = [count * row_bytes for count in counts]
        request = self._communicator.Iallgatherv(_bytes(rows), [_bytes(found), sizes])
        self._finish(request)
        return found

    def scatter_rows(self, rows: NDArray[Any], sent: list[int], received: list[int]) -> NDArray[Any]:
        row_bytes = rows.itemsize * math.prod(rows.shape[1:])
        found = np.empty((sum(received), *rows.shape[1:]), rows.dtype)
        out, back = ([count * row_bytes for count in counts] for counts in (sent, received))
        self._finish(self._communicator.Ialltoallv([_bytes(rows), out], [_bytes(found), back]))
        return found

    def wait_for_all(self) -> None:
        self._finish(self._communicator.Ibarrier())


_KEYS: list[int] = []  # under which a communicator keeps its line


def _line(communicator: Any) -> "tuple[Any, Watch]":
    """What is said on a communicator goes through one of our own, made once: MPI has a thousand or two."""
    from mpi4py import MPI

    from .watch import Watch

    if not _KEYS:
        _KEYS.append(MPI.Comm.Create_keyval())
    found = communicator.Get_attr(_KEYS[0])
    if found is None:
        if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
            raise RuntimeError("`communicator` must be of an MPI for several threads: MPI.THREAD_MULTIPLE")
        pair = []
        for _ in range(2):
            own, request = communicator.Idup()
            while not request.Test():
                _give_way()
            pair.append(own)
        found = pair[0], Watch(pair[1], _give_way)
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
