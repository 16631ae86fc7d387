"""What a network is made with: its inputs, the layers that are called on values, and which values it gives.

    value    Residual([Conv2d(4, 3, padding="same")]), then Flatten()
    0        the input
    1        made by the call "0" of Residual on (0,)
    2        made by the call "1" of Flatten on (1,), the output

A layer that is made of others is one call here; `lay_out` takes it apart into the nodes of a graph.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..checks.jit import LARGEST
from .graph import Graph, Node
from .layer import Layer, Shape

_SHAPES = "must be positive ints: (C, H, W) of images, (C, L) of signals, or (features,)"


class Call(NamedTuple):
    """A layer at a place: its name there, and the values that it takes; call k makes value inputs + k.

    Calls of one name share their weights; they are of one layer.
    """

    name: str
    layer: Layer
    inputs: tuple[int, ...]


@dataclass(frozen=True)
class Outline:
    """A network as it is written down, in files too.

    Attributes
    ----------
    input_shapes : tuple of tuples
        Of one sample each.
    input_names, output_names : tuple of str
    calls : tuple of Call
        In the order in which they run.
    outputs : tuple of ints
        The values that the network gives.
    """

    input_shapes: tuple[Shape, ...]
    input_names: tuple[str, ...]
    calls: tuple[Call, ...]
    outputs: tuple[int, ...]
    output_names: tuple[str, ...]

    @classmethod
    def of_row(cls, layers: Sequence[Layer], input_shape: Shape) -> "Outline":
        """Layers one after the other.

        Raises
        ------
        ValueError
            If there are none.
        """
        if not layers:
            raise ValueError("`layers` must hold at least one layer, got none")
        calls = tuple(Call(str(k), layer, (k,)) for k, layer in enumerate(layers))
        return cls((input_shape,), ("input",), calls, (len(calls),), ("output",))

    @property
    def is_row(self) -> bool:
        """Whether it is what `of_row` makes."""
        alone = len(self.input_shapes) == 1 and self.outputs == (len(self.calls),)
        named = self.input_names == ("input",) and self.output_names == ("output",)
        return (
            alone and named and all(c.name == str(k) and c.inputs == (k,) for k, c in enumerate(self.calls))
        )

    def lay_out(self) -> tuple[Graph, tuple[int, ...]]:
        """The graph of nodes, and which of its values are the outputs.

        Raises
        ------
        ValueError
            If a layer can't take what it is called on, or two would have the same parameters by mistake; the
            message names it.
        """
        self._check_ends()
        graph = Graph(list(self.input_shapes))
        values = list(range(len(self.input_shapes)))
        places: dict[str, tuple[Call, Node]] = {}  # name -> the first node of that name, and the call of it
        for call in self.calls:
            inputs = tuple(values[value] for value in call.inputs)
            if len(inputs) != 1 and not (call.layer.joins or call.layer.takes_several):
                raise ValueError(f"layer {call.name}: {call.layer.call()} takes one value, got {len(inputs)}")
            begin = len(graph.nodes)
            values.append(call.layer.lay_out(graph, call.name, inputs))
            for node in graph.nodes[begin:]:
                _check_shared(call, node, *places.setdefault(node.name, (call, node)))
        if not graph.nodes:
            raise ValueError("`layers` must hold at least one layer, got only such that compute nothing")
        outputs = tuple(values[value] for value in self.outputs)
        if min(outputs) < len(self.input_shapes):
            raise ValueError("`outputs` must be made by layers that compute something, got an input as it is")
        return graph, outputs

    def _check_ends(self) -> None:
        """Raise ValueError unless names are texts and those of ends different, and everything is needed."""
        for name in (*self.input_names, *self.output_names, *(call.name for call in self.calls)):
            if not isinstance(name, str) or not name or not name.isprintable():  # which files can hold
                raise ValueError(f"names of inputs, outputs and layers must be texts, got {name!r}")
        for what, names in (("inputs", self.input_names), ("outputs", self.output_names)):
            if len(set(names)) != len(names):
                raise ValueError(f"`{what}` must have names of their own, got {', '.join(names)}")
        read = {value for call in self.calls for value in call.inputs} | set(self.outputs)
        for value, name in enumerate(self.input_names):
            if value not in read:
                raise ValueError(f"`inputs` must be needed by `outputs`, got {name!r} that nothing reads")
        for value, call in enumerate(self.calls, start=len(self.input_names)):
            if value not in read:
                raise ValueError(f"layer {call.name}: nothing reads what {call.layer.call()} gives")


def _check_shared(call: Call, node: Node, first_call: Call, first: Node) -> None:
    """Raise ValueError unless a node is the first one of its name, or can share its weights."""
    if node is first:
        return
    if call.name != first_call.name or not (call.layer is first_call.layer or call.layer == first_call.layer):
        raise ValueError(f"names of layers must be their own, got {node.name!r} for two: give other names")
    needed = node.layer.parameter_shapes(node.input_shape)
    if needed != first.layer.parameter_shapes(first.input_shape):
        raise ValueError(
            f"layer {node.name}: {node.layer.call()} is called on samples of shape {first.input_shape} and "
            f"{node.input_shape}, for which its weights would not have the same shapes"
        )


def checked_shape(input_shape: Any) -> Shape:
    """`input_shape` as a tuple of ints, if it is the shape of a sample that a network can take."""
    try:
        sizes = tuple(input_shape)
        if any(isinstance(n, bool) for n in sizes):
            raise TypeError
        shape = tuple(map(operator.index, sizes))
    except TypeError:
        raise TypeError(f"`input_shape` {_SHAPES}, got {input_shape!r}") from None
    if len(shape) not in (1, 2, 3) or min(shape) < 1 or math.prod(shape) > LARGEST:
        raise ValueError(f"`input_shape` {_SHAPES}, got {input_shape!r}")
    return shape
