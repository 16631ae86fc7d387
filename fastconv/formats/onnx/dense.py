"""Dense layers from and to ONNX."""

from ...nn.dense import Dense
from ...nn.layer import Shape
from .chain import Chain, Node
from .graph import Graph
from .tables import reads, writes


@reads("Gemm")
def read_gemm(chain: Chain, node: Node) -> None:
    node.must_be("transA", 0)
    weight = node.weights(1)
    if weight.ndim != 2:
        raise ValueError(f"its weights must have two axes, got shape {weight.shape}")
    weight = weight if node.get("transB", 0) else weight.T
    weight = weight * weight.dtype.type(node.get("alpha", 1.0))
    chain.append(Dense(weight.shape[0], bias=False), weight=weight)
    beta = node.get("beta", 1.0)
    if node.has(2) and beta != 0:
        chain.add_bias(node.weights(2) * weight.dtype.type(beta))


@reads("MatMul")
def read_matmul(chain: Chain, node: Node) -> None:
    weight = node.weights(1)
    if weight.ndim != 2:
        raise ValueError(f"its weights must have two axes, got shape {weight.shape}")
    chain.append(Dense(weight.shape[1], bias=False), weight=weight.T)


@writes(Dense)
def write_dense(graph: Graph, layer: Dense, below: Shape, above: Shape) -> None:
    graph.add("Gemm", *graph.parameters("weight", "bias"), transB=1)
