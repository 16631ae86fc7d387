"""Normalisation layers from and to ONNX.

ONNX's own GroupNormalization is younger than the operators that are written: it is read, and written as a
function of the same name; in float64 so is InstanceNormalization.
"""

import math
from collections.abc import Iterable

import numpy as np

from ...nn.layer import Shape
from ...nn.norm import BatchNorm2d, GroupNorm, InstanceNorm2d, LayerNorm
from ...nn.signal import BatchNorm1d
from ...nn.signal_channels import InstanceNorm1d
from .functions import DOMAIN, FUNCTIONS
from .graph import Graph
from .node import Node
from .normalised import NORMALISED
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


FUNCTIONS["GroupNormalization"] = FUNCTIONS["InstanceNormalization"] = (
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
    eps = float(node.decimal("epsilon", 1e-5))
    weight, bias = (_of_channels(node.weights(k), value, True) for k in (1, 2))
    if groups is not None or len(value.shape) == 1:
        value.append(GroupNorm(groups or value.shape[0], eps=eps), weight=weight, bias=bias)
    else:
        affine = node.inputs[1].endswith("weight") or bool((weight != 1).any() or bias.any())
        kind = InstanceNorm2d if len(value.shape) == 3 else InstanceNorm1d
        value.append(kind(eps=eps, affine=affine), weight=weight, bias=bias)
    value.groups = groups if divided else None


def _of_channels(array: Array, value: Value, per_group: bool) -> Array:
    """One number for each channel, of one for each group of them."""
    value.net.check_room(value.shape[0])
    array = array.reshape(-1)
    repeats = value.shape[0] // max(1, array.size) if per_group else 1
    return np.repeat(array, repeats) if repeats > 1 else array


@writes(GroupNorm)
def write_group_norm(graph: Graph, layer: GroupNorm, below: Shape, above: Shape) -> None:
    _write_groups(graph, "GroupNormalization", layer.num_groups, layer.eps, below)


@writes(InstanceNorm2d, InstanceNorm1d)
def write_instance_norm(
    graph: Graph, layer: InstanceNorm2d | InstanceNorm1d, below: Shape, above: Shape
) -> None:
    if graph.double:  # of which ONNX Runtime has none
        _write_groups(graph, "InstanceNormalization", below[0], layer.eps, below)
    else:
        graph.add("InstanceNormalization", *_scale_and_shift(graph, below), epsilon=layer.eps)


def _write_groups(graph: Graph, kind: str, groups: int, eps: float, below: Shape) -> None:
    names = _scale_and_shift(graph, below)
    for name in names:
        graph.constants[name] = graph.constants[name].reshape(-1, *(1,) * (len(below) - 1))
    graph.add(
        kind,
        *names,
        graph.constant("groups", np.array([0, groups, math.prod(below) // groups])),
        graph.constant("eps", np.array(eps, graph.dtype)),
        graph.constant("images", np.array([0, *below])),
        domain=DOMAIN,
        num_groups=groups,
        epsilon=eps,
    )


def _scale_and_shift(graph: Graph, below: Shape) -> list[str]:
    """The layer's own, or what changes nothing."""
    return graph.parameters("weight", "bias") or [
        graph.constant("scale", np.ones(below[0], graph.dtype)),
        graph.constant("shift", np.zeros(below[0], graph.dtype)),
    ]


@reads("LayerNormalization")
def read_layer_norm(value: Value, node: Node) -> None:
    rank = len(value.shape_in_file) + 1
    axis = node.get("axis", -1)
    whole_sample(value, range(axis % rank if -rank <= axis < rank else 0, rank))
    weight = in_sample(value, node.weights(1))
    bias = in_sample(value, node.weights(2)) if node.has(2) else np.zeros_like(weight)
    value.append(LayerNorm(eps=float(node.decimal("epsilon", 1e-5))), weight=weight, bias=bias)


@reads(NORMALISED)
def read_normalised(value: Value, node: Node) -> None:
    """What several nodes are together, without a scale and shift: of whole samples, or of channels."""
    rank = len(value.shape_in_file) + 1
    axes = {axis % rank for axis in node.get("axes", ())}
    eps, dtype = float(node.decimal("epsilon", 1e-5)), node.weights(1).dtype
    if axes == set(range(1, rank)):
        whole_sample(value, axes)
        value.net.check_room(math.prod(value.shape))
        ones, zeros = np.ones(value.shape, dtype), np.zeros(value.shape, dtype)
        value.append(LayerNorm(eps=eps), weight=ones, bias=zeros)
    elif len(value.shape) > 1 and axes == set(range(2, rank)):
        check_channels(value)
        value.append((InstanceNorm2d if len(value.shape) == 3 else InstanceNorm1d)(eps=eps))
    else:
        raise ValueError(
            f"only whole samples or channels are normalised, got axes {sorted(axes)} of {rank} axes"
        )


def whole_sample(value: Value, axes: Iterable[int]) -> None:
    """Raise ValueError unless axes of the file are all of a sample, in our order."""
    rank = len(value.shape_in_file) + 1
    if set(axes) != set(range(1, rank)):
        raise ValueError(f"only whole samples are normalised, axes 1 to {rank - 1}, got axes {sorted(axes)}")
    value.check_order()


def in_sample(value: Value, array: Array) -> Array:
    """A constant as one number for each element of a sample."""
    value.net.check_room(math.prod(value.shape))
    try:
        return np.broadcast_to(array, value.shape_in_file).reshape(value.shape)
    except ValueError:
        raise ValueError(f"its weights must have shape {value.shape}, got {array.shape}") from None


@writes(LayerNorm)
def write_layer_norm(graph: Graph, layer: LayerNorm, below: Shape, above: Shape) -> None:
    graph.add("LayerNormalization", *graph.parameters("weight", "bias"), axis=1, epsilon=layer.eps)
