import numpy as np
import pytest

import fastconv as fc

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
MODELS = [
    (fc.models.reference_cnn, (1, 6, 6), (1,), 15),
    (fc.models.lenet5, (1, 28, 28), (10,), LENET5),
    (fc.models.lenet_digits, (1, 8, 8), (10,), LENET_DIGITS),
    (fc.models.vgg_small, (3, 32, 32), (10,), VGG_SMALL),
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


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (fc.models.lenet5, (3, 32, 32)),
        (fc.models.lenet_digits, (1, 12, 12)),
        (fc.models.vgg_small, (1, 28, 28)),
    ],
)
def test_number_of_classes_and_input_shape_can_be_chosen(make, shape):
    model = make(num_classes=4, input_shape=shape)
    assert model.output_shape == (4,)
    assert model.predict(np.zeros((2, *shape))).shape == (2, 4)


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
