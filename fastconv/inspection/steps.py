"""Training steps that are to be measured."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.builder import Builder
from ..engine.columns import inputs_as_given, outputs_as_given
from ..engine.engine import Engine
from ..engine.few_samples import few_in_training
from ..engine.measuring import ROUND_SECONDS, Rounds
from ..engine.memory import lanes_of
from ..engine.ranks.communicator import ALONE, Alone, Coming
from ..engine.run import Run
from ..engine.threads import get_num_threads
from ..kernels.precision import get_precision
from ..models.building import loss_for
from ..models.model import Model
from ..nn.norm import check_batch
from ..nn.optimizers import Optimizer, resolve
from .random_batch import random_batch


class Mute(Alone):
    """One of several ranks that hears nothing from the others, and computes its part all the same."""

    def __init__(self, number: int, count: int) -> None:
        self.number, self.count = number, count

    def begin_all_rows(self, rows: NDArray[Any], counts: list[int]) -> Coming:
        return Coming(np.zeros((sum(counts), *rows.shape[1:]), rows.dtype))

    def begin_scatter_rows(self, rows: NDArray[Any], sent: list[int], received: list[int]) -> Coming:
        return Coming(np.zeros((sum(received), *rows.shape[1:]), rows.dtype))


def training_engine(
    model: Model,
    X: Any,
    y: Any,
    loss: Any = None,
    optimizer: Any = None,
    loss_weights: Any = None,
    ranks: Alone = ALONE,
) -> tuple[Engine, Any]:
    """What takes a step on X as `fit` would, but with rates of 0; and y as it takes it."""
    loss = loss_for(model, loss, loss_weights)
    y = outputs_as_given(y, len(X), model.output_names, model.output_shapes, loss)
    check_batch([node for node in model.nodes if node.name not in model.frozen], len(X))
    optimizer = resolve("sgd" if optimizer is None else optimizer)
    run = _run(model, len(X), loss.for_targets(y), optimizer)
    return Engine(model, run, optimizer.initial_state(model.flat_parameters), model.seed, ranks), y


def random_rounds(
    model: Model,
    samples: int,
    loss: Any = None,
    optimizer: Any = None,
    ranks: Alone = ALONE,
    seconds: float = ROUND_SECONDS,
) -> tuple[Rounds, Engine]:
    """Steps on so many random samples, the same on all ranks, and what takes them."""
    X, y = random_batch(model, samples, loss_for(model, loss))
    X = inputs_as_given(X, model.input_names, model.input_shapes)
    engine, y = training_engine(model, X, y, loss, optimizer, ranks=ranks)
    return Rounds(engine, X, y, model.empty_outputs, seconds), engine


def shared_plan(model: Model, loss: Any = None) -> Any:
    """The plan of a step that ranks share, on a small batch: what they say goes by the block."""
    loss, samples, optimizer = loss_for(model, loss), 2 * lanes_of(model.dtype), resolve("sgd")
    _, y = random_batch(model, samples, loss)
    y = outputs_as_given(y, samples, model.output_names, model.output_shapes, loss)
    run = _run(model, samples, loss.for_targets(y), optimizer)
    plan = Builder(model, run, optimizer.initial_state(model.flat_parameters), shared=True).plan
    plan.finish()
    return plan


def _run(model: Model, samples: int, loss: Any, optimizer: Optimizer) -> Run:
    run = Run("train", samples, get_num_threads(), loss, optimizer, frozen=model.frozen)
    precision = get_precision()
    return run._replace(precision=precision, few=few_in_training(model, samples, precision))
