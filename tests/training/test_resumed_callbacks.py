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
