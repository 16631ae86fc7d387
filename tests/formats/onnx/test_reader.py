"""ONNX files that are read: graphs put together by hand, and files that must be refused."""

import itertools
import tracemalloc

import numpy as np
import pytest

import fastconv as fc
from tests.formats.onnx.onnx_tools import close, onnx, runtime, samples, write

RNG = np.random.default_rng(0)


def weights(*shape):
    return RNG.standard_normal(shape).astype(np.float32)


# Graphs put together by hand, against ONNX Runtime

W, B, K = weights(3, 8), weights(3), weights(4, 2, 3, 3)
PLAIN = {"kernel_shape": [3, 3]}
GRAPHS = {
    "gemm": (
        [("Gemm", ["x", "w", "b"], ["y"], {"transB": 0, "alpha": 0.5, "beta": 2.0})],
        (8,), {"w": W.T, "b": B[None]},
    ),
    "gemm without bias": ([("Gemm", ["x", "w"], ["y"], {"transB": 1})], (8,), {"w": W}),
    "gemm of one bias": ([("Gemm", ["x", "w", "b"], ["y"], {"transB": 1})], (8,), {"w": W, "b": B[0]}),
    "matmul": ([("MatMul", ["x", "w"], ["y"])], (8,), {"w": W.T}),
    "matmul and add": (
        [("MatMul", ["x", "w"], ["a"]), ("Add", ["a", "b"], ["y"])], (8,), {"w": W.T, "b": B}
    ),
    "matmul of a transpose": (
        [("Transpose", ["w"], ["t"], {"perm": [1, 0]}), ("MatMul", ["x", "t"], ["a"]),
         ("Add", ["a", "b"], ["y"])],
        (8,), {"w": W, "b": B[None]},
    ),
    "weights that are worked out": (
        [("Concat", ["w", "w"], ["v"], {"axis": 0}), ("MatMul", ["x", "v"], ["y"])], (16,), {"w": W.T},
    ),
    "conv and add": (
        [("Conv", ["x", "k"], ["a"]), ("Add", ["a", "b"], ["y"])],
        (2, 6, 7), {"k": K, "b": weights(1, 4, 1, 1)},
    ),
    "conv same": (
        [("Conv", ["x", "k"], ["y"], {"auto_pad": "SAME_UPPER"})], (2, 6, 7), {"k": K}
    ),
    "conv same, even": (
        [("Conv", ["x", "k"], ["y"], {"auto_pad": "SAME_UPPER"})], (2, 6, 7), {"k": weights(4, 2, 2, 4)}
    ),
    "conv same, strided": (
        [("Conv", ["x", "k"], ["y"], {"auto_pad": "SAME_UPPER", "strides": [2, 2]})], (2, 7, 9), {"k": K}
    ),
    "conv valid": ([("Conv", ["x", "k"], ["y"], {"auto_pad": "VALID"})], (2, 6, 7), {"k": K}),
    "pad and conv": (
        [("Pad", ["x", "p"], ["a"]), ("Conv", ["a", "k"], ["y"], {"pads": [1, 0, 1, 0]})],
        (2, 6, 7), {"k": K, "p": [0, 0, 1, 2, 0, 0, 1, 2]},
    ),
    "pad to the same and conv": (
        [("Pad", ["x", "p", "zero"], ["a"]), ("Conv", ["a", "k"], ["y"])],
        (2, 6, 7), {"k": weights(4, 2, 2, 4), "p": [0, 0, 0, 1, 0, 0, 1, 2], "zero": np.float32(0)},
    ),
    "pad and max pool": (
        [("Pad", ["x", "p", "low"], ["a"]), ("MaxPool", ["a"], ["y"], {**PLAIN, "strides": [2, 2]})],
        (2, 6, 7), {"p": [0, 0, 1, 1, 0, 0, 1, 1], "low": np.float32(-np.inf)},
    ),
    "pad and average": (
        [("Pad", ["x", "p"], ["a"]), ("AveragePool", ["a"], ["y"], {**PLAIN, "strides": [2, 2]})],
        (2, 7, 7), {"p": [0, 0, 1, 1, 0, 0, 1, 1]},
    ),
    "average over the edge": (
        [("AveragePool", ["x"], ["y"], {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]})],
        (2, 7, 7), {},
    ),
    "average, padding not counted": (
        [("AveragePool", ["x"], ["y"], {**PLAIN, "pads": [1, 1, 1, 1]})], (2, 5, 6), {}
    ),
    "average, strides of one": ([("AveragePool", ["x"], ["y"], {"kernel_shape": [2, 3]})], (2, 5, 6), {}),
    "max pool, strides of one": ([("MaxPool", ["x"], ["y"], {"kernel_shape": [2, 3]})], (2, 5, 6), {}),
    "max pool over the edge": (
        [("MaxPool", ["x"], ["y"], {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]})],
        (2, 7, 7), {},
    ),
    "mean": ([("ReduceMean", ["x"], ["y"], {"axes": [2, 3]})], (2, 5, 6), {}),
    "mean without axes left": (
        [("ReduceMean", ["x"], ["y"], {"axes": [-1, -2], "keepdims": 0})], (2, 5, 6), {}
    ),
    "mean squeezed": (
        [("GlobalAveragePool", ["x"], ["a"]), ("Squeeze", ["a", "axes"], ["y"])], (2, 5, 6), {"axes": [2, 3]}
    ),
    "flatten": ([("Flatten", ["x"], ["y"], {"axis": -3})], (2, 5, 6), {}),
    "reshape": ([("Reshape", ["x", "s"], ["y"])], (2, 5, 6), {"s": [-1, 60]}),
    "reshape by zero": ([("Reshape", ["x", "s"], ["y"])], (2, 5, 6), {"s": [0, -1]}),
    "reshape by the shape": (
        [("Shape", ["x"], ["s"]), ("Constant", [], ["i"], {"value_int": 0}), ("Gather", ["s", "i"], ["n"]),
         ("Constant", [], ["axis"], {"value_ints": [0]}), ("Unsqueeze", ["n", "axis"], ["v"]),
         ("Constant", [], ["rest"], {"value_ints": [-1]}), ("Concat", ["v", "rest"], ["t"], {"axis": 0}),
         ("Cast", ["t"], ["t2"], {"to": 7}), ("Reshape", ["x", "t2"], ["y"])],
        (2, 5, 6), {},
    ),
    "batch norm of shared constants": (
        [("Identity", ["s"], ["v"]),
         ("BatchNormalization", ["x", "s", "b", "b", "v"], ["y"], {"epsilon": 0.01})],
        (2, 4, 4), {"s": np.abs(weights(2)) + 1, "b": weights(2)},
    ),
    "many slopes": ([("PRelu", ["x", "s"], ["y"])], (3,), {"s": B}),
    "a slope of each channel": ([("PRelu", ["x", "s"], ["y"])], (3, 2, 2), {"s": B[:, None, None]}),
    "a scale and a shift after a transposed convolution": (
        [("ConvTranspose", ["x", "k"], ["a"], {"group": 2, "strides": [2, 2], "output_shape": [7, 8]}),
         ("Mul", ["a", "s"], ["m"]), ("Add", ["m", "s"], ["y"])],
        (4, 3, 4), {"k": weights(4, 3, 2, 2), "s": weights(6, 1, 1)},
    ),
    "a size by the shape": (
        [("Shape", ["x"], ["s"]), ("Mul", ["s", "f"], ["t"]),
         ("Resize", ["x", "", "", "t"], ["y"],
          {"mode": "linear", "coordinate_transformation_mode": "align_corners"})],
        (2, 3, 4), {"f": [1, 1, 2, 3]},
    ),
    "a pad before anything": (
        [("Pad", ["x", "p"], ["a"]), ("Relu", ["a"], ["r"]), ("Pad", ["r", "p"], ["y"])],
        (2, 6, 7), {"p": [0, 0, 1, 0, 0, 0, 2, 3]},
    ),
    "zeros around a largest element": (
        [("Pad", ["x", "p"], ["a"]), ("MaxPool", ["a"], ["y"], {**PLAIN, "strides": [2, 2]})],
        (2, 6, 7), {"p": [0, 0, 1, 1, 0, 0, 1, 1]},
    ),
    "zeros around signals": ([("Pad", ["x", "p"], ["y"])], (2, 6), {"p": [0, 0, 1, 0, 0, 2]}),
    "one slope": ([("PRelu", ["x", "s"], ["y"])], (2, 4, 4), {"s": np.float32([0.3])}),
    "uneven padding": ([("Conv", ["x", "k"], ["y"], {"pads": [0, 0, 1, 2]})], (2, 6, 7), {"k": K}),
    "an uneven mean": (
        [("AveragePool", ["x"], ["y"], {**PLAIN, "pads": [0, 0, 1, 1], "count_include_pad": 1})],
        (2, 7, 7), {},
    ),
    "an uneven largest": (
        [("MaxPool", ["x"], ["y"], {**PLAIN, "strides": [2, 2], "pads": [0, 1, 1, 0]})], (2, 7, 7), {}
    ),
    "the same, strided and even": (
        [("Conv", ["x", "k"], ["a"], {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
         ("MaxPool", ["a"], ["y"], {"kernel_shape": [2, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]})],
        (2, 8, 9), {"k": weights(4, 2, 4, 4)},
    ),
    "a mean of lines": ([("ReduceMean", ["x"], ["y"], {"axes": [2]})], (2, 5, 6), {}),
    "the largest": ([("ReduceMax", ["x"], ["y"], {"axes": [2, 3]})], (2, 5, 6), {}),
    "the largest of all": ([("GlobalMaxPool", ["x"], ["y"])], (2, 5, 6), {}),
    "features that are normalised": (
        [("BatchNormalization", ["x", "s", "b", "b", "v"], ["y"])],
        (3,), {"s": B, "b": B, "v": np.abs(B) + 1},
    ),
    "channels that are normalised": (
        [("InstanceNormalization", ["x", "s", "b"], ["y"], {"epsilon": 0.01})],
        (3, 4, 5), {"s": B, "b": weights(3)},
    ),
    "groups by exporters of older opsets": (
        [("Reshape", ["x", "g"], ["a"]), ("InstanceNormalization", ["a", "one", "zero"], ["n"]),
         ("Reshape", ["n", "s"], ["r"]), ("Mul", ["r", "w"], ["m"]), ("Add", ["m", "b"], ["y"])],
        (4, 3, 3),
        {"g": [0, 2, -1], "one": np.ones(2, np.float32), "zero": np.zeros(2, np.float32),
         "s": [-1, 4, 3, 3], "w": weights(4, 1, 1), "b": weights(4, 1, 1)},
    ),
    "all channels as one group": (
        [("Reshape", ["x", "g"], ["a"]), ("InstanceNormalization", ["a", "one", "zero"], ["n"]),
         ("Reshape", ["n", "s"], ["y"])],
        (4, 3, 3),
        {"g": [0, 1, -1], "one": np.ones(1, np.float32), "zero": np.zeros(1, np.float32), "s": [-1, 4, 3, 3]},
    ),
    "signals": (
        [("Conv", ["x", "k"], ["a"], {"pads": [1, 2], "strides": [2]}), ("Relu", ["a"], ["r"]),
         ("MaxPool", ["r"], ["m"], {"kernel_shape": [2], "strides": [2], "ceil_mode": 1}),
         ("AveragePool", ["m"], ["p"], {"kernel_shape": [3], "pads": [1, 1]}),
         ("BatchNormalization", ["p", "s", "s", "s", "v"], ["n"]), ("GlobalAveragePool", ["n"], ["g"]),
         ("Flatten", ["g"], ["y"])],
        (2, 21), {"k": weights(4, 2, 4), "s": weights(4), "v": np.abs(weights(4)) + 1},
    ),
    "causal signals": (
        [("Pad", ["x", "p"], ["a"]), ("Conv", ["a", "k"], ["y"], {"dilations": [2]})],
        (2, 9), {"p": [0, 0, 4, 0, 0, 0], "k": weights(4, 2, 3)},
    ),
    "signals as images of one line": (
        [("Unsqueeze", ["x", "two"], ["u"]), ("Conv", ["u", "k"], ["a"], {"pads": [0, 1, 0, 1]}),
         ("MaxPool", ["a"], ["m"], {"kernel_shape": [1, 2], "strides": [1, 2]}),
         ("Squeeze", ["m", "two"], ["y"])],
        (2, 9), {"two": [2], "k": weights(4, 2, 1, 3)},
    ),
    "images of one line as signals": (
        [("Squeeze", ["x", "two"], ["s"]), ("Conv", ["s", "k"], ["a"], {"pads": [1, 1]}),
         ("Relu", ["a"], ["r"]), ("Unsqueeze", ["r", "two"], ["y"])],
        (2, 1, 9), {"two": [2], "k": weights(4, 2, 3)},
    ),
    "positions merged, averaged and flattened": (
        [("Reshape", ["x", "s"], ["a"]), ("ReduceMean", ["a"], ["m"], {"axes": [2]}),
         ("Squeeze", ["m", "two"], ["y"])],
        (2, 5, 6), {"s": [0, 0, -1], "two": [2]},
    ),
    "a sum of branches": (
        [("Conv", ["x", "k"], ["a"], {"pads": [1] * 4}), ("Relu", ["a"], ["r"]), ("Add", ["r", "x"], ["s"]),
         ("Relu", ["s"], ["y"])],
        (2, 5, 6), {"k": weights(2, 2, 3, 3)},
    ),
    "channels of branches": (
        [("Conv", ["x", "k"], ["a"], {"pads": [1] * 4}),
         ("MaxPool", ["x"], ["m"], {**PLAIN, "pads": [1] * 4}),
         ("Concat", ["a", "x", "m"], ["c"], {"axis": 1}), ("Flatten", ["c"], ["f"]), ("Relu", ["f"], ["y"])],
        (2, 5, 6), {"k": K},
    ),
    "a sum of one, of two and of three": (
        [("Sum", ["x"], ["a"]), ("Tanh", ["a"], ["t"]), ("Sum", ["x", "t"], ["b"]),
         ("Sum", ["x", "t", "b"], ["y"])],
        (5,), {},
    ),
    "a value twice": ([("Add", ["x", "x"], ["a"]), ("Relu", ["a"], ["y"])], (5,), {}),
    "a value that nothing reads": ([("Relu", ["x"], ["a"]), ("Tanh", ["x"], ["y"])], (5,), {}),
    "an output in between": ([("Relu", ["x"], ["y"]), ("Tanh", ["y"], ["z"])], (5,), {}),
    "a scale that two branches read": (
        [("Mul", ["x", "h"], ["a"]), ("Relu", ["a"], ["r"]), ("Add", ["a", "r"], ["y"])],
        (2, 3, 3), {"h": np.float32(0.5)},
    ),
    "a bias that one of two branches adds": (
        [("Conv", ["x", "k"], ["a"]), ("Add", ["a", "b"], ["c"]), ("Relu", ["a"], ["r"]),
         ("Add", ["c", "r"], ["y"])],
        (2, 5, 6), {"k": K, "b": weights(4, 1, 1)},
    ),
    "leaky relu": ([("LeakyRelu", ["x"], ["y"])], (5,), {}),
    "dropout": ([("Dropout", ["x", "r"], ["y"])], (5,), {"r": np.float32(0.3)}),
    "softmax": ([("Softmax", ["x"], ["y"])], (5,), {}),
    "identities": (
        [("Identity", ["x"], ["a"]), ("Relu", ["a"], ["b"]), ("Identity", ["b"], ["y"])], (5,), {}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_predicts_what_onnx_runtime_does(tmp_path, name):
    nodes, shape, constants = GRAPHS[name]
    path = write(tmp_path / "model.onnx", nodes, shape, constants)
    X = samples(shape)
    close(fc.from_onnx(path).predict(X), runtime(path, X))


def test_old_opsets_mean_what_they_meant(tmp_path):
    nodes = [
        ("Pad", ["x"], ["p"], {"pads": [0, 0, 1, 1, 0, 0, 1, 1]}),
        ("Conv", ["p", "k", "b"], ["a"]),
        ("BatchNormalization", ["a", "s", "b", "b", "s"], ["n"], {"epsilon": 0.5, "momentum": 0.75}),
        ("Dropout", ["n"], ["d"], {"ratio": 0.3}),
        ("ReduceMean", ["d"], ["m"], {"axes": [2, 3]}),
        ("Squeeze", ["m"], ["q"], {"axes": [2, 3]}),
        ("Softmax", ["q"], ["y"]),  # over all axes from 1 on
    ]
    constants = {"k": K, "b": weights(4), "s": np.abs(weights(4)) + 1}
    path = write(tmp_path / "model.onnx", nodes, (2, 5, 6), constants, opset=9)
    model = fc.from_onnx(path)
    close(model.predict(samples((2, 5, 6))), runtime(path, samples((2, 5, 6))))
    assert model.layers[1:3] == (fc.BatchNorm2d(momentum=0.25, eps=0.5), fc.Dropout(0.3))


def test_settings_come_back_as_they_were_written(tmp_path):
    layers = [
        fc.Conv2d(4, 3, padding=1, groups=2, dilation=2, bias=False), fc.BatchNorm2d(0.3, 1e-3),
        fc.LeakyReLU(0.2), fc.MaxPool2d(2, 3, ceil_mode=True), fc.AvgPool2d(3, 1, 1, count_include_pad=False),
        fc.Dropout(0.1), fc.Conv2d(3, 2, padding="same"), fc.AvgPool2d(3, 2, 1, ceil_mode=True), fc.Tanh(),
        fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(4), fc.Sigmoid(), fc.Dense(3, bias=False), fc.Softmax(),
    ]  # fmt: skip
    for dtype in ("float32", "float64"):
        model = fc.Sequential(layers, (2, 12, 11), dtype)
        model.statistics()["1.running_mean"][:] = [1, 2, 3, 4]
        model.to_onnx(tmp_path / "model.onnx")
        again = fc.from_onnx(tmp_path / "model.onnx")
        assert (again.layers, again.input_shape, again.dtype) == (tuple(layers), (2, 12, 11), dtype)
        for name, array in again.state().items():
            np.testing.assert_array_equal(array, model.state()[name])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["reference_cnn", "lenet5", "vgg_small"])
def test_a_file_of_ours_predicts_what_onnx_runtime_does(tmp_path, name, dtype):
    model = getattr(fc.models, name)(dtype=dtype)
    model.to_onnx(tmp_path / "model.onnx")
    X = samples(model.input_shape, dtype)
    close(fc.from_onnx(tmp_path / "model.onnx").predict(X), runtime(tmp_path / "model.onnx", X), dtype)


# What is refused

R = ("Relu", ["x"], ["y"])
REFUSED = {
    "an operator": ([("Selu", ["x"], ["y"])], (5,), {}, r"node 'Selu y' \(Selu\): the operator is not supp"),
    "a product of values": (
        [("Relu", ["x"], ["a"]), ("Mul", ["a", "x"], ["y"])], (5,), {},
        "'Mul .' .* it takes the values 'a', 'x': several are taken by Add",
    ),
    "values and a constant": (
        [("Relu", ["x"], ["a"]), ("Sum", ["a", "x", "b"], ["y"])], (3,), {"b": B}, "2 values and a constant"
    ),
    "values that are repeated": (
        [("GlobalAveragePool", ["x"], ["a"]), ("Add", ["x", "a"], ["y"])], (2, 3, 3), {},
        "'Add .' .* values of one shape",
    ),
    "lines one below the other": (
        [("Relu", ["x"], ["a"]), ("Concat", ["x", "a"], ["y"], {"axis": 2})], (2, 3, 3), {},
        "'Concat .' .* only channels or features are stacked, got axis 2",
    ),
    "another output of a node": (
        [("MaxPool", ["x"], ["a", "i"], PLAIN), ("Cast", ["i"], ["f"], {"to": 1}),
         ("Add", ["a", "f"], ["y"])],
        (2, 6, 6), {}, "'Cast .' .* it takes 'i', which is not the first output",
    ),
    "constants only": ([("Relu", ["w"], ["y"])], (5,), {"w": W}, "'Relu .' .* only constants"),
    "a weight first": ([("MatMul", ["w", "x"], ["y"])], (8,), {"w": W}, "'MatMul .' .* a constant before"),
    "an add of nothing": ([("Add", ["x", "b"], ["y"])], (3,), {"b": B}, "'Add .' .* only as the bias"),
    "an add too wide": (
        [("MatMul", ["x", "w"], ["a"]), ("Add", ["a", "b"], ["y"])], (8,), {"w": W[:1].T, "b": B},
        "'Add .' .* adds an array of shape",
    ),
    "a transposed input": (
        [("Gemm", ["x", "w"], ["y"], {"transA": 1})], (8,), {"w": W.T}, "Gemm.*`transA` must be 0, got 1"
    ),
    "weights that do not fit": ([("Gemm", ["x", "w"], ["y"])], (8,), {"w": W}, "Gemm.*weight must have"),
    "a kernel across signals": (
        [("Unsqueeze", ["x", "a"], ["u"]), ("Conv", ["u", "k"], ["y"], {"pads": [1] * 4})],
        (2, 7), {"a": [2], "k": K}, "'Conv .' .* signals have no axis 2",
    ),
    "three-dimensional images": (
        [("Conv", ["x", "k"], ["y"])], (2, 7, 7), {"k": weights(4, 2, 3, 3, 3)}, "over images and signals"
    ),
    "a clip to other numbers": (
        [("Clip", ["x", "low", "high"], ["y"])], (5,), {"low": np.float32(-1), "high": np.float32(1)},
        "'Clip .' .* only from 0 to 6, or from 0 on, is supported, got -1 to 1",
    ),
    "uneven pooling": (
        [("MaxPool", ["x"], ["y"], {**PLAIN, "pads": [0, 0, 2, 2]})], (2, 6, 6), {}, "'MaxPool .' .*`pads`"
    ),
    "column-major indices": (
        [("MaxPool", ["x"], ["y"], {**PLAIN, "storage_order": 1})], (2, 6, 6), {}, "`storage_order` must be 0"
    ),
    "a pad of ones": (
        [("Pad", ["x", "p", "one"], ["a"]), ("Conv", ["a", "k"], ["y"])],
        (2, 6, 7), {"k": K, "p": [0, 0, 1, 1, 0, 0, 1, 1], "one": np.float32(1)}, "a Pad of 1.0 is supp",
    ),
    "a pad of ones before anything": (
        [("Pad", ["x", "p", "one"], ["a"]), ("Relu", ["a"], ["y"])],
        (2, 6, 7), {"p": [0, 0, 1, 1, 0, 0, 1, 1], "one": np.float32(1)}, "'Relu .' .*a Pad of 1.0 is supp",
    ),
    "a pad of features": ([("Pad", ["x", "p"], ["y"])], (6,), {"p": [0, 1, 0, 1]}, "Pad must be of lines"),
    "a pad of edges": (
        [("Pad", ["x", "p"], ["a"], {"mode": "edge"}), ("Conv", ["a", "k"], ["y"])],
        (2, 6, 7), {"k": K, "p": [0, 0, 1, 1, 0, 0, 1, 1]}, "`mode` must be 'constant', got 'edge'",
    ),
    "a pad of channels": (
        [("Pad", ["x", "p"], ["y"])], (2, 6, 7), {"p": [0, 1, 1, 1, 0, 0, 1, 1]}, "Pad.*lines and columns"
    ),
    "a reshape to images": ([("Reshape", ["x", "s"], ["y"])], (4,), {"s": [-1, 1, 2, 2]}, "only a Reshape"),
    "a reshape of the batch": ([("Reshape", ["x", "s"], ["y"])], (4,), {"s": [-1, 2]}, "only a Reshape to"),
    "a flatten of all": ([("Flatten", ["x"], ["y"], {"axis": 0})], (4,), {}, "Flatten.*`axis` must be 1"),
    "a mean of channels": ([("ReduceMean", ["x"], ["y"], {"axes": [1]})], (2, 3, 3), {}, "only the mean"),
    "a softmax of images": ([("Softmax", ["x"], ["y"])], (2, 3, 3), {}, r"'Softmax .' .*\(features,\)"),
    "a slope for each element": (
        [("PRelu", ["x", "s"], ["y"])], (3, 2), {"s": weights(3, 2)}, "'PRelu .' .* an array of shape"
    ),
    "a norm of lines": (
        [("LayerNormalization", ["x", "b"], ["y"])], (2, 3), {"b": B}, "only whole samples are normalised"
    ),
    "a size and a half": (
        [("Resize", ["x", "", "f"], ["y"])], (2, 4, 4), {"f": np.float32([1, 1, 1.5, 1.5])},
        "only whole factors of lines and columns are supported",
    ),
    "half precision": ([("MatMul", ["x", "w"], ["y"])], (8,), {"w": W.T.astype(np.float16)}, "float16"),
    "weights that are worked out from much to more": (
        [*[("Concat", [a] * 9, [b], {"axis": 0}) for a, b in (("w", "v"), ("v", "u"), ("u", "t"))],
         ("MatMul", ["x", "t"], ["y"])],
        (8 * 9**3,), {"w": np.ones((8, 10000), np.float32)},
        "'Concat .' .*what its constants make is many times as large as all those in the file",
    ),
    "constants of no size": (
        [("ConstantOfShape", ["n"], ["v"]), ("MatMul", ["x", "v"], ["y"])], (3,), {"n": [2**40, 2]},
        "'ConstantOfShape .' .*many times as large",
    ),
    "weights that are an input": ([("MatMul", ["x", "x"], ["y"])], (8,), {}, "'MatMul .' .* taken by Add"),
    "training": (
        [("Dropout", ["x", "r", "t"], ["y"])], (5,), {"r": np.float32(0.5), "t": True}, "training mode"
    ),
    "statistics of the batch": (
        [("BatchNormalization", ["x", "s", "s", "s", "s"], ["y", "m", "v"], {"training_mode": 1})],
        (2, 4, 4), {"s": np.ones(2, np.float32)}, "`training_mode` must be 0, got 1",
    ),
    "nothing to compute": ([("Identity", ["x"], ["y"])], (3,), {}, "no operators that compute anything"),
    "four axes": ([R], (1, 2, 3, 4), {}, r"must be of shape \(N, C, H, W\), \(N, C, L\) or \(N, features\)"),
    "features in another order": (
        [("Transpose", ["x"], ["t"], {"perm": [0, 2, 1]}), ("Relu", ["t"], ["y"])], (3, 8), {},
        "has the channels last",
    ),
    "an open size": ([R], (1, "H", 8), {}, r"all but N known, got \['N', 1, 'H', 8\]"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_has_no_counterpart_is_refused_by_file_and_node(tmp_path, kind):
    nodes, shape, constants, message = REFUSED[kind]
    path = write(tmp_path / "model.onnx", nodes, shape, constants)
    with pytest.raises(ValueError, match=message) as caught:
        fc.from_onnx(path)
    assert str(caught.value).startswith(f"{path} cannot be read as a network: ")
    assert "\n" not in str(caught.value)


def test_ends_of_a_graph_that_no_network_has_are_refused(tmp_path):
    path = tmp_path / "model.onnx"
    for outputs, message in (
        (("x", "y"), "must be made by layers that compute something, got an input as it is"),
        (("y", "y"), "must have names of their own, got y, y"),
    ):
        write(path, [R], (5,), outputs=outputs)
        with pytest.raises(ValueError, match=f"model.onnx cannot be read as a network: `outputs` {message}"):
            fc.from_onnx(path)
    model = onnx.load(write(path, [R], (5,)))
    model.graph.input.append(onnx.helper.make_tensor_value_info("z", onnx.TensorProto.FLOAT, ["N", 5]))
    onnx.save(model, path)
    with pytest.raises(
        ValueError, match=r"model\.onnx cannot .* `inputs` must be needed .* 'z' that nothing"
    ):
        fc.from_onnx(path)


def test_an_old_opset_and_other_numbers_are_refused(tmp_path):
    path = tmp_path / "model.onnx"
    write(path, [R], (5,), opset=6)
    with pytest.raises(ValueError, match="it uses opset 6, expected at least 7"):
        fc.from_onnx(path)
    model = onnx.load(write(path, [R], (5,)))
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    onnx.save(model, path)
    with pytest.raises(ValueError, match="its input must be float32 or float64, got element type 10"):
        fc.from_onnx(path)


def test_a_batch_that_is_fixed_in_the_file_is_open_here(tmp_path):
    for shape in ((2, 3), (1, 2, 3)):
        nodes = [("Reshape", ["x", "s"], ["y"])]
        path = write(tmp_path / "model.onnx", nodes, shape, {"s": [4, 6]}, batch=4)
        assert fc.from_onnx(path).predict(np.zeros((7, *shape))).shape == (7, 6)


# Files that are damaged


@pytest.fixture(params=["float32", "float64"])
def whole(tmp_path, request):
    layers = [
        fc.Conv2d(2, 3, padding="same"), fc.BatchNorm2d(), fc.LeakyReLU(0.2), fc.MaxPool2d(2),
        fc.AvgPool2d(3, 2, 1, ceil_mode=True), fc.Dropout(0.2), fc.Flatten(), fc.Dense(2), fc.Softmax(),
    ]  # fmt: skip
    fc.Sequential(layers, (1, 6, 6), request.param).to_onnx(tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_a_file_cut_anywhere_is_refused_by_its_name(whole):
    content = whole.read_bytes()
    for size in [*range(0, len(content), 13), *range(len(content) - 20, len(content))]:
        whole.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"model\.onnx is not an ONNX file that onnx"):
            fc.from_onnx(whole)


def test_a_file_with_any_byte_changed_is_refused_or_read_as_a_network(whole):
    content = whole.read_bytes()
    loaded = 0
    for position in range(0, len(content), 5):
        changed = bytearray(content)
        changed[position] ^= (0x01, 0x80, 0x41, 0xFF)[position % 4]
        whole.write_bytes(changed)
        try:
            model = fc.from_onnx(whole)
        except ValueError as error:
            assert str(error).startswith(f"{whole} ")  # noqa: PT017
        else:
            loaded += isinstance(model, fc.Sequential)
    assert 0 < loaded < len(content) // 5  # bytes of weights and of names can be any


def dims(tensor, *sizes):
    del tensor.dims[:]
    tensor.dims.extend(sizes)


def test_sizes_that_a_file_only_claims_take_no_memory(tmp_path):
    """Each of these would take gigabytes."""
    tracemalloc = pytest.importorskip("tracemalloc")
    path = tmp_path / "model.onnx"
    pool = ("AveragePool", ["x"], ["y"], {"kernel_shape": [1, 1], "count_include_pad": 1})
    large = 2**30
    claims = [
        ([pool], (1, 1, large), {}),
        ([("Conv", ["x", "k"], ["a"], {"pads": [large] * 4}), ("Relu", ["a"], ["y"])], (2, 6, 7), {"k": K}),
        ([("Gather", ["w", "i"], ["v"]), ("MatMul", ["x", "v"], ["y"])], (8,), {"w": W.T, "i": [0] * 10**4}),
        ([R], (2**20, 2**20, 2**20), {}),
        ([("Mul", ["x", "h"], ["m"]), ("Relu", ["m"], ["y"])], (large, 1, 1), {"h": np.float32(0.5)}),
        ([("Relu", ["x"], ["r"]), ("Add", ["r", "h"], ["y"])], (large, 1), {"h": np.float32(0.5)}),
        ([("LayerNormalization", ["x", "h"], ["y"], {"axis": 1})], (large,), {"h": np.float32([0.5])}),
        ([("InstanceNormalization", ["x", "h", "h"], ["y"])], (large, 1), {"h": np.float32([0.5])}),
        ([("Resize", ["x", "", "s"], ["y"])], (1, 1, 2), {"s": np.float32([1, 1, 1, large // 4])}),
        ([("ConvTranspose", ["x", "k"], ["y"], {"strides": [large, 1]})], (4, 3, 3), {"k": K}),
    ]
    for nodes, shape, constants in claims:
        write(path, nodes, shape, constants)
        tracemalloc.start()
        with pytest.raises(ValueError, match=r"model\.onnx"):
            fc.from_onnx(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10**7
    model = onnx.load(write(path, [("Gemm", ["x", "w"], ["y"], {"transB": 1})], (8,), {"w": W}))
    dims(model.graph.initializer[0], large, 8)
    onnx.save(model, path)
    with pytest.raises(ValueError, match=r"model\.onnx"):
        fc.from_onnx(path)


def test_weights_outside_the_folder_are_not_read(tmp_path):
    (tmp_path / "secret").write_bytes(W.tobytes())
    folder = tmp_path / "inner"
    folder.mkdir()
    model = onnx.load(
        write(folder / "model.onnx", [("Gemm", ["x", "w"], ["y"], {"transB": 1})], (8,), {"w": W})
    )
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for location in ("../secret", str(tmp_path / "secret")):
        del tensor.external_data[:]
        tensor.external_data.add(key="location", value=location)
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        with pytest.raises(ValueError, match=r"model\.onnx is not an ONNX file that onnx"):
            fc.from_onnx(folder / "model.onnx")


@pytest.mark.parametrize("content", [b"", b"a model", b"PK\x03\x04", b"{}", bytes(1000), b"\xff" * 1000])
def test_a_foreign_file_is_refused_by_its_name(tmp_path, content):
    (tmp_path / "foreign.onnx").write_bytes(content)
    with pytest.raises(ValueError, match=r"foreign\.onnx is not an ONNX file that onnx") as caught:
        fc.from_onnx(tmp_path / "foreign.onnx")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_a_filenotfounderror_and_a_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        fc.from_onnx(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="folder"):
        fc.from_onnx(tmp_path)


def test_the_name_of_the_file_may_be_any(tmp_path):
    fc.models.reference_cnn().to_onnx(tmp_path / "model.json")
    assert fc.from_onnx(str(tmp_path / "model.json")).num_parameters == 15


def test_weights_that_many_nodes_share_are_not_copied_for_each_of_them(tmp_path):
    square = np.eye(300, dtype=np.float32)
    names = ["x", *(f"v{k}" for k in range(4999)), "y"]
    nodes = [("MatMul", [a, "w"], [b]) for a, b in itertools.pairwise(names)]
    path = write(tmp_path / "shared.onnx", nodes, (300,), {"w": square})
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"shared\.onnx .*its layers take weights of more than \d+ bytes"):
        fc.from_onnx(path)
    assert tracemalloc.get_traced_memory()[1] < 100e6
    tracemalloc.stop()
    few = write(tmp_path / "few.onnx", [*nodes[:2], ("MatMul", ["v1", "w"], ["y"])], (300,), {"w": square})
    assert fc.from_onnx(few).num_parameters == 3 * 300**2


@pytest.mark.parametrize("error", [StopIteration, ZeroDivisionError, RecursionError, KeyError, OverflowError])
@pytest.mark.parametrize(
    "where", ["onnx.load", "onnx.checker.check_model", "onnx.helper.get_attribute_value"]
)
def test_whatever_a_damaged_file_raises_becomes_one_valueerror_with_its_name(
    tmp_path, where, error, monkeypatch
):
    path = write(tmp_path / "damaged.onnx", [("LeakyRelu", ["x"], ["y"], {"alpha": 0.1})], (3,))

    def fail(*arguments, **settings):
        raise error

    monkeypatch.setattr(where, fail)
    with pytest.raises(ValueError, match=r"damaged\.onnx .*: \w+$"):
        fc.from_onnx(path)
