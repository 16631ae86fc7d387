"""Denormal numbers while a network trains."""

import time

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import SHAPE, large_data


def fastest(calls, repeats=15):
    """The shortest time of each call, taken in turns so that a busy machine slows all alike."""
    times = [[] for _ in calls]
    for _ in range(repeats):
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
    return [min(taken) for taken in times]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_denormal_inputs_and_weights_do_not_slow_a_step(dtype):
    tiny = np.finfo(dtype).tiny / 64
    images, labels = large_data(200)
    images = images.astype(dtype)

    def trainer(scale):
        model = fc.models.lenet5(dtype=dtype)
        model.flat_parameters[...] *= scale
        return fc.Trainer(model, optimizer=fc.SGD(0.0))

    normal, small_weights, small_inputs = trainer(1.0), trainer(tiny), trainer(1.0)
    small_images = images * images.dtype.type(tiny)
    assert 0 < small_images.max() < np.finfo(dtype).tiny
    times = fastest([
        lambda: normal.fit(images, labels, epochs=1),
        lambda: small_weights.fit(images, labels, epochs=1),
        lambda: small_inputs.fit(small_images, labels, epochs=1),
    ])  # fmt: skip
    assert max(times[1:]) < 1.6 * times[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_denormals_count_as_zero_on_every_thread(dtype):
    # A processor may be fast at denormals, so that time alone does not show that they are flushed.
    threads, smallest = fc.get_num_threads(), np.finfo(dtype).tiny
    model = fc.Sequential([fc.Dense(1, bias=False)], (1,), dtype=dtype)
    model.flat_parameters[...] = 0.5
    samples = np.full((200, 1), smallest, dtype)
    fc.set_num_threads(4)
    try:
        assert (model.predict(samples * 2) == smallest).all()
        assert (model.predict(samples) == 0).all()
    finally:
        fc.set_num_threads(threads)


def test_denormals_are_flushed_in_fastconv_only():
    model = fc.models.reference_cnn()
    model.predict(np.ones((40, *SHAPE)))
    fc.Trainer(model, "bce").fit(np.ones((40, *SHAPE)), np.zeros(40), epochs=1)
    assert np.float32(1e-40) * np.float32(0.5) > 0
    assert np.float64(1e-310) * np.float64(0.5) > 0
