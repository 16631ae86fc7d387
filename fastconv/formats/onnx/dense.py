"""Dense layers from and to ONNX."""

from ...nn.conv import Conv2d
from ...nn.dense import Dense
from ...nn.layer import Shape
from ...nn.signal import Conv1d
from .graph import Graph
from .node import Node
from .tables import reads, writes
from .value import Array, Value


@reads("Gemm")
def read_gemm(value: Value, node: Node) -> None:
    if node.value != 0:
        raise ValueError(f"the network's value must be its input 0, got {node.value}")
    node.must_be("transA", 0)
    weight = _matrix(node)
    weight = weight if node.get("transB", 0) else weight.T
    weight = weight * weight.dtype.type(node.get("alpha", 1.0))
    value.append(Dense(weight.shape[0], bias=False), weight=weight)
    beta = node.get("beta", 1.0)
    if node.has(2) and beta != 0:
        value.add_bias(node.weights(2) * weight.dtype.type(beta))


@reads("MatMul")
def read_matmul(value: Value, node: Node) -> None:
    """Of images whose channels are last, it is a convolution of size 1, which mixes channels too."""
    weight = _matrix(node)
    if len(value.shape) == 1 or value.axes[-1] != (1,):
        value.append(Dense(weight.shape[1], bias=False), weight=weight.T)
        return
    kind = Conv2d if len(value.shape) == 3 else Conv1d
    value.check_plain()
    value.begin()
    ones = (1,) * (len(value.shape) - 1)
    value.put(kind(weight.shape[1], 1, bias=False), {"weight": weight.T.reshape(*weight.T.shape, *ones)})


def _matrix(node: Node) -> Array:
    weight = node.weights(1)
    if weight.ndim != 2:
        raise ValueError(f"its weights must have two axes, got shape {weight.shape}")
    return weight


@writes(Dense)
def write_dense(graph: Graph, layer: Dense, below: Shape, above: Shape) -> None:
    graph.add("Gemm", *graph.parameters("weight", "bias"), transB=1)
