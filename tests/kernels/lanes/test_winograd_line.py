"""Convolutions along a line and their gradients by Winograd's products, against direct sums in float64."""

import numpy as np
import pytest

from fastconv.kernels.lanes import conv, winograd_line, winograd_line_weights
from fastconv.kernels.lanes.winograd_line_forms import (
    FORMS,
    gradient_matrix,
    input_matrix,
    weight_matrix,
)
from fastconv.kernels.lanes.winograd_line_geometry import (
    grad_weight_geometry,
    inputs_end,
    line_of,
    results_end,
    scratch_size,
    winograd_line_geometry,
)
from tests.kernels import reference_taps
from tests.kernels.lanes.test_winograd import RUNNERS, aligned, run, runner, steps

RUNNERS.update(
    (operation.name, runner(operation))
    for operation in (
        winograd_line_weights.transform_line_weights,
        winograd_line.winograd_line,
        winograd_line.winograd_line_grad_weight,
        winograd_line_weights.winograd_line_weight_sums,
    )
)


def gradient_like(y, dtype):
    return np.random.default_rng(1).standard_normal(y.shape).astype(dtype)


CASES = [  # channels, outputs, kernel, axis, (height, width) of x, padding on both sides, dilation, stride
    (1, 1, 3, 1, (1, 5), 1, 1),
    (3, 5, 2, 1, (1, 9), 0, 1),
    (17, 18, 5, 1, (1, 31), 2, 1),
    (32, 9, 8, 1, (1, 40), 4, 1),
    (70, 16, 3, 1, (3, 11), 1, 1),
    (9, 20, 40, 1, (1, 61), 20, 1),
    (4, 16, 7, 0, (23, 3), 3, 1),
    (20, 7, 4, 1, (2, 30), 3, 2),
    (5, 6, 3, 0, (14, 5), 4, 3),
    (2, 3, 3, 1, (1, 4), 6, 5),
    (130, 24, 11, 1, (1, 140), 5, 1),
    (20, 9, 5, 1, (1, 44), 2, 1, 2),
    (33, 24, 17, 1, (2, 60), 8, 1, 4),
    (5, 18, 8, 0, (31, 3), 1, 1, 3),
    (3, 4, 3, 1, (1, 20), 0, 1, 4),
]
in_cases = pytest.mark.parametrize("sizes", CASES, ids=str)
in_forms = pytest.mark.parametrize("form", range(len(FORMS)), ids=map(repr, FORMS))
in_dtypes = pytest.mark.parametrize(("dtype", "error"), [(np.float64, 1e-12), (np.float32, 3e-5)])


class Case:
    """A convolution along a line, its numbers and the answers of direct sums."""

    def __init__(self, dtype, form, channels, outputs, kernel, axis, size, padding, dilation, stride=1):
        rng, self.dtype, self.form = np.random.default_rng(0), dtype, form
        self.lanes = 64 // np.dtype(dtype).itemsize
        self.kernel, self.axis, self.dilation = kernel, axis, dilation
        taps = (kernel, 1) if axis == 0 else (1, kernel)
        self.size, self.padding, self.stride = size, padding, stride
        self.x = rng.standard_normal((self.lanes, channels, *size)).astype(dtype)
        weight = rng.standard_normal((outputs, channels, *taps)) / np.sqrt(channels * kernel)
        self.weight = weight.astype(dtype)
        self.bias = rng.standard_normal(outputs).astype(dtype)
        self.options = {
            "padding": (padding, 0) if axis == 0 else (0, padding),
            "dilation": (dilation, 1) if axis == 0 else (1, dilation),
            "stride": (stride, 1) if axis == 0 else (1, stride),
        }
        self.y = reference_taps.conv2d(self.x, self.weight, self.bias, **self.options)
        self.dy = gradient_like(self.y, dtype)

    def line(self, size, padding):
        return line_of(self.form, self.kernel, self.dilation, padding, self.axis, size, 0, self.stride)

    def planes(self, images, before, end):
        """Planes in a halo of zeros up to `end`, counted from the first element, and the first element."""
        images = images.transpose(1, 2, 3, 0)
        around = [(0, 0)] * 4
        length = images.shape[1 + self.axis]
        around[1 + self.axis] = max(0, before), max(0, end - length)
        planes = aligned([n + sum(pair) for n, pair in zip(images.shape, around, strict=True)], self.dtype)
        first = [max(0, before) if axis == 1 + self.axis else 0 for axis in range(3)]
        inside = tuple(slice(at, at + n) for at, n in zip(first, images.shape[:3], strict=True))
        planes[inside] = images
        return planes, (first[1] * planes.shape[2] + first[2]) * self.lanes

    def convolved(self, images, bias, size, padding, ending=conv.PLAIN, gate=None, turned=False):
        line = self.line(size, padding)
        planes, first = self.planes(images, padding, inputs_end(line))
        outputs, channels = self.weight.shape[turned], self.weight.shape[not turned]
        beyond = [results_end(line) - size[self.axis] if axis == self.axis else 0 for axis in range(2)]
        places = [n + more for n, more in zip(size, beyond, strict=True)]
        y = aligned((outputs, *places, self.lanes), self.dtype, np.nan)
        g = winograd_line_geometry(
            line, channels, outputs, steps(planes), steps(y), self.lanes, ending, int(bias is not None)
        )
        scratch = aligned((scratch_size(g, self.lanes),), self.dtype, np.nan)
        x = planes.reshape(-1)[first:]
        some, gate = x if bias is None else bias, x if gate is None else gate
        run("winograd_line", [x, self.transformed(line, turned), some, gate, y, scratch], g)
        assert np.isnan(y[:, size[0] :]).all(), "nothing is written past the end of a line"
        assert np.isnan(y[:, :, size[1] :]).all()
        return y[:, : size[0], : size[1]].transpose(3, 0, 1, 2)

    def transformed(self, line, turned):
        """The transformed weights, made by three threads one after the other."""
        g = winograd_line_weights.line_weights_geometry(line, *self.weight.shape[:2], self.lanes, turned)
        outputs, channels = self.weight.shape[turned], self.weight.shape[not turned]
        size = winograd_line_weights.line_matrices_size(line, outputs, channels, self.lanes)
        u = aligned((size,), self.dtype)
        for thread in range(3):
            run("transform_line_weights", [self.weight, u], g, parts=3, part=thread)
        return u


def assert_close(found, expected, error):
    np.testing.assert_allclose(found, expected, rtol=0, atol=error * np.abs(expected).max())


@in_dtypes
@in_forms
@in_cases
def test_the_convolution_is_that_of_direct_sums(dtype, error, form, sizes):
    case = Case(dtype, form, *sizes)
    for ending, expected in ((conv.PLAIN, case.y), (conv.RELU, np.maximum(case.y, 0))):
        found = case.convolved(case.x, case.bias, case.y.shape[2:], case.padding, ending)
        assert_close(found, expected, error)


@in_dtypes
@in_forms
@in_cases
def test_the_gradient_of_the_input_is_that_of_direct_sums(dtype, error, form, sizes):
    case = Case(dtype, form, *sizes)
    if case.stride > 1:
        pytest.skip("that is direct sums")
    expected = reference_taps.conv2d_grad_input(case.dy, case.weight, case.size, **case.options)
    padding = (case.kernel - 1) * case.dilation - case.padding
    line = case.line(case.size, padding)
    gate, _ = case.planes(case.x, 0, results_end(line))  # laid out as what is written
    found = case.convolved(case.dy, None, case.size, padding, conv.GATE, gate, turned=True)
    assert_close(found, np.where(case.x > 0, expected, 0), error)


@in_dtypes
@in_forms
@in_cases
def test_the_gradient_of_the_weights_is_that_of_direct_sums(dtype, error, form, sizes):
    case = Case(dtype, form, *sizes)
    outputs, channels = case.weight.shape[:2]
    expected = reference_taps.conv2d_grad_weight(case.x, case.dy, case.weight.shape[2:], **case.options)
    line = case.line(case.y.shape[2:], case.padding)
    planes, first = case.planes(case.x, case.padding, inputs_end(line))
    slopes, _ = case.planes(case.dy, 0, results_end(line))
    g = grad_weight_geometry(line, channels, outputs, steps(planes), steps(slopes), case.lanes, 1)
    scratch = aligned((scratch_size(g, case.lanes),), dtype, np.nan)
    size = winograd_line_weights.line_matrices_size(line, outputs, channels, case.lanes)
    shards, found = aligned((2, size), dtype, np.nan), np.full(case.weight.shape, np.nan, dtype)
    bias = np.full((2, outputs), np.nan, dtype)
    for shard, blocks in enumerate((2, 1)):
        for block in range(blocks):
            operands = [planes.reshape(-1)[first:], slopes, shards[shard], scratch, bias[shard]]
            run("winograd_line_grad_weight", operands, g, fresh=int(block == 0))
    g = winograd_line_weights.line_weight_sums_geometry(line, outputs, channels, case.lanes, size)
    for thread in range(3):
        run("winograd_line_weight_sums", [shards, found], g, sums=2, parts=3, part=thread)
    assert_close(found, 3 * expected, error)
    assert_close(bias, np.outer([2, 1], case.dy.sum((0, 2, 3))), error)


@in_forms
def test_the_matrices_of_a_form_make_a_convolution(form):
    form, rng = FORMS[form], np.random.default_rng(0)
    x, w = rng.standard_normal(form.points), rng.standard_normal(form.taps)
    inputs, weights, results = (
        np.array(make(form), float) for make in (input_matrix, weight_matrix, gradient_matrix)
    )
    found = results.T @ ((weights @ w) * (inputs @ x))
    np.testing.assert_allclose(found, np.correlate(x, w), rtol=0, atol=1e-13)


@in_forms
def test_errors_stay_within_those_promised(form):
    for channels in (16, 128):
        case = Case(np.float32, form, channels, 16, FORMS[form].taps, 1, (1, 60), 0, 1)
        x = np.maximum(case.x, 0)  # as it comes out of a ReLU
        expected = reference_taps.conv2d(x, case.weight, case.bias)
        found = case.convolved(x, case.bias, expected.shape[2:], 0)
        assert np.sqrt(((found - expected) ** 2).mean()) < 1e-6 * np.sqrt((expected**2).mean())
