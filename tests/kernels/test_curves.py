"""Smooth and bent activations: against PyTorch, in kernels and in networks, to the ends of the range."""

import numpy as np
import pytest
from numba import njit

import fastconv as fc
from fastconv import kernels
from fastconv.inspection import activations, backward

torch = pytest.importorskip("torch")

# name -> (module, whether the gradient takes the output, further arguments)
CURVES = {
    "relu6": (torch.nn.ReLU6(), True, ()),
    "elu": (torch.nn.ELU(0.7), True, (0.7,)),
    "silu": (torch.nn.SiLU(), False, ()),
    "gelu": (torch.nn.GELU(), False, ()),
    "gelu tanh": (torch.nn.GELU("tanh"), False, (True,)),
    "hardswish": (torch.nn.Hardswish(), False, ()),
    "hardsigmoid": (torch.nn.Hardsigmoid(), True, ()),
    "softplus": (torch.nn.Softplus(threshold=1e9), True, ()),
}
POINTS = np.concatenate([np.linspace(-12, 12, 997), [-3, 3, 0, 6, -200, 200, -88, 89, -30, 1e-8, -1e-8]])
LAYERS = [
    fc.ReLU6(), fc.ELU(0.5), fc.SiLU(), fc.GELU(), fc.GELU("tanh"), fc.Hardswish(), fc.Hardsigmoid(),
    fc.Softplus(),
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CURVES)
def test_values_and_gradients_equal_pytorchs(name, dtype):
    module, from_output, more = CURVES[name]
    x, dy = POINTS.astype(dtype), np.random.default_rng(0).normal(size=POINTS.size).astype(dtype)
    tx = torch.tensor(x.astype(float), requires_grad=True)
    expected = module(tx)
    expected.backward(torch.tensor(dy.astype(float)))
    kernel = name.split()[0]
    y = getattr(kernels, kernel)(x, *more)
    dx = getattr(kernels, f"{kernel}_grad")(dy, y if from_output else x, *more)
    step = np.finfo(dtype).eps
    assert y.dtype == dx.dtype == dtype
    np.testing.assert_allclose(y, expected.detach().numpy(), rtol=4 * step, atol=4 * step)
    # PyTorch's own slope of hardsigmoid is 1 / 6 in float32.
    slack = 16 * step + (2e-8 if name == "hardsigmoid" else 0)
    np.testing.assert_allclose(dx, tx.grad.numpy(), rtol=slack, atol=slack)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_values_keep_their_digits(dtype):
    """What is tiny is not rounded to 0: the tails of GELU and softplus, ELU near 0."""
    special = pytest.importorskip("scipy.special")
    x = np.linspace(-8, -3, 50).astype(dtype)
    exact = x.astype(float)
    close = {"rtol": 200 * np.finfo(dtype).eps}
    np.testing.assert_allclose(kernels.gelu(x), exact * special.ndtr(exact), **close)
    np.testing.assert_allclose(kernels.softplus(4 * x), np.log1p(np.exp(4 * exact)), **close)
    np.testing.assert_allclose(kernels.elu(x * x.dtype.type(1e-6)), np.expm1(exact * 1e-6), rtol=1e-6)


@pytest.mark.parametrize("name", CURVES)
def test_nan_stays_and_infinity_is_no_error(name):
    kernel, more = getattr(kernels, name.split()[0]), CURVES[name][2]
    y = kernel(np.array([np.nan, np.inf]), *more)
    assert np.isnan(y[0])
    assert y[1] == {"relu6": 6.0, "hardsigmoid": 1.0}.get(name, np.inf)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_networks_compute_what_the_kernels_do(layer, dtype):
    layers = [
        fc.Conv2d(3, 3, padding=1), layer, layer, fc.Conv2d(3, 3), layer, fc.Flatten(), fc.Dense(5), layer,
        fc.Dense(2),
    ]  # fmt: skip
    model = fc.Sequential(layers, (1, 6, 6), dtype=dtype)
    rng, tolerance = np.random.default_rng(0), {"atol": 1e-12 if dtype == "float64" else 3e-5}
    X, y = 3 * rng.normal(size=(19, 1, 6, 6)), rng.integers(0, 2, 19)
    for count in (1, 19):
        np.testing.assert_allclose(model.predict(X[:count]), activations(model, X[:count])[-1], **tolerance)
    _, gradients = model.loss_and_gradients(X, y)
    _, _, expected = backward(model, X, y)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], **tolerance)


@njit
def compiled(x):
    return kernels.gelu(x), kernels.silu(x), kernels.elu(x, 0.5), kernels.hardswish_grad(x, x)


def test_compiled_code_computes_the_same():
    x = np.linspace(-4, 4, 37)
    for ours, python in zip(compiled(x), compiled.py_func(x), strict=True):
        np.testing.assert_array_equal(ours, python)


def test_settings_are_checked():
    with pytest.raises(ValueError, match="`alpha` must be"):
        fc.ELU(-1)
    with pytest.raises(ValueError, match='`approximate` must be "none" or "tanh"'):
        fc.GELU("erf")
