"""An ONNX graph that is being written, layer by layer."""

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

    def __init__(self, network: Network, onnx: Any) -> None:
        self.onnx = onnx
        self.double = network.dtype == "float64"
        self.dtype = np.dtype(network.dtype)
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = network.state()
        self.used: list[str] = []
        self.layer, self._first = "", 0
        self.value = "input"
        self.others: list[str] = []
        self._names = {0: "input"}  # by value of the network

    def begin(self, node: Node) -> None:
        """Go on with a layer, at the values that it takes."""
        self.layer, self._first = node.name, len(self.nodes)
        self.value, *self.others = (self._names[value] for value in node.inputs)

    @property
    def _own(self) -> list[Any]:
        """The nodes of the layer whose turn it is."""
        return self.nodes[self._first :]

    def end(self, node: Node) -> None:
        """Remember what the layer makes."""
        self._names[node.output] = self.value

    def finish(self, output: int) -> None:
        """Call the last value "output"."""
        name = self._names[output]
        made = [node for node in self.nodes if name in node.output]
        if not made or any(name in node.input for node in self.nodes):
            self.value = name
            self.add("Identity")
            made = self.nodes[-1:]
        made[0].output[0] = "output"

    def constant(self, part: str, array: Any) -> str:
        """Add a constant of the layer."""
        name = f"{self.layer}.{part}"
        self.constants[name] = np.asarray(array)
        return name

    def parameters(self, *parts: str) -> list[str]:
        """The names of the layer's own arrays; those that it does not have are left out."""
        return [name for part in parts if (name := f"{self.layer}.{part}") in self.constants]

    def add(self, kind: str, *constants: str, domain: str = "", **attributes: Any) -> None:
        """Add a node that takes the value so far and these constants, and makes the next value."""
        name, count = f"{self.layer}.{kind}", sum(node.op_type == kind for node in self._own)
        name += f".{count + 1}" if count else ""
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
        self.used += constants
        self.value, self.others = output, []

    def pad(self, begin: Shape, end: Shape, value: float) -> None:
        """Add a node that puts `value` around the images."""
        sizes = self.constant("pads", np.array([0, 0, *begin, 0, 0, *end]))
        self.add("Pad", sizes, self.constant("padding", np.array(value, self.dtype)), mode="constant")
