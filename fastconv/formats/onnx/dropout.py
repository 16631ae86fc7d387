"""Dropout from and to ONNX."""

import numpy as np

from ...nn.dropout import Dropout
from ...nn.layer import Shape
from .chain import Chain, Node
from .graph import Graph
from .tables import reads, writes


@reads("Dropout")
def read_dropout(chain: Chain, node: Node) -> None:
    if node.has(2) and bool(node.constant(2).any()):
        raise ValueError("it is in training mode, expected a network for prediction")
    ratio = node.scalar(1) if node.has(1) else node.get("ratio", 0.5)
    rounded = not node.has(1) or node.weights(1).dtype == np.float32
    chain.append(Dropout(float(str(np.float32(ratio))) if rounded else ratio))


@reads("Identity")
def read_identity(chain: Chain, node: Node) -> None:
    """Nothing to add: predictions do not change."""


@writes(Dropout)
def write_dropout(graph: Graph, layer: Dropout, below: Shape, above: Shape) -> None:
    graph.add("Dropout", graph.constant("ratio", np.array(layer.p, graph.dtype)))
