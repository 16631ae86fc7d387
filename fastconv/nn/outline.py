"""What a network is made with: its inputs, the layers that are called on values, and which values it gives.

    value    Residual([Conv2d(4, 3, padding="same")]), then Flatten()
    0        the input
    1        made by the call "0" of Residual on (0,)
    2        made by the call "1" of Flatten on (1,), the output

A layer that is made of others is one call here; `lay_out` takes it apart into the nodes of a graph.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from .graph import Graph
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
            If a layer can't take what it is called on; the message names it.
        """
        graph = Graph(list(self.input_shapes))
        values = list(range(len(self.input_shapes)))
        for call in self.calls:
            inputs = tuple(values[value] for value in call.inputs)
            values.append(call.layer.lay_out(graph, call.name, inputs))
        if not graph.nodes:
            raise ValueError("`layers` must hold at least one layer, got only such that compute nothing")
        return graph, tuple(values[value] for value in self.outputs)


def checked_shape(input_shape: Any) -> Shape:
    """`input_shape` as a tuple of ints, if it is the shape of a sample that a network can take."""
    try:
        shape = tuple(int(n.__index__()) for n in input_shape)
    except (TypeError, AttributeError):
        raise TypeError(f"`input_shape` {_SHAPES}, got {input_shape!r}") from None
    if len(shape) not in (1, 2, 3) or min(shape) < 1 or math.prod(shape) > 2**31 - 1:
        raise ValueError(f"`input_shape` {_SHAPES}, got {input_shape!r}")
    return shape
