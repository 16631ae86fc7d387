"""The scikit-learn estimators: scikit-learn's own checks, and what those do not ask."""

import doctest
import io
import pickle
import subprocess
import sys
from contextlib import redirect_stdout

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastconv as fc
from fastconv.estimators import base
from fastconv.estimators.classifier import ConvClassifier
from fastconv.estimators.regressor import ConvRegressor

DIGITS, LABELS = load_digits(return_X_y=True)
DIGITS, LABELS = (DIGITS[:400] / 16).astype(np.float32), LABELS[:400]
IMAGES = DIGITS.reshape(-1, 8, 8)
ODD = LABELS % 2
FEW = 60


def classifier(**parameters):
    return ConvClassifier(**{"epochs": 3, "random_state": 0, **parameters})


def regressor(**parameters):
    return ConvRegressor(**{"epochs": 3, "random_state": 0, **parameters})


@parametrize_with_checks([ConvClassifier(), ConvRegressor()])
def test_scikit_learns_own_check_passes(estimator, check):
    check(estimator)


# The module


def test_the_examples_are_right():
    assert doctest.testmod(base).failed == 0
    assert doctest.testmod(fc.weights).failed == 0


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
    assert 'pip install "fastconv[sklearn]"' in done.stderr


def test_other_names_are_still_unknown():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        fc.nothing  # noqa: B018


# Labels


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["even", "odd"]),
        np.array(["even", "odd"], object),
        np.array([False, True]),
        np.array([-7, 3]),
        np.array([1.0, 2.0]),
    ],
    ids=["str", "object", "bool", "int", "float"],
)
def test_labels_of_any_type_come_back_as_they_were(labels):
    y = labels[ODD]
    fitted = classifier(epochs=10).fit(IMAGES, y)
    np.testing.assert_array_equal(fitted.classes_, labels)
    assert fitted.predict(IMAGES).dtype == y.dtype
    assert fitted.score(IMAGES, y) > 0.9
    np.testing.assert_array_equal(
        fitted.predict_proba(IMAGES), classifier(epochs=10).fit(IMAGES, ODD).predict_proba(IMAGES)
    )


def test_many_classes_probabilities_and_logits_agree():
    fitted = classifier(epochs=20, learning_rate=0.003).fit(IMAGES, LABELS)
    assert fitted.score(IMAGES, LABELS) > 0.95
    probabilities, logits = fitted.predict_proba(IMAGES), fitted.decision_function(IMAGES)
    assert probabilities.shape == logits.shape == (400, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(fitted.classes_[logits.argmax(axis=1)], fitted.predict(IMAGES))
    np.testing.assert_allclose(fitted.predict_log_proba(IMAGES), np.log(probabilities))


@pytest.mark.parametrize("ending", [[fc.Dense(1)], [fc.Dense(1), fc.Sigmoid()]])
def test_two_classes_need_one_output_and_a_last_activation_makes_no_difference(ending):
    fitted = classifier(layers=[fc.Flatten(), *ending]).fit(IMAGES, ODD)
    plain = classifier(layers=[fc.Flatten(), fc.Dense(1)]).fit(IMAGES, ODD)
    assert fitted.decision_function(IMAGES).shape == (400,)
    np.testing.assert_array_equal(fitted.predict_proba(IMAGES), plain.predict_proba(IMAGES))


def test_two_classes_may_have_two_outputs():
    fitted = classifier(layers=[fc.Flatten(), fc.Dense(2), fc.Softmax()]).fit(IMAGES, ODD)
    np.testing.assert_array_equal(fitted.predict(IMAGES), fitted.decision_function(IMAGES) > 0)
    np.testing.assert_array_equal(fitted.predict(IMAGES), fitted.predict_proba(IMAGES).argmax(axis=1))


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
    model = fc.Sequential(base.default_layers((3, *size), 4), (3, *size))
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


# Training


def test_an_int_gives_the_same_bits_again_and_none_gives_others():
    first, second = (classifier(epochs=1).fit(IMAGES, LABELS).predict_proba(IMAGES) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    state = np.random.RandomState(0)
    np.testing.assert_array_equal(
        first, classifier(epochs=1, random_state=state).fit(IMAGES, LABELS).predict_proba(IMAGES)
    )
    other = classifier(epochs=1, random_state=None).fit(IMAGES, LABELS).predict_proba(IMAGES)
    assert (other != first).any()


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", fc.SGD(lr=0.1, momentum=0.9)])
def test_optimizers_are_names_or_records(optimizer):
    fitted = classifier(optimizer=optimizer, learning_rate=0.05, epochs=1).fit(IMAGES, LABELS)
    assert fitted.history_["learning_rate"] == [0.05 if isinstance(optimizer, str) else 0.1]


def test_a_learning_rate_may_be_a_schedule():
    fitted = classifier(learning_rate=fc.CosineDecay(0.01)).fit(IMAGES, LABELS)
    assert fitted.history_["learning_rate"][-1] < 0.001


def test_early_stopping_holds_samples_out_and_keeps_the_best_epoch():
    fitted = classifier(epochs=200, learning_rate=0.02, early_stopping=True, patience=2).fit(IMAGES, LABELS)
    losses = fitted.history_["val_loss"]
    assert fitted.n_iter_ == len(losses) < 200
    assert np.argmin(losses) == len(losses) - 3
    assert "val_accuracy" in fitted.history_
    assert "val_loss" in regressor(early_stopping=True).fit(IMAGES, LABELS).history_


def test_a_warm_start_goes_on_and_a_cold_one_begins_anew():
    warm = classifier(warm_start=True).fit(IMAGES, LABELS)
    model, loss = warm.model_, warm.history_["loss"][-1]
    warm.set_params(learning_rate=0.0005).fit(IMAGES, LABELS)
    assert warm.model_ is model
    assert warm.n_iter_ == 6
    assert warm.history_["loss"][-1] < loss
    assert warm.history_["learning_rate"][-1] == 0.0005
    with pytest.raises(ValueError, match=r"y must have labels of the classes .* got also \['x'\]"):
        warm.fit(IMAGES[:2], ["x", "x"])
    cold = classifier().fit(IMAGES, LABELS)
    assert cold.fit(IMAGES, LABELS).n_iter_ == 3


def test_partial_fit_learns_from_parts_that_lack_classes():
    fitted = classifier(learning_rate=0.003)
    for _ in range(20):
        for part in np.array_split(np.argsort(LABELS % 5, kind="stable"), 3):
            fitted.partial_fit(IMAGES[part], LABELS[part], classes=np.arange(10))
    assert fitted.n_iter_ == 60
    assert fitted.score(IMAGES, LABELS) > 0.9
    orders = [classifier().partial_fit(IMAGES, LABELS, np.arange(10)) for _ in range(2)]
    np.testing.assert_array_equal(*(each.predict_proba(IMAGES) for each in orders))


def test_the_wrong_classes_are_refused_by_partial_fit():
    with pytest.raises(ValueError, match="`classes` must be given in the first call"):
        classifier().partial_fit(IMAGES, LABELS)
    fitted = classifier().partial_fit(IMAGES, LABELS, classes=range(10))
    with pytest.raises(ValueError, match="`classes` must stay as they were"):
        fitted.partial_fit(IMAGES, LABELS, classes=range(11))
    with pytest.raises(ValueError, match='"balanced" needs all samples at once'):
        classifier(class_weight="balanced").partial_fit(IMAGES, LABELS, classes=range(10))


@pytest.mark.parametrize("make", [classifier, regressor])
def test_only_the_proportions_of_weights_matter_and_weight_0_removes(make):
    weight = np.random.default_rng(0).integers(0, 3, 400)
    fitted, doubled = (
        make().fit(IMAGES, LABELS, sample_weight=w).predict(IMAGES) for w in (weight, 2 * weight)
    )
    np.testing.assert_array_equal(fitted, doubled)
    kept = weight > 0
    removed = make().fit(IMAGES[kept], LABELS[kept], weight[kept]).predict(IMAGES)
    np.testing.assert_array_equal(fitted, removed)


@pytest.mark.parametrize("make", [classifier, regressor])
def test_a_weight_is_a_repetition_where_a_step_takes_all_samples(make):
    weight = np.random.default_rng(0).integers(0, 4, FEW)
    X, y = DIGITS[:FEW].astype(np.float64), LABELS[:FEW] / 9 if make is regressor else LABELS[:FEW]
    weighted = make(batch_size=1000, epochs=20).fit(X, y, sample_weight=weight)
    repeated = make(batch_size=1000, epochs=20).fit(X.repeat(weight, axis=0), y.repeat(weight))
    np.testing.assert_allclose(weighted.predict(X), repeated.predict(X), rtol=1e-9)
    assert weighted.score(X, y, sample_weight=weight) == pytest.approx(
        repeated.score(X.repeat(weight, axis=0), y.repeat(weight))
    )


def test_class_weights_are_sample_weights_by_label():
    y = np.array(["even", "odd"])[ODD]
    by_class = classifier(class_weight={"odd": 3}).fit(IMAGES, y)
    by_sample = classifier().fit(IMAGES, y, sample_weight=np.where(y == "odd", 3, 1))
    np.testing.assert_array_equal(by_class.predict_proba(IMAGES), by_sample.predict_proba(IMAGES))
    rare = np.flatnonzero((ODD == 0) | (np.arange(400) % 10 == 0))
    shares = [
        (classifier(class_weight=w, epochs=5).fit(IMAGES[rare], y[rare]).predict(IMAGES) == "odd").mean()
        for w in (None, "balanced")
    ]
    assert shares[0] < shares[1]


# Regression


def test_numbers_are_learnt_from_images():
    y = IMAGES.mean(axis=(1, 2)) * 10
    assert regressor(epochs=40).fit(IMAGES, y).score(IMAGES, y) > 0.9


@pytest.mark.parametrize("shape", [(), (1,), (2,)])
def test_predictions_have_the_targets_shape(shape):
    y = np.random.default_rng(0).random((400, *shape))
    fitted = regressor().fit(IMAGES, y)
    assert fitted.predict(IMAGES).shape == y.shape
    with pytest.raises(ValueError, match="y must have shape"):
        fitted.partial_fit(IMAGES, np.zeros((400, 3)))


def test_partial_fit_of_a_regressor_goes_on():
    fitted = regressor(learning_rate=0.003)
    for _ in range(30):
        fitted.partial_fit(IMAGES, ODD)
    assert fitted.n_iter_ == 30
    assert fitted.score(IMAGES, ODD) > 0.5


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
        ({"optimizer": "lbfgs"}, ValueError, "`optimizer` must be one of sgd, adam, adamw, got 'lbfgs'"),
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


# Augmentation


@pytest.mark.parametrize("estimator", [classifier, regressor])
def test_training_images_are_augmented_and_held_out_ones_are_not(estimator):
    changes = fc.Augment(noise=0.5)
    still = {"learning_rate": 0.0, "early_stopping": True, "epochs": 2, "batch_size": 400}
    plain = estimator(**still).fit(IMAGES, LABELS).history_
    augmented = estimator(**still, augment=changes).fit(IMAGES, LABELS).history_
    assert augmented["val_loss"] == plain["val_loss"]
    assert not set(plain["loss"]) & set(augmented["loss"])
    copied = clone(estimator(augment=changes))
    assert copied.get_params()["augment"] == changes


def test_tables_are_not_augmented():
    with pytest.raises(ValueError, match=r"`augment` changes images .*samples of \(64,\)"):
        classifier(augment=fc.Augment(shift=1)).fit(DIGITS, LABELS)


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
