"""Kernels and layers of signals, against PyTorch."""

import itertools

import numpy as np
import pytest
from numba import njit

import fastconv as fc
from fastconv import kernels
from fastconv.checks.padding import padding_along
from fastconv.inspection import activations, backward

torch = pytest.importorskip("torch")
functional = torch.nn.functional
LENGTH = 17


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding", "groups"),
    list(itertools.product([1, 3, 40], [1, 2], [1, 3], [0, (3, 1), "same", "causal", 60], [1, 2])),
)
def test_convolutions_and_their_gradients_equal_pytorchs(kernel, stride, dilation, padding, groups, dtype):
    (_, (before, after)) = padding_along(padding, "padding", LENGTH, kernel, stride, dilation)
    if LENGTH + before + after <= dilation * (kernel - 1):
        pytest.skip("the kernel is longer than the signal")
    rng = np.random.default_rng(0)
    x, weight, bias = (
        rng.normal(size=shape).astype(dtype) for shape in ((3, 2, LENGTH), (4, 2 // groups, kernel), (4,))
    )
    tx, tw, tb = (torch.tensor(a.astype(float), requires_grad=True) for a in (x, weight, bias))
    expected = functional.conv1d(functional.pad(tx, (before, after)), tw, tb, stride, 0, dilation, groups)
    windows = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = kernels.conv1d(x, weight, bias, **windows)
    assert y.dtype == dtype
    tolerance = {"atol": 1e-12 if dtype == "float64" else 2e-5}
    np.testing.assert_allclose(y, expected.detach().numpy(), **tolerance)
    dy = rng.normal(size=y.shape).astype(dtype)
    expected.backward(torch.tensor(dy.astype(float)))
    for ours, theirs in (
        (kernels.conv1d_grad_input(dy, weight, LENGTH, **windows), tx.grad),
        (kernels.conv1d_grad_weight(x, dy, kernel, **windows), tw.grad),
        (kernels.conv1d_grad_bias(dy), tb.grad),
    ):
        np.testing.assert_allclose(ours, theirs.numpy(), **tolerance)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, None, 0), (3, 2, 1), (5, 1, "same"), (4, 3, 2)]
)
def test_pools_and_their_gradients_equal_pytorchs(kernel, stride, padding):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3, 2, LENGTH))
    tx = torch.tensor(x, requires_grad=True)
    around = 2 if padding == "same" else padding
    expected = functional.max_pool1d(tx, kernel, stride, around)
    y, argmax = kernels.max_pool1d(x, kernel, stride, padding)
    np.testing.assert_array_equal(y, expected.detach().numpy())
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(kernels.max_pool1d_grad(dy, argmax, LENGTH), tx.grad.numpy(), atol=1e-12)
    tx.grad = None
    expected = functional.avg_pool1d(tx, kernel, stride, around)
    expected.backward(torch.tensor(dy))
    np.testing.assert_allclose(
        kernels.avg_pool1d(x, kernel, stride, padding), expected.detach().numpy(), atol=1e-12
    )
    np.testing.assert_allclose(
        kernels.avg_pool1d_grad(dy, LENGTH, kernel, stride, padding), tx.grad.numpy(), atol=1e-12
    )


def test_batch_norm_and_its_gradient_equal_pytorchs():
    rng = np.random.default_rng(0)
    x, gamma, beta, mean, var = rng.normal(size=(4, 3, 5)), *rng.random((4, 3))
    tx, tg, tb = (torch.tensor(a, requires_grad=True) for a in (x, gamma, beta))
    tm, tv = torch.tensor(mean.copy()), torch.tensor(var.copy())
    expected = functional.batch_norm(tx, tm, tv, tg, tb, training=True)
    y, saved = kernels.batch_norm1d(x, gamma, beta, mean, var, training=True)
    np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-12)
    np.testing.assert_allclose([mean, var], [tm.numpy(), tv.numpy()], atol=1e-12)
    dy = rng.normal(size=y.shape)
    expected.backward(torch.tensor(dy))
    for ours, theirs in zip(kernels.batch_norm1d_grad(dy, x, gamma, saved), (tx, tg, tb), strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), atol=1e-12)


@njit
def compiled(x, weight):
    return (
        kernels.conv1d(x, weight),
        kernels.conv1d(x, weight, None, 2, "causal"),
        kernels.conv1d(x, weight, None, 1, (1, 2)),
        kernels.max_pool1d(x, 2)[0],
        kernels.avg_pool1d(x, 3, 1, "same"),
    )


def test_compiled_code_computes_the_same():
    rng = np.random.default_rng(0)
    x, weight = rng.normal(size=(2, 2, 9)), rng.normal(size=(3, 2, 3))
    for ours, python in zip(compiled(x, weight), compiled.py_func(x, weight), strict=True):
        np.testing.assert_array_equal(ours, python)


SIGNALS = {
    "mnist1d": (
        [fc.Conv1d(25, 5, stride=2, padding=1), fc.ReLU(), fc.Conv1d(25, 3, stride=2, padding=1), fc.ReLU(),
         fc.Conv1d(25, 3, stride=2, padding=1), fc.ReLU(), fc.Flatten(), fc.Dense(10)],
        (1, 40),
    ),
    "every layer": (
        [fc.Conv1d(4, 5, padding="causal", dilation=2), fc.ReLU(), fc.MaxPool1d(3, 2, padding="same"),
         fc.Conv1d(6, 4, groups=2, padding=(3, 0)), fc.Tanh(), fc.GroupNorm(3),
         fc.AvgPool1d(2, padding=(0, 1), count_include_pad=False), fc.GlobalAvgPool1d(), fc.Flatten(),
         fc.Dense(3)],
        (2, 23),
    ),
    "longer than the signal": (
        [fc.Conv1d(3, 40, padding=20), fc.Sigmoid(), fc.Flatten(), fc.Dense(2)], (2, 9)
    ),
    "a signal comes out": ([fc.Conv1d(3, 3, padding="same"), fc.Dropout(0.0), fc.ReLU()], (2, 11)),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SIGNALS)
def test_networks_compute_what_the_layers_say(name, dtype, tmp_path):
    layers, shape = SIGNALS[name]
    model = fc.Sequential(layers, shape, dtype=dtype, seed=1)
    rng, tolerance = np.random.default_rng(0), {"atol": 1e-12 if dtype == "float64" else 2e-5}
    X = rng.normal(size=(19, *shape))
    for count in (1, 5, 19):
        np.testing.assert_allclose(model.predict(X[:count]), activations(model, X[:count])[-1], **tolerance)
    turned = np.ascontiguousarray(np.moveaxis(X, 1, 2))
    np.testing.assert_array_equal(model.predict(np.moveaxis(turned, 2, 1)), model.predict(X))
    labels = len(model.output_shape) == 1
    y = rng.integers(0, model.output_shape[0], 19) if labels else rng.normal(size=(19, *model.output_shape))
    loss = "cross_entropy" if labels else "mse"
    _, gradients = model.loss_and_gradients(X, y, loss)
    _, _, expected = backward(model, X, y, loss)
    for parameter, gradient in gradients.items():
        np.testing.assert_allclose(gradient, expected[parameter], **tolerance)
    fc.Trainer(model, loss).fit(X, y, epochs=1)
    model.save(tmp_path / "model.npz")
    assert fc.load(tmp_path / "model.npz").layers == model.layers


def test_batch_norm_takes_features_too():
    layers = [fc.Dense(6), fc.BatchNorm1d(), fc.ReLU(), fc.Dense(3)]
    model = fc.Sequential(layers, (5,), dtype="float64", seed=1)
    module = torch.nn.Sequential(
        torch.nn.Linear(5, 6), torch.nn.BatchNorm1d(6), torch.nn.ReLU(), torch.nn.Linear(6, 3)
    ).double()
    module.load_state_dict({name: torch.tensor(a) for name, a in model.state().items()}, strict=False)
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(7, 5)), rng.integers(0, 3, 7)
    loss, gradients = model.loss_and_gradients(X, y)
    expected = functional.cross_entropy(module(torch.tensor(X)), torch.tensor(y))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), atol=1e-12)


def test_the_cnn_of_mnist1d_has_the_published_number_of_parameters():
    layers, shape = SIGNALS["mnist1d"]
    assert fc.Sequential(layers, shape).num_parameters == 5210


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: fc.Conv1d(0, 3), ValueError, "`out_channels` must be"),
        (lambda: fc.Conv1d(2, (1, 3)), TypeError, "`kernel_size` must be"),
        (lambda: fc.Conv1d(2, 3, padding="full"), ValueError, "`padding` must be .*\"causal\", got 'full'"),
        (lambda: fc.MaxPool1d(2, padding="causal"), ValueError, '`padding` of a pool must not be "causal"'),
        (lambda: fc.MaxPool1d(2, padding=2), ValueError, "`padding` must be at most half"),
        (lambda: fc.BatchNorm1d(25), TypeError, "BatchNorm1d takes `momentum`"),
        (
            lambda: fc.Conv1d(1, 6, 5),
            TypeError,
            "Conv1d takes only `out_channels`, `kernel_size` by position",
        ),
        (lambda: fc.Sequential([fc.Conv1d(2, 3)], (1, 8, 8)), ValueError, r"takes signals \(C, L\), got"),
        (lambda: fc.Sequential([fc.Conv2d(2, 3)], (1, 8)), ValueError, "for signals .* there are Conv1d"),
        (lambda: fc.Sequential([fc.ReLU()], (1, 2, 3, 4)), ValueError, r"\(C, L\) of signals"),
    ],
)
def test_what_does_not_fit_is_named(make, error, message):
    with pytest.raises(error, match=message):
        make()
