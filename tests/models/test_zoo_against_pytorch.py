"""Outputs and gradients of the zoo's networks are those of the same networks written by hand in PyTorch."""

import numpy as np
import pytest

pytest.importorskip("torch")
import torch

import fastconv as fc
from tests.models import torch_zoo

NETWORKS = {
    "resnet8": {},
    "ds_cnn": {},
    "mobilenet_v1_025": {},
    "autoencoder": {},
    "time_cnn": {"num_classes": 3, "input_shape": (2, 70)},
    "fcn": {"num_classes": 3, "input_shape": (2, 30)},
    "resnet1d": {"num_classes": 3, "input_shape": (2, 30)},
    "inception_time": {"num_classes": 3, "input_shape": (2, 30)},
    "lite": {"num_classes": 3, "input_shape": (2, 30)},
    "mnist1d_cnn": {},
    "unet": {"num_classes": 3, "input_shape": (2, 16, 12), "depth": 2, "width": 8},
    "mobilenet_v2": {"num_classes": 10, "input_shape": (3, 64, 64), "width": 0.35},
}


def without_dropout(model):
    """The same network, parameters and statistics, without what happens at random."""
    layers = [layer for layer in model.layers if not isinstance(layer, fc.Dropout)]
    plain = fc.Sequential(layers, model.input_shape, model.dtype)
    plain.flat_parameters[...] = model.flat_parameters
    return plain


def fill(model, seed=0):
    """Numbers other than the first ones, so that no scale is 1 and no mean is 0."""
    rng = np.random.default_rng(seed)
    for name, array in model.parameters().items():
        if array.ndim == 1:
            array += rng.uniform(-0.3, 0.3, array.shape) if name.endswith("bias") else 0.1
    for name, array in model.statistics().items():
        array[...] = rng.uniform(0.5, 1.5, array.shape) if name.endswith("var") else array + 0.1


def twin_of(name, model):
    """The network in PyTorch with the same numbers, which both have in one order."""
    twin = getattr(torch_zoo, name)().double()
    for ours, theirs in (
        (model.parameters(), twin.named_parameters()),
        (model.statistics(), twin.named_buffers()),
    ):
        theirs = [array for key, array in theirs if not key.endswith("num_batches_tracked")]
        assert [tuple(array.shape) for array in theirs] == [array.shape for array in ours.values()]
        with torch.no_grad():
            for mine, array in zip(ours.values(), theirs, strict=True):
                array.copy_(torch.tensor(mine))
    return twin


@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_and_every_gradient_are_those_of_pytorch(name):
    model = without_dropout(getattr(fc.models, name)(dtype="float64", **NETWORKS[name]))
    fill(model)
    twin = twin_of(name, model)
    rng = np.random.default_rng(1)
    X = rng.standard_normal((4, *model.input_shape))
    with torch.no_grad():
        wanted = twin.eval()(torch.tensor(X)).numpy()
    np.testing.assert_allclose(model.predict(X), wanted, rtol=1e-9, atol=1e-9)

    loss = "mse" if name in ("autoencoder", "unet") else "cross_entropy"
    y = rng.random((len(X), *model.output_shape))
    if loss == "cross_entropy":
        y = rng.integers(0, model.output_shape[0], len(X))
    value, gradients = model.loss_and_gradients(X, y, loss)
    function = getattr(torch.nn.functional, {"mse": "mse_loss"}.get(loss, loss))
    theirs = function(twin.train()(torch.tensor(X)), torch.tensor(y))
    theirs.backward()
    assert value == pytest.approx(theirs.item(), abs=1e-9)
    for (key, gradient), parameter in zip(gradients.items(), twin.parameters(), strict=True):
        np.testing.assert_allclose(gradient, parameter.grad.numpy(), atol=1e-9, err_msg=key)


@pytest.mark.parametrize("name", ["resnet8", "ds_cnn", "mobilenet_v1_025", "resnet1d", "inception_time"])
def test_a_network_that_comes_from_pytorch_has_its_outputs_and_gradients(name):
    twin = getattr(torch_zoo, name)().double()
    shape = getattr(fc.models, name)(**NETWORKS[name]).input_shape
    rng = np.random.default_rng(2)
    X, y = rng.standard_normal((4, *shape)), rng.integers(0, 2, 4)
    for _ in range(2):  # so that means and variances are not the first ones
        twin(torch.tensor(X))
    model = fc.from_torch(twin.eval(), shape)
    np.testing.assert_allclose(model.predict(X), twin(torch.tensor(X)).detach().numpy(), atol=1e-9)
    value, gradients = model.loss_and_gradients(X, y)
    loss = torch.nn.functional.cross_entropy(twin.train()(torch.tensor(X)), torch.tensor(y))
    loss.backward()
    assert value == pytest.approx(loss.item(), abs=1e-9)
    wanted = {key: parameter.grad.numpy() for key, parameter in twin.named_parameters()}
    assert gradients.keys() == wanted.keys()
    for key, gradient in gradients.items():
        np.testing.assert_allclose(gradient, wanted[key], atol=1e-9, err_msg=key)


def test_two_heads_have_the_outputs_and_gradients_of_pytorch():
    model = fc.models.atari_cnn(5, (2, 40, 44), dtype="float64")
    twin = twin_of("atari_cnn", model)
    rng = np.random.default_rng(1)
    X, y = rng.random((3, 2, 40, 44)), [rng.integers(0, 5, 3), rng.standard_normal((3, 1))]
    theirs = twin(torch.tensor(X))
    for mine, wanted in zip(model.predict(X).values(), theirs, strict=True):
        np.testing.assert_allclose(mine, wanted.detach().numpy(), atol=1e-9)
    value, gradients = model.loss_and_gradients(X, y, ["cross_entropy", "mse"], loss_weights=[1.0, 0.5])
    policy, values = (torch.tensor(target) for target in y)
    loss = torch.nn.functional.cross_entropy(theirs[0], policy)
    loss = loss + 0.5 * torch.nn.functional.mse_loss(theirs[1], values)
    loss.backward()
    assert value == pytest.approx(loss.item(), abs=1e-9)
    for (key, gradient), parameter in zip(gradients.items(), twin.parameters(), strict=True):
        np.testing.assert_allclose(gradient, parameter.grad.numpy(), atol=1e-9, err_msg=key)


ALL = {**NETWORKS, "atari_cnn": {"num_actions": 5, "input_shape": (2, 40, 44)}}


def made(name):
    model = getattr(fc.models, name)(dtype="float64", **ALL[name])
    fill(model)
    return model, np.random.default_rng(3).random((2, *model.input_shape))


def assert_same(outputs, wanted):
    if isinstance(wanted, dict):
        assert outputs.keys() == wanted.keys()
        for name, array in wanted.items():
            assert_same(outputs[name], array)
    else:
        np.testing.assert_allclose(outputs, wanted, atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_a_network_goes_to_pytorch_and_back(name):
    model, X = made(name)
    assert_same(fc.from_torch(model.to_torch(), model.input_shape).predict(X), model.predict(X))


@pytest.mark.parametrize("name", ALL)
def test_a_network_goes_to_an_onnx_file_and_back(name, tmp_path):
    pytest.importorskip("onnx")
    model, X = made(name)
    model.to_onnx(tmp_path / "model.onnx")
    assert_same(fc.from_onnx(tmp_path / "model.onnx").predict(X), model.predict(X))
