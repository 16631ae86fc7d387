"""The network that is being read: its layers so far, each at its place, and the shapes of what they make.

Values are numbered as in nn/graph.py: the inputs first, then what each layer makes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...nn.conv import Conv2d
from ...nn.layer import Arrays, Layer, Shape
from ...nn.merge import Add, Concatenate, Stack, Sum
from ...nn.outline import Call, Outline
from ...nn.pool import AvgPool2d, MaxPool2d
from .layout import Axes, channels_first, channels_last

# What a node does that reads several values -> the layer that is called on them.
JOINING: dict[type[Layer], Layer] = {Sum: Add(), Stack: Concatenate()}


@dataclass
class Step:
    """A layer at its place.

    Attributes
    ----------
    layer : Layer
    arrays : dict
        By the layer's own names.
    inputs : tuple of ints
        The values that it reads.
    output : int
        The value that it makes.
    name : str
        The layer's name in a file of ours, "" in others.
    """

    layer: Layer
    arrays: Arrays
    inputs: tuple[int, ...]
    output: int
    name: str = ""


class Net:
    """What has been read.

    Attributes
    ----------
    steps : list of Step
    shapes : list of tuples
        Of one sample of each value.
    count : int
        Of inputs.
    batch : int
        Samples in a batch; OPEN_BATCH if that is left open.
    size : int
        Bytes of all arrays; one that several layers share counts, as it is copied, for each of them.
    largest : int
        Numbers of the largest value on the way, padding included.
    total : int
        Numbers of all of them.
    most : int
        Bytes that all arrays may take, so that no file asks for memory by sizes that it only claims.
    scale : float
        What the inputs are multiplied with at the very beginning.
    place : str
        The name of the next layer, where the file tells it.
    """

    def __init__(self, input_shapes: Sequence[Shape], batch: int, most: int) -> None:
        self.steps: list[Step] = []
        self.shapes = list(input_shapes)
        self.count, self.batch, self.most = len(input_shapes), batch, most
        self.size, self.largest = 0, max(map(math.prod, input_shapes))
        self.total = sum(map(math.prod, input_shapes))
        self.scale = 1.0
        self.place = ""
        self._files = list(input_shapes)
        self._turned: set[int] = set()

    def add(self, layer: Layer, inputs: Sequence[int], arrays: Arrays) -> int:
        """Add a layer; gives the number of the value that it makes.

        Raises
        ------
        ValueError
            If it can't take such values, or its arrays do not fit.
        """
        below = self.shapes[inputs[0]]
        shape = layer.output_shape(*(self.shapes[value] for value in inputs))
        if math.prod(shape) > 2**31 - 1:
            raise ValueError(f"its output of shape {shape} is too large")
        for count in (self._padded(layer, below), math.prod(shape)):
            self.largest, self.total = max(self.largest, count), self.total + count
        wanted = dict(layer.parameter_shapes(below))
        wanted |= {name: a.shape for name, a in layer.initial_statistics(below).items()}
        for name, size in wanted.items():
            if name not in arrays or arrays[name].shape != size:
                found = arrays[name].shape if name in arrays else "none"
                raise ValueError(f"its {name} must have shape {size}, got {found}")
            self.size += arrays[name].nbytes
        own = {name: arrays[name] for name in wanted}
        self.steps.append(Step(layer, own, tuple(inputs), len(self.shapes), self.place))
        self.shapes.append(shape)
        return len(self.shapes) - 1

    def check_room(self, count: int = 0) -> None:
        """Raise ValueError if all arrays, and `count` more numbers, take too many bytes."""
        if self.size + 8 * count > self.most:
            raise ValueError(
                f"its layers take weights of more than {self.most} bytes, many times those in the file"
            )

    def _padded(self, layer: Layer, shape: Shape) -> int:
        """How many numbers a sample of a convolution or a pooling has with its padding; 0 of other layers."""
        images = layer.image_layer()
        if isinstance(images, (Conv2d, MaxPool2d, AvgPool2d)):
            channels, height, width = shape if len(shape) == 3 else (shape[0], 1, shape[1])
            (top, bottom), (left, right) = images.pads((channels, height, width))
            return channels * (top + height + bottom) * (left + width + right)
        return 0

    def maker(self, value: int) -> Step | None:
        """The layer that makes a value; None of an input."""
        return self.steps[value - self.count] if value >= self.count else None

    def is_input(self, value: int) -> bool:
        return value < self.count

    def shape_in_file(self, value: int) -> Shape:
        """The shape as the file's own axes have it, of an input; of others their shape."""
        return self._files[value] if self.is_input(value) else self.shapes[value]

    def axes_of(self, value: int) -> Axes:
        """Which of our axes each of the file's is, of an input as it comes in."""
        rank = len(self.shapes[value]) + 1
        return channels_last(rank) if value in self._turned else channels_first(rank)

    def may_turn(self, value: int) -> bool:
        """Whether it may still be found that an input has its channels last."""
        free = self.is_input(value) and value not in self._turned and len(self.shapes[value]) > 1
        return free and not any(value in step.inputs for step in self.steps)

    def turn(self, value: int) -> None:
        """Let an input be one with the channels last, or, if it is one, with the channels first again."""
        self._turned ^= {value}
        *positions, channels = shape = self._files[value]
        self.shapes[value] = (channels, *positions) if value in self._turned else shape

    def is_turned(self, value: int) -> bool:
        """Whether an input has its channels last in the file."""
        return value in self._turned

    def without_dead(self, outputs: Sequence[int]) -> list[int]:
        """Leave out layers that no output takes, as of values whose shape alone is asked for.

        Gives the numbers that the outputs have then.
        """
        needed = set(outputs)
        for step in reversed(self.steps):
            if step.output in needed:
                needed.update(step.inputs)
        self.steps = [step for step in self.steps if step.output in needed]
        kept = [*range(self.count), *(step.output for step in self.steps)]
        numbers = {value: number for number, value in enumerate(kept)}
        for step in self.steps:
            step.inputs = tuple(numbers[value] for value in step.inputs)
            step.output = numbers[step.output]
        self.shapes = [self.shapes[value] for value in kept]
        return [numbers[value] for value in outputs]

    def is_row(self, outputs: Sequence[int]) -> bool:
        """Whether each layer takes what the one before it made, from one input to one output."""
        alone = self.count == 1 and list(outputs) == [len(self.shapes) - 1]
        return alone and all(step.inputs == (place,) for place, step in enumerate(self.steps))


def written_down(
    net: Net, outputs: Sequence[int], input_names: Sequence[str], output_names: Sequence[str]
) -> tuple[Outline, Arrays]:
    """The network, and its arrays by name: a row if it is one, else each layer with the values it takes."""
    shapes = tuple(net.shapes[: net.count])
    row = net.is_row(outputs)
    names = [str(place) for place in range(len(net.steps))] if row else _names(net.steps)
    state = {
        f"{name}.{part}": array
        for name, step in zip(names, net.steps, strict=True)
        for part, array in step.arrays.items()
    }
    if row:
        return Outline.of_row([step.layer for step in net.steps], shapes[0]), state
    layers: dict[str, Layer] = {}
    calls = [
        Call(name, layers.setdefault(name, JOINING.get(type(step.layer), step.layer)), step.inputs)
        for name, step in zip(names, net.steps, strict=True)
    ]
    return Outline(shapes, tuple(input_names), tuple(calls), tuple(outputs), tuple(output_names)), state


def _names(steps: Sequence[Step]) -> list[str]:
    """The layers' names in a file of ours, where those of one name are one layer; else their numbers.

    Where weights of others' files are equal at several places, they are one layer's: no two were trained to
    the same numbers.
    """
    named: dict[str, Step] = {}
    if all(step.name and _is_same(step, named.setdefault(step.name, step)) for step in steps):
        return [step.name for step in steps]
    known: dict[tuple[Any, ...], int] = {}
    names = []
    for place, step in enumerate(steps):
        first = place
        weight = step.arrays.get("weight")
        if weight is not None and weight.ndim > 1 and (weight != weight.flat[0]).any():
            first = known.setdefault((type(step.layer), weight.shape, weight.tobytes()), place)
        names.append(str(first if _is_same(step, steps[first]) else place))
    return names


def _is_same(step: Step, other: Step) -> bool:
    """Whether two layers are one: of the same settings and numbers."""
    same = step.layer == other.layer or type(step.layer) is type(other.layer) in JOINING
    return same and all(map(np.array_equal, step.arrays.values(), other.arrays.values()))
