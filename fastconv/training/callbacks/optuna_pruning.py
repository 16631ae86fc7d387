"""End runs that do worse than others of a study, with Optuna."""

from typing import Any

from ...checks.extras import require
from .best import Best
from .callback import Callback, Logs


class OptunaPruning(Callback):
    """Report each epoch to an Optuna trial, and prune the trial when its pruner says so.

    Training then ends as with any callback that stops it: the other callbacks do what they do at the end,
    such as putting the best weights back, and `checkpoint` holds the last epoch. After that `fit` raises
    `optuna.TrialPruned`, which `study.optimize` expects. Network and trainer may be used on.

    Steps are epochs, counted over all calls of `fit`. One trial is one run: where it trains several networks,
    as in cross-validation, report their mean yourself.

    It needs Optuna (the extra "search").

    Parameters
    ----------
    trial : optuna.Trial
        What the objective was called with.
    monitor : str
        The figure to report. Without validation data "val_loss" means "loss".

    Raises
    ------
    ImportError
        If Optuna is not installed.
    TypeError
        If `trial` is no trial, or `monitor` no name.
    ValueError
        If the study has several objectives, of which Optuna prunes none, or looks for the largest loss, or
        the smallest accuracy or its like, so that it would prune the best.

    Notes
    -----
    A loss that is no longer finite raises `DivergedError`, which ends the study, unless it is told to go on
    with the next trial: `study.optimize(objective, n_trials=100, catch=fastconv.DivergedError)`.

    Examples
    --------
    >>> def objective(trial):
    ...     optimizer = fc.Adam(lr=trial.suggest_float("lr", 1e-4, 1e-1, log=True))
    ...     trainer = fc.Trainer(fc.models.lenet_digits(), optimizer=optimizer)
    ...     pruning = fc.OptunaPruning(trial, "val_loss")
    ...     history = trainer.fit(X, y, epochs=20, validation_split=0.2, callbacks=[pruning])
    ...     return min(history["val_loss"])
    >>> study = optuna.create_study(pruner=optuna.pruners.MedianPruner())  # doctest: +SKIP
    >>> study.optimize(objective, n_trials=50)  # doctest: +SKIP
    """

    def __init__(self, trial: Any, monitor: str = "val_loss") -> None:
        self._module = require("optuna", "search", "OptunaPruning")
        if not callable(getattr(trial, "should_prune", None)):
            raise TypeError(f"`trial` must be an Optuna trial, got {trial!r}")
        self.trial, self.monitor = trial, monitor
        self._figure = Best(monitor, "auto")
        self._check_directions()
        self._pruned: str | None = None  # what is said of it

    def _check_directions(self) -> None:
        """Raise ValueError where pruning would do harm; trials on their own have no study."""
        study = getattr(self.trial, "study", None)
        if study is None:
            return
        directions = [direction.name.lower() for direction in study.directions]
        if len(directions) > 1:
            raise ValueError(f"`trial` must be of a study with one objective, got one with {len(directions)}")
        grows, falls = self._figure.sign > 0, self.monitor.lower().endswith("loss")
        if (grows and directions != ["maximize"]) or (falls and directions != ["minimize"]):
            wanted = "maximize" if grows else "minimize"
            raise ValueError(
                f"`monitor` must be a figure to {directions[0]} as the study does, got {self.monitor!r}: see "
                f'optuna.create_study(direction="{wanted}")'
            )

    def on_train_begin(self, trainer: Any) -> None:
        """Nothing is pruned yet in this call of `fit`.

        Parameters
        ----------
        trainer : Trainer
            What is to be trained.

        Examples
        --------
        >>> pruning.on_train_begin(trainer)  # doctest: +SKIP
        """
        self._pruned = None

    def on_epoch_end(self, trainer: Any, logs: Logs) -> None:
        """Report the figure; stop the trainer if the trial is to be pruned.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            The figures of the epoch.

        Examples
        --------
        >>> pruning.on_epoch_end(trainer, {"epoch": 0, "epochs": 5, "val_loss": 0.5})  # doctest: +SKIP
        """
        value, epoch = self._figure.read(logs), trainer.epochs_taken - 1
        self.trial.report(value, epoch)
        if self.trial.should_prune():
            self._pruned = f"pruned after epoch {epoch + 1}, with {self.monitor} {value:.6g}"
            trainer.stop_training = True

    def on_train_end(self, trainer: Any) -> None:
        """Raise `optuna.TrialPruned` if the trial was pruned.

        Parameters
        ----------
        trainer : Trainer
            What has been trained.

        Raises
        ------
        optuna.TrialPruned
            Once every callback has heard of the end.

        Examples
        --------
        >>> pruning.on_train_end(trainer)  # doctest: +SKIP
        """
        if self._pruned is not None:
            raise self._module.TrialPruned(self._pruned)
