"""What ranks do together: an error on one of them is raised on all, and all must make the same call."""

import hashlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .communicator import ALONE, Alone, Ranks
from .errors import mark_place

# What is asked of a communicator.
_METHODS = (
    "Idup", "Get_rank", "Get_size", "Get_attr", "Set_attr", "Iallgather", "Iallgatherv", "Ialltoallv",
    "Ibarrier", "Ibcast",
)  # fmt: skip


def given_ranks(communicator: Any) -> Alone:
    """The ranks of a communicator, or a process on its own where there is none.

    Raises
    ------
    TypeError
        If it is no communicator of mpi4py.

    Examples
    --------
    >>> given_ranks(None).count
    1
    >>> given_ranks("world")
    Traceback (most recent call last):
    TypeError: `communicator` must be a communicator of mpi4py, such as MPI.COMM_WORLD, got 'world'
    """
    if communicator is None:
        return ALONE
    if isinstance(communicator, Alone):
        return communicator
    if not all(callable(getattr(communicator, name, None)) for name in _METHODS):
        raise TypeError(
            f"`communicator` must be a communicator of mpi4py, such as MPI.COMM_WORLD, got {communicator!r}"
        )
    return Ranks(communicator)


@dataclass(frozen=True)
class Failure:
    """An exception on its way to other ranks, which may not know the class that it is of."""

    module: str
    name: str
    text: str

    @classmethod
    def of(cls, error: BaseException) -> "Failure":
        """What is told of an exception."""
        arguments = error.args
        text = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], str) else str(error)
        return cls(type(error).__module__, type(error).__qualname__, text)  # a KeyError's str has quotes

    def raised(self, place: str = "") -> BaseException:
        """The exception as another rank raises it; `place` is where it came about."""
        found: Any = sys.modules.get(self.module)
        for name in self.name.split("."):
            found = getattr(found, name, None)
        if isinstance(found, type) and issubclass(found, BaseException):
            try:
                return found(*[self.text + place] if self.text else [])
            except TypeError:  # it is made of something else
                pass
        return RuntimeError(f"{self.name}: {self.text}{place}")


def gathered(ranks: Alone, act: Callable[[], Any]) -> list[Any]:
    """What `act` returns on each rank; where it raises on one of them, all of them raise the same.

    Examples
    --------
    >>> gathered(ALONE, lambda: 3)
    [3]
    """
    try:
        with ranks.busy("reading and checking data"):
            own = act()
    except BaseException as error:
        ranks.gather(Failure.of(error))
        raise
    found = ranks.gather(own)
    for rank, thing in enumerate(found):
        if isinstance(thing, Failure):
            raise thing.raised(f" (on {_named(ranks, rank)})")
    return found


def on_all(ranks: Alone, act: Callable[[], Any]) -> Any:
    """What `act` returns here, if it raises on no rank; else all ranks raise the same.

    Examples
    --------
    >>> on_all(ALONE, lambda: 3)
    3
    """
    own: list[Any] = []
    gathered(ranks, lambda: own.append(act()))
    return own[0]


def by_lead(ranks: Alone, act: Callable[[], Any]) -> Any:
    """What `act` returns on rank 0, which alone calls it; what it raises there is raised on all.

    Examples
    --------
    >>> by_lead(ALONE, lambda: 3)
    3
    """
    if ranks.count == 1:  # small networks would notice the rest
        return act()
    if not ranks.leads:
        told = ranks.broadcast(None)
        if isinstance(told, Failure):
            raise told.raised()
        return told
    try:
        with ranks.busy("callbacks, files and metrics, which are its own"):
            own = act()
    except BaseException as error:
        ranks.broadcast(Failure.of(error))
        if isinstance(error, Exception):
            mark_place(error, f"rank 0 of {ranks.count} on host {getattr(ranks, 'hosts', ['?'])[0]}")
        raise
    return ranks.broadcast(own)


def check_same_call(ranks: Alone, describe: Callable[[], dict[str, Any]]) -> None:
    """Raise ValueError on all ranks where what `describe` returns is not the same on all; or what it raises.

    Examples
    --------
    >>> check_same_call(ALONE, lambda: {"batch_size": 32})
    """
    facts: dict[str, Any] = {}

    def fingerprint() -> bytes:
        facts.update(describe())
        return hashlib.sha256(repr(facts).encode()).digest()

    if len(set(gathered(ranks, fingerprint))) > 1:
        _refuse(ranks, ranks.gather({name: str(value) for name, value in facts.items()}))


def _refuse(ranks: Alone, found: list[dict[str, str]]) -> None:
    """Raise ValueError that says what differs, of the first rank that is not as rank 0."""
    for rank, others in enumerate(found):
        for name in {**found[0], **others}:
            first, other = (facts.get(name, "missing") for facts in (found[0], others))
            if first != other:
                raise ValueError(
                    f"ranks must make the same call: `{name}` is {first} on {_named(ranks, 0)} and {other} "
                    f"on {_named(ranks, rank)}"
                )


def _named(ranks: Alone, rank: int) -> str:
    """A rank, and where it runs."""
    hosts = getattr(ranks, "hosts", None)
    return f"rank {rank}" if hosts is None else f"rank {rank} (host {hosts[rank]})"
