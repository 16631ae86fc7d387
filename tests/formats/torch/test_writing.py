"""Networks as PyTorch's modules: graphs, padding of every side, one dimension, and every activation."""

import itertools
import pickle

import numpy as np
import pytest

import fastconv as fc
from tests.engine.test_graphs import GRAPHS, NORMALISED

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
UNEVEN = ((0, 1), (2, 1))
PADDINGS = [0, 1, (1, 0), UNEVEN, "same", "same_lower", "valid"]


def samples(shape, count=4):
    return np.random.default_rng(3).standard_normal((count, *shape))


def agree(model, tolerance=1e-12, slopes=1e-9):
    """Outputs, and the gradients of every parameter, are those of the module that the network becomes."""
    module = model.to_torch()
    assert [name for name, _ in module.named_parameters()] == list(model.parameters())
    counters = {name for name in module.state_dict() if name.endswith("num_batches_tracked")}
    assert set(module.state_dict()) - counters == set(model.state())
    X = samples(model.input_shape)
    with torch.no_grad():
        wanted = module(torch.tensor(X)).numpy()
    np.testing.assert_allclose(model.predict(X), wanted, rtol=0, atol=tolerance * np.abs(wanted).max())
    if not model.num_parameters:
        return module
    y = samples(model.output_shape)
    _, gradients = model.loss_and_gradients(X, y, fc.losses.MSE())
    ((module.train()(torch.tensor(X)) - torch.tensor(y)) ** 2).mean().backward()
    for name, parameter in module.named_parameters():
        scale = max(np.abs(parameter.grad.numpy()).max(), 1e-3)
        assert np.abs(gradients[name] - parameter.grad.numpy()).max() <= slopes * scale, name
    return module.eval()


@pytest.mark.parametrize("name", [*GRAPHS, *NORMALISED])
def test_a_graph_becomes_a_program_with_its_names_outputs_and_gradients(name):
    layers, shape = (GRAPHS | NORMALISED)[name]
    module = agree(fc.Sequential(layers, shape, "float64", seed=2))
    assert isinstance(module, torch.fx.GraphModule)


@pytest.mark.parametrize("stride", [1, 2, (2, 3)])
@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("kernel", [3, (2, 4)])
def test_convolutions_pad_as_ours_do(kernel, padding, stride):
    conv = fc.Conv2d(2, kernel, stride=stride, padding=padding, dilation=(1, 2))
    agree(fc.Sequential([conv, fc.Tanh()], (2, 8, 9), "float64"))


@pytest.mark.parametrize(("ceil_mode", "stride"), list(itertools.product([False, True], [1, 2, 3])))
@pytest.mark.parametrize("padding", [0, 1, (1, 0), UNEVEN, "same", "same_lower", "valid"])
def test_largest_elements_of_windows_are_taken_as_ours_are(padding, stride, ceil_mode):
    pool = fc.MaxPool2d((3, 4), stride, padding, (2, 1), ceil_mode=ceil_mode)
    model = fc.Sequential([fc.Conv2d(2, 1), pool], (1, 8, 9), "float64")
    again = fc.from_torch(agree(model), (1, 8, 9))
    X = samples((1, 8, 9))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize("counted", [False, True])
@pytest.mark.parametrize(("ceil_mode", "stride"), list(itertools.product([False, True], [1, 2, 3])))
@pytest.mark.parametrize("padding", [0, 1, (1, 0), UNEVEN, "same", "same_lower", "valid"])
def test_means_of_windows_are_taken_over_the_same_elements(padding, stride, ceil_mode, counted):
    pool = fc.AvgPool2d((3, 4), stride, padding, ceil_mode, counted)
    model = fc.Sequential([fc.Conv2d(2, 1), pool], (1, 8, 9), "float64")
    module = agree(model)
    X = samples((1, 8, 9))
    again = fc.from_torch(module, (1, 8, 9))
    np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=0, atol=1e-12)


SIGNALS = {
    "causal": fc.Conv1d(3, 4, dilation=2, padding="causal"),
    "same with a stride": fc.Conv1d(3, 4, stride=3, padding="same"),
    "same": fc.Conv1d(3, 4, padding="same"),
    "before and after": fc.Conv1d(4, 3, padding=(0, 2), groups=2, bias=False),
    "both": fc.Conv1d(3, 5, padding=2, stride=2),
    "max": fc.MaxPool1d(3, 2, (0, 1)),
    "max same": fc.MaxPool1d(3, 2, "same", ceil_mode=True),
    "max dilated": fc.MaxPool1d(2, 1, 1, 2, ceil_mode=True),
    "avg": fc.AvgPool1d(3, 2, (0, 1), True),
    "avg same": fc.AvgPool1d(4, 3, "same", count_include_pad=False),
    "avg both": fc.AvgPool1d(4, 3, 1),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_layers_over_signals_become_those_of_pytorch(name):
    layers = [
        fc.Conv1d(2, 1),
        fc.BatchNorm1d(),
        SIGNALS[name],
        fc.GlobalAvgPool1d(),
        fc.Flatten(),
        fc.Dense(2),
    ]
    agree(fc.Sequential(layers, (2, 13), "float64"))


ACTIVATIONS = [
    fc.ReLU6(), fc.ELU(0.7), fc.SiLU(), fc.GELU(), fc.GELU("tanh"), fc.Hardswish(), fc.Hardsigmoid(),
    fc.Softplus(),
]  # fmt: skip


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=lambda layer: layer.call())
def test_every_activation_has_a_module(layer):
    # PyTorch's slope of Hardsigmoid is a sixth in float32.
    slopes = 1e-7 if layer == fc.Hardsigmoid() else 1e-9
    module = agree(fc.Sequential([fc.Dense(20), layer, fc.BatchNorm1d()], (4,), "float64"), slopes=slopes)
    assert isinstance(module, torch.nn.Sequential)


OTHERS = {
    "transposed": (fc.ConvTranspose2d(2, 3, stride=2, output_padding=1, padding=1), (2, 4, 5)),
    "transposed same": (fc.ConvTranspose2d(2, 3, stride=2, padding="same"), (2, 4, 5)),
    "transposed uneven": (fc.ConvTranspose2d(2, (3, 4), stride=(1, 2), padding=UNEVEN, groups=2), (2, 4, 5)),
    "transposed of signals": (fc.ConvTranspose1d(2, 4, stride=3, padding=(0, 2), output_padding=1), (2, 5)),
    "depthwise": (fc.DepthwiseConv2d(3, padding="same", depth_multiplier=2), (2, 4, 5)),
    "depthwise with a stride": (fc.DepthwiseConv2d(3, stride=2, padding="same"), (2, 4, 4)),
    "separable": (fc.SeparableConv2d(3, 3, padding="same"), (2, 4, 5)),
    "separable of signals": (fc.SeparableConv1d(3, 3), (2, 5)),
    "nearest": (fc.Upsample((2, 3)), (2, 3, 4)),
    "along lines": (fc.Upsample(3, "bilinear"), (2, 3, 4)),
    "to the corners": (fc.Upsample(2, "linear", align_corners=True), (2, 5)),
    "largest": (fc.GlobalMaxPool2d(), (2, 3, 4)),
    "largest of signals": (fc.GlobalMaxPool1d(), (2, 5)),
    "adaptive": (fc.AdaptiveAvgPool2d((2, None)), (2, 5, 4)),
    "adaptive of signals": (fc.AdaptiveAvgPool1d(4), (2, 6)),
    "layer norm": (fc.LayerNorm(eps=1e-3), (2, 3, 4)),
    "instance norm": (fc.InstanceNorm2d(affine=True), (2, 3, 4)),
    "instance norm of signals": (fc.InstanceNorm1d(), (2, 7)),
    "prelu": (fc.PReLU(per_channel=True, init=0.1), (2, 3, 4)),
    "dropout of channels": (fc.SpatialDropout2d(0.0), (2, 3, 4)),
    "dropout of channels of signals": (fc.SpatialDropout1d(0.0), (2, 3)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_every_other_layer_becomes_that_of_pytorch_and_comes_back(name):
    layer, shape = OTHERS[name]
    first = fc.Conv2d(2, 1) if len(shape) == 3 else fc.Conv1d(2, 1)
    model = fc.Sequential([first, layer], shape, "float64")
    again = fc.from_torch(agree(model), shape)
    X = samples(shape)
    np.testing.assert_allclose(again.predict(X), model.predict(X), rtol=0, atol=1e-12)
    assert again.num_parameters == model.num_parameters


def test_a_block_that_branches_keeps_its_names():
    class Part(fc.Block):
        def layers(self):
            return [fc.Residual([fc.Dense(4), fc.Tanh()]), fc.Dense(3)]

    module = agree(fc.Sequential([Part(), fc.Dense(2)], (4,), "float64"))
    assert list(module.state_dict())[:3] == ["0.0.layers.0.weight", "0.0.layers.0.bias", "0.1.weight"]


def test_a_layer_at_two_places_is_one_module():
    dense = fc.Dense(4)
    x = fc.Input((4,))
    y = dense(fc.Tanh()(dense(x, name="tied")))
    module = agree(fc.Model(x, fc.Dense(2)(fc.Add()([x, y])), "float64"))
    assert sum(parameter.numel() for parameter in module.parameters()) == 20 + 10


def test_padding_of_a_shared_layer_is_that_of_each_place():
    """At one place "same" is even there, at the other it is not."""
    conv = fc.Conv2d(1, 3, stride=2, padding="same")
    x = fc.Input((1, 9, 9))
    y = conv(conv(fc.Conv2d(1, 2)(x)))
    agree(fc.Model(x, fc.Flatten()(y), "float64"))


def test_names_of_layers_may_lie_within_those_of_others():
    x = fc.Input((3,))
    y = fc.Dense(3)(fc.Tanh()(x, name="body.act"), name="body")
    agree(fc.Model(x, fc.Dense(2)(y, name="body.last"), "float64"))


def test_several_outputs_become_a_tuple_or_a_dictionary():
    x = fc.Input((3,))
    policy, value = fc.Dense(2)(x), fc.Dense(1)(x)
    X = torch.ones(2, 3)
    outputs = fc.Model(x, [policy, value]).to_torch()(X)
    assert [tuple(y.shape) for y in outputs] == [(2, 2), (2, 1)]
    outputs = fc.Model(x, {"policy": policy, "value": value}).to_torch()(X)
    assert {name: tuple(y.shape) for name, y in outputs.items()} == {"policy": (2, 2), "value": (2, 1)}


def test_several_inputs_become_arguments_by_their_names():
    x, facts = fc.Input((3,), name="image"), fc.Input((2,), name="2 facts")
    module = fc.Model([x, facts], fc.Dense(2)(fc.Concatenate()([x, facts]))).to_torch()
    assert tuple(module(torch.ones(4, 3), torch.ones(4, 2)).shape) == (4, 2)
    assert torch.equal(
        module(image=torch.ones(4, 3), _2_facts=torch.ones(4, 2)), module(torch.ones(4, 3), torch.ones(4, 2))
    )


@pytest.mark.parametrize("names", [("a.b", "a_b"), ("self", "class"), ("1", "_1"), ("x", "x_")])
def test_names_of_inputs_become_arguments_that_python_can_have(names):
    first, second = (fc.Input((3,), name=name) for name in names)
    model = fc.Model([first, second], fc.Dense(2)(fc.Add([], [fc.ReLU()])(first) + second))
    X = list(np.random.default_rng(0).standard_normal((2, 5, 3)).astype(np.float32))
    found = model.to_torch()(*map(torch.from_numpy, X)).detach().numpy()
    np.testing.assert_allclose(found, model.predict(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["self", "class", "training", "forward", "block.lambda", 'a"b', "a\\b"])
def test_a_name_that_no_module_can_have_is_refused(name):
    x = fc.Input((3,))
    with pytest.raises(ValueError, match=r"in PyTorch no module can be called .*; give it another name"):
        fc.Model(x, fc.Dense(3)(x, name=name) + x).to_torch()


def test_a_name_within_a_layer_is_no_name_of_its_weights():
    x = fc.Input((3,))
    with pytest.raises(ValueError, match=r"layer a\.weight: in PyTorch no module can be called 'weight'"):
        fc.Model(x, fc.Dense(3)(fc.Dense(3)(x, name="a"), name="a.weight")).to_torch()


def test_probabilities_come_after_a_graph():
    model = fc.Sequential([fc.Residual([fc.Dense(4)]), fc.Dense(3)], (4,))
    found = model.to_torch(softmax=True)(torch.ones(2, 4)).detach()
    torch.testing.assert_close(found, torch.softmax(model.to_torch()(torch.ones(2, 4)), 1).detach())


def test_the_program_of_a_graph_can_be_pickled():
    layers = [fc.Residual([fc.Conv2d(1, 3, padding=((0, 2), (2, 0)))])]
    module = fc.Sequential(layers, (1, 6, 6)).to_torch()
    again = pickle.loads(pickle.dumps(module))
    X = torch.ones(2, 1, 6, 6)
    assert torch.equal(module(X), again(X))
