import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.formats.torch_modules import MODULES
from tests.nn.layer_kinds import LAYERS

torch = pytest.importorskip("torch")
nn = torch.nn

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
        if isinstance(part, nn.BatchNorm2d):
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
    assert kinds == set(LAYERS.values()) == set(MODULES)


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
    with pytest.raises(ValueError, match="'0' Own: there is no such layer here"):
        fc.from_torch(nn.Sequential(Own(2, 2)), (2,))


def test_bfloat16_becomes_float32():
    module = nn.Sequential(nn.Linear(3, 2).to(torch.bfloat16))
    model = fc.from_torch(module, (3,))
    assert model.dtype == "float32"
    np.testing.assert_array_equal(model.parameters()["0.weight"], module[0].weight.detach().float())


UNSUPPORTED = {
    "padding_mode": (nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"), "'0' Conv2d: `padding_mode`"),
    "transposed": (nn.ConvTranspose2d(1, 1, 3), "'0' ConvTranspose2d: there is no such layer"),
    "one axis": (nn.Conv1d(1, 1, 3), "'0' Conv1d: there is no such layer"),
    "lazy": (nn.LazyConv2d(1, 3), "'0' LazyConv2d"),
    "indices": (nn.MaxPool2d(2, return_indices=True), "'0' MaxPool2d: `return_indices` must be False"),
    "divisor": (nn.AvgPool2d(2, divisor_override=3), "'0' AvgPool2d: `divisor_override` must be None, got 3"),
    "adaptive": (
        nn.AdaptiveAvgPool2d(2),
        r"'0' AdaptiveAvgPool2d: `output_size` must be 1 or \(1, 1\), got 2",
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
    "deep": (nn.Sequential(nn.ReLU(), nn.Sequential(nn.GELU())), r"'0\.1\.0' GELU"),
}


@pytest.mark.parametrize("kind", UNSUPPORTED)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_what_has_no_counterpart_is_refused_by_layer_and_setting(kind):
    module, message = UNSUPPORTED[kind]
    with pytest.raises(ValueError, match=f"`module` has at {message}"):
        fc.from_torch(nn.Sequential(module), (1, 4, 4))


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(2, 2), nn.Linear(2, 2)

    def forward(self, x):
        return self.second(self.first(x))


class Residual(nn.Sequential):
    def forward(self, x):
        return x + super().forward(x)


@pytest.mark.parametrize(
    "module", [Functional(), Residual(nn.Linear(2, 2)), nn.Linear(2, 2), None, nn.Linear]
)
def test_what_is_not_sequential_is_refused(module):
    with pytest.raises(TypeError, match=r"`module` must be a torch\.nn\.Sequential, got"):
        fc.from_torch(module, (2,))


@pytest.mark.parametrize("shape", [(2, 2), (), 3, "image"])
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
        with pytest.raises(ImportError, match=rf'^`{name}` needs torch: pip install "fastconv\[torch\]"$'):
            attempt()
