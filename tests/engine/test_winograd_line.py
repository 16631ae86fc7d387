"""Networks of time series, whose convolutions go by Winograd's products, against direct sums in float64."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.kernels import precision
from tests.engine.test_winograd import error

SHAPE = (8, 43)


@pytest.fixture(autouse=True)
def _own_precision(monkeypatch):
    monkeypatch.setattr(precision.chosen, "value", precision.HIGH)


def network(dtype="float32"):
    layers = [
        fc.Conv1d(32, 8, padding="same", bias=False), fc.BatchNorm1d(), fc.ReLU(),
        fc.Conv1d(40, 5, padding=1), fc.ReLU(),
        fc.Conv1d(33, 3, padding=3, dilation=2), fc.ReLU(), fc.MaxPool1d(2), fc.Residual([
            fc.Conv1d(33, 3, padding="same", bias=False), fc.BatchNorm1d(), fc.ReLU(),
            fc.Conv1d(33, 20, padding="same", bias=False),
        ]),
        fc.ReLU(), fc.Conv1d(32, 4), fc.Flatten(), fc.Dense(7),
    ]  # fmt: skip
    return fc.Sequential(layers, SHAPE, dtype=dtype, seed=1)


def samples(count):
    rng = np.random.default_rng(count)
    return rng.standard_normal((count, *SHAPE)).astype(np.float32), rng.integers(0, 7, count)


def in_float64(model, make=network):
    exact = make("float64")
    for name, array in exact.parameters().items():
        array[...] = model.parameters()[name]
    return exact


def test_all_three_passes_go_by_the_products_where_that_is_faster():
    text = network().source("train", batch_size=32, kernels=False)
    for name, count in [
        ("transform_line_weights", 4), ("winograd_line", 4), ("winograd_line_grad_weight", 1),
        ("winograd_line_weight_sums", 1),
    ]:  # fmt: skip
        assert text.count(f"{name}(") >= count, name


def test_none_does_at_the_highest_precision_or_in_float64():
    fc.set_precision("highest")
    assert "winograd" not in network().source(kernels=False)
    fc.set_precision("high")
    assert "winograd" not in network("float64").source(kernels=False)


def test_strides_of_long_kernels_go_by_the_products_but_for_the_gradient_of_the_input():
    def strided(dtype="float32"):
        layers = [
            fc.Conv1d(32, 1), fc.Tanh(), fc.Conv1d(32, 9, stride=2, padding=3), fc.Flatten(), fc.Dense(7),
        ]  # fmt: skip
        return fc.Sequential(layers, SHAPE, dtype=dtype, seed=1)

    model, (X, y) = strided(), samples(40)
    text = model.source("train", batch_size=40, kernels=False)
    assert text.count("winograd_line(") == text.count("winograd_line_grad_weight(") == 1
    exact = in_float64(model, strided)
    assert error(model.predict(X), exact.predict(X)) < 1e-6
    exact_gradients = exact.loss_and_gradients(X, y)[1]
    for name, gradient in model.loss_and_gradients(X, y)[1].items():
        assert error(gradient, exact_gradients[name]) < 3e-6, name


def test_few_channels_short_strides_groups_and_short_kernels_stay_with_direct_sums():
    for layer, shape in [
        (fc.Conv1d(32, 8), (1, 64)),
        (fc.Conv1d(2, 3), (32, 64)),
        (fc.Conv1d(32, 3, stride=2), (32, 64)),
        (fc.Conv1d(32, 3, groups=2), (32, 64)),
        (fc.Conv1d(32, 1), (32, 64)),
        (fc.Conv1d(32, 3), (32, 3)),
    ]:
        assert "winograd" not in fc.Sequential([layer], shape).source("predict", batch_size=16, kernels=False)


@pytest.mark.parametrize("count", [3, 16, 40])
def test_outputs_and_gradients_are_those_of_float64_within_rounding(count):
    model, (X, y) = network(), samples(count)
    exact = in_float64(model)
    assert error(model.predict(X, batch_size=64), exact.predict(X)) < 2e-6
    loss, gradients = model.loss_and_gradients(X, y)
    exact_loss, exact_gradients = exact.loss_and_gradients(X, y)
    assert loss == pytest.approx(exact_loss, rel=1e-6)
    for name, gradient in gradients.items():
        assert error(gradient, exact_gradients[name]) < 2e-5, name


def test_kernels_along_either_side_of_images_go_by_the_products():
    def images(dtype="float32"):
        layers = [
            fc.Conv2d(32, (1, 7), padding=(0, 3)), fc.ReLU(), fc.Conv2d(32, (7, 1), padding=(3, 1)),
            fc.ReLU(), fc.Conv2d(32, (3, 1), dilation=(2, 1)), fc.Flatten(), fc.Dense(7),
        ]  # fmt: skip
        return fc.Sequential(layers, (16, 13, 11), dtype=dtype, seed=1)

    rng, model = np.random.default_rng(1), images()
    assert model.source("train", batch_size=32, kernels=False).count("winograd_line(") >= 3
    X, y = rng.standard_normal((20, 16, 13, 11)).astype(np.float32), rng.integers(0, 7, 20)
    exact = in_float64(model, images)
    assert error(model.predict(X), exact.predict(X)) < 1e-6
    exact_gradients = exact.loss_and_gradients(X, y)[1]
    for name, gradient in model.loss_and_gradients(X, y)[1].items():
        assert error(gradient, exact_gradients[name]) < 3e-6, name


def test_results_have_the_same_bits_on_any_number_of_threads():
    X, y = samples(70)
    results = []
    for threads in (1, 2, 3):
        fc.set_num_threads(threads)
        model = network()
        fc.Trainer(model, optimizer=fc.SGD(0.01), seed=0).fit(X, y, epochs=2, batch_size=40, progress=False)
        results.append([*model.parameters().values(), model.predict(X)])
    for other in results[1:]:
        for found, expected in zip(other, results[0], strict=True):
            np.testing.assert_array_equal(found, expected)


def test_predictions_of_blocks_have_the_same_bits_however_batches_are_divided():
    model, (X, _) = network(), samples(70)
    expected = model.predict(X, batch_size=70)
    for batch_size in (16, 17, 32, 1000):
        np.testing.assert_array_equal(model.predict(X, batch_size=batch_size), expected)
