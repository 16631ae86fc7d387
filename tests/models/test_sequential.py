"""Predictions, losses and gradients of a network."""

import numpy as np
import pytest

import fastconv as fc
from tests.models.every_layer import EVERY_LAYER, SHAPE

# predict


@pytest.mark.parametrize("batch_size", [1, 2, 15, 16, 17, 36, 37, 38, 1000])
def test_predictions_do_not_depend_on_the_batch_size(model, images, batch_size):
    np.testing.assert_array_equal(model.predict(images, batch_size=batch_size), model.predict(images))


def test_predictions_of_one_sample_are_its_predictions_among_others(model, images):
    whole = model.predict(images)
    for n in (0, 15, 16, 36):
        np.testing.assert_array_equal(model.predict(images[n : n + 1])[0], whole[n])


def strided(X):
    wide = np.full((2 * len(X), 3, 10, 16), np.nan, X.dtype)
    view = wide[::2, 1:2, 1:9, ::2]
    view[...] = X
    return view


def read_only(X):
    X = X.copy()
    X.setflags(write=False)
    return X


def unaligned(X):
    raw = np.zeros(X.nbytes + 1, np.uint8)[1:]
    view = (
        raw.view(X.dtype).reshape(X.shape)
        if raw.ctypes.data % X.itemsize == 0
        else np.frombuffer(raw.data, X.dtype).reshape(X.shape)
    )
    view[...] = X
    return view


FORMS = {
    "float64": lambda X: X.astype(np.float64),
    "float16": lambda X: X.astype(np.float16),
    "strided": strided,
    "strided float64": lambda X: strided(X.astype(np.float64)),
    "Fortran": np.asfortranarray,
    "reversed": lambda X: X[::-1, :, ::-1, ::-1].copy()[::-1, :, ::-1, ::-1],
    "transposed": lambda X: X.transpose(0, 1, 3, 2).copy().transpose(0, 1, 3, 2),
    "read-only": read_only,
    "unaligned": unaligned,
    "big-endian": lambda X: X.astype(">f4"),
    "a list": lambda X: X.tolist(),
    "grey without its channel": lambda X: X[:, 0],
    "strided without its channel": lambda X: strided(X)[:, 0],
}


@pytest.mark.parametrize("form", FORMS)
def test_predictions_are_those_of_the_same_numbers_in_any_form(model, images, form):
    images = np.round(images * 256).astype(np.float32) / 256  # numbers that float16 holds too
    np.testing.assert_array_equal(model.predict(FORMS[form](images)), model.predict(images))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bytes_are_divided_by_255(images, dtype):
    model = fc.Sequential([fc.Flatten()], (1, 8, 8), dtype=dtype)
    X = np.arange(4 * 64, dtype=np.uint8).reshape(4, 1, 8, 8)
    expected = (X.reshape(4, 64) / np.float64(255)).astype(dtype)
    np.testing.assert_array_equal(model.predict(X), expected)
    np.testing.assert_array_equal(model.predict(strided(X.astype(float)).astype(np.uint8)), expected)
    np.testing.assert_array_equal(model.predict(X[:, 0]), expected)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.int8, np.uint16, bool])
def test_other_integers_are_taken_as_they_are(dtype):
    model = fc.Sequential([fc.Flatten()], (1, 2, 2))
    X = np.array([0, 1, 1, 0, 1, 1, 1, 0]).reshape(2, 1, 2, 2)
    np.testing.assert_array_equal(model.predict(X.astype(dtype)), X.reshape(2, 4))


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_a_memory_mapped_file_is_read_as_an_array(model, tmp_path, dtype):
    X = np.random.default_rng(0).integers(0, 2, (40, 1, 8, 8)).astype(dtype)
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_array_equal(model.predict(mapped), model.predict(X))
    np.testing.assert_array_equal(model.predict(mapped[3:30:2]), model.predict(X[3:30:2]))


def test_the_samples_are_not_changed(model, images):
    before = images.copy()
    model.predict(images)
    model.loss_and_gradients(images, np.zeros(37, int))
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("shape", [(0, 1, 8, 8), (0, 8, 8)])
def test_no_samples_have_no_predictions(model, shape):
    output = model.predict(np.zeros(shape))
    assert output.shape == (0, 4)
    assert output.dtype == np.float32


def test_a_network_of_features_predicts_rows_and_single_numbers():
    model = fc.Sequential([fc.Dense(2)], (3,), dtype="float64")
    X = np.random.default_rng(0).random((20, 6))[:, ::2]
    weight, bias = model.parameters().values()
    np.testing.assert_allclose(model.predict(X), X @ weight.T + bias, rtol=1e-12)
    single = fc.Sequential([fc.Dense(1)], (1,), dtype="float64")
    np.testing.assert_array_equal(single.predict(X[:, 0]), single.predict(X[:, :1]))


def test_an_image_may_be_the_output():
    model = fc.Sequential([fc.Conv2d(2, 3, padding=1), fc.ReLU()], (1, 4, 5))
    output = model.predict(np.random.default_rng(0).random((17, 1, 4, 5)))
    assert output.shape == (17, 2, 4, 5)
    assert output.min() >= 0
    assert output.flags.c_contiguous


def test_predictions_leave_parameters_and_statistics_alone():
    model = fc.Sequential(EVERY_LAYER, SHAPE)
    before = model.state()
    X = np.random.default_rng(0).random((5, *SHAPE))
    first = model.predict(X)
    np.testing.assert_array_equal(model.predict(X), first)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_each_call_has_an_output_of_its_own(model, images):
    first = model.predict(images)
    kept = first.copy()
    model.predict(images[::-1])
    np.testing.assert_array_equal(first, kept)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_not_finite_spoils_only_its_own_prediction(model, images, value):
    expected = model.predict(images)
    spoiled = images.copy()
    spoiled[5, 0, 3, 3] = value
    output = model.predict(spoiled)
    assert not np.array_equal(output[5], expected[5])
    np.testing.assert_array_equal(np.delete(output, 5, 0), np.delete(expected, 5, 0))


def test_nan_is_not_hidden_by_relu_or_max_pool(model, images):
    images[7] = np.nan
    assert np.isnan(model.predict(images)[7]).all()


# loss_and_gradients


@pytest.mark.parametrize("loss", ["mse", "bce_with_logits", "cross_entropy"])
def test_losses_are_their_formulas_on_the_predictions(model, images, loss):
    z = model.predict(images).astype(np.float64)
    rng = np.random.default_rng(3)
    y = rng.integers(0, 4, 37) if loss == "cross_entropy" else rng.integers(0, 2, (37, 4))
    expected = {
        "mse": lambda: np.mean((z - y) ** 2),
        "bce_with_logits": lambda: np.mean(np.logaddexp(0, z) - z * y),
        "cross_entropy": lambda: np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(37), y]),
    }[loss]()
    value, gradients = model.loss_and_gradients(images, y, loss)
    assert isinstance(value, float)
    assert value == pytest.approx(expected, rel=1e-5)
    assert list(gradients) == list(model.parameters())


def test_gradients_are_copies_and_the_network_is_left_alone(images):
    model = fc.Sequential([fc.Conv2d(2, 3), fc.BatchNorm2d(), fc.Flatten(), fc.Dense(3)], (1, 8, 8))
    before = model.state()
    _, first = model.loss_and_gradients(images, np.arange(37) % 3)
    first["0.weight"][...] = 0
    _, second = model.loss_and_gradients(images, np.arange(37) % 3)
    assert (second["0.weight"] != 0).any()
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda m, X: m.predict(X[:, :, :7]),
            ValueError,
            r"`X` must have shape \(N, 1, 8, 8\), got \(37, 1, 7, 8\)",
        ),
        (lambda m, X: m.predict(X[0, 0]), ValueError, r"`X` must have shape \(N, 1, 8, 8\), got \(8, 8\)"),
        (lambda m, X: m.predict(X.reshape(37, 64)), ValueError, r"`X` must have shape .*got \(37, 64\)"),
        (lambda m, X: m.predict(3.0), ValueError, "`X` must be an array of samples, got a single number"),
        (
            lambda m, X: m.predict(X.astype(complex)),
            TypeError,
            "`X` must be an array of real numbers, got complex",
        ),
        (
            lambda m, X: m.predict(X.astype(object)),
            TypeError,
            "`X` must be an array of real numbers, got object",
        ),
        (lambda m, X: m.predict(X.astype(str)), TypeError, "`X` must be an array of real numbers"),
        (lambda m, X: m.predict(None), TypeError, "`X` must be an array of real numbers"),
        (lambda m, X: m.predict(X, batch_size=0), ValueError, "`batch_size` must be an int >= 1, got 0"),
        (lambda m, X: m.predict(X, batch_size=2.0), TypeError, "`batch_size` must be an int >= 1, got 2.0"),
        (
            lambda m, X: m.loss_and_gradients(X, [0] * 36),
            ValueError,
            r"`y` must have shape \(37,\).*got \(36,\)",
        ),
        (lambda m, X: m.loss_and_gradients(X, [4] * 37), ValueError, "`y` must be labels 0 to 3, got 4 to 4"),
        (
            lambda m, X: m.loss_and_gradients(X[:0], []),
            (ValueError, TypeError),
            "`X` must hold at least one|`y`",
        ),
        (
            lambda m, X: m.loss_and_gradients(X, [0] * 37, "nll"),
            ValueError,
            "`loss` must be one of 'bce', .*'nll'",
        ),
        (lambda m, X: m.loss_and_gradients(X, [0] * 37, "mse"), ValueError, r"`y` must have shape \(37, 4\)"),
        (
            lambda m, X: m.loss_and_gradients(X, np.full((37, 4), 2), "bce"),
            ValueError,
            "`y` must be between 0 and 1",
        ),
    ],
)
def test_wrong_arguments_are_refused_by_name(model, images, call, error, message):
    with pytest.raises(error, match=message):
        call(model, images)


def test_cross_entropy_needs_at_least_two_classes():
    with pytest.raises(
        ValueError, match=r'`loss` "cross_entropy" needs an output of at least 2 features, got \(1,\)'
    ):
        fc.models.reference_cnn().loss_and_gradients(np.zeros((1, 1, 6, 6)), [0])
