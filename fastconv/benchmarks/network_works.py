"""Training steps and predictions of networks as pieces of work."""

from typing import Any

import numpy as np

from .network_checks import predict_checks, step_checks
from .network_contenders import PREDICTIONS, STEPS
from .networks import NETWORKS, batches_of, made, step_flops
from .timing import Contender
from .work import Work

STEP_BATCHES = (1, 8, 32, 128)
PREDICT_BATCHES = (1, 8, 64, 256)
MOST_FLOPS = 4e10  # in one piece of work: with more, it takes a large part of a second and gigabytes
# Operations in the batches that all step through, and in one call of `fit`: what `fit` does once an epoch,
# such as to remember the parameters, must not count for a large part of a step.
SHORT, LONG = 4e9, 8e9
MOST_BATCHES, MOST_EPOCHS = 64, 20


def step_work(name: str, batch_size: int) -> Work | None:
    """A training step of a network; None where it would take too long, or nothing can be learned from it."""
    model = made(name)
    flops = step_flops(model) * batch_size
    if flops > MOST_FLOPS or not _learns_from(model, batch_size):
        return None
    batches = int(np.clip(SHORT / flops, 2, MOST_BATCHES))
    epochs = int(np.clip(LONG / (flops * batches), 1, MOST_EPOCHS))

    def make(who: str) -> Contender | None:
        if who not in STEPS:
            return None
        X, y = batches_of(name, model, batches * batch_size)
        return STEPS[who](name, batch_size, epochs, X, y)

    title = f"{NETWORKS[name][0]}, training step, batch {batch_size}"
    return Work(title, flops, make, step_checks(name, batch_size), "network")


def _learns_from(model: Any, batch_size: int) -> bool:
    """Whether normalisations have more than one value to take the mean of."""
    from ..nn.norm import check_batch

    try:
        check_batch(model.nodes, batch_size)
    except ValueError:
        return False
    return True


def predict_work(name: str, batch_size: int) -> Work | None:
    """A prediction of one batch; None where it would take too long."""
    model = made(name)
    flops = 2 * model.products() * batch_size
    if flops > MOST_FLOPS:
        return None

    def make(who: str) -> Contender | None:
        if who not in PREDICTIONS:
            return None
        X, _ = batches_of(name, model, batch_size)
        return PREDICTIONS[who](name, X)

    title = f"{NETWORKS[name][0]}, predict, batch {batch_size}"
    return Work(title, flops, make, predict_checks(name, batch_size), "network")
