"""Smooth and bent activations from and to ONNX."""

import math

import numpy as np

from ...nn.activations import ReLU
from ...nn.curves import ELU, GELU, Hardsigmoid, Hardswish, ReLU6, SiLU, Softplus
from ...nn.layer import Shape
from .functions import DOMAIN, FUNCTIONS
from .graph import Graph
from .node import Node
from .tables import reads, writes
from .value import Value

LARGEST = float(np.finfo(np.float32).max)


@reads("Softplus")
def read_softplus(value: Value, node: Node) -> None:
    value.append(Softplus())


@reads("Elu")
def read_elu(value: Value, node: Node) -> None:
    value.append(ELU(float(node.decimal("alpha", 1.0))))


@reads("HardSigmoid")
def read_hard_sigmoid(value: Value, node: Node) -> None:
    """ONNX's own default slope is 1 / 5; PyTorch's and Keras' is 1 / 6."""
    slope, shift = float(node.decimal("alpha", 0.2)), float(node.decimal("beta", 0.5))
    if not math.isclose(slope, 1 / 6, rel_tol=1e-6) or shift != 0.5:
        raise ValueError(f"only `alpha` 1 / 6 and `beta` 1 / 2 are supported, got {slope:g} and {shift:g}")
    value.append(Hardsigmoid())


@reads("Clip", "Max", "Min")
def read_clip(value: Value, node: Node) -> None:
    """Between two numbers: a ReLU, a ReLU6, or nothing at all where these are the largest there are."""
    low, high = -math.inf, math.inf
    if node.kind == "Clip":
        low = node.scalar(1) if node.has(1) else node.get("min", low)
        high = node.scalar(2) if node.has(2) else node.get("max", high)
    elif len(node.inputs) > 2:
        raise ValueError(f"only one constant is supported, got {len(node.inputs) - 1}")
    elif len(node.inputs) == 2:
        number = node.scalar(1 - node.value)
        low, high = (number, high) if node.kind == "Max" else (low, number)
    if low <= -LARGEST and high >= LARGEST:
        return
    if low != 0 or (high != 6 and high < LARGEST):
        raise ValueError(f"only from 0 to 6, or from 0 on, is supported, got {low:g} to {high:g}")
    value.append(ReLU6() if high == 6 else ReLU())


@reads("HardSwish")
def read_hard_swish(value: Value, node: Node) -> None:
    value.append(Hardswish())


@reads("Gelu")
def read_gelu(value: Value, node: Node) -> None:
    value.append(GELU(node.get("approximate", "none")))


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


@writes(Softplus)
def write_softplus(graph: Graph, layer: Softplus, below: Shape, above: Shape) -> None:
    """In float64, of which ONNX Runtime has none: max(x, 0) + log(1 + exp(-abs(x)))."""
    if not graph.double:
        graph.add("Softplus")
        return
    x = graph.value
    for kind in ("Abs", "Neg", "Exp"):
        graph.add(kind)
    graph.add("Add", _number(graph, "one", 1))
    graph.add("Log")
    rest, graph.value = graph.value, x
    graph.add("Max", _number(graph, "zero", 0))
    graph.others = [rest]
    graph.add("Add")


@writes(GELU)
def write_gelu(graph: Graph, layer: GELU, below: Shape, above: Shape) -> None:
    """Operators of opset 17, which has no Gelu of its own."""
    if layer.approximate == "tanh":
        _write_gelu_by_tanh(graph)
    elif graph.double:
        numbers = {"root_half": math.sqrt(0.5), "least": -6, "most": 6, "one": 1, "half": 0.5}
        points, shares = np.polynomial.legendre.leggauss(POINTS)
        graph.add(
            "Gelu",
            *(_number(graph, name, value) for name, value in numbers.items()),
            graph.constant("points", (points + 1) / 2),
            graph.constant("shares", shares / math.sqrt(math.pi)),
            graph.constant("last", np.array([-1])),
            domain=DOMAIN,
        )
    else:
        x = graph.value
        graph.add("Mul", _number(graph, "root_half", math.sqrt(0.5)))
        graph.add("Erf")
        graph.add("Add", _number(graph, "one", 1))
        graph.others = [x]
        graph.add("Mul")
        graph.add("Mul", _number(graph, "half", 0.5))


def _write_gelu_by_tanh(graph: Graph) -> None:
    x = graph.value
    graph.add("Mul", _number(graph, "cube", math.sqrt(2 / math.pi) * 0.044715))
    for _ in range(2):
        graph.others = [x]
        graph.add("Mul")
    cubic, graph.value = graph.value, x
    graph.add("Mul", _number(graph, "scale", math.sqrt(2 / math.pi)))
    graph.others = [cubic]
    graph.add("Add")
    graph.add("Tanh")
    graph.add("Add", _number(graph, "one", 1))
    graph.others = [x]
    graph.add("Mul")
    graph.add("Mul", _number(graph, "half", 0.5))


# ONNX Runtime has no Erf of float64 either: erf(z) = z * 2 / sqrt(pi) * integral of exp(-(z t)**2) over t
# from 0 to 1, by Gauss's rule, which has all digits of it with these points. From 6 on it is 1.
POINTS = 48
FUNCTIONS["Gelu"] = (
    ["X", "root_half", "least", "most", "one", "half", "points", "shares", "last"],
    [],
    (
        ("Mul", ["X", "root_half"], ["scaled"], {}),
        ("Clip", ["scaled", "least", "most"], ["z"], {}),
        ("Unsqueeze", ["z", "last"], ["column"], {}),
        ("Mul", ["column", "points"], ["at"], {}),
        ("Mul", ["at", "at"], ["squares"], {}),
        ("Neg", ["squares"], ["exponents"], {}),
        ("Exp", ["exponents"], ["heights"], {}),
        ("Mul", ["heights", "shares"], ["parts"], {}),
        ("ReduceSum", ["parts", "last"], ["integral"], {"keepdims": 0}),
        ("Mul", ["integral", "z"], ["erf"], {}),
        ("Add", ["erf", "one"], ["twice"], {}),
        ("Mul", ["twice", "X"], ["double"], {}),
        ("Mul", ["double", "half"], ["Y"], {}),
    ),
)


def _number(graph: Graph, name: str, value: float) -> str:
    return graph.constant(name, np.array(value, graph.dtype))
