"""Losses: values worked by hand, definitions, PyTorch, and the ends of the range."""

import math

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
from tests.kernels.reference_losses import (
    CASES,
    DTYPES,
    EXACT,
    GRADIENTS,
    INF,
    LOSSES,
    NAN,
    PAIRED,
    REDUCTIONS,
    data,
    epsilon,
    exact_bce,
    exact_cross_entropy,
    reduced,
    wide,
)

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


@settings(max_examples=60)
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


@settings(max_examples=60)
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
