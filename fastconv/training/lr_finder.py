"""A learning rate to begin with: from a short run in which it grows at every step."""

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.settings import real_number, whole_number
from ..engine.ranks.agreement import on_all
from ..models.building import given_model, loss_for
from ..models.model import Model
from ..nn.optimizers import SGD
from ..nn.optimizers import resolve as resolve_optimizer
from .callbacks.callback import Callback, Logs
from .history import DivergedError, NotFiniteError
from .trainer import Trainer

KEPT = 0.9  # of the smoothed loss at each step, of ten or so together
TOO_MUCH = 4.0  # times the best smoothed loss: from there on it only explodes
SKIPPED = 0.1  # of the steps, whose smoothed loss still depends on the first ones
LEAST_FALL = 1e-3  # of the loss: less is rounding, or says nothing
FEWEST = 10  # steps that a slope can be told from


@dataclass(frozen=True, eq=False)
class RateSearch:
    """What `lr_finder` has found.

    Parameters
    ----------
    suggestion : float or None
        The learning rate at which the loss fell most, or None where it did not fall.
    rates, losses, smoothed : ndarray of float64
        Of each step: its learning rate, its loss, and that with the steps before it.

    Examples
    --------
    >>> import numpy as np
    >>> RateSearch(0.01, np.array([0.01]), np.array([0.7]), np.array([0.7])).suggestion
    0.01
    """

    suggestion: float | None
    rates: NDArray[np.float64]
    losses: NDArray[np.float64]
    smoothed: NDArray[np.float64]

    def __repr__(self) -> str:
        found = "no suggestion" if self.suggestion is None else f"suggestion {self.suggestion:.3g}"
        return f"RateSearch({found}, {len(self.rates)} steps up to {self.rates[-1]:.3g})"


@dataclass(frozen=True)
class _Rising:
    """Rates that grow by the same factor at each step."""

    first: float
    last: float
    steps: int

    def learning_rates(
        self, first_step: int, count: int, steps_per_epoch: int, total_steps: int
    ) -> NDArray[np.float64]:
        at = np.arange(first_step, first_step + count) / max(self.steps - 1, 1)
        return np.asarray(self.first * (self.last / self.first) ** np.minimum(at, 1.0), np.float64)


class _Watch(Callback):
    """Takes down rates and losses, and stops where there is nothing more to see."""

    def __init__(self, steps: int) -> None:
        self.steps, self.running = steps, 0.0
        self.rates: list[float] = []
        self.losses: list[float] = []
        self.smoothed: list[float] = []

    def on_batch_end(self, trainer: Any, logs: Logs) -> None:
        """Take a step down."""
        self.rates.append(logs["learning_rate"])
        self.losses.append(logs["loss"])
        self.running = KEPT * self.running + (1 - KEPT) * logs["loss"]
        self.smoothed.append(self.running / (1 - KEPT ** len(self.losses)))
        exploded = len(self.losses) > FEWEST and self.smoothed[-1] > TOO_MUCH * abs(min(self.smoothed))
        trainer.stop_training = exploded or len(self.losses) >= self.steps


def lr_finder(
    model: Model,
    X: Any,
    y: Any = None,
    *,
    loss: Any = None,
    optimizer: Any = None,
    batch_size: int = 32,
    min_lr: float = 1e-6,
    max_lr: float = 1.0,
    steps: int = 100,
    seed: int = 0,
    communicator: Any = None,
    data: str = "shared",
) -> RateSearch:
    """Train a copy of a network with a learning rate that grows at every step, and see where the loss falls.

    Parameters
    ----------
    model : Sequential or Model
        It is left as it is.
    X, y
        As for `Trainer.fit`; X alone may be an iterable of batches, or a function that makes one. What is at
        its end is begun anew.
    loss : str or Loss, optional
        As for `Trainer`; default is the one that suits the output.
    optimizer : optimizer or str, optional
        Whose learning rate is looked for, SGD by default. Its own rate does not matter.
    batch_size : int
        Samples of a step: the rate depends on it.
    min_lr, max_lr : float
        The first and the last learning rate, between which it grows by the same factor each time.
    steps : int
        How many steps there are; the run ends sooner where the loss explodes.
    seed : int
        Of the order of samples, and of dropout.
    communicator, data
        As for `Trainer`: all ranks make the call together, and each gets what was found.

    Returns
    -------
    RateSearch
        `suggestion`, the rate at which the loss fell most steeply; `rates`, `losses` and `smoothed`, which
        `fastconv.plots.lr_finder` draws.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range, or does not fit the network.
    NotFiniteError
        If the data are not finite.

    Notes
    -----
    The suggestion is for a constant rate, and for the largest of a schedule. Dropout is on, and the loss is
    that of each batch before its step, smoothed over some ten steps; the first tenth of the steps is passed
    over. Source: Smith (2017), Cyclical learning rates for training neural networks, section 3.3; the
    steepest slope is fastai's and Lightning's rule.

    Examples
    --------
    >>> import fastconv as fc, numpy as np
    >>> X, y = np.random.default_rng(0).normal(size=(256, 8)), np.arange(256) % 2
    >>> X[:, 0] += 3 * y
    >>> found = fc.lr_finder(fc.Sequential([fc.Dense(2)], (8,)), X, y)
    >>> 1e-3 < found.suggestion < 1
    True
    """
    model = given_model(model)
    steps, batch_size = whole_number(steps, "steps", low=FEWEST), whole_number(batch_size, "batch_size")
    min_lr, max_lr = real_number(min_lr, "min_lr", above=True), real_number(max_lr, "max_lr", above=True)
    if min_lr >= max_lr:
        raise ValueError(f"`max_lr` must be larger than `min_lr` ({min_lr:g}), got {max_lr:g}")
    optimizer = SGD() if optimizer is None else resolve_optimizer(optimizer)
    rising = optimizer.with_lr(_Rising(min_lr, max_lr, steps))
    loss = loss_for(model) if loss is None else loss
    trainer = Trainer(
        copy.deepcopy(model), loss, rising, metrics=(), seed=seed, communicator=communicator, data=data
    )
    watch = _Watch(steps)
    options: dict[str, Any] = {"epochs": 1, "batch_size": batch_size}
    if y is None:
        options["steps_per_epoch"] = steps
    else:
        form = trainer._form()
        samples = form.spread(on_all(form.ranks, lambda: len(form.check(X, y)[0]))).total
        options["epochs"] = math.ceil(steps / math.ceil(max(samples, 1) / batch_size))
    try:
        trainer.fit(X, y, callbacks=[watch], progress=False, **options)
    except NotFiniteError:
        raise
    except DivergedError:  # the rate has become too large, which is what was to be found out
        pass
    rates, smoothed, losses = trainer.ranks.broadcast((watch.rates, watch.smoothed, watch.losses))
    return RateSearch(_steepest(rates, smoothed), *map(np.array, (rates, losses, smoothed)))


def _steepest(rates: list[float], smoothed: list[float]) -> float | None:
    """The rate at which the smoothed loss falls most, by the logarithm of the rate."""
    first = max(1, round(SKIPPED * len(rates)))
    if len(rates) - first < 3:
        return None
    if smoothed[first] - min(smoothed[first:]) < LEAST_FALL * abs(smoothed[first]):
        return None
    slopes = np.gradient(smoothed[first:], np.log(rates[first:]))
    return rates[first + int(np.argmin(slopes))]
