"""What a network is inside: nodes that read values and make one each.

    Residual([Conv2d(4, 3, padding="same"), ReLU()])        value  made by          read by
                                                            0      (the input)      "0.layers.0", "0"
          0 ---- "0.layers.0" -- 1 -- "0.layers.1" -- 2     1      "0.layers.0"     "0.layers.1"
          |                                           |     2      "0.layers.1"     "0"
          +-------------------------------- "0" ------+     3      "0", an Add()    (the output)

Values are numbered: the inputs of the network first, then what each node makes, in the order in which the
nodes run. In a row of layers, node k reads value k and makes value k + 1.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..checks.jit import LARGEST

if TYPE_CHECKING:
    from .layer import Array, Arrays, Layer, Shape


@dataclass(frozen=True)
class Node:
    """A layer at its place in a network.

    Attributes
    ----------
    name : str
        "0", "1", ..., and "1.0" for the first part of a block: its parameters are "1.0.weight", ...
    layer : Layer
    inputs : tuple of ints
        The values that it reads, one for most layers.
    output : int
        The value that it makes.
    input_shapes : tuple of tuples
        Of one sample, for each of `inputs`.
    output_shape : tuple
        Of one sample.
    """

    name: str
    layer: "Layer"
    inputs: tuple[int, ...]
    output: int
    input_shapes: "tuple[Shape, ...]"
    output_shape: "Shape"

    @property
    def input_shape(self) -> "Shape":
        """The shape of the first input."""
        return self.input_shapes[0]


@dataclass
class Graph:
    """Nodes as they are laid out, and the shapes of all values.

    `chain` and `add` are how layers lay themselves out: see `Layer.lay_out`.
    """

    shapes: "list[Shape]"
    nodes: list[Node] = field(default_factory=list)

    def chain(self, layers: "Iterable[Layer]", value: int, prefix: str = "") -> int:
        """Lay out layers in a row that begins at a value; returns the value that the last one makes."""
        for number, layer in enumerate(layers):
            value = layer.lay_out(self, f"{prefix}{number}", (value,))
        return value

    def add(self, name: str, layer: "Layer", inputs: Sequence[int]) -> int:
        """Add one node; returns the value that it makes.

        Raises
        ------
        ValueError
            If the layer can't take such samples, or makes too much of them; the message names it.
        """
        shapes = tuple(self.shapes[value] for value in inputs)
        try:
            made = tuple(int(n) for n in layer.output_shape(*shapes))
            if math.prod(made) > LARGEST:
                raise ValueError(f"{layer.call()} gives samples of shape {made}, which are too large")
        except ValueError as error:
            raise ValueError(f"layer {name}: {error}" if name else str(error)) from None
        self.nodes.append(Node(name, layer, tuple(inputs), len(self.shapes), shapes, made))
        self.shapes.append(made)
        return len(self.shapes) - 1


def run(nodes: Sequence[Node], values: "list[Array]", arrays_of: "Callable[[Node], Arrays]") -> "list[Array]":
    """All values of some nodes, from those of the inputs, in the public kernels."""
    values = list(values)
    for node in nodes:
        values.append(node.layer.forward(_given(node, values), arrays_of(node)))
    return values


def differentiate(
    nodes: Sequence[Node],
    values: "list[Array]",
    slopes: "dict[int, Array]",
    arrays_of: "Callable[[Node], Arrays]",
) -> "dict[str, Array]":
    """The gradients of the nodes' parameters by name, given the slopes at some values (value -> dL/dvalue).

    The slopes of all values that the nodes read are added to `slopes`: those of a value with several readers
    are summed.
    """
    gradients: dict[str, Array] = {}
    for node in reversed(nodes):
        if node.output not in slopes:
            continue
        x, y, dy = _given(node, values), values[node.output], slopes[node.output]
        dx, own = node.layer.backward(x, y, dy, arrays_of(node))
        for value, slope in zip(node.inputs, dx if node.layer.takes_several else [dx], strict=True):
            slopes[value] = slopes[value] + slope if value in slopes else slope
        for own_name, array in own.items():
            name = f"{node.name}.{own_name}".lstrip(".")
            gradients[name] = gradients[name] + array if name in gradients else array
    return gradients


def _given(node: Node, values: "list[Array]") -> Any:
    """What a node's layer takes: an array, or a list of them."""
    arrays = [values[value] for value in node.inputs]
    return arrays if node.layer.takes_several else arrays[0]
