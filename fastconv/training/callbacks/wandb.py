"""The figures of a run for Weights & Biases."""

from collections.abc import Mapping
from typing import Any

from ...checks.extras import require
from .callback import Callback, Logs


class WandB(Callback):
    """Log the figures of each epoch to Weights & Biases.

    A run that is active (`wandb.init` was called) is logged to and stays open; otherwise one is begun with
    training and finished with it. A run that was cut off and is resumed (`fit(checkpoint=..., resume=True)`)
    goes on with the same one.

    It needs wandb (the extra "wandb").

    Parameters
    ----------
    project : str, optional
        Name of the project.
    name : str, optional
        Name of the run.
    config : dict, optional
        What to keep with the run, beside the loss, the optimizer, the metrics, the seed and the number of
        parameters.
    **options
        Further arguments of `wandb.init`, such as `mode="offline"`.

    Raises
    ------
    ImportError
        If wandb is not installed.

    Examples
    --------
    >>> WandB("digits", mode="offline").project  # doctest: +SKIP
    'digits'
    """

    def __init__(
        self,
        project: str | None = None,
        *,
        name: str | None = None,
        config: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        self._module = require("wandb", "wandb", "WandB")
        self.project, self.name = project, name
        self.config, self.options = dict(config or {}), options
        self._run: Any = None
        self._own = False  # whether this callback has begun it
        self._id: str | None = None

    def on_train_begin(self, trainer: Any) -> None:
        """Begin a run, or take the one that is active.

        Parameters
        ----------
        trainer : Trainer
            What is to be trained.

        Examples
        --------
        >>> WandB("digits").on_train_begin(trainer)  # doctest: +SKIP
        """
        active = self._module.run
        if active is not None and active is not self._run:
            self._run, self._own = active, False
            return
        if active is not None and self._own:  # left open by a call of `fit` that an error has ended
            if active.id == self._id:
                return
            active.finish()
        elif active is not None:
            return
        config = {
            "loss": str(trainer.loss),
            "optimizer": repr(trainer.optimizer),
            "metrics": [str(getattr(metric, "__name__", metric)) for metric in trainer.metrics],
            "seed": trainer.seed,
            "parameters": trainer.model.num_parameters,
            **self.config,
        }
        goes_on = {} if self._id is None else {"id": self._id, "resume": "allow"}
        options = {"project": self.project, "name": self.name, "config": config, **goes_on, **self.options}
        self._run, self._own = self._module.init(**options), True

    def on_epoch_end(self, trainer: Any, logs: Logs) -> None:
        """Log the figures.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            The figures of the epoch.

        Examples
        --------
        >>> WandB("digits").on_epoch_end(trainer, {"epoch": 0, "epochs": 1, "loss": 0.5})  # doctest: +SKIP
        """
        figures = {name: value for name, value in logs.items() if name not in ("epoch", "epochs")}
        epoch = trainer.epochs_taken - 1
        # A resumed run may take an epoch again whose figures were logged already: of such a step the service
        # keeps what it has. The steps of a user's own run are the user's.
        self._run.log({"epoch": epoch, **figures}, **({"step": epoch} if self._own else {}))

    def on_train_end(self, trainer: Any) -> None:
        """Finish a run that was begun here.

        Parameters
        ----------
        trainer : Trainer
            What has been trained.

        Examples
        --------
        >>> WandB("digits").on_train_end(trainer)  # doctest: +SKIP
        """
        if self._own:
            self._run.finish()
        self._run = self._id = None

    def state_dict(self) -> dict[str, Any]:
        """What a run that was cut off goes on with.

        Returns
        -------
        dict
            The identity of the run.

        Examples
        --------
        >>> WandB("digits").state_dict()  # doctest: +SKIP
        {'id': None}
        """
        return {"id": None if self._run is None else self._run.id}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Parameters
        ----------
        state : dict
            As `state_dict` gave it.

        Examples
        --------
        >>> WandB("digits").load_state_dict({"id": "1a2b3c"})  # doctest: +SKIP
        """
        self._id = state["id"]
