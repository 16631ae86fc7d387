"""Files as exporters write them, put together by hand."""

import numpy as np

from tests.formats.onnx.onnx_tools import KINDS, helper, numpy_helper, onnx, write

RNG = np.random.default_rng(4)
FLOAT, INT = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64


def numbers(*shape, dtype=np.float32):
    return RNG.uniform(-1, 1, shape).astype(dtype)


def mnist_8(path):
    """MNIST-8 of the ONNX model zoo, as its description has it; CNTK wrote it."""
    constants = {
        "Parameter5": numbers(8, 1, 5, 5), "Parameter6": numbers(8, 1, 1),
        "Parameter87": numbers(16, 8, 5, 5), "Parameter88": numbers(16, 1, 1),
        "Parameter193": numbers(16, 4, 4, 10), "Parameter194": numbers(1, 10),
        "Pooling160_Output_0_reshape0_shape": np.array([1, 256]),
        "Parameter193_reshape1_shape": np.array([256, 10]),
    }  # fmt: skip
    conv = {
        "kernel_shape": [5, 5],
        "strides": [1, 1],
        "auto_pad": "SAME_UPPER",
        "group": 1,
        "dilations": [1, 1],
    }

    def pool(size):
        return {"kernel_shape": [size] * 2, "strides": [size] * 2, "pads": [0] * 4, "auto_pad": "NOTSET"}

    nodes = [
        ("Reshape", ["Parameter193", "Parameter193_reshape1_shape"], ["Parameter193_reshape1"]),
        ("Conv", ["Input3", "Parameter5"], ["Convolution28_Output_0"], conv),
        ("Add", ["Convolution28_Output_0", "Parameter6"], ["Plus30_Output_0"]),
        ("Relu", ["Plus30_Output_0"], ["ReLU32_Output_0"]),
        ("MaxPool", ["ReLU32_Output_0"], ["Pooling66_Output_0"], pool(2)),
        ("Conv", ["Pooling66_Output_0", "Parameter87"], ["Convolution110_Output_0"], conv),
        ("Add", ["Convolution110_Output_0", "Parameter88"], ["Plus112_Output_0"]),
        ("Relu", ["Plus112_Output_0"], ["ReLU114_Output_0"]),
        ("MaxPool", ["ReLU114_Output_0"], ["Pooling160_Output_0"], pool(3)),
        ("Reshape", ["Pooling160_Output_0", "Pooling160_Output_0_reshape0_shape"], ["reshape0"]),
        ("MatMul", ["reshape0", "Parameter193_reshape1"], ["Times212_Output_0"]),
        ("Add", ["Times212_Output_0", "Parameter194"], ["Plus214_Output_0"]),
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(
        [helper.make_node(kind, *rest[:2], **dict(*rest[2:])) for kind, *rest in nodes],
        "CNTKGraph",
        [  # initializers are inputs too, as files of this age must have them
            helper.make_tensor_value_info("Input3", FLOAT, [1, 1, 28, 28]),
            *(helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)) for t in tensors),
        ],
        [helper.make_tensor_value_info("Plus214_Output_0", FLOAT, [1, 10])],
        tensors,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 8)], ir_version=3), path)
    return path


def keras(path, shape=(9, 8, 3), way="Transpose", channels=4, cast=True):
    """As tf2onnx writes Conv2D, BatchNormalization, MaxPooling2D, Flatten and two Dense layers."""
    height, width, depth = shape
    h, w = (height - 2) // 2, (width - 2) // 2
    constants = {
        "kernel": numbers(channels, depth, 3, 3, dtype=np.float64 if cast else np.float32),
        "conv bias": numbers(channels), "scale": numbers(channels) + 2, "shift": numbers(channels),
        "mean": numbers(channels), "variance": numbers(channels) + 2, "w1": numbers(h * w * channels, 6),
        "b1": numbers(6), "w2": numbers(6, 5), "b2": numbers(5), "flat": np.array([-1, h * w * channels]),
        "first": np.array([-1, depth, height, width]), "last": np.array([-1, h, w, channels]),
    }  # fmt: skip
    if way == "Transpose":
        begin = ("Transpose", ["x"], ["nchw"], {"perm": [0, 3, 1, 2]})
        back = ("Transpose", ["pooled"], ["nhwc"], {"perm": [0, 2, 3, 1]})
    else:  # an axis of 1 may be moved by a Reshape
        begin, back = ("Reshape", ["x", "first"], ["nchw"]), ("Reshape", ["pooled", "last"], ["nhwc"])
    nodes = [
        ("Cast", ["x"], ["same"], {"to": FLOAT}),
        (begin[0], ["same", *begin[1][1:]], *begin[2:]),
        ("Cast", ["kernel"], ["kernel 32"], {"to": FLOAT}),
        ("Conv", ["nchw", "kernel 32", "conv bias"], ["conv"], {"kernel_shape": [3, 3]}),
        ("BatchNormalization", ["conv", "scale", "shift", "mean", "variance"], ["n"], {"epsilon": 0.001}),
        ("Relu", ["n"], ["relu"]),
        ("MaxPool", ["relu"], ["pooled"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        back,
        ("Reshape", ["nhwc", "flat"], ["features"]),
        ("Relu", ["features"], ["again"]),
        ("MatMul", ["again", "w1"], ["m1"]), ("Add", ["m1", "b1"], ["a1"]), ("Tanh", ["a1"], ["t1"]),
        ("MatMul", ["t1", "w2"], ["m2"]), ("Add", ["m2", "b2"], ["a2"]), ("Softmax", ["a2"], ["y"]),
    ]  # fmt: skip
    return write(path, nodes, shape, constants, opset=15, batch="unk__12")


def scikit_learn(path, outputs=3, zipmap=True, dtype="float32", names=(b"a", b"b", b"c"), last="Softmax"):
    """As skl2onnx writes an MLPClassifier: probabilities, and the label that is made of them."""
    kind = KINDS[dtype]
    constants = {
        "coefficient": numbers(8, 5, dtype=dtype), "intercepts": numbers(1, 5, dtype=dtype),
        "coefficient1": numbers(5, outputs, dtype=dtype), "intercepts1": numbers(1, outputs, dtype=dtype),
        "shape_tensor": np.array([-1]), "unity": np.array([1], dtype),
    }  # fmt: skip
    probabilities = "out" if zipmap else "probabilities"
    label = onnx.TensorProto.STRING if isinstance(names[0], bytes) else INT
    binary = [
        helper.make_node("Sub", ["unity", "p"], ["negative"]),
        helper.make_node("Concat", ["negative", "p"], [probabilities], axis=1),
    ]
    nodes = [
        helper.make_node("Cast", ["X"], ["cast_input"], to=kind),
        helper.make_node("MatMul", ["cast_input", "coefficient"], ["mul_result"]),
        helper.make_node("Add", ["mul_result", "intercepts"], ["add_result"]),
        helper.make_node("Relu", ["add_result"], ["next_activations"]),
        helper.make_node("MatMul", ["next_activations", "coefficient1"], ["mul_result1"]),
        helper.make_node("Add", ["mul_result1", "intercepts1"], ["add_result1"]),
        helper.make_node(last, ["add_result1"], ["p" if outputs == 1 else probabilities]),
        *(binary if outputs == 1 else []),
        helper.make_node("ArgMax", [probabilities], ["argmax_output"], axis=1),
        helper.make_node("ArrayFeatureExtractor", ["classes", "argmax_output"], ["f"], domain="ai.onnx.ml"),
        helper.make_node("Reshape", ["f", "shape_tensor"], ["label"]),
    ]
    made = [helper.make_tensor_value_info("label", label, [None])]
    if zipmap:
        key = "classlabels_strings" if label == onnx.TensorProto.STRING else "classlabels_int64s"
        keys = {key: list(names)}
        nodes.insert(
            -1, helper.make_node("ZipMap", ["out"], ["output_probability"], domain="ai.onnx.ml", **keys)
        )
        mapped = helper.make_map_type_proto(label, helper.make_tensor_type_proto(kind, []))
        made.append(helper.make_value_info("output_probability", helper.make_sequence_type_proto(mapped)))
    else:
        made.append(helper.make_tensor_value_info("probabilities", kind, [None, len(names)]))
    graph = helper.make_graph(
        nodes,
        "ONNX(MLPClassifier)",
        [helper.make_tensor_value_info("X", kind, [None, 8])],
        made,
        [helper.make_tensor("classes", label, [len(names)], list(names)),
         *(numpy_helper.from_array(array, name) for name, array in constants.items())],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("ai.onnx.ml", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path
