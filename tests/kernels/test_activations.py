"""Activations and their gradients: values, shapes, memory, arguments, compiled callers."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastconv.kernels import (
    leaky_relu,
    leaky_relu_grad,
    relu,
    relu_grad,
    sigmoid,
    sigmoid_grad,
    softmax,
    tanh,
    tanh_grad,
)
from tests.kernels.activation_cases import (
    BACKWARD,
    DTYPES,
    EXACT,
    FORWARD,
    INF,
    NAN,
    SPECIAL,
    ULP,
    layouts,
    random,
    ulps,
    usual_range,
    whole_range,
)

# Values


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("numbers", [whole_range, usual_range])
@pytest.mark.parametrize("name", EXACT)
def test_sigmoid_and_tanh_are_accurate_to_a_few_last_places_over_the_whole_range(name, numbers, dtype):
    x = numbers(dtype)
    with np.errstate(under="ignore"):
        exact = EXACT[name](x.astype(np.float64))
        worst = ulps(FORWARD[name](x), exact).max()
    assert worst <= ULP[name, dtype]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", EXACT)
def test_sigmoid_and_tanh_never_leave_their_range(name, dtype):
    y = FORWARD[name](np.concatenate([whole_range(dtype), usual_range(dtype)]))
    assert y.min() == {"sigmoid": 0, "tanh": -1}[name]
    assert y.max() == 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_tanh_of_tiny_numbers_is_the_number_and_of_a_negative_one_the_mirror_image(dtype):
    info = np.finfo(dtype)
    tiny = np.array([info.smallest_subnormal, 3 * info.smallest_subnormal, info.tiny, 1e-30, 1e-12], dtype)
    np.testing.assert_array_equal(tanh(tiny), tiny)
    x = whole_range(dtype)
    np.testing.assert_array_equal(tanh(-x), -tanh(x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_relu_keeps_each_positive_number_and_makes_the_others_zero(dtype):
    x = whole_range(dtype)
    np.testing.assert_array_equal(relu(x), np.where(x > 0, x, 0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("slope", [0.01, 0, 1, -0.5, 2.5])
def test_leaky_relu_multiplies_what_is_not_positive_by_the_slope(slope, dtype):
    x = whole_range(dtype)
    x = x[np.abs(x) < np.finfo(dtype).max / 4]
    with np.errstate(under="ignore"):
        wanted = np.where(x > 0, x, x * dtype(slope))
    np.testing.assert_array_equal(leaky_relu(x, slope), wanted)


@pytest.mark.parametrize(
    ("name", "x", "y"),
    [
        ("relu", [INF, -INF, 0.0, -2.5, 2.5], [INF, 0, 0, 0, 2.5]),
        ("leaky_relu", [INF, -INF, 0.0, -100, 2.5], [INF, -INF, 0, -1, 2.5]),
        ("sigmoid", [INF, -INF, 0.0, -0.0, 1e4, -1e4], [1, 0, 0.5, 0.5, 1, 0]),
        ("tanh", [INF, -INF, 0.0, 1e4, -1e4, 3e38], [1, -1, 0, 1, -1, 1]),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_infinities_and_large_numbers_have_their_limits(name, x, y, dtype):
    np.testing.assert_array_equal(FORWARD[name](np.array(x, dtype)), np.array(y, dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["leaky_relu", "tanh"])
def test_the_sign_of_zero_is_kept(name, dtype):
    y = FORWARD[name](np.array([0.0, -0.0], dtype))
    assert np.signbit(y).tolist() == [False, True]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh"])
@pytest.mark.parametrize("length", [1, 16, 21])
def test_nan_stays_nan_and_touches_no_neighbour(length, name, dtype):
    x = random(length, dtype=dtype)
    clean = FORWARD[name](x)
    for k in range(length):
        holed = x.copy()
        holed[k] = NAN
        y = FORWARD[name](holed)
        assert np.flatnonzero(np.isnan(y)).tolist() == [k]
        np.testing.assert_array_equal(np.delete(y, k), np.delete(clean, k))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh"])
def test_an_element_has_the_same_bits_wherever_it_lies(name, dtype):
    x = np.concatenate([np.array(SPECIAL, dtype), random(23, dtype=dtype)])
    whole = FORWARD[name](x)
    gradient, of_output = BACKWARD[name]
    dy, at = random(x.size, dtype=dtype, seed=1), whole if of_output else x
    slopes = gradient(dy, at)
    for start in range(x.size):
        for end in (start + 1, x.size):
            np.testing.assert_array_equal(FORWARD[name](x[start:end]), whole[start:end])
            np.testing.assert_array_equal(gradient(dy[start:end], at[start:end]), slopes[start:end])


# Gradients


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_gradients_of_relu_and_leaky_relu_pass_dy_only_where_x_is_positive(dtype):
    tiny = np.finfo(dtype).smallest_subnormal
    x = np.array([-INF, -1, -tiny, -0.0, 0.0, tiny, 1, INF], dtype)
    dy = np.full(8, 2, dtype)
    assert relu_grad(dy, x).tolist() == [0, 0, 0, 0, 0, 2, 2, 2]
    assert leaky_relu_grad(dy, x, 0.25).tolist() == [0.5, 0.5, 0.5, 0.5, 0.5, 2, 2, 2]
    np.testing.assert_array_equal(relu_grad(dy, relu(x)), relu_grad(dy, x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_closed_relu_stops_even_a_gradient_that_is_not_finite(dtype):
    dy = np.array([NAN, INF, NAN, -INF], dtype)
    np.testing.assert_array_equal(relu_grad(dy, np.array([-1, -1, 1, 1], dtype)), [0, 0, NAN, -INF])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("gradient", "slope"), [(sigmoid_grad, lambda y: y * (1 - y)), (tanh_grad, lambda y: (1 - y) * (1 + y))]
)
def test_the_gradients_of_sigmoid_and_tanh_are_dy_times_the_slope_at_the_output(gradient, slope, dtype):
    y = np.concatenate([np.linspace(0, 1, 1003), 1 - 2.0 ** -np.arange(1, 24), 2.0 ** -np.arange(1, 100.0)])
    y = y.astype(dtype)
    dy = random(y.size, dtype=dtype)
    exact = dy.astype(np.float64) * slope(y.astype(np.float64))
    np.testing.assert_allclose(gradient(dy, y), exact, rtol=3 * np.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gradient", [sigmoid_grad, tanh_grad])
def test_a_saturated_unit_has_no_gradient_and_no_nan(gradient, dtype):
    forward = {sigmoid_grad: sigmoid, tanh_grad: tanh}[gradient]
    y = forward(np.array([1e4, -1e4, INF, -INF], dtype))
    np.testing.assert_array_equal(gradient(np.full(4, 1e30, dtype), y), np.zeros(4))


@pytest.mark.parametrize("name", BACKWARD)
def test_gradients_are_the_slopes_of_the_values(name):
    forward, (gradient, of_output) = FORWARD[name], BACKWARD[name]
    x = np.linspace(-6, 6, 402)  # not 0, where relu has a corner
    dy = random(x.size, seed=1)
    step = 1e-5
    slope = (forward(x + step) - forward(x - step)) / (2 * step)
    got = gradient(dy, forward(x) if of_output else x)
    np.testing.assert_allclose(got, dy * slope, rtol=0, atol=2e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", BACKWARD)
def test_values_and_gradients_agree_with_pytorch(torch, name, dtype):
    function = getattr(torch.nn.functional, name, None) or getattr(torch, name)
    x = np.concatenate([5 * random(1000, dtype=dtype), np.array(SPECIAL, dtype)])
    dy = random(x.size, dtype=dtype, seed=1)
    tensor = torch.tensor(x, requires_grad=True)
    wanted = function(tensor)
    wanted.backward(torch.tensor(dy))
    y = FORWARD[name](x)
    gradient, of_output = BACKWARD[name]
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(y, wanted.detach().numpy(), rtol=4 * eps, atol=np.finfo(dtype).tiny)
    dx = gradient(dy, y if of_output else x)
    np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=4 * eps, atol=8 * eps)


# Shapes and memory


def all_of(x, dy):
    """Every activation and gradient of one input."""
    s, t = sigmoid(x), tanh(x)
    forward = relu(x), leaky_relu(x), leaky_relu(x, 0.3), s, t, softmax(x)
    return (
        *forward,
        relu_grad(dy, x),
        leaky_relu_grad(dy, x),
        leaky_relu_grad(dy, x, 0.3),
        sigmoid_grad(dy, s),
        tanh_grad(dy, t),
    )


def check_all(got, wanted):
    assert len(got) == len(wanted)
    for one, other in zip(got, wanted, strict=True):
        assert one.dtype == other.dtype
        assert one.shape == other.shape
        np.testing.assert_array_equal(one, other)


@settings(max_examples=60)
@given(hnp.array_shapes(min_dims=1, max_dims=5, min_side=0, max_side=6), st.sampled_from(DTYPES))
def test_results_have_the_shape_and_dtype_of_the_input(shape, dtype):
    x, dy = random(*shape, dtype=dtype), random(*shape, dtype=dtype, seed=1)
    for y in all_of(x, dy):
        assert y.shape == shape
        assert y.dtype == dtype
        assert not np.shares_memory(x, y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_array_without_axes_is_one_number(dtype):
    x, dy = np.array(-0.5, dtype), np.array(2, dtype)
    for name, (gradient, _) in BACKWARD.items():
        y, dx = FORWARD[name](x), gradient(dy, x)
        assert y.shape == dx.shape == ()
        assert y == FORWARD[name](x[None])[0]
        assert dx == gradient(dy[None], x[None])[0]


@settings(max_examples=60)
@given(hnp.arrays(np.float32, st.integers(0, 70), elements=st.floats(width=32)))
def test_any_floats_give_what_float64_gives(x):
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        np.testing.assert_array_equal(relu(x), np.where(np.isnan(x) | (x > 0), x, 0))
        for name, exact in EXACT.items():
            y, wanted = FORWARD[name](x), exact(wide)
            np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
            assert (ulps(y, wanted)[~np.isnan(x)] <= ULP[name, np.float32]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_order_in_memory_changes_no_bit_and_no_input(dtype):
    x, dy = random(3, 5, 7, dtype=dtype), random(3, 5, 7, dtype=dtype, seed=1)
    for one, other in zip(layouts(x), layouts(dy), strict=True):
        plain, slope = one.astype(dtype, order="C"), other.astype(dtype, order="C")
        check_all(all_of(one, other), all_of(plain, slope))
        np.testing.assert_array_equal(one, plain)
        np.testing.assert_array_equal(other, slope)


# Arguments


@pytest.mark.parametrize("name", FORWARD)
@pytest.mark.parametrize(
    "x", [[1.0], 1.0, None, np.zeros(2, int), np.zeros(2, np.float16), np.zeros(2, bool)]
)
def test_what_is_not_an_array_of_floats_is_refused(name, x):
    with pytest.raises(TypeError, match="`x` must be an array of float32 or float64, got"):
        FORWARD[name](x)


@pytest.mark.parametrize("name", BACKWARD)
def test_gradients_refuse_another_dtype_or_shape(name):
    gradient, of_output = BACKWARD[name]
    other = "y" if of_output else "x"
    with pytest.raises(TypeError, match=f"`dy` must have the dtype of `{other}`, float64, got float32"):
        gradient(np.zeros(3, np.float32), np.zeros(3))
    with pytest.raises(ValueError, match=rf"`dy` must have the shape of `{other}`, \(3, 1\), got \(3,\)"):
        gradient(np.zeros(3), np.zeros((3, 1)))
    with pytest.raises(TypeError, match=f"`{other}` must be an array"):
        gradient(np.zeros(3), [0.0, 0.0, 0.0])


@pytest.mark.parametrize("slope", ["0.1", None, True, [0.1], 1j])
def test_a_slope_that_is_no_number_is_refused(slope):
    for call in (lambda: leaky_relu(np.zeros(2), slope), lambda: leaky_relu_grad(*np.zeros((2, 2)), slope)):
        with pytest.raises(TypeError, match="`negative_slope` must be a number, got"):
            call()


# Compiled callers


compiled_all_of = numba.njit(all_of)


def some_of(x):
    return relu(x), sigmoid_grad(x, x), softmax(x)


compiled_some_of = numba.njit(some_of)


def test_compiled_callers_get_the_same_bits():
    for shape in ((4, 9), (0, 3), (3, 0)):
        x, dy = random(*shape, dtype=np.float32), random(*shape, dtype=np.float32, seed=1)
        check_all(compiled_all_of(x, dy), all_of(x, dy))


@pytest.mark.parametrize("layout", [np.asfortranarray, lambda x: np.repeat(x, 2, axis=1)[:, ::2]])
def test_compiled_callers_may_pass_arrays_of_any_order(layout):
    x = layout(random(4, 9))
    assert not x.flags.c_contiguous
    check_all(compiled_some_of(x), some_of(x))


def test_compiled_callers_may_pass_read_only_arrays():
    x = random(4, 9, dtype=np.float32)
    x.flags.writeable = False
    check_all(compiled_some_of(x), some_of(x))


def test_compiled_callers_get_the_same_errors():
    x = random(4, 9, dtype=np.float32)
    with pytest.raises(ValueError, match="`dy` must have the shape of `x`"):
        compiled_all_of(x, random(4, 8, dtype=np.float32))
    with pytest.raises(TypeError, match="`x` must be an array of float32 or float64, got array\\(int64"):
        compiled_some_of(np.zeros((2, 2), int))
    with pytest.raises(ValueError, match="`x` must have at least one axis"):
        numba.njit(lambda x: softmax(x))(np.array(1.0))
