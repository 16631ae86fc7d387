"""Passes over the data: an epoch of training steps on the engines that these need."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.columns import arrays_in, like
from ..engine.engine import Engine
from ..engine.few_samples import few_in_training
from ..engine.inputs import class_numbers, readable
from ..engine.lowering.strips import samples_of_strip
from ..engine.memory import lanes_of
from ..engine.ranks.communicator import ALONE, Alone
from ..engine.run import Run
from ..engine.shares import shares_of
from ..engine.threads import get_num_threads
from ..kernels.precision import get_precision
from ..models.model import Model
from ..nn.class_losses import is_labels
from ..nn.freezing import update_runs
from ..nn.joint_loss import parts_of, taking, targets_of
from ..nn.losses import Loss
from ..nn.norm import check_batch
from ..nn.optimizers import Optimizer
from .feeds import Feed
from .finite import all_finite
from .history import DivergedError, NotFiniteError
from .parts import Part, Span
from .progress import Progress
from .running_metrics import JointMetricSet, MetricSet, RunningMetrics

Rates = NDArray[Any]  # named here: an annotation of a function inside another is worked out at every call

KEPT_BYTES = 1 << 28  # to build the engine of a deep network takes as long as some of its steps


@dataclass(frozen=True, eq=False)
class Task:
    """What is trained, and how: all that passes over the data need of a trainer."""

    model: Model
    loss: Loss
    optimizer: Optimizer
    optimizer_state: list[NDArray[Any]]
    metrics: MetricSet | JointMetricSet
    seed: int


class Steps:
    """Takes the steps of a task, on an engine that is planned for the largest batch so far.

    `taken` is how many steps the optimizer has made, those before this object included; `ranks` take them
    together.
    """

    def __init__(self, task: Task, taken: int, augment: Any = None, ranks: Alone = ALONE) -> None:
        self.task, self.taken, self._augment, self.ranks = task, taken, augment, ranks
        if task.model.num_parameters and not update_runs(task.model, task.optimizer, task.model.frozen):
            raise ValueError("all layers are frozen, and there is nothing to train: see model.unfreeze()")
        self.optimizer = task.optimizer  # whose rates are taken: a callback may change them between steps
        # Called after each step with its number in the epoch, its loss and its learning rate; where it is
        # there, steps are run one by one, and what it returns tells whether the epoch ends there.
        self.after_each: Callable[[int, float, float], bool] | None = None
        self.cut = False
        self._threads, self._frozen = get_num_threads(), task.model.frozen
        self._precision, self._lanes = get_precision(), lanes_of(task.model.dtype)
        self._engines: dict[int, Engine] = {}  # by how many lanes a strip of their batches has
        self._checked: set[int] = set()  # sizes of batches that all layers can learn from

    def still_fit(self, task: Task, ranks: Alone) -> bool:
        """Whether new ones for this task would be the same."""
        as_before = self._threads == get_num_threads() and self._frozen == task.model.frozen
        as_before = as_before and self.ranks is ranks
        return task is self.task and as_before and self._precision == get_precision()

    def may_be_kept(self) -> bool:
        """Whether their engine may wait for the next call of `fit`: it is not large."""
        return sum(engine.program.memory.nbytes for engine in self._engines.values()) <= KEPT_BYTES

    def serve_again(self, task: Task, augment: Any, feed: Feed, ranks: Alone) -> bool:
        """Begin anew for another call of `fit`, if new ones for it would have the same engine."""
        self.optimizer, self.after_each = task.optimizer, None
        engine = self._engines.get(self._kind(feed.batch_size))
        if engine is None or not self.still_fit(task, ranks):
            return False
        had, loss = engine.asked_run, task.loss.for_targets(feed.targets)
        wanted = had._replace(batch_size=feed.batch_size, weighted=feed.weighted, augmentation=augment)
        return had == wanted and targets_of(had.loss) == targets_of(loss)

    def _kind(self, batch_size: int) -> int:
        """What the engine for a batch of this size has in common with others: the lanes of a strip."""
        return samples_of_strip(batch_size, self._lanes)

    def engine(self, batch_size: int, weighted: bool, targets: Any) -> Engine:
        """An engine for a batch: the one before, if it is large enough and takes such weights and targets.

        Batches so small that their images are cut in strips have engines of their own, whatever came before:
        the last bits of a weight's gradient depend on that.
        """
        task = self.task
        kind = self._kind(batch_size)
        had = self._engines.get(kind)
        loss = task.loss.for_targets(targets)
        if had is not None:
            had_weights = had.ports.weight is not None
            loss = taking(loss, had.asked_run.loss)
            fits = batch_size <= had.batch_size and weighted <= had_weights
            if fits and targets_of(loss) == targets_of(had.asked_run.loss):
                return had
            batch_size, weighted = max(batch_size, had.batch_size), weighted or had_weights
        run = Run(
            "train",
            batch_size,
            self._threads,
            loss,
            task.optimizer,
            weighted,
            self._augment,
            outputs=task.metrics.need_outputs,
            frozen=self._frozen,
            precision=self._precision,
            few=few_in_training(task.model, batch_size, self._precision),
        )
        with self.ranks.busy("compiling"):
            self._engines[kind] = Engine(task.model, run, task.optimizer_state, task.seed, self.ranks)
        return self._engines[kind]

    def _check_batches(self, part: Part) -> None:
        """Raise ValueError where a batch, such as the last one, is too small for a layer to learn from."""
        rest = part.samples % part.batch_size
        for size in (min(part.batch_size, part.samples), rest):
            if size and size not in self._checked:
                check_batch([node for node in self.task.model.nodes if node.name not in self._frozen], size)
                self._checked.add(size)

    def _pieces(self, feed: Feed, earlier: int) -> Iterator[Part]:
        """What an epoch goes through, each part checked before its first step."""
        count, all_targets = self.ranks.count, self.task.metrics.need_outputs
        for part in feed.parts(earlier):
            self._check_batches(part)
            for piece in part.pieces(self._lanes):
                yield from piece.stretches(self._owned, count, all_targets)

    def _owned(self, samples: int, rank: int) -> Span:
        """Which samples of a batch a rank computes."""
        ends = shares_of(samples, self._lanes, self.ranks.count).sample_ends
        return ends[rank], ends[rank + 1]

    def epoch(
        self, feed: Feed, epoch: int, epochs: int, display: Progress, earlier: int
    ) -> tuple[RunningMetrics, float]:
        """One pass over the data, after `earlier` others, which decides the order of samples.

        Returns what it gave, and the last learning rate.
        """
        task, metrics, rate = self.task, RunningMetrics(), 0.0
        self.cut = False
        per_epoch = feed.steps or 1
        for part in self._pieces(feed, earlier):
            engine = self.engine(part.batch_size, part.weight is not None, part.y)
            engine.set_updates(self.taken)

            def set_rates(_: int, count: int, rates: Rates = engine.ports.rates) -> None:
                nonlocal rate
                first = epoch * per_epoch + metrics.steps
                new = self.optimizer.learning_rates(first, count, per_epoch, epochs * per_epoch)
                rates[:count] = new
                rate = float(new[-1])

            before = metrics.samples
            for log in run_part(task, engine, part, metrics, set_rates, self):
                losses = log[:, 0]
                mean = float(np.add.reduce(losses, dtype=np.float64)) / len(log)
                if not math.isfinite(mean) and not np.isfinite(losses).all():
                    step = int(np.argmax(~np.isfinite(losses)))
                    where = f"in epoch {epoch + 1}, step {metrics.steps - len(log) + step + 1}"
                    raise self._reason(
                        f"the loss became {losses[step]} {where}", part, metrics.samples - before
                    )
                display.batch(epoch, metrics.samples, mean)
                self.taken += len(log)
                if self.after_each is not None:
                    self.cut = self.after_each(metrics.steps - 1, mean, rate)
            if self.cut:
                break
        # The last step's loss was that before it; those before have shown in the next one's loss.
        if metrics.steps and not all_finite(task.model.flat_parameters):
            where = f"in epoch {epoch + 1}, step {metrics.steps} or before"
            seen = metrics.samples - before
            raise self._reason(f"the parameters became infinite or NaN {where}", part, seen)
        for used in self._engines.values():
            used.release()  # the order of samples, before there is the next one
        task.model.note_loss(task.loss)
        return metrics, rate

    def _reason(self, what: str, part: Part, seen: int) -> DivergedError:
        """The error for a loss or parameters that are not finite after `seen` samples of a part."""
        found = next(filter(None, self.ranks.gather(part.what_is_not_finite(seen))), None)
        return (
            NotFiniteError(f"{what}: {found}")
            if found
            else DivergedError(f"{what}: try a smaller learning rate")
        )


def run_part(
    task: Task,
    engine: Engine,
    part: Part,
    metrics: RunningMetrics,
    each: Callable[[int, int], None] | None = None,
    steps: Steps | None = None,
) -> Iterator[NDArray[Any]]:
    """Take the steps of a part, until they are cut, and add them to the metrics; yields each call's log."""
    count, weight = part.samples, part.weight
    if weight is None and engine.ports.weight is not None:  # an earlier batch had some
        weight = np.ones(len(part.X))
    engine.load(part.X, _as_taken(part.y, engine, task.model), part.order, weight)
    outputs, done = None, 0
    if task.metrics.need_outputs:
        outputs = task.model.empty_outputs(count)
        engine.write_to(outputs)
    one_by_one = steps is not None and steps.after_each is not None
    calls = _single_steps(engine, each) if one_by_one else engine.run_all(each, engine.chunk)
    for first_step, log in calls:
        done = min(count, (first_step + len(log)) * engine.batch_size)
        metrics.add(log, done - first_step * engine.batch_size, engine.batch_size)
        yield log
        if steps is not None and steps.cut:
            break
    if outputs is not None:
        metrics.add_outputs(_for_metrics(part.targets(done), task.loss), outputs[:done])


def _as_taken(y: Any, engine: Engine, model: Model) -> Any:
    """Targets as an engine reads them that may have been made for parts of classes, of an earlier batch."""
    kinds = targets_of(engine.asked_run.loss)
    if "distributions" not in kinds:
        return y
    taken = []
    for array, kind, shape in zip(arrays_in(y), kinds, model.output_shapes, strict=True):
        is_parts = kind == "distributions" and is_labels(array)
        taken.append(np.moveaxis(np.eye(shape[0])[array], -1, 1) if is_parts else array)
    return like(y, taken)


def _for_metrics(y: Any, loss: Loss) -> Any:
    """The targets that metrics get: of parts for each class, the class of the largest."""
    found = []
    for array, (part, _) in zip(arrays_in(y), parts_of(loss), strict=True):
        if part.targets == "labels":
            found.append(class_numbers(array))
        else:
            found.append(array.astype(np.int64) if array.dtype == np.uint8 else readable(array))
    return like(y, found)


def _single_steps(
    engine: Engine, each: Callable[[int, int], None] | None
) -> Iterator[tuple[int, NDArray[Any]]]:
    """`engine.run_all`, with a call for each step."""
    for step in range(engine.steps):
        if each is not None:
            each(step, 1)
        yield step, engine.run(step, 1)
