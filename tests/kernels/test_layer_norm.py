"""Normalisation of whole samples: kernels against PyTorch and differences."""

import numpy as np
import pytest
from numba import njit

from fastconv import kernels

SHAPES = [(3, 4), (1, 300), (2, 3, 7), (17, 2, 5, 6), (2, 16, 9, 33)]


def arrays_for(shape, dtype="float64"):
    rng = np.random.default_rng(0)
    x, dy = rng.normal(3, 2, shape).astype(dtype), rng.normal(size=shape).astype(dtype)
    return x, dy, *(rng.normal(1, 0.5, shape[1:]).astype(dtype) for _ in range(2))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 2e-5), ("float64", 1e-11)])
def test_values_and_gradients_are_pytorchs(shape, dtype, rtol):
    torch = pytest.importorskip("torch")
    x, dy, gamma, beta = arrays_for(shape, dtype)
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, gamma, beta)]
    expected = torch.nn.functional.layer_norm(tensors[0], shape[1:], *tensors[1:], eps=1e-3)
    expected.backward(torch.tensor(dy))
    y, saved = kernels.layer_norm(x, gamma, beta, eps=1e-3)
    assert y.dtype == saved.dtype == x.dtype
    assert saved.shape == (2, shape[0])
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=rtol, atol=rtol)
    for mine, tensor in zip(kernels.layer_norm_grad(dy, x, gamma, saved), tensors, strict=True):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=10 * rtol, atol=10 * rtol)


def test_numbers_worked_by_hand():
    """Mean 3, variance 4."""
    y, saved = kernels.layer_norm(
        np.array([[1.0, 5.0]]), np.array([1.0, 2.0]), np.array([0.0, 10.0]), eps=1e-300
    )
    np.testing.assert_allclose(y, [[-1, 12]])
    np.testing.assert_allclose(saved.ravel(), [3, 0.5])


def test_it_is_group_norm_of_one_group_where_the_scale_is_that_of_the_channel():
    x, dy, *_ = arrays_for((4, 3, 5, 6))
    gamma, beta = np.array([0.5, 1.0, 2.0]), np.array([1.0, 0.0, -1.0])
    wide = [np.broadcast_to(a[:, None, None], (3, 5, 6)) for a in (gamma, beta)]
    y, saved = kernels.layer_norm(x, *wide)
    expected, theirs = kernels.group_norm(x, 1, gamma, beta)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    dx, dgamma, dbeta = kernels.layer_norm_grad(dy, x, wide[0], saved)
    for mine, other in zip(
        (dx, dgamma.sum(axis=(1, 2)), dbeta.sum(axis=(1, 2))),
        kernels.group_norm_grad(dy, x, gamma, theirs),
        strict=True,
    ):
        np.testing.assert_allclose(mine, other, rtol=1e-10, atol=1e-12)


def test_strided_empty_and_compiled():
    x, dy, gamma, beta = arrays_for((4, 6, 5))
    expected, saved = kernels.layer_norm(x, gamma, beta)
    np.testing.assert_array_equal(kernels.layer_norm(np.asfortranarray(x), gamma, beta)[0], expected)
    assert kernels.layer_norm(x[:0], gamma, beta)[0].shape == (0, 6, 5)
    empty = kernels.layer_norm_grad(dy[:0], x[:0], gamma, saved[:, :0])
    assert [array.shape for array in empty] == [(0, 6, 5), (6, 5), (6, 5)]
    assert not empty[1].any()

    @njit
    def both(x, dy, gamma, beta):
        y, saved = kernels.layer_norm(x, gamma, beta)
        return y, *kernels.layer_norm_grad(dy, x, gamma, saved)

    python = both.py_func(x, dy, gamma, beta)
    for ours, other in zip(both(x, dy, gamma, beta), python, strict=True):
        np.testing.assert_array_equal(ours, other)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"gamma": np.ones((3, 4))},
            ValueError,
            r"`gamma` must have the shape of `a sample of `x``, \(4, 3\)",
        ),
        ({"beta": np.ones(12)}, ValueError, "`beta` must have the shape of"),
        ({"gamma": np.ones((4, 3), "f4")}, TypeError, "`gamma` must have the dtype of `x`"),
        (
            {"x": np.ones(3), "gamma": np.ones(()), "beta": np.ones(())},
            ValueError,
            "`x` must be an array of sam",
        ),
        ({"x": [1.0]}, TypeError, "`x` must be an array"),
        ({"eps": "small"}, TypeError, "`eps` must be a number"),
    ],
)
def test_wrong_arguments_are_refused_by_name(change, error, message):
    given = {"x": np.ones((2, 4, 3)), "gamma": np.ones((4, 3)), "beta": np.ones((4, 3))}
    with pytest.raises(error, match=message):
        kernels.layer_norm(**{**given, **change})


def test_gradients_of_other_shapes_are_refused():
    x, dy, gamma, beta = arrays_for((2, 4, 3))
    _, saved = kernels.layer_norm(x, gamma, beta)
    for wrong in (saved[:, :1], saved[:1]):
        with pytest.raises(ValueError, match="`saved` must have 2"):
            kernels.layer_norm_grad(dy, x, gamma, wrong)
    with pytest.raises(ValueError, match="`dy` must have the shape of `x`"):
        kernels.layer_norm_grad(dy[:1], x, gamma, saved)
    with pytest.raises(ValueError, match="`gamma` must have the shape of"):
        kernels.layer_norm_grad(dy, x, gamma[:1], saved)
