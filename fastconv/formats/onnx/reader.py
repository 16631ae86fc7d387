"""An ONNX file as layers in a row.

The file is walked node by node. What depends on constants alone (weights, shapes) is worked out; every other
node must take what the one before it made, and `onnx_operators.py` knows which layer it is.
"""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...checks.extras import require
from ...nn.layer import Arrays, Layer, Shape
from ...nn.network import checked_shape
from ..foreign import check_path, kind_of
from . import activations, conv, dense, dropout, norm, pool, shape  # noqa: F401 - they register their operators
from .chain import Chain, Node
from .functions import DOMAIN
from .metadata import read_metadata
from .tables import READERS

OLDEST_OPSET = 7  # before it, Gemm, BatchNormalization and Dropout meant other things
LARGEST_SHAPE = 16  # numbers in the constants that nodes make others of: copies could ask for any memory
MOST_COPIES = 8  # how often all weights of a file may be shared among its layers; each becomes a copy here
DTYPES = {1: "float32", 11: "float64"}  # of TensorProto.DataType


class Found(NamedTuple):
    """What a file holds."""

    layers: list[Layer]
    input_shape: Shape
    dtype: str
    state: Arrays
    metadata: dict[str, Any]


def read_onnx(path: Any) -> Found:
    """The network in a file, or in an onnx.ModelProto.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If the file is damaged, or is no chain of layers; the message names the file and the node.
    OSError
        If it can't be read.
    ImportError
        If the onnx package is not installed.
    """
    onnx = require("onnx", "onnx", "an ONNX file")
    if isinstance(path, onnx.ModelProto):
        path, model = "the ModelProto", _checked(onnx, "the ModelProto", lambda: path)
    else:
        model = _parsed(onnx, path)
    try:
        return Found(*_Walk(onnx, model).result(), read_metadata(model))
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read as a network: {reason}") from None


def _parsed(onnx: Any, path: str | os.PathLike[str]) -> Any:
    """The file as an onnx.ModelProto that onnx's checker has passed, with weights from a file beside it."""
    check_path(path)
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder, expected an ONNX file")
    kind = kind_of(path)  # raises FileNotFoundError; later, one can also be that of weights beside it
    if kind is not None and not kind.startswith("an ONNX file"):
        raise ValueError(f"{path} is not an ONNX file but {kind}")
    return _checked(onnx, path, lambda: onnx.load(os.fspath(path), format="protobuf"))


def _checked(onnx: Any, path: Any, load: Callable[[], Any]) -> Any:
    try:
        model = load()
        onnx.checker.check_model(model)
    except Exception as error:  # onnx and protobuf raise nearly anything on damaged files
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ValueError(
            f"{path} is not an ONNX file that onnx {onnx.__version__} accepts: {reason}"
        ) from None
    return model


class _Walk:
    """One pass over a graph."""

    def __init__(self, onnx: Any, model: Any) -> None:
        self.onnx = onnx
        self.graph = model.graph
        self.opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
        if self.opset < OLDEST_OPSET:
            raise ValueError(f"it uses opset {self.opset}, expected at least {OLDEST_OPSET}")
        self.constants: Arrays = {}
        for tensor in self.graph.initializer:
            self.constants[tensor.name] = self._array(tensor)
        inputs = [value for value in self.graph.input if value.name not in self.constants]
        if len(inputs) != 1 or len(self.graph.output) != 1:
            raise ValueError(
                f"it must have one input and one output, got {len(inputs)} and {len(self.graph.output)}"
            )
        self.largest = MOST_COPIES * sum(array.nbytes for array in self.constants.values()) + 2**20
        self.value = inputs[0].name
        tensor = inputs[0].type.tensor_type
        if tensor.elem_type not in DTYPES:
            raise ValueError(f"its input must be float32 or float64, got element type {tensor.elem_type}")
        self.dtype = DTYPES[tensor.elem_type]
        self.batch, self.input_shape = self._sample_shape(tensor)
        self.chain = Chain(self.input_shape, self.batch)

    def _array(self, tensor: Any) -> NDArray[Any]:
        try:
            array: NDArray[Any] = self.onnx.numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(f"constant {tensor.name!r} is damaged: {error}") from None
        return array

    def _sample_shape(self, tensor: Any) -> tuple[int, Shape]:
        """(samples in a batch or -1 for any number, shape of one)."""
        sizes = [d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim]
        if len(sizes) not in (2, 4) or min(sizes[1:]) < 1:
            named = [d.dim_param if d.HasField("dim_param") else d.dim_value for d in tensor.shape.dim]
            raise ValueError(
                f"its input must be of shape (N, C, H, W) or (N, features), all but N known, got {named}"
            )
        return sizes[0], checked_shape(sizes[1:])

    def result(self) -> tuple[list[Layer], Shape, str, Arrays]:
        for proto in self.graph.node:
            node = Node(self.onnx, proto, self.opset, self.constants)
            if self.chain.size > self.largest:
                raise ValueError(
                    f"its layers take weights of more than {self.largest} bytes, many times those in the file"
                )
            try:
                self._read(node)
            except Exception as error:  # damaged attributes and constants make all kinds of errors
                raise ValueError(f"node {node}: {str(error) or type(error).__name__}") from None
        self.chain.no_pad()
        if not self.chain.layers:
            raise ValueError("it has no operators that compute anything")
        if self.graph.output[0].name != self.value:
            raise ValueError(f"its output {self.graph.output[0].name!r} is not what the last node makes")
        return self.chain.layers, self.input_shape, self.dtype, self.chain.arrays

    def _read(self, node: Node) -> None:
        if node.domain not in ("", "ai.onnx", DOMAIN):
            raise ValueError(f"operators of {node.domain!r} are not supported")
        taken = [name for name in node.inputs if name]
        unknown = [name for name in taken if name not in self.constants]
        if node.kind == "Shape" and unknown == [self.value]:
            self.constants[node.outputs[0]] = np.array([self.batch, *self.chain.shape])
        elif not unknown:
            if node.kind != "Constant" and node.kind not in EVALUATED:
                raise ValueError("it takes only constants, which is not supported for this operator")
            self.constants[node.outputs[0]] = self._constant(node)
        elif unknown != [self.value]:
            other = next((name for name in unknown if name != self.value), self.value)
            raise ValueError(
                f"it takes {other!r}: only layers in a row are read, and here the graph branches"
            )
        elif node.kind not in READERS:
            raise ValueError(f"the operator is not supported, only {', '.join(READERS)}")
        elif node.inputs[0] != self.value:
            raise ValueError(f"it takes a constant before {self.value!r}, expected after it")
        else:
            READERS[node.kind](self.chain, node)
            self.value = node.outputs[0]

    def _constant(self, node: Node) -> NDArray[Any]:
        if node.kind == "Constant":
            if len(node.attributes) != 1:
                raise ValueError(f"it must have one attribute, got {len(node.attributes)}")
            (value,) = node.attributes.values()
            return self._array(value) if hasattr(value, "data_type") else np.asarray(value)
        sizes = [node.constant(k).size for k in range(len(node.inputs))]
        if max(sizes, default=0) > LARGEST_SHAPE and node.kind not in ("Identity", "Transpose"):
            raise ValueError("it takes only constants, which is supported for weights and shapes only")
        return EVALUATED[node.kind](node)


def _unsqueeze(node: Node) -> NDArray[Any]:
    return np.expand_dims(node.constant(0), tuple(int(axis) for axis in node.axes()))


# Operators that are worked out where all they take is constant: those that make weights and shapes.
EVALUATED: dict[str, Callable[[Node], NDArray[Any]]] = {
    "Identity": lambda node: node.constant(0),
    "Transpose": lambda node: node.constant(0).transpose(node.get("perm")),
    "Gather": lambda node: np.take(node.constant(0), node.constant(1), axis=node.get("axis", 0)),
    "Unsqueeze": _unsqueeze,
    "Concat": lambda node: np.concatenate(
        [node.constant(k) for k in range(len(node.inputs))], axis=node.get("axis", 0)
    ),
    "Cast": lambda node: node.constant(0).astype(np.int64),
}
