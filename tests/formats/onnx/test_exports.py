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
@pytest.mark.parametrize("make", [lenet, vgg, everything, tutorial])
def test_a_network_that_pytorch_exported_predicts_what_pytorch_does(tmp_path, make, way):
    if make is everything and way == "script, opset 9":
        pytest.skip("opset 9 has no ceil_mode")
    torch.manual_seed(2)
    module, shape = make(), (1, 28, 28)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)
    path = tmp_path / "model.onnx"
    exported(module, path, shape, way)
    model = fc.from_onnx(path)
    X = samples(shape)
    with torch.no_grad():
        close(model.predict(X), module(torch.from_numpy(X)).numpy())


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
