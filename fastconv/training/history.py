"""What a run leaves behind: its figures epoch by epoch, or an error where the loss has left all bounds."""

from collections.abc import Mapping
from typing import Any


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


class History(dict[str, list[float]]):
    """Name of a figure -> its values, one for each epoch: `history["val_loss"]`.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
    >>> history = trainer.fit(np.ones((8, 1, 6, 6)), np.ones(8), epochs=3)
    >>> list(history), len(history["loss"])
    (['loss', 'accuracy', 'learning_rate', 'seconds'], 3)
    """

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
        >>> history
        {'loss': [0.5]}
        """
        for name, value in logs.items():
            if name not in ("epoch", "epochs"):
                self.setdefault(name, []).append(value)
