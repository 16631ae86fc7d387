"""The parts of a network, one by one: against finite differences, PyTorch and hand-worked numbers."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.inspection.layer_by_layer import activations, backward
from tests.engine.networks import NETWORKS, ROWS, build, data_for, each_case, losses_of
from tests.engine.torch_networks import torch_twin
from tests.nn.layer_kinds import LAYERS

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


def settled(name, dtype="float64"):
    """A network whose batch normalisation has seen other data: its statistics are not 0 and 1."""
    model = build(name, dtype)
    rng = np.random.default_rng(8)
    for array in model.statistics().values():
        array[:] = rng.uniform(0.4, 1.6, array.shape)
    return model


def rest_of(model, start):
    """The layers from `start` on, as a network of their own with the same numbers."""
    rest = fc.Sequential(model.layers[start:], model.nodes[start].input_shape, model.dtype)
    arrays = {**rest.parameters(), **rest.statistics()}
    for name, array in model.state().items():
        number, own = name.split(".")
        if int(number) >= start:
            arrays[f"{int(number) - start}.{own}"][...] = array
    return rest


def loss_of(output, y, loss):
    """The mean loss of a network's outputs, by its definition."""
    if loss == "cross_entropy":
        p = np.exp(output - output.max(axis=1, keepdims=True))
        return -np.log(p / p.sum(axis=1, keepdims=True))[np.arange(len(y)), y].mean()
    y = y.reshape(output.shape)
    if loss == "mse":
        return np.mean((output - y) ** 2)
    p = output if loss == "bce" else 1 / (1 + np.exp(-output))
    return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


def test_every_layer_is_tested_here():
    assert {type(layer).__name__ for layers, _ in NETWORKS.values() for layer in layers} == set(LAYERS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ROWS)
def test_the_activations_are_those_of_pytorch_in_evaluation_mode(name, dtype):
    torch = pytest.importorskip("torch")
    model = settled(name, dtype)
    X = np.random.default_rng(1).normal(size=(5, *model.input_shape))
    arrays = activations(model, X)
    tensor, tolerance = torch.tensor(X.astype(dtype)), 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_array_equal(arrays[0], tensor.numpy())
    with torch.no_grad():
        for module, array in zip(torch_twin(torch, model).eval(), arrays[1:], strict=True):
            tensor = module(tensor)
            assert array.dtype == dtype
            np.testing.assert_allclose(array, tensor.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("number", "name"), list(enumerate(ROWS)))
def test_the_gradient_at_every_point_is_a_finite_difference(number, name):
    model = settled(name)
    losses = [loss for loss in losses_of(name) if (name, loss) != ("a softmax last", "cross_entropy")]
    loss = losses[number % len(losses)]
    X, y = data_for(model, loss, count=3)
    value, slopes, _ = backward(model, X, y, loss)
    arrays = activations(model, X)
    assert value == pytest.approx(loss_of(arrays[-1], y, loss))
    rng, step = np.random.default_rng(4), 1e-6
    for start, (array, slope) in enumerate(zip(arrays, slopes, strict=True)):
        assert slope.shape == array.shape
        direction = rng.normal(size=array.shape) * (array != 0)  # ReLU and ties of max-pool have kinks there
        ends = np.concatenate([array + step * direction, array - step * direction])
        if start < len(model.layers):
            ends = rest_of(model, start).predict(ends)
        high, low = loss_of(ends[:3], y, loss), loss_of(ends[3:], y, loss)
        assert (slope * direction).sum() == pytest.approx((high - low) / (2 * step), rel=1e-5, abs=1e-7)


@each_case
def test_the_gradients_are_those_of_pytorch_in_evaluation_mode(name, loss):
    torch = pytest.importorskip("torch")
    model = settled(name)
    X, y = data_for(model, loss, count=4)
    twin = torch_twin(torch, model).eval()
    tensors = [torch.tensor(X, requires_grad=True)]
    for module in twin:
        tensors.append(module(tensors[-1]))
        tensors[-1].retain_grad()
    if name not in ROWS:  # values inside the branches have no counterpart here
        tensors = [tensors[0], tensors[-1]]
    functional, target = torch.nn.functional, torch.tensor(y)
    if loss == "cross_entropy" and isinstance(model.layers[-1], fc.Softmax):
        expected = functional.nll_loss(torch.log(tensors[-1]), target)
    elif loss == "cross_entropy":
        expected = functional.cross_entropy(tensors[-1], target)
    else:
        of = {"mse": "mse_loss", "bce": "binary_cross_entropy"}
        function = getattr(functional, of.get(loss, "binary_cross_entropy_with_logits"))
        expected = function(tensors[-1], target.reshape(tensors[-1].shape))
    expected.backward()
    value, slopes, gradients = backward(model, X, y, loss)
    assert value == pytest.approx(expected.item(), rel=1e-10)
    slopes = slopes if name in ROWS else [slopes[0], slopes[-1]]
    for slope, tensor in zip(slopes, tensors, strict=True):
        np.testing.assert_allclose(slope, tensor.grad.numpy(), rtol=1e-8, atol=1e-12)
    assert list(gradients) == [parameter for parameter, _ in twin.named_parameters()]
    for parameter, tensor in twin.named_parameters():
        np.testing.assert_allclose(gradients[parameter], tensor.grad.numpy(), rtol=1e-8, atol=1e-12)


def test_the_reference_network_by_hand():
    model = fc.models.reference_cnn("float64")
    for array, values in zip(
        model.parameters().values(),
        ([0, 0, 0, 0, 1, 0, 0, 0, 0], [0.5], [1, -1, 0.5, 0], [0.25]),
        strict=True,
    ):
        array[...] = np.reshape(values, array.shape)
    X = np.zeros((1, 1, 6, 6))
    X[0, 0, 1:5, 1:5] = [[1, 2, 0, 0], [0, 0, -3, 0], [0, 0, 1, 1], [0, 4, 0, 1]]
    arrays = activations(model, X)
    np.testing.assert_array_equal(arrays[1][0, 0], X[0, 0, 1:5, 1:5] + 0.5)
    np.testing.assert_array_equal(arrays[4], [[2.5, 0.5, 4.5, 1.5]])
    z = 2.5 - 0.5 + 2.25 + 0.25
    assert arrays[5].item() == z
    value, slopes, gradients = backward(model, X, [1], loss="bce")
    slope = 1 / (1 + np.exp(-z)) - 1
    assert value == pytest.approx(np.log1p(np.exp(-z)))
    np.testing.assert_allclose(slopes[4], [[slope, -slope, slope / 2, 0]])
    through = np.zeros((4, 4))  # the first maximum of each window; -2.5 is cut off by ReLU but not a maximum
    through[0, 1], through[0, 2], through[3, 1], through[2, 2] = slope, -slope, slope / 2, 0
    np.testing.assert_allclose(slopes[2][0, 0], through)
    np.testing.assert_allclose(slopes[0][0, 0, 1:5, 1:5], through)
    np.testing.assert_allclose(gradients["0.bias"], [slope / 2])
    assert gradients["0.weight"][0, 0, 1, 1] == pytest.approx(slope * (2 - 0 + 4 / 2))


def test_the_loss_and_the_gradient_below_a_fused_layer_stay_exact_where_it_saturates():
    for layer, loss, width in ((fc.Sigmoid(), "bce", 1), (fc.Softmax(), "cross_entropy", 2)):
        model = fc.Sequential([layer], (width,), dtype="float64")
        logits = [[-800.0]] if width == 1 else [[-800.0, 0.0]]
        value, slopes, _ = backward(model, logits, [1] if width == 1 else [0], loss)
        assert value == 800
        assert slopes[0][0, 0] == -1
        assert np.isfinite(slopes[1]).all()


def test_uint8_images_are_divided_by_255_and_grey_ones_may_leave_out_their_channel():
    model = fc.models.reference_cnn()
    X = np.arange(72, dtype=np.uint8).reshape(2, 6, 6)
    arrays = activations(model, X)
    np.testing.assert_allclose(arrays[0], X[:, None] / 255, rtol=1e-6)
    np.testing.assert_allclose(arrays[-1], model.predict(X), rtol=1e-5)


def test_dropout_lets_everything_pass_and_nothing_given_is_changed():
    model = fc.Sequential([fc.Dropout(0.9), fc.ReLU()], (4,), dtype="float64")
    X = np.ones((2, 4))
    arrays = activations(model, X)
    np.testing.assert_array_equal(arrays[-1], X)
    arrays[0][:] = arrays[1][:] = 7
    assert (X == 1).all()
    assert (arrays[2] == 1).all()


@pytest.mark.parametrize(
    ("X", "y", "loss", "message"),
    [
        (np.ones((1, 1, 5, 6)), [1], "bce", "`X` must have shape"),
        (np.ones((0, 1, 6, 6)), [], "bce", "`X` must hold at least one sample"),
        (np.ones((2, 1, 6, 6)), [1], "bce", "`y` must have shape"),
        (np.ones((1, 1, 6, 6)), [1], "l1", "`loss` must be one of"),
    ],
)
def test_arguments_that_do_not_fit_are_named(X, y, loss, message):
    with pytest.raises(ValueError, match=message):
        backward(fc.models.reference_cnn(), X, y, loss)
