"""What is read of an ONNX graph: one node, and the chain of layers so far."""

import math
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...nn.conv import Conv2d
from ...nn.dense import Dense
from ...nn.layer import Arrays, Layer, Shape

Pads = tuple[tuple[int, int], tuple[int, int]]  # (top, bottom), (left, right)
NO_PADS: Pads = ((0, 0), (0, 0))


class Node:
    """A node of the graph: its attributes as Python values, its inputs as arrays where they are constant."""

    def __init__(self, onnx: Any, proto: Any, opset: int, constants: Arrays) -> None:
        self.kind, self.domain, self.opset = proto.op_type, proto.domain, opset
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        self._name = proto.name or (proto.output[0] if proto.output else "")
        self._constants = constants

    def __str__(self) -> str:
        return f"{self._name!r} ({self.kind})"

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute; texts as str."""
        value = self.attributes.get(name, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def must_be(self, name: str, *allowed: Any) -> None:
        """Raise ValueError unless an attribute is absent or one of `allowed`."""
        value = self.get(name, allowed[0])
        if value not in allowed:
            raise ValueError(f"`{name}` must be {' or '.join(map(repr, allowed))}, got {value!r}")

    def decimal(self, name: str, default: float) -> Decimal:
        """A number that was rounded to float32, as the shortest decimal that is rounded to the same."""
        return Decimal(str(np.float32(self.get(name, default))))

    def pair(self, name: str, default: Shape | None = None) -> Shape:
        """An attribute of two ints, for height and width."""
        value = self.get(name, default)
        if value is None or len(value) != 2:
            raise ValueError(f"`{name}` must be two ints, got {value}")
        return tuple(value)

    def has(self, number: int) -> bool:
        """Whether there is an input `number`."""
        return number < len(self.inputs) and self.inputs[number] != ""

    def constant(self, number: int) -> NDArray[Any]:
        """Input `number`, which must be there and be constant."""
        if not self.has(number) or self.inputs[number] not in self._constants:
            raise ValueError(f"its input {number} must be a constant")
        return self._constants[self.inputs[number]]

    def weights(self, number: int) -> NDArray[Any]:
        """Input `number`, constant floating-point numbers."""
        array = self.constant(number)
        if array.dtype not in (np.float32, np.float64):
            raise ValueError(f"its input {number} must be of float32 or float64, got {array.dtype}")
        return array

    def scalar(self, number: int) -> float:
        """Input `number`, one number."""
        array = self.weights(number)
        if array.size != 1:
            raise ValueError(f"its input {number} must be one number, got an array of shape {array.shape}")
        return float(array.reshape(()))

    def axes(self) -> list[int]:
        """The axes of a ReduceMean, Squeeze or Unsqueeze: an attribute in older opsets, later an input."""
        found = self.constant(1) if self.has(1) else self.get("axes", [])
        return [int(axis) for axis in found]


class Chain:
    """The layers read so far, and what they make.

    Attributes
    ----------
    layers : list
    arrays : dict
        "0.weight", ... -> array.
    shape : tuple
        Of one sample after the last layer.
    batch : int
        Samples in a batch; -1 if that is left open.
    size : int
        Bytes of all arrays; one that several layers share counts, as it is copied, for each of them.
    """

    def __init__(self, input_shape: Shape, batch: int) -> None:
        self.layers: list[Layer] = []
        self.arrays: Arrays = {}
        self.shape, self.batch, self.size = input_shape, batch, 0
        self._pad: tuple[Pads, float] | None = None

    def append(self, layer: Layer, **arrays: NDArray[Any] | None) -> None:
        """Add a layer that takes the arrays so far; parameters that are None it does not have."""
        self.no_pad()
        shape = layer.output_shape(self.shape)
        if math.prod(shape) > 2**31 - 1:
            raise ValueError(f"its output of shape {shape} is too large")
        wanted = dict(layer.parameter_shapes(self.shape))
        wanted |= {name: a.shape for name, a in layer.initial_statistics(self.shape).items()}
        given = {name: array for name, array in arrays.items() if array is not None}
        for name, size in wanted.items():
            if name not in given or given[name].shape != size:
                found = given[name].shape if name in given else "none"
                raise ValueError(f"its {name} must have shape {size}, got {found}")
            self.arrays[f"{len(self.layers)}.{name}"] = given[name]
            self.size += given[name].nbytes
        self.layers.append(layer)
        self.shape = shape

    def hold_pad(self, pads: Pads, value: float) -> None:
        """Keep a padding for the layer that comes next."""
        self.no_pad()
        self._pad = pads, value

    def take_pad(self, allowed: Callable[[float], bool]) -> Pads:
        """The padding that a Pad before this layer put there, if its value is the layer's own."""
        if self._pad is None:
            return NO_PADS
        (pads, value), self._pad = self._pad, None
        if not allowed(value):
            raise ValueError(f"a Pad of {value} before it is not supported")
        return pads

    def no_pad(self) -> None:
        """Raise ValueError if a Pad still waits for its layer."""
        if self._pad is not None:
            raise ValueError("a Pad is supported only just before a Conv, MaxPool or AveragePool")

    def add_bias(self, bias: NDArray[Any]) -> None:
        """Give the last layer, a Dense or Conv2d without one, its bias."""
        self.no_pad()
        layer = self.layers[-1] if self.layers else None
        if not isinstance(layer, (Dense, Conv2d)) or layer.bias:
            raise ValueError("an Add is supported only as the bias of a layer without one")
        # Broadcasting counts from the last axis: (O,) after a Dense, (O, 1, 1) after a Conv2d, or one number.
        needed = (self.shape[0], *(1,) * (len(self.shape) - 1))
        try:
            full = np.broadcast_to(bias.reshape(bias.shape[-len(needed) :] if bias.ndim else ()), needed)
        except ValueError:
            raise ValueError(f"it adds an array of shape {bias.shape}, expected {needed}") from None
        self.layers[-1] = replace(layer, bias=True)
        self.arrays[f"{len(self.layers) - 1}.bias"] = full.reshape(-1)
