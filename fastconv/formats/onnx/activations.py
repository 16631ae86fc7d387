"""Activations from and to ONNX."""

from collections.abc import Callable

import numpy as np

from ...nn.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from ...nn.layer import Layer, Shape
from .chain import Chain, Node
from .graph import Graph
from .tables import READERS, is_one_operator, reads, writes


def _always(layer: Layer) -> Callable[[Chain, Node], None]:
    return lambda chain, node: chain.append(layer)


READERS.update(Relu=_always(ReLU()), Sigmoid=_always(Sigmoid()), Tanh=_always(Tanh()))
is_one_operator(ReLU, "Relu")
is_one_operator(Sigmoid, "Sigmoid")
is_one_operator(Tanh, "Tanh")
is_one_operator(Softmax, "Softmax", axis=1)


@reads("LeakyRelu")
def read_leaky_relu(chain: Chain, node: Node) -> None:
    chain.append(LeakyReLU(float(node.decimal("alpha", 0.01))))


@reads("PRelu")
def read_prelu(chain: Chain, node: Node) -> None:
    chain.append(LeakyReLU(node.scalar(1)))


@reads("Softmax")
def read_softmax(chain: Chain, node: Node) -> None:
    default = 1 if node.opset < 13 else -1
    if node.get("axis", default) not in (1, -1):
        raise ValueError(f"`axis` must be 1, got {node.get('axis')}")
    chain.append(Softmax())


@reads("LogSoftmax")
def read_log_softmax(chain: Chain, node: Node) -> None:
    """No layer: what goes in is kept, and that the file goes on is remembered."""
    default = 1 if node.opset < 13 else -1
    if node.get("axis", default) not in (1, -1) or len(chain.shape) != 1:
        raise ValueError(f"only over (N, features) is it supported, along axis 1, got {node.get('axis')}")
    chain.no_pad()
    chain.check_order()
    chain.log_softmax = True


@writes(LeakyReLU)
def write_leaky_relu(graph: Graph, layer: LeakyReLU, below: Shape, above: Shape) -> None:
    if graph.double:  # also because an attribute holds a slope in float32 only
        graph.add("PRelu", graph.constant("slope", np.array([layer.negative_slope])))
    else:
        graph.add("LeakyRelu", alpha=layer.negative_slope)
