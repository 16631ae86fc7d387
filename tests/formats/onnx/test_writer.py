"""ONNX files that are written: onnx's checker passes them, and ONNX Runtime predicts the same."""

import itertools
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.formats.onnx.tables import WRITERS
from tests.formats.onnx.onnx_tools import close, onnx, runtime, samples
from tests.nn.layer_kinds import LAYERS

# Name -> (layers, input shape): every layer and every setting.
NETWORKS = {
    "conv": ([fc.Conv2d(4, 3)], (2, 6, 7)),
    "conv pairs": ([fc.Conv2d(4, (3, 2), stride=(1, 2), padding=(2, 0))], (2, 6, 7)),
    "conv dilation": ([fc.Conv2d(3, 2, dilation=(2, 3), bias=False)], (2, 6, 7)),
    "conv groups": ([fc.Conv2d(6, 3, groups=2, padding=1)], (4, 5, 5)),
    "conv depthwise": ([fc.Conv2d(6, 2, groups=3, stride=2, dilation=2)], (3, 7, 6)),
    "conv same": ([fc.Conv2d(3, 3, padding="same")], (2, 5, 6)),
    "conv same even": ([fc.Conv2d(3, (4, 2), padding="same", dilation=(1, 3))], (2, 6, 7)),
    "conv valid": ([fc.Conv2d(3, 2, stride=3, padding="valid")], (1, 6, 7)),
    "conv row": ([fc.Conv2d(2, (1, 5), padding=(0, 4))], (1, 1, 3)),
    "global avg pool": ([fc.GlobalAvgPool2d()], (3, 4, 5)),
    "batch norm": ([fc.BatchNorm2d(0.3, eps=2.0**-9)], (3, 4, 5)),
    "group norm": ([fc.GroupNorm(2, eps=2.0**-9)], (4, 4, 5)),
    "group norm of features": ([fc.GroupNorm(3)], (6,)),
    "dropout": ([fc.Dropout(0.3)], (3, 4, 5)),
    "flatten": ([fc.Flatten()], (3, 4, 5)),
    "flatten features": ([fc.Flatten(), fc.Flatten(), fc.Dense(2)], (4,)),
    "dense": ([fc.Dense(3)], (5,)),
    "dense without bias": ([fc.Dense(3, bias=False)], (5,)),
    "relu": ([fc.ReLU()], (5,)),
    "leaky relu": ([fc.LeakyReLU(0.3)], (2, 3, 3)),
    "leaky relu of features": ([fc.LeakyReLU(1.5)], (6,)),
    "sigmoid": ([fc.Sigmoid()], (5,)),
    "tanh": ([fc.Tanh()], (2, 3, 3)),
    "softmax": ([fc.Dense(4), fc.Softmax()], (5,)),
    "in a row": (
        [fc.Conv2d(4, 3, padding=1, bias=False), fc.BatchNorm2d(eps=2.0**-10), fc.LeakyReLU(),
         fc.AvgPool2d(3, 2, 1, ceil_mode=True), fc.Conv2d(4, 2, groups=2, padding="same"), fc.Tanh(),
         fc.MaxPool2d(2, 3, ceil_mode=True), fc.Dropout(0.5), fc.GlobalAvgPool2d(), fc.Flatten(),
         fc.Dense(5), fc.Sigmoid(), fc.Dense(3), fc.Softmax()],
        (2, 9, 8),
    ),
}  # fmt: skip


def network(layers, shape, dtype="float32"):
    """A network whose running statistics are not those of the beginning."""
    model = fc.Sequential(layers, shape, dtype, seed=7)
    for array in {**model.parameters(), **model.statistics()}.values():
        if array.ndim == 1:
            array[...] = np.random.default_rng(1).uniform(0.5, 2, array.shape)
    return model


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_onnx_runtime_predicts_the_same_for_any_size_of_batch(tmp_path, name, dtype):
    model = network(*NETWORKS[name], dtype)
    model.to_onnx(tmp_path / "model.onnx")
    for count in (5, 1, 0):
        X = samples(model.input_shape, dtype, count)
        close(runtime(tmp_path / "model.onnx", X), model.predict(X), dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["reference_cnn", "lenet5", "vgg_small"])
def test_onnx_runtime_predicts_the_same_with_whole_networks(tmp_path, name, dtype):
    model = getattr(fc.models, name)(dtype=dtype)
    model.to_onnx(str(tmp_path / "model.onnx"))
    X = samples(model.input_shape, dtype)
    close(runtime(tmp_path / "model.onnx", X), model.predict(X), dtype)


def poolings():
    for kernel, stride, ceil_mode in itertools.product((1, 2, 3), (1, 2, 3), (False, True)):
        for padding in range(kernel // 2 + 1):
            common = {"stride": (stride, 4 - stride), "padding": padding, "ceil_mode": ceil_mode}
            yield from (fc.AvgPool2d(kernel, **common, count_include_pad=c) for c in (False, True))
            yield from (fc.MaxPool2d(kernel, **common, dilation=d) for d in ((1, 1), (2, 1), (1, 3)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [fc.AvgPool2d, fc.MaxPool2d])
def test_onnx_runtime_pools_the_same_with_every_mixture_of_settings(tmp_path, kind, dtype):
    shape, tried = (2, 8, 7), 0
    X = samples(shape, dtype, 2)
    for layer in poolings():
        if isinstance(layer, kind):
            model = fc.Sequential([layer], shape, dtype)
            model.to_onnx(tmp_path / "model.onnx")
            close(runtime(tmp_path / "model.onnx", X), model.predict(X), dtype)
            again = fc.from_onnx(tmp_path / "model.onnx")
            np.testing.assert_array_equal(again.predict(X), model.predict(X))
            tried += 1
    assert tried >= 60


def test_every_layer_is_tried_and_every_layer_has_a_writer():
    tried = {type(layer) for layers, _ in NETWORKS.values() for layer in layers}
    assert tried == set(LAYERS.values()) == set(WRITERS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_file_is_whole_and_says_what_it_takes(tmp_path, dtype):
    model = network(*NETWORKS["in a row"], dtype)
    model.to_onnx(tmp_path / "model.onnx")
    found = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(found, full_check=True)
    (x,), (y,) = found.graph.input, found.graph.output
    kind = onnx.TensorProto.FLOAT if dtype == "float32" else onnx.TensorProto.DOUBLE
    for value, name, shape in ((x, "input", (2, 9, 8)), (y, "output", (3,))):
        tensor = value.type.tensor_type
        assert (value.name, tensor.elem_type) == (name, kind)
        assert [d.dim_param or d.dim_value for d in tensor.shape.dim] == ["N", *shape]
    arrays = {t.name: onnx.numpy_helper.to_array(t) for t in found.graph.initializer}
    for name, array in model.state().items():
        np.testing.assert_array_equal(arrays[name].reshape(array.shape), array)


def test_functions_are_there_only_where_float64_needs_them(tmp_path):
    def names(layers, shape, dtype):
        fc.Sequential(layers, shape, dtype).to_onnx(tmp_path / "model.onnx")
        model = onnx.load(tmp_path / "model.onnx")
        return {f.name for f in model.functions}, {o.domain for o in model.opset_import}

    convs = [fc.Conv2d(2, 2), fc.Conv2d(2, 2)], (1, 4, 4)
    assert names(*convs, "float32") == (set(), {""})
    assert names(*convs, "float64") == ({"Conv"}, {"", "fastconv"})
    assert names([fc.Dense(2)], (3,), "float64") == (set(), {""})


def test_another_evaluator_predicts_the_same(tmp_path):
    reference = pytest.importorskip("onnx.reference")
    for dtype in ("float32", "float64"):
        model = network(*NETWORKS["in a row"], dtype)
        model.to_onnx(tmp_path / "model.onnx")
        X = samples(model.input_shape, dtype)
        (found,) = reference.ReferenceEvaluator(str(tmp_path / "model.onnx")).run(None, {"input": X})
        close(found, model.predict(X), dtype)


def test_the_same_network_makes_the_same_bytes(tmp_path):
    for name in ("a.onnx", "b.onnx"):
        fc.models.lenet5(dtype="float64").to_onnx(tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.onnx"
    fc.models.reference_cnn().to_onnx(path)
    before = path.read_bytes()

    def failing(*arguments, **settings):
        raise MemoryError

    monkeypatch.setattr(onnx.checker, "check_model", failing)
    with pytest.raises(MemoryError):
        fc.models.lenet5().to_onnx(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


def test_without_the_package_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    for attempt in (fc.models.reference_cnn().to_onnx, fc.from_onnx):
        with pytest.raises(
            ImportError, match=r'^an ONNX file needs onnx: pip install onnx \(the extra "onnx"\)$'
        ):
            attempt(tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []
