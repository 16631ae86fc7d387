"""An ONNX graph that is being written, layer by layer."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    """

    def __init__(self, network: Network, onnx: Any) -> None:
        self.onnx = onnx
        self.double = network.dtype == "float64"
        self.dtype = np.dtype(network.dtype)
        self.nodes: list[Any] = []
        self.constants: dict[str, NDArray[Any]] = network.state()
        self.used: list[str] = []
        self.layer = ""
        self.value = "input"

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
        output = f"{self.layer}.{kind}.output"
        self.nodes.append(
            self.onnx.helper.make_node(
                kind,
                [self.value, *constants],
                [output],
                name=f"{self.layer}.{kind}",
                domain=domain,
                **attributes,
            )
        )
        self.used += constants
        self.value = output

    def pad(self, begin: Shape, end: Shape, value: float) -> None:
        """Add a node that puts `value` around the images."""
        sizes = self.constant("pads", np.array([0, 0, *begin, 0, 0, *end]))
        self.add("Pad", sizes, self.constant("padding", np.array(value, self.dtype)), mode="constant")
