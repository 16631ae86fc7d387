"""Convolution and average pooling of float64 as ONNX functions, for ONNX Runtime has neither.

Both cut the padded image into its windows with two tables of indices, one of lines and one of columns:

    (N, C, H, W) -> (N, C, OH, KH, W) -> (N, C, OH, KH, OW, KW)

and then sum over KH and KW. The nodes also carry the attributes of the ONNX operator they stand for, so that
they can be read like it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...nn.conv import Conv2d
from ...nn.layer import Shape
from ...nn.pool import AvgPool2d

DOMAIN = "fastconv"

_WINDOWS: tuple[Any, ...] = (
    ("Pad", ["X", "pads"], ["padded"], {}),
    ("Gather", ["padded", "lines"], ["cut"], {"axis": 2}),
    ("Gather", ["cut", "columns"], ["windows"], {"axis": 4}),
)

# Name -> (inputs, attributes, nodes); the files of the layer families may add some.
FUNCTIONS: dict[str, tuple[list[str], list[str], tuple[Any, ...]]] = {
    "Conv": (
        ["X", "W", "pads", "lines", "columns", "split", "kernels", "joined"],
        ["kernel_shape", "strides", "pads", "dilations", "group"],
        (
            *_WINDOWS,
            ("Reshape", ["windows", "split"], ["groups"], {}),
            ("Reshape", ["W", "kernels"], ["taps"], {}),
            ("Einsum", ["groups", "taps"], ["sums"], {"equation": "ngchiwj,gocij->ngohw"}),
            ("Reshape", ["sums", "joined"], ["Y"], {}),
        ),
    ),
    "AveragePool": (
        ["X", "pads", "lines", "columns", "within", "shares"],
        ["kernel_shape", "strides", "pads", "ceil_mode", "count_include_pad"],
        (
            *_WINDOWS,
            ("ReduceSum", ["windows", "within"], ["sums"], {"keepdims": 0}),
            ("Mul", ["sums", "shares"], ["Y"], {}),
        ),
    ),
}


def functions(onnx: Any, names: set[str], opset: int) -> list[Any]:
    """The functions of these names, as onnx.FunctionProto."""
    helper = onnx.helper
    return [
        helper.make_function(
            DOMAIN,
            name,
            inputs,
            ["Y"],
            [helper.make_node(kind, taken, made, **settings) for kind, taken, made, settings in nodes],
            [helper.make_opsetid("", opset)],
            attributes,
        )
        for name, (inputs, attributes, nodes) in FUNCTIONS.items()
        if name in names
    ]


def conv_inputs(layer: Conv2d, below: Shape, above: Shape) -> dict[str, NDArray[np.int64]]:
    """Name -> array of what "Conv" takes beside the image and the weights."""
    (groups, outputs), channels = (layer.groups, layer.out_channels), below[0]
    (kh, kw), (oh, ow) = layer.kernel_size, above[1:]
    tables = _tables(layer, layer.dilation, layer.pads(below), below, above)
    return tables | {
        "split": np.array([0, groups, channels // groups, oh, kh, ow, kw]),
        "kernels": np.array([groups, outputs // groups, channels // groups, kh, kw]),
        "joined": np.array([0, outputs, oh, ow]),
    }


def average_pool_inputs(layer: AvgPool2d, below: Shape, above: Shape) -> dict[str, NDArray[Any]]:
    """Name -> array of what "AveragePool" takes beside the image."""
    pads = layer.pads(below)
    counts = []
    for size, outputs, kernel, stride, (before, after) in zip(
        below[1:], above[1:], layer.kernel_size, layer.stride, pads, strict=True
    ):
        low, high = (-before, size + after) if layer.count_include_pad else (0, size)
        counts.append(elements_counted(outputs, kernel, stride, before, low, high))
    tables = _tables(layer, (1, 1), pads, below, above)
    return tables | {"within": np.array([3, 5]), "shares": 1.0 / np.outer(*counts)}


def elements_counted(
    outputs: int, kernel: int, stride: int, padding: int, low: int, high: int
) -> NDArray[np.int64]:
    """Of each window along one axis, how many elements lie in [low, high), where the image begins at 0.

    Examples
    --------
    >>> elements_counted(outputs=3, kernel=3, stride=2, padding=1, low=0, high=5)
    array([2, 3, 2])
    """
    first = np.arange(outputs) * stride - padding
    return np.minimum(first + kernel, high) - np.maximum(first, low)


def _tables(
    layer: Conv2d | AvgPool2d, dilation: Shape, pads: Any, below: Shape, above: Shape
) -> dict[str, NDArray[np.int64]]:
    """The padding of the image, and where the elements of each window lie in it along both axes."""
    tables, begin, end = [], [], []
    for size, outputs, kernel, stride, step, (before, after) in zip(
        below[1:], above[1:], layer.kernel_size, layer.stride, dilation, pads, strict=True
    ):
        table = np.arange(outputs)[:, None] * stride + np.arange(kernel) * step
        tables.append(table)
        begin.append(before)
        end.append(max(after, int(table.max()) + 1 - before - size))  # windows may hang over
    return {"pads": np.array([0, 0, *begin, 0, 0, *end]), "lines": tables[0], "columns": tables[1]}
