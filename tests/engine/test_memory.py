"""Memory that values share, one after the other: nothing is read there that another value left."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import engine as module
from fastconv.engine.engine import Engine
from fastconv.engine.plan import VECTOR_BYTES
from fastconv.engine.run import Run
from fastconv.nn.losses import MSE
from fastconv.nn.optimizers import SGD

from .networks import NETWORKS


def residual():
    way = [fc.Conv2d(4, 3, padding="same"), fc.BatchNorm2d(), fc.ReLU(), fc.Conv2d(4, 3, padding="same")]
    body = [fc.Conv2d(4, 3, padding="same"), fc.ReLU(), fc.MaxPool2d(3, stride=2, padding=1)]
    ends = [fc.Conv2d(4, 1), fc.AvgPool2d(3, stride=3), fc.Flatten(), fc.Dense(3)]
    return [*body, *[fc.Residual(way), fc.ReLU()] * 4, *ends], (1, 12, 12)


CASES = {**NETWORKS, "a residual network": residual()}


def poisoned(engine, built):
    """Put numbers that nobody would overlook into all memory that values share, halos left out."""
    plan, memory = built.plan, engine.program.memory
    itemsize, lanes = plan.dtype.itemsize, plan.lanes
    flat = memory.view(plan.dtype)
    start = memory.ctypes.data
    for storage in plan._storages:
        if storage.shape is None:
            continue
        channels, height, width, top, bottom, left, right, _ = storage.shape
        sizes = channels, top + height + bottom, left + width + right, lanes
        for copy in range(plan.copies(storage)):
            first = (storage.address - start + copy * storage.copy_bytes) // itemsize
            planes = flat[first : first + int(np.prod(sizes))].reshape(sizes)
            planes[:, top : top + height, left : left + width] = 1e30
    return engine


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch_size", [1, 21, 40])
@pytest.mark.parametrize("name", CASES)
def test_what_lay_in_shared_memory_before_a_step_changes_no_bit(name, batch_size, threads, monkeypatch):
    layers, shape = CASES[name]
    rng = np.random.default_rng(0)
    X = rng.random((batch_size, *shape))
    y = rng.random((batch_size, int(np.prod(fc.Sequential(layers, shape).output_shape))))
    built = []
    monkeypatch.setattr("fastconv.engine.engine.PRODUCTS_PER_THREAD", 1)
    plain = module.Builder

    def remembered(*arguments):
        built.append(plain(*arguments))
        return built[-1]

    monkeypatch.setattr(module, "Builder", remembered)
    results = []
    for poison in (False, True):
        model = fc.Sequential(layers, shape, seed=1)
        run = Run("train", batch_size, threads, MSE(), SGD())
        engine = Engine(model, run, SGD().initial_state(model.flat_parameters), seed=3)
        if poison:
            poisoned(engine, built[-1])
        engine.load(X, y)
        log = engine.run(0, 1).copy()
        results.append((log, model.flat_parameters.copy(), model.flat_statistics.copy()))
    for before, after in zip(*results, strict=True):
        np.testing.assert_array_equal(before, after)


def test_values_of_one_size_take_turns_in_prediction():
    """Twenty convolutions in a row need two values at a time."""

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
