import itertools

import numba
import numpy as np
import pytest

from fastconv.kernels import batch_norm2d, batch_norm2d_grad
from tests.kernels import reference_pool as reference

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
SHAPES = [(2, 3, 4, 5), (1, 1, 1, 2), (17, 2, 3, 1), (3, 5, 1, 1), (1, 2, 7, 7)]


def random(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def channels(count, dtype=np.float64):
    """gamma, beta, running_mean, running_var."""
    gamma, beta, mean = random(3, count, seed=5)
    return [a.astype(dtype) for a in (gamma, beta, mean, 0.5 + random(count, seed=6) ** 2)]


def case(shape, dtype=np.float64):
    return random(*shape, dtype=dtype) * 2 + 1, *channels(shape[1], dtype)


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


# Forward


def test_a_batch_is_normalised_as_worked_by_hand():
    x = np.array([1.0, 2.0, 3.0, 6.0]).reshape(2, 1, 1, 2)  # mean 3, squares 4 + 1 + 0 + 9 = 14
    mean, variance = np.array([10.0]), np.array([20.0])
    y, saved = batch_norm2d(x, np.array([2.0]), np.array([5.0]), mean, variance, True, 0.25, 0.5)
    np.testing.assert_allclose(y.ravel(), 5 + 2 * np.array([-2, -1, 0, 3]) / 2, rtol=1e-15)
    np.testing.assert_allclose(saved.ravel(), [3, 1 / 2])
    assert mean == 0.75 * 10 + 0.25 * 3
    assert variance == pytest.approx(0.75 * 20 + 0.25 * 14 / 3)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("momentum", "eps"), [(0.1, 1e-5), (0.0, 1e-3), (1.0, 0.25), (0.6, 1e-5)])
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm2d_agrees_with_the_reference(shape, momentum, eps, training, dtype):
    x, gamma, beta, mean, variance = case(shape, dtype)
    wanted = reference.batch_norm2d(x, gamma, beta, mean, variance, training, momentum, eps)
    y, saved = batch_norm2d(x, gamma, beta, mean, variance, training, momentum, eps)
    assert y.dtype == saved.dtype == dtype
    assert saved.shape == (2, shape[1])
    got = y, saved[0], 1 / saved[1].astype(np.float64) ** 2 - eps, mean, variance
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm2d_agrees_with_pytorch(torch, shape, training, dtype):
    x, gamma, beta, mean, variance = case(shape, dtype)
    tensors = [torch.tensor(a) for a in (x, mean, variance, gamma, beta)]
    wanted = torch.nn.functional.batch_norm(*tensors, training=training, momentum=0.3, eps=1e-4)
    y, _ = batch_norm2d(x, gamma, beta, mean, variance, training, 0.3, 1e-4)
    for one, other in ((y, wanted), (mean, tensors[1]), (variance, tensors[2])):
        np.testing.assert_allclose(one, other.numpy(), rtol=0, atol=TOLERANCE[dtype])


def test_the_defaults_are_those_of_pytorch():
    x, gamma, beta, mean, variance = case((2, 3, 4, 5))
    spelled_out = mean.copy(), variance.copy()
    y, _ = batch_norm2d(x, gamma, beta, mean, variance, True)
    wanted, _ = batch_norm2d(x, gamma, beta, *spelled_out, True, momentum=0.1, eps=1e-5)
    np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal((mean, variance), spelled_out)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_trained_channel_has_mean_beta_and_deviation_gamma(dtype):
    x, gamma, beta, mean, variance = case((9, 4, 6, 5), dtype)
    y, _ = batch_norm2d(x, gamma, beta, mean, variance, True, eps=0.0)
    y = y.astype(np.float64)
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), beta, rtol=0, atol=TOLERANCE[dtype])
    np.testing.assert_allclose(y.std(axis=(0, 2, 3)), np.abs(gamma), rtol=TOLERANCE[dtype])


def test_running_arrays_change_in_place_in_training_and_never_else():
    x, gamma, beta, mean, variance = case((4, 3, 2, 2))
    holder = np.stack([mean, variance], axis=1)  # strided views: column by column
    before = holder.copy()
    batch_norm2d(x, gamma, beta, holder[:, 0], holder[:, 1], False)
    np.testing.assert_array_equal(holder, before)
    batch_norm2d(x, gamma, beta, holder[:, 0], holder[:, 1], True, momentum=1.0)
    np.testing.assert_allclose(holder[:, 0], x.mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(holder[:, 1], x.var(axis=(0, 2, 3), ddof=1))


def test_many_batches_lead_the_running_figures_to_those_of_the_data():
    generator = np.random.default_rng(0)
    mean, variance = np.zeros(2), np.ones(2)
    for _ in range(300):
        x = generator.normal([[[[3.0]], [[-5.0]]]], [[[[2.0]], [[0.5]]]], (16, 2, 4, 4))
        batch_norm2d(x, np.ones(2), np.zeros(2), mean, variance, True, momentum=0.05)
    np.testing.assert_allclose(mean, [3, -5], atol=0.1)
    np.testing.assert_allclose(variance, [4, 0.25], rtol=0.1)


# Numbers that lose digits


@pytest.mark.parametrize(("mean", "deviation"), [(1e3, 1.0), (1e4, 0.1), (-1e5, 10.0), (1e6, 1.0)])
def test_a_small_variance_about_a_large_mean_is_not_lost_in_float64(mean, deviation):
    x = mean + deviation * random(8, 2, 8, 8)
    _, gamma, beta, running_mean, running_var = case(x.shape)
    wanted = reference.batch_norm2d(x, gamma, beta, running_mean, running_var, True)
    y, _ = batch_norm2d(x, gamma, beta, running_mean, running_var, True)
    np.testing.assert_allclose(y, wanted[0], rtol=0, atol=1e-13 * abs(mean) / deviation)
    np.testing.assert_allclose(running_var, wanted[4], rtol=1e-12)


@pytest.mark.parametrize(("mean", "deviation"), [(1e3, 1.0), (1e4, 0.1), (-1e5, 10.0), (1e6, 1.0)])
def test_a_small_variance_about_a_large_mean_costs_float32_no_more_than_the_last_place_of_the_mean(
    mean, deviation
):
    x = (mean + deviation * random(8, 2, 8, 8)).astype(np.float32)
    gamma, beta = np.ones(2, np.float32), np.zeros(2, np.float32)
    running = np.zeros(2, np.float32), np.ones(2, np.float32)
    wanted = reference.batch_norm2d(x, gamma, beta, *running, True)
    y, saved = batch_norm2d(x, gamma, beta, *running, True)
    last_place = float(np.spacing(np.float32(abs(mean)))) / deviation
    np.testing.assert_allclose(y, wanted[0], rtol=1e-5, atol=last_place)
    np.testing.assert_allclose(saved[1], 1 / np.sqrt(wanted[2] + 1e-5), rtol=1e-6)
    np.testing.assert_allclose(running[1], wanted[4], rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [0.0, 0.1, -3e4])
def test_a_constant_channel_becomes_beta(value, dtype):
    _, gamma, beta, mean, variance = case((3, 2, 5, 7), dtype)
    y, saved = batch_norm2d(np.full((3, 2, 5, 7), value, dtype), gamma, beta, mean, variance, True)
    wanted = np.broadcast_to(beta[None, :, None, None], y.shape)
    np.testing.assert_allclose(y, wanted, rtol=0, atol=TOLERANCE[dtype])
    np.testing.assert_allclose(saved[1], 1e5**0.5, rtol=1e-6)


def test_a_single_value_per_channel_becomes_beta_with_finite_running_figures_and_no_gradient():
    x, gamma, beta, mean, variance = case((1, 3, 1, 1))
    old_mean, old_variance = mean.copy(), variance.copy()
    y, saved = batch_norm2d(x, gamma, beta, mean, variance, True)
    np.testing.assert_array_equal(y.ravel(), beta)
    np.testing.assert_allclose(mean, 0.9 * old_mean + 0.1 * x.ravel())
    np.testing.assert_allclose(variance, 0.9 * old_variance)
    dx, dgamma, dbeta = batch_norm2d_grad(np.full_like(x, 7), x, gamma, saved)
    np.testing.assert_array_equal((dx.ravel(), dgamma, dbeta), [[0] * 3, [0] * 3, [7] * 3])


def test_nan_stays_in_its_channel():
    x, gamma, beta, mean, variance = case((3, 4, 2, 2))
    x[1, 2, 0, 1] = np.nan
    y, saved = batch_norm2d(x, gamma, beta, mean, variance, True)
    dx, dgamma, dbeta = batch_norm2d_grad(random(*x.shape), x, gamma, saved)
    for values in (y, dx):
        assert np.isnan(values).any(axis=(0, 2, 3)).tolist() == [False, False, True, False]
    for values in (mean, variance, dgamma):
        assert np.flatnonzero(np.isnan(values)).tolist() == [2]
    assert np.isfinite(dbeta).all()


# Gradient


def forward(x, gamma, beta, eps=1e-5):
    return batch_norm2d(x, gamma, beta, np.zeros(len(gamma)), np.ones(len(gamma)), True, eps=eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm2d_grad_agrees_with_the_reference(shape, dtype):
    x, gamma, beta, mean, variance = case(shape, dtype)
    dy = random(*shape, dtype=dtype, seed=1)
    saved = batch_norm2d(x, gamma, beta, mean, variance, True, eps=1e-3)[1]
    got = batch_norm2d_grad(dy, x, gamma, saved)
    wanted = reference.batch_norm2d_grad(dy, x, gamma, eps=1e-3)
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(one, other, rtol=0, atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm2d_grad_agrees_with_pytorch(torch, shape, dtype):
    x, gamma, beta, mean, variance = case(shape, dtype)
    dy = random(*shape, dtype=dtype, seed=1)
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, gamma, beta)]
    y = torch.nn.functional.batch_norm(tensors[0], None, None, *tensors[1:], training=True, eps=1e-3)
    y.backward(torch.tensor(dy))
    saved = batch_norm2d(x, gamma, beta, mean, variance, True, eps=1e-3)[1]
    for one, other in zip(batch_norm2d_grad(dy, x, gamma, saved), tensors, strict=True):
        np.testing.assert_allclose(one, other.grad.numpy(), rtol=0, atol=10 * TOLERANCE[dtype])


@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_are_the_slopes_of_the_output(shape):
    x, gamma, beta, _, _ = case(shape)
    dy = random(*shape, seed=1)
    eps = 0.01  # large, so that two values a channel have a slope to measure
    saved = forward(x, gamma, beta, eps)[1]
    gradients = batch_norm2d_grad(dy, x, gamma, saved)
    step = 1e-5
    for k, (array, gradient) in enumerate(zip((x, gamma, beta), gradients, strict=True)):
        assert gradient.shape == array.shape
        for flat in np.random.default_rng(2).permutation(array.size)[:40]:
            index = np.unravel_index(flat, array.shape)
            ends = []
            for sign in (1, -1):
                moved = [x, gamma, beta]
                moved[k] = array.copy()
                moved[k][index] += sign * step
                ends.append((forward(*moved, eps)[0] * dy).sum())
            assert gradient[index] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6, abs=1e-7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_along_the_ones_or_the_values_does_not_reach_x(dtype):
    x, gamma, beta, mean, variance = case((6, 3, 5, 4), dtype)
    _, saved = batch_norm2d(x, gamma, beta, mean, variance, True, eps=0.0)
    for dy in (np.ones_like(x), x):
        dx = batch_norm2d_grad(dy, x, gamma, saved)[0]
        np.testing.assert_allclose(dx, 0, atol=TOLERANCE[dtype])


# Empty batches, memory, arguments


def test_an_empty_batch_is_refused_in_training_and_changes_nothing():
    x, gamma, beta, mean, variance = case((0, 3, 2, 2))
    before = mean.copy(), variance.copy()
    with pytest.raises(ValueError, match="`x` must have at least one element, got none"):
        batch_norm2d(x, gamma, beta, mean, variance, True)
    np.testing.assert_array_equal((mean, variance), before)


def test_an_empty_batch_has_an_empty_output_and_no_gradient():
    x, gamma, beta, mean, variance = case((0, 3, 2, 2))
    y, saved = batch_norm2d(x, gamma, beta, mean, variance, False)
    assert y.shape == x.shape
    dx, dgamma, dbeta = batch_norm2d_grad(y, x, gamma, saved)
    assert dx.shape == x.shape
    np.testing.assert_array_equal((dgamma, dbeta), np.zeros((2, 3)))


def layouts(x):
    """The same numbers in other orders in memory."""
    still = x.copy()
    still.flags.writeable = False
    spaced = np.repeat(x, 2, axis=-1)[..., ::2]
    return [spaced, np.asfortranarray(x), still, x[::-1].copy()[::-1], x.astype(x.dtype.newbyteorder())]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_order_in_memory_changes_no_bit_and_no_input(dtype):
    x, gamma, beta, mean, variance = case((4, 3, 5, 2), dtype)
    dy = random(*x.shape, dtype=dtype, seed=1)
    y, saved = batch_norm2d(x, gamma, beta, mean.copy(), variance.copy(), True)
    gradients = batch_norm2d_grad(dy, x, gamma, saved)
    plain = (x, gamma, beta, dy, saved)
    for others in zip(*map(layouts, plain), strict=True):
        image, scale, shift, slope, kept = others
        got = batch_norm2d(image, scale, shift, mean.copy(), variance.copy(), True)
        wanted = (y, saved, *gradients)
        for one, other in zip((*got, *batch_norm2d_grad(slope, image, scale, kept)), wanted, strict=True):
            np.testing.assert_array_equal(one, other)
        for one, other in zip(others, plain, strict=True):
            np.testing.assert_array_equal(one, other)


def frozen(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("position", "name"), [(3, "running_mean"), (4, "running_var")])
def test_running_arrays_that_cannot_be_written_to_are_refused(position, name, training):
    for spoil in (frozen, lambda a: a.astype(a.dtype.newbyteorder())):
        arguments = list(case((4, 3, 2, 2)))
        arguments[position] = spoil(arguments[position])
        before = [a.copy() for a in arguments]
        with pytest.raises(ValueError, match=f"`{name}` must be an array to write to"):
            batch_norm2d(*arguments, training)
        np.testing.assert_array_equal(arguments[3:], before[3:])


NAMES = ["x", "gamma", "beta", "running_mean", "running_var"]


@pytest.mark.parametrize(("position", "name"), list(enumerate(NAMES))[1:])
def test_channel_arrays_of_another_length_or_dtype_are_refused_before_anything_changes(position, name):
    for spoil, error, message in (
        (lambda a: a[:2], ValueError, f"`{name}` must have 3 entries, one for each channel of `x`, got 2"),
        (
            lambda a: a.astype(np.float32),
            TypeError,
            f"`{name}` must have the dtype of `x`, float64, got float32",
        ),
        (lambda a: a[None], ValueError, f"`{name}` must be a 1-D array"),
        (list, TypeError, f"`{name}` must be a 1-D array"),
    ):
        arguments = list(case((4, 3, 2, 2)))
        arguments[position] = spoil(arguments[position])
        before = [np.array(a) for a in arguments[3:]]
        with pytest.raises(error, match=message):
            batch_norm2d(*arguments, True)
        for one, other in zip(arguments[3:], before, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": None}, "`momentum` must be a number, got None"),
        ({"momentum": "0.1"}, "`momentum` must be a number"),
        ({"eps": True}, "`eps` must be a number, got True"),
    ],
)
def test_a_momentum_or_eps_that_is_no_number_is_refused(options, message):
    with pytest.raises(TypeError, match=message):
        batch_norm2d(*case((4, 3, 2, 2)), True, **options)


@pytest.mark.parametrize(
    ("position", "spoil", "error", "message"),
    [
        (0, lambda a: a[:3], ValueError, r"`dy` must have the shape of `x`, \(4, 3, 2, 2\), got \(3, 3"),
        (0, lambda a: a.astype(np.float32), TypeError, "`dy` must have the dtype of `x`"),
        (1, lambda a: a[0], ValueError, "`x` must be a 4-D array"),
        (2, lambda a: a[:2], ValueError, "`gamma` must have 3 entries"),
        (3, lambda a: a[:1], ValueError, "`saved` must have 2 rows, got 1"),
        (3, lambda a: a[:, :2], ValueError, "`saved` must have 3 columns"),
        (3, lambda a: a[0], ValueError, "`saved` must be a 2-D array"),
    ],
)
def test_a_bad_argument_of_the_gradient_is_named(position, spoil, error, message):
    x, gamma, beta, _, _ = case((4, 3, 2, 2))
    arguments = [x.copy(), x, gamma, forward(x, gamma, beta)[1]]
    arguments[position] = spoil(arguments[position])
    with pytest.raises(error, match=message):
        batch_norm2d_grad(*arguments)


# Compiled callers


@numba.njit
def compiled(x, gamma, beta, running_mean, running_var, training):
    y, saved = batch_norm2d(x, gamma, beta, running_mean, running_var, training, eps=1e-3)
    return y, saved, batch_norm2d_grad(y, x, gamma, saved)


@pytest.mark.parametrize("training", [True, False])
def test_compiled_callers_get_the_same_numbers(training):
    x, gamma, beta, *running = case((5, 3, 4, 2), np.float32)
    copies = [a.copy() for a in running]
    y, saved, gradients = compiled(x, gamma, beta, *copies, training)
    wanted_y, wanted_saved = batch_norm2d(x, gamma, beta, *running, training, eps=1e-3)
    wanted = wanted_y, wanted_saved, *batch_norm2d_grad(wanted_y, x, gamma, wanted_saved), *running
    for one, other in itertools.zip_longest((y, saved, *gradients, *copies), wanted):
        assert one.dtype == other.dtype
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-5)


def test_compiled_callers_get_the_same_errors():
    x, gamma, beta, mean, variance = case((5, 3, 4, 2), np.float32)
    with pytest.raises(ValueError, match="`gamma` must have 3 entries, one for each channel of `x`, got 2"):
        compiled(x, gamma[:2], beta, mean, variance, True)
    with pytest.raises(ValueError, match="`x` must have at least one element"):
        compiled(x[:0], gamma, beta, mean, variance, True)
    with pytest.raises(ValueError, match="`running_var` must be an array to write to"):
        compiled(x, gamma, beta, mean, frozen(variance), True)
    with pytest.raises(TypeError, match="`beta` must have the dtype of `x`"):
        compiled(x, gamma, beta.astype(np.float64), mean, mean, True)
