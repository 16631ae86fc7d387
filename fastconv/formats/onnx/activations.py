"""Activations from and to ONNX."""

from collections.abc import Callable

import numpy as np

from ...nn.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from ...nn.layer import Layer, Shape
from ...nn.prelu import PReLU
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
    """Slopes that were not learned are a LeakyReLU: one that is, exporters call a weight."""
    slopes = node.weights(1)
    learned = node.inputs[1].endswith("weight")
    if slopes.size == 1 and not learned and slopes.reshape(()) >= 0:
        value.append(LeakyReLU(node.scalar(1)))
        return
    alone = slopes.size == 1
    weight = slopes.reshape(1) if alone else value.per_channel(slopes, "multiplies with")
    value.check_plain()
    if value.order is not None and not alone:
        value.check_order()
    value.begin()
    value.put(PReLU(not alone), {"weight": weight})


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


@writes(PReLU)
def write_prelu(graph: Graph, layer: PReLU, below: Shape, above: Shape) -> None:
    name = f"{graph.layer}.weight"
    if layer.per_channel:
        graph.constants[name] = graph.constants[name].reshape(-1, *(1,) * (len(below) - 1))
    graph.add("PRelu", name)


@writes(LeakyReLU)
def write_leaky_relu(graph: Graph, layer: LeakyReLU, below: Shape, above: Shape) -> None:
    if graph.double:  # also because an attribute holds a slope in float32 only
        graph.add("PRelu", graph.constant("slope", np.array([layer.negative_slope])))
    else:
        graph.add("LeakyRelu", alpha=layer.negative_slope)
