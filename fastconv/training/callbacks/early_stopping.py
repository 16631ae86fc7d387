"""Stop when the network gets no better."""

from collections.abc import Mapping
from typing import Any

from ...checks.settings import real_number, whole_number
from .best import Best
from .callback import Callback, Logs


class EarlyStopping(Callback):
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
        self._best = Best(self.monitor, self.mode, self.min_delta)
        self._best_state: dict[str, Any] | None = None
        self._waited, self._seen = 0, False  # whether there was an epoch in this call of `fit`
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

    def on_train_begin(self, trainer: Any) -> None:
        """Wait for the first epoch: what an earlier run left behind is not put back without one.

        Parameters
        ----------
        trainer : Trainer
            What is to be trained.

        Examples
        --------
        >>> EarlyStopping().on_train_begin(None)
        """
        self._seen = False

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
        self._last_epoch, self._seen = logs["epoch"], True
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
        if self._seen and self._best_state is not None and self.best_epoch != self._last_epoch:
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
