import math

import numba
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fastconv.kernels import (
    bce,
    bce_grad,
    bce_with_logits,
    bce_with_logits_grad,
    cross_entropy,
    cross_entropy_grad,
    mse,
    mse_grad,
)

DTYPES = [np.float32, np.float64]
REDUCTIONS = ["mean", "sum", "none"]
SHAPES = [(1,), (7,), (7, 1), (7, 3), (2, 3, 4)]
INF, NAN = np.inf, np.nan
LOSSES = {"bce": bce, "bce_with_logits": bce_with_logits, "mse": mse, "cross_entropy": cross_entropy}
GRADIENTS = {
    "bce": bce_grad,
    "bce_with_logits": bce_with_logits_grad,
    "mse": mse_grad,
    "cross_entropy": cross_entropy_grad,
}
PAIRED = ["bce", "bce_with_logits", "mse"]  # whose target has the shape of the prediction
FIRST = {"bce": "p", "bce_with_logits": "z", "mse": "y"}


# The definitions, in float64.


def exact_bce(p, target):
    with np.errstate(divide="ignore"):
        return -(target * np.maximum(np.log(p), -100) + (1 - target) * np.maximum(np.log1p(-p), -100))


def exact_bce_with_logits(z, target):
    return np.logaddexp(0, z) - z * target


def exact_mse(y, target):
    return (y - target) ** 2


def exact_cross_entropy(logits, labels):
    own = logits[np.arange(len(labels)), labels]
    return scipy.special.logsumexp(logits - own[:, None], axis=1)


EXACT = {
    "bce": exact_bce,
    "bce_with_logits": exact_bce_with_logits,
    "mse": exact_mse,
    "cross_entropy": exact_cross_entropy,
}


def reduced(losses, reduction):
    """Mean, sum or all of the losses, the sum exactly rounded."""
    if reduction == "none":
        return losses
    total = math.fsum(losses.ravel())
    return total / losses.size if reduction == "mean" else total


def data(name, shape, dtype=np.float64, seed=0):
    """A prediction and its target."""
    generator = np.random.default_rng(seed)
    if name == "cross_entropy":
        return (3 * generator.standard_normal(shape)).astype(dtype), generator.integers(0, shape[1], shape[0])
    low, high = {"bce": (0.01, 0.99), "bce_with_logits": (-9, 9), "mse": (-3, 3)}[name]
    return generator.uniform(low, high, shape).astype(dtype), generator.random(shape).astype(dtype)


def epsilon(dtype):
    return float(np.finfo(dtype).eps)


def wide(array):
    return array.astype(np.float64) if array.dtype.kind == "f" else array


CASES = [(name, shape) for name in PAIRED for shape in SHAPES]
CASES += [("cross_entropy", shape) for shape in ((1, 1), (1, 4), (7, 1), (7, 2), (5, 10))]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


# Numbers worked by hand


@pytest.mark.parametrize(
    ("loss", "prediction", "target", "wanted"),
    [
        (bce, [0.5, 0.25], [1, 1], [math.log(2), math.log(4)]),
        (bce, [0.5, 0.75], [0, 0], [math.log(2), math.log(4)]),
        (bce, [0.25], [0.5], [(math.log(4) + math.log(4 / 3)) / 2]),
        (bce_with_logits, [0, 0, 0], [0, 0.3, 1], [math.log(2)] * 3),
        (bce_with_logits, [math.log(3)] * 2, [1, 0], [math.log(4 / 3), math.log(4)]),
        (mse, [3, -1, 2], [1, 1, 2], [4, 4, 0]),
        (cross_entropy, [[0, math.log(3)]] * 2, [1, 0], [math.log(4 / 3), math.log(4)]),
        (cross_entropy, [[5, 5, 5, 5]], [2], [math.log(4)]),
        (cross_entropy, [[-3.0]], [0], [0]),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses_have_the_values_worked_by_hand(loss, prediction, target, wanted, dtype):
    target = np.array(target, int if loss is cross_entropy else dtype)
    prediction = np.array(prediction, dtype)
    eps = 4 * epsilon(dtype)
    losses = loss(prediction, target, "none")
    assert losses.dtype == dtype
    np.testing.assert_allclose(losses, wanted, rtol=eps, atol=eps)
    assert loss(prediction, target) == pytest.approx(sum(wanted) / len(wanted), rel=eps, abs=eps)
    assert loss(prediction, target, "sum") == pytest.approx(sum(wanted), rel=eps, abs=eps)


@pytest.mark.parametrize(
    ("gradient", "prediction", "target", "wanted"),
    [
        (bce_grad, [0.5, 0.25], [1, 1], [-2, -4]),
        (bce_grad, [0.5, 0.75, 0.2], [0, 0, 0.2], [2, 4, 0]),
        (bce_with_logits_grad, [0, 0, math.log(3)], [0, 1, 1], [0.5, -0.5, -0.25]),
        (mse_grad, [3, -1, 2], [1, 1, 2], [4, -4, 0]),
        (cross_entropy_grad, [[0, math.log(3)]] * 2, [1, 0], [[0.25, -0.25], [-0.75, 0.75]]),
        (cross_entropy_grad, [[5, 5, 5, 5]], [2], [[0.25, 0.25, -0.75, 0.25]]),
        (cross_entropy_grad, [[-3.0]], [0], [[0]]),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_have_the_values_worked_by_hand(gradient, prediction, target, wanted, dtype):
    target = np.array(target, int if gradient is cross_entropy_grad else dtype)
    prediction = np.array(prediction, dtype)
    for reduction, count in (("none", 1), ("sum", 1), ("mean", len(wanted))):
        slopes = gradient(prediction, target, reduction)
        assert slopes.dtype == dtype
        eps = 8 * epsilon(dtype)
        np.testing.assert_allclose(slopes, np.array(wanted) / count, rtol=eps, atol=eps)


def test_the_mean_is_over_all_elements_and_for_cross_entropy_over_the_rows():
    y, target = data("mse", (7, 3))
    assert mse(y, target) == pytest.approx(mse(y, target, "sum") / 21)
    logits, labels = data("cross_entropy", (7, 3))
    assert cross_entropy(logits, labels) == pytest.approx(cross_entropy(logits, labels, "sum") / 7)


# Values and gradients against other answers


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_losses_agree_with_their_definition(name, shape, reduction, dtype):
    prediction, target = data(name, shape, dtype)
    wanted = reduced(EXACT[name](wide(prediction), wide(target)), reduction)
    loss = LOSSES[name](prediction, target, reduction)
    if reduction == "none":
        assert loss.dtype == dtype
        assert loss.shape == wanted.shape
    else:
        assert type(loss) is float
    eps = 8 * epsilon(dtype)
    np.testing.assert_allclose(loss, wanted, rtol=eps, atol=4 * eps)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_losses_and_gradients_agree_with_pytorch(torch, name, shape, reduction, dtype):
    prediction, target = data(name, shape, dtype, seed=1)
    function = {
        "bce": torch.nn.functional.binary_cross_entropy,
        "bce_with_logits": torch.nn.functional.binary_cross_entropy_with_logits,
        "mse": torch.nn.functional.mse_loss,
        "cross_entropy": torch.nn.functional.cross_entropy,
    }[name]
    tensor = torch.tensor(prediction, requires_grad=True)
    wanted = function(tensor, torch.tensor(target), reduction=reduction)
    wanted.sum().backward()
    eps = 32 * epsilon(dtype)
    loss = LOSSES[name](prediction, target, reduction)
    np.testing.assert_allclose(loss, wanted.detach().numpy(), rtol=eps, atol=eps)
    slopes = GRADIENTS[name](prediction, target, reduction)
    np.testing.assert_allclose(slopes, tensor.grad.numpy(), rtol=eps, atol=eps)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "shape"), CASES)
def test_gradients_are_the_slopes_of_the_losses(name, shape, reduction):
    prediction, target = data(name, shape, seed=2)
    slopes = GRADIENTS[name](prediction, target, reduction)
    assert slopes.shape == shape
    step = 1e-5
    for index in np.ndindex(shape):
        ends = []
        for sign in (1, -1):
            moved = prediction.copy()
            moved[index] += sign * step
            ends.append(np.sum(LOSSES[name](moved, target, reduction)))
        assert slopes[index] == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-8)


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(PAIRED), hnp.array_shapes(max_dims=3, max_side=5), st.sampled_from(DTYPES), st.data())
def test_paired_losses_of_any_targets_agree_with_their_definition(name, shape, dtype, draw):
    width = np.finfo(dtype).bits
    low, high = {"bce": (0.015625, 0.984375), "bce_with_logits": (-1e4, 1e4), "mse": (-1e4, 1e4)}[name]
    prediction = draw.draw(hnp.arrays(dtype, shape, elements=st.floats(low, high, width=width)))
    target = draw.draw(hnp.arrays(dtype, shape, elements=st.floats(0, 1, width=width)))
    losses = LOSSES[name](prediction, target, "none")
    wanted = EXACT[name](wide(prediction), wide(target))
    size = 1 + np.abs(wide(prediction)) + np.abs(wanted)  # the largest number that is added up
    assert (np.abs(losses - wanted) <= 8 * epsilon(dtype) * size).all()


@settings(deadline=None, max_examples=60)
@given(hnp.array_shapes(min_dims=2, max_dims=2, max_side=6), st.sampled_from(DTYPES), st.data())
def test_cross_entropy_of_any_logits_agrees_with_its_definition(shape, dtype, draw):
    floats = st.floats(-1e4, 1e4, width=np.finfo(dtype).bits)
    logits = draw.draw(hnp.arrays(dtype, shape, elements=floats))
    labels = draw.draw(hnp.arrays(np.int64, shape[0], elements=st.integers(0, shape[1] - 1)))
    wanted = exact_cross_entropy(wide(logits), labels)
    eps = 16 * epsilon(dtype)
    np.testing.assert_allclose(cross_entropy(logits, labels, "none"), wanted, rtol=eps, atol=eps)
    slopes = scipy.special.softmax(wide(logits), axis=1)
    slopes[np.arange(shape[0]), labels] -= 1
    got = cross_entropy_grad(logits, labels, "sum")
    np.testing.assert_allclose(got, slopes, rtol=0, atol=eps)


# The ends of the range


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("p", "target", "loss", "slope"),
    [
        (0, 0, 0, 0),
        (1, 1, 0, 0),
        (0, 1, 100, -1e12),
        (1, 0, 100, 1e12),
        (0, 0.5, 50, -5e11),
        (1, 0.25, 75, 7.5e11),
        (1e-30, 1, -math.log(1e-30), -1e12),
    ],
)
def test_bce_clips_its_logarithm_at_minus_100_and_its_gradient_stays_finite(p, target, loss, slope, dtype):
    p, target = np.array([p], dtype), np.array([target], dtype)
    assert bce(p, target) == pytest.approx(loss, rel=1e-6)
    assert bce_grad(p, target)[0] == pytest.approx(slope, rel=1e-6)


def test_bce_clips_the_logarithm_of_a_denormal_number_too():
    assert bce(np.array([1e-300]), np.array([1.0])) == 100
    assert bce(np.array([5e-324]), np.array([1.0])) == 100


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("p", [1e-3, 1e-6, 1e-10, 1e-17, 1e-30])
def test_bce_of_a_small_probability_keeps_its_digits(p, dtype):
    p = np.array([p], dtype)
    exact = -math.log1p(-float(p[0]))
    assert bce(p, np.zeros(1, dtype)) == pytest.approx(exact, rel=2 * epsilon(dtype), abs=0)


@pytest.mark.parametrize("p", [-0.5, 1.5, NAN])
def test_bce_of_what_is_no_probability_is_nan(p):
    assert math.isnan(bce(np.array([p]), np.array([0.5])))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("z", "target", "loss", "slope"),
    [
        (1e4, 1, 0, 0),
        (1e4, 0, 1e4, 1),
        (-1e4, 0, 0, 0),
        (-1e4, 1, 1e4, -1),
        (1e4, 0.5, 5e3, 0.5),
        (3e38, 0, 3e38, 1),
        (-50, 0, math.exp(-50), math.exp(-50)),
        (50, 1, math.exp(-50), 0),
    ],
)
def test_bce_with_logits_is_right_at_both_ends(z, target, loss, slope, dtype):
    z, target = np.array([z], dtype), np.array([target], dtype)
    assert bce_with_logits(z, target) == pytest.approx(loss, rel=1e-6, abs=0)
    assert bce_with_logits_grad(z, target)[0] == pytest.approx(slope, rel=1e-5, abs=0)


@pytest.mark.parametrize(("z", "target", "slope"), [(INF, 0, 1), (-INF, 1, -1)])
def test_bce_with_logits_of_an_infinite_logit_on_the_wrong_side_is_infinite(z, target, slope):
    z, target = np.array([z]), np.array([target], float)
    assert bce_with_logits(z, target) == INF
    assert bce_with_logits_grad(z, target) == slope


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("logits", "loss", "slopes"),
    [
        ([1e4, -1e4, 0], 0, [0, 0, 0]),
        ([-1e4, 1e4, 0], 2e4, [-1, 1, 0]),
        ([1e4, 1e4, 1e4], math.log(3), [-2 / 3, 1 / 3, 1 / 3]),
        ([-1e4, -1e4, -1e4], math.log(3), [-2 / 3, 1 / 3, 1 / 3]),
        ([3e38, 3e38, -3e38], math.log(2), [-0.5, 0.5, 0]),
        ([0, -INF, 0], math.log(2), [-0.5, 0, 0.5]),
        ([-INF, 0, 0], INF, [-1, 0.5, 0.5]),
        ([NAN, 0, 0], NAN, [NAN, NAN, NAN]),
        ([0, 0, NAN], NAN, [NAN, NAN, NAN]),
    ],
)
def test_cross_entropy_of_extreme_and_equal_logits(logits, loss, slopes, dtype):
    logits = np.array([logits, [0, 0, 0]], dtype)
    labels = np.zeros(2, int)
    eps = 4 * epsilon(dtype)
    losses = cross_entropy(logits, labels, "none")
    np.testing.assert_allclose(losses, [loss, math.log(3)], rtol=eps, atol=0)
    got = cross_entropy_grad(logits, labels, "none")
    np.testing.assert_allclose(got, [slopes, [-2 / 3, 1 / 3, 1 / 3]], rtol=eps, atol=eps)


@pytest.mark.parametrize("name", ["bce", "bce_with_logits", "mse"])
def test_nan_stays_in_its_element(name):
    prediction, target = data(name, (5,))
    prediction[2] = NAN
    for values in (LOSSES[name](prediction, target, "none"), GRADIENTS[name](prediction, target)):
        assert np.flatnonzero(np.isnan(values)).tolist() == [2]
    assert math.isnan(LOSSES[name](prediction, target))


def test_a_sum_of_many_float32_losses_is_carried_in_float64():
    y = np.full(300_000, 0.1, np.float32)
    each = float(np.float32(float(y[0]) ** 2))
    assert mse(y, np.zeros_like(y), "sum") == pytest.approx(each * y.size, rel=1e-7)
    p = np.full(300_000, 0.3, np.float32)
    assert bce(p, p) == pytest.approx(float(exact_bce(wide(p[:1]), wide(p[:1]))[0]), rel=1e-7)


# Empty batches, shapes and memory


def empty(name):
    if name == "cross_entropy":
        return np.zeros((0, 3)), np.zeros(0, int)
    return np.zeros((0, 1)), np.zeros((0, 1))


@pytest.mark.parametrize("name", LOSSES)
def test_an_empty_batch_has_sum_0_mean_nan_as_in_pytorch_and_empty_gradients(name):
    prediction, target = empty(name)
    assert LOSSES[name](prediction, target, "sum") == 0
    assert math.isnan(LOSSES[name](prediction, target))
    assert LOSSES[name](prediction, target, "none").size == 0
    for reduction in REDUCTIONS:
        assert GRADIENTS[name](prediction, target, reduction).shape == prediction.shape


@pytest.mark.parametrize("name", PAIRED)
def test_a_single_number_without_axes_has_a_loss(name):
    prediction, target = data(name, (1,))
    for reduction in REDUCTIONS:
        loss = LOSSES[name](prediction.reshape(()), target.reshape(()), reduction)
        assert np.shape(loss) == ()
        assert loss == np.squeeze(LOSSES[name](prediction, target, reduction))
    assert GRADIENTS[name](prediction.reshape(()), target.reshape(())).shape == ()


def layouts(x):
    """The same numbers in other orders in memory."""
    spaced = np.repeat(x, 2, axis=-1)[..., ::2]
    still = x.copy()
    still.flags.writeable = False
    return [spaced, np.asfortranarray(x), still, x[::-1].copy()[::-1], x.astype(x.dtype.newbyteorder())]


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_in_memory_changes_no_bit_and_no_input(name):
    prediction, target = data(name, (6, 5), np.float32)
    for function in (LOSSES[name], GRADIENTS[name]):
        for reduction in REDUCTIONS:
            wanted = function(prediction, target, reduction)
            for one, other in zip(layouts(prediction), layouts(target), strict=True):
                np.testing.assert_array_equal(function(one, other, reduction), wanted)
                np.testing.assert_array_equal(one, prediction)
                np.testing.assert_array_equal(other, target)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64])
def test_labels_may_be_of_any_int_dtype(kind):
    logits, labels = data("cross_entropy", (5, 4))
    assert cross_entropy(logits, labels.astype(kind)) == cross_entropy(logits, labels)
    slopes = cross_entropy_grad(logits, labels.astype(kind))
    np.testing.assert_array_equal(slopes, cross_entropy_grad(logits, labels))


# Arguments


@pytest.mark.parametrize("function", [cross_entropy, cross_entropy_grad])
@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        ((2, 3), [0, 3], ValueError, "`labels` must be from 0 to 2, got 3"),
        ((2, 3), [-1, 0], ValueError, "`labels` must be from 0 to 2, got -1"),
        ((2, 3), [0, 2**62], ValueError, "`labels` must be from 0 to 2, got"),
        ((1, 0), [0], ValueError, "`labels`"),
        ((2, 3), [0], ValueError, "`labels` must have 2 entries, one for each row of `logits`, got 1"),
        ((2, 3), [[0], [1]], ValueError, r"`labels` must be a 1-D array of ints, got shape \(2, 1\)"),
        ((2, 3), [0.0, 1.0], TypeError, "`labels` must be a 1-D array of ints, got an array of float64"),
        ((2, 3), [False, True], TypeError, "`labels` must be a 1-D array of ints, got an array of bool"),
        ((3,), [0], ValueError, r"`logits` must be a 2-D array .* got shape \(3,\)"),
    ],
)
def test_cross_entropy_refuses_labels_and_logits_that_do_not_fit(function, logits, labels, error, message):
    with pytest.raises(error, match=message):
        function(np.zeros(logits), np.array(labels))


@pytest.mark.parametrize("name", PAIRED)
def test_a_target_of_another_shape_or_dtype_is_refused(name):
    first = FIRST[name]
    for function in (LOSSES[name], GRADIENTS[name]):
        with pytest.raises(
            ValueError, match=rf"`target` must have the shape of `{first}`, \(3, 1\), got \(3,\)"
        ):
            function(np.zeros((3, 1)), np.zeros(3))
        with pytest.raises(
            TypeError, match=f"`target` must have the dtype of `{first}`, float32, got float64"
        ):
            function(np.zeros(3, np.float32), np.zeros(3))
        with pytest.raises(TypeError, match=r"`target` must be an array of float32 or float64, got .* int"):
            function(np.zeros(3), np.zeros(3, int))
        with pytest.raises(TypeError, match=f"`{first}` must be an array of float32 or float64, got list"):
            function([0.0], np.zeros(1))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["avg", "", None, 1, True, ["mean"]])
def test_an_unknown_reduction_is_refused(name, reduction):
    for function in (LOSSES[name], GRADIENTS[name]):
        for prediction, target in (data(name, (2, 3)), empty(name)):
            with pytest.raises(ValueError, match='`reduction` must be "mean", "sum" or "none", got'):
                function(prediction, target, reduction)


# Compiled callers


@numba.njit
def compiled_bce(p, target):
    return bce(p, target), bce(p, target, "sum"), bce(p, target, "none")


@numba.njit
def compiled_bce_with_logits(z, target):
    return (
        bce_with_logits(z, target),
        bce_with_logits(z, target, "sum"),
        bce_with_logits(z, target, reduction="none"),
    )


@numba.njit
def compiled_mse(y, target):
    return mse(y, target), mse(y, target, "sum"), mse(y, target, "none")


@numba.njit
def compiled_cross_entropy(logits, labels):
    return (
        cross_entropy(logits, labels, "mean"),
        cross_entropy(logits, labels, reduction="sum"),
        cross_entropy(logits, labels, "none"),
    )


@numba.njit
def compiled_paired_gradients(y, target):
    return (
        (bce_grad(y, target), bce_grad(y, target, "sum"), bce_grad(y, target, "none")),
        (
            bce_with_logits_grad(y, target),
            bce_with_logits_grad(y, target, "sum"),
            bce_with_logits_grad(y, target, "none"),
        ),
        (mse_grad(y, target), mse_grad(y, target, "sum"), mse_grad(y, target, "none")),
    )


@numba.njit
def compiled_cross_entropy_gradients(logits, labels):
    return (
        cross_entropy_grad(logits, labels),
        cross_entropy_grad(logits, labels, "sum"),
        cross_entropy_grad(logits, labels, "none"),
    )


COMPILED = {
    "bce": compiled_bce,
    "bce_with_logits": compiled_bce_with_logits,
    "mse": compiled_mse,
    "cross_entropy": compiled_cross_entropy,
}


@pytest.mark.parametrize("name", LOSSES)
def test_compiled_callers_get_the_same_losses(name):
    prediction, target = data(name, (9, 3), np.float32)
    mean, total, each = COMPILED[name](prediction, target)
    assert type(mean) is type(total) is float
    assert mean == pytest.approx(LOSSES[name](prediction, target), rel=1e-14)
    assert total == pytest.approx(LOSSES[name](prediction, target, "sum"), rel=1e-14)
    np.testing.assert_array_equal(each, LOSSES[name](prediction, target, "none"))


@pytest.mark.parametrize("name", LOSSES)
def test_compiled_callers_get_the_same_of_an_empty_batch(name):
    prediction, target = (a[:0] for a in data(name, (9, 3), np.float32))
    mean, total, each = COMPILED[name](prediction, target)
    assert math.isnan(mean)
    assert total == 0
    assert each.size == 0


def test_compiled_callers_get_the_same_gradients():
    for count in (9, 0):
        p, target = (a[:count] for a in data("bce", (9, 3), np.float32))
        for name, got in zip(PAIRED, compiled_paired_gradients(p, target), strict=True):
            for reduction, slopes in zip(REDUCTIONS, got, strict=True):
                np.testing.assert_array_equal(slopes, GRADIENTS[name](p, target, reduction))
        logits, labels = (a[:count] for a in data("cross_entropy", (9, 3), np.float32))
        got = compiled_cross_entropy_gradients(logits, labels)
        for reduction, slopes in zip(REDUCTIONS, got, strict=True):
            np.testing.assert_array_equal(slopes, cross_entropy_grad(logits, labels, reduction))


def test_compiled_callers_get_the_same_errors():
    logits, labels = data("cross_entropy", (9, 3), np.float32)
    for bad in (-1, 3):
        with pytest.raises(ValueError, match=f"`labels` must be from 0 to 2, got {bad}"):
            compiled_cross_entropy(logits, np.full(9, bad))
    with pytest.raises(ValueError, match="`labels` must have 9 entries"):
        compiled_cross_entropy(logits, labels[:8])
    with pytest.raises(ValueError, match="`target` must have the shape of `y`"):
        compiled_mse(logits, logits[:8])
    with pytest.raises(TypeError, match="`target` must have the dtype of `y`"):
        compiled_mse(logits, logits.astype(np.float64))
    with pytest.raises(ValueError, match='`reduction` must be "mean", "sum" or "none", got \'avg\''):
        numba.njit(lambda y: mse(y, y, "avg"))(logits)


def test_compiled_callers_are_told_that_a_reduction_must_be_a_constant():
    with pytest.raises(numba.TypingError, match="`reduction` must be a constant text"):
        numba.njit(lambda y, reduction: mse(y, y, reduction))(np.zeros((9, 3), np.float32), "sum")
