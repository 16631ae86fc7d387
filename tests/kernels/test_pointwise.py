"""1x1 convolutions that work where the arrays lie."""

import numpy as np
import pytest

from fastconv.kernels import conv2d, conv2d_grad_input, conv2d_grad_weight, conv_transpose2d
from fastconv.kernels.pointwise import POSITIONS_AT_ONCE, is_pointwise
from tests.kernels import reference

# samples, channels, output channels, size, groups
CASES = [
    (1, 3, 5, (4, 4), 1),
    (2, 16, 16, (8, 8), 1),
    (7, 1, 6, (2, 16), 1),
    (3, 6, 1, (16, 3), 1),
    (5, 8, 12, (4, 12), 4),
    (4, 170, 3, (4, 4), 1),  # more channels than a part of a sum has
    (19, 2, 3, (32, 32), 1),  # more positions than are planned at once, and a rest of samples
]


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 2e-6)])
@pytest.mark.parametrize(("n", "channels", "out_channels", "size", "groups"), CASES)
def test_results_are_the_sums_of_the_definition(n, channels, out_channels, size, groups, dtype, tolerance):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, channels, *size))
    weight = rng.standard_normal((out_channels, channels // groups, 1, 1))
    bias, dy = rng.standard_normal(out_channels), rng.standard_normal((n, out_channels, *size))
    assert is_pointwise(x.astype(dtype), dy.astype(dtype), (1, 1), (1, 1))
    short = [array.astype(dtype) for array in (x, weight, bias, dy)]
    pairs = (
        (conv2d(*short[:3], groups=groups), reference.conv2d(x, weight, bias, groups=groups)),
        (
            conv2d_grad_input(short[3], short[1], size, groups=groups),
            reference.conv2d_grad_input(dy, weight, size, groups=groups),
        ),
        (
            conv2d_grad_weight(short[0], short[3], 1, groups=groups),
            reference.conv2d_grad_weight(x, dy, 1, groups=groups),
        ),
    )
    for got, expected in pairs:
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


def test_a_transposed_convolution_has_its_bias():
    rng = np.random.default_rng(1)
    x, weight, bias = (
        rng.standard_normal((3, 5, 4, 4)),
        rng.standard_normal((5, 7, 1, 1)),
        rng.standard_normal(7),
    )
    expected = np.einsum("ncij,co->noij", x, weight[:, :, 0, 0]) + bias[:, None, None]
    np.testing.assert_allclose(conv_transpose2d(x, weight, bias), expected, atol=1e-13)


def test_nothing_else_is_taken_for_it():
    x, y = np.zeros((2, 3, 4, 4)), np.zeros((2, 5, 4, 4))
    assert is_pointwise(x, y, (1, 1), (1, 1))
    assert not is_pointwise(x, y, (1, 1), (2, 1))
    assert not is_pointwise(x, y, (3, 1), (1, 1))
    assert not is_pointwise(x, np.zeros((2, 5, 6, 6)), (1, 1), (1, 1))  # padding
    assert not is_pointwise(np.zeros((2, 3, 5, 5)), np.zeros((2, 5, 5, 5)), (1, 1), (1, 1))
    assert not is_pointwise(x[:0], y[:0], (1, 1), (1, 1))
    assert POSITIONS_AT_ONCE < 19 * 32 * 32 // 16


def test_numbers_that_are_not_finite_stay_in_their_positions():
    x, weight = np.ones((2, 3, 4, 4)), np.ones((2, 3, 1, 1))
    x[1, 2, 3, 0] = np.nan
    found = np.argwhere(np.isnan(conv2d(x, weight))).tolist()
    assert found == [[1, 0, 3, 0], [1, 1, 3, 0]]
