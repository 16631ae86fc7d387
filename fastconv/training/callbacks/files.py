"""Which files a run writes: no two of its parts the same one."""

import os
from collections.abc import Iterable
from typing import Any

from .csv_logger import CSVLogger
from .model_checkpoint import ModelCheckpoint


def check_files(callbacks: Iterable[Any], checkpoint: "str | os.PathLike[str] | None") -> None:
    """Raise ValueError where two parts of a run would overwrite each other's file.

    Parameters
    ----------
    callbacks : iterable
    checkpoint : path, optional
        The file that `fit` itself writes.

    Raises
    ------
    ValueError
        If two of them write one file.

    Examples
    --------
    >>> check_files([ModelCheckpoint("best.npz")], "run.npz")
    >>> check_files([ModelCheckpoint("run.npz")], "run.npz")
    Traceback (most recent call last):
    ValueError: `checkpoint` and ModelCheckpoint would write one file, run.npz: give each its own
    """
    writers = {} if checkpoint is None else {os.path.realpath(checkpoint): "`checkpoint`"}
    for callback in callbacks:
        if isinstance(callback, (CSVLogger, ModelCheckpoint)):
            name, path = type(callback).__name__, os.fspath(callback.path)
            other = writers.get(os.path.realpath(path))
            if other is not None:
                raise ValueError(f"{other} and {name} would write one file, {path}: give each its own")
            writers[os.path.realpath(path)] = name
