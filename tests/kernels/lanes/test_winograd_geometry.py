"""Python plans a network's products as compiled code plans those of arrays: by the same functions."""

import numpy as np
import pytest
from numba import njit

from fastconv.kernels.lanes import (
    winograd_cost,
    winograd_geometry,
    winograd_line_cost,
    winograd_line_geometry,
    winograd_line_weights,
    winograd_weights,
)
from fastconv.kernels.lanes.winograd_line_forms import FORMS
from fastconv.kernels.lanes.winograd_parts import parts_of

LANES = 16
# channels, outputs, size of x, of y, kernel, stride, padding
SHAPES = [
    (1, 1, (4, 4), (4, 4), (3, 3), (1, 1), (1, 1)),
    (70, 33, (9, 14), (9, 14), (3, 3), (1, 1), (1, 1)),
    (32, 64, (14, 14), (14, 14), (5, 5), (1, 1), (2, 2)),
    (16, 20, (33, 32), (17, 16), (5, 4), (2, 2), (2, 1)),
    (24, 40, (60, 50), (14, 12), (8, 8), (4, 4), (0, 1)),
]
LINES = [
    (1, 1, (1, 9), (1, 9), (1, 3), (1, 1), (0, 1), (1, 1)),
    (64, 40, (1, 150), (1, 151), (1, 8), (1, 1), (0, 4), (1, 1)),
    (32, 32, (30, 7), (30, 9), (5, 1), (1, 1), (4, 1), (2, 1)),
    (32, 48, (2, 90), (2, 30), (1, 9), (1, 3), (0, 4), (1, 1)),
]


@njit
def chosen(channels, outputs, size, out_size, kernel, stride, padding):
    return (
        winograd_cost.forward_taps(channels, outputs, out_size, kernel, stride, LANES, 1.0),
        winograd_cost.weight_gradient_taps(channels, outputs, out_size, kernel, stride, LANES, 0.9),
        winograd_cost.input_gradient_taps(
            channels, outputs, size, out_size, kernel, stride, padding, LANES, 1.0
        ),
    )


@njit
def geometries(channels, outputs, size, out_size, kernel, stride, padding, taps):
    parts, x, y = parts_of(kernel, stride, taps), (4000, 70), (3000, 60)
    return [
        winograd_geometry.winograd_geometry(channels, outputs, out_size, padding, x, y, LANES, 1, 1, parts),
        winograd_geometry.grad_weight_geometry(channels, outputs, out_size, padding, x, y, LANES, parts),
        winograd_geometry.grad_input_geometry(channels, outputs, size, padding, y, x, LANES, 2, parts, 1),
        winograd_weights.transform_weights_geometry(outputs, channels, LANES, False, parts),
        winograd_weights.transform_weights_geometry(outputs, channels, LANES, True, parts),
    ]


@njit
def chosen_lines(channels, outputs, size, out_size, kernel, stride, padding, dilation):
    line = winograd_line_cost.forward_line(kernel, out_size, stride, padding, dilation)
    back = winograd_line_cost.input_gradient_line(kernel, size, padding, dilation)
    return (
        winograd_line_cost.best_form(line, channels, outputs, LANES, 1.0, False),
        winograd_line_cost.best_form(line, channels, outputs, LANES, 0.9, True),
        winograd_line_cost.best_form(back, outputs, channels, LANES, 1.0, False),
    )


@njit
def line_geometries(line, channels, outputs):
    x, y = (4000, 70), (3000, 60)
    return [
        winograd_line_geometry.winograd_line_geometry(line, channels, outputs, x, y, LANES, 1, 1),
        winograd_line_geometry.grad_weight_geometry(line, channels, outputs, x, y, LANES),
        winograd_line_weights.line_weights_geometry(line, outputs, channels, LANES, False),
        winograd_line_weights.line_weights_geometry(line, outputs, channels, LANES, True),
        winograd_line_weights.whole_sums_geometry(line, outputs, channels, LANES),
    ]


def assert_alike(function, *arguments):
    for one, other in zip(function(*arguments), function.py_func(*arguments), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_tiles_of_planes_are_alike(shape):
    assert chosen(*shape) == chosen.py_func(*shape)
    for taps in ((3, 3), (5, 2)):
        assert_alike(geometries, *shape, taps)


@pytest.mark.parametrize("shape", LINES, ids=str)
def test_tiles_of_lines_are_alike(shape):
    assert chosen_lines(*shape) == chosen_lines.py_func(*shape)
    channels, outputs, _, out_size, *rest = shape
    kernel, stride, padding, dilation = rest
    line = winograd_line_cost.forward_line(kernel, out_size, stride, padding, dilation)
    for form in range(len(FORMS)):
        assert_alike(line_geometries, winograd_line_geometry.with_form(line, form), channels, outputs)


def test_what_pays_depends_on_the_shape():
    assert {chosen.py_func(*shape)[0][0] for shape in SHAPES} >= {(0, 0), (3, 3), (5, 5)}


@pytest.mark.parametrize("stride", [4, 10**7, 2**31 - 1])
def test_a_stride_beyond_the_kernel_has_no_parts(stride):
    assert not winograd_cost.is_plane((3, 3), (1, stride), (1, 1))
    assert not winograd_line_cost.is_line((1, 3), (1, stride), (1, 1))
