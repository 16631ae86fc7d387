"""Few samples, whose channels lie in the lanes, against the same samples in a batch: the same bits.

That holds of direct sums; at precision "high" layers may go by Winograd's products in one of the two layouts.
"""

import re

import numba
import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import few_samples
from fastconv.engine.builder import Builder
from fastconv.engine.few_samples import samples_at_once
from fastconv.engine.run import Run
from fastconv.kernels import precision
from tests.engine.networks import NETWORKS


@numba.njit
def square(x):
    return x * x


@numba.njit
def twice(x):
    return 2 * x


@pytest.fixture(autouse=True)
def _direct_sums(monkeypatch):
    monkeypatch.setattr(precision.chosen, "value", precision.HIGHEST)


both_dtypes = pytest.mark.parametrize("dtype", ["float32", "float64"])
# Name -> (layers, input shape): channels around the number of lanes, and what NETWORKS has not.
MORE = {
    f"{c} to {o} channels": (
        [fc.Conv2d(o, 3, padding=1), fc.ReLU(), fc.BatchNorm2d(), fc.MaxPool2d(2), fc.Conv2d(c, 2), fc.Tanh(),
         fc.AvgPool2d(2, stride=1), fc.Flatten(), fc.Dense(o), fc.ReLU(), fc.Dense(c), fc.Softmax()],
        (c, 7, 8),
    )
    for c, o in [(1, 5), (5, 16), (16, 17), (17, 33), (33, 1), (8, 9), (7, 15)]
} | {
    "one position and more than 8 blocks of channels": (
        [fc.Conv2d(140, (3, 4)), fc.Sigmoid(), fc.Conv2d(3, 1), fc.Flatten(), fc.Dense(131)], (2, 3, 4)
    ),
    "one position in a halo": (
        [fc.Conv2d(17, 3, stride=4, padding=2), fc.Conv2d(5, 3, padding=1)], (3, 2, 2)
    ),
    "images of one row and one column": (
        [fc.Conv2d(9, (1, 5), padding=(0, 2)), fc.ReLU(), fc.Conv2d(17, (1, 19)), fc.LeakyReLU()], (1, 1, 19)
    ),
    "strides that leave a rest": (
        [fc.Conv2d(5, (2, 3), stride=(3, 2), padding=(1, 0), dilation=(1, 2)), fc.Conv2d(18, 2, stride=2)],
        (17, 11, 14),
    ),
    "same padding with unequal sides": (
        [fc.Conv2d(17, (4, 2), padding="same"), fc.MaxPool2d(3, stride=2, padding=1, ceil_mode=True),
         fc.Conv2d(6, 3, padding="same", dilation=2), fc.AvgPool2d(2, ceil_mode=True), fc.GlobalAvgPool2d(),
         fc.Flatten(), fc.Softmax()],
        (1, 9, 8),
    ),
    "activations after flattened channels": (
        [fc.Conv2d(17, 2), fc.Flatten(), fc.Sigmoid(), fc.Dropout(0.4), fc.LeakyReLU(0.1), fc.Softmax(),
         fc.Dense(33), fc.Tanh(), fc.ReLU(), fc.Softmax()],
        (2, 4, 3),
    ),
    "layers of features after flattened channels": (
        [fc.Conv2d(17, 2), fc.Flatten(), fc.BatchNorm1d(), fc.Tanh(), fc.Residual([fc.Dense(102), fc.ReLU()]),
         fc.Dense(3)],
        (2, 4, 3),
    ),
    "a sum of flattened channels and features": (
        [fc.Conv2d(18, 2), fc.Flatten(), fc.Add([], [fc.Dense(108)], [fc.Sigmoid()])], (2, 4, 3)
    ),
    "a user's function of flattened channels": (
        [fc.Conv2d(17, 2), fc.Flatten(), fc.Elementwise(square, twice), fc.Dense(3)], (2, 4, 3)
    ),
    "flattened channels are the output": ([fc.Conv2d(19, 2, padding=1), fc.Flatten(), fc.Tanh()], (1, 3, 4)),
    "an image is the output": (
        [fc.Conv2d(18, 3, padding=1), fc.BatchNorm2d(), fc.Dropout(0.5)], (20, 3, 5)
    ),
    "batch norm of the input": (
        [fc.BatchNorm2d(), fc.Conv2d(3, 2, bias=False), fc.BatchNorm2d()], (35, 3, 3)
    ),
    "pools of the input": (
        [fc.MaxPool2d(2, padding=1), fc.AvgPool2d(2, padding=1, count_include_pad=False)], (18, 5, 6)
    ),
    "depthwise after channels": (
        [fc.Conv2d(24, 1), fc.Conv2d(24, 3, groups=24, padding=1, bias=False), fc.BatchNorm2d(), fc.ReLU(),
         fc.Conv2d(24, (2, 5), stride=(2, 1), dilation=(1, 2), padding=(0, 3), groups=24), fc.Conv2d(40, 1)],
        (3, 9, 7),
    ),
    "depthwise of the input": ([fc.Conv2d(17, 3, groups=17, padding=2), fc.ReLU()], (17, 5, 4)),
    "several outputs of each channel": ([fc.Conv2d(57, 3, groups=19, padding=1), fc.ReLU()], (19, 5, 6)),
    "groups that fill vectors": ([fc.Conv2d(96, 3, groups=3), fc.BatchNorm2d()], (48, 6, 5)),
    "groups that share vectors": (
        [fc.Conv2d(20, 3, groups=4, stride=2), fc.Conv2d(70, 2, groups=5, padding=1),
         fc.Conv2d(6, 1, groups=2)],
        (8, 9, 9),
    ),
    "stacks of odd channels": (
        [fc.Concatenate([fc.Conv2d(5, 3, padding=1)], [fc.Conv2d(20, 1)], []), fc.ReLU(),
         fc.Concatenate([fc.MaxPool2d(2)], [fc.AvgPool2d(2)]), fc.Conv2d(9, 2), fc.Flatten(), fc.Dense(3)],
        (18, 6, 7),
    ),
    "stacks of whole vectors and a rest": (
        [fc.Concatenate([fc.Conv2d(16, 1)], [fc.Conv2d(32, 3, padding=1)], [fc.Conv2d(7, 1)]), fc.Tanh()],
        (3, 5, 4),
    ),
    "stacks of features": (
        [fc.Conv2d(17, 2), fc.Flatten(), fc.Concatenate([], [fc.Dense(5)], [fc.Tanh()]), fc.Dense(8)],
        (2, 4, 3),
    ),
    "residual sums": (
        [fc.Conv2d(33, 3, padding=1),
         fc.Residual([fc.Conv2d(33, 3, padding=1, bias=False), fc.BatchNorm2d()]), fc.ReLU(),
         fc.Upsample(2), fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(4), fc.BatchNorm1d()],
        (4, 5, 6),
    ),
    "batch norm after a transposed convolution": (
        [fc.ConvTranspose2d(9, 3, stride=2), fc.BatchNorm2d(), fc.ReLU(), fc.Conv2d(4, 2)], (5, 4, 3)
    ),
    "signals": (
        [fc.Conv1d(20, 9, padding="same"), fc.BatchNorm1d(), fc.ReLU(), fc.MaxPool1d(2),
         fc.Conv1d(33, 3, stride=2), fc.GlobalAvgPool1d(), fc.Flatten(), fc.Dense(3)],
        (2, 40),
    ),
    "normalisation of groups of channels": (
        [fc.Conv2d(36, 3, padding=1), fc.GroupNorm(4), fc.ReLU(), fc.GroupNorm(1), fc.Conv2d(33, 2),
         fc.InstanceNorm2d(affine=True), fc.Tanh(), fc.InstanceNorm2d(), fc.GroupNorm(33)],
        (20, 5, 7),
    ),
    "normalisation of whole samples": (
        [fc.Conv2d(19, 2), fc.LayerNorm(), fc.ReLU(), fc.Flatten(), fc.LayerNorm(), fc.Dense(40),
         fc.LayerNorm(), fc.Dense(18), fc.GroupNorm(3)],
        (17, 4, 5),
    ),
    "normalisation of the input": ([fc.GroupNorm(2), fc.Conv2d(33, 1), fc.LayerNorm()], (34, 3, 4)),
    "slopes of each channel": (
        [fc.Conv2d(36, 3, padding=1), fc.PReLU(per_channel=True), fc.Conv2d(17, 2),
         fc.PReLU(per_channel=True), fc.PReLU(), fc.Flatten(), fc.PReLU(per_channel=True), fc.Dense(20),
         fc.PReLU(per_channel=True)],
        (16, 5, 4),
    ),
    "transposed convolutions": (
        [fc.ConvTranspose2d(33, 3, stride=2, padding=1, output_padding=1), fc.BatchNorm2d(), fc.ReLU(),
         fc.ConvTranspose2d(40, (2, 5), stride=(3, 2), dilation=(1, 2), bias=False),
         fc.ConvTranspose2d(17, 1, stride=2), fc.ReLU(), fc.ConvTranspose2d(20, 4, padding=2)],
        (70, 3, 2),
    ),
    "a transposed convolution of the input": ([fc.ConvTranspose2d(24, 3, padding=1)], (3, 5, 4)),
    "transposed convolutions of signals": (
        [fc.Conv1d(32, 5), fc.ConvTranspose1d(24, 4, stride=2), fc.LeakyReLU(), fc.ConvTranspose1d(16, 3)],
        (16, 12),
    ),
    "softmax of many features": ([fc.Softmax(), fc.Dense(50), fc.Softmax()], (37,)),
    "flatten alone": ([fc.Flatten()], (18, 3, 2)),
    "global average of many channels": (
        [fc.Conv2d(33, 3), fc.GlobalAvgPool2d(), fc.Tanh(), fc.Flatten(), fc.Dropout(0.2), fc.Dense(7)],
        (3, 6, 5),
    ),
}  # fmt: skip
ALL = NETWORKS | MORE


def trained(layers, input_shape, dtype):
    """A network as after training: no parameter or statistic has its initial value."""
    model = fc.Sequential(layers, input_shape, dtype=dtype, seed=3)
    rng = np.random.default_rng(1)
    for array in model.parameters().values():
        array += rng.uniform(-0.2, 0.2, array.shape)
    for name, array in model.statistics().items():
        array[...] = rng.uniform(*((0.2, 3) if "var" in name else (-1, 1)), array.shape)
    return model


def samples(shape, count=40, seed=0):
    return np.random.default_rng(seed).standard_normal((count, *shape))


def assert_same_bits(got, expected):
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got, expected)
    assert got.tobytes() == expected.tobytes(), "zeros differ in their sign"


def assert_alone_as_in_a_batch(model, X):
    expected = model.predict(X)
    assert_same_bits(model.predict(X, batch_size=1), expected)
    for count in range(1, 16):
        assert_same_bits(model.predict(X[-count:]), expected[-count:])


@both_dtypes
@pytest.mark.parametrize("name", ALL)
def test_a_sample_alone_is_predicted_with_the_bits_that_it_has_in_a_batch(name, dtype):
    model = trained(*ALL[name], dtype)
    expected = model.predict(samples(model.input_shape))
    assert np.isfinite(expected).all()
    assert_alone_as_in_a_batch(model, samples(model.input_shape))


@pytest.mark.parametrize("name", [name for name in MORE if "normalisation" in name or "transposed" in name])
def test_no_layer_needs_a_block_of_samples(name):
    assert samples_at_once(trained(*MORE[name], "float32"), 1) == 1


def random_layers(rng):
    """Layers of every kind in a random order, as far as the image reaches, and the input shape."""

    def number(high):
        return int(rng.integers(1, high + 1))

    def pair(high):
        return number(high), number(high)

    def image_layer():
        kernel = pair(3)
        padding = tuple(int(rng.integers(0, k // 2 + 1)) for k in kernel)
        channels = int(rng.choice([1, 3, 5, 8, 15, 16, 17, 24, 33]))
        choices = [
            fc.Conv2d(
                channels,
                kernel,
                stride=pair(3),
                padding=pair(3),
                dilation=pair(2),
                bias=bool(rng.integers(2)),
            ),
            fc.Conv2d(channels, pair(4), padding="same", dilation=pair(2)),
            fc.MaxPool2d(kernel, pair(3), padding, pair(2), ceil_mode=bool(rng.integers(2))),
            fc.AvgPool2d(kernel, pair(3), padding, bool(rng.integers(2)), bool(rng.integers(2))),
            fc.BatchNorm2d(),
            activation(),
        ]
        return choices[rng.choice(len(choices), p=[0.3, 0.1, 0.15, 0.15, 0.1, 0.2])]

    def activation():
        kinds = fc.ReLU(), fc.LeakyReLU(0.1), fc.Sigmoid(), fc.Tanh(), fc.Dropout(0.3)
        return kinds[rng.integers(len(kinds))]

    shape = int(rng.choice([1, 2, 9, 16, 17, 20])), *(int(n) for n in rng.integers(3, 12, 2))
    layers = []
    for _ in range(number(6)):
        layer = image_layer()
        try:
            fc.Sequential([*layers, layer], shape)
        except ValueError:  # the image is too small for this one
            continue
        layers.append(layer)
    if rng.integers(3):
        layers += [fc.Flatten(), *(activation() for _ in range(rng.integers(3)))]
        for _ in range(rng.integers(3)):
            layers += [fc.Dense(number(40)), activation()]
        layers += [fc.Softmax()] * int(rng.integers(2))
    return layers or [fc.ReLU()], shape


@both_dtypes
def test_random_networks_predict_a_sample_alone_with_the_bits_that_it_has_in_a_batch(dtype):
    rng = np.random.default_rng(7)
    for number in range(60):
        layers, shape = random_layers(rng)
        model = trained(layers, shape, dtype)
        X = samples(shape, count=19, seed=number)
        expected = model.predict(X)
        got = model.predict(X, batch_size=1)
        assert got.tobytes() == expected.tobytes(), f"{layers} on {shape}"


@pytest.mark.parametrize("before", [[], [fc.Dropout(0.5)]], ids=["alone", "after dropout"])
def test_the_image_that_a_dense_layer_reads_lies_in_scalars(before):
    """As vectors of one channel, it would take a cache line for each number."""
    model = fc.Sequential([*before, fc.Flatten(), fc.Dense(40), fc.ReLU(), fc.Dense(3)], (1, 9, 7))
    listed = model.source("predict", batch_size=1, kernels=False)
    assert re.search(r"^# X +\(1, 9, 7\) +numbers", listed, re.MULTILINE)
    X = samples((1, 9, 7), count=17, seed=3)
    for dtype in (np.float32, np.uint8, np.int64):
        one = X.astype(dtype)
        for given in (one, one[:, :, ::-1], one[..., ::-1]):
            assert model.predict(given, batch_size=3).tobytes() == model.predict(given).tobytes()


@both_dtypes
def test_predictions_that_fold_batch_norm_are_those_of_the_layers_one_by_one(dtype):
    model = trained(*MORE["residual sums"], dtype)
    X = samples(model.input_shape, 40).astype(dtype)
    got = model.predict(X)
    scale = np.abs(got).max()
    expected = outputs_layer_by_layer(model, X)
    assert np.abs(got - expected).max() <= (2e-6 if dtype == "float32" else 1e-13) * scale
    names = {operation.name for operation, _, _ in steps_of(model, 3)}
    assert "contract_channels" in names
    for batch_size in (3, 40):
        assert not any("norm" in operation.name for operation, _, _ in steps_of(model, batch_size))


def outputs_layer_by_layer(model, X):
    """What NumPy's forms of the layers make of X."""
    values = {model.inputs[0]: X}
    for node in model.nodes:
        x = [values[value] for value in node.inputs]
        values[node.output] = node.layer.forward(
            x if node.layer.takes_several else x[0], model.arrays_of(node)
        )
    return values[model.outputs[0]]


def steps_of(model, batch_size):
    """The operations of a step that predicts."""
    plan = Builder(model, Run("predict", batch_size, 1, few=samples_at_once(model, batch_size))).plan
    return [operation for _, operations in plan.stages for operation in operations]


@pytest.mark.parametrize("count", [1, 2, 7, 8, 15, 16])
def test_few_samples_have_their_channels_in_the_lanes_where_that_makes_fewer_vectors(count):
    wide = fc.Sequential([fc.Conv2d(64, 3), fc.Conv2d(64, 3, groups=64)], (16, 8, 8))
    narrow = fc.Sequential([fc.Conv2d(4, 3)], (1, 8, 8))  # a quarter of the lanes
    lanes = 16
    assert (samples_at_once(wide, count, precision="highest") > 0) == (count < lanes)
    assert (samples_at_once(narrow, count, precision="highest") > 0) == (count < lanes // 4)


def test_blocks_that_go_by_winograds_products_are_better_sooner():
    model = fc.Sequential([fc.Conv2d(64, 3, padding=1)], (64, 12, 12))
    below = [
        sum(samples_at_once(model, n, precision=p) > 0 for n in range(1, 16)) for p in ("high", "highest")
    ]
    assert below[0] <= below[1]


def test_images_whose_values_leave_the_cache_have_their_channels_in_the_lanes_in_any_number():
    layers = [
        fc.Conv2d(64, 1),
        fc.ReLU(),
        fc.Conv2d(64, 3, padding=1, groups=64),
        fc.Conv2d(64, 1),
        fc.ReLU(),
    ]
    large, small = fc.Sequential(layers, (16, 96, 96)), fc.Sequential(layers, (16, 8, 8))
    assert samples_at_once(large, 16) == samples_at_once(large, 1000) == 1
    assert samples_at_once(small, 16) == samples_at_once(small, 1000) == 0
    X = np.random.default_rng(0).random((18, *large.input_shape), np.float32)
    together = large.predict(X)
    assert_same_bits(large.predict(X[3:4]), together[3:4])
    assert_same_bits(large.predict(X, batch_size=16), together)


def test_samples_of_many_values_follow_each_other():
    many = fc.Sequential([fc.Conv2d(16, 3, padding=1)], (16, 60, 60))
    assert samples_at_once(many, 8) == 1
    weights = fc.Sequential([fc.Dense(1000), fc.Dense(1000)], (1000,))
    assert samples_at_once(weights, 9) == 9


@both_dtypes
def test_threads_share_few_samples(dtype, monkeypatch):
    monkeypatch.setattr(few_samples, "PER_START", 1)
    layers = [fc.BatchNorm2d(), fc.Conv2d(32, 2), fc.BatchNorm2d(), fc.ReLU()]  # the first is not folded
    layers += [fc.Conv2d(32, 2, groups=32, padding=1), fc.MaxPool2d(2), fc.Conv2d(50, 1), fc.ReLU()]
    layers += [fc.Flatten(), fc.Dense(70)]
    model = trained(layers, (32, 3, 3), dtype)
    X, threads = samples(model.input_shape), fc.get_num_threads()
    expected = model.predict(X)
    try:
        for number in (1, 2, 3):
            fc.set_num_threads(number)
            for count in (1, 2, 5, 7):
                assert_same_bits(model.predict(X[:count]), expected[:count])
                engine = model.engines._engines[-1]
                assert engine.threads == number
                alike = count % number == 0  # blocks for the threads; else they share each operation
                assert engine.in_a_block == (count // number if alike else count)
    finally:
        fc.set_num_threads(threads)


def uint8(X):
    return (X * 60 + 128).clip(0, 255).astype(np.uint8)


FORMS = {
    "uint8": uint8,
    "uint8, channels last": lambda X: np.moveaxis(np.ascontiguousarray(np.moveaxis(uint8(X), 1, -1)), -1, 1),
    "float32": lambda X: X.astype(np.float32),
    "float64": lambda X: X,
    "Fortran order": np.asfortranarray,
    "every second element": lambda X: np.repeat(X, 2, axis=-1)[..., ::2],
    "reversed": lambda X: np.flip(np.flip(X).copy()),
    "one sample again and again": lambda X: np.broadcast_to(X[:1], X.shape),
    "integers": lambda X: (X * 9).astype(np.int64),
    "read-only": lambda X: np.frombuffer(X.tobytes()).reshape(X.shape),
}


@both_dtypes
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(3, 5, 6), (17, 9, 9), (21,)], ids=str)
def test_a_sample_alone_is_read_in_any_dtype_and_strides_as_in_a_batch(shape, form, dtype):
    layers = [fc.Conv2d(5, 3), fc.ReLU(), fc.Flatten(), fc.Dense(4)] if len(shape) == 3 else [fc.Dense(4)]
    model = trained(layers, shape, dtype)
    assert_alone_as_in_a_batch(model, FORMS[form](samples(shape)))


@both_dtypes
def test_parameters_and_statistics_that_change_change_the_next_prediction_of_a_sample(dtype):
    model = trained(*MORE["16 to 17 channels"], dtype)
    X = samples(model.input_shape)
    before = model.predict(X[:1])
    for array in [*model.parameters().values(), *model.statistics().values()]:
        array *= 1.1
        changed = model.predict(X[:1])
        assert_same_bits(changed, model.predict(X)[:1])
    assert (changed != before).any()


@both_dtypes
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, -0.0])
@pytest.mark.parametrize(
    "name", ["5 to 16 channels", "softmax of many features", "max pool overlapping padded"]
)
def test_numbers_that_are_not_finite_and_negative_zeros_pass_as_in_a_batch(name, value, dtype):
    model = trained(*ALL[name], dtype)
    X = samples(model.input_shape)
    X[:, ..., -1] = value
    X.reshape(len(X), -1)[::3] = value
    expected = model.predict(X)
    got = model.predict(X, batch_size=1)
    np.testing.assert_array_equal(got, expected)
    assert np.array_equal(np.signbit(got[~np.isnan(got)]), np.signbit(expected[~np.isnan(got)]))


@both_dtypes
def test_a_sample_alone_is_predicted_with_the_same_bits_on_any_number_of_threads(dtype):
    model = trained(*MORE["17 to 33 channels"], dtype)
    X, threads = samples(model.input_shape), fc.get_num_threads()
    try:
        fc.set_num_threads(1)
        expected = model.predict(X)
        for number in (1, 2, 5):
            fc.set_num_threads(number)
            assert_same_bits(model.predict(X[:3]), expected[:3])
    finally:
        fc.set_num_threads(threads)
