"""What a callback is, and how callbacks are called."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

Logs = Mapping[str, Any]

_CALLED = ("on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_end")


def check_callbacks(callbacks: Iterable[Any]) -> list[Any]:
    """The callbacks as a list.

    Parameters
    ----------
    callbacks : iterable
        Objects with `on_epoch_end(trainer, logs)`.

    Returns
    -------
    list

    Raises
    ------
    TypeError
        If it is no iterable, or one of them has no such method.

    Examples
    --------
    >>> import fastconv as fc
    >>> len(check_callbacks((fc.EarlyStopping(), fc.CSVLogger("history.csv"))))
    2
    """
    try:
        callbacks = list(callbacks)
    except TypeError:
        raise TypeError(f"`callbacks` must be a list of callbacks, got {callbacks!r}") from None
    for callback in callbacks:
        if not callable(getattr(callback, "on_epoch_end", None)) or isinstance(callback, type):
            raise TypeError(f"`callbacks` must have a method on_epoch_end(trainer, logs), got {callback!r}")
        unknown = sorted(name for name in dir(callback) if name[:3] == "on_" and name not in _CALLED)
        if unknown:
            method, called = f"{type(callback).__name__}.{unknown[0]}", ", ".join(_CALLED)
            warnings.warn(f"{method} is never called: callbacks have {called}", stacklevel=3)
    return callbacks


def call_each(callbacks: Iterable[Any], name: str, *arguments: Any) -> None:
    """Call the method `name` of those callbacks that have one.

    Parameters
    ----------
    callbacks : iterable
        Objects, in the order in which they are called.
    name : str
        Of the method, such as "on_epoch_end".
    *arguments
        What it is called with.

    Examples
    --------
    >>> class Greeter:
    ...     def on_train_end(self, trainer):
    ...         print("done")
    >>> call_each([Greeter(), object()], "on_train_end", None)
    done
    """
    for callback in callbacks:
        method = getattr(callback, name, None)
        if method is not None:
            method(*arguments)
