"""Where branches meet, from and to ONNX."""

import numpy as np

from ...nn.layer import Shape
from ...nn.merge import Stack, Sum
from .graph import Graph
from .node import Node
from .tables import joins, writes
from .value import Value, joined
from .view import LAST


@joins("Add", "Sum")
def read_sum(values: list[Value], node: Node) -> Value:
    orders = [value.order for value in values]
    known = [order for order in orders if order is not None]
    if known and (len(known) < len(orders) or not all(np.array_equal(known[0], order) for order in known)):
        raise ValueError(LAST)
    return joined(values, Sum())


@joins("Concat")
def read_concat(values: list[Value], node: Node) -> Value:
    rank = len(values[0].shape_in_file) + 1
    axis = node.get("axis", 1)
    if not -rank <= axis < rank or not all(value.has_channels_at(axis % rank) for value in values):
        raise ValueError(f"only channels or features are stacked, got axis {axis}")
    made = joined(values, Stack(), axis % rank)
    if any(value.order is not None for value in values):
        sizes = [value.shape[0] for value in values]
        starts = np.cumsum([0, *sizes[:-1]])
        made.order = np.concatenate(
            [
                start + (np.arange(size) if value.order is None else value.order)
                for value, size, start in zip(values, sizes, starts, strict=True)
            ]
        )
    return made


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
