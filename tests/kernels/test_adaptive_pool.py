"""Average pooling to a given size: against PyTorch, differences and plain sums."""

import math

import numpy as np
import pytest
from numba import njit

from fastconv import kernels

SHAPES = [(1, 1, 1, 1), (3, 2, 7, 5), (2, 3, 4, 9), (17, 1, 1, 8), (2, 1, 33, 40)]
SIZES = [1, 2, 3, (4, 7), (9, 2), (1, 13)]


def arrays_for(shape, size, dtype):
    rng = np.random.default_rng(0)
    size = (size, size) if isinstance(size, int) else size
    return rng.normal(size=shape).astype(dtype), rng.normal(size=(*shape[:2], *size)).astype(dtype)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float64", 1e-14)])
def test_values_and_gradients_are_pytorchs(shape, size, dtype, tolerance):
    torch = pytest.importorskip("torch")
    x, dy = arrays_for(shape, size, dtype)
    tensor = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.adaptive_avg_pool2d(tensor, size)
    expected.backward(torch.tensor(dy))
    y, dx = kernels.adaptive_avg_pool2d(x, size), kernels.adaptive_avg_pool2d_grad(dy, shape[2:])
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=0, atol=tolerance)
    np.testing.assert_allclose(dx, tensor.grad.numpy(), rtol=0, atol=10 * tolerance)


@pytest.mark.parametrize(("length", "size"), [(7, 3), (3, 7), (5, 5), (40, 1), (1, 4)])
def test_every_window_is_the_mean_from_floor_to_ceil(length, size):
    x = np.random.default_rng(1).normal(size=(2, 3, length))
    y = kernels.adaptive_avg_pool1d(x, size)
    for i in range(size):
        window = x[:, :, math.floor(i * length / size) : math.ceil((i + 1) * length / size)]
        np.testing.assert_allclose(y[:, :, i], window.mean(axis=2), rtol=1e-14)
    # The pooling is linear: its gradient is the transpose.
    dy = np.random.default_rng(2).normal(size=y.shape)
    dx = kernels.adaptive_avg_pool1d_grad(dy, length)
    assert (dx * x).sum() == pytest.approx((dy * y).sum(), rel=1e-12)


def test_pools_that_divide_the_image_are_those_of_fixed_windows():
    x = np.random.default_rng(0).normal(size=(2, 3, 12, 8))
    expected = kernels.avg_pool2d(x, (4, 2))
    np.testing.assert_allclose(kernels.adaptive_avg_pool2d(x, (3, 4)), expected, rtol=1e-14, atol=1e-15)
    dy = np.ones(expected.shape)
    np.testing.assert_allclose(
        kernels.adaptive_avg_pool2d_grad(dy, (12, 8)), kernels.avg_pool2d_grad(dy, (12, 8), (4, 2))
    )


def test_strided_arrays_empty_batches_and_compiled_callers():
    x = np.random.default_rng(0).normal(size=(2, 7, 6, 3)).transpose(0, 3, 1, 2)
    expected = kernels.adaptive_avg_pool2d(np.ascontiguousarray(x), (3, 4))
    np.testing.assert_array_equal(kernels.adaptive_avg_pool2d(x, (3, 4)), expected)
    assert kernels.adaptive_avg_pool2d(x[:0], 2).shape == (0, 3, 2, 2)
    assert kernels.adaptive_avg_pool2d_grad(x[:0], 2).shape == (0, 3, 2, 2)

    @njit
    def all_four(x):
        y, line = kernels.adaptive_avg_pool2d(x, (3, 4)), kernels.adaptive_avg_pool1d(x[0], 2)
        dx = kernels.adaptive_avg_pool2d_grad(y, (7, 6))
        return y, dx, line, kernels.adaptive_avg_pool1d_grad(line, 6)

    for ours, python in zip(all_four(x), all_four.py_func(x), strict=True):
        np.testing.assert_array_equal(ours, python)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: kernels.adaptive_avg_pool2d(x, 0), ValueError, "`output_size` must be a positive int or"),
        (lambda x: kernels.adaptive_avg_pool2d(x, 1.5), TypeError, "`output_size` must be a positive int or"),
        (lambda x: kernels.adaptive_avg_pool2d(x, (2**30, 2**30)), ValueError, "`output_size` must make"),
        (lambda x: kernels.adaptive_avg_pool2d(x[0], 2), ValueError, "`x` must be a 4-D array"),
        (lambda x: kernels.adaptive_avg_pool2d(x[:, :, :0], 2), ValueError, "`x` must have images of at"),
        (lambda x: kernels.adaptive_avg_pool2d_grad(x[..., :0], 2), ValueError, "`dy` must have images of"),
        (lambda x: kernels.adaptive_avg_pool2d_grad(x, -1), ValueError, "`input_size` must be a positive"),
        (lambda x: kernels.adaptive_avg_pool1d(x, 2), ValueError, "`x` must be a 3-D array"),
        (lambda x: kernels.adaptive_avg_pool1d(x[0], (2, 2)), TypeError, "`output_size` must be a positive"),
        (lambda x: kernels.adaptive_avg_pool1d_grad(x[0], 0), ValueError, "`input_size` must be a positive"),
    ],
)
def test_wrong_arguments_are_refused_by_name(call, error, message):
    with pytest.raises(error, match=message):
        call(np.ones((2, 3, 4, 5)))
