"""Smooth and bent activations from and to ONNX."""

import math

import numpy as np

from ...nn.curves import ELU, GELU, Hardsigmoid, Hardswish, ReLU6, SiLU, Softplus
from ...nn.layer import Shape
from .chain import Chain, Node
from .graph import Graph
from .tables import is_one_operator, reads, writes

is_one_operator(Softplus, "Softplus")


@reads("Softplus")
def read_softplus(chain: Chain, node: Node) -> None:
    chain.append(Softplus())


@reads("Elu")
def read_elu(chain: Chain, node: Node) -> None:
    chain.append(ELU(float(node.decimal("alpha", 1.0))))


@reads("HardSigmoid")
def read_hard_sigmoid(chain: Chain, node: Node) -> None:
    """ONNX's own default slope is 1 / 5; PyTorch's and Keras' is 1 / 6."""
    slope, shift = float(node.decimal("alpha", 0.2)), float(node.decimal("beta", 0.5))
    if not math.isclose(slope, 1 / 6, rel_tol=1e-6) or shift != 0.5:
        raise ValueError(f"only `alpha` 1 / 6 and `beta` 1 / 2 are supported, got {slope:g} and {shift:g}")
    chain.append(Hardsigmoid())


@reads("HardSwish")
def read_hard_swish(chain: Chain, node: Node) -> None:
    chain.append(Hardswish())


@reads("Gelu")
def read_gelu(chain: Chain, node: Node) -> None:
    chain.append(GELU(node.get("approximate", "none")))


@writes(ReLU6)
def write_relu6(graph: Graph, layer: ReLU6, below: Shape, above: Shape) -> None:
    graph.add("Clip", *(_number(graph, name, value) for name, value in (("least", 0), ("most", 6))))


@writes(ELU)
def write_elu(graph: Graph, layer: ELU, below: Shape, above: Shape) -> None:
    """In float64, of which ONNX Runtime has no Elu: max(x, 0) + alpha * (exp(min(x, 0)) - 1)."""
    if not graph.double:
        graph.add("Elu", alpha=layer.alpha)
        return
    x, zero = graph.value, _number(graph, "zero", 0)
    graph.add("Min", zero)
    graph.add("Exp")
    graph.add("Sub", _number(graph, "one", 1))
    graph.add("Mul", _number(graph, "alpha", layer.alpha))
    below_zero, graph.value = graph.value, x
    graph.add("Max", zero)
    graph.others = [below_zero]
    graph.add("Add")


@writes(Hardsigmoid)
def write_hard_sigmoid(graph: Graph, layer: Hardsigmoid, below: Shape, above: Shape) -> None:
    _hard_sigmoid(graph)


@writes(Hardswish)
def write_hard_swish(graph: Graph, layer: Hardswish, below: Shape, above: Shape) -> None:
    if not graph.double:
        graph.add("HardSwish")
        return
    x = graph.value
    _hard_sigmoid(graph)
    graph.others = [x]
    graph.add("Mul")


def _hard_sigmoid(graph: Graph) -> None:
    if not graph.double:  # an attribute holds the slope in float32 only
        graph.add("HardSigmoid", alpha=1 / 6, beta=0.5)
        return
    graph.add("Add", _number(graph, "three", 3))
    graph.add("Clip", _number(graph, "least", 0), _number(graph, "most", 6))
    graph.add("Div", _number(graph, "six", 6))


@writes(SiLU)
def write_silu(graph: Graph, layer: SiLU, below: Shape, above: Shape) -> None:
    x = graph.value
    graph.add("Sigmoid")
    graph.others = [x]
    graph.add("Mul")


@writes(GELU)
def write_gelu(graph: Graph, layer: GELU, below: Shape, above: Shape) -> None:
    """Operators of opset 17, which has no Gelu of its own."""
    x = graph.value
    if layer.approximate == "tanh":
        graph.add("Mul", _number(graph, "cube", math.sqrt(2 / math.pi) * 0.044715))
        for _ in range(2):
            graph.others = [x]
            graph.add("Mul")
        cubic, graph.value = graph.value, x
        graph.add("Mul", _number(graph, "scale", math.sqrt(2 / math.pi)))
        graph.others = [cubic]
        graph.add("Add")
        graph.add("Tanh")
    else:
        graph.add("Mul", _number(graph, "root_half", math.sqrt(0.5)))
        graph.add("Erf")
    graph.add("Add", _number(graph, "one", 1))
    graph.others = [x]
    graph.add("Mul")
    graph.add("Mul", _number(graph, "half", 0.5))


def _number(graph: Graph, name: str, value: float) -> str:
    return graph.constant(name, np.array(value, graph.dtype))
