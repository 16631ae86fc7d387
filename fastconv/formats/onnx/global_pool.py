"""Means and largest elements of whole channels, or of windows that share out an image, from and to ONNX."""

from typing import Any

import numpy as np

from ...nn.layer import Layer, Shape
from ...nn.pool import AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from ...nn.signal import AvgPool1d, GlobalAvgPool1d, MaxPool1d
from ...nn.signal_channels import AdaptiveAvgPool1d, GlobalMaxPool1d
from .functions import DOMAIN, FUNCTIONS
from .graph import Graph, as_image
from .node import Node
from .tables import reads, writes
from .value import Array, Value


@reads("GlobalAveragePool", "GlobalMaxPool")
def read_global_pool(value: Value, node: Node) -> None:
    where = value.positions()
    _reduce(value, list(range(2, 2 + len(where))), node.kind == "GlobalMaxPool")


@reads("ReduceMean", "ReduceMax")
def read_reduce(value: Value, node: Node) -> None:
    rank = len(value.shape_in_file) + 1
    axes = node.axes(rank)
    if not axes and not node.get("noop_with_empty_axes", 0):
        axes = list(range(rank))
    _reduce(value, axes, node.kind == "ReduceMax")
    if not node.get("keepdims", 1):
        value.squeeze(axes)


def _reduce(value: Value, axes: list[int], largest: bool) -> None:
    """The mean, or the largest element, over axes of the file: lines, columns or the length, whole."""
    value.check_plain()
    ours = {k for axis in axes for k in value.axes[axis]}
    shape = value.shape
    if len(shape) == 1 or 0 in ours or (1 in ours and shape[0] != 1):
        verb = "largest element" if largest else "mean"
        raise ValueError(f"only the {verb} over lines and columns is supported, got axes {axes}")
    kernel = tuple(n if k in ours else 1 for k, n in enumerate(shape[1:], 2))
    images, whole = len(shape) == 3, kernel == shape[1:]
    size: Any = kernel if images else kernel[0]
    layer: Layer
    if largest and whole:
        layer = GlobalMaxPool2d() if images else GlobalMaxPool1d()
    elif largest:
        layer = MaxPool2d(size) if images else MaxPool1d(size)
    elif whole:
        layer = GlobalAvgPool2d() if images else GlobalAvgPool1d()
    else:
        layer = AvgPool2d(size) if images else AvgPool1d(size)
    value.begin()
    value.put(layer, {})


@writes(GlobalAvgPool2d, GlobalAvgPool1d)
def write_global_avg_pool(
    graph: Graph, layer: GlobalAvgPool2d | GlobalAvgPool1d, below: Shape, above: Shape
) -> None:
    if graph.double:
        graph.add("ReduceMean", axes=list(range(2, len(below) + 1)), keepdims=1)
    else:
        graph.add("GlobalAveragePool")


@writes(GlobalMaxPool2d, GlobalMaxPool1d)
def write_global_max_pool(
    graph: Graph, layer: GlobalMaxPool2d | GlobalMaxPool1d, below: Shape, above: Shape
) -> None:
    if graph.double:
        graph.add("ReduceMax", axes=list(range(2, len(below) + 1)), keepdims=1)
    else:
        graph.add("GlobalMaxPool")


# Windows of uneven sizes: each line of `down`, and column of `across`, holds the shares of one window.
FUNCTIONS["AdaptiveAveragePool"] = (
    ["X", "down", "across"],
    ["output_size"],
    (("MatMul", ["X", "across"], ["columns"], {}), ("MatMul", ["down", "columns"], ["Y"], {})),
)


@reads("AdaptiveAveragePool")
def read_adaptive_pool(value: Value, node: Node) -> None:
    where = value.positions()
    size = node.ints("output_size", len(where))
    if len(value.shape) == 3:
        value.append(AdaptiveAvgPool2d(size))
    else:
        value.append(AdaptiveAvgPool1d(size[-1]))


@writes(AdaptiveAvgPool2d, AdaptiveAvgPool1d)
def write_adaptive_pool(
    graph: Graph, layer: AdaptiveAvgPool2d | AdaptiveAvgPool1d, below: Shape, above: Shape
) -> None:
    """Where all windows have one size, they are those of an AveragePool, which all programs know."""
    size, made = as_image(below)[1:], as_image(above)[1:]
    if not graph.double and all(n % k == 0 for n, k in zip(size, made, strict=True)):
        kernel = [n // k for n, k in zip(size, made, strict=True)][len(size) - len(below) + 1 :]
        graph.add("AveragePool", kernel_shape=kernel, strides=kernel)
        return
    down, across = (_shares_of(n, k).astype(graph.dtype) for n, k in zip(size, made, strict=True))
    tables = graph.constant("down", down), graph.constant("across", across.T)
    with graph.images(len(below) == 2):
        graph.add("AdaptiveAveragePool", *tables, domain=DOMAIN, output_size=made)


def _shares_of(size: int, outputs: int) -> Array:
    """Line i: the share of each of `size` elements in the mean of window i.

    Examples
    --------
    >>> _shares_of(3, 2)
    array([[0.5, 0.5, 0. ],
           [0. , 0.5, 0.5]])
    """
    shares = np.zeros((outputs, size))
    for i in range(outputs):
        begin, end = i * size // outputs, -(-(i + 1) * size // outputs)
        shares[i, begin:end] = 1 / (end - begin)
    return shares
