"""An ONNX file as layers.

What depends on constants alone (weights) is worked out first. Nodes that together are one activation become
one (patterns.py). Then the file is walked node by node (walk.py), and the files of the layer families know
which layer each of them is.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks.extras import require
from ..foreign import check_path, kind_of
from .functions import DOMAIN
from .metadata import read_metadata
from .net import written_down
from .runtime import LANES, MOST_NUMBERS, MOST_VALUES, run_model
from .walk import OPEN_BATCH, Walk


class Found:
    """What a file holds.

    Attributes
    ----------
    name : str
        Of the file, for messages.
    outline : Outline
        The network as it is written down.
    dtype, state, metadata
        Of the network.
    channels_last : list of bools
        For each input, whether the file takes images (N, H, W, C) or signals (N, L, C).
    scale : float
        What the file multiplies its input with at the beginning; 1 if it does not.
    log_softmax : bool
        Whether the file goes on with a LogSoftmax, which the network lacks.
    """

    def __init__(self, onnx: Any, name: str, model: Any) -> None:
        walk = Walk(onnx, model)
        with np.errstate(all="ignore"):  # numbers of a damaged file may be any
            walk.go()
        net = walk.net
        self.name, self._onnx, self._model, self._outputs = name, onnx, model, walk.outputs
        self.outline, self.state = written_down(net, walk.numbers, *walk.names())
        self._input_names = walk.input_names
        self.channels_last = [net.is_turned(value) for value in range(net.count)]
        self.scale, self.log_softmax = net.scale, walk.log_softmax
        self._input_dtypes, self._batch, self._largest = walk.input_dtypes, net.batch, net.largest
        self._total = net.total
        # What the network computes in: the widest of its weights, the inputs' if there are none.
        kinds = [str(array.dtype) for array in self.state.values()]
        self.dtype = max(kinds or self._input_dtypes)
        self.metadata = read_metadata(model)
        classes = walk.outputs.classes
        if classes is not None and [net.shapes[value] for value in walk.numbers] == [(len(classes),)]:
            self.metadata.setdefault("classes", classes)

    @property
    def precision(self) -> float:
        """The step of the file's numbers near 1; attributes are of float32 whatever its weights are."""
        attributes = (a for node in self._outputs.nodes for a in node.attribute)
        rounded = {"float32"} if any(a.type == a.FLOAT for a in attributes) else set()
        kinds = rounded | {*self._input_dtypes, *(str(array.dtype) for array in self.state.values())}
        return float(max(np.finfo(kind).eps for kind in kinds))

    def sample(self) -> list[NDArray[Any]] | None:
        """Random inputs of the network; None if the values between have a lot of numbers."""
        needed = max(self._largest, self._total // MOST_VALUES)
        count = (2 if needed <= MOST_NUMBERS // LANES else 1) if self._batch == OPEN_BATCH else self._batch
        if needed * (1 if count == 1 else -(-count // LANES) * LANES) > MOST_NUMBERS:
            return None
        rng = np.random.default_rng(0)
        return [
            rng.standard_normal((count, *shape)).astype(kind)
            for shape, kind in zip(self.outline.input_shapes, self._input_dtypes, strict=True)
        ]

    def run(self, inputs: list[NDArray[Any]], products: int) -> list[NDArray[Any]] | None:
        """What the file itself makes of inputs, None if no program here can tell; see `run_model`."""
        feeds = {
            name: np.ascontiguousarray(np.moveaxis(X, 1, -1)) if last else X
            for name, X, last in zip(self._input_names, inputs, self.channels_last, strict=True)
        }
        return run_model(self._onnx, self._model, self._outputs, feeds, products)


def read_onnx(path: Any) -> Found:
    """The network in a file, or in an onnx.ModelProto.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If the file is damaged, or no network of layers; the message names the file and the node.
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
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
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
