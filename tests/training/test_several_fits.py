"""Calls of fit one after the other, and how to repeat a run."""

import copy
import pickle

import pytest

import fastconv as fc
from tests.training.small_runs import Interrupt, X, Y, assert_same_state, figures, network

AUGMENT = fc.Augment(shift=1, noise=0.1)


@pytest.mark.parametrize(
    "arguments", [{}, {"shuffle": False}, {"augment": AUGMENT}, {"validation_split": 0.2}]
)
@pytest.mark.parametrize("calls", [[1, 1, 1, 1], [2, 2], [1, 3]])
def test_calls_of_fit_go_on_where_the_last_one_ended(calls, arguments):
    whole = fc.Trainer(network(), optimizer=fc.Adam(0.01), seed=3)
    parts = fc.Trainer(network(), optimizer=fc.Adam(0.01), seed=3)
    expected = whole.fit(X, Y, epochs=4, batch_size=8, **arguments)
    for epochs in calls:
        assert len(parts.fit(X, Y, epochs=epochs, batch_size=8, **arguments)["loss"]) == epochs
    assert_same_state(parts.model, whole.model)
    assert figures(parts.history) == figures(whole.history) == figures(expected)


@pytest.mark.parametrize("make", [copy.deepcopy, lambda trainer: pickle.loads(pickle.dumps(trainer))])
def test_copies_of_a_trainer_go_on_too(make):
    trainer, whole = fc.Trainer(network()), fc.Trainer(network())
    trainer.fit(X, Y, epochs=2)
    twin = make(trainer)
    twin.fit(X, Y, epochs=2)
    whole.fit(X, Y, epochs=4)
    assert_same_state(twin.model, whole.model)
    assert len(twin.history["loss"]) == 4
    assert len(trainer.history["loss"]) == 2


def test_a_new_trainer_repeats_a_run_on_a_network_in_the_same_state():
    model = network()
    before = model.state()
    fc.Trainer(model, seed=3).fit(X, Y, epochs=2)
    after = copy.deepcopy(model)
    model.load_state(before)
    fc.Trainer(model, seed=3).fit(X, Y, epochs=2)
    assert_same_state(model, after)


def test_a_second_call_that_is_cut_off_resumes_with_its_own_order_of_samples(tmp_path):
    path, whole = tmp_path / "run.npz", fc.Trainer(network())
    for epochs in (2, 4):
        whole.fit(X, Y, epochs=epochs)
    first = fc.Trainer(network())
    first.fit(X, Y, epochs=2)
    with pytest.raises(KeyboardInterrupt):
        first.fit(X, Y, epochs=4, checkpoint=path, callbacks=[Interrupt(2)])
    resumed = fc.Trainer(network(seed=9))
    history = resumed.fit(X, Y, epochs=4, checkpoint=path, resume=True)
    assert_same_state(resumed.model, whole.model)
    assert len(history["loss"]) == 4


def test_the_history_that_is_handed_out_is_a_copy():
    trainer = fc.Trainer(network())
    trainer.fit(X, Y, epochs=1)
    trainer.history["loss"].clear()
    trainer.history.clear()
    trainer.fit(X, Y, epochs=1)
    assert len(trainer.history["loss"]) == 2
