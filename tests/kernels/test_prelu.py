"""PReLU: kernels against PyTorch and differences."""

import numpy as np
import pytest
from numba import njit

from fastconv import kernels

CASES = [
    ((5,), 1),
    ((3, 4), 1),
    ((3, 4), 4),
    ((2, 3, 300), 3),
    ((17, 2, 5, 6), 2),
    ((2, 3, 1, 1), 1),
    ((), 1),
]


def arrays_for(shape, slopes, dtype="float64"):
    rng = np.random.default_rng(0)
    x, dy = (np.asarray(rng.normal(size=shape), dtype) for _ in range(2))
    return x, dy, rng.normal(size=slopes).astype(dtype)


@pytest.mark.parametrize(("shape", "slopes"), CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float64", 1e-12)])
def test_values_and_gradients_are_pytorchs(shape, slopes, dtype, tolerance):
    torch = pytest.importorskip("torch")
    x, dy, weight = arrays_for(shape, slopes, dtype)
    tensors = [torch.tensor(array, requires_grad=True) for array in (x, weight)]
    expected = torch.nn.functional.prelu(*tensors)
    expected.backward(torch.tensor(dy))
    y = kernels.prelu(x, weight)
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, expected.detach().numpy())
    for mine, tensor in zip(kernels.prelu_grad(dy, x, weight), tensors, strict=True):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=tolerance, atol=tolerance)


def test_zero_and_nan_are_not_positive():
    x, weight = np.array([0.0, -0.0, np.nan]), np.array([0.5])
    np.testing.assert_array_equal(kernels.prelu(x, weight), [0.0, -0.0, np.nan])
    dx, dweight = kernels.prelu_grad(np.ones(3), x, weight)
    np.testing.assert_array_equal(dx, [0.5, 0.5, 0.5])
    assert np.isnan(dweight[0])


def test_strided_empty_and_compiled():
    x, dy, weight = arrays_for((4, 6, 5), 6)
    expected = kernels.prelu(x, weight)
    np.testing.assert_array_equal(kernels.prelu(np.asfortranarray(x), weight), expected)
    assert kernels.prelu(x[:0], weight).shape == (0, 6, 5)
    dx, dweight = kernels.prelu_grad(dy[:0], x[:0], weight)
    assert dx.shape == (0, 6, 5)
    assert dweight.tolist() == [0] * 6

    @njit
    def both(x, dy, weight):
        return kernels.prelu(x, weight), *kernels.prelu_grad(dy, x, weight)

    for first, second, slopes in ((x, dy, weight), (x[0, 0], dy[0, 0], weight[:1])):
        python = both.py_func(first, second, slopes)
        for ours, other in zip(both(first, second, slopes), python, strict=True):
            np.testing.assert_array_equal(ours, other)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            (np.ones((2, 3)), np.ones(2)),
            ValueError,
            "`weight` must have 1 entry or 3, one for each channel.*2",
        ),
        ((np.ones(3), np.ones(3)), ValueError, "`weight` must have 1 entry or 1, .*got 3"),
        ((np.ones((2, 3)), np.ones(0)), ValueError, "`weight` must have 1 entry or 3.*got 0"),
        ((np.ones((2, 3)), np.ones((1, 1))), ValueError, "`weight` must be a 1-D array"),
        ((np.ones((2, 3)), np.ones(3, "f4")), TypeError, "`weight` must have the dtype of `x`"),
        ((np.ones((2, 3), int), np.ones(3)), TypeError, "must be an array of float32 or float64"),
    ],
)
def test_wrong_arguments_are_refused_by_name(arguments, error, message):
    with pytest.raises(error, match=message):
        kernels.prelu(*arguments)
    x, weight = arguments
    with pytest.raises(error, match=message):
        kernels.prelu_grad(x, x, weight)


def test_gradients_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="`dy` must have the shape of `x`"):
        kernels.prelu_grad(np.ones((2, 3)), np.ones((3, 2)), np.ones(1))
