"""Several nodes that together are a normalisation, as exporters write it where an opset has no such operator.

mean = ReduceMean(x)        centred = x - mean        variance = ReduceMean(centred ** 2)
y = centred / Sqrt(variance + eps)                or  y = centred * Reciprocal(Sqrt(variance + eps))
"""

from copy import copy

import numpy as np

from ...nn.layer import Arrays
from .node import Node

NORMALISED = "normalisation"  # what such nodes are called together


class Normalisations:
    """Finds them among nodes that stand in the order in which they run."""

    def __init__(self, constants: Arrays) -> None:
        self._constants = constants
        self._makers: dict[str, Node] = {}

    def whole(self, node: Node) -> Node | None:
        """The normalisation that ends in a node, as a node of its own."""
        self._makers.update(dict.fromkeys(node.outputs, node))
        if node.kind not in ("Div", "Mul") or len(node.inputs) != 2:
            return None
        for centred, deviation in (node.inputs, node.inputs[::-1]):
            if node.kind == "Mul":
                inverse = self._made(deviation, "Reciprocal")
                deviation = inverse.inputs[0] if inverse is not None else ""
            elif centred != node.inputs[0]:
                break
            root = self._made(deviation, "Sqrt")
            raised = root and self._made(root.inputs[0], "Add")
            if raised and (found := self._whole(node, centred, raised)):
                return found
        return None

    def _whole(self, node: Node, centred: str, raised: Node) -> Node | None:
        variance, eps = raised.inputs if raised.inputs[1] in self._constants else raised.inputs[::-1]
        mean_of_squares, start = self._made(variance, "ReduceMean"), self._start(centred)
        if mean_of_squares is None or start is None or self._constants.get(eps, np.zeros(2)).size != 1:
            return None
        squares = self._makers.get(mean_of_squares.inputs[0])
        if squares is None or squares.kind not in ("Mul", "Pow") or self._start(squares.inputs[0]) != start:
            return None
        if squares.kind == "Mul" and self._start(squares.inputs[1]) != start:
            return None
        if squares.kind == "Pow" and not np.array_equal(self._constants.get(squares.inputs[1], 0), 2):
            return None
        if self._axes(mean_of_squares) != start[1]:
            return None
        found = copy(node)
        found.kind, found.inputs = NORMALISED, [start[0], eps]
        found.attributes = {"axes": start[1], "epsilon": float(self._constants[eps].reshape(()))}
        return found

    def _start(self, centred: str) -> tuple[str, tuple[int, ...]] | None:
        """The value that a value is, less its mean, and the axes of the mean."""
        difference = self._made(centred, "Sub")
        mean = difference and self._made(difference.inputs[1], "ReduceMean")
        if not difference or not mean or mean.inputs[0] != difference.inputs[0]:
            return None
        return mean.inputs[0], self._axes(mean)

    def _axes(self, mean: Node) -> tuple[int, ...]:
        axes = self._constants.get(mean.inputs[1]) if len(mean.inputs) > 1 else mean.get("axes")
        kept = mean.get("keepdims", 1) and axes is not None
        return tuple(int(axis) for axis in axes) if kept else ()  # type: ignore[union-attr]

    def _made(self, name: str, kind: str) -> Node | None:
        node = self._makers.get(name)
        return node if node is not None and node.kind == kind and node.domain in ("", "ai.onnx") else None
