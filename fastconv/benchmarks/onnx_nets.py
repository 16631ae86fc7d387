"""The networks of the benchmarks as ONNX models, for ONNX Runtime."""

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .nets import NETS, Spec

OPSET, IR_VERSION = 17, 8  # old enough for every ONNX Runtime of the last years


def _node(spec: Spec, inputs: list[str], output: str) -> Any:
    window = [spec.size, spec.size]
    if spec.kind == "conv":
        return helper.make_node("Conv", inputs, [output], kernel_shape=window, pads=[spec.padding] * 4)
    if spec.kind == "dense":
        return helper.make_node("Gemm", inputs, [output], transB=1)
    if spec.kind == "max_pool":
        return helper.make_node("MaxPool", inputs, [output], kernel_shape=window, strides=window)
    name = {"relu": "Relu", "flatten": "Flatten", "sigmoid": "Sigmoid"}[spec.kind]
    return helper.make_node(name, inputs, [output])


def session(name: str, parameters: dict[str, NDArray[Any]], threads: int) -> onnxruntime.InferenceSession:
    """ONNX Runtime's own engine for the network `name`, on `threads` threads."""
    net = NETS[name]
    nodes = []
    for k, spec in enumerate(net.layers):
        weights = [f"{k}.{part}" for part in ("weight", "bias") if f"{k}.{part}" in parameters]
        nodes.append(_node(spec, [f"x{k}", *weights], f"x{k + 1}"))
    x = helper.make_tensor_value_info("x0", TensorProto.FLOAT, ["N", *net.input_shape])
    y = helper.make_tensor_value_info(f"x{len(nodes)}", TensorProto.FLOAT, ["N", *net.shapes()[-1]])
    constants = [numpy_helper.from_array(np.asarray(a), key) for key, a in parameters.items()]
    graph = helper.make_graph(nodes, name, [x], [y], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
