"""Layers that take all blocks of a batch together give the bits of those that take one after the other."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import together
from fastconv.engine.builder import Builder
from fastconv.engine.run import Run
from tests.engine.networks import assert_same_bits, images_and_labels
from tests.ranks.test_engine_on_ranks import bits, trained
from tests.ranks.threads_as_ranks import on_ranks

# 13 outputs are tiles of 8, 4 and 1; sums of 280 products take several rounds.
NETWORKS = {
    "dense": [fc.Flatten(), fc.Dense(13), fc.ReLU(), fc.Dense(20, bias=False), fc.Tanh(), fc.Dense(3)],
    "convolution": [fc.Conv2d(3, 3), fc.ReLU(), fc.Flatten(), fc.Dense(21), fc.ReLU(), fc.Dense(3)],
    "norm": [
        fc.Conv2d(3, 3), fc.BatchNorm2d(), fc.ReLU(), fc.Flatten(),
        fc.Dense(9), fc.BatchNorm1d(), fc.Dense(3),
    ],
}  # fmt: skip
SHAPE = (4, 10, 7)
LOSS = fc.losses.MSE()


@pytest.fixture
def always(monkeypatch):
    """Take all blocks together, however small a layer is."""
    monkeypatch.setattr(together, "PER_STAGE", 0)
    monkeypatch.setattr(together, "CACHE_BYTES", 1 << 40)


def results_of(layers, dtype, batch_size):
    """Everything that a network computes, the last batch being smaller."""
    model = fc.Sequential(layers, SHAPE, dtype=dtype)
    X, y = images_and_labels(149, SHAPE, 3)
    fc.Trainer(model).fit(X, y, epochs=1, batch_size=batch_size, progress=False)
    loss, gradients = model.loss_and_gradients(X[:75], y[:75])
    return [loss, *gradients.values(), *model.state().values(), model.predict(X, batch_size=batch_size)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_they_have_the_same_bits_on_any_number_of_threads(name, dtype, monkeypatch):
    found = {}
    for saved in (0.0, together.SAVED):
        monkeypatch.setattr(together, "SAVED", saved)
        monkeypatch.setattr(together, "PER_STAGE", 0)
        monkeypatch.setattr(together, "CACHE_BYTES", 1 << 40)
        for threads in (1, 2, 5):
            fc.set_num_threads(threads)
            found[saved, threads] = results_of(NETWORKS[name], dtype, 48)
    expected = found.pop((0.0, 1))
    for results in found.values():
        assert_same_bits(results, expected)


@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_take_their_own_blocks_together(always, ranks):
    case = "dense", "float64", 36, 60, 2  # of 5 blocks, a rank has 1 or 2 or 3
    alone = bits(trained(*case, optimizer=fc.SGD(), ranks=fc.engine.ranks.communicator.ALONE))
    for one in on_ranks(ranks, lambda ranks: bits(trained(*case, optimizer=fc.SGD(), ranks=ranks))):
        assert one == alone


def stages_of_dense(model, batch_size, purpose="gradients"):
    """In what stages the dense layers of a network run."""
    plan = Builder(model, Run(purpose, batch_size, 1, LOSS if purpose == "gradients" else None)).plan
    return {kind for kind, operations in plan.stages for one in operations if one[0].name == "dense"}


def test_large_layers_do_where_the_values_of_all_blocks_stay_in_cache():
    mlp = fc.Sequential([fc.Dense(256), fc.ReLU(), fc.Dense(128)], (784,))
    assert stages_of_dense(mlp, 64) == stages_of_dense(mlp, 64, "predict") == {"batch"}
    assert stages_of_dense(mlp, 16) == {"block"}  # one block


def test_small_layers_and_those_behind_large_images_do_not():
    small = fc.Sequential([fc.Dense(20)], (20,))
    assert stages_of_dense(small, 64) == {"block"}
    images = fc.Sequential([fc.Conv2d(8, 5), fc.MaxPool2d(4), fc.Flatten(), fc.Dense(64)], (1, 52, 52))
    assert stages_of_dense(images, 64) == {"block"}
    assert stages_of_dense(images, 64, "predict") == {"batch"}  # which keeps no values of images
    normed = [fc.Conv2d(8, 5), fc.BatchNorm2d(), fc.MaxPool2d(4), fc.Flatten(), fc.Dense(64)]
    assert stages_of_dense(fc.Sequential(normed, (1, 52, 52)), 64) == {"batch"}  # which keeps them anyway


def test_gradients_are_those_of_finite_differences(always):
    model = fc.Sequential(NETWORKS["dense"], SHAPE, dtype="float64")
    X, y = images_and_labels(30, SHAPE, 3)
    _, gradients = model.loss_and_gradients(X, y)
    rng = np.random.default_rng(0)
    for name, parameter in model.parameters().items():
        direction, step = rng.standard_normal(parameter.shape), 1e-6
        ends = []
        for sign in (1, -1):
            parameter += sign * step * direction
            ends.append(model.loss_and_gradients(X, y)[0])
            parameter -= sign * step * direction
        slope = (gradients[name] * direction).sum()
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5), name
