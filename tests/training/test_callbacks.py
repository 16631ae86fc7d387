import csv
from types import SimpleNamespace

import numpy as np
import pytest

from fastconv.training.callbacks import CSVLogger, EarlyStopping, ModelCheckpoint


class Model:
    """One weight, which counts the epochs."""

    def __init__(self):
        self.weight = 0.0
        self.saves = []

    def state(self):
        return {"weight": np.array(self.weight)}

    def load_state(self, state):
        self.weight = float(state["weight"])

    def save(self, path):
        self.saves.append((path, self.weight))


def run(callback, values, name="val_loss", first_epoch=0, epochs=None, **more):
    """Train for as many epochs as there are values of the figure `name`, or until stopped."""
    trainer = SimpleNamespace(model=Model(), stop_training=False)
    for epoch, value in enumerate(values, first_epoch):
        trainer.model.weight = float(epoch)
        logs = {"epoch": epoch, "epochs": epochs or len(values), "loss": 1.0, **more, name: value}
        callback.on_epoch_end(trainer, logs)
        if trainer.stop_training:
            break
    return trainer


def test_early_stopping_stops_after_patience_epochs_and_restores_the_best_weights():
    stopping = EarlyStopping(patience=2)
    trainer = run(stopping, [0.5, 0.3, 0.4, 0.35, 0.1])
    assert trainer.stop_training
    assert (stopping.best, stopping.best_epoch, stopping.stopped_epoch) == (0.3, 1, 3)
    assert trainer.model.weight == 1.0


def test_an_improvement_starts_the_patience_anew():
    stopping = EarlyStopping(patience=2)
    run(stopping, [0.5, 0.6, 0.4, 0.5, 0.3, 0.4, 0.4, 0.0])
    assert (stopping.best, stopping.stopped_epoch) == (0.3, 6)


def test_early_stopping_restores_the_best_weights_at_the_normal_end_too():
    trainer = run(EarlyStopping(patience=9), [0.5, 0.3, 0.4])
    assert not trainer.stop_training
    assert trainer.model.weight == 1.0


def test_early_stopping_leaves_the_weights_if_told_to():
    assert run(EarlyStopping(patience=1, restore_best_weights=False), [0.3, 0.4]).model.weight == 1.0


def test_an_improvement_no_larger_than_min_delta_is_none():
    stopping = EarlyStopping(patience=2, min_delta=0.25)
    run(stopping, [0.5, 0.25, 0.42, 0.0])
    assert stopping.stopped_epoch == 2
    assert stopping.best == 0.5


@pytest.mark.parametrize("monitor", ["val_accuracy", "accuracy", "val_f1", "auc"])
def test_figures_like_accuracy_must_grow(monitor):
    stopping = EarlyStopping(monitor, patience=1)
    run(stopping, [0.5, 0.6, 0.55, 0.9], name=monitor)
    assert (stopping.best, stopping.stopped_epoch) == (0.6, 2)


def test_the_mode_can_be_forced():
    stopping = EarlyStopping("val_loss", patience=1, mode="max")
    run(stopping, [0.5, 0.6, 0.4])
    assert stopping.best == 0.6


def test_without_validation_the_training_loss_is_watched():
    stopping = EarlyStopping(patience=1)
    run(stopping, [0.5, 0.4, 0.6], name="loss")
    assert (stopping.best, stopping.stopped_epoch) == (0.4, 2)


def test_nan_is_no_improvement():
    stopping = EarlyStopping(patience=2)
    trainer = run(stopping, [float("nan")] * 4)
    assert (stopping.best, stopping.stopped_epoch, trainer.model.weight) == (None, 1, 1.0)


def test_a_callback_can_be_used_for_a_second_run():
    stopping = EarlyStopping(patience=1)
    run(stopping, [0.1, 0.2])
    trainer = run(stopping, [0.9, 0.8, 0.7])
    assert not trainer.stop_training
    assert stopping.best == 0.7


def test_an_unknown_figure_is_refused_with_those_there_are():
    with pytest.raises(
        ValueError, match="`monitor` must be one of epoch, epochs, loss, val_loss, got 'val_f1'"
    ):
        run(EarlyStopping("val_f1"), [0.5])


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"patience": -1}, ValueError, "patience"),
        ({"patience": 1.5}, TypeError, "patience"),
        ({"min_delta": -1}, ValueError, "min_delta"),
        ({"mode": "best"}, ValueError, "mode"),
        ({"monitor": 3}, TypeError, "monitor"),
    ],
)
def test_wrong_settings_are_refused_by_name(options, error, name):
    with pytest.raises(error, match=f"`{name}` must be"):
        EarlyStopping(**options)


def test_a_checkpoint_keeps_the_best_epoch():
    checkpoint = ModelCheckpoint("best.npz")
    trainer = run(checkpoint, [0.5, 0.6, 0.4])
    assert trainer.model.saves == [("best.npz", 0.0), ("best.npz", 2.0)]
    assert checkpoint.best == 0.4
    assert checkpoint.saved == "best.npz"


def test_a_checkpoint_can_be_written_every_epoch_with_figures_in_its_name(tmp_path):
    checkpoint = ModelCheckpoint(
        tmp_path / "{epoch:02d}-{val_loss:.2f}.npz", monitor="none", save_best_only=False
    )
    saves = run(checkpoint, [0.5, 0.6]).model.saves
    assert [path for path, _ in saves] == [str(tmp_path / "01-0.50.npz"), str(tmp_path / "02-0.60.npz")]


@pytest.mark.parametrize("path", ["{val_f1}.npz", "{}.npz", "{epoch.npz", "{epoch:s}.npz"])
def test_a_file_name_that_cannot_be_filled_in_is_refused(path):
    with pytest.raises(ValueError, match="`path` may name epoch, epochs, loss, val_loss in braces"):
        run(ModelCheckpoint(path), [0.5])


def rows(path):
    with open(path, newline="") as file:
        return list(csv.reader(file))


def test_the_csv_log_has_a_header_and_a_row_for_each_epoch_at_once(tmp_path):
    path = tmp_path / "log.csv"
    logger = CSVLogger(path)
    run(logger, [0.5], epochs=2)
    assert rows(path) == [["epoch", "loss", "val_loss"], ["0", "1.0", "0.5"]]
    run(logger, [0.25], first_epoch=1, epochs=2)
    assert rows(path)[2:] == [["1", "1.0", "0.25"]]


def test_the_csv_log_replaces_an_old_file_unless_it_appends(tmp_path):
    path = tmp_path / "log.csv"
    run(CSVLogger(path), [0.5, 0.4])
    run(CSVLogger(path), [0.3])
    assert [row[0] for row in rows(path)] == ["epoch", "0"]
    run(CSVLogger(path, append=True), [0.2], first_epoch=1)
    assert [row[0] for row in rows(path)] == ["epoch", "0", "1"]


def test_the_csv_log_refuses_to_append_other_columns(tmp_path):
    path = tmp_path / "log.csv"
    run(CSVLogger(path), [0.5])
    with pytest.raises(ValueError, match=r"log\.csv has the columns"):
        run(CSVLogger(path, append=True), [0.5], more=1)
    assert len(rows(path)) == 2


def test_numbers_in_the_csv_log_keep_all_their_digits(tmp_path):
    path = tmp_path / "log.csv"
    run(CSVLogger(path), [np.float64(1 / 3)])
    assert float(rows(path)[1][2]) == 1 / 3
