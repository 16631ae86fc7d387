"""ONNX files that are written: onnx's checker passes them, and ONNX Runtime predicts the same."""

import itertools
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.formats.onnx.tables import WRITERS
from fastconv.nn.block import Composite
from tests.formats.onnx.onnx_tools import close, onnx, onnxruntime, runtime, samples
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
    "conv on all sides": ([fc.Conv2d(3, 3, padding=((0, 1), (2, 0)), stride=2)], (2, 6, 7)),
    "conv same strided": ([fc.Conv2d(3, 4, padding="same", stride=(2, 3))], (2, 6, 7)),
    "conv same lower": ([fc.Conv2d(3, 4, padding="same_lower", stride=2, groups=3)], (3, 6, 7)),
    "pools on all sides": (
        [fc.MaxPool2d(3, 2, ((0, 1), (1, 0))), fc.AvgPool2d(2, 1, ((1, 0), (0, 1)))], (2, 9, 8)
    ),
    "pools same": (
        [fc.MaxPool2d(2, padding="same"), fc.AvgPool2d(2, 3, "same_lower"),
         fc.AvgPool2d(2, 1, "same", count_include_pad=False)],
        (2, 9, 8),
    ),
    "relu6": ([fc.ReLU6()], (5,)),
    "elu": ([fc.ELU(0.7)], (2, 3, 3)),
    "silu": ([fc.SiLU()], (2, 3, 3)),
    "gelu": ([fc.GELU()], (5,)),
    "gelu by tanh": ([fc.GELU("tanh")], (5,)),
    "hard swish": ([fc.Hardswish()], (2, 4)),
    "hard sigmoid": ([fc.Hardsigmoid()], (5,)),
    "softplus": ([fc.Softplus()], (5,)),
    "conv of signals": (
        [fc.Conv1d(4, 3, stride=2, padding=1), fc.Conv1d(6, 2, groups=2, bias=False)], (2, 12)
    ),
    "conv of signals, causal": ([fc.Conv1d(4, 3, padding="causal", dilation=2)], (2, 9)),
    "conv of signals, same": ([fc.Conv1d(4, 4, padding="same", stride=3)], (2, 11)),
    "conv of signals, shorter than the kernel": ([fc.Conv1d(4, 9, padding=(4, 5))], (2, 5)),
    "pools of signals": (
        [fc.MaxPool1d(3, 2, 1, ceil_mode=True), fc.AvgPool1d(3, 2, 1, ceil_mode=True),
         fc.AvgPool1d(2, 1, (0, 1), count_include_pad=False), fc.MaxPool1d(2, 1, "same")],
        (2, 25),
    ),
    "a signal to features": (
        [fc.BatchNorm1d(0.3), fc.ReLU(), fc.GlobalAvgPool1d(), fc.Flatten(), fc.Dense(3), fc.BatchNorm1d()],
        (4, 9),
    ),
    "group norm of signals": ([fc.GroupNorm(2)], (4, 9)),
    "residual": (
        [fc.Residual([fc.Conv2d(4, 3, padding="same"), fc.BatchNorm2d(), fc.ReLU(), fc.Conv2d(4, 1)]),
         fc.ReLU()],
        (4, 5, 6),
    ),
    "residual with a shortcut": (
        [fc.Residual([fc.Conv2d(6, 3, stride=2, padding=1)], shortcut=[fc.Conv2d(6, 1, stride=2)]),
         fc.Flatten(), fc.Dense(2), fc.Residual([])],
        (4, 6, 6),
    ),
    "branches": (
        [fc.Concatenate(
            [fc.Conv2d(2, 1)], [], [fc.MaxPool2d(3, 1, 1), fc.Add([], [fc.Tanh()], [fc.SiLU()])]
        )],
        (3, 5, 5),
    ),
    "branches of signals": ([fc.Concatenate([fc.Conv1d(2, 3, padding=1)], []), fc.ReLU6()], (3, 8)),
    "global max pool": ([fc.GlobalMaxPool2d(), fc.Flatten()], (3, 4, 5)),
    "global max pool of signals": ([fc.GlobalMaxPool1d()], (3, 7)),
    "adaptive pools": ([fc.AdaptiveAvgPool2d((6, 3)), fc.AdaptiveAvgPool2d((None, 2))], (2, 4, 7)),
    "adaptive pool of signals": ([fc.AdaptiveAvgPool1d(3)], (2, 7)),
    "layer norm": ([fc.LayerNorm(eps=2.0**-9)], (2, 3, 4)),
    "layer norm of features and signals": ([fc.LayerNorm(), fc.Flatten(), fc.LayerNorm()], (2, 5)),
    "instance norm": ([fc.InstanceNorm2d(eps=2.0**-9), fc.InstanceNorm2d(affine=True)], (3, 4, 5)),
    "instance norm of signals": ([fc.InstanceNorm1d(affine=True), fc.InstanceNorm1d()], (3, 8)),
    "prelu": ([fc.PReLU(), fc.PReLU(per_channel=True)], (3, 4, 5)),
    "prelu of signals and features": (
        [fc.PReLU(per_channel=True), fc.Flatten(), fc.PReLU(init=-0.5), fc.PReLU(per_channel=True)], (2, 5)
    ),
    "spatial dropout": ([fc.SpatialDropout2d(0.3), fc.ReLU()], (3, 4, 5)),
    "spatial dropout of signals": ([fc.SpatialDropout1d(0.3)], (3, 4)),
    "transposed": ([fc.ConvTranspose2d(3, 3)], (2, 4, 5)),
    "transposed with everything": (
        [fc.ConvTranspose2d(4, (3, 2), stride=(2, 3), padding=1, output_padding=(1, 2), groups=2)], (2, 4, 5)
    ),
    "transposed and dilated": (
        [fc.ConvTranspose2d(2, 2, padding=((0, 1), (1, 0)), dilation=(2, 3), bias=False)], (2, 4, 5)
    ),
    "transposed to the same": (
        [fc.ConvTranspose2d(2, 3, stride=2, padding="same"),
         fc.ConvTranspose2d(2, 3, stride=2, padding="same_lower")],
        (2, 3, 4),
    ),
    "transposed signals": (
        [fc.ConvTranspose1d(4, 4, stride=2, padding=1), fc.ConvTranspose1d(2, 3, groups=2, bias=False)],
        (2, 5),
    ),
    "upsampled": ([fc.Upsample(2), fc.Upsample((1, 3))], (2, 3, 4)),
    "upsampled by lines": (
        [fc.Upsample((2, 3), "bilinear"), fc.Upsample(2, "bilinear", align_corners=True)], (2, 3, 4)
    ),
    "upsampled signals": (
        [fc.Upsample(3), fc.Upsample(2, "linear"), fc.Upsample(2, "linear", align_corners=True)], (2, 5)
    ),
    "depthwise and separable": (
        [fc.DepthwiseConv2d(3, depth_multiplier=2, padding=1), fc.SeparableConv2d(3, 3, bias=False)],
        (2, 5, 6),
    ),
    "depthwise and separable signals": (
        [fc.DepthwiseConv1d(3, padding="causal"), fc.SeparableConv1d(3, 3)], (2, 8)
    ),
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
    """Of layers that are made of others, these; and where branches meet, the node that they meet in."""
    nodes = {type(node.layer) for entry in NETWORKS.values() for node in fc.Sequential(*entry).nodes}
    assert nodes == set(WRITERS)
    composed = {kind for kind in LAYERS.values() if issubclass(kind, Composite)}
    assert set(LAYERS.values()) - composed <= nodes
    written = {type(layer) for layers, _ in NETWORKS.values() for layer in layers}
    assert {fc.Add, fc.Concatenate, fc.Residual} - written == {fc.Add}  # which stands in a branch


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_written_is_read_again_with_the_same_bits(tmp_path, name, dtype):
    model = network(*NETWORKS[name], dtype)
    model.to_onnx(tmp_path / "model.onnx")
    again = fc.from_onnx(tmp_path / "model.onnx")
    X = samples(model.input_shape, dtype)
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.num_parameters == model.num_parameters
    if type(again) is fc.Model:  # branches keep the names of their layers
        assert sorted(again.state()) == sorted(model.state())
    else:
        kinds = [type(node.layer) for node in model.nodes]
        assert [type(layer) for layer in again.layers] == [kind for kind in kinds if kind is not fc.Add]


def test_windows_of_one_size_are_an_average_pool_that_all_programs_know(tmp_path):
    for layer, shape in ((fc.AdaptiveAvgPool2d((2, 3)), (2, 8, 9)), (fc.AdaptiveAvgPool1d(4), (2, 12))):
        model = fc.Sequential([layer], shape)
        model.to_onnx(tmp_path / "model.onnx")
        assert not onnx.load(tmp_path / "model.onnx").functions
        close(runtime(tmp_path / "model.onnx", samples(shape)), model.predict(samples(shape)))


def heads(dtype="float32"):
    """Two inputs, two outputs with names, one layer at two places, and a value that is read and given."""
    board, extra = fc.Input((2, 6, 6), name="board"), fc.Input((3,), name="extra")
    shared = fc.Conv2d(2, 3, padding="same")
    y = fc.ReLU()(shared(shared(board, name="stem")))
    features = fc.Concatenate()([fc.Flatten()(fc.MaxPool2d(2)(y)), extra])
    policy = fc.Dense(5)(features)
    return fc.Model(
        [board, extra], {"policy": policy, "value": fc.Tanh()(fc.Dense(1)(fc.ReLU()(policy)))}, dtype, seed=2
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_several_inputs_and_outputs_are_written_and_read_by_their_names(tmp_path, dtype):
    model = heads(dtype)
    model.to_onnx(tmp_path / "model.onnx")
    X = {"board": samples((2, 6, 6), dtype), "extra": samples((3,), dtype)}
    options = onnxruntime.SessionOptions()
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", options, ["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["board", "extra"]
    found = dict(zip(["policy", "value"], session.run(["policy", "value"], X), strict=True))
    again = fc.from_onnx(tmp_path / "model.onnx")
    assert (again.input_names, again.output_names) == (model.input_names, model.output_names)
    assert list(again.state()) == list(model.state())  # the shared layer has one set of weights
    for name, output in model.predict(X).items():
        close(found[name], output, dtype)
        np.testing.assert_array_equal(again.predict(X)[name], output)


def test_a_layer_at_places_of_different_sizes_has_what_it_needs_at_each(tmp_path):
    """In float64 a convolution carries tables that depend on the size of the image."""
    x, shared = fc.Input((2, 8, 8)), fc.Conv2d(2, 3, padding=1)
    small, large = fc.Flatten()(shared(fc.MaxPool2d(2)(x))), fc.Flatten()(shared(x))
    model = fc.Model(x, fc.Concatenate()([small, large]), "float64")
    model.to_onnx(tmp_path / "model.onnx")
    X = samples((2, 8, 8), "float64")
    close(runtime(tmp_path / "model.onnx", X), model.predict(X), "float64")
    again = fc.from_onnx(tmp_path / "model.onnx")
    assert again.num_parameters == model.num_parameters
    np.testing.assert_array_equal(again.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("input_name", "output_name"), [("x", "x"), ("0.weight", "y"), ("x", "0.Gemm.output")]
)
def test_two_arrays_of_one_name_are_refused(tmp_path, input_name, output_name):
    x = fc.Input((3,), name=input_name)
    model = fc.Model(x, {output_name: fc.ReLU()(fc.Dense(3)(x)), "other": fc.Tanh()(x)})
    with pytest.raises(
        ValueError, match=r"an ONNX file can't have two arrays '.*': give the input or output"
    ):
        model.to_onnx(tmp_path / "model.onnx")


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
