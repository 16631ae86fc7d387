"""Convolutions and their gradients by Winograd's products, against direct sums in float64."""

import numpy as np
import pytest
from numba import njit

from fastconv import simd
from fastconv.kernels.lanes import conv, winograd, winograd_weights
from fastconv.kernels.lanes.operation import STATE, STATE_SIZE
from tests.kernels import reference_taps

CASES = [  # channels, outputs, (height, width) of x, (top, left) padding, the same at bottom and right
    (1, 1, (4, 4), (1, 1)),
    (3, 5, (7, 9), (1, 1)),
    (17, 18, (11, 13), (0, 2)),
    (32, 24, (16, 16), (1, 1)),
    (70, 9, (6, 5), (1, 1)),
    (130, 33, (5, 14), (2, 0)),
    (4, 16, (33, 6), (0, 0)),
]
in_cases = pytest.mark.parametrize(("channels", "outputs", "size", "padding"), CASES)
in_dtypes = pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-13), (np.float32, 1e-5)])


def runner(operation):
    function = operation.function

    @njit
    def run(a, b, c, d, e, f, g, s):
        p = simd.pointer
        function(p(a), p(b), p(c), p(d), p(e), p(f), p(g), p(s))

    return run


RUNNERS = {
    operation.name: runner(operation)
    for operation in (
        winograd_weights.transform_weights,
        winograd.winograd,
        winograd.winograd_grad_weight,
        winograd_weights.winograd_weight_sums,
    )
}


def run(name, arrays, g, **state):
    numbers = {"threads": 1, "shards": 1, "fresh": 1} | state
    s = np.zeros(STATE_SIZE, np.int64)
    for field, value in numbers.items():
        s[getattr(STATE, field)] = value
    flat = [array.reshape(-1) for array in arrays]
    RUNNERS[name](*flat, *[flat[0]] * (6 - len(flat)), np.array(g, np.int64), s)


def aligned(shape, dtype, value=0.0):
    """An array that begins at a whole vector."""
    item = np.dtype(dtype).itemsize
    memory = np.full(int(np.prod(shape)) + 64 // item, value, dtype)
    first = -memory.ctypes.data // item % (64 // item)
    return memory[first : first + int(np.prod(shape))].reshape(shape)


def in_lanes(images, padding=(0, 0)):
    """Planes [channels][height][width][lanes] in a halo of zeros."""
    (top, left), (count, channels, height, width) = padding, images.shape
    planes = aligned((channels, height + 2 * top, width + 2 * left, count), images.dtype)
    planes[:, top : top + height, left : left + width] = images.transpose(1, 2, 3, 0)
    return planes


def steps(planes):
    return planes.shape[1] * planes.shape[2], planes.shape[2]


def transformed(weight, turned):
    """The transformed weights, made by three threads one after the other."""
    lanes = 64 // weight.itemsize
    g = winograd_weights.transform_weights_geometry(*weight.shape[:2], lanes, turned)
    u = aligned((36 * winograd.matrix_distance(g.outputs, g.channels, lanes) * lanes,), weight.dtype)
    for thread in range(3):
        run("transform_weights", [weight, u], g, threads=3, thread=thread)
    return u


def convolved(x, weight, bias, size, ending=conv.PLAIN, gate=None, turned=False):
    """The convolution of planes with their halo."""
    lanes, dtype = 64 // x.itemsize, x.dtype
    outputs = weight.shape[1 if turned else 0]
    y = aligned((outputs, *size, lanes), dtype, np.nan)
    has_bias = bias is not None
    g = winograd.winograd_geometry(
        len(x), outputs, size, (0, 0), steps(x), steps(y), lanes, ending, int(has_bias)
    )
    scratch = aligned((winograd.scratch_size(g, lanes),), dtype, np.nan)
    some = x if bias is None else bias
    run("winograd", [x, transformed(weight, turned), some, x if gate is None else gate, y, scratch], g)
    return y.transpose(3, 0, 1, 2)


def sample(channels, outputs, size, dtype):
    rng, lanes = np.random.default_rng(0), 64 // np.dtype(dtype).itemsize
    x = rng.standard_normal((lanes, channels, *size)).astype(dtype)
    weight = (rng.standard_normal((outputs, channels, 3, 3)) / np.sqrt(9 * channels)).astype(dtype)
    return x, weight, rng.standard_normal(outputs).astype(dtype)


def gradient_like(y, dtype):
    return np.random.default_rng(1).standard_normal(y.shape).astype(dtype)


@in_dtypes
@in_cases
def test_the_convolution_is_that_of_direct_sums(channels, outputs, size, padding, dtype, error):
    x, weight, bias = sample(channels, outputs, size, dtype)
    expected = reference_taps.conv2d(x, weight, bias, padding=padding)
    planes = in_lanes(x, padding)
    found = convolved(planes, weight, bias, expected.shape[2:])
    np.testing.assert_allclose(found, expected, rtol=0, atol=error * np.abs(expected).max())
    found = convolved(planes, weight, bias, expected.shape[2:], conv.RELU)
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=0, atol=error * np.abs(expected).max())


@in_dtypes
@in_cases
def test_the_gradient_of_the_input_is_that_of_direct_sums(channels, outputs, size, padding, dtype, error):
    x, weight, _ = sample(channels, outputs, size, dtype)
    dy = gradient_like(reference_taps.conv2d(x, weight, padding=padding), dtype)
    expected = reference_taps.conv2d_grad_input(dy, weight, size, padding=padding)
    around = 2 - padding[0], 2 - padding[1]
    gate = in_lanes(x)
    found = convolved(in_lanes(dy, around), weight, None, size, conv.GATE, gate, turned=True)
    wanted = np.where(x > 0, expected, 0)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=error * np.abs(expected).max())


@in_dtypes
@in_cases
def test_the_gradient_of_the_weights_is_that_of_direct_sums(channels, outputs, size, padding, dtype, error):
    x, weight, _ = sample(channels, outputs, size, dtype)
    dy = gradient_like(reference_taps.conv2d(x, weight, padding=padding), dtype)
    expected = reference_taps.conv2d_grad_weight(x, dy, (3, 3), padding=padding)
    lanes, planes, slopes = len(x), in_lanes(x, padding), in_lanes(dy)
    g = winograd.grad_weight_geometry(
        channels, outputs, dy.shape[2:], (0, 0), steps(planes), steps(slopes), lanes
    )
    scratch = aligned((winograd.scratch_size(g, lanes),), dtype, np.nan)
    size = 36 * winograd.matrix_distance(outputs, channels, lanes) * lanes
    shards, found = aligned((2, size), dtype, np.nan), np.full(weight.shape, np.nan, dtype)
    for shard, blocks in enumerate((2, 1)):
        for block in range(blocks):
            run("winograd_grad_weight", [planes, slopes, shards[shard], scratch], g, fresh=int(block == 0))
    g = winograd_weights.weight_sums_geometry(outputs, channels, lanes, size)
    for thread in range(3):
        run("winograd_weight_sums", [shards, found], g, shards=2, threads=3, thread=thread)
    np.testing.assert_allclose(found, 3 * expected, rtol=0, atol=3 * error * np.abs(expected).max())


@pytest.mark.parametrize("channels", [16, 64, 256])
def test_errors_stay_within_those_promised(channels):
    x, weight, bias = sample(channels, 8, (16, 16), np.float32)
    x = np.maximum(x, 0)  # as it comes out of a ReLU
    expected = reference_taps.conv2d(x, weight, bias, padding=1)
    found = convolved(in_lanes(x, (1, 1)), weight, bias, (16, 16))
    assert np.sqrt(((found - expected) ** 2).mean()) < 1e-6 * np.sqrt((expected**2).mean())
