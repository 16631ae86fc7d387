"""Files as the exporters of other programs write them, put together by hand: right, or refused."""

import warnings

import numpy as np
import pytest

import fastconv as fc
from fastconv.formats.onnx import runtime as programs
from fastconv.models import loading
from tests.formats.onnx.exporters import FLOAT, INT, RNG, keras, mnist_8, numbers, scikit_learn
from tests.formats.onnx.onnx_tools import KINDS, close, helper, onnx, onnxruntime, samples, write

DOUBLE = onnx.TensorProto.DOUBLE


def answers(path, X, output=None):
    """ONNX Runtime's value of a file for an input: its first output, or the one of that name."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None if output is None else [output], {session.get_inputs()[0].name: X})[0]


def read(path, warning=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = fc.from_onnx(path)
    assert [str(w.message) for w in caught if warning is None or warning not in str(w.message)] == []
    assert (warning is None) == (not caught)
    return model


def test_mnist_8_of_the_model_zoo_is_read(tmp_path):
    path = mnist_8(tmp_path / "mnist-8.onnx")
    model = read(path)
    assert [type(layer).__name__ for layer in model.layers] == (
        ["Conv2d", "ReLU", "MaxPool2d"] * 2 + ["Flatten", "Dense"]
    )
    X = samples((1, 28, 28))
    close(model.predict(X), np.concatenate([answers(path, X[k : k + 1]) for k in range(len(X))]))


# Keras: channels last


KERAS = {
    "colours": {},
    "no casts": {"cast": False},
    "grey": {"shape": (9, 8, 1)},
    "grey, by a reshape": {"shape": (9, 8, 1), "way": "Reshape", "channels": 1},
    "one filter": {"channels": 1},
    "one pixel at the end": {"shape": (4, 4, 2)},
}


@pytest.mark.parametrize("name", KERAS)
def test_images_with_the_channels_last_are_read_and_said(tmp_path, name):
    path = keras(tmp_path / "model.onnx", **KERAS[name])
    model = read(path, "takes images (N, H, W, C), its network here (N, C, H, W): X.transpose(0, 3, 1, 2)")
    height, width, depth = KERAS[name].get("shape", (9, 8, 3))
    assert model.input_shape == (depth, height, width)
    X = samples((height, width, depth))
    close(model.predict(X.transpose(0, 3, 1, 2)), answers(path, X))


def test_layers_may_stand_on_either_side_of_a_transpose(tmp_path):
    nodes = [
        ("Transpose", ["x"], ["t"], {"perm": [0, 3, 1, 2]}),
        ("Conv", ["t", "k"], ["c"]),
        ("Transpose", ["c"], ["n"], {"perm": [0, 2, 3, 1]}),
        ("Add", ["n", "b"], ["a"]),
        ("LeakyRelu", ["a"], ["r"]),
        ("ReduceMean", ["r"], ["m"], {"axes": [1, 2], "keepdims": 0}),
        ("MatMul", ["m", "w"], ["y"]),
    ]
    constants = {"k": numbers(4, 3, 3, 3), "b": numbers(4), "w": numbers(4, 2)}
    path = write(tmp_path / "model.onnx", nodes, (6, 5, 3), constants, opset=15)
    X = samples((6, 5, 3))
    close(read(path, "takes images").predict(X.transpose(0, 3, 1, 2)), answers(path, X))


def test_signals_of_keras_are_read_from_the_images_of_one_line_that_they_are_in_the_file(tmp_path):
    """As tf2onnx writes Conv1D, with causal padding, MaxPooling1D, GlobalAveragePooling1D and Dense."""
    first, last = {"perm": [0, 3, 1, 2]}, {"perm": [0, 2, 3, 1]}
    nodes = [
        ("Pad", ["x", "causal"], ["p"]), ("Unsqueeze", ["p", "one"], ["u"]),
        ("Transpose", ["u"], ["t"], first), ("Conv", ["t", "k"], ["c"]), ("Transpose", ["c"], ["n"], last),
        ("Squeeze", ["n", "one"], ["s"]), ("Add", ["s", "b"], ["a"]), ("Relu", ["a"], ["r"]),
        ("Unsqueeze", ["r", "one"], ["u2"]), ("Transpose", ["u2"], ["t2"], first),
        ("MaxPool", ["t2"], ["m"], {"kernel_shape": [1, 2], "strides": [1, 2]}),
        ("Transpose", ["m"], ["n2"], last), ("Squeeze", ["n2", "one"], ["s2"]),
        ("MatMul", ["s2", "w"], ["d"]), ("Tanh", ["d"], ["h"]),
        ("ReduceMean", ["h"], ["g"], {"axes": [1], "keepdims": 0}), ("MatMul", ["g", "w2"], ["y"]),
    ]  # fmt: skip
    constants = {
        "causal": [0, 2, 0, 0, 0, 0], "one": [1], "k": numbers(4, 3, 1, 3), "b": numbers(4),
        "w": numbers(4, 5), "w2": numbers(5, 2),
    }  # fmt: skip
    path = write(tmp_path / "model.onnx", nodes, (9, 3), constants)
    model = read(path, "takes signals (N, L, C), its network here (N, C, L): X.transpose(0, 2, 1)")
    assert [type(layer).__name__ for layer in model.layers] == (
        ["Conv1d", "ReLU", "MaxPool1d", "Conv1d", "Tanh", "GlobalAvgPool1d", "Flatten", "Dense"]
    )
    assert (model.input_shape, model.layers[0].padding) == ((3, 9), "causal")
    X = samples((9, 3))
    close(model.predict(X.transpose(0, 2, 1)), answers(path, X))


def test_branches_may_meet_with_their_channels_last(tmp_path):
    first, last = {"perm": [0, 3, 1, 2]}, {"perm": [0, 2, 3, 1]}
    nodes = [
        ("Transpose", ["x"], ["t"], first), ("Conv", ["t", "k"], ["c"], {"pads": [1] * 4}),
        ("Transpose", ["c"], ["n"], last), ("Sigmoid", ["n"], ["s"]), ("Mul", ["n", "s"], ["silu"]),
        ("Add", ["silu", "x"], ["a"]), ("Concat", ["a", "x", "silu"], ["j"], {"axis": 3}),
        ("Transpose", ["j"], ["t2"], first), ("Conv", ["t2", "k2"], ["c2"]),
        ("Transpose", ["c2"], ["n2"], last),
        ("Reshape", ["n2", "flat"], ["f"]), ("Reshape", ["j", "flat"], ["f2"]),
        ("Concat", ["f", "f2"], ["both"], {"axis": -1}), ("MatMul", ["both", "w"], ["y"]),
    ]  # fmt: skip
    constants = {
        "k": numbers(2, 2, 3, 3), "k2": numbers(3, 6, 2, 2), "flat": [0, -1],
        "w": numbers(3 * 3 * 4 + 6 * 4 * 5, 2),
    }  # fmt: skip
    path = write(tmp_path / "model.onnx", nodes, (4, 5, 2), constants)
    model = read(path, "takes images")
    assert type(model) is fc.Model
    X = samples((4, 5, 2))
    close(model.predict(X.transpose(0, 3, 1, 2)), answers(path, X))


# x times or plus some function of it, as exporters have it -> what it is.
CURVES = {
    "x * sigmoid(x)": ([("Sigmoid", ["x"], ["s"]), ("Mul", ["s", "x"], ["y"])], fc.SiLU()),
    "a swish through a division": (
        [("Neg", ["x"], ["n"]), ("Exp", ["n"], ["e"]), ("Add", ["e", "one"], ["a"]),
         ("Div", ["x", "a"], ["y"])],
        fc.SiLU(),
    ),
    "clip(x + 3) / 6": (
        [("Add", ["x", "three"], ["a"]), ("Clip", ["a", "zero", "six"], ["c"]), ("Div", ["c", "six"], ["y"])],
        fc.Hardsigmoid(),
    ),
    "x * clip(x + 3) / 6": (
        [("Add", ["three", "x"], ["a"]), ("Min", ["a", "six"], ["m"]), ("Relu", ["m"], ["c"]),
         ("Mul", ["x", "c"], ["p"]), ("Div", ["p", "six"], ["y"])],
        fc.Hardswish(),
    ),
    "x * hard sigmoid": (
        [("HardSigmoid", ["x"], ["h"], {"alpha": 1 / 6}), ("Mul", ["x", "h"], ["y"])], fc.Hardswish()
    ),
    "relu, and at most 6": ([("Relu", ["x"], ["r"]), ("Min", ["six", "r"], ["y"])], fc.ReLU6()),
    "log(1 + exp(x))": (
        [("Exp", ["x"], ["e"]), ("Add", ["e", "one"], ["a"]), ("Log", ["a"], ["y"])], fc.Softplus()
    ),
    "gelu with the half first": (
        [("Mul", ["x", "half"], ["h"]), ("Mul", ["x", "root"], ["s"]), ("Erf", ["s"], ["e"]),
         ("Add", ["one", "e"], ["a"]), ("Mul", ["h", "a"], ["y"])],
        fc.GELU(),
    ),
    "gelu through a power": (
        [("Pow", ["x", "three"], ["c"]), ("Mul", ["c", "cube"], ["m"]), ("Add", ["x", "m"], ["i"]),
         ("Mul", ["i", "scale"], ["s"]), ("Tanh", ["s"], ["t"]), ("Add", ["t", "one"], ["a"]),
         ("Mul", ["a", "half"], ["h"]), ("Mul", ["x", "h"], ["y"])],
        fc.GELU("tanh"),
    ),
    "the larger of x and a part of it": (
        [("Mul", ["x", "half"], ["h"]), ("Max", ["x", "h"], ["y"])], fc.LeakyReLU(0.5)
    ),
    "an elu in two halves": (
        [("Exp", ["x"], ["e"]), ("Sub", ["e", "one"], ["s"]), ("Mul", ["s", "half"], ["m"]),
         ("Greater", ["x", "zero"], ["g"]), ("Where", ["g", "x", "m"], ["y"])],
        fc.ELU(0.5),
    ),
}  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CURVES)
def test_several_operators_are_the_activation_that_they_are_together(tmp_path, name, dtype):
    nodes, layer = CURVES[name]
    values = {
        "zero": 0, "half": 0.5, "one": 1, "three": 3, "six": 6, "root": 0.5**0.5, "cube": 0.044715,
        "scale": (2 / np.pi) ** 0.5,
    }  # fmt: skip
    used = {name for node in nodes for name in node[1]}
    constants = {name: np.array(value, dtype) for name, value in values.items() if name in used}
    path = write(tmp_path / "model.onnx", nodes, (7,), constants, dtype=dtype)
    model = read(path)
    assert model.layers == (layer,)
    X = 4 * samples((7,), dtype)
    reference = pytest.importorskip("onnx.reference")
    wanted = reference.ReferenceEvaluator(str(path)).run(None, {"x": X})[0]
    np.testing.assert_allclose(model.predict(X), wanted, rtol=0, atol=1e-5)


TURN = {"perm": [0, 2, 3, 1]}
CHANNELS_LAST = {
    "an output": ([("Transpose", ["x"], ["y"], TURN)], "no operators|channels last"),
    "images at the end": (
        [("Relu", ["x"], ["r"]), ("Transpose", ["r"], ["y"], TURN)], "has the channels last"
    ),
    "another order": ([("Transpose", ["x"], ["y"], {"perm": [0, 1, 3, 2]})], r"only \(N, H, W, C\) to"),
    "the batch moved": (
        [("Relu", ["x"], ["r"]), ("Transpose", ["r"], ["y"], {"perm": [1, 0, 2, 3]})],
        r"only \(N, H, W, C\) to",
    ),
    "a pool of channels": (
        [("Transpose", ["x"], ["t"], TURN), ("MaxPool", ["t"], ["y"], {"kernel_shape": [2, 2]})],
        "has the channels last",
    ),
    "flattened to the end": (
        [("Relu", ["x"], ["r"]), ("Transpose", ["r"], ["t"], TURN), ("Flatten", ["t"], ["y"])],
        "has the channels last",
    ),
    "features softmaxed": (
        [("Transpose", ["x"], ["t"], TURN), ("Flatten", ["t"], ["f"]), ("Softmax", ["f"], ["y"])],
        "has the channels last",
    ),
    "pixels moved": ([("Relu", ["x"], ["r"]), ("Reshape", ["r", "s"], ["y"])], "only a Reshape"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANNELS_LAST)
def test_an_order_of_axes_that_a_network_here_cannot_have_is_refused(tmp_path, name):
    nodes, message = CHANNELS_LAST[name]
    path = write(tmp_path / "model.onnx", nodes, (2, 3, 4), {"s": [0, 3, 2, 4]})
    with pytest.raises(ValueError, match=message):
        fc.from_onnx(path)


def test_a_transpose_of_images_that_are_flattened_is_read_without_turning_the_input(tmp_path):
    nodes = [
        ("Transpose", ["x"], ["t"], {"perm": [0, 2, 3, 1]}),
        ("Flatten", ["t"], ["f"]),
        ("Gemm", ["f", "w"], ["y"], {"transB": 1}),
    ]
    path = write(tmp_path / "model.onnx", nodes, (2, 3, 4), {"w": numbers(5, 24)})
    X = samples((2, 3, 4))
    close(read(path).predict(X), answers(path, X))


# scikit-learn


@pytest.mark.parametrize("names", [(b"a", b"b", b"c"), (7, 3, 5)])
@pytest.mark.parametrize(("zipmap", "dtype"), [(True, "float32"), (False, "float32"), (False, "float64")])
def test_a_classifier_of_scikit_learn_is_read_with_its_classes(tmp_path, zipmap, names, dtype):
    path = scikit_learn(tmp_path / "model.onnx", 3, zipmap, dtype, names)
    model = read(path)
    assert model.dtype == dtype
    assert model.metadata["classes"] == [n.decode() if isinstance(n, bytes) else n for n in names]
    X = samples((8,), dtype)
    wanted = answers(path, X, "output_probability" if zipmap else "probabilities")
    if zipmap:
        wanted = np.array([[row[name] for name in model.metadata["classes"]] for row in wanted], dtype)
    close(model.predict(X), wanted, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_binary_classifier_of_scikit_learn_gives_both_classes(tmp_path, dtype):
    path = scikit_learn(tmp_path / "model.onnx", 1, False, dtype, (0, 1), "Sigmoid")
    model = read(path)
    assert (model.output_shape, model.metadata["classes"]) == ((2,), [0, 1])
    X = samples((8,), dtype)
    close(model.predict(X), answers(path, X, "probabilities"), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["classes", "two classes", "numbers", "scaled classes", "scaled numbers"])
def test_networks_and_pipelines_of_scikit_learn_are_read_as_its_exporter_writes_them(tmp_path, kind, dtype):
    skl2onnx = pytest.importorskip("skl2onnx")
    neural_network = pytest.importorskip("sklearn.neural_network")
    pipeline, preprocessing = (
        pytest.importorskip("sklearn.pipeline"),
        pytest.importorskip("sklearn.preprocessing"),
    )
    rng = np.random.default_rng(0)
    X = rng.normal(3, 5, (60, 4)).astype(dtype)
    settings = {"hidden_layer_sizes": (5,), "max_iter": 20, "random_state": 0}
    classes = neural_network.MLPClassifier(**settings)
    y = (X[:, 0] > 3).astype(int) + (X[:, 1] > 3)
    estimator = {
        "classes": classes,
        "two classes": classes,
        "numbers": neural_network.MLPRegressor(activation="tanh", **settings),
        "scaled classes": pipeline.make_pipeline(preprocessing.StandardScaler(), classes),
        "scaled numbers": pipeline.make_pipeline(
            preprocessing.MinMaxScaler(), neural_network.MLPRegressor(activation="logistic", **settings)
        ),
    }[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that 20 steps are few
        estimator.fit(X, y > 0 if kind == "two classes" else X[:, 2] if "numbers" in kind else y)
        options = {} if "numbers" in kind else {id(estimator): {"zipmap": False}}
        model = skl2onnx.to_onnx(estimator, X[:1], options=options)
    found = read(model).predict(X)
    wanted = estimator.predict(X)[:, None] if "numbers" in kind else estimator.predict_proba(X)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=2e-5 * np.abs(wanted).max())


def test_probabilities_as_columns_are_refused_with_what_to_do(tmp_path):
    path = scikit_learn(tmp_path / "model.onnx", zipmap=False)
    model = onnx.load(path)
    model.graph.node.append(helper.make_node("Identity", ["probabilities"], ["other"]))
    model.graph.output.append(helper.make_tensor_value_info("other", FLOAT, [None, 3]))
    onnx.save(model, path)
    with pytest.raises(
        ValueError, match=r'one output, got 1 and 3: options=\{id\(model\): \{"zipmap": False\}\}'
    ):
        fc.from_onnx(path)


# Numbers and shapes

GEMM = ("Gemm", ["a", "w"], ["y"], {"transB": 1})
CASTS = {
    "to the same": ([("Cast", ["x"], ["a"], {"to": FLOAT}), GEMM], np.float32, np.float32, "float32"),
    "to double": ([("Cast", ["x"], ["a"], {"to": DOUBLE}), GEMM], np.float32, np.float64, "float64"),
    "to single": ([("Cast", ["x"], ["a"], {"to": FLOAT}), GEMM], np.float64, np.float32, "float32"),
    "there and back": (
        [("Cast", ["x"], ["d"], {"to": DOUBLE}), ("Relu", ["d"], ["r"]),
         ("Cast", ["r"], ["a"], {"to": FLOAT}), GEMM],
        np.float32, np.float32, "float32",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASTS)
def test_casts_between_single_and_double_are_read(tmp_path, name):
    nodes, given, computed, dtype = CASTS[name]
    weights = {"w": numbers(3, 8, dtype=computed)}
    path = write(tmp_path / "model.onnx", nodes, (8,), weights, dtype=np.dtype(given).name)
    model = onnx.load(path)
    model.graph.output[0].type.tensor_type.elem_type = KINDS[np.dtype(computed).name]
    onnx.save(model, path)
    X = samples((8,), given)
    found = read(path)
    assert found.dtype == dtype
    np.testing.assert_allclose(found.predict(X), answers(path, X), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [INT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BOOL])
def test_casts_that_change_numbers_are_refused(tmp_path, kind):
    nodes = [("Cast", ["x"], ["i"], {"to": kind}), ("Cast", ["i"], ["a"], {"to": FLOAT}), GEMM]
    path = write(tmp_path / "model.onnx", nodes, (8,), {"w": numbers(3, 8)})
    with pytest.raises(ValueError, match=r"Cast.*only a Cast to float32 or float64 is supported"):
        fc.from_onnx(path)


def chain(*more, of="x", begin=()):
    """Nodes that make a Reshape's target (N, features) of the shape of `of`."""
    return [
        *begin,
        ("Shape", [of], ["s"]),
        *more,
        ("Reshape", [begin[-1][2][0] if begin else "x", "t"], ["y"]),
    ]


CONV = [("Conv", ["x", "k"], ["c"]), ("Relu", ["c"], ["r"])]
FIRST = [("Gather", ["s", "zero"], ["n"]), ("Unsqueeze", ["n", "axis"], ["v"])]
SHAPES = {
    "view(x.size(0), -1)": chain(*FIRST, ("Concat", ["v", "minus"], ["t"], {"axis": 0})),
    "of the input, after layers": chain(*FIRST, ("Concat", ["v", "minus"], ["t"], {"axis": 0}), begin=CONV),
    "of a layer in between": chain(
        *FIRST, ("Concat", ["v", "minus"], ["t"], {"axis": 0}), of="c", begin=CONV
    ),
    "view(x.size(0), c * h * w)": chain(
        *FIRST, ("Slice", ["s", "axis1", "end"], ["rest"]), ("ReduceProd", ["rest"], ["p"], {"keepdims": 1}),
        ("Concat", ["v", "p"], ["t"], {"axis": 0}),
    ),
    "products one by one": chain(
        *FIRST, ("Gather", ["s", "one"], ["c1"]), ("Gather", ["s", "two"], ["h1"]),
        ("Gather", ["s", "three"], ["w1"]),
        ("Mul", ["c1", "h1"], ["ch"]), ("Mul", ["ch", "w1"], ["chw"]), ("Unsqueeze", ["chw", "axis"], ["u"]),
        ("Concat", ["v", "u"], ["t"], {"axis": 0}),
    ),
    "the size divided by the batch": chain(
        ("Cast", ["s"], ["f"], {"to": FLOAT}), ("Cast", ["f"], ["s2"], {"to": INT}),
        ("ReduceProd", ["s2"], ["p"], {"keepdims": 1}), ("Slice", ["s2", "axis", "axis1"], ["v"]),
        ("Div", ["p", "v"], ["q"]), ("Concat", ["v", "q"], ["t"], {"axis": 0}),
    ),
    "a part of the shape": [
        ("Shape", ["x"], ["v"], {"end": 1}), ("Concat", ["v", "minus"], ["t"], {"axis": 0}),
        ("Reshape", ["x", "t"], ["y"]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("batch", ["N", 5])
@pytest.mark.parametrize("name", SHAPES)
def test_shapes_that_a_file_works_out_are_read(tmp_path, name, batch):
    constants = {
        "zero": np.array(0), "one": np.array(1), "two": np.array(2), "three": np.array(3), "axis": [0],
        "axis1": [1], "end": [4], "minus": [-1], "k": numbers(3, 2, 2, 2),
    }  # fmt: skip
    path = write(tmp_path / "model.onnx", SHAPES[name], (2, 5, 6), constants, batch=batch)
    X = samples((2, 5, 6))
    close(read(path).predict(X), answers(path, X))


@pytest.mark.parametrize(
    "nodes",
    [
        [("Reshape", ["w4", "s"], ["w"]), ("MatMul", ["x", "w"], ["y"])],
        [("Constant", [], ["s2"], {"value_ints": [8, 3]}), ("Reshape", ["w4", "s2"], ["w"]),
         ("Identity", ["w"], ["i"]), ("MatMul", ["x", "i"], ["y"])],
        [("Cast", ["half"], ["w"], {"to": FLOAT}), ("MatMul", ["x", "w"], ["y"])],
        [("DequantizeLinear", ["bytes", "scale", "point"], ["w"]), ("MatMul", ["x", "w"], ["y"])],
        [("Squeeze", ["w1"], ["w"]), ("Transpose", ["w"], ["t"]), ("Gemm", ["x", "t"], ["y"], {"transB": 1})],
        [("Split", ["wide", "sizes"], ["w", "w2"], {"axis": 1}), ("MatMul", ["x", "w"], ["a"]),
         ("Relu", ["a"], ["y"])],
        [("Sqrt", ["square"], ["r"]), ("Mul", ["r", "scale"], ["w"]), ("MatMul", ["x", "w"], ["y"])],
        [("Expand", ["row", "full"], ["w"]), ("MatMul", ["x", "w"], ["y"])],
    ],
    ids=lambda nodes: nodes[0][0] + str(len(nodes)),
)  # fmt: skip
def test_weights_that_a_file_works_out_are_read(tmp_path, nodes):
    constants = {
        "w4": numbers(2, 2, 2, 3), "s": [8, 3], "half": numbers(8, 3).astype(np.float16),
        "bytes": RNG.integers(-9, 9, (8, 3)).astype(np.int8), "scale": np.float32(0.1), "point": np.int8(1),
        "w1": numbers(1, 8, 1, 3), "wide": numbers(8, 5), "sizes": [3, 2], "square": numbers(8, 3) ** 2,
        "row": numbers(1, 3), "full": [8, 3],
    }  # fmt: skip
    path = write(tmp_path / "model.onnx", nodes, (8,), constants, opset=19)
    X = samples((8,))
    close(read(path).predict(X), answers(path, X))


SCALES = {  # nodes, shape, layers
    "a scale of pixels": (
        [("Mul", ["x", "half"], ["m"]), ("Conv", ["m", "k"], ["y"], {"pads": [1] * 4})], (2, 5, 6),
        "Conv2d Conv2d",
    ),
    "a scale and a shift of pixels": (
        [("Div", ["x", "half"], ["d"]), ("Sub", ["d", "half"], ["m"]), ("Relu", ["m"], ["y"])], (2, 5, 6),
        "Conv2d ReLU",
    ),
    "a scale of features": (
        [("Mul", ["half", "x"], ["m"]), ("MatMul", ["m", "w"], ["y"])], (8,), "Dense",
    ),
    "means and deviations of features": (
        [("Sub", ["x", "b8"], ["s"]), ("Div", ["s", "v8"], ["d"]), ("MatMul", ["d", "w"], ["m"]),
         ("Add", ["m", "b"], ["a"]), ("Relu", ["a"], ["y"])],
        (8,), "Dense ReLU",
    ),
    "means and deviations of channels": (
        [("Sub", ["x", "c"], ["s"]), ("Div", ["s", "c2"], ["d"]), ("Conv", ["d", "k"], ["y"])], (2, 5, 6),
        "Conv2d Conv2d",
    ),
    "batch norm of a convolution, in pieces": (
        [("Conv", ["x", "k"], ["a"]), ("Mul", ["a", "o"], ["m"]), ("Add", ["m", "o"], ["s"]),
         ("Relu", ["s"], ["y"])],
        (2, 5, 6), "Conv2d ReLU",
    ),
    "batch norm of a dense layer, in pieces": (
        [("Gemm", ["x", "w", "b"], ["a"]), ("Mul", ["a", "b"], ["m"]), ("Add", ["b", "m"], ["s"]),
         ("Div", ["s", "half"], ["y"])],
        (8,), "Dense",
    ),
    "batch norm of features": (
        [("Gemm", ["x", "w"], ["a"]),
         ("BatchNormalization", ["a", "b", "b", "b", "v"], ["n"], {"epsilon": 0.1}), ("Tanh", ["n"], ["y"])],
        (8,), "Dense BatchNorm1d Tanh",
    ),
    "after an activation": (
        [("Conv", ["x", "k"], ["a"]), ("Relu", ["a"], ["r"]), ("Mul", ["r", "o"], ["m"]),
         ("Add", ["m", "o"], ["y"])],
        (2, 5, 6), "Conv2d ReLU Conv2d",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SCALES)
def test_sums_and_products_with_constants_are_read(tmp_path, name):
    nodes, shape, layers = SCALES[name]
    constants = {
        "half": np.float32(0.5), "k": numbers(3, 2, 2, 2), "w": numbers(8, 3), "b": numbers(3),
        "c": numbers(1, 2, 1, 1), "c2": numbers(2, 1, 1) + 2, "o": numbers(3, 1, 1), "v": numbers(3) + 2,
        "b8": numbers(8), "v8": numbers(1, 8) + 2,
    }  # fmt: skip
    path = write(tmp_path / "model.onnx", nodes, shape, constants)
    model = read(path)
    assert [type(layer).__name__ for layer in model.layers] == layers.split()
    X = samples(shape)
    np.testing.assert_allclose(model.predict(X), answers(path, X), rtol=0, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_scale_of_bytes_at_the_beginning_is_read_and_said(tmp_path, channels):
    nodes = [
        ("Mul", ["x", "scale"], ["m"]),
        ("Add", ["m", "shift"], ["a"]),
        ("Transpose", ["a"], ["t"], {"perm": [0, 3, 1, 2]}),
        ("Conv", ["t", "k"], ["c"], {"pads": [1] * 4}),
        ("GlobalAveragePool", ["c"], ["g"]),
        ("Flatten", ["g"], ["y"]),
    ]
    constants = {"scale": np.float32(1 / 127.5), "shift": np.float32(-1), "k": numbers(4, channels, 3, 3)}
    path = write(tmp_path / "model.onnx", nodes, (6, 5, channels), constants)
    with pytest.warns(UserWarning, match="takes images|scales its input") as caught:
        model = fc.from_onnx(path)
    said = [str(w.message) for w in caught]
    assert len(said) == 2
    assert "scales its input by 0.00784 itself: give the network floats from 0 to 255" in said[1]
    X = RNG.integers(0, 256, (4, 6, 5, channels)).astype(np.float32)
    close(model.predict(X.transpose(0, 3, 1, 2)), answers(path, X))
    picture = X[0].astype(np.uint8)  # classify gives it what it wants
    found = fc.classify(model, picture if channels == 3 else picture[:, :, 0]).probabilities
    logits = answers(path, X[:1])[0].astype(np.float64)
    wanted = np.exp(logits) / np.exp(logits).sum()
    assert [found[k] for k in range(4)] == pytest.approx(wanted.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("Div", ["x", "zero"], ["y"])], "it divides by 0"),
        ([("Mul", ["x", "b"], ["y"])], "a Mul is supported only as the bias"),
        ([("Mul", ["x", "half"], ["m"]), ("Relu", ["m"], ["y"])], "before a dense layer only"),
        ([("Mul", ["x", "half"], ["y"])], "no operators that compute anything"),
        ([("MatMul", ["x", "w"], ["a"]), ("Mul", ["a", "w"], ["y"])], "it multiplies with an array of shape"),
        ([("MatMul", ["x", "w"], ["a"]), ("Sub", ["b3", "a"], ["y"])], "a constant before"),
    ],
)
def test_sums_and_products_without_a_place_are_refused(tmp_path, nodes, message):
    constants = {
        "zero": np.float32([0]),
        "half": np.float32(0.5),
        "b": numbers(8),
        "b3": numbers(3),
        "w": numbers(8, 3),
    }
    path = write(tmp_path / "model.onnx", nodes, (8,), constants)
    with pytest.raises(ValueError, match=message):
        fc.from_onnx(path)


@pytest.mark.parametrize("opset", range(7, 27))
def test_every_opset_is_read(tmp_path, opset):
    """With what changed over time: axes and paddings as attributes or inputs, the meaning of Softmax."""
    if opset > onnx.defs.onnx_opset_version():
        pytest.skip("unknown to this onnx")
    axes, late = {"axes": [2, 3]}, opset >= 13
    nodes = [
        ("Pad", ["x"] + ["p"] * (opset >= 11), ["a"], {} if opset >= 11 else {"pads": [0, 0, 1, 1] * 2}),
        ("Cast", ["k64"], ["k"], {"to": FLOAT}),
        ("Conv", ["a", "k"], ["c"]),
        ("Add", ["c", "b3"], ["d"], {}),
        ("BatchNormalization", ["d", "s", "b", "b", "s"], ["n"], {"epsilon": 0.5}),
        ("Dropout", ["n"], ["o"], {"ratio": 0.3} if opset < 12 else {}),
        ("Identity", ["o"], ["i"]),
        ("AveragePool", ["i"], ["v"], {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("ReduceMean", ["v"] + ["axes"] * (opset >= 18), ["m"], {} if opset >= 18 else axes),
        ("Squeeze", ["m"] + ["axes"] * late, ["q"], {} if late else axes),
        ("Gemm", ["q", "w", "wb"], ["g"], {"transB": 1}),
        ("Softmax", ["g"], ["y"]),
    ]
    constants = {
        "p": [0, 0, 1, 1] * 2, "k64": numbers(4, 2, 3, 3, dtype=np.float64), "b3": numbers(4, 1, 1),
        "s": numbers(4) + 2, "b": numbers(4), "axes": [2, 3], "w": numbers(3, 4), "wb": numbers(3),
    }  # fmt: skip
    used = {name for node in nodes for name in node[1]}
    constants = {name: array for name, array in constants.items() if name in used}
    path = write(tmp_path / "model.onnx", nodes, (2, 5, 6), constants, opset=opset)
    model, X = read(path), samples((2, 5, 6))
    try:
        found = answers(path, X)
    except Exception:  # newer than this ONNX Runtime
        found = onnx.reference.ReferenceEvaluator(str(path)).run(None, {"x": X})[0]
    close(model.predict(X), found)


@pytest.mark.parametrize("opset", [7, 9, 10, 11, 12, 13, 17, 21])
def test_what_is_worked_out_means_what_it_meant_in_the_file_s_opset(tmp_path, opset):
    late = opset >= 13
    nodes = [
        ("Shape", ["x"], ["s"]), ("Gather", ["s", "zero"], ["n"]),
        ("Unsqueeze", ["n"] + ["axis"] * late, ["v"], {} if late else {"axes": [0]}),
        ("Slice", ["s"] + ["one", "four"] * (opset >= 10), ["rest"],
         {} if opset >= 10 else {"starts": [1], "ends": [4]}),
        ("ReduceProd", ["rest"], ["p"], {"keepdims": 1}),
        ("Concat", ["v", "p"], ["t"], {"axis": 0}), ("Reshape", ["x", "t"], ["f"]),
        ("Squeeze", ["w1"] + ["axis"] * late, ["w"], {} if late else {"axes": [0]}),
        ("Split", ["w"] + ["sizes"] * late, ["w2", "w3"], {"axis": 1, **({} if late else {"split": [3, 2]})}),
        ("MatMul", ["f", "w2"], ["y"]),
    ]  # fmt: skip
    constants = {
        "zero": np.array(0), "axis": [0], "one": [1], "four": [4], "sizes": [3, 2], "w1": numbers(1, 60, 5),
    }  # fmt: skip
    used = {name for node in nodes for name in node[1]}
    constants = {name: array for name, array in constants.items() if name in used}
    path = write(tmp_path / "model.onnx", nodes, (2, 5, 6), constants, opset=opset)
    X = samples((2, 5, 6))
    close(read(path).predict(X), answers(path, X))


@pytest.mark.parametrize("opset", [12, 17])
def test_a_log_softmax_at_the_end_is_left_out_and_said(tmp_path, opset):
    nodes = [
        ("Gemm", ["x", "w"], ["a"], {"transB": 1}),
        ("LogSoftmax", ["a"], ["l"]),
        ("Identity", ["l"], ["y"]),
    ]
    path = write(tmp_path / "model.onnx", nodes, (8,), {"w": numbers(3, 8)}, opset=opset)
    model = read(path, "ends in a LogSoftmax")
    assert [type(layer).__name__ for layer in model.layers] == ["Dense"]
    assert model.metadata == {"loss": "cross_entropy"}
    X = samples((8,))
    logits = model.predict(X).astype(np.float64)
    wanted = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(wanted, answers(path, X), atol=1e-6)


def test_a_log_softmax_in_the_middle_or_over_images_is_refused(tmp_path):
    nodes = [("LogSoftmax", ["x"], ["a"]), ("Relu", ["a"], ["y"])]
    with pytest.raises(ValueError, match=r"Relu.*a LogSoftmax before it"):
        fc.from_onnx(write(tmp_path / "model.onnx", nodes, (8,)))
    with pytest.raises(ValueError, match=r"LogSoftmax.*only over \(N, features\)"):
        fc.from_onnx(write(tmp_path / "model.onnx", [("LogSoftmax", ["x"], ["y"])], (2, 3, 4)))


def test_functions_of_the_file_s_own_are_put_in_the_place_of_their_calls(tmp_path):
    path = write(tmp_path / "model.onnx", [("Relu", ["x"], ["y"])], (8,))
    model = onnx.load(path)
    twice = [helper.make_node("Relu", ["A"], ["B"]), helper.make_node("Tanh", ["B"], ["C"])]
    model.functions.append(
        helper.make_function("custom", "Act", ["A"], ["C"], twice, [helper.make_opsetid("", 17)])
    )
    model.opset_import.append(helper.make_opsetid("custom", 1))
    model.graph.node[0].CopyFrom(helper.make_node("Act", ["x"], ["y"], domain="custom"))
    onnx.save(model, path)
    X = samples((8,))
    found = read(path)
    assert [type(layer).__name__ for layer in found.layers] == ["ReLU", "Tanh"]
    close(found.predict(X), answers(path, X))


def test_weights_in_a_file_beside_it_are_read(tmp_path):
    path = mnist_8(tmp_path / "whole.onnx")
    onnx.save(
        onnx.load(path),
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )
    assert (tmp_path / "weights").stat().st_size > 10000
    np.testing.assert_array_equal(fc.from_onnx(tmp_path / "model.onnx").flat_parameters,
                                  fc.from_onnx(path).flat_parameters)  # fmt: skip


# The check against another program


def misread(monkeypatch):
    """Read a bias that the file has not."""
    whole = loading._filled

    def other(*arguments):
        model = whole(*arguments)
        model.flat_parameters[-1] += 1
        return model

    monkeypatch.setattr(loading, "_filled", other)


@pytest.mark.parametrize("program", ["onnxruntime", "onnx"])
def test_a_network_that_computes_something_else_than_the_file_is_refused(tmp_path, monkeypatch, program):
    path = write(
        tmp_path / "model.onnx", [("Gemm", ["x", "w"], ["y"], {"transB": 1})], (8,), {"w": numbers(3, 8)}
    )
    if program == "onnx":
        monkeypatch.setattr(programs, "_by_runtime", lambda *arguments: None)
    read(path)
    misread(monkeypatch)
    with pytest.raises(ValueError, match=r"model\.onnx gives other outputs than its layers: they differ by"):
        fc.from_onnx(path)


def test_a_check_that_would_take_much_memory_or_time_is_left_out(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(programs, "_by_runtime", lambda model, feeds: asked.append(feeds))
    monkeypatch.setattr(programs, "_by_evaluator", lambda model, feeds: asked.append(feeds))
    pad = [("Pad", ["x", "p"], ["a"]), ("Conv", ["a", "k"], ["y"], {"strides": [9999, 9999]})]
    large = {"p": [0, 0, 10000, 10000, 0, 0, 10000, 10000], "k": numbers(1, 1, 1, 1)}
    relu = [("Relu", ["x"], ["y"])]
    many = [("Relu", [f"v{k}" if k else "x"], [f"v{k + 1}" if k < 4 else "y"]) for k in range(5)]
    for nodes, shape, batch in (
        (relu, (1, 5000, 5000), "N"), (relu, (8,), 10**7), (pad, (1, 3, 3), "N"), (many, (1, 3000, 3000), 1),
    ):  # fmt: skip
        path = write(tmp_path / "model.onnx", nodes, shape, large if nodes is pad else {}, batch=batch)
        assert fc.from_onnx(path).layers
    assert asked == []
    fc.from_onnx(write(tmp_path / "model.onnx", [("Relu", ["x"], ["y"])], (8,)))
    assert len(asked) == 2
