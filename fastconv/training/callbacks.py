"""Things to do after each epoch. A callback is any object with `on_epoch_end(trainer, logs)`.

If it has `on_train_begin(trainer)`, `on_epoch_begin(trainer, logs)` or `on_train_end(trainer)` too, they are
called then; at the beginning of an epoch `logs` are its number and that of epochs.

What it needs to go on with a run that was cut off it gives in `state_dict()`, a dict of JSON values and dicts
of arrays, and gets back by `load_state_dict(state)`; `fit(checkpoint=...)` keeps it.

`logs` holds the figures of the epoch by name: "epoch" (from 0), "epochs", "loss", the metrics, the same
with "val_" in front when there are validation data, "learning_rate" and "seconds".
"""

import csv
import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..checks.settings import real_number, whole_number
from ..formats.model_file import check_target

Logs = Mapping[str, Any]

_CALLED = ("on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_end")

# Figures that grow when a model gets better, by the end of their names; all others shrink.
_GROWING = ("accuracy", "acc", "precision", "recall", "f1", "auc")


class _Best:
    """The best value so far of one figure in the logs."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0) -> None:
        if not isinstance(monitor, str):
            raise TypeError(f"`monitor` must be a name such as 'val_loss', got {monitor!r}")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"`mode` must be 'auto', 'min' or 'max', got {mode!r}")
        if mode == "auto":
            mode = "max" if monitor.lower().endswith(_GROWING) else "min"
        self.monitor = monitor
        self.sign = 1.0 if mode == "max" else -1.0
        self.min_delta = real_number(min_delta, "min_delta")
        self.value: float | None = None
        self._said = False  # that another figure is watched

    def read(self, logs: Logs) -> float:
        """The figure of this epoch: without validation data, "val_loss" falls back to "loss"."""
        validated = any(name.startswith("val_") for name in logs)
        names = [self.monitor] if validated else [self.monitor, self.monitor.removeprefix("val_")]
        for name in names:
            if name in logs:
                if name != self.monitor and not self._said:
                    self._said = True
                    warnings.warn(
                        f"`monitor` is {self.monitor!r}, but there are no validation data: {name!r} is "
                        "watched instead",
                        stacklevel=4,
                    )
                return float(logs[name])
        raise ValueError(f"`monitor` must be one of {', '.join(logs)}, got {self.monitor!r}")

    def improves(self, value: float) -> bool:
        """Remember `value` and say True, if it is the best so far by more than `min_delta`; NaN never is."""
        better = not np.isnan(value) and (
            self.value is None or self.sign * (value - self.value) > self.min_delta
        )
        if better:
            self.value = value
        return better


class EarlyStopping:
    """Stop when a figure has not improved for some epochs, and go back to the best weights.

    Parameters
    ----------
    monitor : str
        The figure to watch. Without validation data "val_loss" means "loss".
    patience : int
        Epochs without improvement after which training stops.
    min_delta : float
        An improvement must be larger than this.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" takes more for accuracy and its like.
    restore_best_weights : bool
        At the end of training, early or not, put back the weights of the best epoch.

    Attributes
    ----------
    best : float or None
        The best value seen.
    best_epoch : int or None
        Its epoch, from 0.
    stopped_epoch : int or None
        The epoch, from 0, after which training was stopped, if it was.

    Examples
    --------
    >>> stopping = EarlyStopping(patience=3)          # trainer.fit(..., callbacks=[stopping])
    >>> stopping.patience
    3
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 5,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best_weights: bool = True,
    ) -> None:
        self.monitor = monitor
        self.patience = whole_number(patience, "patience", low=0)
        self.min_delta = real_number(min_delta, "min_delta")
        self.mode = mode
        self.restore_best_weights = bool(restore_best_weights)
        self._forget()

    def _forget(self) -> None:
        self._best = _Best(self.monitor, self.mode, self.min_delta)
        self._best_state: dict[str, Any] | None = None
        self._waited = 0
        self._last_epoch: int | None = None
        self.best_epoch: int | None = None
        self.stopped_epoch: int | None = None

    @property
    def best(self) -> float | None:
        """The best value seen.

        Examples
        --------
        >>> EarlyStopping().best is None
        True
        """
        return self._best.value

    def on_epoch_end(self, trainer: Any, logs: Logs) -> None:
        """Compare this epoch with the best one; stop the trainer if it is time.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            The figures of the epoch.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> trainer = SimpleNamespace(stop_training=False)
        >>> stopping = EarlyStopping("loss", patience=1, restore_best_weights=False)
        >>> for epoch, loss in enumerate([3.0, 2.0, 2.5]):
        ...     stopping.on_epoch_end(trainer, {"epoch": epoch, "epochs": 9, "loss": loss})
        >>> trainer.stop_training, stopping.best
        (True, 2.0)
        """
        if logs["epoch"] == 0:
            self._forget()
        if self._best.improves(self._best.read(logs)):
            self._waited = 0
            self.best_epoch = logs["epoch"]
            if self.restore_best_weights:
                self._best_state = trainer.model.state()
        else:
            self._waited += 1
            if self._waited >= max(self.patience, 1):
                self.stopped_epoch = logs["epoch"]
                trainer.stop_training = True
        self._last_epoch = logs["epoch"]
        is_last = self.stopped_epoch is not None or logs["epoch"] + 1 >= logs["epochs"]
        if is_last:
            self.on_train_end(trainer)

    def on_train_end(self, trainer: Any) -> None:
        """Put the best weights back, whoever has stopped the trainer.

        Parameters
        ----------
        trainer : Trainer
            What has been trained.

        Examples
        --------
        >>> EarlyStopping().on_train_end(None)  # there was no epoch, so there is nothing to put back
        """
        if self._best_state is not None and self.best_epoch != self._last_epoch:
            trainer.model.load_state(self._best_state)

    def state_dict(self) -> dict[str, Any]:
        """What a run that was cut off goes on with.

        Returns
        -------
        dict
            The best value and weights, and how long there was no better one.

        Examples
        --------
        >>> EarlyStopping().state_dict()["waited"]
        0
        """
        return {
            "best": self._best.value,
            "waited": self._waited,
            "best_epoch": self.best_epoch,
            "stopped_epoch": self.stopped_epoch,
            "last_epoch": self._last_epoch,
            "best_weights": self._best_state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Parameters
        ----------
        state : dict
            As `state_dict` gave it.

        Examples
        --------
        >>> EarlyStopping().load_state_dict(EarlyStopping().state_dict())
        """
        self._forget()
        self._best.value, self._waited = state["best"], state["waited"]
        self.best_epoch, self._last_epoch = state["best_epoch"], state["last_epoch"]
        self.stopped_epoch, self._best_state = state["stopped_epoch"], state["best_weights"]


class ModelCheckpoint:
    """Save the model after each epoch, or after each epoch that is better than all before.

    Parameters
    ----------
    path : str or path
        The file to write, .npz or .safetensors. "{epoch}" (from 1) and the names of figures in braces are
        filled in: "model-{epoch:02d}-{val_loss:.3f}.npz".
    monitor : str
        The figure that decides what is better. Without validation data "val_loss" means "loss".
    save_best_only : bool
        Keep only the best epoch's model; otherwise save after every epoch.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" takes more for accuracy and its like.

    Raises
    ------
    ValueError
        If `path` ends in neither .npz nor .safetensors.

    Attributes
    ----------
    best : float or None
        The best value seen.
    saved : str or None
        The file written last.

    Examples
    --------
    >>> checkpoint = ModelCheckpoint("best.npz", monitor="val_accuracy")
    >>> checkpoint.save_best_only
    True
    """

    def __init__(
        self,
        path: "str | os.PathLike[str]",
        monitor: str = "val_loss",
        *,
        save_best_only: bool = True,
        mode: str = "auto",
    ) -> None:
        check_target(path)
        self.path = os.fspath(path)
        self.monitor = monitor
        self.save_best_only = bool(save_best_only)
        self.mode = mode
        self.saved: str | None = None
        self._best = _Best(monitor, mode)

    @property
    def best(self) -> float | None:
        """The best value seen.

        Examples
        --------
        >>> ModelCheckpoint("best.npz").best is None
        True
        """
        return self._best.value

    def on_epoch_end(self, trainer: Any, logs: Logs) -> None:
        """Save `trainer.model` if this epoch is to be kept.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            The figures of the epoch.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> trainer = SimpleNamespace(model=SimpleNamespace(save=lambda path: None))  # as if it saved
        >>> checkpoint = ModelCheckpoint("model-{epoch}.npz")
        >>> checkpoint.on_epoch_end(trainer, {"epoch": 0, "loss": 0.5})
        >>> checkpoint.saved
        'model-1.npz'
        """
        if logs["epoch"] == 0:
            self._best = _Best(self.monitor, self.mode)
        # Without save_best_only the figure need not exist, so it is not read.
        if self.save_best_only and not self._best.improves(self._best.read(logs)):
            return
        path = self._file_name(logs)
        trainer.model.save(path)
        self.saved = path

    def state_dict(self) -> dict[str, Any]:
        """What a run that was cut off goes on with.

        Returns
        -------
        dict
            The best value and the file written last.

        Examples
        --------
        >>> ModelCheckpoint("best.npz").state_dict()
        {'best': None, 'saved': None}
        """
        return {"best": self._best.value, "saved": self.saved}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Parameters
        ----------
        state : dict
            As `state_dict` gave it.

        Examples
        --------
        >>> checkpoint = ModelCheckpoint("best.npz")
        >>> checkpoint.load_state_dict({"best": 0.5, "saved": "best.npz"})
        >>> checkpoint.best
        0.5
        """
        self._best = _Best(self.monitor, self.mode)
        self._best.value, self.saved = state["best"], state["saved"]

    def _file_name(self, logs: Logs) -> str:
        figures = {**logs, "epoch": logs["epoch"] + 1}
        try:
            return self.path.format(**figures)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            names = ", ".join(figures)
            raise ValueError(f"`path` may name {names} in braces, got {self.path!r}") from error


class CSVLogger:
    """Write the figures of each epoch to a CSV file, one row an epoch, as soon as they are known.

    Parameters
    ----------
    path : str or path
        The file to write.
    append : bool
        Add to a file that exists, to go on with a run; otherwise it is replaced when training starts.

    Examples
    --------
    >>> CSVLogger("history.csv").append
    False
    """

    def __init__(self, path: "str | os.PathLike[str]", *, append: bool = False) -> None:
        self.path = Path(path)
        self.append = bool(append)
        self._columns: list[str] | None = None

    def on_epoch_end(self, trainer: Any, logs: Logs) -> None:
        """Write one row: the epoch (from 0, as Keras does) and its figures.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            The figures of the epoch.

        Examples
        --------
        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "history.csv")
        >>> CSVLogger(path).on_epoch_end(None, {"epoch": 0, "epochs": 1, "loss": 0.5})
        >>> open(path).read().splitlines()
        ['epoch,loss', '0,0.5']
        """
        row = {name: value for name, value in logs.items() if name != "epochs"}
        if self._columns is None or logs["epoch"] == 0:
            self._columns = list(row)
            has_header = self.append and self._check_header()
            if not has_header:
                with self.path.open("w", newline="") as file:
                    csv.writer(file).writerow(self._columns)
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow([row.get(name, "") for name in self._columns])

    def state_dict(self) -> dict[str, Any]:
        """What a run that was cut off goes on with.

        Returns
        -------
        dict
            The columns, and the size of the file with the rows so far.

        Examples
        --------
        >>> CSVLogger("history.csv").state_dict()
        {'columns': None, 'size': 0}
        """
        size = 0 if self._columns is None else self.path.stat().st_size
        return {"columns": self._columns, "size": size}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there: rows that were written later are dropped, as their epochs come again.

        Parameters
        ----------
        state : dict
            As `state_dict` gave it.

        Examples
        --------
        >>> CSVLogger("history.csv").load_state_dict({"columns": None, "size": 0})
        """
        if state["columns"] is None:
            return
        if not self.path.exists() or self.path.stat().st_size < state["size"]:
            warnings.warn(f"{self.path} has lost its first rows: it begins anew", stacklevel=2)
            return
        self._columns = list(state["columns"])
        os.truncate(self.path, state["size"])

    def _check_header(self) -> bool:
        """Whether the file to append to has a header already."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            return False
        with self.path.open(newline="") as file:
            header = next(csv.reader(file), [])
        if header != self._columns:
            raise ValueError(f"{self.path} has the columns {header}, cannot append {self._columns}")
        return True


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
    >>> len(check_callbacks((EarlyStopping(), CSVLogger("history.csv"))))
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
