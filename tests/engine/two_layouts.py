"""Training steps of random networks with their channels in the lanes, beside those with samples in them."""

import copy
import warnings

import numpy as np

import fastconv as fc
from fastconv.engine.columns import inputs_as_given, outputs_as_given
from fastconv.engine.emitter import layers_of_channels
from fastconv.engine.engine import Engine
from fastconv.engine.run import Run
from fastconv.inspection.random_batch import random_batch
from fastconv.models.building import loss_for
from fastconv.nn.norm import check_batch
from tests.soak.random_networks import any_network


def case(seed):
    """A random network, a batch size, and inputs and targets for it, or None where there is nothing to see.

    Of a batch of 4, a smaller one follows.
    """
    rng = np.random.default_rng(seed)
    batch_size = int(rng.integers(1, 5))
    count = batch_size + (3 if batch_size == 4 else 0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = any_network(rng, "float64")
        if not layers_of_channels(model, True):
            return None
        for samples in {batch_size, count - batch_size or batch_size}:
            check_batch(model.nodes, samples)
    except ValueError:  # no network, or too few samples for a mean
        return None
    loss = loss_for(model)
    X, y = random_batch(model, count, loss, seed)
    X = inputs_as_given(X, model.input_names, model.input_shapes)
    y = outputs_as_given(y, count, model.output_names, model.output_shapes, loss)
    return model, batch_size, X, y, loss.for_targets(y)


def after_steps(model, batch_size, X, y, loss, few, threads=1):
    """The losses and the state of a copy of the network after all steps."""
    model, optimizer = copy.deepcopy(model), fc.SGD()
    run = Run("train", batch_size, threads, loss, optimizer, few=few)
    engine = Engine(model, run, optimizer.initial_state(model.flat_parameters), seed=5)
    engine.load(X, y)
    engine.ports.rates[:] = 0.05
    losses = engine.run(0, engine.steps).copy()
    return [losses, *(array.copy() for array in model.state().values())]


def compared(seeds):
    """How many cases were compared, and the seeds of those that differ, or have other bits on two threads."""
    count, bad = 0, []
    for seed in seeds:
        if (made := case(seed)) is None:
            continue
        few = made[1]
        plain, one, two = (
            after_steps(*made, channels, threads) for channels, threads in ((0, 1), (few, 1), (few, 2))
        )
        count += 1
        alike = all(
            np.allclose(a, b, rtol=1e-8, atol=1e-8 * max(1, np.abs(a).max(initial=0)), equal_nan=True)
            for a, b in zip(plain, one, strict=True)
        )
        same = all(a.tobytes() == b.tobytes() for a, b in zip(one, two, strict=True))
        if not (alike and same):
            bad.append(seed)
    return count, bad
