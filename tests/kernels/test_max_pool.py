"""Max-pool and its gradient."""

import numpy as np
import pytest

from fastconv.kernels import avg_pool2d, avg_pool2d_grad, max_pool2d, max_pool2d_grad
from tests.kernels import reference_pool as reference
from tests.kernels.pool_cases import (
    DTYPES,
    INF,
    MAX_GEOMETRIES,
    NAN,
    TOLERANCE,
    check_max,
    image,
    random,
    small_ints,
)

# max_pool2d


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
