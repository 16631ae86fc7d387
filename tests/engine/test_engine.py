"""Engines: when one is built, used again, kept and let go."""

import gc
import weakref

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import engine, loop, pool, workers
from fastconv.engine.run import Run

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


@pytest.fixture
def builds(monkeypatch):
    """The purposes of all engines built so far."""
    purposes, build = [], engine.Builder

    def noted(network, run, *arguments):
        purposes.append(run.purpose)
        return build(network, run, *arguments)

    monkeypatch.setattr(engine, "Builder", noted)
    return purposes


def test_a_second_prediction_or_evaluation_builds_nothing(builds):
    model = fc.models.reference_cnn()
    X, y = np.random.default_rng(0).random((50, 1, 6, 6)), np.arange(50) % 2
    trainer = fc.Trainer(model, "bce")
    for _ in range(3):
        model.predict(X)
        model.predict(X[:49])  # as many blocks
        trainer.evaluate(X, y)
        model.loss_and_gradients(X, y, "bce")
    assert builds == ["predict", "evaluate", "gradients"]


def test_another_batch_size_loss_or_number_of_threads_builds_another_engine(builds):
    model = fc.models.reference_cnn()
    X, y = np.random.default_rng(0).random((50, 1, 6, 6)), np.arange(50) % 2
    fc.set_num_threads(1)
    model.predict(X)
    fc.set_num_threads(2)
    model.predict(X)
    model.predict(X, batch_size=7)
    for loss in ("bce", "mse"):
        fc.Trainer(model, loss).evaluate(X, y)
    assert builds == ["predict"] * 3 + ["evaluate"] * 2


def test_only_the_engines_used_last_are_kept(builds):
    model, X = fc.models.reference_cnn(), np.ones((50, 1, 6, 6))
    for batch_size in range(1, 8):
        model.predict(X, batch_size=batch_size)
    assert len(model.engines._engines) == 4
    model.predict(X, batch_size=7)
    assert len(builds) == 7


def test_a_large_engine_is_not_kept(monkeypatch):
    monkeypatch.setattr(pool, "KEPT_BYTES", 10)
    model = fc.models.reference_cnn()
    model.predict(np.ones((50, 1, 6, 6)))
    assert model.engines._engines == []


def test_an_idle_engine_holds_no_array_of_the_callers():
    model = fc.models.reference_cnn()
    X = np.ones((50, 1, 6, 6))
    seen = [weakref.ref(X), weakref.ref(model.predict(X))]
    assert model.engines._engines
    del X
    gc.collect()
    assert [reference() for reference in seen] == [None, None]


def test_a_model_that_predicted_is_freed_at_once_with_its_engines():
    model = fc.models.reference_cnn()
    model.predict(np.ones((50, 1, 6, 6)))
    idle = weakref.ref(model.engines._engines[0])
    gc.disable()
    try:
        del model
        assert idle() is None
    finally:
        gc.enable()


def test_an_engine_whose_run_was_interrupted_works_again(monkeypatch):
    fc.set_num_threads(3)
    model = fc.models.lenet5()
    X = np.random.default_rng(0).random((64, 1, 28, 28), dtype=np.float32)
    expected, output = model.predict(X), np.empty((64, 10), np.float32)
    runner = engine.Engine(model, Run("predict", 64, fc.get_num_threads()))

    def interrupted(*arguments):
        raise KeyboardInterrupt

    for _ in range(3):
        monkeypatch.setattr(workers, "run_steps", interrupted)
        runner.load(X)
        runner.write_to(output)
        with pytest.raises(KeyboardInterrupt):
            runner.run(0, 1)
        monkeypatch.setattr(workers, "run_steps", loop.run_steps)
        runner.run(0, 1)
        np.testing.assert_array_equal(output, expected)
        output[...] = np.nan


def test_a_network_with_little_work_gets_as_many_threads_as_pay(monkeypatch):
    monkeypatch.undo()  # of what lets the other tests' small networks use all threads
    assert engine.Engine(fc.models.reference_cnn(), Run("predict", 512, threads=8)).threads == 1
    assert engine.Engine(fc.models.lenet5(), Run("predict", 512, threads=8)).threads == 8
    few = engine.Engine(fc.models.lenet5(), Run("predict", 20, threads=8))
    assert few.threads == 5, "more than there are blocks take a million products each"
    assert engine.Engine(fc.models.lenet5(), Run("predict", 2, threads=8)).threads == 1
