"""Networks that PyTorch exported to ONNX files predict here what they do in PyTorch."""

import logging
import warnings

import pytest

import fastconv as fc
from tests.formats.onnx.onnx_tools import close, samples

torch = pytest.importorskip("torch")
nn = torch.nn


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(256, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
    )  # fmt: skip


def vgg():
    def convs(inputs, outputs):
        for channels in (inputs, outputs):
            yield from (nn.Conv2d(channels, outputs, 3, padding="same"), nn.ReLU())
        yield nn.MaxPool2d(2)

    head = (nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Dropout(), nn.Linear(128, 10), nn.Softmax(1))
    return nn.Sequential(*convs(1, 32), *convs(32, 64), *head)


def everything():
    return nn.Sequential(
        nn.BatchNorm2d(1), nn.Conv2d(1, 4, 4, padding="same", bias=False), nn.BatchNorm2d(4), nn.Sigmoid(),
        nn.AvgPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(2, 1, 1, count_include_pad=False),
        nn.Conv2d(4, 8, 3, groups=2, dilation=2), nn.Tanh(), nn.MaxPool2d(2, 3, ceil_mode=True),
        nn.LeakyReLU(0.2), nn.MaxPool2d(3, 1, 1, dilation=1), nn.Dropout(0.2), nn.Identity(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5, bias=False), nn.Sigmoid(), nn.Linear(5, 3),
        nn.Softmax(-1),
    )  # fmt: skip


def tutorial():
    """As the tutorials write it: layers in a class, and functions between them."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
            self.norm = nn.BatchNorm2d(6)
            self.fc1, self.fc2 = nn.Linear(400, 84), nn.Linear(84, 10)

        def forward(self, x):
            x = nn.functional.max_pool2d(nn.functional.relu(self.norm(self.conv1(x))), 2)
            x = nn.functional.avg_pool2d(self.conv2(x).tanh(), 2)
            x = self.fc1(x.view(x.size(0), -1))
            return nn.functional.softmax(self.fc2(nn.functional.leaky_relu(x)), dim=1)

    return Net()


def residual():
    """As torchvision's ResNet: blocks with a shortcut, and the mean over positions."""

    class Block(nn.Module):
        def __init__(self, inputs, outputs, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
            self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
            self.bn1, self.bn2, self.relu = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs), nn.ReLU(True)
            self.downsample = None
            if stride > 1:
                self.downsample = nn.Sequential(
                    nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
                )

        def forward(self, x):
            out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
            return self.relu(out + (x if self.downsample is None else self.downsample(x)))

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Conv2d(1, 4, 7, 2, 3)
            self.layer1, self.layer2 = Block(4, 4, 1), Block(4, 8, 2)
            self.fc = nn.Linear(8, 3)

        def forward(self, x):
            return self.fc(self.layer2(self.layer1(self.stem(x))).mean((2, 3)))

    return Net()


def inverted():
    """As MobileNetV2 and V3: clips, depthwise convolutions, and activations of several operators."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, 2, 1, bias=False), nn.BatchNorm2d(4), nn.Hardswish())
            self.block = nn.Sequential(
                nn.Conv2d(4, 12, 1), nn.ReLU6(), nn.Conv2d(12, 12, 3, 1, 1, groups=12), nn.ReLU6(),
                nn.Conv2d(12, 4, 1), nn.BatchNorm2d(4),
            )  # fmt: skip
            self.head = nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(4, 3))

        def forward(self, x):
            x = self.stem(x)
            return self.head(nn.functional.silu(x + self.block(x)))

    return Net()


def branches():
    """As Inception: channels side by side, of a mean, a largest element, and convolutions of any padding."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 3, (1, 5), padding=(0, 2))
            self.c, self.norm = nn.Conv2d(1, 2, 4, padding="same"), nn.GroupNorm(2, 10)
            self.fc = nn.Linear(10, 4)

        def forward(self, x):
            even = nn.functional.conv2d(
                nn.functional.pad(x, (1, 0, 0, 1)), self.a.weight[:1].repeat(1, 1, 2, 2)
            )
            both = [nn.functional.max_pool2d(x, 3, 1, 1), nn.functional.avg_pool2d(x, 3, 1, 1)]
            x = torch.cat([self.a(x), self.b(x), self.c(x), even, *both], dim=1)
            return self.fc(torch.flatten(nn.functional.adaptive_avg_pool2d(self.norm(x), 1), 1))

    return Net()


def bent():
    """Activations one after the other."""
    curves = [
        nn.GELU(), nn.GELU(approximate="tanh"), nn.Hardswish(), nn.Hardsigmoid(), nn.Softplus(), nn.ELU(0.7),
        nn.ReLU6(), nn.SiLU(),
    ]  # fmt: skip
    norms = [nn.InstanceNorm2d(4), nn.InstanceNorm2d(4, affine=True)]
    between = [layer for curve in curves for layer in (nn.Conv2d(4, 4, 1), curve)]
    head = [nn.Flatten(), nn.Linear(196, 8), nn.BatchNorm1d(8), nn.LayerNorm(8), nn.GELU()]
    return nn.Sequential(nn.Conv2d(1, 4, 3, stride=4), *norms, *between, *head)


def unet():
    """An image made smaller and larger again, in two ways, with what was before beside it."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.down1, self.down2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 6, 3, padding=1)
            self.bottom = nn.Conv2d(6, 8, 3, padding=1)
            self.up2, self.up1 = nn.ConvTranspose2d(8, 6, 2, 2), nn.Upsample(scale_factor=2, mode="bilinear")
            self.join2, self.join1 = nn.Conv2d(12, 4, 3, padding=1), nn.Conv2d(8, 1, 1)
            self.wide, self.deconv = (
                nn.Upsample(scale_factor=2),
                nn.ConvTranspose2d(1, 1, 3, 2, 1, output_padding=1),
            )

        def forward(self, x):
            a = self.down1(x).relu()
            b = self.down2(nn.functional.max_pool2d(a, 2)).relu()
            c = self.bottom(nn.functional.max_pool2d(b, 2)).relu()
            b = self.join2(torch.cat([self.up2(c), b], 1)).relu()
            y = self.join1(torch.cat([self.up1(b), a], 1))
            return torch.sigmoid(self.wide(y) + self.deconv(y))

    return Net()


def signals():
    """Time series: a causal convolution, pools along the length, and a normalisation of each."""

    class Net(nn.Module):
        shape = (2, 28)

        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv1d(2, 6, 3, dilation=2), nn.BatchNorm1d(6)
            self.down, self.each = (
                nn.Conv1d(6, 6, 5, 2, padding=2, groups=3),
                nn.InstanceNorm1d(6, affine=True),
            )
            self.slopes, self.whole = nn.PReLU(6), nn.LayerNorm((6, 14))
            self.fc = nn.Linear(6, 3)

        def forward(self, x):
            x = self.norm(self.conv(nn.functional.pad(x, (4, 0)))).relu()
            x = self.whole(self.slopes(self.each(self.down(x))))
            x = x + nn.functional.avg_pool1d(x, 3, 1, 1)
            x = nn.functional.max_pool1d(x, 3, 2, ceil_mode=True)
            return self.fc(x.mean(-1))

    return Net()


def exported(module, path, shape, way):
    """Write `path` by torch.onnx.export in one of its ways."""
    settings = dict(WAYS[way])
    if settings["dynamo"]:
        pytest.importorskip("onnxscript")
    if settings.pop("unfolded", False):
        settings |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    if settings.pop("open", False):
        settings["dynamic_shapes"] = ({0: torch.export.Dim("N")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.WARNING)
        try:
            torch.onnx.export(module.eval(), (torch.zeros(2, *shape),), str(path), **settings)
        finally:
            logging.disable(logging.NOTSET)


WAYS = {
    "script, batch fixed": {"dynamo": False},
    "script, batch open": {"dynamo": False, "input_names": ["i"], "dynamic_axes": {"i": {0: "N"}}},
    "script, nothing folded": {"dynamo": False, "unfolded": True},
    "script, opset 9": {"dynamo": False, "opset_version": 9},
    "dynamo, one file": {"dynamo": True, "verbose": False, "external_data": False},
    "dynamo, batch open": {"dynamo": True, "verbose": False, "open": True},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "make", [lenet, vgg, everything, tutorial, residual, inverted, branches, bent, unet, signals]
)
def test_a_network_that_pytorch_exported_predicts_what_pytorch_does(tmp_path, make, way):
    if make in (everything, signals) and way == "script, opset 9":
        pytest.skip("opset 9 has no ceil_mode")
    if make is unet and way == "script, opset 9":
        pytest.skip("opset 9 has other places between elements than PyTorch, as its exporter warns")
    torch.manual_seed(2)
    module = make()
    shape = getattr(module, "shape", (1, 28, 28))
    for part in module.modules():
        if isinstance(part, (nn.BatchNorm2d, nn.BatchNorm1d)):
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
    path = tmp_path / "model.onnx"
    exported(module, path, shape, way)
    model = fc.from_onnx(path)
    X = samples(shape)
    with torch.no_grad():
        close(model.predict(X), module(torch.from_numpy(X)).numpy())


@pytest.mark.parametrize("dynamo", [False, True])
def test_several_inputs_and_outputs_keep_the_names_of_the_export(tmp_path, dynamo):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.policy, self.value = nn.Conv2d(1, 2, 3), nn.Linear(75, 4), nn.Linear(75, 1)

        def forward(self, board, extra):
            features = torch.cat([torch.flatten(self.conv(board).relu(), 1), extra], 1)
            return self.policy(features), torch.tanh(self.value(features))

    if dynamo:
        pytest.importorskip("onnxscript")
    module, inputs = Net().eval(), (torch.rand(3, 1, 8, 8), torch.rand(3, 3))
    path = tmp_path / "model.onnx"
    names = {"input_names": ["board", "extra"], "output_names": ["policy", "value"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, inputs, str(path), dynamo=dynamo, **names)
    model = fc.from_onnx(path)
    assert (model.input_names, model.output_names) == (("board", "extra"), ("policy", "value"))
    found = model.predict({"board": inputs[0].numpy(), "extra": inputs[1].numpy()})
    with torch.no_grad():
        for output, wanted in zip(found.values(), module(*inputs), strict=True):
            close(output, wanted.numpy())


def test_a_file_of_weights_beside_the_model_must_be_there_and_whole(tmp_path):
    path = tmp_path / "model.onnx"
    exported(lenet(), path, (1, 28, 28), "dynamo, batch open")
    data = tmp_path / "model.onnx.data"
    content = data.read_bytes()
    data.write_bytes(content[:1000])
    with pytest.raises(ValueError, match=r"model\.onnx "):
        fc.from_onnx(path)
    data.unlink()
    with pytest.raises(ValueError, match=r"model\.onnx "):
        fc.from_onnx(path)
