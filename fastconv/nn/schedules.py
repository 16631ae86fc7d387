"""Learning rates that change during training.

A schedule is a record with one method, `learning_rates`, that answers for a run of steps at once: the
engine asks it once per compiled chunk of steps, never inside one.
"""

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..checks.settings import real_number, whole_number
from .learning_rate import HasLearningRate, under_both_names


@runtime_checkable
class Schedule(Protocol):
    """Anything that can say the learning rate of each step.

    Examples
    --------
    >>> isinstance(CosineDecay(0.1), Schedule)
    True
    """

    def learning_rates(
        self, first_step: int, count: int, steps_per_epoch: int, total_steps: int
    ) -> NDArray[np.float64]:
        """The learning rates of steps first_step, first_step + 1, ..., first_step + count - 1.

        Parameters
        ----------
        first_step : int
            Steps (batches) already taken since training began.
        count : int
            How many steps to answer for.
        steps_per_epoch : int
            Steps in one pass over the data.
        total_steps : int
            Steps in the whole run, `epochs * steps_per_epoch`.

        Returns
        -------
        ndarray of float64, shape (count,)

        Examples
        --------
        >>> CosineDecay(0.1).learning_rates(1, 1, steps_per_epoch=1, total_steps=2).round(3)
        array([0.05])
        """


def _set_field(record: object, name: str, value: float) -> None:
    object.__setattr__(record, name, value)


def _cosine(start: float, end: float, fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half a cosine wave from `start` (fraction 0) to `end` (fraction 1)."""
    return end + (start - end) / 2 * (1 + np.cos(np.pi * fraction))


@under_both_names
@dataclass(frozen=True)
class StepDecay(HasLearningRate, Schedule):
    """Multiply the learning rate by `gamma` every `step_size` epochs (PyTorch's StepLR).

    Parameters
    ----------
    lr : float
        Learning rate of the first epochs.
    step_size : int
        Epochs between two decays.
    gamma : float
        What the learning rate is multiplied by.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> StepDecay(0.1, step_size=2).learning_rates(0, 4, steps_per_epoch=1, total_steps=4)
    array([0.1 , 0.1 , 0.01, 0.01])
    """

    lr: float
    step_size: int
    gamma: float = field(default=0.1, kw_only=True)

    def __post_init__(self) -> None:
        _set_field(self, "lr", real_number(self.lr, "lr"))
        _set_field(self, "step_size", whole_number(self.step_size, "step_size"))
        _set_field(self, "gamma", real_number(self.gamma, "gamma", above=True))

    def learning_rates(
        self, first_step: int, count: int, steps_per_epoch: int, total_steps: int
    ) -> NDArray[np.float64]:
        epochs = np.arange(first_step, first_step + count) // max(steps_per_epoch, 1)
        return self.lr * self.gamma ** (epochs // self.step_size).astype(np.float64)


@under_both_names
@dataclass(frozen=True)
class CosineDecay(HasLearningRate, Schedule):
    """Go from `lr` down to `min_lr` along half a cosine wave over the whole run.

    The formula is PyTorch's CosineAnnealingLR with `T_max` equal to the number of steps
    (Loshchilov and Hutter, 2017, equation 5, without restarts).

    Parameters
    ----------
    lr : float
        Learning rate of the first step.
    min_lr : float
        Learning rate at the end.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> CosineDecay(0.1).learning_rates(0, 2, steps_per_epoch=1, total_steps=2).round(3)
    array([0.1 , 0.05])
    """

    lr: float
    min_lr: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        _set_field(self, "lr", real_number(self.lr, "lr"))
        _set_field(self, "min_lr", real_number(self.min_lr, "min_lr"))
        if self.min_lr > self.lr:
            raise ValueError(f"`min_lr` must be at most `lr` ({self.lr:g}), got {self.min_lr:g}")

    def learning_rates(
        self, first_step: int, count: int, steps_per_epoch: int, total_steps: int
    ) -> NDArray[np.float64]:
        steps = np.arange(first_step, first_step + count)
        return _cosine(self.lr, self.min_lr, np.minimum(steps / max(total_steps, 1), 1.0))


@under_both_names
@dataclass(frozen=True)
class OneCycle(HasLearningRate, Schedule):
    """Rise to a peak, then fall to almost nothing, both along half a cosine wave.

    The formula is PyTorch's OneCycleLR with cosine annealing (Smith and Topin, 2018). It starts at
    `lr / div`, reaches `lr` after `start_fraction` of the run, and ends at `lr / div / final_div`.

    Parameters
    ----------
    lr : float
        The peak (PyTorch's `max_lr`).
    start_fraction : float
        Part of the run that rises, between 0 and 1 (PyTorch's `pct_start`).
    div : float
        The peak over the first learning rate.
    final_div : float
        The first learning rate over the last.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> rates = OneCycle(0.1, start_fraction=0.5).learning_rates(0, 4, steps_per_epoch=4, total_steps=4)
    >>> rates.round(4)
    array([0.004, 0.1  , 0.05 , 0.   ])
    """

    lr: float
    start_fraction: float = field(default=0.3, kw_only=True)
    div: float = field(default=25.0, kw_only=True)
    final_div: float = field(default=1e4, kw_only=True)

    def __post_init__(self) -> None:
        _set_field(self, "lr", real_number(self.lr, "lr"))
        _set_field(
            self, "start_fraction", real_number(self.start_fraction, "start_fraction", high=1.0, above=True)
        )
        _set_field(self, "div", real_number(self.div, "div", above=True))
        _set_field(self, "final_div", real_number(self.final_div, "final_div", above=True))

    def learning_rates(
        self, first_step: int, count: int, steps_per_epoch: int, total_steps: int
    ) -> NDArray[np.float64]:
        steps = np.arange(first_step, first_step + count, dtype=np.float64)
        first = self.lr / self.div
        peak = self.start_fraction * total_steps - 1
        last = total_steps - 1
        # A run of one or two steps can have its peak at or before step 0, or nothing after it.
        rise = _cosine(first, self.lr, steps / peak) if peak > 0 else np.full(count, first)
        fall = np.minimum((steps - peak) / (last - peak), 1.0) if last > peak else np.ones(count)
        return np.where(steps <= peak, rise, _cosine(self.lr, first / self.final_div, fall))


@under_both_names
@dataclass(frozen=True)
class Warmup(HasLearningRate, Schedule):
    """Begin with small steps: rise in a straight line over the first steps, then go on as `lr` says.

    Step k (1, 2, ...) of the first `steps` has k / `steps` of the first learning rate. A schedule begins
    after them, and spans the steps that are left, as in PyTorch's SequentialLR of LinearLR and another one.
    Source: Goyal and others (2017), Accurate, large minibatch SGD, section 2.2.

    Parameters
    ----------
    lr : float or schedule
        The learning rate after them.
    steps : int
        How many steps (batches) it takes to get there.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> Warmup(0.1, steps=4).learning_rates(0, 6, steps_per_epoch=3, total_steps=6)
    array([0.025, 0.05 , 0.075, 0.1  , 0.1  , 0.1  ])
    >>> schedule = Warmup(CosineDecay(0.1), steps=2)
    >>> schedule.learning_rates(0, 4, steps_per_epoch=4, total_steps=4).round(3)
    array([0.05, 0.1 , 0.1 , 0.05])
    """

    lr: float | Schedule
    steps: int

    def __post_init__(self) -> None:
        if not isinstance(self.lr, Schedule):
            _set_field(self, "lr", real_number(self.lr, "lr"))
        elif isinstance(self.lr, type):
            raise TypeError(f"`lr` must be a schedule, not its class: {self.lr.__name__}(...)")
        _set_field(self, "steps", whole_number(self.steps, "steps"))

    def learning_rates(
        self, first_step: int, count: int, steps_per_epoch: int, total_steps: int
    ) -> NDArray[np.float64]:
        steps = np.arange(first_step, first_step + count)
        rising = int(np.count_nonzero(steps < self.steps))
        rates = np.empty(count, np.float64)
        left = max(total_steps - self.steps, 1)
        rates[:rising] = self._after(0, 1, steps_per_epoch, left) * ((steps[:rising] + 1) / self.steps)
        if count > rising:
            first = int(steps[rising]) - self.steps
            rates[rising:] = self._after(first, count - rising, steps_per_epoch, left)
        return rates

    def _after(self, first_step: int, count: int, steps_per_epoch: int, total_steps: int) -> Any:
        """The rates of steps counted from the end of the warm-up."""
        if isinstance(self.lr, Schedule):
            return self.lr.learning_rates(first_step, count, steps_per_epoch, total_steps)
        return np.full(count, self.lr)
