"""What the files of the layer families know: who reads an operator, and who writes a layer."""

from collections.abc import Callable
from typing import Any

from ...nn.layer import Layer, Shape, entry_of
from .graph import Graph
from .node import Node
from .value import Value

Reader = Callable[[Value, Node], None]
Joint = Callable[[list[Value], Node], Value]
Writer = Callable[[Graph, Any, Shape, Shape], None]

READERS: dict[str, Reader] = {}  # ONNX's operator -> what goes on with a value
JOINTS: dict[str, Joint] = {}  # ONNX's operator -> what makes one value of several
WRITERS: dict[type[Layer], Writer] = {}  # layer -> what writes it, given the shapes of its input and output


def reads(*operators: str) -> Callable[[Reader], Reader]:
    """A decorator: the function reads these operators, which take one value."""

    def register(reader: Reader) -> Reader:
        READERS.update(dict.fromkeys(operators, reader))
        return reader

    return register


def joins(*operators: str) -> Callable[[Joint], Joint]:
    """A decorator: the function reads these operators where they take several values."""

    def register(joint: Joint) -> Joint:
        JOINTS.update(dict.fromkeys(operators, joint))
        return joint

    return register


def writes(*layers: type[Layer]) -> Callable[[Writer], Writer]:
    """A decorator: the function writes these layers."""

    def register(writer: Writer) -> Writer:
        WRITERS.update(dict.fromkeys(layers, writer))
        return writer

    return register


def is_one_operator(layer: type[Layer], operator: str, **attributes: Any) -> None:
    """Write a layer as one operator without constants."""
    WRITERS[layer] = lambda graph, record, below, above: graph.add(operator, **attributes)


def writer_of(layer: Layer) -> Writer:
    """What writes a layer: its own writer, or that of the record that it is a subclass of.

    Raises
    ------
    ValueError
        If there is none.
    """
    found = entry_of(WRITERS, layer)
    if found is not None:
        return found
    raise ValueError(f"{layer.call()} has no counterpart in ONNX")
