"""Modules that torch.fx traces, as networks: names, outputs, gradients, and what has no counterpart."""

import copy

import numpy as np
import pytest

import fastconv as fc

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

from tests.formats.torch import nets  # noqa: E402 - without PyTorch it can't be
from tests.formats.torch.nets import NETS, ResNet, TwoInputs, unsettled  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


def samples(shape, count=4):
    return np.random.default_rng(3).standard_normal((count, *shape))


def outputs(module, *X):
    with torch.no_grad():
        return module.eval()(*map(torch.tensor, X))


def read(forward, shape=(2, 6, 6), **parts):
    """(module, network) of a forward written as a function of the module and x."""

    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            for name, part in parts.items():
                setattr(self, name, part)

        def forward(self, x):
            return forward(self, x)

    module = Own().double()
    return module, fc.from_torch(module, shape, dtype="float64")


def written(model):
    """The layers of a network as one would write them."""
    return [call.layer.call() for call in model.outline.calls]


# Whole networks


@pytest.mark.parametrize("name", NETS)
def test_networks_have_pytorchs_outputs_gradients_and_names(name):
    make, shape = NETS[name]
    torch.manual_seed(1)
    module = unsettled(make()).double()
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    model = fc.from_torch(module, shape)
    X = samples(shape)
    wanted = outputs(module, X).numpy()
    np.testing.assert_allclose(model.predict(X), wanted, rtol=0, atol=1e-12 * np.abs(wanted).max())
    assert set(model.parameters()) == {name for name, _ in module.named_parameters()}
    y = samples(wanted.shape[1:])
    _, gradients = model.loss_and_gradients(X, y, fc.losses.MSE())
    ((module.train()(torch.tensor(X)) - torch.tensor(y)) ** 2).mean().backward()
    for name, parameter in module.named_parameters():
        wanted = parameter.grad.numpy()
        assert np.abs(gradients[name] - wanted).max() <= 1e-9 * max(np.abs(wanted).max(), 1e-2), name


@pytest.mark.parametrize("name", NETS)
def test_networks_become_modules_with_the_same_state_dict(name):
    make, shape = NETS[name]
    module = unsettled(make())
    model = fc.from_torch(module, shape)
    back = model.to_torch()
    assert set(back.state_dict()) == set(module.state_dict())
    again = fc.from_torch(back, shape)
    X = samples(shape).astype(np.float32)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert set(again.state()) == set(model.state())
    other = unsettled(make())
    back.load_state_dict(other.state_dict())
    torch.testing.assert_close(outputs(back, X), outputs(other, X))


def test_a_network_takes_another_state_dict_of_its_module(tmp_path):
    module, other = unsettled(ResNet()), unsettled(ResNet())
    model = fc.from_torch(module, (3, 32, 32))
    state = {name: tensor.numpy() for name, tensor in other.state_dict().items() if "num_batches" not in name}
    model.load_state(state)
    X = samples((3, 32, 32)).astype(np.float32)
    np.testing.assert_allclose(model.predict(X), outputs(other, X).numpy(), atol=1e-5)
    np.savez(tmp_path / "weights.npz", **{name: t.numpy() for name, t in module.state_dict().items()})
    model.load_weights(tmp_path / "weights.npz")
    np.testing.assert_allclose(model.predict(X), outputs(module, X).numpy(), atol=1e-5)


PARAMETERS = {"ds_cnn": 23_756, "resnet8": 78_186, "mobilenet_v1": 216_322, "autoencoder": 267_928}


@pytest.mark.parametrize("name", PARAMETERS)
def test_networks_of_mlperf_tiny_are_those_of_the_benchmark(name):
    make, shape = NETS[name]
    assert fc.from_torch(make(), shape).num_parameters == PARAMETERS[name]


def test_modules_that_are_called_again_share_their_weights():
    model = fc.from_torch(nets.Shared(), (1, 5, 5))
    assert [node.name for node in model.nodes].count("block.0") == 3
    assert sum(name.startswith("block") for name in model.parameters()) == 2


@pytest.mark.parametrize("name", ["shared norm", "resnet", "resnet1d"])
def test_a_step_of_training_changes_parameters_and_statistics_as_in_pytorch(name):
    make, shape = NETS[name]
    module = unsettled(make()).double()
    model = fc.from_torch(module, shape)
    X, y = samples(shape), samples((3,))
    fc.Trainer(model, loss="mse", optimizer=fc.SGD(0.1)).fit(X, y, epochs=1, batch_size=4, shuffle=False)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    ((module.train()(torch.tensor(X)) - torch.tensor(y)) ** 2).mean().backward()
    optimizer.step()
    wanted = module.state_dict()
    for name, array in model.state().items():
        np.testing.assert_allclose(array, wanted[name].numpy(), rtol=0, atol=1e-10, err_msg=name)


def test_a_network_from_pytorch_is_saved_and_copied(tmp_path):
    model = fc.from_torch(ResNet(), (3, 32, 32))
    model.save(tmp_path / "model.npz")
    X = samples((3, 32, 32))
    np.testing.assert_array_equal(fc.load(tmp_path / "model.npz").predict(X), model.predict(X))
    np.testing.assert_array_equal(copy.deepcopy(model).predict(X), model.predict(X))


def test_names_of_layers_are_those_of_the_modules_and_calls():
    model = fc.from_torch(ResNet((2,) * 2), (3, 32, 32))
    names = [call.name for call in model.outline.calls]
    assert names[:5] == ["conv1", "bn1", "relu", "maxpool", "layer1.0.conv1"]
    assert {"layer1.0.add", "layer1.0.relu_1", "layer2.0.downsample.0", "flatten", "fc"} <= set(names)
    assert len(set(names)) == len(names)


# Calls


class Squash(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(x)


def conv(a=2, b=2, **settings):
    return nn.Conv2d(a, b, 3, padding=1, **settings)


# Name -> (forward, parts of the module, the layers that it comes to)
CALLS = {
    "functions": (
        lambda m, x: F.leaky_relu(torch.tanh(F.relu6(F.hardswish(x))), 0.2),
        {},
        ["Hardswish()", "ReLU6()", "Tanh()", "LeakyReLU(0.2)"],
    ),
    "more functions": (
        lambda m, x: F.softplus(F.hardsigmoid(F.gelu(F.elu(F.silu(x), 0.5), approximate="tanh"))),
        {},
        ["SiLU()", "ELU(0.5)", "GELU('tanh')", "Hardsigmoid()", "Softplus()"],
    ),
    "methods": (lambda m, x: x.relu().sigmoid().tanh(), {}, ["ReLU()", "Sigmoid()", "Tanh()"]),
    "clamps": (
        lambda m, x: torch.clamp(x.clamp(min=0), 0, 6).clamp_min(0),
        {},
        ["ReLU()", "ReLU6()", "ReLU()"],
    ),
    "silu by hand": (lambda m, x: m.act(x * x.sigmoid()), {"act": Squash()}, ["SiLU()", "SiLU()"]),
    "hardswish by hand": (lambda m, x: F.hardsigmoid(x) * x, {}, ["Hardswish()"]),
    "additions": (
        lambda m, x: torch.add(x.relu(), x) + sum([x.tanh(), x.relu()]),
        {},
        ["ReLU()", "Add()", "Tanh()", "ReLU()", "Add()", "Add()"],
    ),
    "concatenations": (
        lambda m, x: torch.cat([torch.concat((x, x.relu()), 1), x], dim=-3),
        {},
        ["ReLU()", "Concatenate()", "Concatenate()"],
    ),
    "means": (
        lambda m, x: torch.cat([x.mean((2, 3)), torch.mean(x, dim=[-1, -2], keepdim=True).flatten(1)], 1),
        {},
        ["GlobalAvgPool2d()", "GlobalAvgPool2d()", "Flatten()", "Flatten()", "Concatenate()"],
    ),
    "a mean after a mean": (
        lambda m, x: x.mean(3).mean(2),
        {},
        ["AvgPool2d((1, 6))", "GlobalAvgPool2d()", "Flatten()"],
    ),
    "adaptive pools": (
        lambda m, x: F.adaptive_avg_pool2d(F.adaptive_avg_pool2d(x, (6, None)), 1)[:, :, 0, 0],
        {},
        ["GlobalAvgPool2d()", "Flatten()"],
    ),
    "sizes": (
        lambda m, x: m.fc(F.avg_pool2d(x, x.size()[2:]).view(x.shape[0], -1)),
        {"fc": nn.Linear(2, 3)},
        ["AvgPool2d(6)", "Flatten()", "Dense(3)"],
    ),
    "shapes there and back": (
        lambda m, x: m.conv(x.flatten(2).unsqueeze(-1).view(-1, 2, 6, 6).contiguous()),
        {"conv": conv()},
        ["Conv2d(2, kernel_size=3, padding=1)"],
    ),
    "squeezed": (
        lambda m, x: m.fc(m.pool(x).squeeze().relu()),
        {"pool": nn.AdaptiveAvgPool2d(1), "fc": nn.Linear(2, 3)},
        ["GlobalAvgPool2d()", "Flatten()", "ReLU()", "Dense(3)"],
    ),
    "axes of one element": (
        lambda m, x: m.pool(x).permute(0, 2, 3, 1).reshape(x.size(0), -1),
        {"pool": nn.AdaptiveAvgPool2d(1)},
        ["GlobalAvgPool2d()", "Flatten()"],
    ),
    "every second": (lambda m, x: x[:, :, ::2, ::3].relu(), {}, ["MaxPool2d(1, stride=(2, 3))", "ReLU()"]),
    "cut off at the ends": (
        lambda m, x: m.conv(x)[..., 1:, :-2].relu(),
        {"conv": nn.Conv2d(2, 3, 3, padding=(1, 2))},
        ["Conv2d(3, kernel_size=3, padding=((0, 1), (2, 0)))", "ReLU()"],
    ),
    "padding": (
        lambda m, x: m.conv(F.pad(x, (1, 2, 0, 1))),
        {"conv": nn.Conv2d(2, 2, 3, stride=2, padding=1)},
        ["Conv2d(2, kernel_size=3, stride=2, padding=((1, 2), (2, 3)))"],
    ),
    "padding twice": (
        lambda m, x: m.conv(F.pad(m.pad(x), (0, 1))),
        {"pad": nn.ZeroPad2d((1, 0, 2, 0)), "conv": nn.Conv2d(2, 2, 3)},
        ["Conv2d(2, kernel_size=3, padding=((2, 0), (1, 1)))"],
    ),
    "padding before a maximum": (
        lambda m, x: F.max_pool2d(m.lowest(F.max_pool2d(F.pad(x.relu(), (0, 1, 1, 0)), 3, 2)), 2),
        {"lowest": nn.ConstantPad2d((0, 1, 0, 0), -torch.inf)},
        [
            "ReLU()",
            "MaxPool2d(3, stride=2, padding=((1, 0), (0, 1)))",
            "MaxPool2d(2, padding=((0, 0), (0, 1)))",
        ],
    ),
    "padding that no layer takes": (
        lambda m, x: F.max_pool2d(torch.cat([F.pad(x, (0, 1)), F.pad(x, (1, 0))], 1), 2).flatten(1),
        {},
        [
            "Conv2d(2, kernel_size=1, padding=((0, 0), (0, 1)), groups=2, bias=False)",
            "Conv2d(2, kernel_size=1, padding=((0, 0), (1, 0)), groups=2, bias=False)",
            "Concatenate()", "MaxPool2d(2)", "Flatten()",
        ],
    ),
    "zeros before a maximum of anything": (
        lambda m, x: F.max_pool2d(F.pad(x, (1, 1)), 2),
        {},
        ["Conv2d(2, kernel_size=1, padding=(0, 1), groups=2, bias=False)", "MaxPool2d(2)"],
    ),
    "much padding before a mean": (
        lambda m, x: F.avg_pool2d(F.pad(x, (4, 4, 0, 0)), 3, 2),
        {},
        ["Conv2d(2, kernel_size=1, padding=(0, 4), groups=2, bias=False)", "AvgPool2d(3, stride=2)"],
    ),
    "padding before a mean": (
        lambda m, x: F.avg_pool2d(F.pad(x, (0, 1, 1, 0)), 3, 1),
        {},
        ["AvgPool2d(3, stride=1, padding=((1, 0), (0, 1)))"],
    ),
    "dropout": (
        lambda m, x: F.dropout(m.drop(x), 0.25, training=m.training).relu(),
        {"drop": nn.Dropout(0.3)},
        ["Dropout(0.3)", "Dropout(0.25)", "ReLU()"],
    ),
    "what does nothing": (
        lambda m, x: m.identity(x).contiguous().clone().detach().double().to(x.dtype).relu(),
        {"identity": nn.Identity()},
        ["ReLU()"],
    ),
    "checkpoints": (
        lambda m, x: torch.utils.checkpoint.checkpoint(m.conv, x, use_reentrant=False).relu(),
        {"conv": conv()},
        ["Conv2d(2, kernel_size=3, padding=1)", "ReLU()"],
    ),
    "in place on what is read again": (
        lambda m, x: (lambda y: m.act(y) + y)(m.conv(x)),  # both are the ReLU
        {"conv": conv(), "act": nn.ReLU(inplace=True)},
        ["Conv2d(2, kernel_size=3, padding=1)", "ReLU()", "Add()"],
    ),
    "in place through a view": (
        lambda m, x: (lambda y: (torch.relu_(y), y.flatten(1))[1])(m.conv(x)),
        {"conv": conv()},
        ["Conv2d(2, kernel_size=3, padding=1)", "ReLU()", "Flatten()"],
    ),
    "a scale and a shift": (
        lambda m, x: (((x - m.mean) / m.std).mul_(2) + 0.5).relu(),
        {"mean": nn.Parameter(torch.rand(2, 1, 1)), "std": nn.Parameter(torch.rand(1, 2, 1, 1) + 0.1)},
        ["Conv2d(2, kernel_size=1, groups=2)", "ReLU()"],
    ),
    "a scale that is read twice": (
        lambda m, x: (lambda y: torch.cat([y * 3, 1 - y], 1))(x / 255),
        {},
        [*["Conv2d(2, kernel_size=1, groups=2)"] * 2, "Concatenate()"],
    ),
    "what changes nothing": (lambda m, x: ((x + 0) * 1 / 1 - 0.0).relu(), {}, ["ReLU()"]),
    "negative": (lambda m, x: -x, {}, ["Conv2d(2, kernel_size=1, groups=2)"]),
    "transposed and cut": (
        lambda m, x: F.pad(F.conv_transpose2d(x, m.weight, stride=2)[:, :, 1:], (0, -1)),
        {"weight": nn.Parameter(torch.ones(2, 3, 3, 3))},
        ["ConvTranspose2d(3, kernel_size=3, stride=2, padding=((1, 0), (0, 1)), bias=False)"],
    ),
    "upsampling": (
        lambda m, x: m.larger(F.interpolate(F.interpolate(x, None, 2, mode="bilinear"), size=(24, 36))),
        {"larger": nn.Upsample(size=(48, 36), mode="bilinear", align_corners=True)},
        [
            "Upsample(2, mode='bilinear')",
            "Upsample((2, 3))",
            "Upsample((2, 1), mode='bilinear', align_corners=True)",
        ],
    ),
    "upsampling to the size of another": (
        lambda m, x: F.interpolate(F.max_pool2d(x, 3), x.shape[2:]) + x,
        {},
        ["MaxPool2d(3)", "Upsample(3)", "Add()"],
    ),
    "largest": (
        lambda m, x: torch.cat(
            [x.amax((2, 3)), F.adaptive_max_pool2d(x, 1).flatten(1), x.amax(3).amax(2)], 1
        ),
        {},
        [
            *["GlobalMaxPool2d()"] * 2, "MaxPool2d((1, 6))", "GlobalMaxPool2d()", *["Flatten()"] * 3,
            "Concatenate()",
        ],
    ),
    "adaptive means": (
        lambda m, x: F.adaptive_avg_pool2d(F.adaptive_avg_pool2d(x, (None, 4)), 3),
        {},
        ["AdaptiveAvgPool2d((6, 4))", "AdaptiveAvgPool2d(3)"],
    ),
    "norms": (
        lambda m, x: F.layer_norm(F.instance_norm(x), x.shape[1:], m.w, m.b),
        {"w": nn.Parameter(torch.rand(2, 6, 6)), "b": nn.Parameter(torch.rand(2, 6, 6))},
        ["InstanceNorm2d()", "LayerNorm()"],
    ),
    "prelu and dropout": (
        lambda m, x: F.dropout2d(F.prelu(x, m.slope), 0.2, m.training),
        {"slope": nn.Parameter(torch.tensor([0.1, 0.2]))},
        ["PReLU(True)", "SpatialDropout2d(0.2)"],
    ),
    "a softmax": (lambda m, x: F.softmax(x.flatten(1), dim=-1), {}, ["Flatten()", "Softmax()"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_calls_become_layers(name):
    forward, parts, layers = CALLS[name]
    module, model = read(forward, **parts)
    assert written(model) == layers
    X = samples((2, 6, 6))
    np.testing.assert_allclose(model.predict(X), outputs(module, X).numpy(), rtol=0, atol=1e-12)


def test_in_place_changes_reach_what_shares_the_memory():
    _, model = read(lambda m, x: (lambda y: m.act(y) + y)(m.conv(x)), conv=conv(), act=nn.ReLU(inplace=True))
    add = model.nodes[-1]
    assert add.inputs[0] == add.inputs[1]


SIGNALS = {
    "functions": (
        lambda m, x: F.avg_pool1d(F.max_pool1d(x, 3, 2, 1), 2),
        {},
        ["MaxPool1d(3, stride=2, padding=1)", "AvgPool1d(2)"],
    ),
    "causal": (
        lambda m, x: m.conv(F.pad(x, (4, 0))),
        {"conv": nn.Conv1d(2, 3, 3, dilation=2)},
        ["Conv1d(3, kernel_size=3, padding=(4, 0), dilation=2)"],
    ),
    "constant padding": (
        lambda m, x: m.conv(m.pad(x)),
        {"pad": nn.ConstantPad1d((1, 2), 0.0), "conv": nn.Conv1d(2, 3, 3)},
        ["Conv1d(3, kernel_size=3, padding=(1, 2))"],
    ),
    "largest": (
        lambda m, x: torch.cat([x.max(2)[0], torch.max(x, -1, keepdim=True).values.squeeze(2)], 1),
        {},
        ["GlobalMaxPool1d()", "GlobalMaxPool1d()", "Flatten()", "Flatten()", "Concatenate()"],
    ),
    "mean": (lambda m, x: x.mean(-1), {}, ["GlobalAvgPool1d()", "Flatten()"]),
    "adaptive": (lambda m, x: F.adaptive_avg_pool1d(x, 1).squeeze(2), {}, ["GlobalAvgPool1d()", "Flatten()"]),
    "every third": (lambda m, x: x[:, :, ::3].relu(), {}, ["MaxPool1d(1, stride=3)", "ReLU()"]),
    "along lines of one": (lambda m, x: x.unsqueeze(2).relu().squeeze(2), {}, ["ReLU()"]),
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNALS)
def test_calls_on_signals_become_layers(name):
    forward, parts, layers = SIGNALS[name]
    module, model = read(forward, (2, 11), **parts)
    assert written(model) == layers
    X = samples((2, 11))
    np.testing.assert_allclose(model.predict(X), outputs(module, X).numpy(), rtol=0, atol=1e-12)


# Weights that a forward names itself


class Functional(nn.Module):
    """All parameters used by functions, as in code for meta-learning."""

    def __init__(self):
        super().__init__()
        self.body = nn.Module()
        self.body.weight, self.body.bias = nn.Parameter(torch.randn(3, 2, 3, 3)), nn.Parameter(torch.randn(3))
        self.norm = nn.BatchNorm2d(3)
        self.matrix = nn.Parameter(torch.randn(48, 2))

    def forward(self, x):
        x = F.conv2d(x, self.body.weight, self.body.bias, stride=(1, 1))
        n = self.norm
        x = F.batch_norm(x, n.running_mean, n.running_var, n.weight, n.bias, self.training, n.momentum, n.eps)
        x = F.group_norm(x, 3, torch.ones(3).double(), torch.zeros(3).double())
        return x.flatten(1) @ self.matrix


def test_functions_have_the_names_of_the_parameters_that_they_are_given():
    module = unsettled(Functional()).double()
    model = fc.from_torch(module, (2, 6, 6))
    assert {"body.weight", "body.bias", "norm.weight", "norm.running_var"} <= set(model.state())
    X = samples((2, 6, 6))
    np.testing.assert_allclose(model.predict(X), outputs(module, X).numpy(), rtol=0, atol=1e-9)


def test_a_subclass_with_a_forward_of_its_own_keeps_its_name():
    class Padded(nn.Conv2d):
        def forward(self, x):
            return self._conv_forward(F.pad(x, (1, 0, 0, 1)), self.weight, self.bias)

    _, model = read(lambda m, x: m.conv(x), conv=Padded(2, 3, 2))
    assert written(model) == ["Conv2d(3, kernel_size=2, padding=((0, 1), (1, 0)))"]
    assert list(model.parameters()) == ["conv.weight", "conv.bias"]


def test_weights_that_are_tied_under_two_names_become_copies():
    a, b = nn.Linear(4, 4), nn.Linear(4, 4)
    b.weight = a.weight
    _, model = read(lambda m, x: m.b(m.a(x)), (4,), a=a, b=b)
    assert list(model.parameters()) == ["a.weight", "a.bias", "b.weight", "b.bias"]


def test_parametrizations_become_the_weights_that_they_make():
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(2, 3, 3))
    module, model = read(lambda m, x: m.conv(x).relu(), conv=conv)
    X = samples((2, 6, 6))
    np.testing.assert_allclose(model.predict(X), outputs(module, X).numpy(), rtol=0, atol=1e-12)
    assert list(model.parameters()) == ["conv.weight", "conv.bias"]


# Inputs and outputs


@pytest.mark.parametrize("named", [False, True])
def test_several_outputs_keep_their_order_and_names(named):
    module = nets.ActorCritic(named).double()
    model = fc.from_torch(module, (2, 6, 6))
    assert model.output_names == (("policy", "value") if named else ("output_0", "output_1"))
    assert model.output_shapes == ((5,), (1,))
    X = samples((2, 6, 6))
    wanted, found = outputs(module, X), model.predict(X)
    for name, output in zip(model.output_names, found.values() if named else found, strict=True):
        theirs = wanted[name] if named else wanted[int(name[-1])]
        np.testing.assert_allclose(output.reshape(theirs.shape), theirs.numpy(), rtol=0, atol=1e-12)
    assert set(model.to_torch().state_dict()) == set(module.state_dict())


def test_several_inputs_are_given_a_list_of_shapes():
    module = TwoInputs().double()
    model = fc.from_torch(module, [(1, 6, 6), (3,)])
    assert model.input_names == ("image", "facts")
    X = [samples((1, 6, 6)), samples((3,))]
    np.testing.assert_allclose(model.predict(X), outputs(module, *X).numpy(), rtol=0, atol=1e-12)


def test_arguments_with_a_default_keep_it():
    class Optional(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(2, 2)

        def forward(self, x, mask=None, scale=2, *, verbose=False):
            if mask is not None:
                x = x * mask
            return self.fc(x) if scale == 2 and not verbose else x

    assert list(fc.from_torch(Optional(), (2,)).parameters()) == ["fc.weight", "fc.bias"]


def test_what_nothing_needs_is_left_out():
    _, model = read(lambda m, x: (m.unused(x), m.fc(x))[1], (4,), unused=nn.Linear(4, 2), fc=nn.Linear(4, 3))
    assert list(model.parameters()) == ["fc.weight", "fc.bias"]


def test_a_log_softmax_at_the_end_is_left_out_and_said():
    with pytest.warns(UserWarning, match="`module` ends in a LogSoftmax, its network here in the logits"):
        _, model = read(lambda m, x: F.log_softmax(m.fc(x), dim=1), (4,), fc=nn.Linear(4, 3))
    assert (written(model), model.metadata) == (["Dense(3)"], {"loss": "cross_entropy"})


@pytest.mark.parametrize("kind", [torch.half, torch.bfloat16, torch.float32, torch.float64])
def test_modules_of_any_precision_are_read(kind):
    module = ResNet().to(kind)
    module.train()
    model = fc.from_torch(module, (3, 32, 32))
    assert model.dtype == ("float64" if kind == torch.float64 else "float32")
    assert all(part.training for part in module.modules())


# What has no counterpart


def data_dependent(m, x):
    return x.relu() if x.sum() > 0 else x


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, x):
        return self.attn(x, x, x)[0]


class Less(nn.Module):
    def forward(self, x):
        return x - 1


MISSING = {
    "attention": (
        lambda m, x: m.block(x), {"block": Attention()}, (5, 6),
        r"`block\.attn` \(MultiheadAttention\) has no counterpart in fastconv: there is no attention",
    ),
    "recurrence": (
        lambda m, x: m.lstm(x)[0], {"lstm": nn.LSTM(6, 3, batch_first=True)}, (5, 6),
        r"`lstm` \(LSTM\) has no counterpart in fastconv: there is no recurrence; Conv1d",
    ),
    "an embedding": (
        lambda m, x: m.words(x), {"words": nn.Embedding(3, 2)}, (4,),
        r"`words` \(Embedding\) has no counterpart in fastconv: give the network the vectors themselves",
    ),
    "something else": (
        lambda m, x: x + torch.randn_like(x), {}, (4,),
        r"`randn_like` \(torch\.randn_like\) has no counterpart in fastconv: there are convolutions, pools",
    ),
    "three dimensions": (
        lambda m, x: m.conv(x), {"conv": nn.Conv3d(1, 1, 1)}, (1, 3, 3), "`conv` .Conv3d. has no counterpart",
    ),
    "nested outputs": (
        lambda m, x: (x.relu(), [x.tanh()]), {}, (3,), r"must give a tensor .*, got \(a tensor, .*list\)",
    ),
    "a size": (lambda m, x: x.size(1), {}, (3,), r"`module` must give a tensor .*, got \(int\)"),
    "nothing": (lambda m, x: None, {}, (3,), r"`module` must give a tensor .*, got \(NoneType\)"),
    "a constant": (lambda m, x: (x.relu(), m.one), {"one": torch.ones(3)}, (3,), r"\(a tensor, a constant\)"),
    "the largest and its places": (lambda m, x: x.max(2), {}, (3, 4), r"got \(what x\.max\(2\) gives\)"),
    "random numbers": (lambda m, x: x.relu() + torch.rand(1), {}, (3, 4), "gives other outputs"),
    "an output without a name": (lambda m, x: {"": x.relu()}, {}, (3,), "names of .* must be texts, got ''"),
    "a product": (
        lambda m, x: x * x.relu(), {}, (3, 4, 4),
        r"`mul` \(operator\.mul\) has no counterpart in fastconv: values of images and signals are scaled",
    ),
    "a difference in a part": (
        lambda m, x: m.part(x), {"part": Less()}, (3,),
        r"`sub` \(operator\.sub, in 'part' Less\) has no counterpart in fastconv",
    ),
    "a constant of positions": (
        lambda m, x: x + torch.ones(4), {}, (3, 4, 4), "a constant is a number or has one for each channel",
    ),
    "where the largest is": (lambda m, x: x.max(2)[1], {}, (3, 4), "only the values are read"),
    "the largest of all": (lambda m, x: x.max(), {}, (3, 4), "`max_1` .*taken over positions"),
    "a division by zero": (lambda m, x: x / 0, {}, (3, 4), "`truediv` .*: division by zero"),
    "a method": (lambda m, x: x.exp(), {}, (3,), r"`exp` \(Tensor\.exp\) has no counterpart .*Elementwise"),
    "a half": (lambda m, x: x.chunk(2, 1)[0], {}, (4, 3, 3), r"`chunk` \(Tensor\.chunk\) has no counterpart"),
    "a cut of what is not padded": (
        lambda m, x: m.conv(x)[:, :, 1:], {"conv": nn.Conv2d(4, 1, 2)}, (4, 3, 3),
        r"`getitem` .*: of what a convolution makes only as much can be cut off as its padding adds",
    ),
    "whole and cut": (
        lambda m, x: (m.conv(x)[:, :, 1:], m.conv(x)), {"conv": nn.Conv2d(4, 1, 2, padding=1)}, (4, 3, 3),
        "`module` reads what 'conv' makes in two ways",
    ),
    "a cut": (lambda m, x: x[:, :2], {}, (4, 3, 3), r"`getitem` \(operator\.getitem\) has no counterpart"),
    "other order": (
        lambda m, x: x.permute(0, 2, 3, 1), {}, (4, 3, 3),
        r"`permute` \(Tensor\.permute\) has no counterpart in fastconv: the order of axes and channels stays",
    ),
    "mean over samples": (lambda m, x: x.mean(0, True), {}, (4, 3, 3), "means are taken over positions"),
    "images of features": (
        lambda m, x: m.conv(x.view(-1, 1, 2, 2)), {"conv": nn.Conv2d(1, 1, 2)}, (4,),
        r"`module` has at `conv` \(Conv2d\): samples of shape \(4,\) would become \(1, 2, 2\); a change of",
    ),
    "samples": (lambda m, x: x.view(-1, 2).relu(), {}, (4,), "no longer samples one after the other"),
    "reflection": (
        lambda m, x: m.conv(F.pad(x, (1, 1, 1, 1), mode="reflect")), {"conv": nn.Conv2d(4, 1, 2)}, (4, 3, 3),
        r"`module` has at `pad` \(torch\.nn\.functional\.pad\): `mode` must be \"constant\", got 'reflect'",
    ),
    "padding of ones": (
        lambda m, x: m.conv(F.pad(x, (1, 1), value=1.0)), {"conv": nn.Conv2d(4, 1, 2)}, (4, 3, 3),
        r"`conv` \(Conv2d\): F\.pad before a Conv2d must be with 0, got 1",
    ),
    "ones before a maximum": (
        lambda m, x: F.max_pool2d(F.pad(x, (1, 1), value=1.0), 2), {}, (4, 3, 3),
        r"F\.pad before a MaxPool2d must be with -inf, got 1",
    ),
    "padding of channels": (
        lambda m, x: F.pad(x, (0, 0, 0, 0, 1, 1)), {}, (4, 3, 3), "a Conv of size 1 makes more",
    ),
    "ones alone": (
        lambda m, x: F.pad(x, (1, 1), value=1.0), {}, (4, 3, 3),
        "at its outputs: padding before it must be with 0, got 1",
    ),
    "half of an upsample": (
        lambda m, x: F.interpolate(x, size=(4, 4)), {}, (4, 3, 3), "images become larger by whole factors",
    ),
    "an input": (lambda m, x: x, {}, (4,), "`module` gives an input as it is"),
    "a setting": (
        lambda m, x: m.part(x.relu()), {"part": nn.Sequential(nn.BatchNorm2d(4, affine=False))}, (4, 3, 3),
        r"`part\.0` \(BatchNorm2d\): `affine` must be True, got False",
    ),
    "a dropout that always drops": (
        lambda m, x: F.dropout(x, 0.5), {}, (4,),
        "`training` must be False in evaluation mode: give it self.training",
    ),
    "weights from values": (
        lambda m, x: F.linear(x, x), {}, (3,), "its weight must not depend on the input",
    ),
    "a log_softmax inside": (
        lambda m, x: F.log_softmax(x, 1).relu(), {}, (3,),
        "a log_softmax before it is supported at the end only",
    ),
    "an if": (
        data_dependent, {}, (3,),
        r"can't be traced by torch\.fx \(test_graphs\.py, line \d+\): TraceError: .*must not depend",
    ),
    "a failure": (
        lambda m, x: m.fc(x).relu(), {"fc": nn.Linear(5, 2)}, (3,),
        r"`module` itself fails on an input of shape \(3, 3\), at `fc` \(Linear\): RuntimeError",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISSING)
def test_what_has_no_counterpart_is_one_line_that_names_it(name):
    forward, parts, shape, message = MISSING[name]
    with pytest.raises(ValueError, match=message) as caught:
        read(forward, shape, **parts)
    assert "\n" not in str(caught.value).strip() or name == "a failure"


def test_a_module_without_a_forward_is_refused():
    with pytest.raises(ValueError, match="`module` must have a `forward` that takes its inputs by name"):
        fc.from_torch(nn.Module(), (3,))


@pytest.mark.parametrize("shapes", [(1, 6, 6), [(1, 6, 6)], [(1, 6, 6), (3,), (3,)]])
def test_there_are_as_many_shapes_as_arguments(shapes):
    with pytest.raises(
        ValueError, match=r"`input_shape` must be a list of 2 shapes, .* \(image, facts\), got"
    ):
        fc.from_torch(TwoInputs(), shapes)


def test_an_input_that_is_not_used_is_refused():
    class One(nn.Module):
        def forward(self, x, y):
            return x.relu()

    with pytest.raises(ValueError, match="`module` does not use its input 'y'"):
        fc.from_torch(One(), [(2,), (3,)])


def test_hooks_anywhere_are_refused():
    module = ResNet()
    module.layer1[0].conv1.register_forward_hook(lambda part, x, y: -y)
    with pytest.raises(ValueError, match=r"`module` has at 'layer1\.0\.conv1' Conv2d: it has a forward hook"):
        fc.from_torch(module, (3, 32, 32))


def test_reading_leaves_the_module_and_the_random_numbers_as_they_were():
    module = ResNet().train()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    fc.from_torch(module, (3, 32, 32))
    assert torch.equal(torch.rand(3), wanted)
    assert all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())
