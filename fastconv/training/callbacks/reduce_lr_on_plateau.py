"""Take smaller steps when the network gets no better."""

from collections.abc import Mapping
from typing import Any

from ...checks.settings import real_number, whole_number
from .best import Best
from .callback import Callback, Logs


class ReduceLROnPlateau(Callback):
    """Multiply the learning rate by a factor when a figure has not improved for some epochs.

    The rate is the optimizer's, which the trainer keeps after `fit` too; a resumed run goes on with it.

    Parameters
    ----------
    monitor : str
        The figure to watch. Without validation data "val_loss" means "loss".
    factor : float
        What the learning rate is multiplied by, more than 0 and less than 1.
    patience : int
        Epochs without improvement after which it is.
    min_delta : float
        An improvement must be larger than this.
    cooldown : int
        Epochs to wait after a reduction before counting again; as in Keras, the last of them is counted.
    min_lr : float
        The learning rate is never made smaller than this.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" takes more for accuracy and its like.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Attributes
    ----------
    best : float or None
        The best value seen.

    Examples
    --------
    >>> plateau = ReduceLROnPlateau(factor=0.5, patience=3)  # trainer.fit(..., callbacks=[plateau])
    >>> plateau.factor
    0.5
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
        mode: str = "auto",
    ) -> None:
        self.monitor = monitor
        self.factor = real_number(factor, "factor", high=1.0, above=True)
        self.patience = whole_number(patience, "patience", low=0)
        self.min_delta = real_number(min_delta, "min_delta")
        self.cooldown = whole_number(cooldown, "cooldown", low=0)
        self.min_lr = real_number(min_lr, "min_lr")
        self.mode = mode
        self._forget()

    def _forget(self) -> None:
        self._best = Best(self.monitor, self.mode, self.min_delta)
        self._waited = self._cooling = 0

    @property
    def best(self) -> float | None:
        """The best value seen.

        Returns
        -------
        float or None

        Examples
        --------
        >>> ReduceLROnPlateau().best is None
        True
        """
        return self._best.value

    def on_train_begin(self, trainer: Any) -> None:
        """Refuse a schedule, before any epoch.

        Parameters
        ----------
        trainer : Trainer
            What is to be trained.

        Raises
        ------
        ValueError
            If the learning rate is a schedule.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> import fastconv as fc
        >>> trainer = SimpleNamespace(optimizer=fc.SGD(fc.StepDecay(0.1, 2)))
        >>> ReduceLROnPlateau().on_train_begin(trainer)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ValueError: `lr` must be a number for ReduceLROnPlateau, got StepDecay(...: choose one of the two
        """
        _rate(trainer.optimizer)

    def on_epoch_end(self, trainer: Any, logs: Logs) -> None:
        """Compare this epoch with the best one; reduce the learning rate if it is time.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            The figures of the epoch.

        Raises
        ------
        ValueError
            If the learning rate is a schedule.

        Examples
        --------
        >>> from types import SimpleNamespace
        >>> import fastconv as fc
        >>> trainer = SimpleNamespace(optimizer=fc.SGD(0.1))
        >>> plateau = ReduceLROnPlateau("loss", factor=0.5, patience=1)
        >>> for epoch, loss in enumerate([3.0, 2.0, 2.5]):
        ...     plateau.on_epoch_end(trainer, {"epoch": epoch, "loss": loss})
        >>> trainer.optimizer.lr
        0.05
        """
        if logs["epoch"] == 0:
            self._forget()
        rate = _rate(trainer.optimizer)
        if self._cooling:
            self._cooling, self._waited = self._cooling - 1, 0
        if self._best.improves(self._best.read(logs)):
            self._waited = 0
            return
        if self._cooling:
            return
        self._waited += 1
        if self._waited >= self.patience and rate > self.min_lr:
            trainer.optimizer = trainer.optimizer.with_lr(max(rate * self.factor, self.min_lr))
            self._waited, self._cooling = 0, self.cooldown

    def state_dict(self) -> dict[str, Any]:
        """What a run that was cut off goes on with; the checkpoint has the learning rate itself.

        Returns
        -------
        dict
            The best value, how long there was no better one, and how much of the cooldown is left.

        Examples
        --------
        >>> ReduceLROnPlateau().state_dict()
        {'best': None, 'waited': 0, 'cooling': 0}
        """
        return {"best": self._best.value, "waited": self._waited, "cooling": self._cooling}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Parameters
        ----------
        state : dict
            As `state_dict` gave it.

        Examples
        --------
        >>> plateau = ReduceLROnPlateau()
        >>> plateau.load_state_dict({"best": 0.5, "waited": 2, "cooling": 0})
        >>> plateau.best
        0.5
        """
        self._forget()
        self._best.value, self._waited, self._cooling = state["best"], state["waited"], state["cooling"]


def _rate(optimizer: Any) -> float:
    """The learning rate, if it is a number."""
    if not isinstance(optimizer.lr, float):
        raise ValueError(
            f"`lr` must be a number for ReduceLROnPlateau, got {optimizer.lr!r}: choose one of the two"
        )
    return optimizer.lr
