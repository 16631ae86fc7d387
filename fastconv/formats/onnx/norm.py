"""Normalisation layers from and to ONNX."""

from ...nn.layer import Shape
from ...nn.norm import BatchNorm2d
from .chain import Chain, Node
from .graph import Graph
from .tables import reads, writes


@reads("BatchNormalization")
def read_batch_norm(chain: Chain, node: Node) -> None:
    node.must_be("training_mode", 0)
    node.must_be("spatial", 1)
    layer = BatchNorm2d(float(1 - node.decimal("momentum", 0.9)), float(node.decimal("epsilon", 1e-5)))
    names = ("weight", "bias", "running_mean", "running_var")
    chain.append(layer, **{name: node.weights(k) for k, name in enumerate(names, 1)})


@writes(BatchNorm2d)
def write_batch_norm(graph: Graph, layer: BatchNorm2d, below: Shape, above: Shape) -> None:
    arrays = graph.parameters("weight", "bias", "running_mean", "running_var")
    graph.add("BatchNormalization", *arrays, epsilon=layer.eps, momentum=1.0 - layer.momentum)
