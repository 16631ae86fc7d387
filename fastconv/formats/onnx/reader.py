"""An ONNX file as layers in a row.

The file is walked node by node. What depends on constants alone (weights, shapes) is worked out; every other
node must take what the one before it made, and the files of the layer families know which layer it is.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks.extras import require
from ...nn.layer import Shape
from ...nn.outline import checked_shape
from ..foreign import check_path, kind_of
from . import activations, affine, conv, dense, dropout, norm, pool, shape  # noqa: F401 - they register their operators
from .chain import DTYPES, OPEN_BATCH, Chain, Node
from .folding import Folding
from .functions import DOMAIN
from .layout import CHANNELS_LAST, in_file
from .metadata import read_metadata
from .outputs import Output, find_output
from .runtime import LANES, MOST_NUMBERS, run_model
from .tables import READERS

OLDEST_OPSET = 7  # before it, Gemm, BatchNormalization and Dropout meant other things
MOST_COPIES = 8  # how often all weights of a file may be shared among its layers; each becomes a copy here


class Found:
    """What a file holds.

    Attributes
    ----------
    name : str
        Of the file, for messages.
    layers, input_shape, dtype, state, metadata
        Of the network.
    channels_last : bool
        Whether the file takes images (N, H, W, C).
    scale : float
        What the file multiplies its input with at the beginning; 1 if it does not.
    log_softmax : bool
        Whether the file goes on with a LogSoftmax, which the network lacks.
    """

    def __init__(self, onnx: Any, name: str, model: Any) -> None:
        walk = _Walk(onnx, model)
        walk.go()
        self.name, self._onnx, self._model, self._output = name, onnx, model, walk.output
        self.layers, self.state = walk.chain.layers, walk.chain.arrays
        self.input_shape, self.dtype = walk.chain.input_shape, walk.dtype()
        self.channels_last = walk.chain.input_axes == CHANNELS_LAST
        self.scale = 1.0 if walk.chain.start is None else float(walk.chain.start[0])
        self.log_softmax = walk.chain.log_softmax
        self._batch, self._input_dtype, self._largest = walk.chain.batch, walk.input_dtype, walk.chain.largest
        self.metadata = read_metadata(model)
        if walk.output.classes is not None and walk.chain.shape == (len(walk.output.classes),):
            self.metadata.setdefault("classes", walk.output.classes)

    @property
    def precision(self) -> float:
        """The step of the file's numbers near 1."""
        kinds = {self._input_dtype, *(str(array.dtype) for array in self.state.values())}
        return float(max(np.finfo(kind).eps for kind in kinds))

    def sample(self) -> NDArray[Any] | None:
        """A random input of the network; None if any of the values between has a lot of numbers."""
        largest = self._largest
        count = (2 if largest <= MOST_NUMBERS // LANES else 1) if self._batch == OPEN_BATCH else self._batch
        if largest * (1 if count == 1 else -(-count // LANES) * LANES) > MOST_NUMBERS:
            return None
        return np.random.default_rng(0).standard_normal((count, *self.input_shape)).astype(self._input_dtype)

    def run(self, X: NDArray[Any], products: int) -> NDArray[Any] | None:
        """What the file itself makes of an input, None if no program here can tell; see `run_model`."""
        X = np.ascontiguousarray(X.transpose(0, 2, 3, 1)) if self.channels_last else X
        return run_model(self._onnx, self._model, self._output, X, products)


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
        return Found(onnx, str(path), _inlined(onnx, model))
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read as a network: {reason}") from None


def _inlined(onnx: Any, model: Any) -> Any:
    """The model with functions of its own, but those that we write, in the place of their calls."""
    others = [(f.domain, f.name) for f in model.functions if f.domain != DOMAIN]
    if not others:
        return model
    inliner = require("onnx.inliner", "onnx", "an ONNX file")
    return inliner.inline_selected_functions(model, others)


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
        self.folding = Folding(onnx, {}, 0)
        self.constants = self.folding.constants
        for tensor in self.graph.initializer:
            self.constants[tensor.name] = self.folding.array(tensor)
        inputs = [value for value in self.graph.input if value.name not in self.constants]
        if len(inputs) != 1:
            raise ValueError(
                f"it must have one input and one output, got {len(inputs)} and {len(self.graph.output)}"
            )
        self.largest = MOST_COPIES * sum(array.nbytes for array in self.constants.values()) + 2**20
        self.folding.left = self.largest
        self.output: Output = find_output(onnx, self.graph, self.constants)
        self.value = inputs[0].name
        tensor = inputs[0].type.tensor_type
        if tensor.elem_type not in DTYPES:
            raise ValueError(f"its input must be float32 or float64, got element type {tensor.elem_type}")
        self.input_dtype = DTYPES[tensor.elem_type]
        self.chain = Chain(*self._sample_shape(tensor))
        # Of every value made so far, since a file may ask for one later; and of what 1 - p is made.
        self.shapes = {self.value: (self.chain.batch, *self.chain.shape)}
        self.complements: dict[str, str] = {}

    def _sample_shape(self, tensor: Any) -> tuple[Shape, int]:
        """(shape of one sample, samples in a batch)."""
        sizes = [d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim]
        if len(sizes) not in (2, 4) or min(sizes[1:]) < 1:
            named = [d.dim_param if d.HasField("dim_param") else d.dim_value for d in tensor.shape.dim]
            raise ValueError(
                f"its input must be of shape (N, C, H, W) or (N, features), all but N known, got {named}"
            )
        return checked_shape(sizes[1:]), sizes[0] if sizes[0] > 0 else OPEN_BATCH

    def dtype(self) -> str:
        """What the network computes in: the widest of its weights, the input's if there are none."""
        kinds = {str(array.dtype) for array in self.chain.arrays.values()}
        return max(kinds, default=self.input_dtype)

    def go(self) -> None:
        """Read all nodes.

        Raises
        ------
        ValueError
            If one can't be; the message names it.
        """
        for proto in self.output.nodes:
            node = Node(self.onnx, proto, self.opset, self.constants)
            if self.chain.size > self.largest:
                raise ValueError(
                    f"its layers take weights of more than {self.largest} bytes, many times those in the file"
                )
            try:
                self._read(proto, node)
            except Exception as error:  # damaged attributes and constants make all kinds of errors
                reason = (str(error) or type(error).__name__).strip().partition("\n")[0]
                raise ValueError(f"node {node}: {reason}") from None
        self.chain.no_pad()
        self.chain.check_order()
        if not self.chain.layers:
            raise ValueError("it has no operators that compute anything")
        if self.output.name != self.value:
            raise ValueError(f"its output {self.output.name!r} is not what the last node makes")

    def _read(self, proto: Any, node: Node) -> None:
        if node.domain not in ("", "ai.onnx", DOMAIN):
            raise ValueError(f"operators of {node.domain!r} are not supported")
        unknown = [name for name in node.inputs if name and name not in self.constants]
        if node.kind == "Shape" and len(unknown) == 1 and unknown[0] in self.shapes:
            shape = np.array(self.shapes[unknown[0]], dtype=np.int64)
            self.constants[node.outputs[0]] = shape[node.get("start", 0) : node.get("end", len(shape))]
        elif not unknown:
            self.folding.fold(proto, node)
        elif self._is_complement(node) or self._is_two_classes(node, unknown):
            return
        elif unknown != [self.value]:
            other = next((name for name in unknown if name != self.value), self.value)
            raise ValueError(
                f"it takes {other!r}: only layers in a row are read, and here the graph branches"
            )
        elif node.kind not in READERS:
            raise ValueError(f"the operator is not supported, only {', '.join(READERS)}")
        elif node.inputs[0] != self.value and not self._may_swap(node):
            raise ValueError(f"it takes a constant before {self.value!r}, expected after it")
        else:
            READERS[node.kind](self.chain, node)
            self._go_on(node.outputs[0])

    def _may_swap(self, node: Node) -> bool:
        """Let a sum or a product with a constant before the value have it behind."""
        if node.kind not in ("Add", "Mul") or node.inputs[1] != self.value:
            return False
        node.inputs.reverse()
        return True

    def _go_on(self, value: str) -> None:
        self.value = value
        self.shapes[value] = (self.chain.batch, *in_file(self.chain.shape, self.chain.axes))
        if self.chain.input_axes == CHANNELS_LAST:  # only now known, perhaps
            first = next(iter(self.shapes))
            self.shapes[first] = (self.chain.batch, *in_file(self.chain.input_shape, CHANNELS_LAST))

    def _is_complement(self, node: Node) -> bool:
        """Take 1 - p, the other class of a binary classifier."""
        if node.kind != "Sub" or node.inputs[1:] != [self.value] or node.inputs[0] not in self.constants:
            return False
        one = self.constants[node.inputs[0]]
        if one.size != 1 or one.reshape(()) != 1:
            return False
        self.complements[node.outputs[0]] = self.value
        return True

    def _is_two_classes(self, node: Node, taken: list[str]) -> bool:
        """Take (1 - p, p), side by side, as scikit-learn's exporters write it."""
        pair = len(taken) == 2 and taken[1] == self.value and self.complements.get(taken[0]) == self.value
        if node.kind != "Concat" or not pair or node.get("axis") not in (1, -1):
            return False
        self.chain.two_classes()
        self._go_on(node.outputs[0])
        return True
