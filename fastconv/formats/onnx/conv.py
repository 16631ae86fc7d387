"""Convolutions from and to ONNX."""

from ...nn.conv import Conv2d
from ...nn.layer import Shape
from ...nn.signal import Conv1d
from .functions import DOMAIN, conv_inputs
from .graph import Graph, along, as_image
from .node import Node
from .tables import reads, writes
from .value import Array, Value
from .windows import Windows, windows_of


@reads("Conv")
def read_conv(value: Value, node: Node) -> None:
    weight = node.weights(1)
    if weight.ndim not in (3, 4) or weight.ndim != len(value.shape_in_file) + 1:
        raise ValueError(
            f"only convolutions over images and signals are supported, got weights of shape {weight.shape}"
        )
    windows = windows_of(value, node, weight.shape[2:], lambda number: number == 0)
    bias = node.weights(2) if node.has(2) and node.domain != DOMAIN else None
    layer = (Conv2d if len(windows.size) == 2 else Conv1d)(
        weight.shape[0],
        windows.setting(windows.kernel),
        stride=windows.setting(windows.stride),
        padding=windows.padding(causal=True),
        dilation=windows.setting(windows.dilation),
        groups=node.get("group", 1),
        bias=bias is not None,
    )
    value.append(layer, weight=arranged(weight, windows), bias=bias)
    value.set_positions(windows.where)


def arranged(weight: Array, windows: Windows) -> Array:
    """Weights (out, in, taps along the file's axes) with their taps along ours."""
    where = windows.where
    order = sorted(range(len(where)), key=lambda axis: -1 if (k := where[axis]) is None else k)
    moved = weight.transpose(0, 1, *(axis + 2 for axis in order))
    return moved.reshape(*weight.shape[:2], *windows.kernel)


@writes(Conv2d, Conv1d)
def write_conv(graph: Graph, layer: Conv2d | Conv1d, below: Shape, above: Shape) -> None:
    images, flat = layer.image_layer(), len(below) == 2
    assert isinstance(images, Conv2d)
    below, above = as_image(below), as_image(above)
    (top, bottom), (left, right) = images.pads(below)
    settings = {
        "kernel_shape": images.kernel_size,
        "strides": images.stride,
        "pads": (top, left, bottom, right),
        "dilations": images.dilation,
    }
    if not graph.double:
        flat_settings = {name: along(values) for name, values in settings.items()} if flat else settings
        graph.add("Conv", *graph.parameters("weight", "bias"), **flat_settings, group=images.groups)
        return
    with graph.images(flat):
        inputs = [graph.constant(*entry) for entry in conv_inputs(images, below, above).items()]
        weight = graph.image_weight(flat)
        graph.add("Conv", weight, *inputs, domain=DOMAIN, **settings, group=images.groups)
        if layer.bias:
            name = f"{graph.layer}.bias"
            graph.constants[name] = graph.constants[name].reshape(-1, 1, 1)
            graph.add("Add", name)
