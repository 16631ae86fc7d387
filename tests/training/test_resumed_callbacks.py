"""Runs that are cut off and go on: callbacks and their files, and what must be the same."""

import csv
import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import Interrupt, X, Y, assert_same_state, figures, network

EPOCHS = 12


def callbacks(folder):
    return [
        fc.EarlyStopping(patience=3),
        fc.ModelCheckpoint(os.path.join(folder, "best.npz")),
        fc.CSVLogger(os.path.join(folder, "log.csv")),
    ]


def run(folder, *others, model=None, **changed):
    """A run whose validation loss soon gets worse, with all callbacks that have files or state."""
    trainer = fc.Trainer(network() if model is None else model, optimizer=fc.SGD(0.02, momentum=0.9))
    arguments = {
        "epochs": EPOCHS, "validation_data": (X[:20], (Y[:20] + (np.arange(20) % 2)) % 3),
        "checkpoint": os.path.join(folder, "run.npz"), "callbacks": [*callbacks(folder), *others], **changed,
    }  # fmt: skip
    return trainer, trainer.fit(X, Y, **arguments)


def rows(folder):
    """The CSV file without its times."""
    with (folder / "log.csv").open(newline="") as file:
        return [{**row, "seconds": ""} for row in csv.DictReader(file)]


@pytest.mark.parametrize("cut", range(8))
def test_a_run_cut_anywhere_ends_like_one_that_was_not_with_its_callbacks_files(tmp_path, cut):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    trainer, expected = run(whole)
    assert 8 < len(expected["loss"]) < EPOCHS  # it was stopped
    with pytest.raises(KeyboardInterrupt):
        run(parts, Interrupt(cut))
    other = network(seed=9) if cut else network()  # cut in the first epoch, it has no file to go on from
    resumed, history = run(parts, model=other, resume=True)
    assert figures(history) == figures(expected)
    assert_same_state(resumed.model, trainer.model)
    assert_same_state(fc.load(parts / "best.npz"), fc.load(whole / "best.npz"))
    assert rows(parts) == rows(whole)


class InterruptBatch:
    """Stops the run within an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, trainer, logs):
        if (logs["epoch"], logs["batch"]) == (self.epoch, 1):
            raise KeyboardInterrupt


@pytest.mark.parametrize("same_trainer", [False, True])
@pytest.mark.parametrize("cut", range(1, 8, 2))
def test_a_run_cut_within_an_epoch_ends_like_one_that_was_not(tmp_path, cut, same_trainer):
    def fit(folder, *others, trainer=None, **changed):
        folder.mkdir(exist_ok=True)
        plateau = fc.ReduceLROnPlateau("loss", factor=0.5, patience=2, mode="max")
        trainer = trainer or fc.Trainer(network(), optimizer=fc.Adam(0.02), metrics=("accuracy", "f1"))
        arguments = {
            "epochs": 9, "validation_split": 0.2, "callbacks": [*callbacks(folder), plateau, *others],
            "checkpoint": folder / "run.npz", "augment": fc.Augment(shift=1, noise=0.1), **changed,
        }  # fmt: skip
        return trainer, trainer.fit(X, Y, **arguments)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    expected, history = fit(whole)
    trainer = fc.Trainer(network(), optimizer=fc.Adam(0.02), metrics=("accuracy", "f1"))
    assert len(history["loss"]) > cut
    with pytest.raises(KeyboardInterrupt):
        fit(parts, InterruptBatch(cut), trainer=trainer)
    resumed, figures_of_it = fit(parts, trainer=trainer if same_trainer else None, resume=True)
    assert figures(figures_of_it) == figures(history)
    assert_same_state(resumed.model, expected.model)
    assert resumed.optimizer == expected.optimizer
    assert rows(parts) == rows(whole)


def test_a_stopped_run_stays_stopped_and_says_so(tmp_path):
    trainer, expected = run(tmp_path)
    before, done = rows(tmp_path), len(expected["loss"])
    with pytest.warns(UserWarning, match=f"the run has stopped after {done} of {EPOCHS} epochs"):
        again, history = run(tmp_path, model=network(seed=9), resume=True)
    assert history == expected
    assert rows(tmp_path) == before
    assert_same_state(again.model, trainer.model)
    _, longer = run(tmp_path, resume=True, epochs=EPOCHS + 2)
    assert len(longer["loss"]) > done


def test_a_callback_of_the_users_own_keeps_its_state(tmp_path):
    class Counts:
        def __init__(self):
            self.seen, self.sums = 0, {"loss": np.zeros(1)}

        def on_epoch_end(self, trainer, logs):
            self.seen += 1
            self.sums["loss"] += logs["loss"]

        def state_dict(self):
            return {"seen": self.seen, "sums": self.sums}

        def load_state_dict(self, state):
            self.seen, self.sums = state["seen"], state["sums"]

    counts = Counts()
    _, expected = run(tmp_path, counts, Interrupt(99))
    again = Counts()
    with pytest.warns(UserWarning, match="has stopped"):
        run(tmp_path, again, resume=True)
    assert again.seen == counts.seen == len(expected["loss"])
    np.testing.assert_array_equal(again.sums["loss"], counts.sums["loss"])
    with pytest.warns(UserWarning, match="`callbacks` have no .*Counts"):
        run(tmp_path, resume=True, epochs=EPOCHS + 1)


class Keeps:
    """A callback with any state."""

    def __init__(self, value):
        self.value = value

    def on_epoch_end(self, trainer, logs):
        pass

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


@pytest.mark.parametrize(
    "value",
    [
        None, True, 3, 0.1, float("inf"), "a", [1, [2.5, None]], {"a": {"b": []}}, {}, np.float32(0.5),
        np.int64(3), np.arange(3), np.zeros((2, 2), np.float32), {"a": np.arange(2), "b": np.ones(1)},
    ],
)  # fmt: skip
def test_any_state_comes_back_as_it_was(tmp_path, value):
    arguments = {"checkpoint": tmp_path / "run.npz", "resume": True}
    fc.Trainer(network()).fit(X, Y, epochs=1, callbacks=[Keeps(value)], **arguments)
    again = Keeps("lost")
    fc.Trainer(network()).fit(X, Y, epochs=2, callbacks=[again], **arguments)
    np.testing.assert_equal(again.value, value)


@pytest.mark.parametrize("value", [(1, 2), {1: 2}, {"a": [(1,)]}, b"a", {1}, object(), np.array(["a"]), 1j])
def test_state_that_would_come_back_as_something_else_is_refused(tmp_path, value):
    with pytest.raises(TypeError, match=r"state_dict\(\) of Keeps must give JSON values.* as 'value'"):
        fc.Trainer(network()).fit(X, Y, epochs=1, callbacks=[Keeps(value)], checkpoint=tmp_path / "run.npz")


@pytest.mark.parametrize(
    ("callbacks", "checkpoint", "names"),
    [
        ([fc.ModelCheckpoint("run.npz")], "run.npz", "`checkpoint` and ModelCheckpoint"),
        ([fc.ModelCheckpoint("run.npz")], "./a/../run.npz", "`checkpoint` and ModelCheckpoint"),
        ([fc.CSVLogger("run.npz")], "run.npz", "`checkpoint` and CSVLogger"),
        ([fc.CSVLogger("log"), fc.CSVLogger("log")], None, "CSVLogger and CSVLogger"),
        (
            [fc.ModelCheckpoint("a.npz"), fc.ModelCheckpoint("a.npz", "loss")],
            None,
            "ModelCheckpoint and Model",
        ),
    ],
)
def test_two_parts_of_a_run_that_would_write_one_file_are_refused(
    tmp_path, monkeypatch, callbacks, checkpoint, names
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"{names}.* would write one file, .*: give each its own"):
        fc.Trainer(network()).fit(X, Y, callbacks=callbacks, checkpoint=checkpoint)
    assert list(tmp_path.iterdir()) == []


SAME = {"sample_weight": np.arange(1.0, 51.0)}


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"X": X + 1}, "other data: first and last samples of X not the same"),
        ({"X": X[:40], "y": Y[:40], "sample_weight": SAME["sample_weight"][:40]}, "shape of X"),
        ({"y": (Y + 1) % 3}, "other data: y not the same"),
        ({"shuffle": False}, "other data: shuffle not the same"),
        ({"sample_weight": None}, "other data: weights not the same"),
        ({"class_weight": {1: 5.0}}, "other data: weights not the same"),
        ({"validation_data": (X, Y)}, "other validation_data"),
    ],
)
def test_other_data_weights_or_shuffling_are_refused(tmp_path, changed, message):
    path = tmp_path / "run.npz"
    fc.Trainer(network()).fit(X, Y, epochs=1, checkpoint=path, **SAME)
    trainer = fc.Trainer(network(seed=9))
    before = trainer.model.state()
    with pytest.raises(ValueError, match=rf"run\.npz is not a checkpoint to go on from: .*{message}"):
        trainer.fit(**{"X": X, "y": Y, **SAME, **changed}, epochs=2, checkpoint=path, resume=True)
    for name, array in trainer.model.state().items():
        np.testing.assert_array_equal(array, before[name])
    same = {"X": X.astype(np.float64), "y": Y.astype(np.int8), **SAME}
    trainer.fit(**same, epochs=2, checkpoint=path, resume=True)


def test_other_metrics_are_refused(tmp_path):
    path = tmp_path / "run.npz"
    fc.Trainer(network()).fit(X, Y, epochs=1, checkpoint=path)
    with pytest.raises(ValueError, match=r"other metrics: `metrics` was .*accuracy.*f1"):
        fc.Trainer(network(), metrics=("f1",)).fit(X, Y, epochs=2, checkpoint=path, resume=True)


PROGRAM = """if True:
    import sys, numpy as np, fastconv as fc
    class Falling:
        def __init__(self, start):
            self.start, self.shape = start, np.array([1.0, 2.0])
        def learning_rates(self, first_step, count, steps_per_epoch, total_steps):
            return self.start / (1.0 + np.arange(first_step, first_step + count))
    path, epochs, start = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce", optimizer=fc.SGD(Falling(start)))
    X = np.random.default_rng(0).random((20, 1, 6, 6))
    history = trainer.fit(X, np.arange(20) % 2, epochs=epochs, checkpoint=path, resume=True)
    print(len(history["loss"]))
"""


def test_a_schedule_of_the_users_own_resumes_in_a_new_process(tmp_path):
    def program(epochs, start):
        command = [sys.executable, "-c", PROGRAM, tmp_path / "run.npz", str(epochs), str(start)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert program(2, 0.1).stdout.strip() == "2"
    assert program(4, 0.1).stdout.strip() == "4"
    other = program(5, 0.2)
    assert "`optimizer` was" in other.stderr
