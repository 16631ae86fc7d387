"""Copied and pickled networks and trainers."""

import copy
import pickle

import numpy as np
import pytest

import fastconv as fc


def shallow(model):
    """A copy that shares the parameters."""
    return copy.copy(model)


def pickled(model):
    return pickle.loads(pickle.dumps(model))


@pytest.mark.parametrize("make", [copy.deepcopy, pickled, shallow])
def test_a_copied_or_pickled_network_predicts_the_same_and_its_parameters_are_live(make, images):
    layers = [fc.Conv2d(3, 3), fc.BatchNorm2d(), fc.ReLU(), fc.Flatten(), fc.Dense(4)]
    model = fc.Sequential(layers, (1, 8, 8), seed=5)
    fc.Trainer(model).fit(images, np.arange(37) % 4, epochs=1)
    expected = model.predict(images)
    twin = make(model)
    np.testing.assert_array_equal(twin.predict(images), expected)
    assert twin.metadata == model.metadata
    twin.parameters()["4.bias"][...] += 1.0
    np.testing.assert_allclose(twin.predict(images), expected + 1.0, rtol=1e-5, atol=1e-6)
    assert np.array_equal(model.predict(images), expected) == (make is not shallow)


@pytest.mark.parametrize("make", [copy.deepcopy, pickled])
def test_a_copy_trains_to_the_same_bits_and_leaves_the_first_alone(make, model, images):
    model.predict(images)
    twin, before = make(model), model.state()
    fc.Trainer(twin).fit(images, np.arange(37) % 4, epochs=2)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])
    fc.Trainer(model).fit(images, np.arange(37) % 4, epochs=2)
    np.testing.assert_array_equal(twin.flat_parameters, model.flat_parameters)


def test_a_pickle_holds_the_numbers_once_and_no_engine(model, images):
    before = len(pickle.dumps(model))
    model.predict(images)
    assert len(pickle.dumps(model)) == before < model.flat_parameters.nbytes + 2000


def test_a_copied_or_pickled_trainer_goes_on_as_the_first_does(model, images):
    trainer = fc.Trainer(model, optimizer=fc.Adam())
    trainer.fit(images, np.arange(37) % 4, epochs=2)
    twins = [copy.deepcopy(trainer), pickled(trainer)]
    for one in (trainer, *twins):
        one.fit(images, np.arange(37) % 4, epochs=2)
        np.testing.assert_array_equal(one.model.flat_parameters, trainer.model.flat_parameters)
