"""Training one batch at a time."""

import copy
import pickle

import numpy as np
import pytest

import fastconv as fc
from fastconv.training import loops
from tests.training.batches_of_runs import WEIGHT, X, Y, assert_same_bits, batches, network


def test_train_on_batch_takes_the_steps_of_fit_and_returns_their_losses():
    model, expected = network(), network()
    wanted = fc.Trainer(expected, optimizer=fc.Adam(0.01), metrics=("f1",)).fit(batches(16, 30, 4), epochs=1)
    trainer = fc.Trainer(model, optimizer=fc.Adam(0.01), metrics=("f1",))
    losses = [trainer.train_on_batch(*part) for part in batches(16, 30, 4)]
    assert_same_bits(model, expected)
    assert all(type(loss) is float for loss in losses)
    assert wanted["loss"][0] == pytest.approx(np.average(losses, weights=[16, 30, 4]))
    assert trainer.steps_taken == 3


def test_train_on_batch_keeps_up_with_a_new_optimizer_and_another_number_of_threads():
    before = fc.get_num_threads()
    model, expected = network(), network()
    trainer, other = (fc.Trainer(m, optimizer=fc.SGD(0.1, momentum=0.5)) for m in (model, expected))
    try:
        for k, part in enumerate(batches(20, 20, 10)):
            fc.set_num_threads(1 + k % 2)
            trainer.optimizer = other.optimizer = fc.SGD(0.1 / (k + 1), momentum=0.5 + 0.1 * k)
            trainer.train_on_batch(*part)
            other.fit(*part, epochs=1, shuffle=False, batch_size=50)
    finally:
        fc.set_num_threads(before)
    assert_same_bits(model, expected)


def test_train_on_batch_builds_its_engine_once(monkeypatch):
    trainer = fc.Trainer(network())
    trainer.train_on_batch(X, Y)
    trainer.train_on_batch(X[:8], Y[:8])  # so few samples have an engine of their own
    monkeypatch.setattr(loops, "Engine", None)
    trainer.train_on_batch(X[:9], Y[:9])
    trainer.train_on_batch(X[:7], Y[:7])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))])
def test_a_copy_of_a_trainer_goes_on_by_itself(duplicate):
    trainer = fc.Trainer(network(), optimizer=fc.Adam(0.01))
    trainer.train_on_batch(X, Y)
    before = trainer.model.state()
    other = duplicate(trainer)
    other.train_on_batch(X, Y)
    for name, array in trainer.model.state().items():
        np.testing.assert_array_equal(array, before[name])
    trainer.train_on_batch(X, Y)
    assert_same_bits(trainer.model, other.model)


def test_train_on_batch_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match=r"`lr` must be a number for train_on_batch, got StepDecay"):
        fc.Trainer(network(), optimizer=fc.SGD(fc.StepDecay(0.1, 1))).train_on_batch(X, Y)
    trainer = fc.Trainer(network())
    with pytest.raises(ValueError, match=r"`sample_weight` must have shape \(50,\)"):
        trainer.train_on_batch(X, Y, WEIGHT[1:])
    with pytest.raises(fc.DivergedError):
        trainer.train_on_batch(X * np.nan, Y)
