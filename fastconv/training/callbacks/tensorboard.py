"""The figures of a run for TensorBoard."""

import os
import time
from typing import Any

from ...checks.extras import require
from .callback import Callback, Logs


class TensorBoard(Callback):
    """Write the figures of each epoch as event files: `tensorboard --logdir logs` draws them.

    As in Keras, curves of training and of validation lie over each other: their files are in the folders
    "train" and "validation" of `log_dir`, and a figure is called "epoch_loss" in both. Epochs are counted
    over all calls of `fit`. A run in the folder of an earlier one replaces what that has of the same epochs
    and later ones, so that a resumed run draws one curve.

    It needs tensorboardX (the extra "tensorboard").

    Parameters
    ----------
    log_dir : str or path
        The folder to write to; it is made as training starts.

    Raises
    ------
    ImportError
        If tensorboardX is not installed.

    Examples
    --------
    >>> TensorBoard("logs/first").log_dir
    'logs/first'
    """

    def __init__(self, log_dir: "str | os.PathLike[str]" = "logs") -> None:
        extra = "tensorboard", "TensorBoard"
        self._module = require("tensorboardX.event_file_writer", *extra)
        self._events = require("tensorboardX.proto.event_pb2", *extra)
        self._scalar = require("tensorboardX.summary", *extra).scalar
        self.log_dir = os.fspath(log_dir)
        self._files: dict[str, Any] = {}
        self._first = 0

    def on_train_begin(self, trainer: Any) -> None:
        """Note at which epoch the files begin.

        Parameters
        ----------
        trainer : Trainer
            What is to be trained.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> TensorBoard().on_train_begin(SimpleNamespace(epochs_taken=3))
        """
        self._close()
        self._first = trainer.epochs_taken

    def on_epoch_end(self, trainer: Any, logs: Logs) -> None:
        """Write the figures, to the disk.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            The figures of the epoch.

        Examples
        --------
        >>> import os, tempfile
        >>> from types import SimpleNamespace
        >>> folder = tempfile.mkdtemp()
        >>> board = TensorBoard(folder)
        >>> board.on_epoch_end(SimpleNamespace(epochs_taken=1), {"epoch": 0, "epochs": 1, "loss": 0.5})
        >>> board.on_train_end(None)
        >>> os.listdir(folder)
        ['train']
        """
        step = trainer.epochs_taken - 1
        for name, value in logs.items():
            if name not in ("epoch", "epochs"):
                part = "validation" if name.startswith("val_") else "train"
                summary = self._scalar(f"epoch_{name.removeprefix('val_')}", value)
                self._write(part, step=step, wall_time=time.time(), summary=summary)
        for file in self._files.values():
            file.flush()

    def on_train_end(self, trainer: Any) -> None:
        """Close the files.

        Parameters
        ----------
        trainer : Trainer
            What has been trained.

        Examples
        --------
        >>> TensorBoard().on_train_end(None)
        """
        self._close()

    def _write(self, part: str, **event: Any) -> None:
        """Add an event to the file of training or validation.

        Not by a SummaryWriter, whose thread writes later: what a checkpoint counts as done must be there.
        """
        if part not in self._files:
            folder = os.path.join(self.log_dir, part)
            os.makedirs(folder, exist_ok=True)
            path = os.path.join(folder, "events")
            # TensorBoard reads files in the order of their names, which otherwise tell whole seconds.
            self._files[part] = self._module.EventsWriter(path, f".{time.time_ns():020d}.{os.getpid()}")
            start = self._events.SessionLog(status=self._events.SessionLog.START)
            self._write(
                part, step=self._first, session_log=start
            )  # hides what an earlier run has from there on
        self._files[part].write_event(self._events.Event(**event))

    def _close(self) -> None:
        while self._files:
            self._files.popitem()[1].close()
