import itertools

import numba
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fastconv.kernels import avg_pool2d, avg_pool2d_grad, max_pool2d, max_pool2d_grad
from tests.kernels import reference_pool as reference

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}
INF, NAN = np.inf, np.nan

# size, kernel_size, stride, padding, ceil_mode
GEOMETRIES = [
    ((4, 4), 2, None, 0, False),
    ((5, 7), 2, None, 0, False),
    ((5, 7), 2, None, 0, True),
    ((6, 6), 3, 1, 1, False),
    ((7, 5), 3, 2, 1, False),
    ((7, 6), 3, 2, 1, True),
    ((9, 4), (3, 2), (1, 2), (1, 0), False),
    ((8, 9), (2, 3), (3, 2), (1, 1), True),
    ((5, 5), 1, 1, 0, False),
    ((5, 4), 1, 3, 0, True),
    ((1, 1), 1, 1, 0, False),
    ((1, 1), 3, 1, 1, False),
    ((1, 9), (1, 4), (1, 3), (0, 2), True),
    ((13, 1), (5, 1), (4, 1), (2, 0), False),
    ((2, 3), 4, 3, 2, True),
    ((3, 3), 5, 7, 2, False),
    ((17, 19), 5, 3, 2, True),
    ((6, 6), 2, 4, 1, True),
]

# The same with dilation before ceil_mode; only max_pool2d has one.
DILATED = [
    ((7, 7), 2, 1, 0, 2, False),
    ((9, 8), 3, 2, 1, (2, 3), False),
    ((9, 8), 3, 2, 1, (1, 3), True),
    ((5, 11), (2, 3), (1, 2), (1, 1), (3, 2), True),
    ((6, 5), (1, 2), None, (0, 1), (4, 2), True),
]

MAX_GEOMETRIES = [(*g[:4], 1, g[4]) for g in GEOMETRIES] + DILATED


def random(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def small_ints(*shape, dtype=np.float64, seed=0):
    """Many equal elements, and so many ties."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(dtype)


def image(values, dtype=np.float64):
    """A list of rows as an array of one sample and one channel."""
    return np.array(values, dtype)[None, None]


def outputs(size, kernel_size, stride, padding, ceil_mode, dtype=np.float64, seed=7):
    """A gradient of the shape of a pooled batch of 2 with 3 channels."""
    y = reference.avg_pool2d(np.zeros((2, 3, *size)), kernel_size, stride, padding, ceil_mode)
    return random(*y.shape, dtype=dtype, seed=seed)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


# max_pool2d


def check_max(x, *arguments):
    y, argmax = max_pool2d(x, *arguments)
    wanted, where = reference.max_pool2d(x, *arguments)
    assert y.dtype == x.dtype
    assert argmax.dtype == np.int64
    np.testing.assert_array_equal(y, wanted)
    full = where >= 0
    np.testing.assert_array_equal(argmax[full], where[full])
    assert ((argmax >= 0) & (argmax < x.shape[2] * x.shape[3])).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation", "ceil"), MAX_GEOMETRIES)
def test_max_pool2d_gives_the_maxima_and_the_first_place_of_each(
    size, kernel, stride, padding, dilation, ceil, dtype
):
    for x in (random(2, 3, *size, dtype=dtype), small_ints(2, 3, *size, dtype=dtype)):
        check_max(x, kernel, stride, padding, dilation, ceil)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation", "ceil"), MAX_GEOMETRIES)
def test_max_pool2d_and_its_gradient_agree_with_pytorch(
    torch, size, kernel, stride, padding, dilation, ceil, dtype
):
    x = small_ints(2, 3, *size, dtype=dtype)
    tensor = torch.tensor(x, requires_grad=True)
    wanted, where = torch.nn.functional.max_pool2d(
        tensor, kernel, stride, padding, dilation, ceil, return_indices=True
    )
    y, argmax = max_pool2d(x, kernel, stride, padding, dilation, ceil)
    np.testing.assert_array_equal(y, wanted.detach().numpy())
    full = y > -INF
    np.testing.assert_array_equal(argmax[full], where.numpy()[full])
    if full.all():
        dy = random(*y.shape, dtype=dtype, seed=3)
        wanted.backward(torch.tensor(dy))
        np.testing.assert_allclose(
            max_pool2d_grad(dy, argmax, size), tensor.grad.numpy(), rtol=0, atol=TOLERANCE[dtype]
        )


@pytest.mark.parametrize("n", [0, 1, 3, 17])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_batch_size_is_pooled_sample_by_sample(n, dtype):
    x = random(n, 2, 5, 6, dtype=dtype)
    y, argmax = max_pool2d(x, 3, 2, 1)
    mean = avg_pool2d(x, 3, 2, 1)
    assert y.shape == argmax.shape == mean.shape == (n, 2, 3, 3)
    dx, spread = max_pool2d_grad(y, argmax, (5, 6)), avg_pool2d_grad(y, (5, 6), 3, 2, 1)
    assert dx.shape == spread.shape == x.shape
    for k in range(n):
        one = x[k : k + 1]
        np.testing.assert_array_equal(y[k : k + 1], reference.max_pool2d(one, 3, 2, 1)[0])
        np.testing.assert_array_equal(argmax[k : k + 1], reference.max_pool2d(one, 3, 2, 1)[1])
        np.testing.assert_allclose(
            mean[k : k + 1], reference.avg_pool2d(one, 3, 2, 1), rtol=0, atol=TOLERANCE[dtype]
        )
        np.testing.assert_array_equal(dx[k], max_pool2d_grad(y[k][None], argmax[k][None], (5, 6))[0])
        np.testing.assert_array_equal(spread[k], avg_pool2d_grad(y[k][None], (5, 6), 3, 2, 1)[0])


def test_argmax_is_the_row_times_the_width_plus_the_column():
    x = np.zeros((1, 1, 3, 5))
    x[0, 0, 2, 3] = 1
    y, argmax = max_pool2d(x, (3, 5))
    assert y.item() == 1
    assert argmax.item() == 2 * 5 + 3


@pytest.mark.parametrize(
    ("rows", "value", "place"),
    [
        ([[5, 5], [5, 5]], 5, 0),
        ([[1, 5], [5, 5]], 5, 1),
        ([[1, 2], [5, 5]], 5, 2),
        ([[-3, -1], [-2, -1]], -1, 1),
        ([[-0.0, 0.0], [0.0, -0.0]], 0, 0),
        ([[0.0, -0.0], [0.0, 0.0]], 0, 0),
        ([[-INF, -INF], [-INF, -INF]], -INF, 0),
        ([[-INF, -INF], [-INF, -1e308]], -1e308, 3),
        ([[1, INF], [INF, 2]], INF, 1),
        ([[1, NAN], [3, 2]], NAN, 1),
        ([[NAN, 1], [3, 2]], NAN, 0),
        ([[INF, 1], [3, NAN]], NAN, 3),
        ([[-INF, -INF], [NAN, -INF]], NAN, 2),
    ],
)
def test_the_first_maximum_wins_and_nan_wins_over_numbers(rows, value, place):
    y, argmax = max_pool2d(image(rows), 2)
    np.testing.assert_array_equal(y.item(), value)
    assert argmax.item() == place


@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_and_infinities_spread_as_in_pytorch(torch, dtype):
    x = small_ints(3, 2, 9, 9, dtype=dtype)
    kinds = np.random.default_rng(1).integers(0, 8, x.shape)
    for kind, value in ((0, NAN), (1, INF), (2, -INF), (3, -INF)):
        x[kinds == kind] = value
    y, argmax = max_pool2d(x, 3, 2, 1)
    wanted, where = torch.nn.functional.max_pool2d(torch.tensor(x), 3, 2, 1, return_indices=True)
    np.testing.assert_array_equal(y, wanted.numpy())
    np.testing.assert_array_equal(argmax, where.numpy())
    mean = torch.nn.functional.avg_pool2d(torch.tensor(x), 3, 2, 1).numpy()
    np.testing.assert_allclose(avg_pool2d(x, 3, 2, 1), mean, rtol=0, atol=TOLERANCE[dtype])


def test_padding_is_less_than_every_number_where_all_are_negative():
    y, argmax = max_pool2d(np.full((1, 1, 4, 4), -7.0), 3, 1, 1)
    assert (y == -7).all()
    assert argmax[0, 0].tolist() == [[0, 0, 1, 2], [0, 0, 1, 2], [4, 4, 5, 6], [8, 8, 9, 10]]


@pytest.mark.parametrize(
    ("size", "arguments"),
    [
        ((1, 1), (2, 1, 1, 2)),
        ((2, 2), (2, 1, 1, 3)),
        ((2, 4), (2, 1, 1, (3, 1))),
        ((1, 2), (2, 2, 1, 3, True)),
    ],
)
def test_a_window_wholly_in_padding_is_minus_infinity_and_points_inside_the_image(size, arguments):
    x = random(1, 2, *size)
    assert (reference.max_pool2d(x, *arguments)[1] == -1).any()
    check_max(x, *arguments)
    y, argmax = max_pool2d(x, *arguments)
    assert max_pool2d_grad(np.ones_like(y), argmax, size).sum() == y.size


@pytest.mark.parametrize("pool", [max_pool2d, avg_pool2d])
@pytest.mark.parametrize("shape", [(1, 1, 0, 5), (1, 1, 5, 0), (2, 3, 0, 0)])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_an_image_without_pixels_is_refused(pool, shape, ceil_mode):
    with pytest.raises(ValueError, match=r"`(x|kernel_size)`"):
        pool(np.zeros(shape), 2, padding=1, ceil_mode=ceil_mode)


# max_pool2d_grad


def test_gradients_of_overlapping_windows_add_up_at_a_shared_maximum():
    x = image([[0, 0, 0], [0, 9, 0], [0, 0, 0]])
    argmax = max_pool2d(x, 2, 1)[1]
    dx = max_pool2d_grad(image([[1, 10], [100, 1000]]), argmax, (3, 3))
    assert dx[0, 0].tolist() == [[0, 0, 0], [0, 1111, 0], [0, 0, 0]]


def test_the_first_of_equal_maxima_takes_the_whole_gradient():
    _, argmax = max_pool2d(np.zeros((1, 1, 2, 4)), 2)
    dx = max_pool2d_grad(image([[3, 5]]), argmax, (2, 4))
    assert dx[0, 0].tolist() == [[3, 0, 5, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "dilation", "ceil"), MAX_GEOMETRIES)
def test_max_pool2d_grad_sends_each_gradient_to_its_maximum(
    size, kernel, stride, padding, dilation, ceil, dtype
):
    argmax = max_pool2d(random(2, 3, *size, dtype=dtype), kernel, stride, padding, dilation, ceil)[1]
    dy = random(*argmax.shape, dtype=dtype, seed=1)
    dx = max_pool2d_grad(dy, argmax, size)
    assert dx.dtype == dtype
    np.testing.assert_allclose(
        dx, reference.max_pool2d_grad(dy, argmax, size), rtol=0, atol=8 * TOLERANCE[dtype]
    )


@pytest.mark.parametrize("kind", [np.int8, np.uint16, np.int32, np.uint64])
def test_max_pool2d_grad_takes_indices_of_any_int_dtype(kind):
    dx = max_pool2d_grad(np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), 3, kind), (2, 2))
    assert dx[0, 0].tolist() == [[0, 0], [0, 1]]


@pytest.mark.parametrize("bad", [-1, 4, 2**40, -(2**62)])
def test_max_pool2d_grad_refuses_an_index_outside_the_image(bad):
    with pytest.raises(ValueError, match=r"`argmax` must be from 0 to 3, got"):
        max_pool2d_grad(np.ones((1, 1, 1, 1)), np.full((1, 1, 1, 1), bad), (2, 2))


# avg_pool2d


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [True, False])
@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "ceil"), GEOMETRIES)
def test_avg_pool2d_and_its_gradient_agree_with_the_reference(
    size, kernel, stride, padding, ceil, count, dtype
):
    x = random(2, 3, *size, dtype=dtype)
    y = avg_pool2d(x, kernel, stride, padding, ceil, count)
    wanted = reference.avg_pool2d(x, kernel, stride, padding, ceil, count)
    assert y.dtype == dtype
    np.testing.assert_allclose(y, wanted, rtol=0, atol=TOLERANCE[dtype])
    dy = outputs(size, kernel, stride, padding, ceil, dtype)
    dx = avg_pool2d_grad(dy, size, kernel, stride, padding, ceil, count)
    wanted = reference.avg_pool2d_grad(dy, size, kernel, stride, padding, ceil, count)
    assert dx.dtype == dtype
    np.testing.assert_allclose(dx, wanted, rtol=0, atol=8 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [True, False])
@pytest.mark.parametrize(("size", "kernel", "stride", "padding", "ceil"), GEOMETRIES)
def test_avg_pool2d_and_its_gradient_agree_with_pytorch(
    torch, size, kernel, stride, padding, ceil, count, dtype
):
    x = random(2, 3, *size, dtype=dtype)
    tensor = torch.tensor(x, requires_grad=True)
    wanted = torch.nn.functional.avg_pool2d(tensor, kernel, stride, padding, ceil, count)
    y = avg_pool2d(x, kernel, stride, padding, ceil, count)
    np.testing.assert_allclose(y, wanted.detach().numpy(), rtol=0, atol=TOLERANCE[dtype])
    dy = outputs(size, kernel, stride, padding, ceil, dtype)
    wanted.backward(torch.tensor(dy))
    dx = avg_pool2d_grad(dy, size, kernel, stride, padding, ceil, count)
    np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=0, atol=8 * TOLERANCE[dtype])


def test_the_zeros_of_the_padding_count_in_a_mean_unless_told_otherwise():
    x = np.full((1, 1, 2, 2), 36.0)
    assert avg_pool2d(x, 3, 1, 1)[0, 0].tolist() == [[16, 16], [16, 16]]
    assert avg_pool2d(x, 3, 1, 1, count_include_pad=False)[0, 0].tolist() == [[36, 36], [36, 36]]


def test_what_hangs_over_the_padding_in_ceil_mode_never_counts_in_a_mean():
    x = np.full((1, 1, 1, 5), 12.0)
    y = avg_pool2d(x, (1, 4), (1, 3), (0, 1), ceil_mode=True)
    assert y[0, 0].tolist() == [[9, 9]]  # -1..2 and 2..5: three elements and one zero each
    y = avg_pool2d(np.full((1, 1, 1, 6), 12.0), (1, 4), (1, 4), (0, 1), ceil_mode=True)
    assert y[0, 0].tolist() == [[9, 9]]  # -1..2, and 3..6 with its zero at 6
    y = avg_pool2d(np.full((1, 1, 1, 5), 12.0), (1, 4), (1, 4), (0, 1), ceil_mode=True)
    assert y[0, 0].tolist() == [[9, 8]]  # 3..5 with its zero at 5: position 6 is past the padding


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


@settings(deadline=None, max_examples=80)
@given(geometries(), st.integers(0, 2**32 - 1), st.sampled_from(DTYPES))
def test_any_max_pool2d_gives_the_reference(geometry, seed, dtype):
    size, kernel, stride, padding, dilation, ceil = geometry
    assume(min(shape_of(*geometry)) > 0)
    x = small_ints(2, 2, *size, dtype=dtype, seed=seed)
    x[np.random.default_rng(seed).random(x.shape) < 0.1] = NAN
    x[np.random.default_rng(seed + 1).random(x.shape) < 0.1] = -INF
    check_max(x, kernel, stride, padding, dilation, ceil)


@settings(deadline=None, max_examples=80)
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


@settings(deadline=None, max_examples=40)
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
