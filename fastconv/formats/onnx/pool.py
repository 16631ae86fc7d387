"""Pools from and to ONNX."""

import math
from itertools import product

import numpy as np

from ...nn.layer import Shape
from ...nn.pool import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from ...nn.shape import Flatten
from .chain import Chain, Node
from .functions import DOMAIN, average_pool_inputs, elements_counted
from .graph import Graph
from .layout import CHANNELS_FIRST
from .tables import reads, writes
from .windows import add_pads, makes, pads_of, window_count

LARGEST_IMAGE = 2**16  # of a side: no file may ask for memory by sizes that it only claims
LOWEST = float(np.finfo(np.float32).min)  # what padding for a MaxPool may be, beside -infinity


@reads("MaxPool")
def read_max_pool(chain: Chain, node: Node) -> None:
    node.must_be("storage_order", 0)
    kernel, stride = node.pair("kernel_shape"), node.pair("strides", (1, 1))
    dilation = node.pair("dilations", (1, 1))
    around = chain.take_pad(lambda value: value <= LOWEST)
    size = tuple(n + sum(pads) for n, pads in zip(chain.shape[1:], around, strict=True))
    own = pads_of(node, size, kernel, stride, dilation)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    outputs = tuple(window_count(node, *axis) for axis in zip(size, spans, stride, own, strict=True))
    padding = tuple(begin for begin, _ in add_pads(around, own))
    for ceil_mode in (False, True):
        layer = MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil_mode)
        # Padding never is a maximum: windows that begin and end the same are the same.
        if makes(layer, chain.shape, outputs):
            chain.append(layer)
            return
    raise ValueError(f"`pads` must be the same on both sides, got {own}")


@reads("AveragePool")
def read_avg_pool(chain: Chain, node: Node) -> None:
    kernel, stride = node.pair("kernel_shape"), node.pair("strides", (1, 1))
    if node.pair("dilations", (1, 1)) != (1, 1):
        raise ValueError(f"`dilations` must be 1, got {node.get('dilations')}")
    around = chain.take_pad(lambda value: value == 0)
    shape = chain.shape[1:]
    size = tuple(n + sum(pads) for n, pads in zip(shape, around, strict=True))
    own = pads_of(node, size, kernel, stride, (1, 1))
    padding, outputs, counted = [], [], []
    for n, k, s, (before, after), pads in zip(shape, kernel, stride, around, own, strict=True):
        begin, end = pads if node.get("count_include_pad", 0) else (0, 0)
        padding.append(before + pads[0])
        outputs.append(window_count(node, n + before + after, k, s, pads))
        counted.append((-before - begin, n + after + end))
    if max(outputs) > LARGEST_IMAGE:
        raise ValueError(f"it makes images of {outputs} elements, supported are up to {LARGEST_IMAGE} a side")
    axes = list(zip(outputs, kernel, stride, padding, strict=True))
    wanted = [elements_counted(*axis, *limits) for axis, limits in zip(axes, counted, strict=True)]
    for ceil_mode, count_include_pad in product((False, True), (True, False)):
        layer = AvgPool2d(kernel, stride, tuple(padding), ceil_mode, count_include_pad)
        if not makes(layer, chain.shape, tuple(outputs)):
            continue
        rims = padding if count_include_pad else (0, 0)
        ours = [elements_counted(*a, -rim, n + rim) for a, rim, n in zip(axes, rims, shape, strict=True)]
        if all(map(np.array_equal, ours, wanted)):  # the same windows, divided by the same numbers
            chain.append(layer)
            return
    raise ValueError(f"`pads` {own} with these settings have no counterpart")


@reads("GlobalAveragePool")
def read_global_avg_pool(chain: Chain, node: Node) -> None:
    chain.append(GlobalAvgPool2d())


@reads("ReduceMean")
def read_mean(chain: Chain, node: Node) -> None:
    if len(chain.shape) != 3 or sorted(chain.axes[axis % 4] for axis in node.axes()) != [2, 3]:
        raise ValueError(f"only the mean over lines and columns is supported, got axes {node.axes()}")
    axes, chain.axes = chain.axes, CHANNELS_FIRST
    chain.append(GlobalAvgPool2d())
    chain.axes = axes  # of one pixel, the order makes no difference
    if not node.get("keepdims", 1):
        chain.append(Flatten())


def _hangs_over(layer: MaxPool2d | AvgPool2d, below: Shape, above: Shape) -> Shape:
    """By how much the last windows pass the padding at the end, which `ceil_mode` lets them; else 0."""
    dilation, pads = getattr(layer, "dilation", (1, 1)), layer.pads(below)
    sizes = zip(below[1:], above[1:], layer.kernel_size, layer.stride, pads, dilation, strict=True)
    return tuple(max(0, (o - 1) * s + d * (k - 1) + 1 - i - sum(p)) for i, o, k, s, p, d in sizes)


def _begin_and_end(layer: MaxPool2d | AvgPool2d, below: Shape) -> tuple[Shape, Shape]:
    """((top, left), (bottom, right)): ONNX's order of pads."""
    (top, bottom), (left, right) = layer.pads(below)
    return (top, left), (bottom, right)


@writes(MaxPool2d)
def write_max_pool(graph: Graph, layer: MaxPool2d, below: Shape, above: Shape) -> None:
    over = _hangs_over(layer, below, above)
    begin, end = _begin_and_end(layer, below)
    end = tuple(p + o for p, o in zip(end, over, strict=True))
    if any(e >= k for e, k in zip(end, layer.kernel_size, strict=True)):  # more than a MaxPool may be given
        graph.pad(begin, end, -math.inf)
        begin = end = (0, 0)
    graph.add(
        "MaxPool",
        kernel_shape=layer.kernel_size,
        strides=layer.stride,
        pads=(*begin, *end),
        dilations=layer.dilation,
    )


@writes(AvgPool2d)
def write_avg_pool(graph: Graph, layer: AvgPool2d, below: Shape, above: Shape) -> None:
    settings = {"kernel_shape": layer.kernel_size, "strides": layer.stride}
    begin, end = _begin_and_end(layer, below)
    if graph.double:
        inputs = [graph.constant(*entry) for entry in average_pool_inputs(layer, below, above).items()]
        settings |= {
            "pads": (*begin, *end),
            "ceil_mode": layer.ceil_mode,
            "count_include_pad": layer.count_include_pad,
        }
        graph.add("AveragePool", *inputs, domain=DOMAIN, **settings)
        return
    over = _hangs_over(layer, below, above)
    counted = layer.count_include_pad and any((*begin, *end))
    if counted and any(over):  # padding counts in the mean, what hangs over does not
        graph.pad(begin, end, 0.0)
        begin, end, counted = (0, 0), (0, 0), False
    end = tuple(e + o for e, o in zip(end, over, strict=True))
    graph.add("AveragePool", **settings, pads=(*begin, *end), count_include_pad=int(counted))


@writes(GlobalAvgPool2d)
def write_global_avg_pool(graph: Graph, layer: GlobalAvgPool2d, below: Shape, above: Shape) -> None:
    if graph.double:
        graph.add("ReduceMean", axes=[2, 3], keepdims=1)
    else:
        graph.add("GlobalAveragePool")
