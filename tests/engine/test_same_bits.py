"""The same bits, however the work is divided."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import builder, engine
from fastconv.engine.builder import Builder
from fastconv.engine.loop import parts_of_block
from fastconv.engine.run import Run
from fastconv.engine.tables import MAX_SHARDS
from tests.engine.networks import (
    NETWORKS,
    THREADED,
    assert_same_bits,
    build,
    data_for,
    images_and_labels,
    trained_bits,
)

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


def assert_same_bits_on(numbers_of_threads, results_of):
    """`results_of` returns what it does on the first number of threads also on all the others."""
    first, *others = numbers_of_threads
    fc.set_num_threads(first)
    expected = results_of()
    for threads in others:
        fc.set_num_threads(threads)
        assert_same_bits(results_of(), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_have_the_same_bits_on_any_number_of_threads(dtype):
    assert_same_bits_on((1, 2, 3, 4, 8), lambda: trained_bits(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_has_the_same_bits_on_any_number_of_threads(name, dtype):
    def results():
        model = build(name, dtype)
        X, y = data_for(model, "mse", count=53)
        fc.Trainer(model, loss="mse").fit(X, y, epochs=1, batch_size=40, progress=False)
        loss, gradients = model.loss_and_gradients(X, y, "mse")
        return [loss, *gradients.values(), *model.state().values(), model.predict(X)]

    assert_same_bits_on((1, 2, 3), results)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_has_the_same_bits_where_threads_share_the_work_on_a_block(name, dtype):
    def results():
        model = build(name, dtype)
        X, y = data_for(model, "mse", count=5)
        loss, gradients = model.loss_and_gradients(X, y, "mse")
        predictions = [model.predict(X), model.predict(X[:1])]
        fc.Trainer(model, loss="mse").fit(X, y, epochs=2, batch_size=3, progress=False)
        return [loss, *gradients.values(), *model.state().values(), *predictions]

    assert_same_bits_on((1, 2, 5), results)


def test_operations_on_a_block_are_divided_where_there_are_fewer_blocks_than_threads(monkeypatch):
    model = fc.Sequential(THREADED, (2, 9, 8))
    kinds = {}
    for batch_size, threads in ((5, 1), (5, 2), (32, 2), (33, 2), (160, 2), (33, 64)):
        plan = Builder(model, Run("gradients", batch_size, threads, fc.losses.MSE())).plan
        kinds[batch_size, threads] = plan.divides
    assert kinds == {
        (5, 1): False,
        (5, 2): True,
        (32, 2): False,
        (33, 2): True,
        (160, 2): False,
        (33, 64): True,
    }
    monkeypatch.setattr(builder, "LONG", 10**9)
    assert not Builder(model, Run("gradients", 5, 2, fc.losses.MSE())).plan.divides


@pytest.mark.parametrize(
    ("blocks", "threads", "parts"),
    [(1, 1, 1), (1, 2, 2), (2, 2, 1), (3, 2, 2), (1, 3, 3), (2, 3, 3), (48, 64, 4), (64, 64, 1)],
)
def test_a_block_has_as_many_parts_as_keep_all_threads_busy(blocks, threads, parts):
    assert parts_of_block(blocks, threads) == parts


def test_batches_of_more_blocks_than_shards_have_the_same_bits_on_any_number_of_threads():
    large = {"dtype": "float64", "count": 11_000, "batch_size": 8 * MAX_SHARDS + 100, "epochs": 1}
    assert_same_bits_on((1, 2, 3), lambda: trained_bits(**large))


def test_batches_of_more_blocks_than_shards_have_the_gradients_of_their_parts():
    model = build("conv pairs")
    X, y = data_for(model, "mse", count=9001)
    loss, gradients = model.loss_and_gradients(X, y, "mse")
    parts = [(b - a, *model.loss_and_gradients(X[a:b], y[a:b], "mse")) for a, b in [(0, 4400), (4400, 9001)]]
    assert loss == pytest.approx(sum(n * value for n, value, _ in parts) / 9001, rel=1e-12)
    for name, gradient in gradients.items():
        expected = sum(n * part[name] for n, _, part in parts) / 9001
        np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seconds", [0.0, 1e-4, 100.0])
def test_results_have_the_same_bits_however_steps_are_split_into_calls(monkeypatch, seconds):
    schedule = fc.SGD(fc.CosineDecay(0.1), momentum=0.9)
    expected = trained_bits(batch_size=9, optimizer=schedule)
    monkeypatch.setattr(engine, "SECONDS_PER_CALL", seconds)
    assert_same_bits(trained_bits(batch_size=9, optimizer=schedule), expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_have_the_same_bits_for_any_batch_size(dtype):
    model = fc.Sequential(THREADED, (2, 9, 8), dtype=dtype)
    X, _ = images_and_labels(70, (2, 9, 8), 3)
    expected = model.predict(X, batch_size=70)
    for batch_size in (1, 3, 8, 16, 17, 64, 1000):
        np.testing.assert_array_equal(model.predict(X, batch_size=batch_size), expected)


def test_one_engine_runs_smaller_and_larger_sets_after_each_other():
    model = fc.models.reference_cnn()
    X = np.random.default_rng(0).random((50, 1, 6, 6), dtype=np.float32)
    expected = model.predict(X)
    runner = engine.Engine(model, Run("predict", 32, fc.get_num_threads()))
    for count in (50, 3, 40, 1):
        output = np.full((count, 1), np.nan, np.float32)
        runner.load(X[:count])
        runner.write_to(output)
        assert [first for first, _ in runner.run_all()] == list(range(-(-count // 32)))
        np.testing.assert_array_equal(output, expected[:count])
