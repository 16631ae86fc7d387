"""An ONNX graph that is being written, layer by layer."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...nn.graph import Node
from ...nn.layer import Shape
from ...nn.network import Network


class Graph:
    """The nodes and constants written so far, and the layer whose turn it is.

    Attributes
    ----------
    layer : str
        The layer's place, such as "0"; its parameters are the constants "0.weight", ...
    value : str
        The name of the array that the next node takes.
    others : list of str
        Further ones, of a layer that takes several.
    """

    def __init__(self, network: Network, onnx: Any, inputs: Sequence[str]) -> None:
        self.onnx = onnx
        self.double = network.dtype == "float64"
        self.dtype = np.dtype(network.dtype)
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = network.state()
        self.used: list[str] = []
        self.layer, self.value = "", ""
        self.others: list[str] = []
        self._names = dict(enumerate(inputs))  # by value of the network
        self._taken: set[str] = set()

    def begin(self, node: Node) -> None:
        """Go on with a layer, at the values that it takes."""
        self.layer = node.name
        self.value, *self.others = (self._names[value] for value in node.inputs)

    def end(self, node: Node) -> None:
        """Remember what the layer makes."""
        self._names[node.output] = self.value

    def finish(self, outputs: Sequence[int], names: Sequence[str]) -> None:
        """Call the values that the network gives by their names; one that is also read is copied."""
        for value, output in zip(outputs, names, strict=True):
            name = self._names[value]
            made = [node for node in self.nodes if name in node.output]
            if not made or any(name in node.input for node in self.nodes) or outputs.count(value) > 1:
                self.layer, self.value = output, name
                self.add("Identity")
                made = self.nodes[-1:]
            made[0].output[0] = output

    def constant(self, part: str, array: Any) -> str:
        """Add a constant of the layer; where a layer stands in several places, each may have its own."""
        array, name = np.asarray(array), f"{self.layer}.{part}"
        known, count = name, 1
        while known in self.constants and not np.array_equal(self.constants[known], array):
            count += 1
            known = f"{name}.{count}"
        self.constants[known] = array
        return known

    def parameters(self, *parts: str) -> list[str]:
        """The names of the layer's own arrays; those that it does not have are left out."""
        return [name for part in parts if (name := f"{self.layer}.{part}") in self.constants]

    def add(self, kind: str, *constants: str, domain: str = "", **attributes: Any) -> None:
        """Add a node that takes the value so far and these constants, and makes the next value."""
        name = first = f"{self.layer}.{kind}"
        count = 1
        while name in self._taken:
            count += 1
            name = f"{first}.{count}"
        self._taken.add(name)
        output = f"{name}.output"
        self.nodes.append(
            self.onnx.helper.make_node(
                kind,
                [self.value, *self.others, *constants],
                [output],
                name=name,
                domain=domain,
                **attributes,
            )
        )
        self.used = list(dict.fromkeys([*self.used, *constants]))
        self.value, self.others = output, []

    @contextmanager
    def images(self, flat: bool) -> Iterator[None]:
        """Let what is added take a signal (C, L), if `flat`, as an image (C, 1, L)."""
        if flat:
            self.add("Unsqueeze", self.constant("axis", np.array([2])))
        yield
        if flat:
            self.add("Squeeze", self.constant("axis", np.array([2])))

    def image_weight(self, flat: bool) -> str:
        """The name of the layer's weight, of one line of taps if it is that of signals, `flat`."""
        name = f"{self.layer}.weight"
        if flat:
            array = self.constants[name]
            self.constants[name] = array.reshape(*array.shape[:2], 1, array.shape[-1])
        return name

    def pad(self, begin: Shape, end: Shape, value: float) -> None:
        """Add a node that puts `value` around the images."""
        sizes = self.constant("pads", np.array([0, 0, *begin, 0, 0, *end]))
        self.add("Pad", sizes, self.constant("padding", np.array(value, self.dtype)), mode="constant")


def as_image(shape: Shape) -> Shape:
    """(C, 1, L) of a signal (C, L); of images the shape itself."""
    return (shape[0], 1, shape[1]) if len(shape) == 2 else shape


def along(values: Shape) -> Shape:
    """Of a setting for lines and columns, or of pads (top, left, bottom, right), what is along columns."""
    return values[1::2]
