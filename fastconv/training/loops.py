"""Passes over the data: an epoch of training steps, or an evaluation, on the engines that these need."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.engine import Engine
from ..engine.threads import get_num_threads
from .batches import EVALUATED_AT_ONCE, Feed, Part
from .history import DivergedError
from .progress import Progress
from .running_metrics import Tally

Rates = NDArray[Any]  # named here: an annotation of a function inside another is worked out at every call


class Steps:
    """Takes a trainer's steps, on an engine that is planned for the largest batch so far."""

    def __init__(self, trainer: Any, augment: Any = None) -> None:
        self._trainer, self._augment = trainer, augment
        self._made_for = trainer.optimizer, get_num_threads()
        self._engine: Engine | None = None

    def still_fit(self) -> bool:
        """Whether new ones would be the same."""
        return self._made_for == (self._trainer.optimizer, get_num_threads())

    def engine(self, batch_size: int, weighted: bool) -> Engine:
        """An engine for a batch; the same one as before, if it is large enough and knows of weights."""
        had = self._engine
        if had is not None:
            had_weights = had.ports.weight is not None
            if batch_size <= had.batch_size and weighted <= had_weights:
                return had
            batch_size, weighted = max(batch_size, had.batch_size), weighted or had_weights
        trainer = self._trainer
        self._engine = Engine(
            trainer.model,
            "train",
            batch_size,
            trainer.loss,
            trainer.optimizer,
            trainer._state,
            trainer.seed,
            weighted=weighted,
            augmentation=self._augment,
            outputs=trainer._metrics.need_outputs,
        )
        return self._engine

    def epoch(self, feed: Feed, epoch: int, epochs: int, display: Progress) -> tuple[Tally, float]:
        """One pass over the data; returns what it gave, and the last learning rate."""
        trainer, tally, rate = self._trainer, Tally(), 0.0
        per_epoch = feed.steps or 1
        for part in feed.parts(epoch):
            engine = self.engine(part.batch_size, part.weight is not None)
            engine.set_updates(trainer.steps_taken)

            def set_rates(_: int, count: int, rates: Rates = engine.ports.rates) -> None:
                nonlocal rate
                first = epoch * per_epoch + tally.steps
                new = trainer.optimizer.learning_rates(first, count, per_epoch, epochs * per_epoch)
                rates[:count] = new
                rate = float(new[-1])

            for log in _run(trainer, engine, part, tally, set_rates):
                mean = _finite_mean(log[:, 0], epoch, tally.steps - len(log))
                display.batch(epoch, tally.samples, mean)
                trainer.steps_taken += len(log)
        if not np.isfinite(trainer.model.flat_parameters).all():  # the last step's loss was that before it
            raise DivergedError(
                f"the parameters became infinite or NaN in epoch {epoch + 1}, step {tally.steps} or before: "
                "try a smaller learning rate"
            )
        return tally, rate


def _finite_mean(losses: NDArray[Any], epoch: int, steps_before: int) -> float:
    """The mean of the losses of some steps; DivergedError if one is not finite."""
    mean = float(losses.sum(dtype=np.float64)) / len(losses)
    if not math.isfinite(mean) and not np.isfinite(losses).all():
        step = int(np.argmax(~np.isfinite(losses)))
        raise DivergedError(
            f"the loss became {losses[step]} in epoch {epoch + 1}, step {steps_before + step + 1}: "
            "try a smaller learning rate"
        )
    return mean


def evaluator(trainer: Any, samples: int, weighted: bool, batch_size: int = EVALUATED_AT_ONCE) -> Engine:
    """An idle engine of the trainer's model that computes loss and metrics."""
    model, outputs = trainer.model, trainer._metrics.need_outputs
    return model.idle_engines.take(model, "evaluate", samples, batch_size, trainer.loss, weighted, outputs)


def evaluate(
    trainer: Any, feed: Feed, epoch: int = 0, batch_size: int = EVALUATED_AT_ONCE
) -> dict[str, float]:
    """The figures of one pass without training.

    Raises
    ------
    ValueError
        If the feed has come to its end.
    """
    tally = Tally()
    for part in feed.parts(epoch):
        engine = evaluator(trainer, len(part.X), part.weight is not None, batch_size)
        for _ in _run(trainer, engine, part, tally):
            pass
        trainer.model.idle_engines.put_back(engine)
    if not tally.steps:
        raise ValueError(f"`validation_data` must give at least one batch, got none in epoch {epoch + 1}")
    return tally.figures(trainer._metrics)


def _run(
    trainer: Any, engine: Engine, part: Part, tally: Tally, each: Callable[[int, int], None] | None = None
) -> Iterator[NDArray[Any]]:
    """Take all steps of a part and add them to the tally; yields the log of each call."""
    count, weight = len(part.X), part.weight
    if weight is None and engine.ports.weight is not None:  # an earlier batch had some
        weight = np.ones(count)
    engine.load(part.X, part.y, part.order, weight)
    outputs = None
    if trainer._metrics.need_outputs:
        outputs = np.empty((count, *trainer.model.output_shape), trainer.model.dtype)
        engine.write_to(outputs)
    for first_step, log in engine.run_all(each, engine.chunk):
        end = min(count, (first_step + len(log)) * engine.batch_size)
        tally.add(log, end - first_step * engine.batch_size, engine.batch_size)
        yield log
    if outputs is not None:
        tally.add_outputs(part.y.copy() if part.order is None else part.y[part.order], outputs)
