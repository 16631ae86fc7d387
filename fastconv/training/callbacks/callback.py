"""What a callback is, and how callbacks are called."""

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

Logs = Mapping[str, Any]

# The methods that are called, in this order, and what with.
HOOKS = {
    "on_train_begin": ("trainer",),
    "on_epoch_begin": ("trainer", "logs"),
    "on_batch_end": ("trainer", "logs"),
    "on_validation_begin": ("trainer",),
    "on_epoch_end": ("trainer", "logs"),
    "on_train_end": ("trainer",),
}
# What people write who know Keras or Lightning -> what to write here.
_BEFORE = "is never called: use on_batch_end of the batch before, or on_epoch_begin"
_VALIDATION = "is never called: the logs of on_epoch_end have the figures of validation, 'val_loss' and so on"
COUNTERPARTS = {
    "on_train_batch_end": "is called on_batch_end(trainer, logs)",
    **dict.fromkeys(("on_batch_begin", "on_batch_start"), _BEFORE),
    **dict.fromkeys(("on_train_batch_begin", "on_train_batch_start"), _BEFORE),
    **dict.fromkeys(
        ("on_train_start", "on_fit_start", "on_training_start"), "is called on_train_begin(trainer)"
    ),
    **dict.fromkeys(("on_fit_end", "on_training_end"), "is called on_train_end(trainer)"),
    **dict.fromkeys(("on_epoch_start", "on_train_epoch_start"), "is called on_epoch_begin(trainer, logs)"),
    "on_train_epoch_end": "is called on_epoch_end(trainer, logs)",
    **dict.fromkeys(("on_test_begin", "on_validation_start"), "is called on_validation_begin(trainer)"),
    **dict.fromkeys(("on_test_end", "on_validation_end"), _VALIDATION),
    **dict.fromkeys(("on_validation_epoch_end", "on_test_batch_end"), _VALIDATION),
}


class Callback:
    """Something to do at certain moments of `Trainer.fit`: subclass it, or write a class of your own.

    Any object with some of these methods is a callback. If it has state that a run which was cut off needs
    to go on, it gives it in `state_dict()`, a dict of JSON values, arrays and dicts of arrays, and gets it
    back by `load_state_dict(state)`; `fit(checkpoint=...)` keeps it.

    A callback may set `trainer.stop_training = True` anywhere, which ends training there, and assign another
    optimizer (see `Trainer`); it may look at and change `trainer.model`, save it, `evaluate` and `predict`.
    Where several ranks train together, rank 0 calls its callbacks, and the others take over what they change.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> class Target(fc.Callback):
    ...     def on_epoch_end(self, trainer, logs):
    ...         trainer.stop_training = logs["loss"] < 1.0
    >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
    >>> len(trainer.fit(np.ones((8, 1, 6, 6)), np.ones(8), epochs=9, callbacks=[Target()])["loss"])
    1
    """

    def on_train_begin(self, trainer: Any) -> None:
        """Called before the first epoch of a call of `fit`.

        Parameters
        ----------
        trainer : Trainer
            What is to be trained.

        Examples
        --------
        >>> Callback().on_train_begin(None)  # does nothing
        """

    def on_epoch_begin(self, trainer: Any, logs: Logs) -> None:
        """Called before each epoch.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            "epoch", its number from 0, and "epochs", how many there will be.

        Examples
        --------
        >>> Callback().on_epoch_begin(None, {"epoch": 0, "epochs": 5})  # does nothing
        """

    def on_batch_end(self, trainer: Any, logs: Logs) -> None:
        """Called after each step. Where any callback has this method, steps are run one by one.

        Otherwise many steps are taken in one compiled call, which is faster for small networks; the numbers
        are the same to the last bit. Of the optimizer, only the learning rate may change here.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            "epoch" and "epochs" as in `on_epoch_begin`, "batch", the number of the step in this epoch from
            0, "loss", the mean of this batch alone, and "learning_rate", of this step.

        Examples
        --------
        >>> Callback().on_batch_end(None, {"epoch": 0, "epochs": 5, "batch": 0, "loss": 0.5})  # nothing
        """

    def on_validation_begin(self, trainer: Any) -> None:
        """Called between the steps of an epoch and its validation, where there are validation data.

        Parameters
        ----------
        trainer : Trainer
            What is training.

        Examples
        --------
        >>> Callback().on_validation_begin(None)  # does nothing
        """

    def on_epoch_end(self, trainer: Any, logs: Logs) -> None:
        """Called after each epoch, and its validation.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            The figures of the epoch by name: "epoch" (from 0), "epochs", "loss", the metrics, the same with
            "val_" in front where there are validation data, "learning_rate" and "seconds".

        Examples
        --------
        >>> Callback().on_epoch_end(None, {"epoch": 0, "epochs": 5, "loss": 0.5})  # does nothing
        """

    def on_train_end(self, trainer: Any) -> None:
        """Called after the last epoch, whoever has stopped training; not after an error.

        What it raises, `fit` raises, once all callbacks were called.

        Parameters
        ----------
        trainer : Trainer
            What has been trained.

        Examples
        --------
        >>> Callback().on_train_end(None)  # does nothing
        """


def check_callbacks(callbacks: Iterable[Any]) -> list[Any]:
    """The callbacks as a list.

    Parameters
    ----------
    callbacks : iterable
        Objects with methods among `HOOKS`.

    Returns
    -------
    list

    Raises
    ------
    TypeError
        If it is no iterable, or one of them has no such method, one that would never be called, or one that
        takes other arguments.

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
        wanted = "`callbacks` must have a method on_epoch_end(trainer, logs), got"
        if isinstance(callback, type):
            raise TypeError(f"{wanted} the class {callback.__name__}: write {callback.__name__}(...)")
        _check_names(callback)
        methods = {name: method for name in HOOKS if callable(method := getattr(callback, name, None))}
        if not methods:
            raise TypeError(f"{wanted} {callback!r}")
        for name, method in methods.items():
            _check_arguments(f"{type(callback).__name__}.{name}", method, HOOKS[name])
    return callbacks


def _check_names(callback: Any) -> None:
    """Raise TypeError for a method that looks as if it were called, but never is."""
    kind, hooks = type(callback).__name__, {_bare(name): name for name in HOOKS}
    for name in sorted(dir(callback)):
        looks_so = name.startswith("on_") or (name.startswith("on") and _bare(name) in hooks)
        if looks_so and name not in HOOKS and callable(getattr(callback, name, None)):
            near = difflib.get_close_matches(_bare(name), hooks, 1, 0.75)
            hint = f"is never called: did you mean {hooks[near[0]]}?" if near else "is never called"
            raise TypeError(
                f"{kind}.{name} {COUNTERPARTS.get(name, hint)} (callbacks have {', '.join(HOOKS)})"
            )
    keeps = [callable(getattr(callback, name, None)) for name in ("state_dict", "load_state_dict")]
    if keeps[0] != keeps[1]:
        has, lacks = ("state_dict", "load_state_dict") if keeps[0] else ("load_state_dict", "state_dict")
        raise TypeError(f"{kind} has {has}, so it must have {lacks} too: see `Callback`")


def _bare(name: str) -> str:
    return name.lower().replace("_", "")


def _check_arguments(name: str, method: Any, wanted: tuple[str, ...]) -> None:
    """Raise TypeError where a method can't be called as it will be, or was written for Keras."""
    try:
        signature = inspect.signature(method)
    except (TypeError, ValueError):  # some compiled functions have none
        return
    taken = ", ".join(signature.parameters)
    must = f"{name} must take ({', '.join(wanted)}), got ({taken})"
    if next(iter(signature.parameters), "") in ("epoch", "batch", "logs"):
        raise TypeError(f"{must}: other than in Keras, the trainer comes first, and logs have the numbers")
    try:
        signature.bind(*wanted)
    except TypeError:
        raise TypeError(must) from None


def hears_of_batches(callback: Any) -> bool:
    """Whether steps have to be run one by one for it."""
    method = getattr(callback, "on_batch_end", None)
    return method is not None and getattr(method, "__func__", method) is not Callback.on_batch_end


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
    failure: Exception | None = None
    for callback in callbacks:
        method = getattr(callback, name, None)
        if method is None:
            continue
        try:
            method(*arguments)
        except Exception as error:
            if name != "on_train_end":
                raise
            failure = failure or error  # first the others put weights back and close their files
    if failure is not None:
        raise failure
