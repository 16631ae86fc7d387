"""Convolutions of few samples, computed in strips of their images, come to what whole images come to."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import few_samples
from fastconv.engine.lowering import strips


@pytest.fixture(autouse=True)
def _samples_in_the_lanes(monkeypatch):
    monkeypatch.setattr(few_samples, "WORTH_IT", 0)  # never channels


NETWORKS = {
    "as LeNet": ([fc.Conv2d(6, 5), fc.ReLU(), fc.MaxPool2d(2), fc.Conv2d(5, 3), fc.ReLU()], (1, 20, 20)),
    "strides": (
        [
            fc.Conv2d(5, 3, stride=2, padding=1),
            fc.Tanh(),
            fc.Conv2d(4, (5, 3), stride=(3, 2), padding=(2, 0)),
            fc.ReLU(),
            fc.Conv2d(3, 2, padding=1),
        ],
        (3, 23, 19),
    ),
    "dilation and groups": (
        [
            fc.Conv2d(6, 3, dilation=2, padding=((3, 1), (0, 2))),
            fc.ReLU(),
            fc.Conv2d(4, 3, stride=2, dilation=3, padding=3),
            fc.ReLU(),
            fc.Conv2d(4, 3, groups=2, padding="same"),
        ],
        (2, 17, 26),
    ),
    "signals": (
        [fc.Conv1d(8, 20, padding="same"), fc.ReLU(), fc.Conv1d(4, 7, stride=2, padding=3)],
        (2, 90),
    ),
    "wide padding": (
        [fc.Conv2d(2, 2, padding=5), fc.Tanh(), fc.Conv2d(3, 5, padding=1, stride=4)],
        (1, 9, 9),
    ),
    "depthwise": (
        [fc.Conv2d(6, 3), fc.ReLU(), fc.DepthwiseConv2d(3, padding="same"), fc.ReLU(), fc.Conv2d(4, 1)],
        (2, 11, 14),
    ),
    "branches": (
        [fc.Conv2d(4, 3, padding=1), fc.Residual([fc.ReLU(), fc.Conv2d(4, 3, padding="same")]), fc.ReLU()],
        (2, 12, 9),
    ),
}


def always(lanes, samples, sizes, multiples, cost):
    """The cheapest cut that there is, whatever whole images cost."""
    cut, _ = cheapest(lanes, samples, sizes, multiples, lambda cut, n: 1e18 if cut is None else cost(cut, n))
    return cut, 0.0


cheapest = strips.best_cut


def step(name, dtype, batch_size, monkeypatch, choice):
    """The loss of a step, and how it changes the parameters."""
    cuts = []

    def chosen(*arguments):
        cut, share = choice(*arguments)
        cuts.append(cut)
        return cut, share

    monkeypatch.setattr(strips, "best_cut", chosen)
    layers, shape = NETWORKS[name]
    model = fc.Sequential([*layers, fc.Flatten(), fc.Dense(3)], shape, dtype=dtype)
    rng = np.random.default_rng(batch_size)
    X, y = rng.standard_normal((batch_size, *shape)), rng.standard_normal((batch_size, 3))
    before = model.flat_parameters.copy()
    loss = fc.Trainer(model, "mse", fc.SGD(1.0)).train_on_batch(X, y)
    return loss, before - model.flat_parameters, cuts


@pytest.mark.parametrize("batch_size", [1, 2, 3, 4, 7, 8])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_strips_and_whole_images_agree(name, dtype, batch_size, monkeypatch):
    loss, gradient, cuts = step(name, dtype, batch_size, monkeypatch, always)
    expected_loss, expected, _ = step(name, dtype, batch_size, monkeypatch, lambda *_: (None, 1.0))
    lanes = 64 // np.dtype(dtype).itemsize
    assert any(cuts) == (batch_size <= lanes // 2)
    assert loss == expected_loss
    tolerance = 3e-6 if dtype == "float32" else 1e-13
    assert np.abs(gradient - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("choice", [always, cheapest], ids=["always", "cheapest"])
def test_a_step_is_that_of_the_gradients(choice, monkeypatch):
    _, changes, _ = step("strides", "float64", 3, monkeypatch, choice)
    layers, shape = NETWORKS["strides"]
    model = fc.Sequential([*layers, fc.Flatten(), fc.Dense(3)], shape, dtype="float64")
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((3, *shape)), rng.standard_normal((3, 3))
    _, gradients = model.loss_and_gradients(X, y, "mse")
    np.testing.assert_allclose(changes, np.concatenate([g.ravel() for g in gradients.values()]), atol=1e-14)


def test_bits_do_not_depend_on_the_batches_before():
    rng = np.random.default_rng(0)
    X, y = rng.random((40, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, 40)
    ends = []
    for first in (40, 8, 3, 1):
        model = fc.models.lenet5()
        trainer, start = fc.Trainer(model, optimizer=fc.SGD(0.1)), model.state()
        trainer.train_on_batch(X[:first], y[:first])
        model.load_state(start)
        for size in (1, 2, 3, 5, 20, 4):
            trainer.train_on_batch(X[:size], y[:size])
        ends.append(model.flat_parameters.copy())
    assert all((end == ends[0]).all() for end in ends)


def test_only_few_samples_in_training_are_cut():
    text = fc.models.lenet5().source(batch_size=16, kernels=False)
    assert "strips" not in text
    assert "cut_strips(x=X" in fc.models.lenet5().source(batch_size=1, kernels=False)
    assert "strips" not in fc.models.lenet5().source("predict", batch_size=2, kernels=False)


def test_what_is_cut_is_what_pays():
    def cost(cut, sizes):
        return 1000 if cut is None else 100 * sizes[0] + (950 if cut.number > 2 else 0)

    assert cheapest(16, 1, (8, 8), (1, 1), cost)[0] == strips.Cut(0, 2, 4, 1)
    assert cheapest(16, 16, (8, 8), (1, 1), cost) == (None, 1.0)
    assert cheapest(16, 1, (1, 1), (1, 1), cost) == (None, 1.0)


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("sizes", [(16, 35), (32, 33), (8, 11), (4, 6), (20, 28), (16, 3)])
def test_a_last_batch_is_computed_as_a_batch_of_its_size(sizes, shuffle):
    batch_size, samples = sizes
    rng = np.random.default_rng(0)
    X, y = rng.random((samples, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, samples)
    weight = rng.random(samples)
    model, other = fc.models.lenet5(), fc.models.lenet5()
    trainer = fc.Trainer(model, optimizer=fc.SGD(0.1), metrics=("accuracy", "f1"))
    history = trainer.fit(X, y, batch_size=batch_size, epochs=1, shuffle=shuffle, sample_weight=weight)
    order = np.arange(samples)
    if shuffle:
        np.random.default_rng((trainer.seed, 0)).shuffle(order)
    twin = fc.Trainer(other, optimizer=fc.SGD(0.1), metrics=("accuracy", "f1"))
    cuts = [order[k : k + batch_size] for k in range(0, samples, batch_size)]
    expected = twin.fit([(X[rows], y[rows], weight[rows]) for rows in cuts], epochs=1)
    assert (model.flat_parameters == other.flat_parameters).all()
    assert [history[name] for name in ("loss", "f1")] == [expected[name] for name in ("loss", "f1")]


def test_a_number_that_is_not_finite_in_the_last_batch_is_named():
    rng = np.random.default_rng(0)
    X, y = rng.random((19, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, 19)
    X[17, 0, 3, 4] = np.nan
    for shuffle in (False, True):
        with pytest.raises(ValueError, match=r"got nan at \[17, 0, 3, 4\]"):
            fc.Trainer(fc.models.lenet5()).fit(X, y, batch_size=16, epochs=1, shuffle=shuffle)
