import itertools

import numpy as np
import pytest

from fastconv.benchmarks import im2col, im2col_nets
from fastconv.benchmarks.nets import NETS

# stride, padding, dilation, groups
GEOMETRIES = [
    (1, 0, 1, 1),
    (1, 1, 1, 1),
    (2, 1, 1, 1),
    ((2, 1), (0, 2), (1, 2), 1),
    (1, 1, 1, 2),
    (2, 2, 2, 4),
]


def random(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def conv_case(groups, dtype=np.float64):
    return random(3, 4, 9, 8, dtype=dtype), random(8, 4 // groups, 3, 2, dtype=dtype, seed=1)


def slope(function, array, index, step=1e-6):
    """The central difference of a function of `array` at one element."""
    values = []
    for sign in (1, -1):
        moved = array.copy()
        moved[index] += sign * step
        values.append(function(moved))
    return (values[0] - values[1]) / (2 * step)


def check_slopes(function, array, gradient, count=12):
    assert gradient.shape == array.shape
    for flat in np.random.default_rng(2).permutation(array.size)[:count]:
        index = np.unravel_index(flat, array.shape)
        assert gradient[index] == pytest.approx(slope(function, array, index), rel=1e-6, abs=1e-7)


def by_hand(x, weight, stride, padding, dilation, groups):
    """The definition of a convolution, one output at a time."""
    (sh, sw), (ph, pw), (dh, dw) = (
        v if isinstance(v, tuple) else (v, v) for v in (stride, padding, dilation)
    )
    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    o, c, kh, kw = weight.shape
    high, wide = (
        (e - d * (k - 1) - 1) // s + 1
        for e, d, k, s in zip(x.shape[2:], (dh, dw), (kh, kw), (sh, sw), strict=True)
    )
    y = np.empty((len(x), o, high, wide))
    for n, k, i, j in itertools.product(*map(range, y.shape)):
        first = k // (o // groups) * c
        window = x[n, first : first + c, i * sh : i * sh + kh * dh : dh, j * sw : j * sw + kw * dw : dw]
        y[n, k, i, j] = (window[:, :kh, :kw] * weight[k]).sum()
    return y


@pytest.fixture(params=[im2col.PART_BYTES, 3000, 1], ids=["one part", "parts of blocks", "parts of a row"])
def _parts(request, monkeypatch):
    monkeypatch.setattr(im2col, "PART_BYTES", request.param)


@pytest.mark.usefixtures("_parts")
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), GEOMETRIES)
def test_a_convolution_is_what_its_definition_says(stride, padding, dilation, groups):
    x, weight = conv_case(groups)
    bias = random(8)
    y = im2col.conv2d(x, weight, bias, stride, padding, dilation, groups)
    expected = by_hand(x, weight, stride, padding, dilation, groups) + bias[:, None, None]
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("_parts")
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), GEOMETRIES)
def test_gradients_of_a_convolution_are_slopes_of_it(stride, padding, dilation, groups):
    x, weight = conv_case(groups)
    settings = (stride, padding, dilation, groups)
    dy = random(*im2col.conv2d(x, weight, None, *settings).shape, seed=3)
    dweight = im2col.conv2d_grad_weight(x, dy, weight.shape[2:], *settings)
    check_slopes(lambda w: (im2col.conv2d(x, w, None, *settings) * dy).sum(), weight, dweight)
    dx = im2col.conv2d_grad_input(dy, weight, x.shape[2:], *settings)
    check_slopes(lambda v: (im2col.conv2d(v, weight, None, *settings) * dy).sum(), x, dx)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), GEOMETRIES)
def test_convolutions_are_pytorchs(dtype, stride, padding, dilation, groups):
    torch = pytest.importorskip("torch")
    x, weight = conv_case(groups, dtype)
    bias = random(8, dtype=dtype)
    settings = (stride, padding, dilation, groups)
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, weight, bias)]
    y = torch.nn.functional.conv2d(*tensors, *settings)
    close = {"rtol": 1e-4, "atol": 1e-4} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-11}
    np.testing.assert_allclose(im2col.conv2d(x, weight, bias, *settings), y.detach(), **close)
    dy = random(*y.shape, dtype=dtype, seed=3)
    y.backward(torch.from_numpy(dy))
    dx = im2col.conv2d_grad_input(dy, weight, x.shape[2:], *settings)
    dweight = im2col.conv2d_grad_weight(x, dy, weight.shape[2:], *settings)
    for mine, tensor in zip((dx, dweight, im2col.conv2d_grad_bias(dy)), tensors, strict=True):
        assert mine.dtype == dtype
        np.testing.assert_allclose(mine, tensor.grad, **close)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(2, None, 0, 1), (3, 2, 1, 1), ((2, 3), (1, 2), (1, 0), 1), (2, 1, 0, 2), (2, 3, 0, 1)],
)
def test_pooling_is_pytorchs(kernel, stride, padding, dilation):
    torch = pytest.importorskip("torch")
    x = random(2, 3, 9, 8)
    x[0] = np.round(x[0])  # ties
    tensor = torch.from_numpy(x).requires_grad_()
    y, argmax = im2col.max_pool2d(x, kernel, stride, padding, dilation)
    expected, where = torch.nn.functional.max_pool2d(
        tensor, kernel, stride, padding, dilation, return_indices=True
    )
    np.testing.assert_array_equal(y, expected.detach())
    np.testing.assert_array_equal(argmax, where)
    dy = random(*y.shape, seed=1)
    expected.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(im2col.max_pool2d_grad(dy, argmax, (9, 8)), tensor.grad, rtol=1e-12)
    if dilation == 1:
        means = torch.nn.functional.avg_pool2d(tensor.detach(), kernel, stride, padding)
        np.testing.assert_allclose(
            im2col.avg_pool2d(x, kernel, stride, padding), means, rtol=1e-12, atol=1e-15
        )


@pytest.mark.parametrize("training", [True, False])
def test_batch_normalisation_is_pytorchs(training):
    torch = pytest.importorskip("torch")
    x, gamma, beta = random(4, 3, 5, 6) + 2, random(3, seed=1), random(3, seed=2)
    mean, var = random(3, seed=3), random(3, seed=4) ** 2
    running = torch.from_numpy(mean.copy()), torch.from_numpy(var.copy())
    expected = torch.nn.functional.batch_norm(
        torch.from_numpy(x), *running, torch.from_numpy(gamma), torch.from_numpy(beta), training
    )
    y, _ = im2col.batch_norm2d(x, gamma, beta, mean, var, training)
    np.testing.assert_allclose(y, expected, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose([mean, var], [tensor.numpy() for tensor in running], rtol=1e-12)


def test_dense_activations_and_losses_are_pytorchs():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    x, weight, bias, labels = random(5, 7), random(4, 7, seed=1), random(4, seed=2), np.array([0, 3, 1, 1, 2])
    tensors = [torch.from_numpy(a).requires_grad_() for a in (x, weight, bias)]
    z = F.linear(*tensors)
    loss = F.cross_entropy(z, torch.from_numpy(labels))
    loss.backward()
    logits = im2col.dense(x, weight, bias)
    dz = im2col.cross_entropy_grad(logits, labels)
    assert im2col.cross_entropy(logits, labels) == pytest.approx(loss.item(), rel=1e-12)
    mine = im2col.dense_grad_input(dz, weight), im2col.dense_grad_weight(x, dz), im2col.dense_grad_bias(dz)
    for gradient, tensor in zip(mine, tensors, strict=True):
        np.testing.assert_allclose(gradient, tensor.grad, rtol=1e-12, atol=1e-14)
    t = torch.from_numpy(x)
    np.testing.assert_allclose(im2col.relu(x), F.relu(t))
    np.testing.assert_array_equal(im2col.relu_grad(x, x), F.relu(t))
    np.testing.assert_allclose(im2col.softmax(x), F.softmax(t, -1), rtol=1e-12)
    p = im2col.sigmoid(x * 100)
    np.testing.assert_allclose(p, torch.sigmoid(t * 100), rtol=1e-12)
    target = np.round(im2col.sigmoid(random(5, 7, seed=5)))
    expected = F.binary_cross_entropy(torch.sigmoid(t * 100), torch.from_numpy(target)).item()
    assert im2col.bce(p, target) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("samples_inside", [False, True])
@pytest.mark.parametrize(("name", "samples"), [("reference", 6), ("lenet5", 3), ("vgg_small", 2)])
def test_a_training_step_follows_the_slopes_of_the_loss(name, samples, samples_inside):
    net = NETS[name]
    parameters = {key: array.astype(np.float64) for key, array in net.initial_parameters(1).items()}
    X, y = net.batches(samples, 1)
    X = X.astype(np.float64)

    def loss(changed):
        return im2col_nets.Network(name, {**parameters, **changed}, samples_inside).step(X, y, lr=0.0)

    network = im2col_nets.Network(name, parameters, samples_inside)
    network.step(X, y, lr=0.25)
    for key, array in parameters.items():
        gradient = network.gradients()[key]
        np.testing.assert_allclose(network.parameters()[key], array - 0.25 * gradient, rtol=1e-12)
        check_slopes(lambda moved, key=key: loss({key: moved}), array, gradient, count=2)


@pytest.mark.parametrize("samples_inside", [False, True])
@pytest.mark.parametrize(("name", "samples"), [("reference", 5), ("lenet5", 4), ("vgg_small", 2)])
def test_ten_training_steps_end_where_pytorchs_do(name, samples, samples_inside):
    torch = pytest.importorskip("torch")
    from fastconv.benchmarks import torch_nets

    parameters = NETS[name].initial_parameters()
    X, y = NETS[name].batches(samples, 10)
    mine = im2col_nets.Network(name, parameters, samples_inside)
    theirs = torch_nets.Network(name, parameters, lr=0.02)
    for first in range(0, len(X), samples):
        images, labels = X[first : first + samples], y[first : first + samples]
        loss = mine.step(images, labels, lr=0.02)
        assert loss == pytest.approx(
            theirs.step(torch.from_numpy(images), torch.from_numpy(labels)).item(), rel=1e-4
        )
    for key, array in theirs.parameters().items():
        np.testing.assert_allclose(mine.parameters()[key], array, rtol=0, atol=1e-4)


@pytest.mark.parametrize("samples_inside", [False, True])
def test_a_batch_of_another_size_needs_no_new_network(samples_inside):
    parameters = NETS["lenet5"].initial_parameters()
    X, y = NETS["lenet5"].batches(5, 1)
    used = im2col_nets.Network("lenet5", parameters, samples_inside)
    used.step(X, y, lr=0.0)
    fresh = im2col_nets.Network("lenet5", parameters, samples_inside)
    assert used.step(X[:2], y[:2], lr=0.0) == fresh.step(X[:2], y[:2], lr=0.0)
    for key, gradient in fresh.gradients().items():
        np.testing.assert_array_equal(used.gradients()[key], gradient)
