"""What a file computes by another program: ONNX Runtime where it is installed, else onnx's own evaluator."""

import importlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...checks.extras import require
from .functions import DOMAIN
from .outputs import Outputs

# Multiplications that may be asked for: a second or so of ONNX Runtime, and of onnx's evaluator in NumPy.
MOST_PRODUCTS, MOST_IN_NUMPY = 2 * 10**10, 2 * 10**8
LARGEST_FILE = 2**28  # bytes; it is copied for them
MOST_NUMBERS = 2**24  # of one value of all samples: 64 MB, so that a check takes no memory worth a word
# In older opsets the batch normalisation of onnx's evaluator takes the statistics of the batch.
OLDEST_IN_NUMPY = 14
MOST_VALUES = 2  # times as many of all values together, padding included
LANES = 16  # samples of which memory is taken for any batch of more than one


Feeds = dict[str, NDArray[Any]]


def run_model(
    onnx: Any, model: Any, outputs: Outputs, feeds: Feeds, products: int
) -> list[NDArray[Any]] | None:
    """The values `outputs` of a graph for its inputs by name, None if no program here can tell.

    `products` is about how many multiplications it takes. What the functions that we write take beside the
    image is not read, so that it could ask for any memory: files with them are not run.
    """
    ours = any(node.domain == DOMAIN for node in outputs.nodes)
    if ours or products > MOST_PRODUCTS or model.ByteSize() > LARGEST_FILE:
        return None
    asked = onnx.ModelProto()
    asked.CopyFrom(model)
    del asked.graph.output[:], asked.graph.node[:]
    asked.graph.output.extend(map(onnx.helper.make_empty_tensor_value_info, outputs.names))
    asked.graph.node.extend(outputs.nodes)
    found = _by_runtime(asked, feeds)
    opset = min((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    if found is None and products <= MOST_IN_NUMPY and opset >= OLDEST_IN_NUMPY:
        found = _by_evaluator(asked, feeds)
    return found


def _by_runtime(model: Any, feeds: Feeds) -> list[NDArray[Any]] | None:
    try:
        runtime = importlib.import_module("onnxruntime")
        options = runtime.SessionOptions()
        options.log_severity_level = 4  # it writes to standard error what it also raises
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        # The file as it stands: its optimizer would compute with integers where weights are stored so.
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        session = runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return [np.asarray(array) for array in session.run(None, feeds)]
    except Exception:  # not installed; an operator that it lacks, as convolutions of float64
        return None


def _by_evaluator(model: Any, feeds: Feeds) -> list[NDArray[Any]] | None:
    try:
        reference = require("onnx.reference", "onnx", "an ONNX file")
        return [np.asarray(array) for array in reference.ReferenceEvaluator(model).run(None, feeds)]
    except Exception:  # whatever it lacks
        return None
