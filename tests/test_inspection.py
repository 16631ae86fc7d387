"""The parts of a network, one by one: against finite differences, PyTorch and hand-worked numbers."""

import numpy as np
import pytest
from test_engine import NETWORKS, build, data_for, each_case

import fastconv as fc
from fastconv.inspection import PARTS, activations, backward
from fastconv.layers import LAYERS


def settled(name):
    """A network whose batch normalisation has seen other data, so that its statistics are not 0 and 1."""
    model = build(name)
    rng = np.random.default_rng(8)
    for array in model.statistics().values():
        array[:] = rng.uniform(0.4, 1.6, array.shape)
    return model


def rest_of(model, start):
    """The layers from `start` on, as a network of their own with the same numbers."""
    rest = fc.Sequential(model.layers[start:], model.shapes[start], model.dtype)
    mine = {**rest.parameters(), **rest.statistics()}
    for name, array in model.state().items():
        number, _, own = name.partition(".")
        if int(number) >= start:
            mine[f"{int(number) - start}.{own}"][...] = array
    return rest


def test_every_layer_has_a_part():
    assert set(PARTS) == set(LAYERS)
    assert {type(layer).__name__ for layers, _ in NETWORKS.values() for layer in layers} == set(LAYERS)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_last_activation_is_what_the_engine_predicts(name):
    model = settled(name)
    X = np.random.default_rng(1).normal(size=(5, *model.input_shape))
    arrays = activations(model, X)
    assert [a.shape for a in arrays] == [(5, *shape) for shape in model.shapes]
    np.testing.assert_array_equal(arrays[0], X)
    np.testing.assert_allclose(arrays[-1], model.predict(X), rtol=1e-9, atol=1e-12)
