"""The learning rate falls when a figure gets no better."""

from types import SimpleNamespace

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import Interrupt, X, Y, assert_same_state, figures, network


def rates(values, name="val_loss", lr=1.0, **options):
    """The learning rate after each epoch."""
    trainer, plateau = SimpleNamespace(optimizer=fc.SGD(lr)), fc.ReduceLROnPlateau(name, **options)
    after = []
    for epoch, value in enumerate(values):
        plateau.on_epoch_end(trainer, {"epoch": epoch, "epochs": 99, "loss": 1.0, name: value})
        after.append(trainer.optimizer.lr)
    return after


def test_the_rate_falls_after_patience_epochs_without_improvement():
    assert rates([3, 2, 2.5, 2.4, 2.3, 2.2], factor=0.5, patience=2) == [1, 1, 1, 0.5, 0.5, 0.25]


def test_an_improvement_starts_the_patience_anew():
    assert rates([3, 3, 2, 2, 2], factor=0.5, patience=2) == [1, 1, 1, 1, 0.5]


def test_epochs_of_the_cooldown_do_not_count_but_for_the_last():
    assert rates([3, 3, 3, 3, 3, 3], factor=0.5, patience=1, cooldown=2) == [1, 0.5, 0.5, 0.25, 0.25, 0.125]


def test_the_rate_never_falls_below_min_lr():
    assert rates([3] * 5, factor=0.1, patience=1, min_lr=0.05) == [1, 0.1, 0.05, 0.05, 0.05]


def test_an_improvement_must_be_larger_than_min_delta():
    assert rates([3, 2.95, 2.9], factor=0.5, patience=1, min_delta=0.2) == [1, 0.5, 0.25]


def test_figures_like_accuracy_must_grow():
    assert rates([0.5, 0.6, 0.55], "val_accuracy", factor=0.5, patience=1) == [1, 1, 0.5]
    assert rates([0.5, 0.6, 0.7], "val_accuracy", factor=0.5, patience=1, mode="min") == [1, 0.5, 0.25]


@pytest.mark.parametrize(("patience", "cooldown"), [(1, 0), (2, 0), (3, 1), (2, 3), (1, 1)])
def test_the_rates_are_those_of_keras(patience, cooldown):
    values = np.random.default_rng(0).integers(0, 9, 60) + 60 - np.arange(60) // 6
    lr, best, waited, cooling, expected = 1.0, np.inf, 0, 0, []
    for value in values:  # as it is written there
        if cooling > 0:
            cooling, waited = cooling - 1, 0
        if value < best - 1e-4:
            best, waited = value, 0
        elif not cooling > 0:
            waited += 1
            if waited >= patience and lr > 0.001:
                lr, cooling, waited = max(lr * 0.5, 0.001), cooldown, 0
        expected.append(lr)
    assert len(set(expected)) > 4
    assert rates(values, factor=0.5, patience=patience, cooldown=cooldown, min_lr=0.001) == expected


@pytest.mark.parametrize(
    ("options", "error", "name"),
    [
        ({"factor": 1.0}, ValueError, "factor"),
        ({"factor": 0}, ValueError, "factor"),
        ({"patience": -1}, ValueError, "patience"),
        ({"min_delta": "a"}, TypeError, "min_delta"),
        ({"cooldown": 1.5}, TypeError, "cooldown"),
        ({"min_lr": -1}, ValueError, "min_lr"),
        ({"mode": "best"}, ValueError, "mode"),
        ({"monitor": 3}, TypeError, "monitor"),
    ],
)
def test_wrong_settings_are_refused_by_name(options, error, name):
    with pytest.raises(error, match=f"`{name}` must be"):
        fc.ReduceLROnPlateau(**options)


def optimizers():
    def update(w, gradient, velocity, options):
        velocity = options.momentum * velocity + gradient
        return w - options.lr * velocity, velocity

    elementwise = fc.ElementwiseOptimizer(update, lr=0.02, momentum=0.9)
    return [fc.SGD(0.02, momentum=0.9), fc.Adam(0.02), fc.AdamW(0.02), fc.RMSprop(0.02), elementwise]


@pytest.mark.parametrize("optimizer", optimizers(), ids=lambda optimizer: type(optimizer).__name__)
def test_the_trainer_goes_on_with_the_lower_rate_and_its_moments(optimizer):
    class Rates:
        def learning_rates(self, first_step, count, steps_per_epoch, total_steps):
            epochs = np.arange(first_step, first_step + count) // steps_per_epoch
            return 0.02 * 0.5 ** ((epochs - 1).clip(0) // 2)

    trainer = fc.Trainer(network(), optimizer=optimizer)
    twin = fc.Trainer(network(), optimizer=optimizer.with_lr(Rates()))
    plateau = fc.ReduceLROnPlateau(
        "loss", factor=0.5, patience=2, mode="max", min_delta=9
    )  # only the first epoch improves
    history = trainer.fit(X, Y, epochs=6, callbacks=[plateau])
    assert history["learning_rate"] == [0.02] * 3 + [0.01] * 2 + [0.005]
    assert figures(twin.fit(X, Y, epochs=6)) == figures(history)
    assert_same_state(trainer.model, twin.model)
    assert trainer.optimizer == optimizer.with_lr(0.005)


def test_a_schedule_beside_it_is_refused_before_training():
    trainer = fc.Trainer(network(), optimizer=fc.SGD(fc.CosineDecay(0.1)))
    with pytest.raises(
        ValueError, match=r"`lr` must be a number for ReduceLROnPlateau, got CosineDecay.*choose one"
    ):
        trainer.fit(X, Y, callbacks=[fc.ReduceLROnPlateau("loss")])
    assert trainer.steps_taken == 0


# Runs that are cut off


def run(folder, *others, trainer=None, resume=False, optimizer=None):
    if trainer is None:
        trainer = fc.Trainer(network(), optimizer=optimizer or fc.SGD(0.02, momentum=0.9))
    plateau = fc.ReduceLROnPlateau("loss", factor=0.5, patience=1, mode="max", cooldown=2)
    callbacks = [plateau, *others]
    return trainer, trainer.fit(
        X, Y, epochs=8, checkpoint=folder / "run.npz", resume=resume, callbacks=callbacks
    )


@pytest.mark.parametrize("same_trainer", [False, True])
@pytest.mark.parametrize("cut", range(1, 8))
def test_a_run_cut_anywhere_ends_like_one_that_was_not(tmp_path, cut, same_trainer):
    (tmp_path / "whole").mkdir()
    whole, expected = run(tmp_path / "whole")
    assert len(set(expected["learning_rate"])) == 4
    trainer = fc.Trainer(network(), optimizer=fc.SGD(0.02, momentum=0.9)) if same_trainer else None
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Interrupt(cut), trainer=trainer)
    resumed, history = run(tmp_path, trainer=trainer, resume=True)
    assert figures(history) == figures(expected)
    assert_same_state(resumed.model, whole.model)
    assert resumed.optimizer == whole.optimizer


class Assigns:
    def __init__(self, optimizer):
        self.optimizer = optimizer

    def on_epoch_end(self, trainer, logs):
        if logs["epoch"] == 2:
            trainer.optimizer = self.optimizer


@pytest.mark.parametrize(
    "assigned",
    [
        fc.SGD(0.5),
        fc.SGD(0.5, momentum=0.1, clip_norm=1.0),
        fc.Adam(0.01, betas=(0.8, 0.9)),
        fc.RMSprop(0.01),
    ],
)
@pytest.mark.parametrize("cut", [2, 3, 5])
def test_a_run_goes_on_with_the_optimizer_that_a_callback_had_assigned(tmp_path, assigned, cut):
    def fit(path, *others, resume=False):
        trainer = fc.Trainer(network(), optimizer=fc.SGD(0.02, momentum=0.9))
        callbacks = [Assigns(assigned), *others]
        trainer.fit(X, Y, epochs=7, checkpoint=path, resume=resume, callbacks=callbacks)
        return trainer

    whole = fit(tmp_path / "whole.npz")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "run.npz", Interrupt(cut))
    resumed = fit(tmp_path / "run.npz", resume=True)
    assert resumed.optimizer == assigned
    assert_same_state(resumed.model, whole.model)


def test_an_optimizer_that_cannot_be_made_again_is_said_and_changes_nothing(tmp_path):
    def fit(trainer, **others):
        trainer.fit(X, Y, epochs=4, checkpoint=tmp_path / "run.npz", callbacks=[Assigns(odd)], **others)

    odd = fc.SGD(fc.CosineDecay(0.1))
    fit(fc.Trainer(network()))
    trainer = fc.Trainer(network(seed=9))
    before = trainer.model.state()
    with pytest.raises(
        ValueError, match=r"a callback had assigned an optimizer that can't be made from the file"
    ):
        fit(trainer, resume=True)
    for name, array in trainer.model.state().items():
        np.testing.assert_array_equal(array, before[name])
    assert trainer.optimizer == fc.SGD()


def test_a_trainer_with_another_rate_is_still_refused(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Interrupt(3))
    with pytest.raises(ValueError, match="`optimizer` was"):
        run(tmp_path, optimizer=fc.SGD(0.01, momentum=0.9), resume=True)
