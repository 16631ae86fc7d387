"""A node of a file: its attributes as Python values, its inputs as arrays where they are constant."""

from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...nn.layer import Arrays, Shape

DTYPES = {1: "float32", 11: "float64"}  # of TensorProto.DataType


class Node:
    """A node of the graph.

    Attributes
    ----------
    kind, domain : str
        The operator.
    opset : int
    inputs, outputs : list of str
    value : int
        Which of the inputs is the one value that it takes; the others are constants.
    """

    def __init__(self, onnx: Any, proto: Any, opset: int, constants: Arrays) -> None:
        self.kind, self.domain, self.opset = proto.op_type, proto.domain, opset
        self.inputs, self.outputs = list(proto.input), list(proto.output)
        self.attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        self.name = proto.name
        self.value = 0
        self._constants = constants

    def __str__(self) -> str:
        return f"{self.name or (self.outputs[0] if self.outputs else '')!r} ({self.kind})"

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

    def ints(self, name: str, count: int, default: Shape | None = None) -> Shape:
        """An attribute of `count` ints, for as many axes."""
        value = self.get(name, default)
        if value is None or len(value) != count:
            raise ValueError(f"`{name}` must be {count} int{'s' * (count != 1)}, got {value}")
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

    def axes(self, rank: int) -> list[int]:
        """The axes of a ReduceMean, Squeeze or Unsqueeze: an attribute in older opsets, later an input.

        They are counted from 0 to `rank` - 1.
        """
        found = self.constant(1) if self.has(1) else self.get("axes", [])
        axes = [int(axis) for axis in found]
        if any(not -rank <= axis < rank for axis in axes):
            raise ValueError(f"`axes` must be from {-rank} to {rank - 1}, got {axes}")
        return sorted(axis % rank for axis in axes)
