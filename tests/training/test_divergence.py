"""A loss that is not finite ends training with an error that says where."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import engine
from fastconv.formats.model_file import read_model
from tests.training.small_runs import SHAPE, X, Y, network


def test_a_loss_that_is_not_finite_names_its_epoch_and_step():
    images = X.copy()
    images[33] = np.nan
    trainer = fc.Trainer(network())
    message = r"the loss became nan in epoch 1, step 5: `X` must be finite, got nan at \[33, 0, 0, 0\]"
    with pytest.raises(fc.DivergedError, match=message):
        trainer.fit(images, Y, epochs=3, batch_size=8, shuffle=False)


def test_a_later_epoch_is_named_too():
    class Spoil:
        def on_epoch_end(self, trainer, logs):
            if logs["epoch"] == 1:
                trainer.model.parameters()["0.weight"][...] = np.nan

    with pytest.raises(fc.DivergedError, match="in epoch 3, step 1"):
        fc.Trainer(network()).fit(X, Y, epochs=5, callbacks=[Spoil()])


def test_a_run_that_diverges_in_its_last_step_says_so_and_keeps_the_last_good_checkpoint(tmp_path):
    path = tmp_path / "run.npz"

    class LastStepTooLong:
        def learning_rates(self, first_step, count, steps_per_epoch, total_steps):
            return np.where(np.arange(first_step, first_step + count) < steps_per_epoch, 1e-30, 3e38)

    model = fc.Sequential([fc.Dense(1)], (1,))
    trainer = fc.Trainer(model, loss="mse", optimizer=fc.SGD(lr=LastStepTooLong()))
    with pytest.raises(fc.DivergedError, match="infinite or NaN in epoch 2, step 1 or before"):
        trainer.fit(np.full((4, 1), 1e6), np.zeros(4), epochs=5, checkpoint=path)
    description, arrays = read_model(path)
    assert description["epochs_done"] == 1
    assert all(np.isfinite(array).all() for array in arrays.values())


@pytest.mark.parametrize("seconds", [0.0, 100.0])
def test_the_step_is_right_however_steps_are_split_into_calls(monkeypatch, seconds):
    monkeypatch.setattr(engine, "SECONDS_PER_CALL", seconds)
    images = X.copy()
    images[33] = np.nan
    with pytest.raises(fc.DivergedError, match="in epoch 1, step 34"):
        fc.Trainer(network()).fit(images, Y, batch_size=1, shuffle=False)


@pytest.mark.parametrize("loss", ["mse", "bce_with_logits", "cross_entropy"])
def test_a_learning_rate_far_too_large_is_an_error_not_a_network_of_nans(loss):
    model = fc.Sequential([fc.Flatten(), fc.Dense(40), fc.ReLU(), fc.Dense(3)], SHAPE)
    y = Y if loss == "cross_entropy" else np.eye(3)[Y]
    with pytest.raises(fc.DivergedError, match="epoch"):
        fc.Trainer(model, loss, fc.SGD(1e30)).fit(X, y, epochs=20)
    assert issubclass(fc.DivergedError, ArithmeticError)
