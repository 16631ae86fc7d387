"""Layers where branches meet: their values are added, or stacked as channels."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np

from .block import Composite, checked_layers
from .graph import Graph
from .layer import Array, Arrays, Layer, Shape, set_fields
from .value import Value

__all__ = ["Add", "Concatenate", "Residual"]

Branch = Iterable[Layer] | Layer
Made = TypeVar("Made", bound="_Branches")


# What a node does that reads several values


class Sum(Layer):
    """The sum of several values of one shape, from the first to the last."""

    takes_several = True

    def output_shape(self, *input_shapes: Shape) -> Shape:
        _check_several("Add", input_shapes)
        if len(set(input_shapes)) != 1:
            shapes = ", ".join(map(str, input_shapes))
            raise ValueError(f"Add takes values of one shape, got {shapes}")
        return input_shapes[0]

    def forward(self, x: list[Array], arrays: Arrays) -> Array:  # type: ignore[override]
        total = x[0] + x[1]
        for value in x[2:]:
            total += value
        return total

    def backward(self, x: list[Array], y: Array, dy: Array, arrays: Arrays) -> tuple[Any, Arrays]:  # type: ignore[override]
        return [dy.copy() for _ in x], {}

    def call(self) -> str:
        return "Add()"


class Stack(Layer):
    """Several values one after the other: their channels, or their features."""

    takes_several = True

    def output_shape(self, *input_shapes: Shape) -> Shape:
        _check_several("Concatenate", input_shapes)
        if len({(len(shape), *shape[1:]) for shape in input_shapes}) != 1:
            shapes = ", ".join(map(str, input_shapes))
            raise ValueError(f"Concatenate takes values that differ in their channels only, got {shapes}")
        return (sum(shape[0] for shape in input_shapes), *input_shapes[0][1:])

    def forward(self, x: list[Array], arrays: Arrays) -> Array:  # type: ignore[override]
        return np.concatenate(x, axis=1)

    def backward(self, x: list[Array], y: Array, dy: Array, arrays: Arrays) -> tuple[Any, Arrays]:  # type: ignore[override]
        ends = np.cumsum([value.shape[1] for value in x])[:-1]
        return [part.copy() for part in np.split(dy, ends, axis=1)], {}

    def call(self) -> str:
        return "Concatenate()"


def _check_several(kind: str, shapes: tuple[Shape, ...]) -> None:
    if len(shapes) < 2:
        raise ValueError(f"{kind}() takes two values or more, got {len(shapes) or 'none'}")


# What users write


@dataclass(frozen=True, init=False, repr=False)
class _Branches(Composite):
    """Branches that begin at one value, and a node that reads their ends."""

    joins: ClassVar[bool] = True
    branches: tuple[tuple[Layer, ...], ...]
    joint: ClassVar[type[Layer]]

    def __new__(cls, *branches: Branch) -> "_Branches":
        return object.__new__(cls)

    def __init__(self, *branches: Branch) -> None:
        if len(branches) == 1:
            raise ValueError(
                f"{type(self).__name__} takes two branches or more, got one; an empty list is a branch that "
                "passes its input on"
            )
        name = type(self).__name__
        checked = [_layers_of(branch, f"branch {k} of {name}") for k, branch in enumerate(branches)]
        set_fields(self, branches=tuple(checked))

    def lay_out(self, graph: Graph, name: str, inputs: tuple[int, ...]) -> int:
        kind = type(self).__name__
        if len(inputs) == 1 and not self.branches:
            raise ValueError(f"{kind}() has nothing to join: give it branches, {kind}([...], [...])")
        if len(inputs) != 1 and self.branches:
            raise ValueError(
                f"{kind} with branches takes one value, which each of them reads, got {len(inputs)}"
            )
        prefix = f"{name}." if name else ""
        ends = [graph.chain(branch, inputs[0], f"{prefix}{k}.") for k, branch in enumerate(self.branches)]
        return graph.add(name, self.joint(), ends or inputs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(repr(list(branch)) for branch in self.branches)})"

    def call(self) -> str:
        written = (", ".join(layer.call() for layer in branch) for branch in self.branches)
        return f"{type(self).__name__}({', '.join(f'[{branch}]' for branch in written)})"

    def settings(self) -> dict[str, Any]:
        return {"branches": [[layer.record() for layer in branch] for branch in self.branches]}

    @classmethod
    def from_settings(
        cls: "type[Made]", settings: dict[str, Any], layer_of: Callable[[Any], Layer]
    ) -> "Made":
        return cls(*[[layer_of(entry) for entry in branch] for branch in settings["branches"]])


@dataclass(frozen=True, init=False, repr=False)
class Add(_Branches):
    """Branches whose outputs are added: each takes the layer's input.

    Parameters
    ----------
    *branches : lists of layers, or layers
        Two or more; an empty list passes the input on. All must end in the same shape. None at all: the layer
        is called on values, `Add()([x, y])`.

    Examples
    --------
    >>> import fastconv as fc
    >>> branches = fc.Add([fc.Conv2d(4, 3, padding="same")], [fc.Conv2d(4, 1)])
    >>> model = fc.Sequential([branches, fc.ReLU()], input_shape=(1, 6, 6))
    >>> list(model.parameters())
    ['0.0.0.weight', '0.0.0.bias', '0.1.0.weight', '0.1.0.bias']
    """

    joint = Sum


@dataclass(frozen=True, init=False, repr=False)
class Concatenate(_Branches):
    """Branches whose outputs lie one after the other, as channels of one image: each takes the layer's input.

    Parameters
    ----------
    *branches : lists of layers, or layers
        Two or more; an empty list passes the input on. All must end in images of the same height and width,
        or in features. None at all: the layer is called on values, `Concatenate()([x, y])`.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Concatenate([fc.Conv2d(4, 1)], [fc.MaxPool2d(3, stride=1, padding=1)]).output_shape((2, 6, 6))
    (6, 6, 6)
    """

    joint = Stack


@dataclass(frozen=True)
class Residual(Composite):
    """layers(x) + shortcut(x): He et al. (2016), "Deep residual learning for image recognition", figure 2.

    Parameters
    ----------
    layers : list of layers, or a layer
        They compute what is added to the input.
    shortcut : list of layers, or a layer
        What the input passes through on the other way: nothing, or for example a Conv2d of size 1 with the
        stride and the channels of `layers`.

    Examples
    --------
    >>> import fastconv as fc
    >>> block = fc.Residual([fc.Conv2d(8, 3, padding="same"), fc.ReLU(), fc.Conv2d(8, 3, padding="same")])
    >>> fc.Sequential([block, fc.ReLU()], input_shape=(8, 6, 6)).output_shape
    (8, 6, 6)
    """

    layers: Any
    shortcut: Any = ()

    def __post_init__(self) -> None:
        set_fields(
            self,
            layers=_layers_of(self.layers, "`layers` of Residual"),
            shortcut=_layers_of(self.shortcut, "`shortcut` of Residual"),
        )

    def lay_out(self, graph: Graph, name: str, inputs: tuple[int, ...]) -> int:
        prefix = f"{name}." if name else ""
        value = graph.chain(self.layers, inputs[0], f"{prefix}layers.")
        return graph.add(name, Sum(), (value, graph.chain(self.shortcut, inputs[0], f"{prefix}shortcut.")))

    def call(self) -> str:
        layers, shortcut = (", ".join(layer.call() for layer in way) for way in (self.layers, self.shortcut))
        return f"Residual([{layers}]" + (f", shortcut=[{shortcut}])" if shortcut else ")")

    def settings(self) -> dict[str, Any]:
        return {
            name: [layer.record() for layer in layers]
            for name, layers in (("layers", self.layers), ("shortcut", self.shortcut))
        }

    @classmethod
    def from_settings(cls, settings: dict[str, Any], layer_of: Callable[[Any], Layer]) -> "Residual":
        return cls(**{name: [layer_of(entry) for entry in entries] for name, entries in settings.items()})


def _layers_of(branch: Any, name: str) -> tuple[Layer, ...]:
    return checked_layers([branch] if isinstance(branch, Layer) else branch, name)


Value.sum_of = staticmethod(lambda values: Add()(values))
