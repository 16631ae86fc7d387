"""Passes over the data without training; of several ranks, each takes some of the batches."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np

from ..engine.columns import arrays_in, like
from ..engine.engine import Engine
from ..engine.memory import lanes_of
from ..engine.ranks.agreement import by_lead
from ..engine.ranks.communicator import ALONE, Alone, share_of
from ..models.model import Model
from .feeds import EVALUATED_AT_ONCE, Feed
from .history import NotFiniteError
from .loops import Task, run_part
from .parts import Part, Span
from .running_metrics import RunningMetrics

Found = dict[tuple[int, int], tuple[RunningMetrics, str | None]]  # by part and first sample


def evaluator(
    task: Task, samples: int, weighted: bool, targets: Any, batch_size: int = EVALUATED_AT_ONCE
) -> Engine:
    """An engine of the task's model that computes loss and metrics."""
    model, outputs, loss = task.model, task.metrics.need_outputs, task.loss.for_targets(targets)
    return model.engines.take(
        model, "evaluate", samples, batch_size, loss=loss, weighted=weighted, outputs=outputs
    )


def evaluate(
    task: Task,
    feed: Feed,
    epoch: int = 0,
    batch_size: int = EVALUATED_AT_ONCE,
    ranks: Alone = ALONE,
) -> dict[str, float]:
    """The figures of one pass without training, which all ranks make together.

    Raises
    ------
    ValueError
        If the feed has come to its end, or the loss is not finite because its samples are not.
    """
    found: Found = {}
    for group in _groups(enumerate(feed.parts(epoch)), ranks.count):
        spans = [_spans(part.samples, batch_size, ranks.count, number) for number, part in group]
        # All that is sent comes before all that is computed: nobody waits for others' batches.
        own = [part.on_each(span, ranks.number) for (_, part), span in zip(group, spans, strict=True)]
        for (number, whole), span, part in zip(group, spans, own, strict=True):
            if part.samples:
                with ranks.busy("evaluating"):
                    engine = evaluator(task, whole.samples, part.weight is not None, part.y, batch_size)
                    found[number, span[ranks.number][0]] = _measured(task, engine, part)
                    task.model.engines.give_back(engine)
    return _figures(task, found, epoch, ranks)


def _groups(parts: Iterable[tuple[int, Part]], count: int) -> Iterator[list[tuple[int, Part]]]:
    """The parts, so many at a time, so that each rank has something to do where they are single batches."""
    waiting = iter(parts)
    while group := list(islice(waiting, count)):
        yield group


def _spans(samples: int, batch_size: int, ranks: int, number: int) -> list[Span]:
    """Which samples of a part each rank takes, in whole batches; of several parts, each begins elsewhere."""
    if ranks == 1:
        return [(0, samples)]
    steps, spans = -(-samples // batch_size), []
    for rank in range(ranks):
        first, stop = share_of(steps, (rank + number) % ranks, ranks)
        spans.append((min(first * batch_size, samples), min(stop * batch_size, samples)))
    return spans


def _measured(task: Task, engine: Engine, part: Part) -> tuple[RunningMetrics, str | None]:
    """What some batches come to, and what is wrong with their samples where the loss is not finite."""
    metrics, finite = RunningMetrics(), True
    for log in run_part(task, engine, part, metrics):
        finite = finite and bool(np.isfinite(log[:, 0]).all())
    return metrics, None if finite else part.what_is_not_finite(part.samples)


def _figures(task: Task, found: Found, epoch: int, ranks: Alone) -> dict[str, float]:
    """The figures of what all ranks have found."""
    everyones: Found = {}
    for own in ranks.gather(found):
        everyones |= own
    metrics = RunningMetrics()
    for place in sorted(everyones):
        some, trouble = everyones[place]
        if trouble:
            raise NotFiniteError(f"the loss is not finite: {trouble}")
        metrics.extend(some)
    if not metrics.steps:
        raise ValueError(f"`validation_data` must give at least one batch, got none in epoch {epoch + 1}")
    figures: dict[str, float] = by_lead(ranks, lambda: metrics.figures(task.metrics))
    return figures


def predict(model: Model, X: Any, batch_size: int, ranks: Alone) -> Any:
    """The outputs of all samples, of which each rank computes some.

    They are shared out in whole batches where there are enough of them, else in blocks of as many samples as
    a vector has lanes. How they are computed is decided for all of them together.
    """
    samples = len(X)
    unit = batch_size if samples >= batch_size * ranks.count else lanes_of(model.dtype)
    output, steps = model.empty_outputs(samples), -(-samples // unit)
    bounds = [min(share_of(steps, rank, ranks.count)[1] * unit, samples) for rank in range(ranks.count)]
    counts = np.diff([0, *bounds]).tolist()
    first, stop = bounds[ranks.number] - counts[ranks.number], bounds[ranks.number]
    if stop > first:
        with ranks.busy("predicting"):
            engine = model.engines.take(model, "predict", samples, batch_size)
            engine.predict(X[first:stop], output[first:stop])
            model.engines.give_back(engine)
    return like(output, [ranks.all_rows(array[first:stop], counts) for array in arrays_in(output)])
