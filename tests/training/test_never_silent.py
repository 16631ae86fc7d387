"""What used to be passed over without a word: an error, a warning, or done."""

import warnings

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.losses import CrossEntropy, resolve
from fastconv.training.held_out import held_out_samples
from tests.training.small_runs import RNG, X, Y, network


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


@pytest.mark.parametrize(("classes", "loss"), [(3, "cross_entropy"), (2, "bce_with_logits")])
def test_a_split_of_sorted_classes_needs_no_warning_for_each_keeps_its_share(classes, loss):
    y = np.sort(Y % classes)
    model = network() if classes == 3 else fc.Sequential([fc.Flatten(), fc.Dense(1)], X.shape[1:])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc.Trainer(model, loss).fit(X, y, epochs=1, validation_split=0.5)
    targets = y if classes == 3 else y[:, None]
    out = held_out_samples(targets, 0.5, resolve(loss))
    for rows in (out, ~out):
        np.testing.assert_allclose(np.bincount(y[rows]), np.bincount(y) / 2, atol=0.5)


@pytest.mark.parametrize("block", [4096, 7])
@pytest.mark.parametrize("split", [0.01, 0.1, 0.25, 0.5, 0.9])
def test_a_split_has_the_samples_that_were_asked_for_and_leaves_each_class_one_to_train_on(
    split, block, monkeypatch
):
    monkeypatch.setattr("fastconv.training.held_out.BLOCK", block)
    y = np.repeat(np.arange(6), [1, 2, 3, 50, 100, 200])[RNG.permutation(356)]
    out = held_out_samples(y, split, CrossEntropy())
    assert set(y[~out]) == set(range(6))
    assert abs(out.sum() - round(356 * split)) <= (2 if split > 0.5 else 0)
    for label in range(6):  # the last ones
        assert (np.diff(out[y == label].astype(int)) >= 0).all()
    assert (abs(np.bincount(y[out], minlength=6) - split * np.bincount(y)) <= 1).all()


def test_a_split_of_classes_that_have_one_sample_each_is_refused():
    with pytest.raises(ValueError, match="no samples on one side of 3, in classes that keep a sample"):
        fc.Trainer(network()).fit(X[:3], [0, 1, 2], validation_split=0.4)


def test_a_split_of_sorted_numbers_is_said():
    y = RNG.random(50)
    for sorted_y in (np.sort(y), np.sort(y)[::-1]):
        with pytest.warns(UserWarning, match="holds out the last 10 samples, and their y.* is beyond that"):
            fc.Trainer(number(), "mse").fit(X, sorted_y, epochs=1, validation_split=0.2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc.Trainer(number(), "mse").fit(X, y, epochs=1, validation_split=0.2)


def number():
    return fc.Sequential([fc.Flatten(), fc.Dense(1)], X.shape[1:])


def test_batches_have_no_part_to_hold_out():
    with pytest.raises(ValueError, match="`validation_split` is for arrays X and y"):
        fc.Trainer(network()).fit([(X, Y)], validation_split=0.2)


# Means of a single value

SINGLE = {
    "batch norm of 1x1 pixels": ([fc.Conv2d(4, 6), fc.BatchNorm2d(), fc.Flatten(), fc.Dense(3)], True),
    "batch norm after global pooling": (
        [fc.Conv2d(4, 3), fc.GlobalAvgPool2d(), fc.BatchNorm2d(), fc.Flatten(), fc.Dense(3)], True,
    ),
    "groups of one feature": ([fc.Flatten(), fc.Dense(3), fc.GroupNorm(3)], False),
    "groups of one pixel": ([fc.Conv2d(4, 6), fc.GroupNorm(4), fc.Flatten(), fc.Dense(3)], False),
}  # fmt: skip
CALLS = {
    "one sample a step": lambda trainer: trainer.fit(X[:4], Y[:4], batch_size=1),
    "one sample left over": lambda trainer: trainer.fit(X[:33], Y[:33], batch_size=16),
    "one sample left over from a split": lambda trainer: trainer.fit(
        X, Y, batch_size=13, validation_split=0.2
    ),
    "a batch of one": lambda trainer: trainer.fit([(X[:4], Y[:4]), (X[4:5], Y[4:5])]),
    "train_on_batch": lambda trainer: trainer.train_on_batch(X[:1], Y[:1]),
    "gradients": lambda trainer: trainer.model.loss_and_gradients(X[:1], Y[:1]),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("name", SINGLE)
def test_a_mean_of_a_single_value_is_an_error_in_training(name, call):
    layers, by_batch = SINGLE[name]
    trainer = fc.Trainer(fc.Sequential(layers, X.shape[1:]))
    before = trainer.model.state()
    message = r"layer \d, (BatchNorm2d|GroupNorm)\(.*\), must get more than one value for each mean"
    with pytest.raises(ValueError, match=message):
        CALLS[call](trainer)
    if call != "a batch of one":
        for key, array in trainer.model.state().items():
            np.testing.assert_array_equal(array, before[key])
    assert trainer.model.predict(X[:1]).shape == (1, 3)
    trainer.evaluate(X[:1], Y[:1])
    if by_batch:
        trainer.fit(X[:34], Y[:34], batch_size=16)


def test_larger_means_have_one_sample_a_step():
    layers = [fc.Conv2d(4, 5), fc.BatchNorm2d(), fc.GroupNorm(4), fc.Flatten(), fc.Dense(4), fc.GroupNorm(2),
              fc.Dense(3)]  # fmt: skip
    fc.Trainer(fc.Sequential(layers, X.shape[1:])).fit(X[:5], Y[:5], epochs=1, batch_size=1)


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
