"""Pools from and to ONNX."""

import math
from typing import Any

import numpy as np

from ...nn.layer import Shape
from ...nn.pool import AvgPool2d, MaxPool2d
from ...nn.signal import AvgPool1d, MaxPool1d
from .functions import DOMAIN, average_pool_inputs, elements_counted
from .graph import Graph, along, as_image
from .node import Node
from .tables import reads, writes
from .value import Array, Value
from .windows import Windows, makes, poolings, window_count, windows_of

LARGEST_IMAGE = 2**16  # of a side: no file may ask for memory by sizes that it only claims
_REFUSED = "`pads` must be at most half of the kernel, and with these settings have a counterpart, got {}"
LOWEST = float(np.finfo(np.float32).min)  # what padding for a MaxPool may be, beside -infinity


@reads("MaxPool")
def read_max_pool(value: Value, node: Node) -> None:
    node.must_be("storage_order", 0)
    windows = windows_of(value, node, None, lambda number: number <= LOWEST)
    spans = [d * (k - 1) + 1 for k, d in zip(windows.kernel, windows.dilation, strict=True)]
    size = [n + sum(pads) for n, pads in zip(windows.size, windows.around, strict=True)]
    axes = zip(size, spans, windows.stride, windows.own, strict=True)
    outputs = tuple(window_count(node, *axis) for axis in axes)
    kernel, stride, dilation = map(windows.setting, windows[2:5])
    kind = MaxPool2d if len(size) == 2 else MaxPool1d
    for layer in poolings(lambda p, ceil: kind(kernel, stride, p, dilation, ceil_mode=ceil), windows):
        # Padding never is a maximum: windows that begin and end the same are the same.
        if makes(layer, value.shape, outputs):
            value.append(layer)
            value.set_positions(windows.where)
            return
    raise ValueError(_REFUSED.format(windows.pads))


@reads("AveragePool")
def read_avg_pool(value: Value, node: Node) -> None:
    windows = windows_of(value, node, None, lambda number: number == 0)
    if any(d != 1 for d in windows.dilation):
        raise ValueError(f"`dilations` must be 1, got {node.get('dilations')}")
    outputs, wanted = _averages(node, windows)
    kernel, stride = windows.setting(windows.kernel), windows.setting(windows.stride)
    kind: Any = AvgPool2d if len(windows.size) == 2 else AvgPool1d
    for counted in (True, False):

        def make(padding: Any, ceil_mode: bool, counted: bool = counted) -> Any:
            return kind(kernel, stride, padding, ceil_mode, counted)

        for layer in poolings(make, windows):
            # The same windows, divided by the same numbers.
            if makes(layer, value.shape, outputs) and all(
                map(np.array_equal, _shares(layer, value.shape, outputs), wanted)
            ):
                value.append(layer)
                value.set_positions(windows.where)
                return
    raise ValueError(_REFUSED.format(windows.pads))


def _averages(node: Node, windows: Windows) -> tuple[Shape, list[Array]]:
    """How many windows there are along each axis, and how many elements of each count."""
    outputs, wanted = [], []
    for n, k, s, (before, after), own in zip(
        windows.size, windows.kernel, windows.stride, windows.around, windows.own, strict=True
    ):
        outputs.append(window_count(node, n + before + after, k, s, own))
        if outputs[-1] > LARGEST_IMAGE:
            raise ValueError(
                f"it makes images of {outputs} elements, supported are up to {LARGEST_IMAGE} a side"
            )
        begin, end = own if node.get("count_include_pad", 0) else (0, 0)
        limits = (-before - begin, n + after + end)
        wanted.append(elements_counted(outputs[-1], k, s, before + own[0], *limits))
    return tuple(outputs), wanted


def _shares(layer: Any, shape: Shape, outputs: Shape) -> list[Array]:
    """How many elements of each window count, along each axis, in a pooling here."""
    images = layer.image_layer()
    pads = images.pads(as_image(shape))[2 - len(outputs) :]
    windows = zip(
        outputs, images.kernel_size[-len(outputs) :], images.stride[-len(outputs) :], pads, strict=True
    )
    limits = [
        (-before, n + after) if layer.count_include_pad else (0, n)
        for n, (before, after) in zip(shape[1:], pads, strict=True)
    ]
    return [
        elements_counted(count, k, s, before, *limit)
        for (count, k, s, (before, _)), limit in zip(windows, limits, strict=True)
    ]


def _hangs_over(layer: MaxPool2d | AvgPool2d, below: Shape, above: Shape) -> Shape:
    """By how much the last windows pass the padding at the end, which `ceil_mode` lets them; else 0."""
    dilation, pads = getattr(layer, "dilation", (1, 1)), layer.pads(below)
    sizes = zip(below[1:], above[1:], layer.kernel_size, layer.stride, pads, dilation, strict=True)
    return tuple(max(0, (o - 1) * s + d * (k - 1) + 1 - i - sum(p)) for i, o, k, s, p, d in sizes)


def _begin_and_end(layer: MaxPool2d | AvgPool2d, below: Shape) -> tuple[Shape, Shape]:
    """((top, left), (bottom, right)): ONNX's order of pads."""
    (top, bottom), (left, right) = layer.pads(below)
    return (top, left), (bottom, right)


@writes(MaxPool2d, MaxPool1d)
def write_max_pool(graph: Graph, layer: MaxPool2d | MaxPool1d, below: Shape, above: Shape) -> None:
    images, flat = layer.image_layer(), len(below) == 2
    assert isinstance(images, MaxPool2d)
    below, above = as_image(below), as_image(above)
    over = _hangs_over(images, below, above)
    begin, end = _begin_and_end(images, below)
    end = tuple(p + o for p, o in zip(end, over, strict=True))
    if any(e >= k for e, k in zip(end, images.kernel_size, strict=True)):  # more than a MaxPool may be given
        graph.pad(begin[flat:], end[flat:], -math.inf)
        begin = end = (0, 0)
    settings = {
        "kernel_shape": images.kernel_size,
        "strides": images.stride,
        "pads": (*begin, *end),
        "dilations": images.dilation,
    }
    graph.add("MaxPool", **({name: along(v) for name, v in settings.items()} if flat else settings))


@writes(AvgPool2d, AvgPool1d)
def write_avg_pool(graph: Graph, layer: AvgPool2d | AvgPool1d, below: Shape, above: Shape) -> None:
    images, flat = layer.image_layer(), len(below) == 2
    assert isinstance(images, AvgPool2d)
    below, above = as_image(below), as_image(above)
    settings = {"kernel_shape": images.kernel_size, "strides": images.stride}
    begin, end = _begin_and_end(images, below)
    if graph.double:
        _write_double(graph, images, below, above, flat)
        return
    over = _hangs_over(images, below, above)
    counted = layer.count_include_pad and any((*begin, *end))
    if counted and any(over):  # padding counts in the mean, what hangs over does not
        graph.pad(begin[flat:], end[flat:], 0.0)
        begin, end, counted = (0, 0), (0, 0), False
    end = tuple(e + o for e, o in zip(end, over, strict=True))
    settings["pads"] = (*begin, *end)
    settings = {name: along(values) for name, values in settings.items()} if flat else settings
    graph.add("AveragePool", **settings, count_include_pad=int(counted))


def _write_double(graph: Graph, images: AvgPool2d, below: Shape, above: Shape, flat: bool) -> None:
    (top, left), (bottom, right) = _begin_and_end(images, below)
    with graph.images(flat):
        inputs = [graph.constant(*entry) for entry in average_pool_inputs(images, below, above).items()]
        graph.add(
            "AveragePool",
            *inputs,
            domain=DOMAIN,
            kernel_shape=images.kernel_size,
            strides=images.stride,
            pads=(top, left, bottom, right),
            ceil_mode=images.ceil_mode,
            count_include_pad=images.count_include_pad,
        )
