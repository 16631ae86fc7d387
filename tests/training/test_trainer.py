import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import tracemalloc

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import engine
from fastconv.formats.model_file import read_model
from fastconv.training.trainer import History

SHAPE = (1, 6, 6)
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 50)
X = (RNG.random((3, *SHAPE))[Y] + 0.2 * RNG.random((50, *SHAPE))).astype(np.float32)


def network(seed=1, dtype="float32"):
    layers = [
        fc.Conv2d(4, 3), fc.BatchNorm2d(), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dropout(0.3),
        fc.Dense(3),
    ]  # fmt: skip
    return fc.Sequential(layers, SHAPE, dtype=dtype, seed=seed)


def plain_network(dtype="float64"):
    return fc.Sequential([fc.Conv2d(2, 3), fc.Tanh(), fc.Flatten(), fc.Dense(3)], SHAPE, dtype=dtype)


def assert_same_state(model, other):
    assert model.state().keys() == other.state().keys()
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, other.state()[name], err_msg=name)


def figures(history):
    return {name: values for name, values in history.items() if name != "seconds"}


class Display:
    """A progress object that notes what it is told."""

    def __init__(self):
        self.events = []

    def start(self, epochs, samples_per_epoch):
        self.events.append(("start", epochs, samples_per_epoch))

    def compiling(self, text):
        self.events.append(("compiling",))

    def batch(self, epoch, samples_done, loss):
        self.events.append(("batch", epoch, samples_done, loss))

    def epoch_end(self, logs):
        self.events.append(("epoch_end", logs["epoch"]))

    def close(self):
        self.events.append(("close",))


# Steps and epochs


def test_an_epoch_takes_its_batches_in_order_and_the_last_one_divides_by_its_own_size():
    model, twin = plain_network(), plain_network()
    history = fc.Trainer(model, optimizer=fc.SGD(0.5)).fit(
        X[:40], Y[:40], epochs=1, batch_size=17, shuffle=False
    )
    total = 0.0
    for first, last in ((0, 17), (17, 34), (34, 40)):
        loss, gradients = twin.loss_and_gradients(X[first:last], Y[first:last])
        total += loss * (last - first)
        for name, array in twin.parameters().items():
            array -= 0.5 * gradients[name]
    for name, array in model.parameters().items():
        np.testing.assert_allclose(array, twin.parameters()[name], rtol=1e-11, atol=1e-13)
    assert history["loss"] == [pytest.approx(total / 40, rel=1e-12)]


def test_a_batch_larger_than_the_data_is_one_step_on_all_of_them():
    model, twin = plain_network(), plain_network()
    fc.Trainer(model, optimizer=fc.SGD(0.5)).fit(X, Y, epochs=1, batch_size=5000)
    _, gradients = twin.loss_and_gradients(X, Y)
    for name, array in model.parameters().items():
        np.testing.assert_allclose(
            array, twin.parameters()[name] - 0.5 * gradients[name], rtol=1e-11, atol=1e-13
        )


def test_training_lowers_the_loss_and_raises_the_accuracy():
    history = fc.Trainer(network(), optimizer=fc.Adam(0.02)).fit(X, Y, epochs=30, batch_size=16)
    assert history["loss"][-1] < 0.4 * history["loss"][0]
    assert history["accuracy"][-1] > 0.9


def test_a_second_fit_goes_on_from_the_first():
    model = network()
    trainer = fc.Trainer(model, optimizer=fc.Adam(0.01))
    first = trainer.fit(X, Y, epochs=5)
    before = model.state()
    second = trainer.fit(X, Y, epochs=5)
    assert second["loss"][0] < first["loss"][0]
    assert any((before[name] != array).any() for name, array in model.state().items())
    assert trainer.steps_taken == 20


# History


def test_history_has_one_value_an_epoch_of_every_figure():
    history = fc.Trainer(network()).fit(X, Y, epochs=3, validation_data=(X[:9], Y[:9]))
    assert isinstance(history, History)
    names = ["loss", "accuracy", "learning_rate", "seconds", "val_loss", "val_accuracy"]
    assert list(history) == names
    for values in history.values():
        assert len(values) == 3
        assert all(type(value) is float for value in values)


def test_history_has_only_the_metrics_asked_for():
    for metrics, names in [((), []), ("accuracy", ["accuracy"]), (["accuracy"], ["accuracy"])]:
        history = fc.Trainer(network(), metrics=metrics).fit(X, Y, epochs=1)
        assert list(history) == ["loss", *names, "learning_rate", "seconds"]


def test_a_regression_has_no_accuracy():
    model = fc.Sequential([fc.Flatten(), fc.Dense(1)], SHAPE)
    trainer = fc.Trainer(model, loss="mse")
    assert "accuracy" not in trainer.fit(X, Y, epochs=1)
    assert "accuracy" not in trainer.evaluate(X, Y)


def test_learning_rates_follow_the_schedule():
    history = fc.Trainer(network(), optimizer=fc.SGD(fc.StepDecay(0.1, step_size=2))).fit(X, Y, epochs=5)
    assert history["learning_rate"] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_a_schedule_acts_on_every_step():
    class Counting:
        def learning_rates(self, first_step, count, steps_per_epoch, total_steps):
            assert (steps_per_epoch, total_steps) == (3, 6)
            return 0.1 / (1 + np.arange(first_step, first_step + count))

    model, twin = plain_network(), plain_network()
    fc.Trainer(model, optimizer=fc.SGD(Counting())).fit(X, Y, epochs=2, batch_size=20, shuffle=False)
    for step, first in enumerate([0, 20, 40] * 2):
        _, gradients = twin.loss_and_gradients(X[first : first + 20], Y[first : first + 20])
        for name, array in twin.parameters().items():
            array -= 0.1 / (1 + step) * gradients[name]
    for name, array in model.parameters().items():
        np.testing.assert_allclose(array, twin.parameters()[name], rtol=1e-10, atol=1e-13)


# Order of samples


def trained(seed=0, shuffle=True, epochs=2):
    model = network()
    fc.Trainer(model, seed=seed).fit(X, Y, epochs=epochs, batch_size=8, shuffle=shuffle)
    return model.flat_parameters


def test_the_seed_decides_the_order():
    assert np.array_equal(trained(seed=3), trained(seed=3))
    assert not np.array_equal(trained(seed=3), trained(seed=4))
    assert not np.array_equal(trained(), trained(shuffle=False))


@pytest.mark.parametrize("seed", [2**31, 2**63, 2**70])
def test_a_large_seed_trains_or_is_refused_by_its_name(seed):
    try:
        trained(seed=seed)
    except ValueError as error:
        if "`seed`" not in str(error):
            raise


def test_each_epoch_takes_every_sample_once_in_a_new_order(monkeypatch):
    monkeypatch.setattr(engine, "SECONDS_PER_CALL", 0.0)  # the display then hears of every step
    model = fc.Sequential([fc.Dense(1)], (1,), dtype="float64")
    model.flat_parameters[...] = 0.0
    targets = np.sqrt(np.arange(20.0))  # without learning, the loss of sample n is n
    display = Display()
    fc.Trainer(model, "mse", fc.SGD(0.0)).fit(np.zeros(20), targets, epochs=3, batch_size=1, progress=display)
    losses = [event[3] for event in display.events if event[0] == "batch"]
    orders = np.round(losses).astype(int).reshape(3, 20).tolist()
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


# Validation and evaluation


def test_validation_figures_are_those_of_evaluate():
    model = network()
    trainer = fc.Trainer(model)
    history = trainer.fit(X[:40], Y[:40], epochs=2, validation_data=(X[40:], Y[40:]))
    figures = trainer.evaluate(X[40:], Y[40:])
    assert (history["val_loss"][-1], history["val_accuracy"][-1]) == (figures["loss"], figures["accuracy"])


def test_validation_does_not_change_training():
    with_it, without = network(), network()
    fc.Trainer(with_it).fit(X, Y, epochs=2, validation_data=(X[:5], Y[:5]))
    fc.Trainer(without).fit(X, Y, epochs=2)
    assert_same_state(with_it, without)


def test_validation_split_holds_out_the_last_samples():
    spoiled = X.copy()
    spoiled[40:] = np.nan
    model, expected = network(), network()
    history = fc.Trainer(model).fit(spoiled, Y, epochs=2, validation_split=0.2)
    fc.Trainer(expected).fit(X[:40], Y[:40], epochs=2)
    assert_same_state(model, expected)
    assert np.isfinite(history["loss"]).all()
    assert np.isnan(history["val_loss"]).all()


def test_evaluate_is_the_loss_and_accuracy_of_the_predictions():
    model = network()
    trainer = fc.Trainer(model)
    trainer.fit(X, Y, epochs=2)
    logits = model.predict(X).astype(np.float64)
    loss = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(50), Y])
    assert trainer.evaluate(X, Y) == {
        "loss": pytest.approx(loss, rel=1e-5), "accuracy": pytest.approx(np.mean(logits.argmax(1) == Y)),
    }  # fmt: skip
    before = model.state()
    for batch_size in (1, 7, 49, 50, 1000):
        assert trainer.evaluate(X, Y, batch_size=batch_size)["loss"] == pytest.approx(loss, rel=1e-5)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(("loss", "threshold"), [("bce", 0.5), ("bce_with_logits", 0.0)])
def test_binary_accuracy_is_the_share_of_outputs_on_the_right_side(loss, threshold):
    layers = [fc.Flatten(), fc.Dense(2)] + ([fc.Sigmoid()] if loss == "bce" else [])
    model = fc.Sequential(layers, SHAPE)
    targets = RNG.integers(0, 2, (50, 2))
    right = np.mean((model.predict(X) > threshold) == targets)
    assert fc.Trainer(model, loss).evaluate(X, targets)["accuracy"] == pytest.approx(right)


# Arrays


LABELS = {
    "a list": lambda y: y.tolist(),
    "int32": lambda y: y.astype(np.int32),
    "uint8": lambda y: y.astype(np.uint8),
    "a column": lambda y: y[:, None],
    "strided": lambda y: np.repeat(y, 3)[::3],
}


@pytest.mark.parametrize("form", LABELS)
def test_labels_of_any_form_train_the_same_network(form):
    model, expected = network(), network()
    fc.Trainer(model).fit(X, LABELS[form](Y), epochs=1)
    fc.Trainer(expected).fit(X, Y, epochs=1)
    assert_same_state(model, expected)


@pytest.mark.parametrize(
    "targets", [lambda y: y.tolist(), lambda y: y.astype(bool), lambda y: y.astype(np.float32)[:, None],
                lambda y: y.astype(np.uint8), lambda y: np.repeat(y * 1.0, 2)[::2]],
)  # fmt: skip
def test_binary_targets_of_any_form_train_the_same_network(targets):
    y = Y % 2
    model, expected = fc.models.reference_cnn(), fc.models.reference_cnn()
    fc.Trainer(model, "bce").fit(X, targets(y), epochs=1)
    fc.Trainer(expected, "bce").fit(X, y, epochs=1)
    assert_same_state(model, expected)


@pytest.mark.parametrize(
    "images", [np.asfortranarray, lambda X: X[:, 0], lambda X: X.astype(np.float64), lambda X: X.tolist(),
               lambda X: np.repeat(X, 2, 0)[::2]],
)  # fmt: skip
def test_images_of_any_form_train_the_same_network(images):
    model, expected = network(), network()
    fc.Trainer(model).fit(images(X), Y, epochs=1)
    fc.Trainer(expected).fit(X, Y, epochs=1)
    assert_same_state(model, expected)


def test_bytes_train_as_their_255th_parts():
    pixels = RNG.integers(0, 256, (50, *SHAPE), dtype=np.uint8)
    model, expected = network(), network()
    fc.Trainer(model).fit(pixels, Y, epochs=1)
    fc.Trainer(expected).fit(pixels / 255, Y, epochs=1)
    assert_same_state(model, expected)


def test_a_memory_mapped_file_is_never_copied_whole(tmp_path):
    count, shape = 40_000, (1, 28, 28)
    mapped = np.memmap(tmp_path / "X", np.uint8, "w+", shape=(count, *shape))
    y = np.zeros(count, np.int64)
    model = fc.Sequential([fc.MaxPool2d(7), fc.Flatten(), fc.Dense(2)], shape)
    trainer = fc.Trainer(model)
    trainer.fit(mapped[:64], y[:64], epochs=1)
    tracemalloc.start()
    trainer.fit(mapped, y, epochs=1, batch_size=64, validation_split=0.1)
    trainer.evaluate(mapped, y)
    model.predict(mapped)
    model.predict(mapped[::2, :, ::-1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < mapped.nbytes / 8


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("view", [np.asarray, lambda X: X[:, :, ::-1], lambda X: X[:, 0]])
def test_images_are_never_copied_whole(dtype, view):
    images, y = view(np.ones((30_000, 1, 12, 12), dtype)), np.zeros(30_000, np.int64)
    trainer = fc.Trainer(fc.Sequential([fc.MaxPool2d(6), fc.Flatten(), fc.Dense(2)], (1, 12, 12)))
    trainer.fit(images[:64], y[:64], epochs=1)
    tracemalloc.start()
    trainer.fit(images, y, epochs=2, batch_size=64, validation_split=0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes / 4


# Callbacks and progress


def test_callbacks_hear_of_every_epoch_in_order():
    calls = []

    class Callback:
        def __init__(self, name):
            self.name = name

        def on_epoch_end(self, trainer, logs):
            calls.append((self.name, trainer, dict(logs)))

    trainer = fc.Trainer(network())
    history = trainer.fit(X, Y, epochs=2, validation_split=0.2, callbacks=(Callback("a"), Callback("b")))
    assert [(name, logs["epoch"]) for name, _, logs in calls] == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]
    for _, caller, logs in calls:
        assert caller is trainer
        assert logs["epochs"] == 2
        assert {name: history[name][logs["epoch"]] for name in history} == {
            name: value for name, value in logs.items() if name not in ("epoch", "epochs")
        }


def test_a_callback_can_stop_training_and_fit_can_be_called_again():
    class Stop:
        def on_epoch_end(self, trainer, logs):
            trainer.stop_training = logs["epoch"] == 1

    trainer = fc.Trainer(network())
    assert len(trainer.fit(X, Y, epochs=9, callbacks=[Stop()])["loss"]) == 2
    assert len(trainer.fit(X, Y, epochs=3)["loss"]) == 3


def test_early_stopping_puts_the_best_weights_back():
    model = network()
    trainer = fc.Trainer(model, optimizer=fc.SGD(2.0))
    stopping = fc.EarlyStopping(monitor="val_loss", patience=2)
    history = trainer.fit(X, Y, epochs=40, validation_data=(X, Y), callbacks=[stopping])
    assert trainer.evaluate(X, Y)["loss"] == pytest.approx(min(history["val_loss"]), rel=1e-6)


def test_progress_hears_of_start_compiling_batches_epochs_and_the_end():
    display = Display()
    fc.Trainer(network()).fit(X, Y, epochs=2, progress=display)
    names = [event[0] for event in display.events]
    assert display.events[0] == ("start", 2, 50)
    assert names[1] == "compiling"
    assert names[-1] == "close"
    assert [event for event in display.events if event[0] == "epoch_end"] == [
        ("epoch_end", 0),
        ("epoch_end", 1),
    ]
    done = {epoch: samples for name, epoch, samples, _ in (e for e in display.events if e[0] == "batch")}
    assert done == {0: 50, 1: 50}


def test_progress_hears_how_long_compiling_took_before_the_first_batch():
    class Timed(Display):
        def compiled(self, seconds):
            self.events.append(("compiled", seconds))

    display = Timed()
    fc.Trainer(network()).fit(X, Y, epochs=1, validation_split=0.2, progress=display)
    names = [event[0] for event in display.events]
    assert names[:4] == ["start", "compiling", "compiled", "batch"]
    assert 0 < display.events[2][1] < 60


def test_progress_is_closed_when_a_callback_fails():
    class Failing:
        def on_epoch_end(self, trainer, logs):
            raise RuntimeError("out of luck")

    display = Display()
    with pytest.raises(RuntimeError, match="out of luck"):
        fc.Trainer(network()).fit(X, Y, epochs=2, progress=display, callbacks=[Failing()])
    assert display.events[-1] == ("close",)


# Divergence


def test_a_loss_that_is_not_finite_names_its_epoch_and_step():
    images = X.copy()
    images[33] = np.nan
    trainer = fc.Trainer(network())
    with pytest.raises(
        fc.DivergedError, match=r"the loss became nan in epoch 1, step 5: try a smaller learning rate"
    ):
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


# Checkpoints


class Interrupt:
    """Stops the run with an error after some epochs, as a crash would."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, trainer, logs):
        if logs["epoch"] == self.epoch:
            raise KeyboardInterrupt


RUNS = {
    "sgd": fc.SGD(0.05),
    "momentum and a schedule": fc.SGD(fc.CosineDecay(0.1), momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam and a schedule": fc.Adam(fc.OneCycle(0.02)),
    "adamw": fc.AdamW(fc.StepDecay(0.02, step_size=2)),
}


@pytest.mark.parametrize("run", RUNS)
def test_a_resumed_run_has_the_bits_of_an_uninterrupted_one(tmp_path, run):
    arguments = {"epochs": 6, "batch_size": 8, "validation_split": 0.2}
    whole, path = network(), tmp_path / "run.npz"
    expected = fc.Trainer(whole, optimizer=RUNS[run], seed=5).fit(X, Y, **arguments)
    with pytest.raises(KeyboardInterrupt):
        fc.Trainer(network(), optimizer=RUNS[run], seed=5).fit(
            X, Y, **arguments, checkpoint=path, callbacks=[Interrupt(3)]
        )
    model = network(seed=99)
    trainer = fc.Trainer(model, optimizer=RUNS[run], seed=5)
    history = trainer.fit(X, Y, **arguments, checkpoint=path, resume=True)
    assert_same_state(model, whole)
    assert figures(history) == figures(expected)
    assert len(history["seconds"]) == 6
    assert trainer.steps_taken == 30


def test_the_same_trainer_can_resume_after_an_interrupt_within_an_epoch(tmp_path):
    whole, model = network(), network()
    fc.Trainer(whole, optimizer=fc.Adam(0.01)).fit(X, Y, epochs=4)
    trainer = fc.Trainer(model, optimizer=fc.Adam(0.01))

    class Stop(Display):
        def batch(self, epoch, samples_done, loss):
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer.fit(X, Y, epochs=4, checkpoint=tmp_path / "run.npz", progress=Stop())
    trainer.fit(X, Y, epochs=4, checkpoint=tmp_path / "run.npz", resume=True)
    assert_same_state(model, whole)


def test_a_finished_run_is_resumed_by_doing_nothing(tmp_path):
    model, path = network(), tmp_path / "run.npz"
    history = fc.Trainer(model).fit(X, Y, epochs=3, checkpoint=path)
    again = network(seed=9)
    assert fc.Trainer(again).fit(X, Y, epochs=3, checkpoint=path, resume=True) == history
    assert_same_state(again, model)


def test_a_finished_run_can_be_given_more_epochs(tmp_path):
    model, whole, path = network(), network(), tmp_path / "run.npz"
    fc.Trainer(model).fit(X, Y, epochs=2, checkpoint=path)
    history = fc.Trainer(model).fit(X, Y, epochs=5, checkpoint=path, resume=True)
    fc.Trainer(whole).fit(X, Y, epochs=5)
    assert len(history["loss"]) == 5
    assert_same_state(model, whole)


def test_resume_without_a_file_starts_a_run_and_a_run_without_resume_starts_anew(tmp_path):
    path, model = tmp_path / "run.npz", network()
    assert len(fc.Trainer(network()).fit(X, Y, epochs=2, checkpoint=path, resume=True)["loss"]) == 2
    history = fc.Trainer(model).fit(X, Y, epochs=2, checkpoint=path)
    assert len(history["loss"]) == 2
    expected = network()
    fc.Trainer(expected).fit(X, Y, epochs=2)
    assert_same_state(model, expected)


@pytest.mark.parametrize(
    "other",
    [
        lambda: fc.Trainer(network(), optimizer=fc.Adam(0.01)),
        lambda: fc.Trainer(network(), optimizer=fc.SGD(0.02)),
        lambda: fc.Trainer(network(), optimizer=fc.SGD(fc.StepDecay(0.01, step_size=1))),
        lambda: fc.Trainer(network(), seed=1),
        lambda: fc.Trainer(network(dtype="float64")),
        lambda: fc.Trainer(network(), loss="bce_with_logits"),
        lambda: fc.Trainer(plain_network("float32")),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_the_model_left_alone(tmp_path, other):
    path = tmp_path / "run.npz"
    fc.Trainer(network(seed=7)).fit(X, Y, epochs=1, checkpoint=path)
    trainer = other()
    before = trainer.model.state()
    y = np.eye(3)[Y] if trainer.loss == "bce_with_logits" else Y
    with pytest.raises(ValueError, match=r"run\.npz is not a checkpoint to go on from"):
        trainer.fit(X, y, epochs=2, checkpoint=path, resume=True)
    for name, array in trainer.model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_a_model_file_or_a_broken_file_is_no_checkpoint(tmp_path):
    path, model = tmp_path / "run.npz", network()
    model.save(path)
    with pytest.raises(ValueError, match=r"run\.npz is not a checkpoint"):
        fc.Trainer(model).fit(X, Y, checkpoint=path, resume=True)
    fc.Trainer(model).fit(X, Y, epochs=1, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"run\.npz"):
        fc.Trainer(model).fit(X, Y, checkpoint=path, resume=True)


def test_a_checkpoint_leaves_one_file(tmp_path):
    fc.Trainer(network()).fit(X, Y, epochs=3, checkpoint=tmp_path / "run.npz")
    assert os.listdir(tmp_path) == ["run.npz"]


# Ctrl-C


def large_data(count=6000):
    rng = np.random.default_rng(0)
    return rng.random((count, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, count)


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_an_interrupt_stops_training_within_a_second_and_leaves_a_usable_network():
    images, labels = large_data()
    model = fc.models.lenet5()
    trainer = fc.Trainer(model)
    trainer.fit(images[:32], labels[:32], epochs=1)
    sent, stopped = [], threading.Event()

    def interrupt():
        time.sleep(0.4)
        while not stopped.is_set():  # Python may lose one: see test_runtime.py
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)
            stopped.wait(3)

    sender = threading.Thread(target=interrupt)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        trainer.fit(images, labels, epochs=10_000, batch_size=16)
    stopped.set()
    assert time.perf_counter() - sent[-1] < 1.0
    sender.join()
    assert np.isfinite(model.predict(images[:20])).all()
    assert len(trainer.fit(images[:64], labels[:64], epochs=2)["loss"]) == 2


INTERRUPTED = """
    import os, signal, sys, threading, time
    import numpy as np
    import fastconv as fc
    from fastconv.engine import engine

    fc.set_num_threads(3)
    engine.PRODUCTS_PER_THREAD = 1  # so that a small network has work for all
    model, X = fc.models.reference_cnn(), np.zeros((64, 1, 6, 6))
    model.predict(X)
    moment = sys.argv[1]
    start, steps = threading.Thread.start, engine.run_steps

    def interrupted_start(self):
        start(self)
        threading.Thread.start = start
        signal.raise_signal(signal.SIGINT)

    def interrupted_steps(*arguments):
        if arguments[-2] == 0:
            engine.run_steps = steps
            signal.raise_signal(signal.SIGINT)
        return steps(*arguments)

    if moment == "while threads start":
        threading.Thread.start = interrupted_start
    else:
        engine.run_steps = interrupted_steps
    try:
        model.predict(X)
    except KeyboardInterrupt:
        print("interrupted")
    for _ in range(100):
        if threading.active_count() > 1:
            time.sleep(0.01)
    print(threading.active_count(), "thread", model.predict(X).shape)
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
@pytest.mark.parametrize("moment", ["while threads start", "just before the first thread runs"])
def test_an_interrupt_at_any_moment_leaves_no_thread_waiting(moment):
    command = [sys.executable, "-c", textwrap.dedent(INTERRUPTED), moment]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=15)
    except subprocess.TimeoutExpired:
        pytest.fail("the interrupted call never came back")
    assert result.stdout.splitlines() == ["interrupted", "1 thread (64, 1)"], result.stderr


# Denormals


def fastest(calls, repeats=15):
    """The shortest time of each call, taken in turns so that a busy machine slows all alike."""
    times = [[] for _ in calls]
    for _ in range(repeats):
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
    return [min(taken) for taken in times]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_denormal_inputs_and_weights_do_not_slow_a_step(dtype):
    tiny = np.finfo(dtype).tiny / 64
    images, labels = large_data(200)
    images = images.astype(dtype)

    def trainer(scale):
        model = fc.models.lenet5(dtype=dtype)
        model.flat_parameters[...] *= scale
        return fc.Trainer(model, optimizer=fc.SGD(0.0))

    normal, small_weights, small_inputs = trainer(1.0), trainer(tiny), trainer(1.0)
    small_images = images * images.dtype.type(tiny)
    assert 0 < small_images.max() < np.finfo(dtype).tiny
    times = fastest([
        lambda: normal.fit(images, labels, epochs=1),
        lambda: small_weights.fit(images, labels, epochs=1),
        lambda: small_inputs.fit(small_images, labels, epochs=1),
    ])  # fmt: skip
    assert max(times[1:]) < 1.6 * times[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_denormals_count_as_zero_on_every_thread(dtype):
    # A processor may be fast at denormals, so that time alone does not show that they are flushed.
    threads, smallest = fc.get_num_threads(), np.finfo(dtype).tiny
    model = fc.Sequential([fc.Dense(1, bias=False)], (1,), dtype=dtype)
    model.flat_parameters[...] = 0.5
    samples = np.full((200, 1), smallest, dtype)
    fc.set_num_threads(4)
    try:
        assert (model.predict(samples * 2) == smallest).all()
        assert (model.predict(samples) == 0).all()
    finally:
        fc.set_num_threads(threads)


def test_denormals_are_flushed_in_fastconv_only():
    model = fc.models.reference_cnn()
    model.predict(np.ones((40, *SHAPE)))
    fc.Trainer(model, "bce").fit(np.ones((40, *SHAPE)), np.zeros(40), epochs=1)
    assert np.float32(1e-40) * np.float32(0.5) > 0
    assert np.float64(1e-310) * np.float64(0.5) > 0


# Wrong arguments


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"model": 3}, TypeError, "`model` must be a Sequential, got 3"),
        ({"loss": "hinge"}, ValueError, "`loss` must be one of 'bce', .*got 'hinge'"),
        ({"loss": None}, (TypeError, ValueError), "`loss` must be one of"),
        (
            {"model": fc.models.reference_cnn()},
            ValueError,
            '`loss` "cross_entropy" needs an output of at least 2',
        ),
        ({"optimizer": "adam"}, TypeError, "`optimizer` must be an optimizer such as SGD.*got 'adam'"),
        ({"optimizer": fc.SGD}, TypeError, "`optimizer` must be an optimizer"),
        ({"metrics": ("f2",)}, ValueError, "`metrics` must be among .*got 'f2'"),
        ({"metrics": "loss"}, ValueError, "`metrics` must be among .*got 'loss'"),
        ({"metrics": None}, TypeError, "`metrics`"),
        ({"seed": -1}, ValueError, "`seed` must be an int >= 0, got -1"),
        ({"seed": 0.5}, TypeError, "`seed` must be an int >= 0, got 0.5"),
    ],
)
def test_a_trainer_that_cannot_be_is_refused(arguments, error, message):
    with pytest.raises(error, match=message):
        fc.Trainer(**{"model": network(), **arguments})


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"X": X[:, :, :5]}, ValueError, r"`X` must have shape \(N, 1, 6, 6\), got \(50, 1, 5, 6\)"),
        ({"X": X[:49]}, ValueError, r"`y` must have shape \(49,\)"),
        ({"X": X[:0], "y": Y[:0]}, ValueError, "`X` must hold at least one sample, got none"),
        ({"y": Y + 1}, ValueError, "`y` must be labels 0 to 2, got 1 to 3"),
        ({"y": Y * 1.0}, TypeError, "`y` must be int labels"),
        ({"epochs": 0}, ValueError, "`epochs` must be an int >= 1, got 0"),
        ({"epochs": 2.5}, TypeError, "`epochs` must be an int >= 1, got 2.5"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be an int >= 1, got 0"),
        ({"batch_size": None}, TypeError, "`batch_size` must be an int >= 1, got None"),
        ({"validation_split": 1.0}, ValueError, "`validation_split` must be a number >= 0 and < 1, got 1.0"),
        ({"validation_split": -0.1}, ValueError, "`validation_split` must be a number"),
        ({"validation_split": 0.001}, ValueError, "`validation_split` = 0.001 leaves no samples"),
        ({"validation_split": 0.999}, ValueError, "`validation_split` = 0.999 leaves no samples"),
        ({"validation_data": X}, TypeError, r"`validation_data` must be a pair \(X, y\)"),
        ({"validation_data": (X, Y, Y, Y)}, TypeError, r"`validation_data` must be a pair \(X, y\)"),
        ({"validation_data": (X[:, :, 1:], Y)}, ValueError, r"`validation_data\[0\]` must have shape"),
        ({"validation_data": (X, Y + 9)}, ValueError, r"`validation_data\[1\]` must be labels 0 to 2"),
        (
            {"validation_data": (X[:0], Y[:0])},
            ValueError,
            "`validation_data.*` must hold at least one sample",
        ),
        ({"validation_data": (X, Y, Y[1:])}, ValueError, r"`validation_data\[2\]` must have shape \(50,\)"),
        ({"sample_weight": np.ones(49)}, ValueError, r"`sample_weight` must have shape \(50,\), one weight"),
        ({"sample_weight": np.zeros(50)}, ValueError, "`sample_weight` must have a weight above 0"),
        ({"sample_weight": np.full(50, -1.0)}, ValueError, "`sample_weight` must be finite numbers >= 0"),
        ({"sample_weight": np.full(50, np.nan)}, ValueError, "`sample_weight` must be finite numbers >= 0"),
        ({"sample_weight": ["1"] * 50}, TypeError, "`sample_weight` must be an array of real numbers"),
        ({"class_weight": 2}, TypeError, '`class_weight` must be None, "balanced" or a dict, got 2'),
        ({"class_weight": {3: 1.0}}, ValueError, "`class_weight` must have class numbers 0 to 2, got 3"),
        ({"class_weight": {1: -1.0}}, ValueError, r"`class_weight\[1\]` must be a number >= 0"),
        ({"resume": True}, ValueError, "`resume` needs `checkpoint`, the file to go on from"),
        (
            {"callbacks": [3]},
            TypeError,
            r"`callbacks` must have a method on_epoch_end\(trainer, logs\), got 3",
        ),
        ({"callbacks": [fc.EarlyStopping]}, TypeError, "`callbacks` must have a method on_epoch_end"),
        ({"callbacks": fc.EarlyStopping()}, TypeError, "`callbacks`"),
        ({"progress": 3}, TypeError, "`progress` must be None, True, False or have"),
    ],
)
def test_wrong_arguments_of_fit_are_refused_before_anything_is_trained(arguments, error, message):
    model = network()
    before = model.state()
    with pytest.raises(error, match=message):
        fc.Trainer(model).fit(**{"X": X, "y": Y, "epochs": 1, **arguments})
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_wrong_arguments_of_evaluate_are_refused():
    trainer = fc.Trainer(network())
    with pytest.raises(ValueError, match="`X` must hold at least one sample"):
        trainer.evaluate(X[:0], Y[:0])
    with pytest.raises(ValueError, match="`batch_size`"):
        trainer.evaluate(X, Y, batch_size=0)


# The end of training


@pytest.mark.parametrize("first", [True, False])
def test_early_stopping_puts_the_best_weights_back_when_another_callback_stops(first):
    class Stop:
        def on_epoch_end(self, trainer, logs):
            trainer.stop_training = logs["epoch"] == 5

    trainer = fc.Trainer(network())
    stopping = fc.EarlyStopping(patience=99, mode="max")  # the first epoch is then the best
    callbacks = [Stop(), stopping] if first else [stopping, Stop()]
    history = trainer.fit(X, Y, epochs=40, validation_data=(X, Y), callbacks=callbacks)
    assert len(history["loss"]) == 6
    assert history["val_loss"][-1] < history["val_loss"][0] == trainer.evaluate(X, Y)["loss"]


def test_on_train_end_is_called_once_where_there_is_one():
    calls = []

    class Callback:
        def on_epoch_end(self, trainer, logs):
            calls.append(logs["epoch"])

        def on_train_end(self, trainer):
            calls.append(trainer)

    trainer = fc.Trainer(network())
    trainer.fit(X, Y, epochs=2, callbacks=[Callback()])
    assert calls == [0, 1, trainer]


def test_a_checkpoint_of_another_clipping_is_refused_and_one_without_it_says_nothing_of_it(tmp_path):
    path = tmp_path / "run.npz"
    fc.Trainer(network(), optimizer=fc.SGD(0.1)).fit(X, Y, epochs=1, checkpoint=path)
    settings = read_model(path)[0]["run"]["optimizer"]
    assert settings.keys() == {"name", "lr", "momentum", "nesterov", "weight_decay"}
    with pytest.raises(ValueError, match="another network, loss, optimizer, seed"):
        fc.Trainer(network(), optimizer=fc.SGD(0.1, clip_norm=1.0)).fit(X, Y, checkpoint=path, resume=True)
