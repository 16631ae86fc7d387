"""One call of `fit`: epochs, validation, callbacks and checkpoints around the engine's compiled steps."""

import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..engine.memory import lanes_of
from ..engine.ranks.agreement import by_lead
from ..engine.shares import shares_of
from . import progress as progress_displays
from .augment import Augment
from .callbacks.callback import call_each, hears_of_batches
from .checkpoint import Position, describe, restore, save
from .evaluating import evaluate, evaluator
from .feeds import Feed
from .finite import Snapshot
from .history import DivergedError, History, NotFiniteError
from .leading import led
from .loops import Steps
from .progress import Progress
from .running_metrics import RunningMetrics
from .settings import TrainerSettings


@dataclass
class Fitting:
    """What one call of `fit` was asked for, and how far it has come."""

    trainer: TrainerSettings
    feed: Feed
    held_out: Feed | None
    epochs: int
    callbacks: list[Any]
    display: Progress
    augment: Augment | None
    checkpoint: str | os.PathLike[str] | None
    history: History = field(default_factory=History)
    position: Position = field(default_factory=Position)

    def __post_init__(self) -> None:
        self._check_schedule()
        self._run: Any = {}
        if self.checkpoint is not None:  # what must be the same to go on from it
            self._run = describe(self.trainer, self.augment, self.feed, self.held_out)

    def resume(self) -> bool:
        """Go on from the checkpoint, if it is there; False where that run has come to its end."""
        trainer = self.trainer
        found = led(trainer, self._restored)
        if found is None:
            return True
        self.history, self.position = found
        trainer._epochs_taken = self.position.epochs_taken
        trainer._history = History({name: list(values) for name, values in self.history.items()})
        stopped_at = self.position.stopped_at
        if stopped_at is None or self.epochs > stopped_at:
            return True
        if trainer.ranks.leads:
            done = f"after {self.position.epochs_done} of {stopped_at} epochs"
            warnings.warn(f"the run has stopped {done}: ask for more to train on", stacklevel=4)
        return False

    def _restored(self) -> tuple[History, Position] | None:
        """What the checkpoint says, once the trainer is as it was written; None where there is none."""
        if self.checkpoint is None or not Path(self.checkpoint).exists():
            return None
        history, position = restore(self.checkpoint, self._run, self.trainer, self.callbacks)
        self.trainer.steps_taken = position.steps_taken
        return history, position

    def run(self) -> None:
        """Train for all epochs that are left, or until a callback or the data put an end to it."""
        trainer = self.trainer
        self.display.start(self.epochs, self.feed.samples)
        try:
            steps = self._ready()
            trainer.stop_training = False
            self._call("on_train_begin")
            for epoch in range(self.position.epochs_done, self.epochs):
                about = {"epoch": epoch, "epochs": self.epochs}
                if trainer.stop_training or self.feed.ended:
                    break
                self._call("on_epoch_begin", about)
                if trainer.stop_training:
                    break
                steps = self._as_assigned(steps)
                logs = self._epoch(steps, epoch)
                if logs is None:
                    break
                self._take_down(logs)
            trainer._kept_steps = steps if steps.may_be_kept() else None
            self._call("on_train_end")
        finally:
            self.display.close()

    def _call(self, name: str, *arguments: Any) -> None:
        """Call back, on rank 0."""
        led(self.trainer, lambda: call_each(self.callbacks, name, self.trainer, *arguments))

    def _ready(self) -> Steps:
        """Compile, or read from the cache, all that the epochs need."""
        trainer, feed, held_out = self.trainer, self.feed, self.held_out
        idle = _of_idle_ranks(trainer, feed.batch_size)
        if idle is not None:
            warnings.warn(idle, stacklevel=5)
        self.display.compiling(f"{len(trainer.model.nodes)} layers for {trainer.model.dtype}")
        started, task = time.perf_counter(), trainer._current_task()
        kept, trainer._kept_steps = trainer._kept_steps, None
        if kept is not None and kept.serve_again(task, self.augment, feed, trainer.ranks):
            steps = kept
        else:
            steps = Steps(task, trainer.steps_taken, self.augment, trainer.ranks)
            steps.engine(feed.batch_size, feed.weighted, feed.targets)
        if held_out:
            size, weighted = held_out.batch_size, held_out.weighted
            with trainer.ranks.busy("compiling"):
                trainer.model.engines.give_back(evaluator(task, size, weighted, held_out.targets))
        progress_displays.compiled(self.display, time.perf_counter() - started)
        return steps

    def _check_schedule(self) -> None:
        """Raise ValueError where a schedule would have to know how many steps there will be."""
        lr = self.trainer.optimizer.lr
        if self.feed.steps is None and not isinstance(lr, float):
            raise ValueError(f"`steps_per_epoch` must be given for {lr!r}, got batches without a length")

    def _as_assigned(self, steps: Steps) -> Steps:
        """Steps of the task as it is now: a callback may have assigned another optimizer."""
        task = self.trainer._current_task()
        if steps.still_fit(task, self.trainer.ranks):
            return steps
        self._check_schedule()
        return Steps(task, self.trainer.steps_taken, self.augment, self.trainer.ranks)

    def _epoch(self, steps: Steps, epoch: int) -> dict[str, Any] | None:
        """Train and validate for one epoch; its figures, or None where there was no sample left."""
        started, task, talked = time.perf_counter(), steps.task, self.trainer.ranks.seconds
        ranks, listeners = self.trainer.ranks, [each for each in self.callbacks if hears_of_batches(each)]
        if ranks.broadcast(bool(listeners)):
            steps.after_each = self._tell_of_batch(steps, epoch, listeners)
        metrics, rate = guarded_epoch(self.trainer, steps, self.feed, epoch, self.epochs, self.display)
        if self.feed.ended and ranks.leads:
            where = f"in epoch {epoch + 1} of {self.epochs}, after {metrics.steps} steps"
            warnings.warn(f"`X` has come to its end {where}: training ends here", stacklevel=5)
        if not metrics.steps:
            return None
        logs: dict[str, Any] = {"epoch": epoch, "epochs": self.epochs}
        logs |= by_lead(ranks, lambda: metrics.figures(task.metrics))
        logs.update(learning_rate=rate, seconds=0.0)
        if self.held_out:
            self._call("on_validation_begin")
            figures = evaluate(task, self.held_out, epoch, ranks=ranks)
            logs.update({f"val_{name}": value for name, value in figures.items()})
        logs["seconds"] = time.perf_counter() - started
        # It is shown, but no figure of the history: a run may go on with other ranks, or on its own.
        exchange = (ranks.seconds - talked) / logs["seconds"]
        self._shown_too = {"exchange": exchange} if ranks.count > 1 else {}
        return logs

    def _tell_of_batch(
        self, steps: Steps, epoch: int, listeners: list[Any]
    ) -> Callable[[int, float, float], bool]:
        """What is done after each step of an epoch; it returns whether a callback has stopped training."""
        trainer = self.trainer

        def tell(batch: int, loss: float, rate: float) -> bool:
            about = {"epoch": epoch, "epochs": self.epochs, "batch": batch}
            trainer._steps_taken = steps.taken
            logs = {**about, "loss": loss, "learning_rate": rate}
            led(trainer, lambda: call_each(listeners, "on_batch_end", trainer, logs))
            if trainer.optimizer is not steps.optimizer:
                self._check_schedule()
                steps.optimizer = trainer.optimizer
            return trainer.stop_training

        return tell

    def _take_down(self, logs: dict[str, Any]) -> None:
        """Keep an epoch's figures, those of rank 0, and tell them to all that want to know."""
        trainer, logs = self.trainer, self.trainer.ranks.broadcast(logs)
        self.history.append(logs)
        trainer._history.append(logs)
        trainer._epochs_taken += 1
        led(trainer, lambda: self._tell_of_epoch(logs))

    def _tell_of_epoch(self, logs: dict[str, Any]) -> None:
        """Call back, and write the checkpoint."""
        trainer = self.trainer
        call_each(self.callbacks, "on_epoch_end", trainer, logs)
        if self.checkpoint is not None:
            stopped_at = self.epochs if trainer.stop_training else None
            done = logs["epoch"] + 1
            self.position = Position(done, trainer.steps_taken, trainer._epochs_taken, stopped_at)
            save(self.checkpoint, self._run, trainer, self.history, self.position, self.callbacks)
        self.display.epoch_end({**logs, **self._shown_too})


def _of_idle_ranks(trainer: TrainerSettings, batch_size: int) -> str | None:
    """What rank 0 says of batches that have too few blocks for all ranks."""
    ranks, lanes = trainer.ranks.count, lanes_of(trainer.model.dtype)
    if ranks == 1 or not trainer.ranks.leads:
        return None
    blocks = shares_of(batch_size, lanes, ranks).shards
    if ranks <= blocks:
        return None
    made, idle = f"{blocks} block{'s' * (blocks > 1)} of {lanes}", ranks - blocks
    return (
        f"a batch of {batch_size} samples is {made}, and {idle} of {ranks} ranks have nothing to do: "
        f"a `batch_size` of {ranks * lanes} gives each a block"
    )


def guarded_epoch(
    trainer: TrainerSettings, steps: Steps, feed: Feed, epoch: int, epochs: int, display: Progress
) -> tuple[RunningMetrics, float]:
    """One pass over the data; its steps count even where it is cut short, but not where they diverge."""
    before = trainer.steps_taken
    if trainer._snapshot is None:
        trainer._snapshot = Snapshot(trainer.model, steps.task.optimizer_state)
    trainer._snapshot.take()
    steps.taken, trainer._in_epoch = before, True
    try:
        return steps.epoch(feed, epoch, epochs, display, trainer._epochs_taken)
    except DivergedError as error:
        trainer._snapshot.put_back()
        steps.taken = before
        cause = trainer._snapshot.what_was_not_finite()
        if cause is None or isinstance(error, NotFiniteError):
            raise
        raise DivergedError(f"{str(error).partition(':')[0]}: {cause}") from None
    finally:
        trainer._steps_taken, trainer._in_epoch = steps.taken, False
