"""What the tests of ONNX files share: ONNX Runtime as the independent answer, graphs put together by hand."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

KINDS = {"float32": onnx.TensorProto.FLOAT, "float64": onnx.TensorProto.DOUBLE}


def runtime(path, X):
    """ONNX Runtime's outputs for a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: X})
    return output


def close(found, wanted, dtype="float32"):
    assert found.dtype == wanted.dtype == dtype
    assert found.shape == wanted.shape
    if found.size:
        rounding = 2e-6 if dtype == "float32" else 1e-12
        np.testing.assert_allclose(found, wanted, rtol=0, atol=rounding * np.abs(wanted).max())


def samples(shape, dtype="float32", count=5):
    return np.random.default_rng(3).standard_normal((count, *shape)).astype(dtype)


def write(path, nodes, shape, constants=(), opset=17, batch="N", dtype="float32", outputs=("y",)):
    """A file with these nodes, from input "x"; a node is (operator, inputs, outputs, attributes)."""
    made = [helper.make_node(*node[:3], name=f"{node[0]} {node[2][0]}", **dict(*node[3:])) for node in nodes]
    graph = helper.make_graph(
        made,
        "by hand",
        [helper.make_tensor_value_info("x", KINDS[dtype], [batch, *shape])],
        [helper.make_tensor_value_info(name, KINDS[dtype], None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in dict(constants).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    for value in model.graph.output:
        value.type.tensor_type.shape.SetInParent()  # onnx's checker wants one, also where it is unknown
    onnx.save(model, path)
    return path
