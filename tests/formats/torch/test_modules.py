import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.formats.torch.modules import MODULES
from tests.nn.layer_kinds import LAYERS

torch = pytest.importorskip("torch")
nn = torch.nn
prune = pytest.importorskip("torch.nn.utils.prune")

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

# Name -> (PyTorch's module, shape of a sample): every layer and every setting.
SINGLE = {
    "conv": (nn.Conv2d(2, 4, 3), (2, 6, 7)),
    "conv pairs": (nn.Conv2d(2, 4, (3, 2), stride=(1, 2), padding=(2, 0)), (2, 6, 7)),
    "conv dilation": (nn.Conv2d(2, 3, 2, dilation=(2, 3), bias=False), (2, 6, 7)),
    "conv groups": (nn.Conv2d(4, 6, 3, groups=2, padding=1), (4, 5, 5)),
    "conv depthwise": (nn.Conv2d(3, 3, 3, groups=3), (3, 5, 5)),
    "conv same": (nn.Conv2d(2, 3, 3, padding="same"), (2, 5, 6)),
    "conv same even": (nn.Conv2d(2, 3, (4, 2), padding="same", dilation=(1, 3)), (2, 6, 7)),
    "conv valid": (nn.Conv2d(2, 3, 3, padding="valid"), (2, 5, 6)),
    "max pool": (nn.MaxPool2d(2), (2, 6, 7)),
    "max pool all": (nn.MaxPool2d((3, 2), (2, 3), (1, 1), (2, 1), ceil_mode=True), (2, 9, 8)),
    "avg pool": (nn.AvgPool2d(2), (2, 6, 7)),
    "avg pool ceil": (nn.AvgPool2d(3, 2, 1, ceil_mode=True), (2, 6, 8)),
    "avg pool without padding": (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 6, 8)),
    "global avg pool": (nn.AdaptiveAvgPool2d(1), (3, 4, 5)),
    "global avg pool of a pair": (nn.AdaptiveAvgPool2d((1, 1)), (3, 4, 5)),
    "batch norm": (nn.BatchNorm2d(3, eps=1e-3, momentum=0.3), (3, 4, 5)),
    "group norm": (nn.GroupNorm(2, 4, eps=1e-3), (4, 4, 5)),
    "group norm of features": (nn.GroupNorm(3, 6), (6,)),
    "dropout": (nn.Dropout(0.3, inplace=True), (3, 4, 5)),
    "flatten": (nn.Flatten(), (3, 4, 5)),
    "flatten to the end": (nn.Flatten(1, 3), (3, 4, 5)),
    "linear": (nn.Linear(5, 3), (5,)),
    "linear without bias": (nn.Linear(5, 3, bias=False), (5,)),
    "relu": (nn.ReLU(inplace=True), (5,)),
    "leaky relu": (nn.LeakyReLU(0.3), (2, 3, 3)),
    "sigmoid": (nn.Sigmoid(), (5,)),
    "tanh": (nn.Tanh(), (2, 3, 3)),
    "softmax": (nn.Softmax(dim=1), (5,)),
    "softmax of the last": (nn.Softmax(dim=-1), (5,)),
    "conv of signals": (nn.Conv1d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2, bias=False), (2, 9)),
    "conv of signals same": (nn.Conv1d(2, 3, 4, padding="same"), (2, 9)),
    "max pool of signals": (nn.MaxPool1d(3, 2, 1, 2, ceil_mode=True), (2, 10)),
    "avg pool of signals": (nn.AvgPool1d(3, 2, 1, True, False), (2, 10)),
    "global avg pool of signals": (nn.AdaptiveAvgPool1d(1), (3, 7)),
    "batch norm of signals": (nn.BatchNorm1d(3, eps=1e-3, momentum=0.3), (3, 7)),
    "batch norm of features": (nn.BatchNorm1d(6), (6,)),
    "transposed": (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2, bias=False, dilation=2), (4, 5, 4)),
    "transposed pairs": (nn.ConvTranspose2d(2, 3, (2, 3), (2, 1), (0, 1), (1, 0)), (2, 4, 5)),
    "transposed of signals": (nn.ConvTranspose1d(4, 2, 4, 2, 1, 1, groups=2), (4, 7)),
    "upsample": (nn.Upsample(scale_factor=2), (2, 3, 4)),
    "upsample pairs": (nn.Upsample(scale_factor=(2, 3)), (2, 3, 4)),
    "upsample along lines": (nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 4)),
    "upsample to the corners": (nn.UpsamplingBilinear2d(scale_factor=3), (2, 3, 4)),
    "upsample of signals": (nn.Upsample(scale_factor=2, mode="linear"), (2, 5)),
    "global max pool": (nn.AdaptiveMaxPool2d(1), (3, 4, 5)),
    "global max pool of signals": (nn.AdaptiveMaxPool1d(1), (3, 5)),
    "adaptive": (nn.AdaptiveAvgPool2d((3, None)), (3, 4, 5)),
    "adaptive of signals": (nn.AdaptiveAvgPool1d(3), (3, 5)),
    "instance norm": (nn.InstanceNorm2d(3, eps=1e-3), (3, 4, 5)),
    "instance norm with a scale": (nn.InstanceNorm2d(3, affine=True), (3, 4, 5)),
    "instance norm of signals": (nn.InstanceNorm1d(3, affine=True), (3, 7)),
    "layer norm": (nn.LayerNorm((3, 4, 5), eps=1e-3), (3, 4, 5)),
    "layer norm of features": (nn.LayerNorm(6), (6,)),
    "dropout of channels": (nn.Dropout2d(0.3), (3, 4, 5)),
    "dropout of channels of signals": (nn.Dropout1d(0.3), (3, 5)),
    "prelu": (nn.PReLU(init=0.3), (3, 4, 5)),
    "prelu of channels": (nn.PReLU(3), (3, 4, 5)),
    "relu6": (nn.ReLU6(inplace=True), (5,)),
    "hardtanh that is relu6": (nn.Hardtanh(0, 6), (5,)),
    "elu": (nn.ELU(0.4), (5,)),
    "silu": (nn.SiLU(), (2, 3, 3)),
    "gelu": (nn.GELU(), (5,)),
    "gelu by tanh": (nn.GELU("tanh"), (5,)),
    "hardswish": (nn.Hardswish(), (5,)),
    "hardsigmoid": (nn.Hardsigmoid(), (5,)),
    "softplus": (nn.Softplus(), (5,)),
}


def outputs(module, X):
    with torch.no_grad():
        return module.eval()(torch.from_numpy(X.copy())).numpy()


def close(found, wanted, dtype="float32"):
    assert found.dtype == wanted.dtype == dtype
    scale = np.abs(wanted).max()
    np.testing.assert_allclose(found, wanted, rtol=0, atol=scale * (2e-6 if dtype == "float32" else 1e-13))


def samples(shape, dtype="float32", count=5):
    return np.random.default_rng(3).standard_normal((count, *shape)).astype(dtype)


def unsettled(module):
    """The module with running statistics that are not those of the beginning."""
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor in (part.running_mean, part.running_var, part.weight.data, part.bias.data):
                tensor.uniform_(0.5, 2)
    return module


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", SINGLE)
def test_a_layer_of_pytorch_gives_the_same_outputs_here_and_back_there(name, dtype):
    module, shape = SINGLE[name]
    module = unsettled(nn.Sequential(module)).to(getattr(torch, dtype))
    X = samples(shape, dtype)
    wanted = outputs(module, X)
    model = fc.from_torch(module, shape)
    assert model.dtype == (dtype if list(module.parameters()) else "float32")
    model = fc.from_torch(module, shape, dtype=dtype)
    close(model.predict(X), wanted, dtype)
    close(outputs(model.to_torch(), X), wanted, dtype)


def test_every_layer_is_tried_and_every_layer_has_a_module():
    kinds = {type(fc.from_torch(nn.Sequential(m), shape).layers[0]) for m, shape in SINGLE.values()}
    # Joints are no modules, but what a program does with values; the others are laid out as convolutions.
    joints = {fc.Add, fc.Concatenate, fc.Residual}
    thin = {fc.DepthwiseConv1d, fc.DepthwiseConv2d, fc.SeparableConv1d, fc.SeparableConv2d}
    assert kinds == set(LAYERS.values()) - joints - thin == set(MODULES)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["reference_cnn", "lenet5", "vgg_small"])
def test_whole_networks_agree_both_ways(name, dtype):
    model = getattr(fc.models, name)(dtype=dtype, seed=4)
    X = samples(model.input_shape, dtype)
    module = model.to_torch()
    close(model.predict(X), outputs(module, X), dtype)
    assert list(module.state_dict()) == list(model.parameters())
    for part in module.children():
        getattr(part, "reset_parameters", lambda: None)()
    again = fc.from_torch(module, model.input_shape)
    assert again.layers == model.layers
    close(again.predict(X), outputs(module, X), dtype)


def test_settings_that_predictions_do_not_show_are_kept_both_ways():
    layers = [fc.BatchNorm2d(momentum=0.3), fc.Dropout(0.2)]
    module = fc.Sequential(layers, (2, 3, 3)).to_torch()
    assert (module[0].momentum, module[1].p) == (0.3, 0.2)
    assert fc.from_torch(module, (2, 3, 3)).layers == tuple(layers)


def test_the_module_of_a_network_has_its_names_and_is_ready_to_predict_and_to_train():
    layers = [fc.Conv2d(2, 3), fc.BatchNorm2d(), fc.Flatten(), fc.Dense(1)]
    model = fc.Sequential(layers, (1, 4, 4))
    model.statistics()["1.running_var"][:] = [3, 4]
    module = model.to_torch()
    assert not module.training
    assert set(model.state()) | {"1.num_batches_tracked"} == set(module.state_dict())
    assert [name for name, p in module.named_parameters() if p.requires_grad] == list(model.parameters())
    module.train()
    module(torch.ones(2, 1, 4, 4)).sum().backward()
    assert module[0].weight.grad is not None
    assert int(module[1].num_batches_tracked) == 1


def test_the_numbers_are_copies():
    module = nn.Sequential(nn.Linear(2, 1))
    model = fc.from_torch(module, (2,))
    back = model.to_torch()
    with torch.no_grad():
        module[0].weight.fill_(9)
        back[0].weight.fill_(8)
    assert not np.isin(model.parameters()["0.weight"], [8, 9]).any()


def test_no_random_numbers_of_pytorch_are_used_up():
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    fc.models.lenet5().to_torch()
    assert torch.equal(torch.rand(3), wanted)


def test_sequentials_in_sequentials_are_laid_out_and_identities_left_out():
    module = nn.Sequential(
        nn.Identity(),
        nn.Sequential(nn.Conv2d(1, 3, 3), nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))),
        nn.Sequential(),
        nn.Flatten(),
        nn.Linear(12, 2),
    )
    model = fc.from_torch(module, (1, 6, 6))
    assert [type(layer).__name__ for layer in model.layers] == [
        "Conv2d", "ReLU", "MaxPool2d", "Flatten", "Dense"
    ]  # fmt: skip
    X = samples((1, 6, 6))
    close(model.predict(X), outputs(module, X))


def test_a_subclass_is_taken_if_it_computes_the_same_way():
    class Named(nn.Sequential):
        pass

    class Own(nn.Linear):
        def forward(self, x):
            return -super().forward(x)

    linear = nn.Linear(2, 2)
    assert fc.from_torch(Named(linear), (2,)).num_parameters == 6
    missing = r"^`neg` \(operator\.neg, in '0' Own\) has no counterpart in fastconv: values of images"
    with pytest.raises(ValueError, match=missing):
        fc.from_torch(nn.Sequential(Own(2, 2)), (2,))


def test_bfloat16_becomes_float32():
    module = nn.Sequential(nn.Linear(3, 2).to(torch.bfloat16))
    model = fc.from_torch(module, (3,))
    assert model.dtype == "float32"
    np.testing.assert_array_equal(model.parameters()["0.weight"], module[0].weight.detach().float())


UNSUPPORTED = {
    "padding_mode": (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "'0' Conv2d: `padding_mode`"),
    "one axis": (nn.Conv1d(1, 1, 3), r"'0' Conv1d: .*takes signals \(C, L\), got"),
    "hardtanh": (nn.Hardtanh(), "'0' Hardtanh: `min_val` must be 0, got -1.0"),
    "softplus": (nn.Softplus(beta=2), "'0' Softplus: `beta` must be 1, got 2"),
    "softplus that is cut": (nn.Softplus(threshold=5), "'0' Softplus: `threshold` must be 20, got 5"),
    "lazy": (nn.LazyConv2d(1, 3), "'0' LazyConv2d"),
    "indices": (nn.MaxPool2d(2, return_indices=True), "'0' MaxPool2d: `return_indices` must be False"),
    "divisor": (nn.AvgPool2d(2, divisor_override=3), "'0' AvgPool2d: `divisor_override` must be None, got 3"),
    "adaptive": (
        nn.AdaptiveMaxPool2d(2),
        r"'0' AdaptiveMaxPool2d: `output_size` must be 1 or \(1, 1\), got 2",
    ),
    "half of an upsample": (
        nn.Upsample(scale_factor=1.5),
        "'0' Upsample: `scale_factor` must be whole, got 1.5",
    ),
    "cubic": (nn.Upsample(scale_factor=2, mode="bicubic"), "'0' Upsample: `mode` must be 'nearest' or"),
    "layer norm of lines": (
        nn.LayerNorm(4),
        r"'0' LayerNorm: its weight has shape \(4,\), an input of shape",
    ),
    "layer norm without a scale": (
        nn.LayerNorm((1, 4, 4), elementwise_affine=False),
        "'0' LayerNorm: `elementwise_affine` must be True",
    ),
    "instance norm with statistics": (
        nn.InstanceNorm2d(1, track_running_stats=True),
        "'0' InstanceNorm2d: `track_running_stats` must be False",
    ),
    "affine": (nn.BatchNorm2d(1, affine=False), "'0' BatchNorm2d: `affine` must be True, got False"),
    "statistics": (
        nn.BatchNorm2d(1, track_running_stats=False),
        "'0' BatchNorm2d: `track_running_stats` must be True",
    ),
    "momentum": (nn.BatchNorm2d(1, momentum=None), "'0' BatchNorm2d: `momentum` must be a number"),
    "all dropped": (nn.Dropout(1.0), "'0' Dropout: `p` must be a number"),
    "flatten from": (nn.Flatten(2), "'0' Flatten: `start_dim` must be 1, got 2"),
    "flatten to": (nn.Flatten(1, 2), "'0' Flatten: `end_dim` must be -1 or 3, got 2"),
    "softmax of lines": (nn.Softmax(2), "'0' Softmax: `dim` must be 1 or -1 or None, got 2"),
    "slope": (nn.LeakyReLU(-0.1), "'0' LeakyReLU: `negative_slope`"),
    "channels": (nn.Conv2d(3, 1, 3), r"'0' Conv2d: its weight has shape \(1, 3, 3, 3\), an input of shape"),
    "linear of images": (nn.Linear(4, 1), r"'0' Linear: .*put a Flatten\(\) before it"),
    "too large": (nn.Conv2d(1, 1, 9), "'0' Conv2d: .*the kernel is larger"),
    "deep": (nn.Sequential(nn.ReLU(), nn.Sequential(nn.Softplus(2))), r"'0\.1\.0' Softplus"),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_what_has_no_counterpart_is_refused_by_layer_and_setting(kind):
    module, message = UNSUPPORTED[kind]
    with pytest.raises(ValueError, match=f"`module` has at {message}"):
        fc.from_torch(nn.Sequential(module), (1, 4, 4))


RELU, TIED = nn.ReLU(), nn.Linear(4, 4)
REUSED = {
    "one relu": nn.Sequential(nn.Linear(4, 4), RELU, nn.Linear(4, 4), RELU, nn.Linear(4, 2), RELU),
    "a tied linear": nn.Sequential(TIED, nn.Tanh(), TIED, nn.Tanh(), TIED),
    "a tied block": nn.Sequential(*[nn.Sequential(nn.Linear(4, 4), RELU)] * 3, nn.Sequential(RELU)),
    "a tied weight": nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)),
}
REUSED["a tied weight"][1].weight = REUSED["a tied weight"][0].weight


@pytest.mark.parametrize("name", REUSED)
def test_a_module_that_stands_in_several_places_is_computed_in_each_of_them(name):
    X = samples((4,))
    close(fc.from_torch(REUSED[name], (4,)).predict(X), outputs(REUSED[name], X))


def test_a_sequential_in_itself_is_refused():
    module = nn.Sequential(nn.ReLU())
    module.add_module("again", module)
    with pytest.raises(ValueError, match="'again' a Sequential that it is itself a part of"):
        fc.from_torch(module, (4,))


PARAMETRIZED = {
    "weight norm": lambda m: nn.utils.parametrizations.weight_norm(m),
    "spectral norm": lambda m: nn.utils.parametrizations.spectral_norm(m),
    "orthogonal": lambda m: nn.utils.parametrizations.orthogonal(m),
}


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", PARAMETRIZED)
def test_parametrizations_become_the_weights_that_they_make_and_stay_as_they_were(name, training):
    module = nn.Sequential(PARAMETRIZED[name](nn.Linear(4, 4)), nn.ReLU())
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.linspace(-0.3, 0.4, parameter.numel()).reshape(parameter.shape))
    module.train(training)
    before = {key: value.clone() for key, value in module.state_dict().items()}
    model = fc.from_torch(module, (4,))
    assert all(part.training == training for part in module.modules())
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())
    X = samples((4,))
    close(model.predict(X), outputs(module, X))


def own_forward(module):
    module.forward = lambda x: -x
    return module


def hooked(module, hook="forward", inner=None):
    getattr(inner or module, f"register_{hook}_hook")(lambda module, x, y=None: None)
    return module


class OwnConv(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return -super()._conv_forward(x, weight, bias)


class OwnCall(nn.ReLU):
    def __call__(self, x):
        return -x


class Backwards(nn.Sequential):
    def __iter__(self):
        return reversed(list(super().__iter__()))


def with_hook_of_pytorch(attach):
    def module():
        inner = nn.Linear(4, 4)
        attach(inner)
        return nn.Sequential(inner)

    return module


CHANGED = {
    "forward of an instance": (lambda: nn.Sequential(own_forward(nn.ReLU())), "`forward` was set"),
    "forward of the whole": (lambda: own_forward(nn.Sequential(nn.ReLU())), "`forward` was set"),
    "hook": (lambda: nn.Sequential(hooked(nn.ReLU())), "'0' ReLU: it has a forward hook, "),
    "hook of an identity": (lambda: nn.Sequential(nn.ReLU(), hooked(nn.Identity())), "'1' Identity: it has"),
    "pre-hook": (lambda: nn.Sequential(hooked(nn.ReLU(), "forward_pre")), "it has a forward pre-hook, "),
    "hook of the whole": (lambda: hooked(nn.Sequential(nn.ReLU())), "it has a forward hook, "),
    "hook of a part": (
        lambda: nn.Sequential(nn.Sequential(hooked(nn.Sequential(nn.ReLU())))),
        r"'0\.0' Sequential: it has a forward hook",
    ),
    "conv_forward": (
        lambda: nn.Sequential(nn.Unflatten(1, (1, 2, 2)), OwnConv(1, 1, 1)),
        r"`conv2d` \(torch\.conv2d, in '1' OwnConv\): .* a change of shape is supported to features only",
    ),
    "call": (lambda: nn.Sequential(OwnCall()), r"`neg` \(operator\.neg\) has no counterpart"),
    "old weight norm": (
        with_hook_of_pytorch(lambda m: nn.utils.weight_norm(m)),
        "WeightNorm, that is not read: remove it with torch.nn.utils.remove_weight_norm",
    ),
    "old spectral norm": (
        with_hook_of_pytorch(lambda m: nn.utils.spectral_norm(m)),
        "SpectralNorm, that is not read: remove it with torch.nn.utils.remove_spectral_norm",
    ),
    "pruning": (
        with_hook_of_pytorch(lambda m: prune.l1_unstructured(m, "weight", 3)),
        "L1Unstructured, that is not read: remove it with torch.nn.utils.prune.remove",
    ),
    "meta": (lambda: nn.Sequential(nn.Linear(4, 4, device="meta")), "'0' Linear: "),
    "complex": (lambda: nn.Sequential(nn.Linear(4, 4, dtype=torch.complex64)), "weight must be real"),
}


@pytest.mark.parametrize("kind", CHANGED)
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_module_that_computes_otherwise_than_its_class_is_refused(kind):
    make, message = CHANGED[kind]
    with pytest.raises(ValueError, match=message):
        fc.from_torch(make(), (4,))


def test_statistics_that_were_taken_away_are_refused():
    module = nn.Sequential(nn.BatchNorm2d(2))
    module[0].running_mean = None
    with pytest.raises(ValueError, match="its running_mean must be real floating-point numbers, got None"):
        fc.from_torch(module, (2, 3, 3))


def test_what_no_rule_foresees_is_found_by_running_both():
    remove = nn.modules.module.register_module_forward_hook(lambda module, x, y: y + 0.01)
    try:
        with pytest.raises(ValueError, match="`module` gives other outputs than its layers: they differ by"):
            fc.from_torch(nn.Sequential(nn.Linear(4, 4), nn.ReLU()), (4,))
    finally:
        remove.remove()


def test_a_module_that_fails_itself_is_refused():
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, dtype=torch.float64))
    with pytest.raises(
        ValueError, match=r"`module` itself fails on an input of shape \(2, 4\): RuntimeError"
    ):
        fc.from_torch(module, (4,))


@pytest.mark.parametrize("training", [True, False])
def test_reading_leaves_the_module_and_the_random_numbers_as_they_were(training):
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.ReLU(inplace=True))
    module.train(training)
    module[1].eval()
    flags = [part.training for part in module.modules()]
    before = {key: value.clone() for key, value in module.state_dict().items()}
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    fc.from_torch(module, (1, 5, 5))
    assert torch.equal(torch.rand(3), wanted)
    assert [part.training for part in module.modules()] == flags
    assert all(torch.equal(before[key], value) for key, value in module.state_dict().items())


def test_weights_that_are_not_finite_are_read_as_they_are():
    module = nn.Sequential(nn.Linear(2, 3))
    with torch.no_grad():
        module[0].weight[0, 0], module[0].bias[1] = torch.nan, torch.inf
    model = fc.from_torch(module, (2,))
    np.testing.assert_array_equal(model.parameters()["0.weight"], module[0].weight.detach().numpy())


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        return self.second(self.first(x))


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


@pytest.mark.parametrize("module", [Functional(), Residual(nn.Linear(2, 2)), Backwards(nn.ReLU(), nn.Tanh())])
def test_what_is_not_sequential_is_read_as_it_computes(module):
    X = samples((2,))
    close(fc.from_torch(module, (2,)).predict(X), outputs(module, X))


@pytest.mark.parametrize("module", [nn.Linear(2, 2), None, nn.Linear])
def test_what_is_no_network_is_refused(module):
    with pytest.raises(
        TypeError, match=r"`module` must be a torch\.nn\.Sequential, or a module that .*, got"
    ):
        fc.from_torch(module, (2,))


@pytest.mark.parametrize("shape", [(2, 2, 2, 2), (), 3, "image", [(2,), 3], (0, 2)])
def test_a_wrong_input_shape_is_refused(shape):
    with pytest.raises((TypeError, ValueError), match="`input_shape` must be"):
        fc.from_torch(nn.Sequential(nn.Linear(2, 2)), shape)


def test_an_empty_module_is_refused():
    with pytest.raises(ValueError, match="at least one layer"):
        fc.from_torch(nn.Sequential(nn.Identity()), (2,))


def test_without_pytorch_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    for attempt, name in (
        (lambda: fc.from_torch(None, (2,)), "from_torch"),
        (fc.models.reference_cnn().to_torch, "to_torch"),
    ):
        with pytest.raises(
            ImportError, match=rf'^`{name}` needs torch: pip install torch \(the extra "torch"\)$'
        ):
            attempt()


# What people have in the place of a Sequential


def small():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))


INSTEAD = {
    "compiled": (lambda: torch.compile(small()), "got OptimizedModule: give its `_orig_mod`"),
    "parallel": (lambda: nn.DataParallel(small()), "got DataParallel: give its `module`"),
    "averaged": (
        lambda: torch.optim.swa_utils.AveragedModel(small()),
        "got AveragedModel: give its `module`",
    ),
    "a list": (lambda: [nn.ReLU()], r"got list: torch\.nn\.Sequential\(\*module\) is one"),
    "a tuple": (lambda: (nn.ReLU(),), r"got tuple: torch\.nn\.Sequential\(\*module\) is one"),
    "a list of modules": (lambda: nn.ModuleList([nn.ReLU()]), r"Sequential\(\*module\) is one"),
    "a dictionary of modules": (
        lambda: nn.ModuleDict({"a": nn.ReLU()}),
        r"Sequential\(\*module\.values\(\)\)",
    ),
    "one layer": (lambda: nn.Linear(3, 2), r"got Linear: torch\.nn\.Sequential\(module\) is one"),
    "a class": (lambda: nn.ReLU, "got type: make one of the class"),
    "a state_dict": (lambda: small().state_dict(), "a state_dict has no layers"),
    "a path": (lambda: "model.pt", r"torch\.load gives the module"),
}


@pytest.mark.parametrize("name", INSTEAD)
def test_what_is_no_sequential_is_refused_with_what_to_give_instead(name):
    make, message = INSTEAD[name]
    with pytest.raises(TypeError, match=rf"`module` must be a torch\.nn\.Sequential, .*{message}"):
        fc.from_torch(make(), (1, 6, 6))


PARTS = {
    "a compiled part": (
        lambda: torch.compile(nn.ReLU()),
        "OptimizedModule: it was compiled: put its `_orig_mod`",
    ),
    "a lazy part": (
        lambda: nn.LazyConv2d(2, 3),
        "LazyConv2d: its sizes are not known yet: run the module once",
    ),
    "a part without numbers": (lambda: nn.Conv2d(1, 2, 3, device="meta"), 'is on the device "meta"'),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_not_ready_is_refused_with_what_to_do(name):
    make, message = PARTS[name]
    with pytest.raises(ValueError, match=f"`module` has at '0' .*{message}"):
        fc.from_torch(nn.Sequential(make()), (1, 6, 6))


@pytest.mark.parametrize("change", ["train", "half", "bfloat16", "channels_last", "no gradients"])
def test_modules_in_any_mode_and_precision_are_read(change):
    module = nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Dropout(0.9), nn.Flatten(), nn.Linear(48, 2)
    )
    module = {
        "train": module.train,
        "half": module.half,
        "bfloat16": module.bfloat16,
        "channels_last": lambda: module.to(memory_format=torch.channels_last),
        "no gradients": lambda: module.requires_grad_(False),
    }[change]()
    modes = [part.training for part in module.modules()]
    model = fc.from_torch(module, (2, 6, 6))
    assert [part.training for part in module.modules()] == modes
    X = np.random.default_rng(0).random((3, 2, 6, 6), dtype=np.float32)
    close(model.predict(X), outputs(module.float(), X))


def test_a_log_softmax_at_the_end_is_left_out_and_said():
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.LogSoftmax(dim=1))
    with pytest.warns(UserWarning, match="`module` ends in a LogSoftmax, its network here in the logits"):
        model = fc.from_torch(module, (1, 2, 2))
    assert (len(model.layers), model.metadata) == (2, {"loss": "cross_entropy"})
    X = np.random.default_rng(0).random((3, 1, 2, 2), dtype=np.float32)
    np.testing.assert_allclose(model.predict(X), outputs(module[:2], X), atol=1e-6)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([nn.LogSoftmax(1), nn.ReLU()], "ReLU: a LogSoftmax before it is supported at the end only"),
        ([nn.LogSoftmax(0)], "LogSoftmax: `dim` must be 1 or -1 or None, got 0"),
    ],
)
def test_another_log_softmax_is_refused(parts, message):
    with pytest.raises(ValueError, match=message):
        fc.from_torch(nn.Sequential(nn.Flatten(), nn.Linear(4, 3), *parts), (1, 2, 2))
