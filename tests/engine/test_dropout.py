"""Dropout: what it drops, and what decides it."""

import numpy as np
import pytest

import fastconv as fc
from tests.engine.networks import NETWORKS

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


def test_dropout_zeroes_its_share_of_the_activations_and_scales_the_others():
    # The gradient of the mean of x * mask / (1 - p) with respect to the dense weight shows the mask.
    features, p = 20000, 0.3
    model = fc.Sequential([fc.Dense(features, bias=False), fc.Dropout(p)], (1,), dtype="float64")
    model.parameters()["0.weight"][...] = 0.0
    _, gradients = model.loss_and_gradients(np.ones((1, 1)), np.full((1, features), -1.0), "mse")
    mask = gradients["0.weight"].ravel() * features / 2
    assert set(np.round(np.unique(mask), 12)) == {0.0, round(1 / (1 - p), 12)}
    assert np.mean(mask == 0) == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / features))


def test_dropout_draws_another_mask_for_each_step_layer_and_seed():
    def trained(seed, layers=1, epochs=1):
        model = fc.Sequential([fc.Dropout(0.5)] * layers + [fc.Dense(1, bias=False)], (64,), dtype="float64")
        model.flat_parameters[...] = 0.0
        trainer = fc.Trainer(model, "mse", fc.SGD(1.0), metrics=(), seed=seed)
        trainer.fit(np.ones((1, 64)), np.ones((1, 1)), epochs=epochs)
        return model.flat_parameters != 0

    first = trained(0)
    assert np.array_equal(first, trained(0))
    assert not np.array_equal(first, trained(1))
    assert not np.array_equal(first, trained(0, epochs=2))
    assert trained(0, layers=2).mean() < first.mean()


@pytest.mark.parametrize("signals", [False, True])
def test_spatial_dropout_zeroes_whole_channels_and_scales_the_others(signals):
    channels, p, shape = 20000, 0.3, (1, 6) if signals else (1, 2, 3)
    conv, drop = (fc.Conv1d, fc.SpatialDropout1d) if signals else (fc.Conv2d, fc.SpatialDropout2d)
    model = fc.Sequential([conv(channels, 1, bias=False), drop(p)], shape, dtype="float64")
    model.parameters()["0.weight"][...] = 0.0
    target = np.full((1, channels, *shape[1:]), -1.0)
    _, gradients = model.loss_and_gradients(np.ones((1, *shape)), target, "mse")
    mask = gradients["0.weight"].ravel() * channels / 2  # a channel's share of its 6 positions
    assert set(np.round(np.unique(mask), 12)) == {0.0, round(1 / (1 - p), 12)}
    assert np.mean(mask == 0) == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / channels))


def test_spatial_dropout_draws_another_mask_for_each_sample_step_layer_and_seed():
    def trained(seed, layers=1, epochs=1, sample=0):
        drops = [fc.SpatialDropout2d(0.5)] * layers
        model = fc.Sequential([*drops, fc.Flatten(), fc.Dense(1, bias=False)], (64, 1, 2), dtype="float64")
        model.flat_parameters[...] = 0.0
        X = np.zeros((20, 64, 1, 2))
        X[sample] = 1.0
        fc.Trainer(model, "mse", fc.SGD(1.0), metrics=(), seed=seed).fit(
            X, np.ones((20, 1)), epochs=epochs, shuffle=False
        )
        return model.flat_parameters.reshape(64, 2) != 0

    first = trained(0)
    assert np.array_equal(first[:, 0], first[:, 1])
    assert np.array_equal(first, trained(0))
    assert not np.array_equal(first, trained(1))
    assert not np.array_equal(first, trained(0, epochs=2))
    assert not np.array_equal(first, trained(0, sample=17))
    assert trained(0, layers=2).mean() < first.mean()


@pytest.mark.parametrize("name", ["dropout of nothing", "spatial dropout of nothing", "signal channels"])
def test_dropout_does_nothing_in_predictions(name):
    layers, shape = NETWORKS[name]
    kinds = fc.Dropout, fc.SpatialDropout1d, fc.SpatialDropout2d
    dropping = [type(layer)(0.5) if isinstance(layer, kinds) else layer for layer in layers]
    assert dropping != layers
    X = np.random.default_rng(0).random((5, *shape))
    expected = fc.Sequential(layers, shape).predict(X)
    np.testing.assert_array_equal(fc.Sequential(dropping, shape).predict(X), expected)


def test_a_large_seed_has_a_mask_too():
    model = fc.Sequential([fc.Dropout(0.5), fc.Dense(2)], (3,), seed=2**70 + 1)
    assert np.isfinite(model.loss_and_gradients(np.ones((4, 3)), [0, 1, 0, 1])[0])
