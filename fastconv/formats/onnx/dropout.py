"""Dropout from and to ONNX."""

import numpy as np

from ...nn.dropout import Dropout
from ...nn.layer import Shape
from .graph import Graph
from .node import Node
from .tables import reads, writes
from .value import Value


@reads("Dropout")
def read_dropout(value: Value, node: Node) -> None:
    if node.has(2) and bool(node.constant(2).any()):
        raise ValueError("it is in training mode, expected a network for prediction")
    ratio = node.scalar(1) if node.has(1) else node.get("ratio", 0.5)
    rounded = not node.has(1) or node.weights(1).dtype == np.float32
    value.append(Dropout(float(str(np.float32(ratio))) if rounded else ratio))


@reads("Identity")
def read_identity(value: Value, node: Node) -> None:
    """Nothing to add: predictions do not change."""


@writes(Dropout)
def write_dropout(graph: Graph, layer: Dropout, below: Shape, above: Shape) -> None:
    graph.add("Dropout", graph.constant("ratio", np.array(layer.p, graph.dtype)))
