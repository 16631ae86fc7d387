"""Transposed convolutions from and to ONNX."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...nn.conv_transpose import ConvTranspose1d, ConvTranspose2d
from ...nn.layer import Shape
from .conv import arranged
from .functions import DOMAIN, FUNCTIONS
from .graph import Graph, along, as_image
from .node import Node
from .tables import reads, writes
from .value import Value
from .view import Pair
from .windows import Windows


@reads("ConvTranspose")
def read_conv_transpose(value: Value, node: Node) -> None:
    weight = node.weights(1)
    where = value.positions()
    count = len(where)
    if weight.ndim != count + 2:
        raise ValueError(f"its weights must have {count + 2} axes, got shape {weight.shape}")
    kernel = node.ints("kernel_shape", count, weight.shape[2:])
    ones, zeros = (1,) * count, (0,) * count
    stride, dilation = node.ints("strides", count, ones), node.ints("dilations", count, ones)
    more = list(node.ints("output_padding", count, zeros))
    cut = _cut_off(node, value.shape_in_file[1:], kernel, stride, dilation, more)
    ours = len(value.shape) - 1
    settings: list[list[Any]] = [[1] * ours, [1] * ours, [1] * ours, [0] * ours, [(0, 0)] * ours]
    for axis, k in enumerate(where):
        given = kernel[axis], stride[axis], dilation[axis], more[axis], cut[axis]
        if k is not None:
            for setting, one in zip(settings, given, strict=True):
                setting[k] = one
        elif (kernel[axis], more[axis], cut[axis]) != (1, 0, (0, 0)):
            raise ValueError(f"signals have no axis {axis + 2} for windows of {list(kernel)}")
    kernels, strides, dilations = (tuple(setting) for setting in settings[:3])
    none = [(0, 0)] * ours
    windows = Windows(where, value.shape[1:], kernels, strides, dilations, none, settings[4])
    bias = node.weights(2) if node.has(2) and node.domain != DOMAIN else None
    layer = _layer(value, node, weight, windows, windows.setting(settings[3]), bias is not None)
    value.append(layer, weight=arranged(weight, windows), bias=bias)
    value.set_positions(where)


def _layer(value: Value, node: Node, weight: Any, windows: Windows, more: Any, bias: bool) -> Any:
    """The layer, with what is cut off as one would write it: a text only where the sides differ."""
    groups = node.get("group", 1)
    pads = windows.own
    even = all(before == after for before, after in pads)
    layer = (ConvTranspose2d if len(pads) == 2 else ConvTranspose1d)(
        weight.shape[1] * groups,
        windows.setting(windows.kernel),
        stride=windows.setting(windows.stride),
        padding=windows.setting([before for before, _ in pads] if even else pads),
        output_padding=more,
        groups=groups,
        bias=bias,
        dilation=windows.setting(windows.dilation),
    )
    for text in () if even else ("same", "same_lower"):
        named = replace(layer, padding=text)
        images: Any = named.image_layer()
        if list(images.pads(as_image(value.shape)))[2 - len(pads) :] == pads:
            return named
    return layer


def _cut_off(
    node: Node, size: Shape, kernel: Shape, stride: Shape, dilation: Shape, more: list[int]
) -> list[Pair]:
    """What is cut off the output before and after, along each axis, whichever way it is given.

    Where the file asks for an output that is larger than all windows, `more` grows.
    """
    node.must_be("auto_pad", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
    way, count = node.get("auto_pad", "NOTSET"), len(size)
    wanted = node.get("output_shape")
    if way.startswith("SAME") and not wanted:
        wanted = [n * s for n, s in zip(size, stride, strict=True)]
    if not wanted:
        sides = node.ints("pads", 2 * count, (0,) * (2 * count)) if way == "NOTSET" else (0,) * (2 * count)
        pads = list(zip(sides[:count], sides[count:], strict=True))
    else:
        pads = []
        for k in range(count):
            whole = stride[k] * (size[k] - 1) + more[k] + (kernel[k] - 1) * dilation[k] + 1
            total = whole - wanted[-count:][k]
            more[k] -= min(0, total)
            total = max(0, total)
            less, rest = total // 2, total - total // 2
            pads.append((less, rest) if way == "SAME_UPPER" else (rest, less))
    if min(n for pair in pads for n in pair) < 0:
        raise ValueError(f"`pads` must not be negative, got {pads}")
    return pads


@writes(ConvTranspose2d, ConvTranspose1d)
def write_conv_transpose(
    graph: Graph, layer: ConvTranspose2d | ConvTranspose1d, below: Shape, above: Shape
) -> None:
    images, flat = layer.image_layer(), len(below) == 2
    assert isinstance(images, ConvTranspose2d)
    below, above = as_image(below), as_image(above)
    (top, bottom), (left, right) = images.pads(below)
    settings = {
        "kernel_shape": images.kernel_size,
        "strides": images.stride,
        "pads": (top, left, bottom, right),
        "dilations": images.dilation,
        "output_padding": images.output_padding,
    }
    if not graph.double:
        flat_settings = {name: along(values) for name, values in settings.items()} if flat else settings
        graph.add("ConvTranspose", *graph.parameters("weight", "bias"), **flat_settings, group=images.groups)
        return
    with graph.images(flat):
        inputs = [graph.constant(*entry) for entry in _inputs(images, below, above).items()]
        weight = graph.image_weight(flat)
        graph.add("ConvTranspose", weight, *inputs, domain=DOMAIN, **settings, group=images.groups)
        if layer.bias:
            name = f"{graph.layer}.bias"
            graph.constants[name] = graph.constants[name].reshape(-1, 1, 1)
            graph.add("Add", name)


# Of float64, as the convolution: `down` and `across` put zeros between the elements, so many that each window
# of the output lies in what they make; the tables turn the kernel round.
FUNCTIONS["ConvTranspose"] = (
    ["X", "W", "down", "across", "lines", "columns", "split", "kernels", "joined"],
    ["kernel_shape", "strides", "pads", "dilations", "output_padding", "group"],
    (
        ("MatMul", ["X", "across"], ["wide"], {}),
        ("MatMul", ["down", "wide"], ["spread"], {}),
        ("Gather", ["spread", "lines"], ["cut"], {"axis": 2}),
        ("Gather", ["cut", "columns"], ["windows"], {"axis": 4}),
        ("Reshape", ["windows", "split"], ["groups"], {}),
        ("Reshape", ["W", "kernels"], ["taps"], {}),
        ("Einsum", ["groups", "taps"], ["sums"], {"equation": "ngchiwj,gcoij->ngohw"}),
        ("Reshape", ["sums", "joined"], ["Y"], {}),
    ),
)


def _inputs(layer: ConvTranspose2d, below: Shape, above: Shape) -> dict[str, NDArray[Any]]:
    """Name -> array of what the function takes beside the image and the weights."""
    (groups, outputs), channels = (layer.groups, layer.out_channels), below[0]
    (kh, kw), (oh, ow) = layer.kernel_size, above[1:]
    spread, tables = [], []
    for size, made, kernel, stride, dilation, (before, _) in zip(
        below[1:], above[1:], layer.kernel_size, layer.stride, layer.dilation, layer.pads(below), strict=True
    ):
        table = np.arange(made)[:, None] + before + dilation * (kernel - 1 - np.arange(kernel))
        at = np.arange(size) * stride + dilation * (kernel - 1)
        zeros = np.zeros((max(int(table.max()), int(at.max())) + 1, size))
        zeros[at, np.arange(size)] = 1
        spread.append(zeros)
        tables.append(table)
    return {
        "down": spread[0],
        "across": spread[1].T,
        "lines": tables[0],
        "columns": tables[1],
        "split": np.array([0, groups, channels // groups, oh, kh, ow, kw]),
        "kernels": np.array([groups, channels // groups, outputs // groups, kh, kw]),
        "joined": np.array([0, outputs, oh, ow]),
    }
