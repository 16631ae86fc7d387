"""Padding of every kind, in the kernels of images and in networks, against PyTorch."""

import itertools

import numpy as np
import pytest
from numba import njit

import fastconv as fc
from fastconv import kernels
from fastconv.checks.padding import padding_around
from fastconv.inspection import activations, backward

torch = pytest.importorskip("torch")
functional = torch.nn.functional

SIZE = (7, 8)
PADDINGS = (0, (1, 2), ((0, 1), (2, 0)), ((3, 0), (1, 4)), "same", "same_lower", "valid")
CONVOLUTIONS = list(
    itertools.product([(1, 1), (3, 2), (4, 5)], [(1, 1), (2, 3)], [(1, 1), (2, 1)], PADDINGS, [1, 2])
)
POOLS = list(
    itertools.product(
        [(2, 2), (3, 2), (3, 5)], [(1, 1), (2, 3)], [0, (1, 1), ((0, 1), (1, 0)), "same", "same_lower"]
    )
)


def padded(x, pads, value=0.0):
    (top, bottom), (left, right) = pads
    return functional.pad(x, (left, right, top, bottom), value=value)


def fits(kernel, pads, dilation):
    return all(n + sum(p) > d * (k - 1) for n, p, d, k in zip(SIZE, pads, dilation, kernel, strict=True))


@pytest.mark.parametrize(("kernel", "stride", "dilation", "padding", "groups"), CONVOLUTIONS)
def test_convolutions_and_their_gradients_equal_pytorchs(kernel, stride, dilation, padding, groups):
    pads = padding_around(padding, "padding", SIZE, kernel, stride, dilation)
    if not fits(kernel, pads, dilation):
        pytest.skip("the kernel is larger than the image")
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(3, 2, *SIZE)), rng.normal(size=(4, 2 // groups, *kernel))
    tx, tw = torch.tensor(x, requires_grad=True), torch.tensor(weight, requires_grad=True)
    expected = functional.conv2d(padded(tx, pads), tw, None, stride, 0, dilation, groups)
    windows = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = kernels.conv2d(x, weight, **windows)
    np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-12)
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(
        kernels.conv2d_grad_input(dy, weight, SIZE, **windows), tx.grad.numpy(), atol=1e-12
    )
    np.testing.assert_allclose(
        kernels.conv2d_grad_weight(x, dy, kernel, **windows), tw.grad.numpy(), atol=1e-12
    )


@pytest.mark.parametrize(("kernel", "stride", "padding"), POOLS)
def test_pools_and_their_gradients_equal_pytorchs(kernel, stride, padding):
    pads = padding_around(padding, "padding", SIZE, kernel, stride, (1, 1))
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 2, *SIZE))
    tx = torch.tensor(x, requires_grad=True)
    expected = functional.max_pool2d(padded(tx, pads, -np.inf), kernel, stride)
    y, argmax = kernels.max_pool2d(x, kernel, stride, padding)
    np.testing.assert_array_equal(y, expected.detach().numpy())
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(kernels.max_pool2d_grad(dy, argmax, SIZE), tx.grad.numpy(), atol=1e-12)
    tx.grad = None
    expected = functional.avg_pool2d(padded(tx, pads), kernel, stride)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(
        kernels.avg_pool2d(x, kernel, stride, padding), expected.detach().numpy(), atol=1e-12
    )
    np.testing.assert_allclose(
        kernels.avg_pool2d_grad(dy, SIZE, kernel, stride, padding), tx.grad.numpy(), atol=1e-12
    )
    inside = functional.avg_pool2d(padded(torch.ones(1, 1, *SIZE, dtype=torch.float64), pads), kernel, stride)
    np.testing.assert_allclose(
        kernels.avg_pool2d(x, kernel, stride, padding, count_include_pad=False),
        (expected / inside).detach().numpy(),
        atol=1e-12,
    )


def layers_with_padding():
    for kernel, stride, padding in POOLS:
        yield fc.MaxPool2d(kernel, stride, padding)
        yield fc.AvgPool2d(kernel, stride, padding)
        yield fc.AvgPool2d(kernel, stride, padding, count_include_pad=False)
    for kernel, stride, dilation, padding, groups in CONVOLUTIONS[::3]:
        if fits(kernel, padding_around(padding, "padding", SIZE, kernel, stride, dilation), dilation):
            yield fc.Conv2d(4, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups)


@pytest.mark.parametrize("layer", list(layers_with_padding()), ids=lambda layer: layer.call())
def test_networks_compute_what_the_kernels_do(layer):
    layers = [fc.Conv2d(2, 3, padding=1), fc.Tanh(), layer, fc.ReLU(), fc.Flatten(), fc.Dense(2)]
    model = fc.Sequential(layers, (2, *SIZE), dtype="float64")
    X, y = np.random.default_rng(0).normal(size=(5, 2, *SIZE)), [0, 1, 1, 0, 1]
    for count in (1, 5):
        np.testing.assert_allclose(model.predict(X[:count]), activations(model, X[:count])[-1], atol=1e-12)
    _, gradients = model.loss_and_gradients(X, y)
    _, _, expected = backward(model, X, y)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[name], atol=1e-12)
    assert type(layer).from_settings(layer.settings(), None) == layer


@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
def test_same_gives_the_size_over_the_stride_rounded_up(size, stride, kernel):
    for text in ("same", "same_lower"):
        made = fc.Conv2d(1, kernel, stride=stride, padding=text).output_shape((1, size, 5))
        assert made[1] == -(-size // stride)


def test_same_puts_the_odd_zero_where_keras_and_onnx_do():
    ones, weight = np.ones((1, 1, 1, 4)), np.arange(1.0, 3.0).reshape(1, 1, 1, 2)
    np.testing.assert_array_equal(kernels.conv2d(ones, weight, padding="same").ravel(), [3, 3, 3, 1])
    np.testing.assert_array_equal(kernels.conv2d(ones, weight, padding="same_lower").ravel(), [2, 3, 3, 3])


@njit
def compiled(x, weight):
    return (
        kernels.conv2d(x, weight, None, 2, "same"),
        kernels.conv2d(x, weight, None, 1, ((1, 0), (0, 2))),
        kernels.max_pool2d(x, 3, 2, "same_lower")[0],
        kernels.avg_pool2d(x, 3, 2, (1, 0)),
    )


def test_compiled_code_takes_the_same_paddings():
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(2, 2, *SIZE)), rng.normal(size=(3, 2, 3, 3))
    for ours, python in zip(compiled(x, weight), compiled.py_func(x, weight), strict=True):
        np.testing.assert_array_equal(ours, python)


@pytest.mark.parametrize(
    "padding", ["SAME", "causal", -1, (1, 2, 3), ((1, 2), 3), None, ((1, -1), (0, 0)), 1.5, (1, 2.5), True]
)
def test_other_paddings_are_refused(padding):
    x, weight = np.ones((1, 1, 5, 5)), np.ones((1, 1, 3, 3))
    for call in (
        lambda: kernels.conv2d(x, weight, padding=padding),
        lambda: kernels.max_pool2d(x, 3, padding=padding),
        lambda: fc.Conv2d(1, 3, padding=padding),
        lambda: fc.MaxPool2d(3, padding=padding),
    ):
        with pytest.raises((TypeError, ValueError), match="`padding` must be a non-negative int, a pair of"):
            call()
