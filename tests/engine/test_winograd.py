"""Networks whose convolutions go by Winograd's products, against direct sums in float64."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.kernels import precision

SHAPE = (8, 13, 17)
LARGE = (8, 76, 78)  # for kernels and strides of all kinds


@pytest.fixture(autouse=True)
def _own_precision(monkeypatch):
    monkeypatch.setattr(precision.chosen, "value", precision.HIGH)


def network(dtype="float32"):
    layers = [
        fc.Conv2d(16, 3, padding=1), fc.ReLU(), fc.Conv2d(20, 3), fc.ReLU(), fc.Conv2d(32, 3, padding=2),
        fc.ReLU(), fc.MaxPool2d(2), fc.Conv2d(32, 3, padding="same", bias=False), fc.BatchNorm2d(), fc.ReLU(),
        fc.Flatten(), fc.Dense(7),
    ]  # fmt: skip
    return fc.Sequential(layers, SHAPE, dtype=dtype, seed=1)


def strided(dtype="float32"):
    """Kernels of other sizes, and strides. Without ReLUs: one number near 0 may fall on either side."""
    layers = [
        fc.PReLU(), fc.Conv2d(24, 8, stride=4, padding=(1, 2)), fc.Tanh(), fc.Conv2d(24, 5, padding="same"),
        fc.Tanh(), fc.Conv2d(32, 4, stride=2, padding=1), fc.Tanh(), fc.Conv2d(48, 3, padding=(1, 2)),
        fc.Tanh(), fc.Conv2d(32, 7, padding=3), fc.Tanh(), fc.Conv2d(64, (5, 3), stride=(1, 2), padding=2),
        fc.Tanh(), fc.Flatten(), fc.Dense(7),
    ]  # fmt: skip
    return fc.Sequential(layers, LARGE, dtype=dtype, seed=1)


def samples(count, shape=SHAPE):
    rng = np.random.default_rng(count)
    return rng.standard_normal((count, *shape)).astype(np.float32), rng.integers(0, 7, count)


def error(found, exact):
    return np.sqrt(((found - exact) ** 2).mean() / (exact**2).mean())


def in_float64(model, made=network):
    exact = made("float64")
    for name, array in exact.parameters().items():
        array[...] = model.parameters()[name]
    return exact


def operations(purpose="train", batch_size=32):
    return network().source(purpose, batch_size=batch_size, kernels=False)


def test_all_three_passes_go_by_the_products_where_that_is_faster():
    text = operations()
    for name in ("transform_weights(", "winograd(", "winograd_grad_weight(", "winograd_weight_sums("):
        assert name in text
    assert "# Precision: high." in text


def test_none_does_at_the_highest_precision_or_in_float64():
    fc.set_precision("highest")
    text = operations()
    assert "winograd" not in text
    assert "# Precision: highest." in text
    fc.set_precision("high")
    assert "winograd" not in network("float64").source(kernels=False)


def test_few_channels_small_planes_dilations_and_groups_stay_with_direct_sums():
    for layer, shape in [
        (fc.Conv2d(32, 3, padding=1), (3, 32, 32)),
        (fc.Conv2d(32, 3, padding=1), (32, 1, 32)),
        (fc.Conv2d(32, 3, padding=1, dilation=2), (32, 32, 32)),
        (fc.Conv2d(32, 3, padding=1, groups=2), (32, 32, 32)),
        (fc.Conv2d(32, 2), (32, 32, 32)),
    ]:
        assert "winograd" not in fc.Sequential([layer], shape).source("predict", batch_size=16, kernels=False)


def test_other_kernels_and_strides_do_too():
    text = strided().source("train", batch_size=32, kernels=False)
    for layer in (1, 3, 5, 7, 9):
        assert f"u=transformed_weight{layer}," in text
        assert f"u=turned_weight{layer}," in text
        assert f"transformed_gradient{layer}" in text or layer == 5


@pytest.mark.parametrize(("made", "shape"), [(network, SHAPE), (strided, LARGE)])
@pytest.mark.parametrize("count", [2, 16, 40])
def test_outputs_and_gradients_are_those_of_float64_within_rounding(count, made, shape):
    model, (X, y) = made(), samples(count, shape)
    exact = in_float64(model, made)
    assert error(model.predict(X, batch_size=64), exact.predict(X)) < 2e-6
    loss, gradients = model.loss_and_gradients(X, y)
    exact_loss, exact_gradients = exact.loss_and_gradients(X, y)
    assert loss == pytest.approx(exact_loss, rel=1e-6)
    for name, gradient in gradients.items():
        allowed = 5e-6 if gradient.size > 1 else 5e-5  # one number, a sum whose terms cancel
        assert error(gradient, exact_gradients[name]) < allowed, name


@pytest.mark.parametrize(("made", "shape"), [(network, SHAPE), (strided, LARGE)])
def test_results_have_the_same_bits_on_any_number_of_threads(made, shape):
    X, y = samples(70, shape)
    results = []
    for threads in (1, 2, 3):
        fc.set_num_threads(threads)
        model = made()
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


def test_engines_that_wait_notice_another_precision():
    model, (X, y) = network(), samples(32)
    high = model.predict(X), model.loss_and_gradients(X, y)[1]["2.weight"]
    fc.set_precision("highest")
    highest = model.predict(X), model.loss_and_gradients(X, y)[1]["2.weight"]
    fc.set_precision("high")
    again = model.predict(X), model.loss_and_gradients(X, y)[1]["2.weight"]
    for first, second, third in zip(high, highest, again, strict=True):
        assert (first != second).any()
        np.testing.assert_array_equal(first, third)


def test_a_trainer_notices_another_precision_between_its_fits():
    X, y = samples(32)

    def trained(precisions):
        model = network()
        trainer = fc.Trainer(model, optimizer=fc.SGD(0.01), seed=0)
        for chosen in precisions:
            fc.set_precision(chosen)
            trainer.fit(X, y, epochs=1, batch_size=32, progress=False)
        return model.parameters()["2.weight"].copy()

    assert (trained(["high", "highest"]) != trained(["high", "high"])).any()
