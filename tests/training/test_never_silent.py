"""What used to be passed over without a word: an error, a warning, or done."""

import warnings

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import X, Y, network


class Hears:
    """A callback that notes what it is told."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, trainer):
        self.calls.append("train_begin")

    def on_epoch_begin(self, trainer, logs):
        self.calls.append(("epoch_begin", logs))

    def on_epoch_end(self, trainer, logs):
        self.calls.append("epoch_end")

    def on_train_end(self, trainer):
        self.calls.append("train_end")


def test_callbacks_hear_of_the_beginning_and_the_end_of_training_and_of_epochs():
    hears = Hears()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc.Trainer(network()).fit(X, Y, epochs=2, callbacks=[hears])
    first, second = (("epoch_begin", {"epoch": epoch, "epochs": 2}) for epoch in (0, 1))
    assert hears.calls == ["train_begin", first, "epoch_end", second, "epoch_end", "train_end"]


@pytest.mark.parametrize("name", ["on_epoch_ends", "on_batch_begin", "on_training_start", "on_test_begin"])
def test_a_method_that_is_never_called_is_refused(name):
    callback = type("Mine", (Hears,), {name: lambda self, *_: None})()
    with pytest.raises(TypeError, match=rf"Mine.{name} is .*\(callbacks have on_train_begin, "):
        fc.Trainer(network()).fit(X, Y, epochs=1, callbacks=[callback])


def test_a_split_beside_validation_data_is_an_error():
    message = r"`validation_split` must be 0 where `validation_data` is given, got 0\.2"
    with pytest.raises(ValueError, match=message):
        fc.Trainer(network()).fit(X, Y, validation_data=(X, Y), validation_split=0.2)


def test_a_split_that_holds_out_a_class_as_a_whole_is_said():
    order = np.argsort(Y, kind="stable")
    with pytest.warns(UserWarning, match="class 2 only stands there: shuffle X and y"):
        fc.Trainer(network()).fit(X[order], Y[order], epochs=1, validation_split=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc.Trainer(network()).fit(X, Y, epochs=1, validation_split=0.5)


@pytest.mark.parametrize("make", [fc.EarlyStopping, lambda: fc.ModelCheckpoint("best.npz")])
def test_a_figure_that_there_is_not_is_said_once(make, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="no validation data: 'loss' is watched instead") as said:
        fc.Trainer(network()).fit(X, Y, epochs=3, callbacks=[make()])
    assert len(said) == 1


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_batch_that_is_none_is_an_error(place):
    given = [(X[:20], Y[:20]), (X[20:40], Y[20:40])]
    given.insert(place, None)
    trainer = fc.Trainer(network())
    for call in (
        trainer.evaluate,
        trainer.fit,
        lambda b: trainer.fit(X, Y, validation_data=iter(b), epochs=1),
    ):
        with pytest.raises(TypeError, match=r"must give batches \(X, y\) .*got a NoneType"):
            call(given)
