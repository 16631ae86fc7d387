"""A running mean of the weights, which is often better than the weights of the last step."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks.settings import real_number
from .callback import Callback, Logs

Vectors = tuple[NDArray[Any], NDArray[Any]]  # parameters and statistics


class EMA(Callback):
    """Keep an exponential moving average of the weights, to validate, save and end with it.

    After each step, average <- decay * average + (1 - decay) * weights; statistics of batch normalisation are
    averaged likewise. The network has the averages from the end of an epoch's steps to the beginning of the
    next epoch, so that validation, `ModelCheckpoint` and `EarlyStopping` deal with them, and it ends with
    them; the steps themselves go on with the weights that they made.

    Give it first in `callbacks`, so that those behind it see the averages.

    Parameters
    ----------
    decay : float
        Part of the average that is kept at each step, 0 <= decay < 1: 0.999 averages over some 1000 steps.
    warmup : bool
        Whether the decay of step t is at most (1 + t) / (10 + t), so that the first weights, which know
        nothing, are soon forgotten.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Notes
    -----
    Steps are run one by one, as for all callbacks with `on_batch_end`. A checkpoint keeps the average and the
    weights beside it, and a resumed run goes on with the same bits. A later `fit` with the same callback goes
    on with the weights of the last step as long as the network still has the averages that it ended with, and
    begins anew otherwise. Averages are in the network's dtype.
    Source: Polyak and Juditsky (1992), Acceleration of stochastic approximation by averaging; the warm-up is
    that of TensorFlow's ExponentialMovingAverage, the exchange that of Keras's SwapEMAWeights.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> ema = fc.EMA(decay=0.99)
    >>> trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce")
    >>> history = trainer.fit(np.ones((8, 1, 6, 6)), np.ones(8), epochs=2, batch_size=2, callbacks=[ema])
    >>> ema.updates
    8
    """

    def __init__(self, decay: float = 0.999, *, warmup: bool = True) -> None:
        self.decay = real_number(decay, "decay", high=1.0)
        if not isinstance(warmup, (bool, np.bool_)):
            raise TypeError(f"`warmup` must be True or False, got {warmup!r}")
        self.warmup = bool(warmup)
        self._forget()

    def _forget(self) -> None:
        self._updates = 0
        self._average: Vectors | None = None
        self._weights: Vectors | None = None  # of the last step, while the network has the averages

    @property
    def updates(self) -> int:
        """How many steps are in the average.

        Returns
        -------
        int

        Examples
        --------
        >>> EMA().updates
        0
        """
        return self._updates

    def on_train_begin(self, trainer: Any) -> None:
        """Begin with the weights as they are, or go on with those that an earlier run has left.

        Parameters
        ----------
        trainer : Trainer
            What is to be trained.

        Examples
        --------
        >>> import fastconv as fc
        >>> EMA().on_train_begin(fc.Trainer(fc.models.reference_cnn(), loss="bce"))
        """
        has_averages = self._average is not None and self._weights is not None
        if not (has_averages and _same(_vectors(trainer.model), self._average)):
            self._forget()
            self._average = _copies(_vectors(trainer.model))

    def on_epoch_begin(self, trainer: Any, logs: Logs) -> None:
        """Give the network the weights of its last step back.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            Which epoch it is.

        Examples
        --------
        >>> EMA().on_epoch_begin(None, {"epoch": 0})  # there was no step
        """
        if self._weights is not None:
            _write(trainer.model, self._weights)
            self._weights = None

    def on_batch_end(self, trainer: Any, logs: Logs) -> None:
        """Take the weights after a step into the average.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            Which step it was.

        Examples
        --------
        >>> import fastconv as fc
        >>> trainer, ema = fc.Trainer(fc.models.reference_cnn(), loss="bce"), EMA(decay=0.9)
        >>> ema.on_train_begin(trainer)
        >>> trainer.model.flat_parameters[:] += 1
        >>> ema.on_batch_end(trainer, {"batch": 0})
        >>> ema.updates
        1
        """
        assert self._average is not None
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + self._updates) / (10 + self._updates))
        for average, now in zip(self._average, _vectors(trainer.model), strict=True):
            average += average.dtype.type(1 - decay) * (now - average)
        self._updates += 1

    def on_validation_begin(self, trainer: Any) -> None:
        """Put the averages in the weights' place, for all that comes before the next epoch.

        Parameters
        ----------
        trainer : Trainer
            What is training.

        Examples
        --------
        >>> EMA().on_validation_begin(None)  # there is no average
        """
        if self._average is not None and self._weights is None:
            self._weights = _copies(_vectors(trainer.model))
            _write(trainer.model, self._average)

    def on_epoch_end(self, trainer: Any, logs: Logs) -> None:
        """The same where there was no validation.

        Parameters
        ----------
        trainer : Trainer
            What is training.
        logs : mapping
            The figures of the epoch.

        Examples
        --------
        >>> EMA().on_epoch_end(None, {"epoch": 0})  # there is no average
        """
        self.on_validation_begin(trainer)

    def state_dict(self) -> dict[str, Any]:
        """What a run that was cut off goes on with.

        Returns
        -------
        dict
            The averages, the weights of the last step, and how many steps there were.

        Examples
        --------
        >>> EMA().state_dict()
        {'updates': 0, 'average': {}, 'weights': {}}
        """
        return {
            "updates": self._updates,
            "average": _named(self._average),
            "weights": _named(self._weights),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Parameters
        ----------
        state : dict
            As `state_dict` gave it.

        Examples
        --------
        >>> EMA().load_state_dict(EMA().state_dict())
        """
        self._updates = state["updates"]
        self._average, self._weights = _unnamed(state["average"]), _unnamed(state["weights"])


def _vectors(model: Any) -> Vectors:
    """All that steps change of a network; live."""
    return model.flat_parameters, model.flat_statistics


def _copies(vectors: Vectors) -> Vectors:
    return vectors[0].copy(), vectors[1].copy()


def _write(model: Any, vectors: Vectors) -> None:
    for own, values in zip(_vectors(model), vectors, strict=True):
        own[...] = values


def _same(vectors: Vectors, others: Vectors | None) -> bool:
    """Whether they are of one network, and equal."""
    return others is not None and all(map(np.array_equal, vectors, others))


def _named(vectors: Vectors | None) -> dict[str, NDArray[Any]]:
    return {} if vectors is None else dict(zip(("parameters", "statistics"), vectors, strict=True))


def _unnamed(arrays: Mapping[str, NDArray[Any]]) -> Vectors | None:
    return (arrays["parameters"].copy(), arrays["statistics"].copy()) if arrays else None
