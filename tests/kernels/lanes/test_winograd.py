"""Convolutions and their gradients by Winograd's products, against direct sums in float64."""

import numpy as np
import pytest
from numba import njit

from fastconv import simd
from fastconv.kernels.lanes import conv, winograd, winograd_weights
from fastconv.kernels.lanes.operation import STATE, STATE_SIZE
from fastconv.kernels.lanes.winograd_parts import input_halo, inputs_of, parts_of, slope_halo
from fastconv.kernels.lanes.winograd_weights import WEIGHTS
from tests.kernels import reference_taps

CASES = [  # channels, outputs, kernel, taps at once, stride, size of x, padding before it and after it
    (1, 1, (3, 3), (3, 3), (1, 1), (4, 4), (1, 1), (1, 1)),
    (3, 5, (3, 3), (3, 3), (1, 1), (7, 9), (1, 1), (1, 1)),
    (17, 18, (3, 3), (3, 3), (1, 1), (11, 13), (0, 2), (0, 2)),
    (32, 24, (3, 3), (3, 3), (1, 1), (16, 16), (1, 1), (1, 1)),
    (70, 9, (3, 3), (3, 3), (1, 1), (6, 5), (1, 1), (1, 1)),
    (130, 33, (3, 3), (3, 3), (1, 1), (5, 14), (2, 0), (2, 0)),
    (4, 16, (3, 3), (3, 3), (1, 1), (33, 6), (0, 0), (0, 0)),
    (6, 16, (5, 5), (5, 5), (1, 1), (14, 14), (0, 0), (0, 0)),
    (3, 7, (5, 5), (5, 5), (1, 1), (9, 12), (2, 2), (2, 2)),
    (5, 4, (5, 5), (3, 3), (1, 1), (12, 9), (2, 1), (1, 2)),
    (5, 6, (4, 4), (4, 4), (1, 1), (8, 10), (1, 2), (2, 1)),
    (9, 8, (2, 2), (2, 2), (1, 1), (8, 11), (0, 1), (1, 0)),
    (3, 8, (3, 5), (3, 5), (1, 1), (8, 11), (1, 2), (1, 2)),
    (3, 8, (3, 3), (4, 2), (1, 1), (8, 11), (1, 1), (1, 1)),
    (2, 3, (7, 7), (4, 4), (1, 1), (12, 15), (3, 3), (3, 3)),
    (2, 3, (7, 6), (2, 3), (1, 1), (12, 15), (3, 0), (1, 3)),
    (4, 10, (8, 8), (2, 2), (4, 4), (28, 32), (0, 0), (0, 0)),
    (1, 3, (8, 8), (2, 2), (4, 4), (35, 29), (2, 1), (3, 1)),
    (6, 9, (4, 4), (2, 2), (2, 2), (20, 13), (0, 0), (0, 0)),
    (6, 9, (4, 4), (2, 2), (2, 2), (16, 13), (1, 1), (1, 1)),
    (5, 17, (3, 3), (2, 2), (2, 2), (11, 14), (1, 0), (0, 1)),
    (3, 4, (7, 7), (4, 4), (2, 2), (21, 18), (3, 3), (3, 3)),
    (3, 4, (9, 7), (3, 2), (2, 1), (21, 18), (3, 3), (4, 0)),
    (2, 2, (2, 3), (2, 3), (3, 1), (19, 9), (0, 1), (0, 0)),
]
in_cases = pytest.mark.parametrize(
    ("channels", "outputs", "kernel", "taps", "stride", "size", "before", "after"), CASES
)
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
    numbers = {"parts": 1, "fresh": 1, "sums": 1} | state
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


def in_lanes(images, before=(0, 0), after=(0, 0)):
    """Planes [channels][height][width][lanes] in a halo of zeros."""
    (top, left), (bottom, right), (count, channels, height, width) = before, after, images.shape
    planes = aligned((channels, height + top + bottom, width + left + right, count), images.dtype)
    planes[:, top : top + height, left : left + width] = images.transpose(1, 2, 3, 0)
    return planes


def steps(planes):
    return planes.shape[1] * planes.shape[2], planes.shape[2]


def transformed(weight, parts, turned=False):
    """The transformed weights, made by three threads one after the other."""
    lanes = 64 // weight.itemsize
    g = winograd_weights.transform_weights_geometry(*weight.shape[:2], lanes, turned, parts)
    outputs, channels = g[WEIGHTS.outputs], g[WEIGHTS.channels]
    u = aligned((36 * winograd.matrix_distance(outputs, channels, lanes) * lanes,), weight.dtype, np.nan)
    for thread in range(3):
        run("transform_weights", [weight, u], g, parts=3, part=thread)
    return u


def run_winograd(x, u, bias, gate, y, g):
    scratch = aligned((winograd.scratch_size(g, 64 // x.itemsize),), x.dtype, np.nan)
    run("winograd", [x, u, x if bias is None else bias, x if gate is None else gate, y, scratch], g)


class Convolution:
    """A convolution of some images by the products, and what surrounds it."""

    def __init__(self, channels, outputs, kernel, taps, stride, size, before, after, dtype):
        rng, self.lanes = np.random.default_rng(0), 64 // np.dtype(dtype).itemsize
        self.parts, self.size, self.before, self.dtype = parts_of(kernel, stride, taps), size, before, dtype
        self.x = rng.standard_normal((self.lanes, channels, *size)).astype(dtype)
        scale = np.sqrt(np.prod(kernel) * channels)
        self.weight = (rng.standard_normal((outputs, channels, *kernel)) / scale).astype(dtype)
        self.bias = rng.standard_normal(outputs).astype(dtype)
        self.out_size = tuple(
            (n + a + b - k) // s + 1
            for n, a, b, k, s in zip(size, before, after, kernel, stride, strict=True)
        )
        self.dy = rng.standard_normal((self.lanes, outputs, *self.out_size)).astype(dtype)
        # The reference pads both sides alike: what is missing at the end is added there, and no more.
        width = [(0, 0), (0, 0), *zip(before, after, strict=True)]
        self.padded = np.pad(self.x, width)

    def planes(self):
        """The images in their halo, and the geometry's arguments for them."""
        _, bottom, _, right = input_halo(self.parts, self.size, self.out_size, self.before)
        planes = in_lanes(self.x, self.before, (bottom, right))
        return planes, ((0, 0), steps(planes))

    def forward(self, bias, ending=conv.PLAIN):
        """The outputs, whatever is to be done to them."""
        x, (padding, distances) = self.planes()
        y = aligned((len(self.weight), *self.out_size, self.lanes), self.dtype, np.nan)
        g = winograd.winograd_geometry(
            len(x), len(y), self.out_size, padding, distances, steps(y), self.lanes, ending,
            int(bias is not None), self.parts,
        )  # fmt: skip
        run_winograd(x, transformed(self.weight, self.parts), bias, None, y, g)
        return y.transpose(3, 0, 1, 2)

    def grad_input(self, dy):
        """The gradient of x, 0 where x is not positive, in a halo that must be left alone."""
        top, bottom, left, right = slope_halo(self.parts, self.size, self.out_size, self.before)
        before = top, left
        slopes = in_lanes(dy, before, (bottom, right))
        gate = in_lanes(self.x, (1, 2), (3, 1))
        dx = aligned(gate.shape, self.dtype, 7)
        g = winograd.grad_input_geometry(
            self.x.shape[1], len(self.weight), self.size, self.before, steps(slopes), steps(dx), self.lanes,
            conv.GATE, self.parts,
        )  # fmt: skip
        first = (dx.shape[2] + 2) * self.lanes
        start = (before[0] * slopes.shape[2] + before[1]) * self.lanes
        flat = slopes.reshape(-1)[start:], gate.reshape(-1)[first:], dx.reshape(-1)[first:]
        run_winograd(flat[0], transformed(self.weight, self.parts, turned=True), None, flat[1], flat[2], g)
        found = dx[:, 1 : 1 + self.size[0], 2 : 2 + self.size[1]].transpose(3, 0, 1, 2).copy()
        dx[:, 1 : 1 + self.size[0], 2 : 2 + self.size[1]] = 7
        assert (dx == 7).all()
        return found

    def grad_weight(self, dy):
        """Three times the gradients of weight and bias: of two blocks in one shard and one in another."""
        x, (padding, distances) = self.planes()
        slopes = in_lanes(dy)
        (outputs, channels), parts = self.weight.shape[:2], self.parts
        g = winograd.grad_weight_geometry(
            channels, outputs, self.out_size, padding, distances, steps(slopes), self.lanes, parts, 1
        )
        scratch = aligned((winograd.scratch_size(g, self.lanes),), self.dtype, np.nan)
        inputs = channels * inputs_of(parts, False)
        size = 36 * winograd.matrix_distance(outputs, inputs, self.lanes) * self.lanes
        shards, found = aligned((2, size), self.dtype, np.nan), np.full(self.weight.shape, np.nan, self.dtype)
        bias = np.full((2, outputs), np.nan, self.dtype)
        for shard, blocks in enumerate((2, 1)):
            for block in range(blocks):
                operands = [x, slopes, shards[shard], scratch, bias[shard]]
                run("winograd_grad_weight", operands, g, fresh=int(block == 0))
        g = winograd_weights.weight_sums_geometry(outputs, channels, self.lanes, size, parts)
        for thread in range(3):
            run("winograd_weight_sums", [shards, found], g, sums=2, parts=3, part=thread)
        return found, bias.sum(0)


@in_dtypes
@in_cases
def test_the_convolution_is_that_of_direct_sums(
    channels, outputs, kernel, taps, stride, size, before, after, dtype, error
):
    one = Convolution(channels, outputs, kernel, taps, stride, size, before, after, dtype)
    expected = reference_taps.conv2d(one.padded, one.weight, one.bias, stride=stride)
    allowed = error * np.abs(expected).max()
    np.testing.assert_allclose(one.forward(one.bias), expected, rtol=0, atol=allowed)
    found = one.forward(one.bias, conv.RELU)
    np.testing.assert_allclose(found, np.maximum(expected, 0), rtol=0, atol=allowed)
    plain = expected - one.bias[:, None, None]
    np.testing.assert_allclose(one.forward(None), plain, rtol=0, atol=allowed)


@in_dtypes
@in_cases
def test_the_gradient_of_the_input_is_that_of_direct_sums(
    channels, outputs, kernel, taps, stride, size, before, after, dtype, error
):
    one = Convolution(channels, outputs, kernel, taps, stride, size, before, after, dtype)
    padded = one.padded.shape[2:]
    expected = reference_taps.conv2d_grad_input(one.dy, one.weight, padded, stride=stride)
    (top, left), (height, width) = before, size
    expected = expected[:, :, top : top + height, left : left + width]
    wanted = np.where(one.x > 0, expected, 0)
    np.testing.assert_allclose(one.grad_input(one.dy), wanted, rtol=0, atol=error * np.abs(expected).max())


@in_dtypes
@in_cases
def test_the_gradient_of_the_weights_is_that_of_direct_sums(
    channels, outputs, kernel, taps, stride, size, before, after, dtype, error
):
    one = Convolution(channels, outputs, kernel, taps, stride, size, before, after, dtype)
    expected = reference_taps.conv2d_grad_weight(one.padded, one.dy, kernel, stride=stride)
    found, found_bias = one.grad_weight(one.dy)
    np.testing.assert_allclose(found, 3 * expected, rtol=0, atol=3 * error * np.abs(expected).max())
    expected = one.dy.sum((0, 2, 3), np.float64)
    np.testing.assert_allclose(found_bias, 3 * expected, rtol=0, atol=3 * error * np.abs(expected).max())


KERNELS = [  # kernel, taps at once, stride
    (3, 3, 1),
    (5, 5, 1),
    (5, 3, 1),
    (4, 4, 1),
    (7, 4, 1),
    (4, 2, 2),
    (5, 3, 2),
    (7, 4, 2),
    (8, 2, 4),
]


def _relative(found, exact):
    return np.sqrt(((found - exact) ** 2).mean() / (exact**2).mean())


def _of_pytorch(one, stride, padding, dtype):
    """Outputs and gradients of PyTorch's."""
    torch = pytest.importorskip("torch")
    x, w, dy = (torch.tensor(v, dtype=dtype) for v in (one.x, one.weight, one.dy))
    x.requires_grad_(), w.requires_grad_()
    y = torch.nn.functional.conv2d(x, w, stride=stride, padding=padding)
    y.backward(dy)
    return [v.detach().numpy() for v in (y, x.grad, w.grad)]


@pytest.mark.parametrize("kernel_taps_stride", KERNELS)
@pytest.mark.parametrize("channels", [8, 64, 128])
@pytest.mark.parametrize("activations", ["normal", "positive", "bright"])
def test_errors_are_at_most_five_times_those_of_pytorch(channels, kernel_taps_stride, activations):
    torch = pytest.importorskip("torch")
    kernel, taps, stride = kernel_taps_stride
    pairs = [(n, n) for n in (kernel, taps, stride, 14 * stride, kernel // 2, kernel // 2)]
    one = Convolution(channels, 32, *pairs, np.float32)
    if activations != "normal":
        one.x = np.maximum(one.x, 0)  # as it comes out of a ReLU
    if activations == "bright":
        one.x = (0.5 + 0.3 * one.x).astype(np.float32)  # as images are: no zeros
    exact = _of_pytorch(one, stride, kernel // 2, torch.float64)
    direct = _of_pytorch(one, stride, kernel // 2, torch.float32)
    found = [one.forward(None), one.grad_input(one.dy), one.grad_weight(one.dy)[0] / 3]
    for values in (exact, direct):
        values[1] = np.where(one.x > 0, values[1], 0)
    for ours, theirs, right in zip(found, direct, exact, strict=True):
        assert _relative(ours, right) <= 5 * _relative(theirs, right)
        assert _relative(ours, right) < 2e-6
