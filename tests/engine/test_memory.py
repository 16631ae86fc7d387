"""Memory that values share, one after the other: nothing is read there that another value left."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import engine as module
from fastconv.engine.engine import Engine
from fastconv.engine.plan import VECTOR_BYTES, Plan
from fastconv.engine.run import Run
from fastconv.kernels import precision
from fastconv.kernels.lanes import losses
from fastconv.nn.losses import MSE
from fastconv.nn.optimizers import SGD

from .networks import NETWORKS


def residual():
    way = [fc.Conv2d(4, 3, padding="same"), fc.BatchNorm2d(), fc.ReLU(), fc.Conv2d(4, 3, padding="same")]
    body = [fc.Conv2d(4, 3, padding="same"), fc.ReLU(), fc.MaxPool2d(3, stride=2, padding=1)]
    ends = [fc.Conv2d(4, 1), fc.AvgPool2d(3, stride=3), fc.Flatten(), fc.Dense(3)]
    return [*body, *[fc.Residual(way), fc.ReLU()] * 4, *ends], (1, 12, 12)


CASES = {**NETWORKS, "a residual network": residual()}


def without_sharing(monkeypatch):
    """Let every value have memory of its own."""
    plain = Plan.planes

    def alone(self, *arguments, passing=False, **others):
        return plain(self, *arguments, **others)

    monkeypatch.setattr(Plan, "planes", alone)


def trained(layers, shape, batch_size, threads, dtype):
    """Losses and numbers after three steps, and predictions."""
    rng = np.random.default_rng(0)
    model = fc.Sequential(layers, shape, dtype=dtype, seed=1)
    X = rng.random((3 * batch_size - 2 * (batch_size > 2), *shape))
    y = rng.random((len(X), int(np.prod(model.output_shape))))
    state = SGD().initial_state(model.flat_parameters)
    engine = Engine(model, Run("train", batch_size, threads, MSE(), SGD()), state, seed=3)
    engine.load(X, y)
    engine.ports.rates[:] = 0.1
    log = engine.run(0, 3).copy()
    return log, model.flat_parameters.copy(), model.flat_statistics.copy(), model.predict(X[:21])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_memory_that_values_share_changes_no_bit(name, dtype, monkeypatch):
    """A kernel that leaves elements of its output untouched would find what another value has left there."""
    monkeypatch.setattr(module, "PRODUCTS_PER_THREAD", 1)
    layers, shape = CASES[name]
    cases = [(1 if "norm" not in name else 2, 1), (21, 2), (40, 1)]
    shared = [trained(layers, shape, *case, dtype) for case in cases]
    without_sharing(monkeypatch)
    for case, found in zip(cases, shared, strict=True):
        for before, after in zip(found, trained(layers, shape, *case, dtype), strict=True):
            np.testing.assert_array_equal(before, after, err_msg=str(case))


def test_values_of_one_size_take_turns_in_prediction(monkeypatch):
    """Twenty convolutions in a row need two values at a time, where no weights are transformed."""
    monkeypatch.setattr(precision.chosen, "value", precision.HIGHEST)

    def row(count):
        layers = [fc.Conv2d(8, 3, padding="same"), fc.Tanh()] * count
        return fc.Sequential(layers, (8, 16, 16))

    few, many = row(4), row(20)
    own = many.flat_parameters.nbytes - few.flat_parameters.nbytes
    assert many.memory(16, "predict") - few.memory(16, "predict") - own < VECTOR_BYTES * 8 * 18 * 18


def test_gradients_take_turns_in_training():
    def row(count):
        return fc.Sequential([fc.Conv2d(8, 3, padding="same"), fc.Tanh()] * count, (8, 16, 16))

    planes = 2 * 8 * 18 * 18 * VECTOR_BYTES  # of a batch of two blocks
    grown = row(20).memory(32) - row(10).memory(32)
    assert grown < 10 * (1.3 * planes)  # each layer keeps its output, and none its gradient


def batch_norm_rows(count):
    layers = [fc.Conv2d(8, 3, padding="same"), fc.BatchNorm2d(), fc.ReLU()] * count
    return fc.Sequential(layers, (8, 16, 16))


def test_a_normalised_convolution_keeps_its_sums_alone(monkeypatch):
    """Neither what the normalisation gives of them nor ReLU's part of it, and they have no halo."""
    # Winograd's sums need room of their own.
    monkeypatch.setattr(precision.chosen, "value", precision.HIGHEST)
    planes = 4 * 8 * 16 * 16 * VECTOR_BYTES  # of a batch of four blocks
    grown = batch_norm_rows(20).memory(64) - batch_norm_rows(10).memory(64)
    assert grown < 10 * (1.1 * planes)


def span(storage):
    return range(storage.offset, storage.offset + storage.size * 4)


def test_memory_that_is_needed_at_one_moment_does_not_overlap():
    plan = Plan("float32", 40, 2)
    rng, made = np.random.default_rng(0), []
    for number in range(60):
        halo = (0, 0, 0, 0) if number % 3 else (1, 0, 1, 0)
        made.append(plan.planes((int(rng.integers(1, 5)), 4, 4), halo, passing=number % 7 != 0))
        operands = [made[k] for k in rng.integers(max(0, number - 9), number + 1, 3)]
        plan.emit(losses.record, [made[-1], *operands], stage="batch" if number % 10 == 9 else "block")
    plan.lay_out()
    shared = 0
    for k, one in enumerate(planes.storage for planes in made):
        for other in (planes.storage for planes in made[:k]):
            overlap = one.kept == other.kept and set(span(one)) & set(span(other))
            if overlap and (one.first <= other.last and other.first <= one.last):
                pytest.fail("two of them are needed at once")
            if overlap and (any(one.shape[3:]) or any(other.shape[3:])):
                assert one.shape == other.shape
            shared += bool(overlap)
    assert shared > 20
