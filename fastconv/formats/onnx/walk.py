"""One pass over the graph of an ONNX file, node by node."""

from collections import Counter
from typing import Any

import numpy as np

from ...nn.layer import Shape
from ...nn.outline import checked_shape
from . import (  # noqa: F401 - they register their operators
    activations,
    affine,
    conv,
    conv_transpose,
    curves,
    dense,
    dropout,
    global_pool,
    merge,
    norm,
    pool,
    resize,
    shape,
)
from .folding import Folding
from .functions import DOMAIN
from .net import Net
from .node import DTYPES, Node
from .normalised import NORMALISED
from .outputs import LEARN, Outputs, find_outputs, needed_nodes
from .patterns import Patterns, Whole
from .tables import JOINTS, READERS
from .value import Value

OLDEST_OPSET = 7  # before it, Gemm, BatchNormalization and Dropout meant other things
MOST_COPIES = 8  # how often all weights of a file may be shared among its layers; each becomes a copy here
OPEN_BATCH = 1_000_003  # stands for the batch in shapes that are worked out, where the file leaves it open


class Walk:
    """What is known while a graph is read.

    Attributes
    ----------
    net : Net
        The network so far.
    outputs : Outputs
        Which of the file's outputs are the network's.
    numbers : list of ints
        The network's values that they are.
    input_names, input_dtypes : list of str
    log_softmax : bool
        Whether the file goes on with a LogSoftmax.
    """

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
        most = MOST_COPIES * sum(array.nbytes for array in self.constants.values()) + 2**20
        self.folding.left = most
        self.outputs: Outputs = find_outputs(onnx, self.graph, self.constants)
        inputs = [value for value in self.graph.input if value.name not in self.constants]
        if not inputs:
            raise ValueError("it has no inputs but constants")
        self.input_names = [value.name for value in inputs]
        self.input_dtypes = [self._dtype(value) for value in inputs]
        samples = [self._sample_shape(value.type.tensor_type) for value in inputs]
        if len({batch for _, batch in samples}) > 1:
            raise ValueError(f"its inputs must have one size of batch, got {[batch for _, batch in samples]}")
        self.net = Net([sizes for sizes, _ in samples], samples[0][1], most)
        self.values = {name: Value(self.net, number) for number, name in enumerate(self.input_names)}
        self.ours = model.producer_name == "fastconv"
        self.log_softmax = False
        self.numbers: list[int] = []
        self._readers: Counter[str] = Counter()

    def _dtype(self, value: Any) -> str:
        kind = value.type.tensor_type.elem_type
        if kind not in DTYPES:
            raise ValueError(f"its input must be float32 or float64, got element type {kind}")
        return DTYPES[kind]

    def _sample_shape(self, tensor: Any) -> tuple[Shape, int]:
        """(shape of one sample, samples in a batch)."""
        sizes = [d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim]
        if len(sizes) not in (2, 3, 4) or min(sizes[1:]) < 1:
            named = [d.dim_param if d.HasField("dim_param") else d.dim_value for d in tensor.shape.dim]
            raise ValueError(
                "its input must be of shape (N, C, H, W), (N, C, L) or (N, features), all but N known, "
                f"got {named}"
            )
        return checked_shape(sizes[1:]), sizes[0] if sizes[0] > 0 else OPEN_BATCH

    def go(self) -> None:
        """Read all nodes that the outputs take.

        Raises
        ------
        ValueError
            If one can't be; the message names it.
        """
        nodes = [(proto, Node(self.onnx, proto, self.opset, self.constants)) for proto in self.outputs.nodes]
        for proto, node in nodes:
            if all(name in self.constants for name in node.inputs if name):
                self._named(node, lambda proto=proto, node=node: self.folding.fold(proto, node))
        patterns = Patterns(self.constants, [node for _, node in nodes])
        left = needed_nodes(patterns.nodes, self.outputs.names, self.constants)
        self._readers.update(name for node in left if node.kind != "Shape" for name in node.inputs)
        self._readers.update(self.outputs.names)
        protos = {id(node): proto for proto, node in nodes}
        for node in left:
            self.net.check_room()
            self._named(node, lambda node=node: self._read(protos.get(id(node)), node))
        self._end()

    def names(self) -> tuple[list[str], list[str]]:
        """What the network calls its inputs and outputs: of others' files only where there are several."""
        return tuple(  # type: ignore[return-value]
            names if self.ours or len(names) > 1 else [kind]
            for names, kind in ((self.input_names, "input"), (self.outputs.names, "output"))
        )

    def _named(self, node: Node, read: Any) -> None:
        try:
            read()
        except Exception as error:  # damaged attributes and constants make all kinds of errors
            reason = (str(error) or type(error).__name__).strip().partition("\n")[0]
            raise ValueError(f"node {node}: {reason}") from None

    def _end(self) -> None:
        ends = []
        for name in self.outputs.names:
            if name not in self.values:
                raise ValueError(f"its output {name!r} depends on none of its inputs")
            ends.append(self.values[name])
        for value in ends:
            value.pad_now()
            value.check_order()
            if value.start is not None and value.unplaced:
                raise ValueError(value.unplaced)
        if not self.net.steps:
            raise ValueError("it has no operators that compute anything")
        for value in ends:
            value.check_end()
        self.log_softmax = any(value.log_softmax for value in ends)
        if self.log_softmax and len(ends) > 1:
            raise ValueError("a LogSoftmax is supported at the end of the only output")
        self.numbers = self.net.without_dead([value.number for value in ends])

    def _read(self, proto: Any, node: Node) -> None:
        if node.domain not in ("", "ai.onnx", DOMAIN) and (node.domain, node.kind) != (LEARN, "Scaler"):
            raise ValueError(f"operators of {node.domain!r} are not supported")
        unknown = [name for name in node.inputs if name and name not in self.constants]
        for name in unknown:
            if name not in self.values:
                raise ValueError(f"it takes {name!r}, which is not the first output of what makes it")
        self.net.place = node.name.rpartition(f".{node.kind}")[0] if self.ours else ""
        if not unknown:
            self.folding.fold(proto, node)
        elif node.kind == "Shape":
            value = self.values[unknown[0]]
            sizes = np.array((self.net.batch, *value.shape_in_file), dtype=np.int64)
            self.constants[node.outputs[0]] = sizes[node.get("start", 0) : node.get("end", len(sizes))]
        elif len(unknown) == 1:
            self._read_one(node, unknown[0])
        else:
            self._read_several(node, unknown)

    def _read_one(self, node: Node, name: str) -> None:
        if node.kind not in READERS and not isinstance(node, Whole):
            known = ", ".join(kind for kind in READERS if kind != NORMALISED)
            raise ValueError(f"the operator is not supported, only {known}")
        node.value = node.inputs.index(name)
        value = self._taken(name)
        if isinstance(node, Whole):
            value.append(node.layer)
        elif node.kind == "Sub" and node.value == 1 and _is_one(node.constant(0)):
            value.complement = True
        elif node.value != 0 and node.kind not in ("Add", "Mul", "Sum", "Max", "Min"):
            raise ValueError(f"it takes a constant before {name!r}, expected after it")
        else:
            READERS[node.kind](value, node)
        self.values[node.outputs[0]] = value

    def _read_several(self, node: Node, names: list[str]) -> None:
        values = [self._taken(name) for name in names]
        pair = node.kind == "Concat" and len(values) == 2 and values[0].complement
        if (
            pair
            and self._readers[names[1]] == 2
            and values[0].number == values[1].number
            and node.get("axis") in (1, -1)
        ):
            values[1].two_classes()
            self.values[node.outputs[0]] = values[1]
            return
        if len(names) < len([name for name in node.inputs if name]):
            raise ValueError(f"it takes {len(names)} values and a constant, which is not supported")
        if node.kind not in JOINTS:
            raise ValueError(
                f"it takes the values {', '.join(map(repr, names))}: several are taken by "
                f"{', '.join(JOINTS)} only"
            )
        self.values[node.outputs[0]] = JOINTS[node.kind](values, node)

    def _taken(self, name: str) -> Value:
        """A value for a node to go on with."""
        value, alone = self.values[name], self._readers[name] == 1
        if not alone:
            value.begin()  # once for all that take it
        return value.taken(alone)


def _is_one(array: Any) -> bool:
    return bool(array.size == 1 and array.reshape(()) == 1)
