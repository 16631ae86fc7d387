"""The figures of a run as a table in a file."""

import csv
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .callback import Callback, Logs


class CSVLogger(Callback):
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
