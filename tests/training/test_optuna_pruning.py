"""Optuna's pruners end runs through `fit`: what is reported, when it ends, and what is left behind."""

import statistics

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import X, Y, assert_same_state, figures, network

optuna = pytest.importorskip("optuna")
optuna.logging.set_verbosity(optuna.logging.ERROR)

EPOCHS = 6


class PrunesAfter(optuna.pruners.BasePruner):
    """Says so after some epochs, and notes when it was asked."""

    def __init__(self, epoch):
        self.epoch, self.asked = epoch, []

    def prune(self, study, trial):
        self.asked.append(trial.last_step)
        return trial.last_step >= self.epoch


def trial_of(pruner=None, **settings):
    return optuna.create_study(pruner=pruner or optuna.pruners.NopPruner(), **settings).ask()


def reported(trial):
    return trial.study.get_trials()[trial.number].intermediate_values


# What is reported


@pytest.mark.parametrize(("monitor", "direction"), [("val_loss", "minimize"), ("val_accuracy", "maximize")])
def test_every_epoch_is_reported_with_its_figure(monitor, direction):
    trial = trial_of(direction=direction)
    history = fc.Trainer(network()).fit(
        X, Y, epochs=EPOCHS, validation_data=(X, Y), callbacks=[fc.OptunaPruning(trial, monitor)]
    )
    assert reported(trial) == dict(enumerate(history[monitor]))


def test_epochs_are_counted_over_calls_of_fit():
    trial, trainer = trial_of(), fc.Trainer(network())
    pruning = fc.OptunaPruning(trial, "loss")
    for _ in range(2):
        trainer.fit(X, Y, epochs=2, callbacks=[pruning])
    assert reported(trial) == dict(enumerate(trainer.history["loss"]))


def test_without_validation_data_the_loss_is_reported_with_a_warning():
    trial = trial_of()
    with pytest.warns(UserWarning, match="'loss' is watched instead") as said:
        history = fc.Trainer(network()).fit(X, Y, epochs=2, callbacks=[fc.OptunaPruning(trial)])
    assert said[0].filename == __file__
    assert reported(trial) == dict(enumerate(history["loss"]))


def test_a_trial_without_a_study_is_told_and_prunes_nothing():
    trial = optuna.trial.FixedTrial({"lr": 0.1})
    history = fc.Trainer(network()).fit(X, Y, epochs=2, callbacks=[fc.OptunaPruning(trial, "loss")])
    assert len(history["loss"]) == 2


# When it ends


def rates():
    return [0.01, 0.1, 0.03, 0.0001, 0.2, 0.003, 0.3, 0.00001]


def curve(rate, *callbacks):
    trainer = fc.Trainer(network(), optimizer=fc.SGD(rate))
    return trainer.fit(X, Y, epochs=EPOCHS, validation_data=(X, Y), callbacks=callbacks)["val_loss"]


def test_the_median_pruner_prunes_the_runs_that_are_worse_than_the_median_of_those_before():
    def objective(trial):
        rate = trial.suggest_categorical("rate", rates())
        return curve(rate, fc.OptunaPruning(trial))[-1]

    pruner = optuna.pruners.MedianPruner(n_startup_trials=2, n_warmup_steps=1)
    study = optuna.create_study(pruner=pruner)
    for rate in rates():
        study.enqueue_trial({"rate": rate})
    study.optimize(objective, n_trials=len(rates()))

    complete, wanted = [], []
    for rate in rates():
        values = curve(rate)
        worse = [
            epoch
            for epoch in range(1, EPOCHS)
            if len(complete) >= 2
            and min(values[: epoch + 1]) > statistics.median(others[epoch] for others in complete)
        ]
        wanted.append(values[: worse[0] + 1] if worse else values)
        if not worse:
            complete.append(values)
    found = study.get_trials()
    assert [list(trial.intermediate_values.values()) for trial in found] == wanted
    states = [trial.state.name for trial in found]
    assert states == ["COMPLETE" if len(values) == EPOCHS else "PRUNED" for values in wanted]
    assert states.count("PRUNED") >= 2
    assert states.count("COMPLETE") >= 3


# What is left behind


def pruned_run(*others, epoch=2, epochs=EPOCHS, **settings):
    trainer = fc.Trainer(network(), optimizer=fc.Adam(0.01))
    callbacks = [fc.OptunaPruning(trial_of(PrunesAfter(epoch)), "loss"), *others]
    with pytest.raises(optuna.TrialPruned, match=rf"^pruned after epoch {epoch + 1}, with loss \d"):
        trainer.fit(X, Y, epochs=epochs, callbacks=callbacks, **settings)
    return trainer


def undisturbed(epochs):
    trainer = fc.Trainer(network(), optimizer=fc.Adam(0.01))
    return trainer, trainer.fit(X, Y, epochs=epochs)


def test_a_pruned_trainer_has_its_history_and_trains_on_with_the_same_bits():
    trainer = pruned_run()
    assert trainer.epochs_taken == len(trainer.history["loss"]) == 3
    again, _ = undisturbed(3)
    assert_same_state(trainer.model, again.model)
    for each in (trainer, again):
        each.fit(X, Y, epochs=2)
    assert_same_state(trainer.model, again.model)
    assert figures(trainer.history) == figures(again.history)


def test_a_pruned_run_has_a_checkpoint_of_its_last_epoch_to_go_on_from(tmp_path):
    path = tmp_path / "run.npz"
    pruned_run(checkpoint=path)
    with pytest.warns(UserWarning, match="its network after 3 epochs is taken"):
        assert_same_state(fc.load(path), undisturbed(3)[0].model)
    trainer = fc.Trainer(network(), optimizer=fc.Adam(0.01))
    with pytest.warns(UserWarning, match="the run has stopped after 3 of 6 epochs"):
        trainer.fit(X, Y, epochs=EPOCHS, checkpoint=path, resume=True)
    history = trainer.fit(X, Y, epochs=8, checkpoint=path, resume=True)
    whole, wanted = undisturbed(8)
    assert figures(history) == figures(wanted)
    assert_same_state(trainer.model, whole.model)


def test_the_other_callbacks_hear_of_the_end_wherever_they_stand():
    class Ends:
        def on_train_end(self, trainer):
            self.told = True

    def fails(self, trainer):
        raise RuntimeError("the second failure is not the one to be raised")

    failing, ends = type("Fails", (), {"on_train_end": fails})(), Ends()
    stopping = fc.EarlyStopping("val_loss", patience=50)
    others = [stopping, failing, ends]
    trainer = pruned_run(*others, validation_data=(X[:20], (Y[:20] + 1) % 3))
    assert ends.told
    found = trainer.evaluate(X[:20], (Y[:20] + 1) % 3)["loss"]
    assert found == pytest.approx(min(trainer.history["val_loss"]), rel=1e-6)
    assert trainer.history["val_loss"].index(min(trainer.history["val_loss"])) < 2, "no weights to put back"


def test_a_run_that_is_pruned_in_its_last_epoch_is_pruned():
    trainer = pruned_run(epoch=1, epochs=2)
    assert trainer.epochs_taken == 2


def test_a_callback_that_was_pruned_serves_the_next_call():
    pruner = PrunesAfter(1)
    trial, trainer = trial_of(pruner), fc.Trainer(network())
    pruning = fc.OptunaPruning(trial, "loss")
    for _ in range(2):
        with pytest.raises(optuna.TrialPruned):
            trainer.fit(X, Y, epochs=4, callbacks=[pruning])
    assert pruner.asked == [0, 1, 2]
    pruner.epoch = 99
    assert len(trainer.fit(X, Y, epochs=2, callbacks=[pruning])["loss"]) == 2


def test_a_study_over_estimators_prunes_between_epochs_of_partial_fit():
    pytest.importorskip("sklearn")

    def objective(trial):
        rate = trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
        classifier = fc.estimators.ConvClassifier(learning_rate=rate, random_state=0)
        for epoch in range(4):
            score = classifier.partial_fit(X, Y, classes=[0, 1, 2]).score(X, Y)
            trial.report(score, epoch)
            if trial.should_prune():
                raise optuna.TrialPruned
        return score

    study = optuna.create_study(direction="maximize", pruner=PrunesAfter(2))
    study.optimize(objective, n_trials=2)
    assert [trial.state.name for trial in study.trials] == ["PRUNED"] * 2
    assert all(len(trial.intermediate_values) == 3 for trial in study.trials)


# What is refused


@pytest.mark.parametrize("trial", [None, 3, "trial"])
def test_what_is_no_trial_is_refused(trial):
    with pytest.raises(TypeError, match="`trial` must be an Optuna trial, got"):
        fc.OptunaPruning(trial)


@pytest.mark.parametrize(
    ("monitor", "direction", "wanted"),
    [
        ("val_accuracy", "minimize", "maximize"),
        ("val_f1", "minimize", "maximize"),
        ("val_loss", "maximize", "minimize"),
        ("loss", "maximize", "minimize"),
    ],
)
def test_a_study_that_would_prune_the_best_is_refused(monitor, direction, wanted):
    message = rf"`monitor` must be a figure to {direction} .* got '{monitor}': .*\(direction=\"{wanted}\"\)"
    with pytest.raises(ValueError, match=message):
        fc.OptunaPruning(trial_of(direction=direction), monitor)
    fc.OptunaPruning(trial_of(direction=wanted), monitor)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_figure_of_ones_own_goes_by_the_study(direction):
    def spread(y, outputs):
        return float(np.ptp(outputs))

    trainer = fc.Trainer(network(), metrics=spread)
    trial = trial_of(direction=direction)
    history = trainer.fit(X, Y, epochs=2, callbacks=[fc.OptunaPruning(trial, "spread")])
    assert reported(trial) == dict(enumerate(history["spread"]))


def test_a_study_with_several_objectives_is_refused():
    trial = optuna.create_study(directions=["minimize", "maximize"]).ask()
    with pytest.raises(ValueError, match="`trial` must be of a study with one objective, got one with 2"):
        fc.OptunaPruning(trial)


def test_a_figure_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"`monitor` must be one of .*loss.*, got 'val_f1'"):
        fc.Trainer(network()).fit(
            X, Y, epochs=1, callbacks=[fc.OptunaPruning(trial_of(direction="maximize"), "val_f1")]
        )
