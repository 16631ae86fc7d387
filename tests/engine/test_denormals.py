"""Denormal numbers are flushed to zero in compiled calls, and nowhere else."""

import time

import numpy as np
import pytest
from numba import njit

import fastconv as fc
from fastconv.engine import denormals


@njit
def divide_inside_and_outside(x, out, flush):
    """Through memory, or LLVM may move a division, or make one of both."""
    state = np.int64(0)
    if flush:
        state = denormals.flush_denormals()
    out[0] = x[0] / x[1]
    if flush:
        denormals.restore_denormals(state)
    out[1] = x[2] / x[3]


def quotients(x, flush):
    out = np.zeros(2, x.dtype)
    divide_inside_and_outside(np.tile(x, 2), out, flush)
    return tuple(out)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_denormals_are_0_between_flush_and_restore_and_numbers_again_after(dtype):
    x = np.array([np.finfo(dtype).tiny, 4], dtype)
    quarter = x[0] / dtype(4)
    assert quarter > 0
    assert quotients(x, False) == (quarter, quarter)
    assert quotients(x, True) == (0, quarter)
    assert quotients(np.array([quarter, 0.25], dtype), True)[0] == 0, "a denormal operand counts as 0"


@pytest.mark.parametrize("threads", [1, 2])
def test_the_callers_denormals_are_as_before_after_training_and_prediction(threads):
    fc.set_num_threads(threads)
    tiny = np.full(100, np.finfo(np.float32).tiny, np.float32)
    before = tiny / 8
    assert (before > 0).all()
    model = fc.models.reference_cnn()
    X = np.random.default_rng(0).random((40, 1, 6, 6), dtype=np.float32)
    trainer = fc.Trainer(model, loss="bce")
    for call in (
        lambda: trainer.fit(X, np.arange(40) % 2, epochs=1),
        lambda: trainer.evaluate(X, np.arange(40) % 2),
        lambda: model.predict(X),
        lambda: model.loss_and_gradients(X, np.arange(40) % 2, loss="bce"),
    ):
        call()
        assert np.array_equal(tiny / 8, before)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_network_computes_with_0_where_a_product_is_denormal_in_every_thread(threads):
    fc.set_num_threads(threads)
    model = fc.Sequential([fc.Dense(1, bias=False)], input_shape=(1,))
    model.parameters()["0.weight"][:] = 1e-30
    X = np.full((64, 1), 1e-10, np.float32)
    assert (X * np.float32(1e-30) > 0).all(), "NumPy gives denormals here"
    assert not model.predict(X).any()


def test_weights_that_are_denormal_do_not_slow_training_down():
    X, y = np.zeros((512, 1, 28, 28), np.float32), np.zeros(512, np.int64)
    X += np.random.default_rng(0).random(X.shape, dtype=np.float32)

    def seconds(scale):
        model = fc.models.lenet5()
        for array in model.parameters().values():
            array *= np.float32(scale)
        trainer = fc.Trainer(model, optimizer=fc.SGD(lr=1e-12))
        times = []
        for _ in range(5):
            started = time.perf_counter()
            trainer.fit(X, y, epochs=1, batch_size=128)
            times.append(time.perf_counter() - started)
        return min(times)

    fc.set_num_threads(1)
    seconds(1)
    assert seconds(1e-39) < 2 * seconds(1)
