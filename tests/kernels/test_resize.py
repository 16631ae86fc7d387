"""Upsampling and its gradient against PyTorch, and against matrices of shares."""

import itertools

import numpy as np
import pytest
from numba import njit

from fastconv.kernels import upsample, upsample1d, upsample1d_grad, upsample_grad
from tests.kernels import reference_resize

MODES = [("nearest", False), ("bilinear", False), ("bilinear", True)]
SHAPES = [(2, 3, 4, 5), (1, 1, 1, 1), (3, 2, 1, 6), (17, 1, 5, 1), (0, 2, 3, 3), (2, 0, 3, 3)]
SCALES = [1, 2, (3, 1), (2, 5), (1, 4)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("shape", "scale", "mode"), list(itertools.product(SHAPES, SCALES, MODES)))
def test_images_and_gradients_are_pytorchs(shape, scale, mode, dtype):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.normal(size=shape).astype(dtype)
    y = upsample(x, scale, *mode)
    assert y.dtype == dtype
    dy = rng.normal(size=y.shape).astype(dtype)
    dx = upsample_grad(dy, scale, *mode)
    assert (dx.shape, dx.dtype) == (x.shape, x.dtype)
    tolerance = {"atol": 1e-12 if dtype == "float64" else 2e-6, "rtol": 1e-6 if dtype == "float32" else 1e-12}
    if x.size:  # PyTorch takes no empty ones
        tensor = torch.tensor(x.astype(float), requires_grad=True)
        aligned = None if mode[0] == "nearest" else mode[1]
        expected = torch.nn.functional.interpolate(
            tensor, scale_factor=scale, mode=mode[0], align_corners=aligned
        )
        expected.backward(torch.tensor(dy.astype(float)))
        np.testing.assert_allclose(y, expected.detach().numpy(), **tolerance)
        np.testing.assert_allclose(dx, tensor.grad.numpy(), **tolerance)
    np.testing.assert_allclose(y, reference_resize.upsample(x, scale, *mode), **tolerance)
    np.testing.assert_allclose(dx, reference_resize.upsample_grad(dy, scale, *mode), **tolerance)


@pytest.mark.parametrize("scale", [1, 2, 5])
@pytest.mark.parametrize(("mode", "aligned"), [("nearest", False), ("linear", False), ("linear", True)])
def test_signals_are_pytorchs(mode, aligned, scale):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 2, 7))
    tensor = torch.tensor(x, requires_grad=True)
    expected = torch.nn.functional.interpolate(
        tensor, scale_factor=scale, mode=mode, align_corners=None if mode == "nearest" else aligned
    )
    dy = rng.normal(size=expected.shape)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(upsample1d(x, scale, mode, aligned), expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose(upsample1d_grad(dy, scale, mode, aligned), tensor.grad.numpy(), atol=1e-12)


def test_aligned_corners_stay_exactly_as_they_are():
    x = np.random.default_rng(0).normal(size=(1, 1, 5, 7))
    y = upsample(x, 3, "bilinear", align_corners=True)
    np.testing.assert_array_equal(
        y[..., [0, 0, -1, -1], [0, -1, 0, -1]], x[..., [0, 0, -1, -1], [0, -1, 0, -1]]
    )


def test_the_gradient_of_a_large_factor_loses_nothing():
    dy = np.ones((1, 1, 300, 100), np.float32)
    dy[..., 0, 0], dy[..., -1, -1] = 2**24, 2  # where float32 ends to count in ones
    for mode in ("nearest", "bilinear"):
        total = upsample_grad(dy, (300, 100), mode)
        np.testing.assert_array_equal(total, np.float32(2**24 + 30_000))


@njit
def chosen_as_it_runs(x, mode):
    return upsample(x, 2, mode)


def test_compiled_code_may_choose_the_mode_as_it_runs():
    x = np.random.default_rng(0).random((2, 3, 4, 4))
    for mode in ("nearest", "bilinear"):
        np.testing.assert_array_equal(chosen_as_it_runs(x, mode), upsample(x, 2, mode))
    with pytest.raises(ValueError, match='`mode` must be "nearest" or "bilinear", got cubic'):
        chosen_as_it_runs(x, "cubic")


@njit
def from_compiled_code(x, dy):
    return (
        upsample(x),
        upsample(x, (1, 2), "bilinear"),
        upsample(x, scale_factor=2, mode="bilinear", align_corners=True),
        upsample_grad(dy, 2),
        upsample_grad(dy, (2, 1), mode="bilinear"),
        upsample1d(x[0], 3, "linear"),
        upsample1d_grad(dy[0], 2),
    )


def test_compiled_code_gets_the_same_results():
    rng = np.random.default_rng(0)
    x, dy = rng.random((2, 3, 4, 4), np.float32), rng.random((2, 3, 6, 4), np.float32)
    expected = (
        upsample(x, 2), upsample(x, (1, 2), "bilinear"), upsample(x, 2, "bilinear", True),
        upsample_grad(dy, 2), upsample_grad(dy, (2, 1), "bilinear"), upsample1d(x[0], 3, "linear"),
        upsample1d_grad(dy[0], 2),
    )  # fmt: skip
    for ours, others in zip(from_compiled_code(x, dy), expected, strict=True):
        np.testing.assert_array_equal(ours, others)


X = np.ones((2, 3, 4, 4))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: upsample(X, 0),
            ValueError,
            "`scale_factor` must be a positive int or a pair of them, got 0",
        ),
        (
            lambda: upsample(X, 1.5),
            TypeError,
            "`scale_factor` must be a positive int or a pair of them, got 1.5",
        ),
        (
            lambda: upsample(X, 2, "cubic"),
            ValueError,
            '`mode` must be "nearest" or "bilinear", got \'cubic\'',
        ),
        (
            lambda: upsample(X, 2, "linear"),
            ValueError,
            '`mode` must be "nearest" or "bilinear", got \'linear\'',
        ),
        (lambda: upsample1d(X[0], 2, "bilinear"), ValueError, '`mode` must be "nearest" or "linear", got'),
        (lambda: upsample(X, 2, None), ValueError, '`mode` must be "nearest" or "bilinear", got None'),
        (lambda: upsample(X, 2, "nearest", True), ValueError, "`align_corners` must be False where the mode"),
        (lambda: upsample(X, 2, "bilinear", 1), TypeError, "`align_corners` must be True or False, got 1"),
        (
            lambda: upsample(X[:, :, :0], 2),
            ValueError,
            r"`x` must have images of at least \(1, 1\), got \(0, 4\)",
        ),
        (lambda: upsample(X[0], 2), ValueError, "`x` must be a 4-D array"),
        (lambda: upsample(X, 2**31 - 1), ValueError, "`scale_factor` must make arrays that memory can hold"),
        (lambda: upsample_grad(X, 3), ValueError, r"`dy` must have shape \(2, 3, 3, 3\), got \(2, 3, 4, 4\)"),
        (lambda: upsample1d_grad(X[0], 3), ValueError, r"`dy` must have shape"),
    ],
)
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
