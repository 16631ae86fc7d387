"""Both poolings: slopes, any geometry, memory, arguments, and compiled callers."""

import itertools

import numba
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fastconv.kernels import avg_pool2d, avg_pool2d_grad, max_pool2d, max_pool2d_grad
from tests.kernels import reference_pool as reference
from tests.kernels.pool_cases import DTYPES, INF, NAN, check_max, random, small_ints

# Gradients by finite differences


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (
            lambda x: max_pool2d(x, (3, 2), 2, 1, (1, 2), True)[0],
            lambda dy, x: max_pool2d_grad(dy, max_pool2d(x, (3, 2), 2, 1, (1, 2), True)[1], x.shape[2:]),
        ),
        *(
            (
                lambda x, c=count: avg_pool2d(x, (3, 2), (2, 1), 1, True, c),
                lambda dy, x, c=count: avg_pool2d_grad(dy, x.shape[2:], (3, 2), (2, 1), 1, True, c),
            )
            for count in (True, False)
        ),
    ],
    ids=["max", "avg with padding", "avg without padding"],
)
def test_gradients_are_the_slopes_of_the_outputs(forward, backward):
    x = np.random.default_rng(0).permutation(2 * 2 * 5 * 6).reshape(2, 2, 5, 6) / 8.0  # no two near a tie
    dy = random(*forward(x).shape, seed=1)
    dx = backward(dy, x)
    step = 1 / 64
    for index in np.ndindex(x.shape):
        ends = []
        for sign in (1, -1):
            moved = x.copy()
            moved[index] += sign * step
            ends.append((forward(moved) * dy).sum())
        assert dx[index] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-9, abs=1e-10)


# Properties


@st.composite
def geometries(draw):
    size = draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.none() | st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    dilation = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    return size, kernel, stride, padding, dilation, draw(st.booleans())


def shape_of(size, kernel, stride, padding, dilation, ceil):
    return reference.max_pool2d(np.zeros((1, 1, *size)), kernel, stride, padding, dilation, ceil)[0].shape[2:]


@settings(max_examples=80)
@given(geometries(), st.integers(0, 2**32 - 1), st.sampled_from(DTYPES))
def test_any_max_pool2d_gives_the_reference(geometry, seed, dtype):
    size, kernel, stride, padding, dilation, ceil = geometry
    assume(min(shape_of(*geometry)) > 0)
    x = small_ints(2, 2, *size, dtype=dtype, seed=seed)
    x[np.random.default_rng(seed).random(x.shape) < 0.1] = NAN
    x[np.random.default_rng(seed + 1).random(x.shape) < 0.1] = -INF
    check_max(x, kernel, stride, padding, dilation, ceil)


@settings(max_examples=80)
@given(geometries(), st.integers(0, 2**32 - 1), st.booleans())
def test_any_avg_pool2d_gives_the_reference_and_its_gradient_the_adjoint(geometry, seed, count):
    size, kernel, stride, padding, _, ceil = geometry
    assume(min(shape_of(size, kernel, stride, padding, 1, ceil)) > 0)
    x = random(2, 2, *size, seed=seed)
    y = avg_pool2d(x, kernel, stride, padding, ceil, count)
    np.testing.assert_allclose(
        y, reference.avg_pool2d(x, kernel, stride, padding, ceil, count), rtol=0, atol=1e-13
    )
    dy = random(*y.shape, seed=seed + 1)
    dx = avg_pool2d_grad(dy, size, kernel, stride, padding, ceil, count)
    assert (dx * x).sum() == pytest.approx((dy * y).sum(), abs=1e-10)


@settings(max_examples=40)
@given(geometries())
def test_a_geometry_without_a_window_is_refused(geometry):
    size, kernel, stride, padding, dilation, ceil = geometry
    assume(min(shape_of(*geometry)) == 0)
    with pytest.raises(ValueError, match="`kernel_size` must fit the padded image"):
        max_pool2d(np.zeros((1, 1, *size)), kernel, stride, padding, dilation, ceil)


# Memory


def layouts(x):
    """The same numbers in other orders in memory."""
    wide = np.zeros((*x.shape[:3], 2 * x.shape[3]), x.dtype)
    wide[..., ::2] = x
    still = x.copy()
    still.flags.writeable = False
    swapped = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    backwards = x[:, ::-1, ::-1].copy()[:, ::-1, ::-1]
    return [wide[..., ::2], np.asfortranarray(x), still, swapped, backwards, x.astype(x.dtype.newbyteorder())]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_order_in_memory_changes_no_bit_and_no_input(dtype):
    x, dy = random(2, 3, 5, 4, dtype=dtype), random(2, 3, 2, 2, dtype=dtype, seed=1)
    y, argmax = max_pool2d(x, 2)
    dx, mean, spread = max_pool2d_grad(dy, argmax, (5, 4)), avg_pool2d(x, 2), avg_pool2d_grad(dy, (5, 4), 2)
    for image_, slope, places in zip(layouts(x), layouts(dy), layouts(argmax), strict=True):
        before = image_.copy(), slope.copy(), places.copy()
        np.testing.assert_array_equal(max_pool2d(image_, 2), (y, argmax))
        np.testing.assert_array_equal(max_pool2d_grad(slope, places, (5, 4)), dx)
        np.testing.assert_array_equal(avg_pool2d(image_, 2), mean)
        np.testing.assert_array_equal(avg_pool2d_grad(slope, (5, 4), 2), spread)
        for array, copy in zip((image_, slope, places), before, strict=True):
            np.testing.assert_array_equal(array, copy)


# Arguments


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: max_pool2d(np.zeros((1, 4, 4)), 2), ValueError, r"`x` must be a 4-D array .* \(1, 4, 4\)"),
        (lambda: max_pool2d(np.zeros((1, 1, 4, 4), int), 2), TypeError, "`x` must be .* got an array of int"),
        (lambda: max_pool2d([[1.0]], 2), TypeError, "`x` must be .* got list"),
        (lambda: max_pool2d(np.zeros((1, 1, 4, 4)), 0), ValueError, "`kernel_size` must be a positive int"),
        (lambda: max_pool2d(np.zeros((1, 1, 4, 4)), 2.0), TypeError, "`kernel_size` must be .* got 2.0"),
        (lambda: max_pool2d(np.zeros((1, 1, 4, 4)), 2, (1, 0)), ValueError, "`stride` must be a positive"),
        (lambda: max_pool2d(np.zeros((1, 1, 4, 4)), 2, 1, -1), ValueError, "`padding` must be a non-neg"),
        (lambda: max_pool2d(np.zeros((1, 1, 4, 4)), 3, 1, 2), ValueError, "`padding` must be at most half"),
        (lambda: max_pool2d(np.zeros((1, 1, 4, 4)), 2, 1, 0, 0), ValueError, "`dilation` must be a positive"),
        (lambda: max_pool2d(np.zeros((1, 1, 4, 4)), 5), ValueError, "`kernel_size` must fit"),
        (lambda: avg_pool2d(np.zeros((1, 1, 4, 4)), (1, 2, 3)), ValueError, "`kernel_size` must be a pos"),
        (lambda: avg_pool2d(np.zeros((1, 1, 4, 4)), (3, 2), 1, 2), ValueError, "`padding` must be at most"),
        (
            lambda: avg_pool2d_grad(np.zeros((1, 1, 2, 3)), (4, 4), 2),
            ValueError,
            r"`dy` must have shape \(1, 1, 2, 2\), got \(1, 1, 2, 3\)",
        ),
        (
            lambda: max_pool2d_grad(np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 3), int), (4, 4)),
            ValueError,
            r"`argmax` must have shape \(1, 1, 2, 2\), got \(1, 1, 2, 3\)",
        ),
        (
            lambda: max_pool2d_grad(np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 2)), (4, 4)),
            TypeError,
            "`argmax` must be .* of ints",
        ),
        (
            lambda: max_pool2d_grad(np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 2), int), (4, 0)),
            ValueError,
            "`input_size` must be a positive",
        ),
    ],
)
def test_a_bad_argument_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_int_a_tuple_and_a_list_are_one_size():
    x = random(1, 2, 7, 8)
    for pool in (lambda *a: max_pool2d(x, *a)[0], lambda *a: avg_pool2d(x, *a)):
        wanted = pool(3, 2, 1)
        for three, two, one in ((np.int32(3), (2, 2), 1), ((3, 3), [2, 2], (1, 1)), ([3, 3], 2, (1, 1))):
            np.testing.assert_array_equal(pool(three, two, one), wanted)


# Compiled callers


@numba.njit
def pool_and_back(x, kernel, stride, padding):
    y, argmax = max_pool2d(x, kernel, stride, padding, ceil_mode=True)
    mean = avg_pool2d(x, kernel, stride, padding, count_include_pad=False)
    size = (x.shape[2], x.shape[3])
    spread = avg_pool2d_grad(mean, size, kernel, stride, padding, count_include_pad=False)
    return y, argmax, max_pool2d_grad(y, argmax, size), mean, spread


def test_compiled_callers_get_the_same_bits():
    x = random(2, 3, 7, 6, dtype=np.float32)
    size = (7, 6)
    y, argmax = max_pool2d(x, (3, 2), 2, (1, 0), ceil_mode=True)
    mean = avg_pool2d(x, (3, 2), 2, (1, 0), count_include_pad=False)
    spread = avg_pool2d_grad(mean, size, (3, 2), 2, (1, 0), count_include_pad=False)
    wanted = y, argmax, max_pool2d_grad(y, argmax, size), mean, spread
    got = pool_and_back(x, (3, 2), 2, (1, 0))
    for one, other in itertools.zip_longest(got, wanted):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_compiled_callers_get_the_same_errors():
    x = random(1, 1, 4, 4, dtype=np.float32)
    with pytest.raises(ValueError, match="`kernel_size` must be a positive int or a pair"):
        pool_and_back(x, (3, 0), 2, (1, 0))
    with pytest.raises(ValueError, match="`padding` must be at most half of `kernel_size`"):
        pool_and_back(x, (3, 2), 2, (2, 0))
