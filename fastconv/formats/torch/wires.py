"""What is known of a module's tensors while torch.fx's calls are read, and the network that grows of it.

    forward(x)                         the calls of torch.fx       a Wire: value, shape in PyTorch
        y = F.relu(self.conv(x))       conv, relu                  1, (8, 6, 6); 2, (8, 6, 6)
        return self.fc(y.flatten(1))   flatten, fc                 2, (288,); 4, (3,), as a Flatten made 3

A change of shape is kept with the wire, and becomes a Flatten only where a layer needs one: what is reshaped
and shaped back is no layer. Padding is kept likewise, until a convolution or a pool reads it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...nn.activations import ReLU, Sigmoid, Softmax
from ...nn.curves import Hardsigmoid, ReLU6, Softplus
from ...nn.dropout import Dropout
from ...nn.layer import Arrays, Layer, Shape
from ...nn.merge import Add, Concatenate
from ...nn.outline import Call, Outline
from ...nn.pool import AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from ...nn.resize import Upsample
from ...nn.shape import Flatten
from ...nn.signal import AvgPool1d, MaxPool1d
from .checks import arrays_of

# Layers that make nothing negative, and such that make nothing negative of nothing negative.
POSITIVE = (ReLU, ReLU6, Sigmoid, Hardsigmoid, Softplus, Softmax)
KEEP_SIGN = (Add, Concatenate, MaxPool1d, MaxPool2d, AvgPool1d, AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d,
             Upsample, Dropout, Flatten)  # fmt: skip
SAMPLES = 3  # of the run that says the sizes; a batch of one could be taken for a size of one


@dataclass(eq=False)
class Wire:
    """A tensor of the module that depends on its inputs.

    Attributes
    ----------
    cell : list of one int
        The value of the network that has its numbers; views of one memory have one cell, so that what is
        changed in place is changed in all of them.
    shape : tuple
        Of one sample, as PyTorch has it.
    pads : list of pairs
        What F.pad put around it, along each axis of the positions, not in the value yet; `fill` is with what.
    log_softmax : bool
        Whether the tensor is the logarithm of the softmax of the value.
    """

    cell: list[int]
    shape: Shape
    pads: tuple[tuple[int, int], ...] = ()
    fill: float = 0.0
    log_softmax: bool = False


class Constant(NamedTuple):
    """A tensor of the module that does not depend on its inputs; `target` is the parameter's name, if any."""

    tensor: Any
    target: str = ""


class ValuesAndPlaces(NamedTuple):
    """What x.max(2) gives: the values, and where they were found, which no layer makes."""

    values: Wire


class NoCounterpart(Exception):
    """What a node computes is nothing that layers do; the text says what would be possible."""


@dataclass
class Reading:
    """The network as far as it has been read."""

    shapes: list[Shape]  # of all values: the inputs, then what each call makes
    reserved: set[str]  # names of the module's parts, which only they may have
    calls: list[Call] = field(default_factory=list)
    state: Arrays = field(default_factory=dict)
    used: set[str] = field(default_factory=set)
    owners: dict[str, tuple[Layer, dict[str, Any]]] = field(default_factory=dict)
    flattened: dict[int, int] = field(default_factory=dict)
    scaled: dict[int, tuple[int, Any, Any]] = field(default_factory=dict)  # value, scale and shift before
    cut: dict[tuple[str, Layer], Layer] = field(default_factory=dict)

    def add(self, name: str, layer: Layer, values: Sequence[int]) -> int:
        """The value that a layer, called on others, makes."""
        shape = layer.output_shape(*(self.shapes[value] for value in values))
        self.calls.append(Call(name, layer, tuple(values)))
        self.shapes.append(shape)
        self.used.add(name)
        return len(self.shapes) - 1

    def call(self, value: int) -> Call | None:
        """What makes a value; None of an input."""
        number = value - (len(self.shapes) - len(self.calls))
        return self.calls[number] if number >= 0 else None

    def is_positive(self, value: int) -> bool:
        """Whether no number of a value is negative, whatever the input."""
        call = self.call(value)
        if call is None:
            return False
        if isinstance(call.layer, POSITIVE):
            return True
        return isinstance(call.layer, KEEP_SIGN) and all(map(self.is_positive, call.inputs))

    def unused(self, name: str) -> str:
        """The name, or one with a number after it."""
        names = (name, *(f"{name}_{k}" for k in range(1, len(self.calls) + len(self.reserved) + 2)))
        return next(name for name in names if name not in self.used and name not in self.reserved)

    def owner(self, name: str, layer: Layer, tensors: dict[str, Any]) -> tuple[str, Layer]:
        """(name, layer) of a place with weights: the layer that was there before, if it has the same ones."""
        before, theirs = self.owners.get(name, (layer, tensors))
        free = name in self.owners or name not in self.used
        if free and before == layer and all(theirs.get(key) is tensor for key, tensor in tensors.items()):
            layer = before
        else:
            name = self.unused(name)
        self.owners[name] = (layer, tensors)
        return name, layer

    def value(self, wire: Wire, scope: str = "") -> int:
        """The value that has a wire's shape, with a Flatten if it needs one."""
        if wire.log_softmax:
            raise ValueError("a log_softmax before it is supported at the end only")
        if wire.pads:
            raise ValueError("padding before it is supported for convolutions and pools only")
        value = wire.cell[0]
        if self.shapes[value] == (wire.shape or (1,)):  # PyTorch may leave out the one feature
            return value
        if len(wire.shape) > 1:
            raise ValueError(
                f"samples of shape {self.shapes[value]} would become {wire.shape}; a change of shape is "
                "supported to features only"
            )
        if value not in self.flattened:
            self.flattened[value] = self.add(self.unused(within(scope, "flatten")), Flatten(), (value,))
        return self.flattened[value]

    def finished(self, inputs: Sequence[str], ends: Sequence[int], names: Sequence[str]) -> Outline:
        """The network of what the outputs need, given their values.

        Raises
        ------
        ValueError
            If they do not need an input, or are one.
        """
        count = len(inputs)
        needed, waiting = set(), list(ends)
        while waiting:
            value = waiting.pop()
            if value not in needed:
                needed.add(value)
                waiting += self.calls[value - count].inputs if value >= count else ()
        if unread := [name for value, name in enumerate(inputs) if value not in needed]:
            raise ValueError(f"`module` does not use its input {unread[0]!r}")
        if min(ends) < count:
            raise ValueError("`module` gives an input as it is, without a layer that computes something")
        kept = [*range(count), *sorted(value for value in needed if value >= count)]
        numbers = {value: number for number, value in enumerate(kept)}
        calls = [self.calls[value - count] for value in kept[count:]]
        for call in calls:
            if any(other.name == call.name and other.layer is not call.layer for other in calls):
                raise ValueError(f"`module` reads what {call.name!r} makes in two ways, whole and cut")
        return Outline(
            tuple(self.shapes[:count]),
            tuple(inputs) if count > 1 else ("input",),
            tuple(Call(c.name, c.layer, tuple(numbers[v] for v in c.inputs)) for c in calls),
            tuple(numbers[value] for value in ends),
            tuple(names),
        )


@dataclass
class Site:
    """A call of torch.fx while it is read: what readers ask and answer.

    Attributes
    ----------
    scope : str
        The module whose forward makes the call, "" for the whole.
    label : str
        What a layer without weights is called here.
    made : Tensor
        What the call gave in the run.
    owner : str
        What a layer with weights is called, if that is known.
    called : str
        What is called, "" of a module.
    """

    reading: Reading
    torch: Any
    scope: str
    label: str
    made: Any
    owner: str = ""
    called: str = ""

    def layer(
        self, layer: Layer, x: Wire, tensor: Callable[[str], Any] | None = None, inplace: bool = False
    ) -> Wire:
        """What a layer makes of a wire; `tensor` gives its parameters and statistics by their names."""
        value = self._value_for(layer, x)
        shape = self.reading.shapes[value]
        names = (*layer.parameter_shapes(shape), *layer.initial_statistics(shape))
        if names and tensor is not None:
            tensors = {name: tensor(name) for name in names}
            arrays = arrays_of(tensors.__getitem__, layer, shape)
            name, layer = self.reading.owner(self.owner or self.label, layer, tensors)
            self.reading.state |= {f"{name}.{own}": array for own, array in arrays.items()}
        else:
            name = self.owner if self.owner and self.owner not in self.reading.used else ""
            name = name or self.reading.unused(self.label)
        return self._made(x, self.reading.add(name, layer, (value,)), inplace)

    @property
    def works_in_place(self) -> bool:
        """Whether the call is `x += y`, x.mul_(y) and the like."""
        name = self.label.rpartition(".")[2]
        return name in ("iadd", "isub", "imul", "itruediv") or self.called.endswith("_")

    def join(self, layer: Layer, wires: Sequence[Wire], inplace: bool = False) -> Wire:
        """What Add or Concatenate makes of several wires."""
        values = [self._value_for(layer, wire) for wire in wires]
        name = self.reading.unused(self.label)
        return self._made(wires[0], self.reading.add(name, layer, values), inplace)

    def reshaped(self, x: Wire) -> Wire:
        """The same numbers in the same order, in the shape that the call gave."""
        shape = tuple(self.made.shape)
        if not shape or shape[0] != SAMPLES or self.made.numel() != SAMPLES * math.prod(x.shape):
            raise NoCounterpart("what it gives are no longer samples one after the other")
        if x.pads:
            raise ValueError("padding before it is supported for convolutions and pools only")
        return Wire(x.cell, shape[1:], log_softmax=x.log_softmax)

    def _value_for(self, layer: Layer, x: Wire) -> int:
        elementwise = type(layer).output_shape is Layer.output_shape  # and the shape makes no difference
        if elementwise and len(x.shape) != 1 and not x.pads and not x.log_softmax:
            return x.cell[0]
        return self.reading.value(x, self.scope)

    def _made(self, x: Wire, value: int, inplace: bool) -> Wire:
        shape, own = tuple(self.made.shape)[1:], self.reading.shapes[value]
        if math.prod(shape) != math.prod(own):
            raise ValueError(f"it gives samples of shape {shape}, the layer here {own}")
        if inplace:
            x.cell[0] = value
            return Wire(x.cell, shape)
        return Wire([value], shape)


def within(scope: str, name: str) -> str:
    return f"{scope}.{name}" if scope else name
