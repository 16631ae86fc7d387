"""Whole networks: their gradients against finite differences."""

import numpy as np
import pytest

import fastconv as fc
from tests.engine.networks import (
    NETWORKS,
    assert_first_weights_gradient_is_right,
    build,
    data_for,
    each_case,
)
from tests.nn.layer_kinds import LAYERS

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


def test_the_networks_hold_every_layer():
    assert {type(layer).__name__ for layers, _ in NETWORKS.values() for layer in layers} == set(LAYERS)


@each_case
def test_gradients_equal_finite_differences(name, loss):
    model = build(name)
    X, y = data_for(model, loss)
    _, gradients = model.loss_and_gradients(X, y, loss)
    assert list(gradients) == list(model.parameters())
    rng = np.random.default_rng(1)
    step = 1e-6
    for parameter, array in model.parameters().items():
        gradient, start = gradients[parameter], array.copy()
        assert gradient.shape == array.shape
        assert gradient.dtype == array.dtype
        for _ in range(2):
            direction = rng.normal(size=array.shape)
            ends = []
            for sign in (1, -1):
                array[...] = start + sign * step * direction
                ends.append(model.loss_and_gradients(X, y, loss)[0])
            array[...] = start
            slope = (ends[0] - ends[1]) / (2 * step)
            size = np.linalg.norm(gradient) * np.linalg.norm(direction)
            assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-5, abs=1e-6 * size + 1e-9), (
                parameter
            )


DROPPING = {
    "elements": (
        [fc.Conv2d(3, 2), fc.ReLU(), fc.Dropout(0.4), fc.Flatten(), fc.Dropout(0.2), fc.Dense(3)], (1, 5, 5)
    ),
    "channels": (
        [fc.Conv2d(6, 2), fc.ReLU(), fc.SpatialDropout2d(0.4), fc.Flatten(), fc.Dense(3)], (1, 5, 5)
    ),
    "channels of signals": (
        [fc.Conv1d(6, 2), fc.SpatialDropout1d(0.4), fc.Tanh(), fc.Flatten(), fc.Dense(3)], (1, 9)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DROPPING)
def test_gradients_through_dropout_equal_finite_differences_of_the_same_mask(name):
    model = fc.Sequential(*DROPPING[name], dtype="float64")
    X, y = data_for(model, "mse")
    assert_first_weights_gradient_is_right(model, X, y)
