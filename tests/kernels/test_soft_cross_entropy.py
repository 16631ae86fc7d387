"""Cross-entropy with a part for each class: worked by hand, PyTorch, labels, and the ends of the range."""

import math

import numba
import numpy as np
import pytest

from fastconv.kernels import (
    cross_entropy,
    cross_entropy_grad,
    soft_cross_entropy,
    soft_cross_entropy_grad,
)

DTYPES = [np.float32, np.float64]
REDUCTIONS = ["none", "mean", "sum"]


def data(count=9, classes=4, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (count, classes)).astype(dtype)
    return logits, rng.dirichlet(np.ones(classes), count).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_values_worked_by_hand(dtype):
    logits = np.array([[0, math.log(3)], [5, 5]], dtype)
    target = np.array([[0.25, 0.75], [1, 0]], dtype)
    wanted = [0.25 * math.log(4) + 0.75 * math.log(4 / 3), math.log(2)]
    slopes = [[0, 0], [-0.5, 0.5]]
    np.testing.assert_allclose(soft_cross_entropy(logits, target, "none"), wanted, rtol=1e-6)
    assert soft_cross_entropy(logits, target) == pytest.approx(sum(wanted) / 2, rel=1e-6)
    assert soft_cross_entropy(logits, target, "sum") == pytest.approx(sum(wanted), rel=1e-6)
    np.testing.assert_allclose(soft_cross_entropy_grad(logits, target, "sum"), slopes, atol=1e-6)
    np.testing.assert_allclose(soft_cross_entropy_grad(logits, target), np.array(slopes) / 2, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("scale", [1, 3])  # rows that sum to something else, too
def test_values_and_gradients_are_those_of_pytorch(torch, reduction, dtype, scale):
    logits, target = data(dtype=dtype)
    target *= scale
    z, t = torch.tensor(logits, requires_grad=True), torch.tensor(target)
    wanted = torch.nn.functional.cross_entropy(z, t, reduction=reduction)
    wanted.sum().backward()
    eps = 64 * np.finfo(dtype).eps
    loss = soft_cross_entropy(logits, target, reduction)
    np.testing.assert_allclose(loss, wanted.detach().numpy(), rtol=eps, atol=eps)
    slopes = soft_cross_entropy_grad(logits, target, reduction)
    assert slopes.dtype == dtype
    np.testing.assert_allclose(slopes, z.grad.numpy(), rtol=eps, atol=eps)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_single_one_is_a_label(reduction):
    logits, labels = data()[0], np.arange(9) % 4
    rows = np.eye(4)[labels]
    np.testing.assert_allclose(
        soft_cross_entropy(logits, rows, reduction), cross_entropy(logits, labels, reduction), rtol=1e-14
    )
    np.testing.assert_allclose(
        soft_cross_entropy_grad(logits, rows, reduction),
        cross_entropy_grad(logits, labels, reduction),
        rtol=1e-13,
        atol=1e-16,
    )


def test_huge_and_infinite_logits_keep_their_losses():
    logits = np.array([[1e4, -1e4, 0.0], [-np.inf, 0.0, 0.0]])
    target = np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0]])
    np.testing.assert_allclose(soft_cross_entropy(logits, target, "none"), [1e4, math.log(2)])
    slopes = soft_cross_entropy_grad(logits, target, "sum")
    np.testing.assert_allclose(slopes, [[0.5, -0.5, 0], [0, -0.5, 0.5]])


def test_an_empty_batch_has_sum_0_and_mean_nan():
    nothing = np.zeros((0, 3))
    assert soft_cross_entropy(nothing, nothing, "sum") == 0
    assert math.isnan(soft_cross_entropy(nothing, nothing))
    assert soft_cross_entropy_grad(nothing, nothing).shape == (0, 3)
    assert soft_cross_entropy(np.zeros((2, 0)), np.zeros((2, 0)), "sum") == 0
    assert soft_cross_entropy_grad(np.zeros((2, 0)), np.zeros((2, 0))).shape == (2, 0)


@pytest.mark.parametrize("function", [soft_cross_entropy, soft_cross_entropy_grad])
def test_arguments_that_do_not_fit_are_refused(function):
    logits, target = data()
    with pytest.raises(ValueError, match=r"`target` must have the shape of `logits`, \(9, 4\), got \(9, 3\)"):
        function(logits, target[:, :3])
    with pytest.raises(TypeError, match="`target` must have the dtype of `logits`, float64, got float32"):
        function(logits, target.astype(np.float32))
    with pytest.raises(TypeError, match=r"`target` must be a 2-D array of float32 or float64, got .* int64"):
        function(logits, np.eye(4, dtype=np.int64))
    with pytest.raises(ValueError, match=r'`reduction` must be "mean", "sum" or "none", got'):
        function(logits, target, "avg")


def test_compiled_callers_get_the_same():
    @numba.njit
    def compiled(logits, target):
        return (
            soft_cross_entropy(logits, target),
            soft_cross_entropy(logits, target, "sum"),
            soft_cross_entropy(logits, target, "none"),
            soft_cross_entropy_grad(logits, target),
            soft_cross_entropy_grad(logits, target, reduction="sum"),
        )

    logits, target = data(dtype=np.float32)
    mean, total, each, slopes, slopes_of_sum = compiled(logits, target)
    assert mean == pytest.approx(soft_cross_entropy(logits, target), rel=1e-14)
    assert total == pytest.approx(soft_cross_entropy(logits, target, "sum"), rel=1e-14)
    np.testing.assert_array_equal(each, soft_cross_entropy(logits, target, "none"))
    np.testing.assert_array_equal(slopes, soft_cross_entropy_grad(logits, target))
    np.testing.assert_array_equal(slopes_of_sum, soft_cross_entropy_grad(logits, target, "sum"))
