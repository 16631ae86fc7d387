import functools

import numpy as np
import pytest

import fastconv as fc
from fastconv.models import zoo

# Parameters counted by hand: weights + biases, layer by layer.
LENET5 = (6 * 25 + 6) + (16 * 6 * 25 + 16) + (120 * 256 + 120) + (84 * 120 + 84) + (10 * 84 + 10)
LENET_DIGITS = (16 * 9 + 16) + (32 * 16 * 9 + 32) + (64 * 512 + 64) + (10 * 64 + 10)
VGG_SMALL = (
    (32 * 27 + 32)
    + (32 * 288 + 32)
    + (64 * 288 + 64)
    + (64 * 576 + 64)
    + (128 * 4096 + 128)
    + (10 * 128 + 10)
)
# LITE's filters that are not learned: two kinds of 2, 4, ... 64 weights, and one of 6, 12, ... 96.
HAND_MADE = 2 * (2 + 4 + 8 + 16 + 32 + 64) + (6 + 12 + 24 + 48 + 96)


def of_pairs(channels, made):
    """Parameters of two convolutions of 3x3 with batch norm."""
    return 9 * channels * made + 9 * made**2 + 6 * made


# Down and up again over 16, 32, 64 and 128 channels, and a last convolution of 1x1.
UNET = (
    sum(of_pairs(c, o) for c, o in [(1, 16), (16, 32), (32, 64), (64, 128), (128, 64), (64, 32), (32, 16)])
    + sum(4 * 2 * c * c + c for c in (64, 32, 16))
    + (16 + 1)
)


def series(make):
    """The network for series of 150 numbers and two classes."""
    return functools.partial(make, 2, (1, 150))


def small(make):
    return functools.partial(make, 10, (3, 64, 64), width=0.35)


MODELS = [
    (fc.models.reference_cnn, (1, 6, 6), (1,), 15),
    (fc.models.lenet5, (1, 28, 28), (10,), LENET5),
    (fc.models.lenet_digits, (1, 8, 8), (10,), LENET_DIGITS),
    (fc.models.vgg_small, (3, 32, 32), (10,), VGG_SMALL),
    (fc.models.resnet8, (3, 32, 32), (10,), 78_186),
    (fc.models.ds_cnn, (1, 49, 10), (12,), 23_756),
    (fc.models.mobilenet_v1_025, (3, 96, 96), (2,), 216_322),
    (fc.models.autoencoder, (640,), (640,), 267_928),
    (fc.models.mnist1d_cnn, (1, 40), (10,), 5_210),
    (series(fc.models.time_cnn), (1, 150), (2,), 902),
    # What is published counts what stands before the last layer: 264,704, 504,000, 420,192 and 9,814.
    (series(fc.models.fcn), (1, 150), (2,), 264_704 + 258),
    (series(fc.models.resnet1d), (1, 150), (2,), 504_000 + 258),
    (series(fc.models.inception_time), (1, 150), (2,), 420_192 + 258),
    (series(fc.models.lite), (1, 150), (2,), 9_814 + 66 + HAND_MADE),
    (fc.models.unet, (1, 64, 64), (1, 64, 64), UNET),
    (small(fc.models.mobilenet_v2), (3, 64, 64), (10,), 408_938),
]
each_model = pytest.mark.parametrize(("make", "input_shape", "output_shape", "parameters"), MODELS)


@each_model
def test_a_model_has_its_shapes_and_number_of_parameters(make, input_shape, output_shape, parameters):
    model = make()
    assert (model.input_shape, model.output_shape, model.num_parameters) == (
        input_shape,
        output_shape,
        parameters,
    )
    assert model.dtype == "float32"


@each_model
def test_a_model_predicts_finite_numbers_in_the_dtype_asked_for(make, input_shape, output_shape, parameters):
    X = np.random.default_rng(0).random((3, *input_shape))
    for dtype in ("float32", "float64"):
        output = make(dtype=dtype).predict(X)
        assert output.dtype == dtype
        assert output.shape == (3, *output_shape)
        assert np.isfinite(output).all()


@each_model
def test_the_seed_decides_the_initial_parameters(make, input_shape, output_shape, parameters):
    first, again, other = make(seed=3), make(seed=3), make(seed=4)
    assert np.array_equal(first.flat_parameters, again.flat_parameters)
    assert not np.array_equal(first.flat_parameters, other.flat_parameters)


@each_model
def test_a_model_is_kept_in_files(make, input_shape, output_shape, parameters, tmp_path):
    model = make(seed=1)
    model.save(tmp_path / "model.npz")
    read = fc.load(tmp_path / "model.npz")
    assert read.frozen == model.frozen
    X = np.random.default_rng(0).random((2, *input_shape))
    np.testing.assert_array_equal(read.predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (fc.models.lenet5, (3, 32, 32)),
        (fc.models.lenet_digits, (1, 12, 12)),
        (fc.models.vgg_small, (1, 28, 28)),
        (fc.models.resnet8, (1, 20, 28)),
        (fc.models.ds_cnn, (2, 31, 9)),
        (fc.models.mobilenet_v1_025, (1, 40, 64)),
        (fc.models.mobilenet_v2, (1, 40, 64)),
        (fc.models.time_cnn, (3, 24)),
        (fc.models.time_cnn, (3, 100)),
        (fc.models.fcn, (3, 5)),
        (fc.models.resnet1d, (3, 5)),
        (fc.models.inception_time, (1, 12)),
        (fc.models.lite, (3, 12)),
        (fc.models.mnist1d_cnn, (2, 60)),
    ],
)
def test_number_of_classes_and_input_shape_can_be_chosen(make, shape):
    model = make(num_classes=4, input_shape=shape)
    assert model.output_shape == (4,)
    assert model.predict(np.zeros((2, *shape))).shape == (2, 4)


@pytest.mark.parametrize(
    ("make", "statistics", "products"),
    [
        (fc.models.resnet8, 78_666 - 78_186, 12.50e6),
        (fc.models.ds_cnn, 24_908 - 23_756, 2.66e6),
        (fc.models.mobilenet_v1_025, 221_794 - 216_322, 7.49e6),
        (fc.models.autoencoder, 269_992 - 267_928, 0.264e6),
        (fc.models.mobilenet_v2, 34_112, 300.8e6),
    ],
)
def test_a_published_network_has_the_statistics_and_products_of_its_source(make, statistics, products):
    model = make()
    assert model.flat_statistics.size == statistics
    assert model.products() == pytest.approx(products, rel=2e-3)


def test_mobilenet_v2_has_torchvisions_number_of_parameters():
    assert fc.models.mobilenet_v2().num_parameters == 3_504_872
    assert fc.models.mobilenet_v2(width=0.5).num_parameters == 1_968_680
    assert fc.models.mobilenet_v2(width=1.4).num_parameters == 6_108_776


def test_the_pads_of_the_first_layer_are_those_of_keras():
    (first, *_) = fc.models.ds_cnn().nodes
    assert first.layer.pads((1, 49, 10)) == ((4, 5), (1, 1))
    (first, *_) = fc.models.mobilenet_v1_025().nodes
    assert first.layer.pads((3, 96, 96)) == ((0, 1), (0, 1))


def test_lite_begins_with_its_hand_made_filters():
    parameters = fc.models.lite(2, (3, 50)).parameters()
    assert parameters["0.3.0.7.0.weight"].tolist() == [[[1.0, -1.0, 1.0, -1.0]] * 3]
    assert parameters["0.3.0.0.0.weight"].tolist() == [[[-1.0, 1.0]] * 3]
    assert parameters["0.3.0.13.0.weight"][0, 2].tolist() == [
        -0.25, -1, -1, -0.25, 0.5, 2, 2, 0.5, -0.25, -1, -1, -0.25,
    ]  # fmt: skip


def test_the_hand_made_filters_of_lite_are_not_trained():
    X = np.random.default_rng(0).random((20, 1, 50))
    model = fc.models.lite(2, (1, 50))
    before = model.state()
    fc.Trainer(model, optimizer=fc.Adam()).fit(X, np.arange(20) % 2, epochs=1)
    changed = {name for name, array in model.parameters().items() if (array != before[name]).any()}
    kept = set(model.parameters()) - changed
    assert kept == {f"0.3.0.{number}.0.weight" for number in range(17)}
    assert sum(before[name].size for name in kept) == HAND_MADE


def test_every_network_of_the_zoo_is_in_the_table():
    made = {getattr(make, "func", make) for make, *_ in MODELS} | {fc.models.atari_cnn}
    assert made == {getattr(fc.models, name) for name in zoo.__all__}


# 4x32x8x8 + 32, 32x64x4x4 + 64, 64x64x3x3 + 64, 3136x512 + 512, and the heads.
ATARI = 8_224 + 32_832 + 36_928 + 1_606_144 + (512 * 18 + 18) + (512 + 1)


def test_the_network_for_atari_has_two_heads():
    model = fc.models.atari_cnn()
    assert model.num_parameters == ATARI
    assert model.input_shape == (4, 84, 84)
    screens = np.random.default_rng(0).integers(0, 256, (3, 4, 84, 84), np.uint8)
    outputs = model.predict(screens)
    assert {name: y.shape for name, y in outputs.items()} == {"policy": (3, 18), "value": (3, 1)}
    small = fc.models.atari_cnn(3, (1, 40, 36), dtype="float64", seed=1)
    assert small.output_shapes == ((3,), (1,))
    assert small.dtype == "float64"
    assert list(small.parameters())[:2] == ["conv1.weight", "conv1.bias"]


def test_both_heads_of_the_network_for_atari_learn():
    rng = np.random.default_rng(0)
    action = rng.integers(0, 3, 96)
    screens = rng.random((96, 1, 40, 40), np.float32)
    screens[:, 0, :10] += action[:, None, None]
    model = fc.models.atari_cnn(3, (1, 40, 40), seed=1)
    losses = {"policy": "cross_entropy", "value": "mse"}
    trainer = fc.Trainer(model, losses, fc.Adam(lr=1e-3), metrics=())
    y = {"policy": action, "value": action[:, None] - 1.0}
    history = trainer.fit(screens, y, epochs=12)
    for name in ("policy", "value"):
        assert history[f"{name}_loss"][-1] < history[f"{name}_loss"][0] / 2


def test_the_reference_network_is_the_one_to_check_by_hand():
    model = fc.models.reference_cnn()
    assert [type(layer).__name__ for layer in model.layers] == [
        "Conv2d", "ReLU", "MaxPool2d", "Flatten", "Dense", "Sigmoid",
    ]  # fmt: skip
    shapes = [model.input_shape, *(node.output_shape for node in model.nodes)]
    assert shapes == [(1, 6, 6), (1, 4, 4), (1, 4, 4), (1, 2, 2), (4,), (1,), (1,)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fc.models.lenet5(input_shape=(1, 8, 8)), "layer 3: .*kernel is larger"),
        (lambda: fc.models.lenet5(num_classes=0), "`out_features`"),
        (lambda: fc.models.vgg_small(dtype="float16"), "`dtype`"),
        (lambda: fc.models.fcn(2, (1, 8, 8)), r"series must be \(channels, length\), got \(1, 8, 8\)"),
        (lambda: fc.models.lite(2, 150), r"series must be \(channels, length\), got 150"),
        (lambda: fc.models.autoencoder((1, 640)), r"must be \(features,\), got \(1, 640\)"),
        (lambda: fc.models.mobilenet_v2(width=0.0), "`width` must be a number > 0, got 0.0"),
        (lambda: fc.models.unet(input_shape=(1, 64, 60)), "multiples of 8 for `depth` 3, got .1, 64, 60."),
        (lambda: fc.models.unet(depth=0), "`depth` must be an int >= 1, got 0"),
        (lambda: fc.models.time_cnn(2, (1, 5)), "layer 5: .*"),
    ],
)
def test_a_model_that_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "loss"), [(fc.models.reference_cnn, "bce"), (fc.models.lenet_digits, "cross_entropy")]
)
def test_a_model_learns_two_classes_of_images(make, loss):
    model = make(seed=1)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 200)
    X = rng.random((200, *model.input_shape)) * 0.4
    X[:, :, 0:3, 0:3] += 0.6 * y[:, None, None, None]
    history = fc.Trainer(model, loss=loss, optimizer=fc.Adam(0.02)).fit(X, y, epochs=30)
    assert history["accuracy"][-1] > 0.95
    assert history["loss"][-1] < history["loss"][0] / 2
