"""What both estimators do: scikit-learn's own checks, layers, samples, messages, copies."""

import io
import pickle
import re
import subprocess
import sys
import warnings
from contextlib import redirect_stdout

import numpy as np
import pytest

pytest.importorskip("sklearn")
import joblib
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastconv as fc
from fastconv.estimators import networks
from fastconv.estimators.classifier import ConvClassifier
from fastconv.estimators.regressor import ConvRegressor
from tests.estimators.digits import (
    DIGITS,
    FEW,
    IMAGES,
    LABELS,
    classifier,
)


@parametrize_with_checks([ConvClassifier(), ConvRegressor()])
def test_scikit_learns_own_check_passes(estimator, check):
    check(estimator)


# The module


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_the_package_loads_scikit_learn_only_when_the_estimators_are_asked_for():
    code = """
import sys, fastconv as fc
assert "sklearn" not in sys.modules
fc.estimators.ConvClassifier
assert "sklearn" in sys.modules
"""
    done = run(code)
    assert done.returncode == 0, done.stderr


def test_without_scikit_learn_the_error_names_the_extra():
    done = run("import sys; sys.modules['sklearn'] = None\nimport fastconv as fc\nfc.estimators")
    assert done.stderr.splitlines()[-1].startswith("ImportError: fastconv.estimators needs scikit-learn")
    assert 'pip install "scikit-learn>=1.6" (the extra "sklearn"' in done.stderr


def test_other_names_are_still_unknown():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fc.nothing  # noqa: B018


# Layers and samples


def callable_layers(input_shape, n_outputs):
    assert input_shape == (1, 8, 8)
    return [fc.Flatten(), fc.Dense(n_outputs)]


@pytest.mark.parametrize(
    "layers",
    [
        None,
        "lenet_digits",
        "vgg_small",
        callable_layers,
        [fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(10)],
        (fc.Flatten(), fc.Dense(10), fc.Softmax()),
    ],
)
def test_layers_are_given_in_many_ways(layers):
    fitted = classifier(layers=layers, epochs=1).fit(IMAGES[:FEW], LABELS[:FEW])
    assert fitted.model_.output_shape == (10,)
    assert fitted.predict_proba(IMAGES[:3]).shape == (3, 10)


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (8, 8), (28, 28), (64, 48)])
def test_the_default_network_takes_images_of_any_size(size):
    model = fc.Sequential(networks.default_layers((3, *size), 4), (3, *size))
    assert model.output_shape == (4,)
    assert model.num_parameters < 300_000


@pytest.mark.parametrize(
    "form",
    [
        lambda images: images,
        lambda images: images[:, None],
        lambda images: images.reshape(len(images), 64),
        lambda images: np.asfortranarray(images),
        lambda images: np.repeat(images, 2, axis=0)[::2],
    ],
    ids=["NHW", "NCHW", "rows", "fortran", "strided"],
)
def test_images_of_any_form_train_the_same_network_and_are_predicted_in_any_form(form):
    fitted = classifier(input_shape=(8, 8), epochs=1).fit(form(IMAGES), LABELS)
    wanted = classifier(epochs=1).fit(IMAGES, LABELS)
    assert fitted.n_features_in_ == 64
    np.testing.assert_array_equal(fitted.predict_proba(IMAGES), wanted.predict_proba(form(IMAGES)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8, np.int64, bool])
def test_samples_of_any_dtype_are_taken(dtype):
    X = (IMAGES * 255).astype(dtype)
    fitted = classifier(epochs=1).fit(X, LABELS)
    assert fitted.model_.dtype == ("float64" if dtype == np.float64 else "float32")
    assert classifier(epochs=1, dtype="float64").fit(X, LABELS).model_.dtype == "float64"


def test_bytes_are_divided_by_255():
    bytes_ = np.round(IMAGES * 255).astype(np.uint8)
    fitted, wanted = (
        classifier(epochs=1, dtype="float32").fit(X, LABELS)
        for X in (bytes_, bytes_.astype(np.float32) / 255)
    )
    np.testing.assert_allclose(fitted.predict_proba(bytes_), wanted.predict_proba(bytes_), atol=1e-6)


def test_a_memory_mapped_file_is_taken(tmp_path):
    np.save(tmp_path / "X.npy", IMAGES)
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    fitted = classifier(epochs=1).fit(X, LABELS)
    wanted = classifier(epochs=1).fit(IMAGES, LABELS)
    np.testing.assert_array_equal(fitted.predict_proba(X), wanted.predict_proba(IMAGES))


def test_names_of_columns_are_kept_and_checked():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(DIGITS, columns=[f"pixel{k}" for k in range(64)])
    fitted = classifier(epochs=1).fit(table, LABELS)
    assert list(fitted.feature_names_in_) == list(table.columns)
    with pytest.raises(ValueError, match="feature names"):
        fitted.predict(table.rename(columns={"pixel0": "other"}))
    assert not hasattr(fitted.fit(IMAGES, LABELS), "feature_names_in_")


# What is said


@pytest.mark.parametrize(("verbose", "lines"), [(0, 0), (1, 3), (2, 3)])
def test_verbose_decides_what_is_printed(verbose, lines):
    with redirect_stdout(io.StringIO()) as said:
        classifier(verbose=verbose).fit(IMAGES, LABELS)
    assert said.getvalue().count("epoch") == lines


@pytest.mark.parametrize(("verbose", "bar"), [(0, False), (1, True), (2, False)])
def test_verbose_1_draws_a_bar_on_a_terminal(verbose, bar, monkeypatch):
    pytest.importorskip("tqdm")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with redirect_stdout(io.StringIO()) as said:
        classifier(verbose=verbose).fit(IMAGES, LABELS)
    assert ("samples/s" in terminal.getvalue()) is bar
    assert said.getvalue().count("loss") == (3 if verbose else 0)


@pytest.mark.parametrize(
    ("parameters", "error", "message"),
    [
        ({"layers": "resnet"}, ValueError, "`layers` must be one of lenet5, lenet_digits, vgg_small, got"),
        ({"layers": 3}, TypeError, "`layers` must be None, a name, a list of layers or a function"),
        ({"layers": [fc.Flatten(), fc.Dense(3)]}, ValueError, r"output of shape \(10,\) for 10 classes, got"),
        ({"layers": [fc.Dense(10)]}, ValueError, "layer 0"),
        ({"input_shape": (1, 4, 4)}, ValueError, r"`input_shape` \(1, 4, 4\) does not fit X"),
        ({"input_shape": (4, 4, 4)}, ValueError, r"`input_shape` \(4, 4, 4\) does not fit X"),
        ({"input_shape": 8}, ValueError, r"`input_shape` must be \(C, H, W\) or \(H, W\), got 8"),
        (
            {"optimizer": "lbfgs"},
            ValueError,
            "`optimizer` must be one of sgd, adam, adamw, rmsprop, lion, got 'lbfgs'",
        ),
        ({"learning_rate": -1}, ValueError, "`lr` must be a number >= 0"),
        ({"epochs": 0}, ValueError, "`epochs` must be an int >= 1, got 0"),
        ({"batch_size": 0.5}, TypeError, "`batch_size` must be an int >= 1, got 0.5"),
        ({"dtype": "int8"}, ValueError, '`dtype` must be "float32" or "float64", got'),
        ({"class_weight": {77: 1}}, ValueError, "`class_weight` must have labels of the classes .* got 77"),
        ({"class_weight": "most"}, TypeError, '`class_weight` must be None, "balanced" or a dict'),
        ({"early_stopping": True, "patience": 0}, ValueError, "`patience` must be an int >= 1, got 0"),
        (
            {"early_stopping": True, "validation_fraction": 0.0},
            ValueError,
            "`validation_fraction` must be a number > 0 and < 1, got 0.0",
        ),
    ],
)
def test_parameters_that_do_not_fit_are_refused_by_name(parameters, error, message):
    with pytest.raises(error, match=message):
        classifier(**parameters).fit(IMAGES, LABELS)


def test_samples_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"X must have 2, 3 or 4 axes"):
        classifier().fit(IMAGES[:, None, None], LABELS)
    with pytest.raises(ValueError, match="got one class: 5"):
        classifier().fit(IMAGES, np.full(400, 5))
    fitted = classifier(epochs=1).fit(IMAGES, LABELS)
    with pytest.raises(
        ValueError, match=r"samples of shape \(4, 8\), but ConvClassifier is expecting \(1, 8, 8\)"
    ):
        fitted.predict(IMAGES[:, ::2])
    with pytest.raises(ValueError, match="X has 32 features, but ConvClassifier is expecting 64"):
        fitted.predict(DIGITS[:, ::2])


# In scikit-learn's company


def test_clones_have_the_parameters_and_nothing_learnt():
    original = classifier(layers=[fc.Flatten(), fc.Dense(10)], optimizer=fc.Adam(lr=0.01)).fit(IMAGES, LABELS)
    copied = clone(original)
    assert copied.get_params() == original.get_params()
    assert not hasattr(copied, "model_")


def through_joblib(fitted, tmp_path):
    joblib.dump(fitted, tmp_path / "fitted.joblib")
    return joblib.load(tmp_path / "fitted.joblib", mmap_mode="r")


@pytest.mark.parametrize(
    "copied", [lambda fitted, _: pickle.loads(pickle.dumps(fitted)), through_joblib], ids=["pickle", "joblib"]
)
def test_a_pickled_estimator_predicts_and_goes_on_with_the_same_bits(copied, tmp_path):
    fitted = classifier(warm_start=True).fit(IMAGES, LABELS)
    again = copied(fitted, tmp_path)
    np.testing.assert_array_equal(again.predict_proba(IMAGES), fitted.predict_proba(IMAGES))
    for each in (fitted, again):
        each.partial_fit(IMAGES, LABELS)
    np.testing.assert_array_equal(again.predict_proba(IMAGES), fitted.predict_proba(IMAGES))


def test_a_pipeline_is_searched_by_two_processes():
    search = GridSearchCV(
        make_pipeline(MinMaxScaler(), classifier(input_shape=(8, 8), layers=callable_layers)),
        {"convclassifier__learning_rate": [1e-6, 0.01], "convclassifier__batch_size": [16]},
        cv=2,
        n_jobs=2,
        error_score="raise",
    ).fit(DIGITS, LABELS)
    assert search.best_params_["convclassifier__learning_rate"] == 0.01
    assert search.score(DIGITS, LABELS) > 0.7


def test_cross_validation_scores_every_fold():
    scores = cross_val_score(classifier(epochs=15), IMAGES, LABELS, cv=3, error_score="raise")
    assert scores.shape == (3,)
    assert scores.min() > 0.7


# Layouts and scales


@pytest.mark.parametrize("kind", [fc.estimators.ConvClassifier, fc.estimators.ConvRegressor])
def test_images_with_their_channels_last_are_refused_with_the_way_out(kind):
    X, y = np.random.default_rng(0).random((10, 9, 9, 3)), np.arange(10) % 2
    hint = r": channels come first, so give X\.transpose\(0, 3, 1, 2\)"
    for estimator in (kind(epochs=1), kind(input_shape=(3, 9, 9), epochs=1)):
        with pytest.raises(ValueError, match=hint):
            estimator.fit(X, y)
    estimator = kind(epochs=1).fit(X.transpose(0, 3, 1, 2), y)
    with pytest.raises(ValueError, match=hint):
        estimator.predict(X)


@pytest.mark.parametrize(
    ("features", "shape"), [(64, "(1, 8, 8)"), (784, "(1, 28, 28)"), (3072, "(3, 32, 32)")]
)
def test_rows_that_may_be_images_are_said_once_with_the_ways_out(features, shape):
    X, y = np.zeros((6, features)), np.arange(6) % 2
    with pytest.warns(fc.estimators.FlatImagesWarning, match=f"`input_shape`={re.escape(shape)}") as said:
        fc.estimators.ConvClassifier(epochs=1).fit(X, y).predict(X)
    assert len(said) == 1
    assert said[0].filename == __file__
    image = tuple(int(n) for n in shape.strip("()").split(","))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for input_shape in ((features,), image):
            fc.estimators.ConvClassifier(input_shape=input_shape, epochs=1).fit(X, y)
        fc.estimators.ConvRegressor([fc.Dense(1)], epochs=1).fit(X, y)


@pytest.mark.parametrize("features", [4, 9, 49, 63, 65, 128, 3 * 49])
def test_other_rows_say_nothing(features):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fc.estimators.ConvRegressor(epochs=1).fit(np.zeros((6, features)), np.arange(6.0))


def test_images_of_ints_are_said_by_estimators_too():
    X, y = np.arange(6 * 64).reshape(6, 8, 8) % 256, np.arange(6) % 2
    with pytest.warns(UserWarning, match="images of int64 are not divided by 255"):
        fc.estimators.ConvClassifier(epochs=1).fit(X, y)
