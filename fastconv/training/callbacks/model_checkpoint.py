"""Save the model as it trains."""

import os
from collections.abc import Mapping
from typing import Any

from ...formats.model_file import check_target
from .best import Best
from .callback import Callback, Logs


class ModelCheckpoint(Callback):
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
        self._best = Best(monitor, mode)

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
            self._best = Best(self.monitor, self.mode)
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
        self._best = Best(self.monitor, self.mode)
        self._best.value, self.saved = state["best"], state["saved"]

    def _file_name(self, logs: Logs) -> str:
        figures = {**logs, "epoch": logs["epoch"] + 1}
        try:
            return self.path.format(**figures)
        except (KeyError, IndexError, ValueError, AttributeError) as error:
            names = ", ".join(figures)
            raise ValueError(f"`path` may name {names} in braces, got {self.path!r}") from error
