"""Nodes that take only constants, worked out as a file is read, by onnx's own reference evaluator.

ONNX Runtime's offline optimizer does the same, but it also merges layers into each other, and works out
whatever a file asks for, of any size. Here what a node would make is known before it is made.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks.extras import require
from ...nn.layer import Arrays
from .node import Node

# Operators whose work is in proportion to what they take and make.
OPERATORS = {
    "Abs", "Add", "And", "Cast", "CastLike", "Ceil", "Clip", "Concat", "ConstantOfShape",
    "DequantizeLinear", "Div", "Equal", "Exp", "Expand", "Flatten", "Floor", "Gather", "Greater",
    "GreaterOrEqual", "Identity", "Less", "LessOrEqual", "Log", "Max", "Min", "Mod", "Mul", "Neg", "Not",
    "Or", "Pow", "Range", "Reciprocal", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum",
    "Reshape", "Round", "Shape", "Sign", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile",
    "Transpose", "Unsqueeze", "Where",
}  # fmt: skip
SHAPES_UP_TO = 64  # numbers of a constant that may say how large another one gets


class Folding:
    """What is known of a graph's constants, and how many bytes more may be made of them.

    Attributes
    ----------
    constants : dict
        Name -> array.
    left : int
        Bytes that are left for what is worked out.
    """

    def __init__(self, onnx: Any, constants: Arrays, left: int) -> None:
        self.onnx, self.constants, self.left = onnx, constants, left

    def fold(self, proto: Any, node: Node) -> None:
        """Work out a node that takes only constants.

        Raises
        ------
        ValueError
            If it is none that is worked out, or its result would be too large.
        """
        if node.kind == "Constant":
            self.constants[node.outputs[0]] = self._value(node)
            return
        if node.domain not in ("", "ai.onnx") or node.kind not in OPERATORS:
            raise ValueError("it takes only constants, which is not supported for this operator")
        taken = {name: self.constants[name] for name in node.inputs if name}
        self.left -= self._bytes_made(proto, node, taken)
        if self.left < 0:
            raise ValueError("what its constants make is many times as large as all those in the file")
        reference = require("onnx.reference", "onnx", "an ONNX file")
        helper, made = self.onnx.helper, [name for name in node.outputs if name]
        # A function, since of a node alone the evaluator takes the newest opset.
        opsets = [helper.make_opsetid("", node.opset)]
        function = helper.make_function("constants", "fold", list(taken), made, [proto], opsets)
        results = reference.ReferenceEvaluator(function).run(None, taken, attributes={})
        for name, array in zip(made, results, strict=True):
            self.constants[name] = np.asarray(array)

    def _value(self, node: Node) -> NDArray[Any]:
        """What a Constant holds."""
        if len(node.attributes) != 1:
            raise ValueError(f"it must have one attribute, got {len(node.attributes)}")
        (value,) = node.attributes.values()
        return self.array(value) if hasattr(value, "data_type") else np.asarray(value)

    def array(self, tensor: Any) -> NDArray[Any]:
        """A tensor of the file as an array.

        Raises
        ------
        ValueError
            If it is damaged.
        """
        try:
            array: NDArray[Any] = self.onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"constant {tensor.name!r} is damaged: {error}") from None
        return array

    def _bytes_made(self, proto: Any, node: Node, taken: Arrays) -> int:
        """The size of what a node will make, by onnx's inference of shapes."""
        helper = self.onnx.helper
        types = {
            name: helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
            for name, array in taken.items()
        }
        small = {
            name: self.onnx.numpy_helper.from_array(array, name)
            for name, array in taken.items()
            if array.size <= SHAPES_UP_TO
        }
        schema = self.onnx.defs.get_schema(node.kind, node.opset, "")
        opsets = [helper.make_opsetid("", node.opset)]
        made = self.onnx.shape_inference.infer_node_outputs(schema, proto, types, small, opset_imports=opsets)
        total = 0
        for name in node.outputs:
            if not name:
                continue
            tensor = made[name].tensor_type if name in made else None
            if tensor is None or not all(d.HasField("dim_value") for d in tensor.shape.dim):
                raise ValueError("it takes only constants, and how large its result is can't be told")
            width = helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
            total += width * math.prod(d.dim_value for d in tensor.shape.dim)
        return total
