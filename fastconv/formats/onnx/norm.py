"""Normalisation layers from and to ONNX.

ONNX's own GroupNormalization is younger than the operators that are written: it is read, and written as a
function of the same name.
"""

import math

import numpy as np

from ...nn.layer import Shape
from ...nn.norm import BatchNorm2d, GroupNorm
from ...nn.signal import BatchNorm1d
from .functions import DOMAIN, FUNCTIONS
from .graph import Graph
from .node import Node
from .tables import reads, writes
from .value import Array, Value


@reads("BatchNormalization")
def read_batch_norm(value: Value, node: Node) -> None:
    node.must_be("training_mode", 0)
    node.must_be("spatial", 1)
    kind = BatchNorm2d if len(value.shape) == 3 else BatchNorm1d
    layer = kind(float(1 - node.decimal("momentum", 0.9)), float(node.decimal("epsilon", 1e-5)))
    names = ("weight", "bias", "running_mean", "running_var")
    check_channels(value)
    value.append(layer, **{name: node.weights(k) for k, name in enumerate(names, 1)})


def check_channels(value: Value) -> None:
    """Raise ValueError unless the channels are the file's axis after that of the samples."""
    if not value.has_channels_at(1):
        value.check_order()
        raise ValueError(f"its channels must be axis 1, got {('N', *value.shape_in_file)}")


@writes(BatchNorm2d, BatchNorm1d)
def write_batch_norm(graph: Graph, layer: BatchNorm2d | BatchNorm1d, below: Shape, above: Shape) -> None:
    arrays = graph.parameters("weight", "bias", "running_mean", "running_var")
    graph.add("BatchNormalization", *arrays, epsilon=layer.eps, momentum=1.0 - layer.momentum)


FUNCTIONS["GroupNormalization"] = (
    ["X", "scale", "bias", "groups", "eps", "images"],
    ["num_groups", "epsilon"],
    (
        ("Reshape", ["X", "groups"], ["rows"], {}),  # (N, groups, elements of a group)
        ("ReduceMean", ["rows"], ["mean"], {"axes": [2], "keepdims": 1}),
        ("Sub", ["rows", "mean"], ["centred"], {}),
        ("Mul", ["centred", "centred"], ["squares"], {}),
        ("ReduceMean", ["squares"], ["variance"], {"axes": [2], "keepdims": 1}),
        ("Add", ["variance", "eps"], ["raised"], {}),
        ("Sqrt", ["raised"], ["deviation"], {}),
        ("Div", ["centred", "deviation"], ["normal_rows"], {}),
        ("Reshape", ["normal_rows", "images"], ["normal"], {}),
        ("Mul", ["normal", "scale"], ["scaled"], {}),
        ("Add", ["scaled", "bias"], ["Y"], {}),
    ),
)


@reads("GroupNormalization")
def read_group_norm(value: Value, node: Node) -> None:
    check_channels(value)
    layer = GroupNorm(node.get("num_groups", 0), eps=float(node.decimal("epsilon", 1e-5)))
    per_group = node.opset < 21 and node.domain != DOMAIN
    weight, bias = (_of_channels(node.weights(k), value, per_group) for k in (1, 2))
    value.append(layer, weight=weight, bias=bias)


@reads("InstanceNormalization")
def read_instance_norm(value: Value, node: Node) -> None:
    """Also of groups of channels, as exporters write a group normalisation in older opsets."""
    groups, divided, value.groups = value.groups, value.groups is not None, None
    if groups is None and value.shape_in_file[0] == 1 != value.shape[0]:
        groups = 1  # all channels are merged
    elif groups is None:
        check_channels(value)
    layer = GroupNorm(groups or value.shape[0], eps=float(node.decimal("epsilon", 1e-5)))
    weight, bias = (_of_channels(node.weights(k), value, True) for k in (1, 2))
    value.append(layer, weight=weight, bias=bias)
    value.groups = groups if divided else None


def _of_channels(array: Array, value: Value, per_group: bool) -> Array:
    """One number for each channel, of one for each group of them."""
    array = array.reshape(-1)
    repeats = value.shape[0] // max(1, array.size) if per_group else 1
    return np.repeat(array, repeats) if repeats > 1 else array


@writes(GroupNorm)
def write_group_norm(graph: Graph, layer: GroupNorm, below: Shape, above: Shape) -> None:
    ones = (1,) * (len(below) - 1)
    for name in graph.parameters("weight", "bias"):
        graph.constants[name] = graph.constants[name].reshape(-1, *ones)
    graph.add(
        "GroupNormalization",
        *graph.parameters("weight", "bias"),
        graph.constant("groups", np.array([0, layer.num_groups, math.prod(below) // layer.num_groups])),
        graph.constant("eps", np.array(layer.eps, graph.dtype)),
        graph.constant("images", np.array([0, *below])),
        domain=DOMAIN,
        num_groups=layer.num_groups,
        epsilon=layer.eps,
    )
