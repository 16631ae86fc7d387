"""What a run leaves behind: its figures epoch by epoch, or an error where the loss has left all bounds."""

import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from .callbacks.best import Best
from .progress import format_figure

_SHOWN = 10  # epochs in a table: the last ones


class DivergedError(ArithmeticError):
    """The loss or a parameter became infinite or not a number; the message names the epoch and the step.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> trainer = fc.Trainer(fc.Sequential([fc.Dense(1)], (1,)), loss="mse", optimizer=fc.SGD(lr=1e30))
    >>> try:
    ...     trainer.fit(np.ones(64), np.ones(64))
    ... except fc.DivergedError as error:
    ...     print(error)
    the loss became inf in epoch 1, step 2: try a smaller learning rate
    """


class NotFiniteError(DivergedError, ValueError):
    """The same, because X or y held an infinity or something that is not a number; the message says where.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> trainer = fc.Trainer(fc.Sequential([fc.Dense(1)], (1,)), loss="mse")
    >>> try:
    ...     trainer.fit(np.array([1.0, np.nan]), np.ones(2))
    ... except ValueError as error:
    ...     print(error)
    the loss became nan in epoch 1, step 1: `X` must be finite, got nan at [1, 0]
    """


class BestEpoch(NamedTuple):
    """The epoch, from 0, in which a figure was best, and its value there."""

    epoch: int
    value: float


class History(dict[str, list[float]]):
    """Name of a figure -> its values, one for each epoch: `history["val_loss"]`. Shown as a table.

    Where a figure is missing in some epochs, since only some calls of `fit` had validation data, it is NaN.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
    >>> history = trainer.fit(np.ones((8, 1, 6, 6)), np.ones(8), epochs=3)
    >>> list(history), len(history["loss"])
    (['loss', 'accuracy', 'learning_rate', 'seconds'], 3)
    """

    _draw: ClassVar[Callable[..., Any]]  # from the package's face: pictures are made further up

    def append(self, logs: Mapping[str, Any]) -> None:
        """Add one epoch's figures.

        Parameters
        ----------
        logs : mapping
            Name -> figure, as callbacks get them.

        Examples
        --------
        >>> history = History()
        >>> history.append({"epoch": 0, "epochs": 2, "loss": 0.5})
        >>> history.append({"epoch": 1, "epochs": 2, "loss": 0.25, "accuracy": 1.0})
        >>> history
        epoch    loss  accuracy
            1  0.5000       nan
            2  0.2500    1.0000
        """
        epochs = self._epochs()
        for name, figure in logs.items():
            if name not in ("epoch", "epochs"):
                values = self.setdefault(name, [])
                values += [math.nan] * (epochs - len(values))
                values.append(figure)
        for values in self.values():
            values += [math.nan] * (epochs + 1 - len(values))

    def to_dict(self) -> dict[str, list[float]]:
        """A plain dict with lists of its own, as pandas.DataFrame and json take it.

        Returns
        -------
        dict

        Examples
        --------
        >>> History({"loss": [0.5, 0.25]}).to_dict()
        {'loss': [0.5, 0.25]}
        """
        return {name: list(values) for name, values in self.items()}

    def best(self, name: str | None = None, *, mode: str = "auto") -> BestEpoch:
        """The epoch in which a figure was best.

        Parameters
        ----------
        name : str, optional
            Default is "val_loss" where it is there, else "loss".
        mode : {"auto", "min", "max"}
            Whether less or more is better; "auto" takes more for accuracy and its like.

        Returns
        -------
        BestEpoch
            `epoch`, from 0, and `value`; of equal epochs the first.

        Raises
        ------
        ValueError
            If there is no such figure, or it is never a number.

        Examples
        --------
        >>> History({"loss": [0.5, 0.25, 0.3]}).best()
        BestEpoch(epoch=1, value=0.25)
        """
        if name is None:
            name = "val_loss" if "val_loss" in self else "loss"
        if name not in self:
            raise ValueError(f"`name` must be one of {', '.join(self) or 'no figures yet'}, got {name!r}")
        found: BestEpoch | None = None
        best = Best(name, mode)
        for epoch, value in enumerate(self[name]):
            if best.improves(value):
                found = BestEpoch(epoch, value)
        if found is None:
            raise ValueError(f"`name` must have a number in some epoch, got {name!r} without one")
        return found

    def plot(self, *, ax: Any = None, names: str | Sequence[str] | None = None) -> Any:
        """Draw the curves: the same as `fastconv.plots.history(history, ...)`.

        Parameters
        ----------
        ax : Axes or array of Axes, optional
            One for each panel.
        names : str or list of str, optional
            Figures to draw; default is the loss and all metrics.

        Returns
        -------
        Axes or ndarray of Axes

        Examples
        --------
        >>> ax = History({"loss": [2.3, 0.4]}).plot(names="loss")
        >>> ax.lines[0].get_ydata().tolist()
        [2.3, 0.4]
        """
        return type(self)._draw(self, ax=ax, names=names)

    def _epochs(self) -> int:
        return max(map(len, self.values()), default=0)

    def _table(self) -> list[list[str]]:
        """A head, and a row for each of the last epochs."""
        rows = [["epoch", *self]]
        for epoch in range(max(0, self._epochs() - _SHOWN), self._epochs()):
            figures = [values[epoch] if epoch < len(values) else math.nan for values in self.values()]
            rows.append([str(epoch + 1), *(format_figure(figure).strip() for figure in figures)])
        return rows

    def _left_out(self) -> str:
        """What the table begins with where it does not have all epochs, or ""."""
        count = self._epochs() - _SHOWN
        return f"... {count} epoch{'s' * (count > 1)} before" if count > 0 else ""

    def __repr__(self) -> str:
        rows = self._table()
        if len(rows) == 1:
            return "no epochs"
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
        ]
        return "\n".join([lines[0], *filter(None, [self._left_out()]), *lines[1:]])

    def _repr_html_(self) -> str:
        """The same table in a notebook."""
        head, *rows = ([html.escape(cell) for cell in row] for row in self._table())
        cells = "".join(f"<th>{cell}</th>" for cell in head)
        body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
        left_out = f"<p>{self._left_out()}</p>" if self._left_out() else ""
        return f"{left_out}<table><tr>{cells}</tr>{body}</table>"
