"""The error that ranks raise for one of them."""

import contextlib

__all__ = ["RankError"]


class RankError(RuntimeError):
    """Another rank has ended with an error, or has ended altogether; training together is over.

    Examples
    --------
    >>> issubclass(RankError, RuntimeError)
    True
    """


def mark_place(error: BaseException, place: str) -> None:
    """Let the end of the script, if this error is what ends it, say on which rank it came about."""
    with contextlib.suppress(AttributeError):  # a class with __slots__
        error._fastconv_place = place  # type: ignore[attr-defined]


def place_of(error: BaseException) -> str | None:
    """What `mark_place` has left."""
    return getattr(error, "_fastconv_place", None)
