"""Convolutions of arrays whose lanes hold positions."""

import numpy as np
import pytest

from fastconv.kernels import (
    conv2d,
    conv2d_grad_input,
    conv2d_grad_weight,
    conv_transpose2d,
    patches,
)
from fastconv.kernels.conv_sums import forward_method, is_pointwise, patches_pay, shape_of
from tests.kernels import reference_taps

CASES = [  # samples, channels, outputs, size, kernel, settings
    (1, 3, 5, (4, 4), (1, 1), {}),
    (2, 16, 16, (8, 8), (1, 1), {}),
    (7, 1, 6, (2, 17), (1, 1), {}),
    (3, 6, 20, (16, 3), (1, 1), {}),
    (5, 8, 12, (5, 7), (1, 1), {"groups": 4}),
    (4, 170, 30, (3, 3), (1, 1), {}),  # more channels than a part of a sum has
    (37, 5, 9, (1, 1), (1, 1), {}),
    (19, 2, 16, (32, 32), (1, 1), {}),
    (6, 17, 40, (9, 12), (1, 1), {"stride": 2}),
    (3, 16, 24, (7, 16), (1, 1), {"stride": (1, 3), "padding": (0, 2)}),
    (2, 3, 32, (19, 21), (3, 3), {"padding": 1}),
    (9, 3, 16, (12, 13), (3, 2), {"padding": ((0, 2), (1, 1))}),
    (5, 4, 96, (15, 16), (3, 3), {"stride": 2, "padding": 1}),
    (3, 4, 192, (23, 18), (5, 3), {"stride": (3, 2), "padding": (2, 1)}),
    (2, 2, 16, (14, 15), (3, 3), {"dilation": (2, 3), "padding": (2, 0)}),
    (2, 2, 96, (20, 21), (4, 3), {"dilation": 2, "stride": (2, 4), "padding": 3}),
    (3, 6, 144, (9, 10), (3, 3), {"groups": 3, "padding": 1}),
    (2, 1, 20, (70, 90), (3, 3), {}),  # a sample is more than a block
    (40, 1, 12, (2, 3), (2, 2), {"padding": 1}),
    (3, 2, 16, (1, 50), (1, 9), {"padding": (0, 4)}),
    (2, 2, 16, (9, 40), (2, 2), {"stride": 10**7}),
]
in_cases = pytest.mark.parametrize("case", CASES, ids=str)
in_dtypes = pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 3e-6)])


def arrays_of(samples, channels, outputs, size, kernel, settings):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, channels, *size))
    weight = rng.standard_normal((outputs, channels // settings.get("groups", 1), *kernel))
    bias = rng.standard_normal(outputs)
    return x, weight, bias, rng.standard_normal(conv2d(x, weight, bias, **settings).shape), settings


def in_full(x, dy, settings):
    """x with the zeros of its padding, and where it lies in them."""
    padding = settings.get("padding", 0)
    pairs = padding if isinstance(padding, tuple) else (padding, padding)
    around = [one if isinstance(one, tuple) else (one, one) for one in pairs]
    inside = tuple(slice(before, before + n) for (before, _), n in zip(around, x.shape[2:], strict=True))
    return np.pad(x, [(0, 0), (0, 0), *around]), (slice(None), slice(None), *inside)


@in_dtypes
@in_cases
def test_results_are_the_sums_of_the_definition(case, dtype, tolerance):
    x, weight, bias, dy, settings = arrays_of(*case)
    padded, inside = in_full(x, dy, settings)
    rest = {name: value for name, value in settings.items() if name != "padding"}
    wanted = (
        reference_taps.conv2d(padded, weight, bias, **rest),
        reference_taps.conv2d_grad_input(dy, weight, padded.shape[2:], **rest)[inside],
        reference_taps.conv2d_grad_weight(padded, dy, weight.shape[2:], **rest),
    )
    x, weight, bias, dy = (array.astype(dtype) for array in (x, weight, bias, dy))
    found = (
        conv2d(x, weight, bias, **settings),
        conv2d_grad_input(dy, weight, x.shape[2:], **settings),
        conv2d_grad_weight(x, dy, weight.shape[2:], **settings),
    )
    for got, expected in zip(found, wanted, strict=True):
        assert got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=0, atol=tolerance * max(1, np.abs(expected).max()))


def pair_of(value):
    return value if isinstance(value, tuple) else (value, value)


def goes_by_patches(x, weight, dy, settings):
    stride, dilation = (pair_of(settings.get(name, 1)) for name in ("stride", "dilation"))
    padding = tuple(np.ravel(side)[0].item() for side in pair_of(settings.get("padding", 0)))
    shape = shape_of(
        x.shape, dy.shape, weight.shape[2:], stride, padding, dilation, settings.get("groups", 1)
    )
    return patches_pay(shape, forward_method(x, shape), 64 // x.itemsize)


@in_cases
def test_that_is_how_these_are_computed(case):
    x, weight, _, dy, settings = arrays_of(*case)
    assert goes_by_patches(x, weight, dy, settings)


@pytest.mark.parametrize(
    "case",
    [
        (16, 24, 2, (9, 9), (5, 5), {}),  # few outputs for what is copied
        (16, 32, 32, (12, 12), (3, 3), {"padding": 1}),  # products
        (16, 32, 32, (12, 12), (3, 3), {"groups": 32}),
    ],
    ids=str,
)
def test_others_are_not(case):
    x, weight, _, dy, settings = arrays_of(*case)
    x, weight, dy = (array.astype(np.float32) for array in (x, weight, dy))
    assert not goes_by_patches(x, weight, dy, settings)


@pytest.mark.parametrize("number", [4, 6, 10, 12, 17, 18])
def test_a_sample_has_the_same_results_in_any_batch(number):
    x, weight, bias, dy, settings = arrays_of(*CASES[number])
    x, weight, bias, dy = (array.astype(np.float32) for array in (x, weight, bias, dy))
    size = x.shape[2:]
    whole = conv2d(x, weight, bias, **settings), conv2d_grad_input(dy, weight, size, **settings)
    for n in (0, len(x) - 1):
        one = slice(n, n + 1)
        np.testing.assert_array_equal(conv2d(x[one], weight, bias, **settings), whole[0][one])
        if settings.get("stride", 1) == 1 and weight.shape[2:] == (1, 1):
            alone = conv2d_grad_input(dy[one], weight, size, **settings)
            np.testing.assert_array_equal(alone, whole[1][one])


def test_blocks_end_within_samples_and_within_lines():
    lanes, (samples, channels, outputs, size, kernel, _) = 8, CASES[17]
    rows, plane = channels * kernel[0] * kernel[1], (size[0] - 2) * (size[1] - 2)
    block = lanes * patches._vectors_at_once(rows, outputs, samples * plane, lanes)
    assert 0 < block < plane
    assert block % plane != 0
    assert block % (size[1] - 2) != 0


def test_a_transposed_convolution_has_its_bias():
    rng = np.random.default_rng(1)
    x, weight, bias = (
        rng.standard_normal((3, 5, 4, 4)),
        rng.standard_normal((5, 7, 1, 1)),
        rng.standard_normal(7),
    )
    expected = np.einsum("ncij,co->noij", x, weight[:, :, 0, 0]) + bias[:, None, None]
    np.testing.assert_allclose(conv_transpose2d(x, weight, bias), expected, atol=1e-13)


def test_positions_have_sums_of_their_own_where_nothing_else_is_read():
    def asked(size, out_size, kernel, stride):
        shape = (2, 3, *size), (2, 5, *out_size)
        return is_pointwise(shape_of(*shape, kernel, stride, (0, 0), (1, 1), 1))

    assert asked((4, 4), (4, 4), (1, 1), (1, 1))
    assert not asked((4, 4), (4, 2), (1, 1), (1, 2))
    assert not asked((4, 4), (2, 4), (3, 1), (1, 1))
    assert not asked((4, 4), (6, 6), (1, 1), (1, 1))  # padding


def test_numbers_that_are_not_finite_stay_in_their_positions():
    x, weight = np.ones((2, 3, 4, 4)), np.ones((2, 3, 1, 1))
    x[1, 2, 3, 0] = np.nan
    found = np.argwhere(np.isnan(conv2d(x, weight))).tolist()
    assert found == [[1, 0, 3, 0], [1, 1, 3, 0]]


def test_numbers_of_one_block_do_not_reach_the_next():
    x, weight = np.ones((300, 2, 5, 5), np.float32), np.ones((4, 2, 1, 1), np.float32)
    x[:150] = np.nan
    y = conv2d(x, weight)
    assert np.isnan(y[:150]).all()
    np.testing.assert_array_equal(y[150:], np.full((150, 4, 5, 5), 2))
