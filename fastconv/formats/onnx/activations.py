"""Activations from and to ONNX."""

from collections.abc import Callable

import numpy as np

from ...nn.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from ...nn.layer import Layer, Shape
from .graph import Graph
from .node import Node
from .tables import READERS, is_one_operator, reads, writes
from .value import Value


def _always(layer: Layer) -> Callable[[Value, Node], None]:
    return lambda value, node: value.append(layer)


READERS.update(Relu=_always(ReLU()), Sigmoid=_always(Sigmoid()), Tanh=_always(Tanh()))
is_one_operator(ReLU, "Relu")
is_one_operator(Sigmoid, "Sigmoid")
is_one_operator(Tanh, "Tanh")
is_one_operator(Softmax, "Softmax", axis=1)


@reads("LeakyRelu")
def read_leaky_relu(value: Value, node: Node) -> None:
    value.append(LeakyReLU(float(node.decimal("alpha", 0.01))))


@reads("PRelu")
def read_prelu(value: Value, node: Node) -> None:
    value.append(LeakyReLU(node.scalar(1)))


@reads("Softmax")
def read_softmax(value: Value, node: Node) -> None:
    default = 1 if node.opset < 13 else -1
    if node.get("axis", default) not in (1, -1):
        raise ValueError(f"`axis` must be 1, got {node.get('axis')}")
    value.append(Softmax())


@reads("LogSoftmax")
def read_log_softmax(value: Value, node: Node) -> None:
    """No layer: what goes in is kept, and that the file goes on is remembered."""
    default = 1 if node.opset < 13 else -1
    if node.get("axis", default) not in (1, -1) or len(value.shape) != 1:
        raise ValueError(f"only over (N, features) is it supported, along axis 1, got {node.get('axis')}")
    value.check_plain()
    value.check_order()
    value.log_softmax = True


@writes(LeakyReLU)
def write_leaky_relu(graph: Graph, layer: LeakyReLU, below: Shape, above: Shape) -> None:
    if graph.double:  # also because an attribute holds a slope in float32 only
        graph.add("PRelu", graph.constant("slope", np.array([layer.negative_slope])))
    else:
        graph.add("LeakyRelu", alpha=layer.negative_slope)
