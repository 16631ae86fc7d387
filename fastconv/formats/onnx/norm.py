"""Normalisation layers from and to ONNX.

ONNX's own GroupNormalization is younger than the operators that are written: it is read, and written as a
function of the same name.
"""

import math

import numpy as np

from ...nn.layer import Shape
from ...nn.norm import BatchNorm2d, GroupNorm
from .affine import take_affine
from .chain import Chain, Node
from .functions import DOMAIN, FUNCTIONS
from .graph import Graph
from .tables import reads, writes


@reads("BatchNormalization")
def read_batch_norm(chain: Chain, node: Node) -> None:
    node.must_be("training_mode", 0)
    node.must_be("spatial", 1)
    layer = BatchNorm2d(float(1 - node.decimal("momentum", 0.9)), float(node.decimal("epsilon", 1e-5)))
    names = ("weight", "bias", "running_mean", "running_var")
    arrays = {name: node.weights(k) for k, name in enumerate(names, 1)}
    if len(chain.shape) > 1:
        chain.append(layer, **arrays)
        return
    # There is no such layer of features; as the file predicts, it is a scale and a shift.
    scale = arrays["weight"] / np.sqrt(arrays["running_var"] + arrays["running_var"].dtype.type(layer.eps))
    take_affine(chain, node, scale, arrays["bias"] - arrays["running_mean"] * scale)


@writes(BatchNorm2d)
def write_batch_norm(graph: Graph, layer: BatchNorm2d, below: Shape, above: Shape) -> None:
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
def read_group_norm(chain: Chain, node: Node) -> None:
    layer = GroupNorm(node.get("num_groups", 0), eps=float(node.decimal("epsilon", 1e-5)))
    chain.append(layer, weight=node.weights(1).reshape(-1), bias=node.weights(2).reshape(-1))


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
