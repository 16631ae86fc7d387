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


def test_dropout_does_nothing_in_predictions():
    layers, shape = NETWORKS["dropout of nothing"]
    dropping = [fc.Dropout(0.5) if isinstance(layer, fc.Dropout) else layer for layer in layers]
    X = np.random.default_rng(0).random((5, *shape))
    expected = fc.Sequential(layers, shape).predict(X)
    np.testing.assert_array_equal(fc.Sequential(dropping, shape).predict(X), expected)


def test_a_large_seed_has_a_mask_too():
    model = fc.Sequential([fc.Dropout(0.5), fc.Dense(2)], (3,), seed=2**70 + 1)
    assert np.isfinite(model.loss_and_gradients(np.ones((4, 3)), [0, 1, 0, 1])[0])
