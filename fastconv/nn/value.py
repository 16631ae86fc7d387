"""What layers are called on, in the functional form of a network."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from .graph import Graph

if TYPE_CHECKING:
    from .layer import Layer, Shape


@dataclass(frozen=True, eq=False, repr=False)
class Value:
    """What flows from layer to layer while a network is written down: a shape, and where it comes from.

    Made by `Input` and by calling layers on values. Two values of one shape can be added: x + y is
    Add()([x, y]).

    Attributes
    ----------
    shape : tuple
        Of one sample.
    layer : Layer or None
        What makes it; None for an input.
    inputs : tuple of Value
        What that layer is called on.
    name : str or None
        The name of the input, or of the layer's place.

    Examples
    --------
    >>> import fastconv as fc
    >>> x = fc.Input((1, 8, 8))
    >>> fc.Conv2d(4, 3)(x).shape
    (4, 6, 6)
    """

    shape: "Shape"
    layer: "Layer | None" = None
    inputs: "tuple[Value, ...]" = ()
    name: str | None = None
    number: int = field(default_factory=itertools.count().__next__)  # in the order in which they are made
    sum_of: (
        "ClassVar[Callable[[list[Value]], Value]]"  # the layer Add, which is made of layers: see `merge.py`
    )

    def __add__(self, other: "Value") -> "Value":
        return Value.sum_of([self, other]) if isinstance(other, Value) else NotImplemented

    def __repr__(self) -> str:
        made = "an Input" if self.layer is None else self.layer.call()
        return f"<Value of shape {self.shape}, made by {made}>"


def called(layer: "Layer", values: Any, name: str | None) -> Value:
    """The value that a layer makes of one value, or of a list of them."""
    inputs = tuple(values) if isinstance(values, (list, tuple)) else (values,)
    for value in inputs:
        if not isinstance(value, Value):
            raise TypeError(
                f"{layer} is called on values, which begin with fastconv.Input, got {kind_of(value)}"
                + (": of arrays, a network of the layer computes, model.predict(X)" * hasattr(value, "shape"))
            )
    if len(inputs) != 1 and not layer.joins:
        raise TypeError(f"{layer} is called on one value, got {len(inputs)}")
    graph, made = laid_out(layer, inputs)
    return Value(graph.shapes[made], layer, inputs, checked_name(name))


def laid_out(layer: "Layer", inputs: tuple[Value, ...]) -> tuple[Graph, int]:
    """The graph of a layer alone on some values, and which value of it the layer makes."""
    graph = Graph([value.shape for value in inputs])
    return graph, layer.lay_out(graph, "", tuple(range(len(inputs))))


def checked_name(name: Any, optional: bool = True) -> str | None:
    """A name that parameters and files can have, or None where it is optional."""
    if name is None and optional:
        return None
    if not isinstance(name, str) or not name.isprintable() or not all(name.split(".")):
        raise ValueError(f'`name` must be a text such as "conv1" or "block.conv1", got {name!r}')
    return name


def kind_of(value: Any) -> str:
    return f"{type(value).__name__} of shape {value.shape}" if hasattr(value, "shape") else repr(value)
