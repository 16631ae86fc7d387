"""Networks that make images larger again: the same bits on any threads and of any batch, and learning."""

import numpy as np
import pytest

import fastconv as fc
from tests.engine.networks import assert_same_bits

IMAGES = [
    fc.Conv2d(6, 3, stride=2, padding=1), fc.BatchNorm2d(), fc.ReLU(),
    fc.ConvTranspose2d(5, 3, stride=2, padding=1, output_padding=(1, 0)), fc.ReLU(),
    fc.DepthwiseConv2d(3, padding="same"), fc.Upsample(2, "bilinear"), fc.SeparableConv2d(3, 3, stride=2),
    fc.Tanh(), fc.Upsample((1, 2)), fc.ConvTranspose2d(1, 2, groups=1, bias=False),
]  # fmt: skip
SIGNALS = [
    fc.ConvTranspose1d(5, 4, stride=3, padding=1), fc.ReLU(), fc.Upsample(2, "linear", align_corners=True),
    fc.SeparableConv1d(4, 3, stride=2), fc.Upsample(3), fc.DepthwiseConv1d(2), fc.ConvTranspose1d(1, 3),
]  # fmt: skip


def trained_bits(layers, shape, dtype, batch_size):
    model = fc.Sequential(layers, shape, dtype=dtype)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(301, *shape)), rng.normal(size=(301, *model.output_shape))
    history = fc.Trainer(model, "mse", fc.Adam(0.01)).fit(X, y, epochs=2, batch_size=batch_size)
    loss, gradients = model.loss_and_gradients(X, y, "mse")
    return [*model.state().values(), model.predict(X), history["loss"], loss, *gradients.values()]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("layers", "shape"), [(IMAGES, (2, 8, 7)), (SIGNALS, (2, 9))], ids=["images", "signals"]
)
def test_results_have_the_same_bits_on_any_number_of_threads(layers, shape, dtype):
    fc.set_num_threads(1)
    expected = trained_bits(layers, shape, dtype, 100)
    for threads in (2, 3):
        fc.set_num_threads(threads)
        assert_same_bits(trained_bits(layers, shape, dtype, 100), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("layers", "shape"), [(IMAGES, (2, 8, 7)), (SIGNALS, (2, 9))], ids=["images", "signals"]
)
def test_a_sample_has_the_same_bits_in_a_batch_of_any_size(layers, shape, dtype):
    model = fc.Sequential(layers, shape, dtype=dtype, seed=1)
    X = np.random.default_rng(0).normal(size=(37, *shape))
    expected = model.predict(X)
    for batch_size in (1, 5, 16, 23):
        np.testing.assert_array_equal(model.predict(X, batch_size=batch_size), expected)
    for count in (1, 2, 17):
        np.testing.assert_array_equal(model.predict(X[:count]), expected[:count])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_upsampled_channels_in_the_lanes_have_the_bits_that_they_have_in_a_batch(dtype):
    """Nothing here keeps a single sample from having its channels in the lanes."""
    layers = [
        fc.Conv2d(19, 2), fc.ReLU(), fc.Upsample(2), fc.Conv2d(33, 2), fc.Upsample((1, 3), "bilinear"),
        fc.BatchNorm2d(), fc.Upsample(2, "bilinear", align_corners=True), fc.Flatten(), fc.Dense(3),
    ]  # fmt: skip
    model = fc.Sequential(layers, (3, 5, 4), dtype=dtype, seed=1)
    X = np.random.default_rng(0).normal(size=(18, 3, 5, 4))
    expected = model.predict(X)
    np.testing.assert_array_equal(model.predict(X, batch_size=1), expected)


@pytest.mark.parametrize("up", [
    [fc.ConvTranspose2d(8, 2, stride=2)],
    [fc.Upsample(2, "bilinear"), fc.Conv2d(8, 3, padding=1)],
    [fc.Upsample(2), fc.SeparableConv2d(8, 3, padding=1)],
])  # fmt: skip
def test_a_small_decoder_learns_to_give_its_input_back(up):
    rng = np.random.default_rng(0)
    X = np.repeat(np.repeat(rng.integers(0, 2, (64, 1, 4, 4)), 2, 2), 2, 3).astype(np.float32)
    layers = [fc.Conv2d(8, 3, stride=2, padding=1), fc.ReLU(), *up, fc.ReLU(), fc.Conv2d(1, 3, padding=1)]
    model = fc.Sequential(layers, (1, 8, 8))
    history = fc.Trainer(model, "bce_with_logits", fc.Adam(0.02)).fit(X, X, epochs=30, batch_size=16)
    assert history["loss"][-1] < 0.1 < history["loss"][0]
