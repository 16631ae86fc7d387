"""Checkpoints: a run that goes on from its file."""

import os

import numpy as np
import pytest

import fastconv as fc
from fastconv.formats.model_file import read_model
from tests.training.small_runs import (
    Display,
    Interrupt,
    X,
    Y,
    assert_same_state,
    figures,
    network,
    plain_network,
)

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


def test_a_checkpoint_of_another_clipping_is_refused_and_one_without_it_says_nothing_of_it(tmp_path):
    path = tmp_path / "run.npz"
    fc.Trainer(network(), optimizer=fc.SGD(0.1)).fit(X, Y, epochs=1, checkpoint=path)
    settings = read_model(path)[0]["run"]["optimizer"]
    assert settings.keys() == {"name", "lr", "momentum", "nesterov", "weight_decay"}
    with pytest.raises(ValueError, match="another network, loss, optimizer, seed"):
        fc.Trainer(network(), optimizer=fc.SGD(0.1, clip_norm=1.0)).fit(X, Y, checkpoint=path, resume=True)
