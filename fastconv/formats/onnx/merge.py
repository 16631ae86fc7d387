"""Where branches meet, to ONNX."""

from ...nn.layer import Shape
from ...nn.merge import Stack, Sum
from .graph import Graph
from .tables import writes


@writes(Sum)
def write_sum(graph: Graph, layer: Sum, below: Shape, above: Shape) -> None:
    """A chain of Adds: the order of a Sum's additions is the runtime's own."""
    others = graph.others
    for other in others:
        graph.others = [other]
        graph.add("Add")


@writes(Stack)
def write_stack(graph: Graph, layer: Stack, below: Shape, above: Shape) -> None:
    graph.add("Concat", axis=1)
