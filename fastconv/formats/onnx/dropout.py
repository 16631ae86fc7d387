"""Dropout from and to ONNX."""

import numpy as np

from ...nn.dropout import Dropout, SpatialDropout2d
from ...nn.layer import Shape
from ...nn.signal_channels import SpatialDropout1d
from .graph import Graph
from .node import Node
from .tables import reads, writes
from .value import Value

OF_CHANNELS = "ratio_of_channels"


@reads("Dropout")
def read_dropout(value: Value, node: Node) -> None:
    if node.has(2) and bool(node.constant(2).any()):
        raise ValueError("it is in training mode, expected a network for prediction")
    ratio = node.scalar(1) if node.has(1) else node.get("ratio", 0.5)
    ratio_name = node.inputs[1] if node.has(1) else ""
    rounded = not node.has(1) or node.weights(1).dtype == np.float32
    share = float(str(np.float32(ratio))) if rounded else ratio
    if not ratio_name.endswith(OF_CHANNELS):
        value.append(Dropout(share))
    else:
        value.append(SpatialDropout2d(share) if len(value.shape) == 3 else SpatialDropout1d(share))


@reads("Identity")
def read_identity(value: Value, node: Node) -> None:
    """Nothing to add: predictions do not change."""


@writes(Dropout)
def write_dropout(graph: Graph, layer: Dropout, below: Shape, above: Shape) -> None:
    graph.add("Dropout", graph.constant("ratio", np.array(layer.p, graph.dtype)))


@writes(SpatialDropout2d, SpatialDropout1d)
def write_spatial_dropout(
    graph: Graph, layer: SpatialDropout2d | SpatialDropout1d, below: Shape, above: Shape
) -> None:
    """As ONNX has no other, a Dropout: what it is of, only the name of its ratio tells."""
    graph.add("Dropout", graph.constant(OF_CHANNELS, np.array(layer.p, graph.dtype)))
