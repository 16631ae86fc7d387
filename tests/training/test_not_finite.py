"""NaN and infinity in data and parameters: the error says where, and the network stays as it was."""

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import X, Y, assert_same_state, network

NUMBERS = np.eye(3)[Y]


def spoilt(array, value, *place):
    array = array.copy()
    array[place] = value
    return array


def trained():
    trainer = fc.Trainer(network(), optimizer=fc.Adam(0.01))
    trainer.fit(X, Y, epochs=2)
    return trainer


def batches(images, targets):
    return [(images[k : k + 10], targets[k : k + 10]) for k in range(0, 50, 10)]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_samples_that_are_not_finite_are_named_and_change_nothing(value, dtype):
    bad = spoilt(spoilt(X.astype(dtype), value, 41, 0, 2, 3), value, 17, 0, 5, 0)
    message = rf"`X` must be finite, got {value} at \[17, 0, 5, 0\]"
    trainer, twin = trained(), trained()
    for call in (
        lambda: trainer.fit(bad, Y, epochs=2, batch_size=50),
        lambda: trainer.train_on_batch(bad, Y),
        lambda: trainer.evaluate(bad, Y),
    ):
        with pytest.raises(ValueError, match=message):
            call()
        assert_same_state(trainer.model, twin.model)
        assert trainer.steps_taken == twin.steps_taken
    trainer.fit(X, Y, epochs=1)
    twin.fit(X, Y, epochs=1)
    assert_same_state(trainer.model, twin.model)


def test_targets_that_are_not_finite_are_named():
    trainer = fc.Trainer(network(), loss="mse")
    bad = spoilt(NUMBERS, np.inf, 20, 1)
    for call in (trainer.fit, trainer.train_on_batch, trainer.evaluate):
        with pytest.raises(ValueError, match=r"`y` must be finite, got inf at \[20, 1\]"):
            call(X, bad)


def test_a_batch_that_is_not_finite_is_named():
    trainer = trained()
    before = trainer.model.state()
    bad = spoilt(X, np.nan, 23, 0, 1, 1)
    with pytest.raises(ValueError, match=r"`X of batch 3` must be finite, got nan at \[3, 0, 1, 1\]"):
        trainer.fit(batches(bad, Y), epochs=1)
    with pytest.raises(ValueError, match=r"`X of batch 3` must be finite, got nan at \[3, 0, 1, 1\]"):
        trainer.evaluate(batches(bad, Y))
    for name, array in trainer.model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_validation_data_that_are_not_finite_are_named():
    bad = spoilt(X, np.nan, 48, 0, 1, 1)
    with pytest.raises(
        ValueError, match=r"`validation_data\[0\]` must be finite, got nan at \[48, 0, 1, 1\]"
    ):
        trained().fit(X, Y, validation_data=(bad, Y))
    with pytest.raises(ValueError, match=r"`X` must be finite, got nan at \[48, 0, 1, 1\]"):
        trained().fit(bad, Y, validation_split=0.2)


def test_a_weight_that_is_not_finite_is_named():
    with pytest.raises(ValueError, match=r"`sample_weight` must be finite numbers >= 0, got nan at \[7\]"):
        trained().fit(X, Y, sample_weight=spoilt(np.ones(50), np.nan, 7))


def test_samples_that_a_network_hides_from_its_loss_are_found_too():
    model = fc.Sequential([fc.Dense(4), fc.ReLU(), fc.Dense(1)], (3,))
    before, images = model.state(), spoilt(np.ones((9, 3)), np.nan, 5, 2)
    with pytest.raises(ValueError, match=r"`X` must be finite, got nan at \[5, 2\]"):
        fc.Trainer(model, loss="mse").fit(images, np.ones(9), epochs=1)
    hidden = [(images[k : k + 3], np.ones(3)) for k in range(0, 9, 3)]
    with pytest.raises(ValueError, match=r"`X of batch 2` must be finite, got nan at \[2, 2\]"):
        fc.Trainer(model, loss="mse").fit(hidden, epochs=1)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("name", ["0.weight", "6.bias"])
def test_parameters_that_are_not_finite_are_named(name):
    trainer = trained()
    good = trainer.model.state()
    trainer.model.parameters()[name][...] = np.nan
    with pytest.raises(fc.DivergedError, match=f"`{name}` must be finite, got nan at .*before the epoch"):
        trainer.fit(X, Y, epochs=1)
    trainer.model.load_state(good)
    trainer.fit(X, Y, epochs=1)


@pytest.mark.parametrize("optimizer", [fc.SGD(1e30, momentum=0.9), fc.Adam(1e38), fc.AdamW(1e38)])
def test_a_run_that_diverges_leaves_the_network_and_the_optimizer_as_before_the_epoch(optimizer):
    model = fc.Sequential([fc.Flatten(), fc.Dense(9), fc.ReLU(), fc.Dense(3)], X.shape[1:])
    trainer, before = fc.Trainer(model, loss="mse", optimizer=optimizer), model.state()
    with pytest.raises(fc.DivergedError, match="try a smaller learning rate"):
        trainer.fit(X, NUMBERS, epochs=1)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])
    trainer.optimizer = type(optimizer)(0.01)
    assert np.isfinite(trainer.fit(X, NUMBERS, epochs=3)["loss"]).all()
