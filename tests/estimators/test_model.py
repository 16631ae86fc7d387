"""Whole networks as estimators: by name, from a function, or as they are; images and time series."""

import pickle
import warnings
from dataclasses import dataclass

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastconv as fc
from fastconv.estimators.classifier import ConvClassifier
from fastconv.estimators.networks import IMAGES, SERIES
from fastconv.estimators.regressor import ConvRegressor
from tests.estimators.digits import IMAGES as DIGITS
from tests.estimators.digits import LABELS


def waves(count, length=40, channels=None, classes=3, seed=0):
    """Noisy series, of which each class has a frequency of its own; and the classes."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, count)
    phases = rng.uniform(0, 2 * np.pi, (count, channels or 1, 1))
    turns = (2 + 3 * y)[:, None, None] * np.linspace(0, 2 * np.pi, length)
    X = np.sin(turns + phases) + 0.1 * rng.standard_normal((count, channels or 1, length))
    return X.astype(np.float32) if channels else X[:, 0].astype(np.float32), y


def small_fcn(input_shape, n_outputs):
    layers = [fc.Conv1d(16, 7, padding="same"), fc.ReLU(), fc.GlobalAvgPool1d(), fc.Flatten()]
    return fc.Sequential([*layers, fc.Dense(n_outputs)], input_shape)


def small_conv(input_shape, n_outputs):
    layers = [fc.Conv1d(8, 3, padding="same"), fc.ReLU(), fc.Flatten(), fc.Dense(32), fc.ReLU()]
    return fc.Sequential([*layers, fc.Dense(n_outputs)], input_shape)


def two_ways(input_shape, n_outputs):
    """A network that is no row."""
    x = fc.Input(input_shape)
    ends = [fc.GlobalAvgPool1d()(fc.ReLU()(fc.Conv1d(8, k, padding="same")(x))) for k in (3, 9)]
    return fc.Model(x, fc.Dense(n_outputs)(fc.Flatten()(fc.Concatenate()(ends))))


def of_features(input_shape, n_outputs):
    return fc.Sequential([fc.Dense(32), fc.ReLU(), fc.Dense(n_outputs)], input_shape)


def returns_layers(input_shape, n_outputs):
    return [fc.Flatten(), fc.Dense(n_outputs)]


def ends_in_softmax(input_shape, n_outputs):
    return fc.Sequential([fc.Flatten(), fc.Dense(n_outputs), fc.Softmax()], input_shape)


def two_heads(input_shape, n_outputs):
    x = fc.Input(input_shape)
    y = fc.Flatten()(x)
    return fc.Model(x, [fc.Dense(n_outputs)(y), fc.Dense(1)(y)])


def classifier(model, **settings):
    return ConvClassifier(**{"model": model, "epochs": 1, "random_state": 0, "dtype": "float32", **settings})


@dataclass(frozen=True)
class Maker:
    """A function of this module, by name: its text, of which names of tests are made, has no address."""

    name: str

    def __call__(self, input_shape, n_outputs):
        return globals()[self.name](input_shape, n_outputs)


@parametrize_with_checks(
    [
        ConvClassifier(model=Maker("small_fcn"), epochs=60, learning_rate=0.02),
        ConvRegressor(model=Maker("small_conv"), epochs=60, learning_rate=0.02),
    ]
)
def test_scikit_learns_own_check_passes(estimator, check):
    check(estimator)


# Names


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("channels", [None, 1, 3])
def test_a_network_for_time_series_is_taken_by_name(name, channels):
    X, y = waves(12, channels=channels)
    fitted = classifier(name).fit(X, y)
    assert fitted.model_.input_shape == (channels or 1, 40)
    assert fitted.model_.output_shape == (3,)
    assert fitted.predict_proba(X).shape == (12, 3)
    assert fitted.n_features_in_ == 40 * (channels or 1)


@pytest.mark.parametrize("name", IMAGES)
def test_a_network_for_images_is_taken_by_name(name):
    X, y = np.random.default_rng(0).random((6, 3, 40, 44)), np.arange(6) % 2
    fitted = classifier(name).fit(X, y)
    assert fitted.model_.output_shape == (2,)
    assert fitted.decision_function(X).shape == (6,)
    rows = classifier(name, input_shape=(3, 40, 44)).fit(X.reshape(6, -1), y)
    np.testing.assert_array_equal(rows.predict_proba(X), fitted.predict_proba(X))


def test_grey_images_may_leave_out_their_channel():
    grey = classifier("lenet_digits").fit(DIGITS, LABELS)
    assert grey.model_.input_shape == (1, 8, 8)
    wanted = ConvClassifier("lenet_digits", epochs=1, random_state=0, dtype="float32").fit(DIGITS, LABELS)
    np.testing.assert_array_equal(grey.predict_proba(DIGITS), wanted.predict_proba(DIGITS))


def test_every_network_that_tells_classes_apart_has_its_name_here():
    """The others: the one to check by hand has one output for good, an autoencoder has no classes, ..."""
    others = {"atari_cnn", "autoencoder", "reference_cnn", "unet"}
    others |= {"Model", "Sequential", "from_onnx", "from_torch", "load"}
    assert {*IMAGES, *SERIES} == set(fc.models.__all__) - others


def test_series_are_learned():
    X, y = waves(300)
    fitted = classifier("time_cnn", epochs=40, learning_rate=0.01).fit(X[:200], y[:200])
    assert fitted.score(X[200:], y[200:]) > 0.9


def test_numbers_are_predicted_from_series():
    X, y = waves(300, classes=8)
    fitted = ConvRegressor(model=small_fcn, epochs=60, learning_rate=0.02, random_state=0).fit(
        X[:200], y[:200]
    )
    assert fitted.model_.output_shape == (1,)
    assert fitted.score(X[200:], y[200:]) > 0.5
    several = ConvRegressor(model="lite", epochs=1).fit(X, np.stack([y, -y], axis=1))
    assert several.predict(X).shape == (300, 2)


@pytest.mark.parametrize("make", [fc.models.mnist1d_cnn, fc.models.lenet_digits])
def test_a_function_of_the_models_is_its_name(make):
    X, y = (DIGITS, LABELS) if make is fc.models.lenet_digits else waves(40)
    fitted, wanted = (classifier(model).fit(X, y) for model in (make, make.__name__))
    np.testing.assert_array_equal(fitted.predict_proba(X), wanted.predict_proba(X))


# Functions and networks


@pytest.mark.parametrize("model", [small_fcn, two_ways])
def test_a_function_makes_the_network(model):
    X, y = waves(60)
    fitted = classifier(model, epochs=3).fit(X, y)
    assert type(fitted.model_) is type(model((1, 40), 3))
    assert fitted.model_.classes == [0, 1, 2]


@pytest.mark.parametrize(
    ("model", "input_shape", "wanted"),
    [
        (small_fcn, None, (1, 40)),
        (small_fcn, (2, 20), (2, 20)),
        (of_features, (40,), (40,)),
        (returns_layers, (1, 5, 8), None),
    ],
)
def test_input_shape_says_what_rows_are(model, input_shape, wanted):
    X, y = waves(20)
    estimator = classifier(model, input_shape=input_shape)
    if wanted is None:
        with pytest.raises(TypeError, match="`model` must be a function that returns a network, and it"):
            estimator.fit(X, y)
        return
    fitted = estimator.fit(X, y)
    assert fitted.model_.input_shape == wanted
    np.testing.assert_array_equal(fitted.predict(X), fitted.predict(X.reshape(20, *wanted)))


def test_a_copy_of_a_network_is_trained():
    X, y = waves(60)
    network = small_fcn((1, 40), 3)
    before = network.state()
    fitted = classifier(network).fit(X, y)
    assert fitted.model_ is not network
    assert all((network.state()[name] == array).all() for name, array in before.items())
    assert (fitted.model_.flat_parameters != network.flat_parameters).any()


def test_a_trained_network_is_trained_further_and_an_untrained_one_drawn_anew():
    X, y = waves(60)
    network = small_fcn((1, 40), 3)
    weak = {"learning_rate": 1e-30, "epochs": 1}  # leaves parameters as they are
    drawn = [classifier(network, random_state=seed, **weak).fit(X, y).model_ for seed in (0, 1)]
    assert (drawn[0].flat_parameters != drawn[1].flat_parameters).any()
    fc.Trainer(network).fit(X[:, None], y, epochs=1)
    for seed in (0, 1):
        kept = classifier(network, random_state=seed, **weak).fit(X, y).model_
        np.testing.assert_array_equal(kept.flat_parameters, network.flat_parameters)


@pytest.mark.parametrize("model", [small_fcn, "lite"])
def test_the_dtype_is_that_of_x_or_the_one_asked_for(model):
    X, y = waves(20)
    for given, dtype, wanted in (
        ("f4", None, "float32"),
        ("f8", None, "float64"),
        ("f8", "float32", "float32"),
    ):
        assert classifier(model, dtype=dtype).fit(X.astype(given), y).model_.dtype == wanted


def test_a_network_keeps_its_dtype():
    X, y = waves(20)
    for dtype in ("float32", "float64"):
        network = fc.models.lite(3, (1, 40), dtype)
        assert classifier(network, dtype=None).fit(X.astype(float), y).model_.dtype == dtype
    assert classifier(network, dtype="float32").fit(X, y).model_.dtype == "float32"


@pytest.mark.parametrize("model", ["lite", fc.models.lite(3, (1, 40))], ids=["name", "network"])
def test_what_is_frozen_in_a_network_stays_as_it_is(model):
    X, y = waves(20)
    fitted = classifier(model).fit(X, y).model_
    assert fitted.parameters()["0.3.0.0.0.weight"].tolist() == [[[-1.0, 1.0]]]
    assert fitted.frozen == {f"0.3.0.{number}.0" for number in range(17)}


def test_no_row_of_numbers_is_said_to_be_an_image_where_it_is_a_series():
    X, y = waves(20, length=64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        classifier(small_fcn).fit(X, y)


# In scikit-learn's company


@pytest.mark.parametrize(
    "model", ["time_cnn", small_fcn, fc.models.time_cnn(3, (1, 40))], ids=["name", "function", "network"]
)
def test_estimators_are_cloned_pickled_and_go_on(model):
    X, y = waves(40)
    original = classifier(model, warm_start=True).fit(X, y)
    copied = clone(original)
    assert not hasattr(copied, "model_")
    again = copied.fit(X, y)
    np.testing.assert_array_equal(again.predict_proba(X), original.predict_proba(X))
    thawed = pickle.loads(pickle.dumps(original))
    for each in (original, thawed):
        each.fit(X, y)
    np.testing.assert_array_equal(thawed.predict_proba(X), original.predict_proba(X))


def test_networks_are_searched_in_pipelines():
    X, y = waves(90)
    pipeline = make_pipeline(StandardScaler(), classifier("fcn", epochs=12, learning_rate=0.01))
    search = GridSearchCV(
        pipeline, {"convclassifier__model": ["mnist1d_cnn", small_fcn]}, cv=2, n_jobs=2, error_score="raise"
    ).fit(X, y)
    assert search.best_score_ > 0.5


def test_networks_are_bagged():
    X, y = waves(40)
    bag = BaggingClassifier(classifier("mnist1d_cnn"), n_estimators=2, random_state=0).fit(X, y)
    assert bag.predict(X).shape == (40,)


def test_parts_of_the_data_are_learned_one_after_the_other():
    X, y = waves(60)
    fitted = classifier("mnist1d_cnn")
    for part in (slice(30), slice(30, 60)):
        fitted.partial_fit(X[part], y[part], classes=[0, 1, 2])
    assert fitted.n_iter_ == 2


def test_early_stopping_and_weights_work_with_networks():
    X, y = waves(60)
    fitted = classifier(two_ways, early_stopping=True, class_weight="balanced", epochs=3).fit(X, y)
    assert len(fitted.history_["val_loss"]) == 3


# In the company of other libraries


def test_sktime_makes_pipelines_and_forecasts_of_estimators():
    pytest.importorskip("sktime")
    from sktime.classification.compose import SklearnClassifierPipeline
    from sktime.datasets import load_airline, load_unit_test
    from sktime.forecasting.compose import make_reduction
    from sktime.transformations.series.exponent import ExponentTransformer

    X, y = load_unit_test(return_X_y=True, split="train")
    pipeline = SklearnClassifierPipeline(classifier("time_cnn"), [ExponentTransformer(2)]).fit(X, y)
    assert set(pipeline.predict(X)) <= set(y)
    assert pipeline.predict_proba(X).shape == (len(y), 2)
    series = np.log(load_airline())
    forecaster = make_reduction(ConvRegressor(model="time_cnn", epochs=2), window_length=24)
    assert np.isfinite(forecaster.fit(series, fh=[1, 2, 3]).predict()).all()


def test_aeon_wraps_estimators():
    pytest.importorskip("aeon")
    from aeon.classification.sklearn import SklearnClassifierWrapper
    from aeon.datasets import load_unit_test

    X, y = load_unit_test(split="train")
    wrapped = SklearnClassifierWrapper(classifier("time_cnn")).fit(X, y)
    assert wrapped.predict_proba(X).shape == (len(y), 2)


def test_saved_networks_of_an_estimator_are_read_as_usual(tmp_path):
    X, y = waves(40)
    fitted = classifier(two_ways).fit(X, np.array(["a", "b", "c"])[y])
    fitted.model_.save(tmp_path / "model.npz")
    network = fc.load(tmp_path / "model.npz")
    assert network.classes == ["a", "b", "c"]
    np.testing.assert_array_equal(network.predict(X[:, None]), fitted.model_.predict(X[:, None]))


# What is refused


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"model": "resnet"}, ValueError, "`model` must be one of resnet8, resnet1d, .*, got 'resnet'"),
        ({"model": "incepton_time"}, ValueError, "`model` must be one of inception_time, .*"),
        ({"model": 3}, TypeError, "`model` must be None, a name, a network or a function .*, got 3"),
        ({"model": fc.Sequential}, TypeError, "`model` must be None, a name, a network or a function"),
        ({"model": fc.Dense(3)}, TypeError, "`model` must be None, a name, a network or a function"),
        ({"model": [fc.Dense(3)]}, TypeError, "`model` must be None, a name, a network or a function"),
        ({"layers": fc.Dense(3)}, TypeError, "`layers` must be None, a name, a list of layers"),
        ({"model": "fcn", "layers": "lenet5"}, ValueError, "`layers` must be None where `model` is given"),
        ({"model": "resnet8"}, ValueError, r"'resnet8' takes images \(C, H, W\), .*: give `input_shape`"),
        ({"model": "fcn", "input_shape": (1, 5, 8)}, ValueError, r"'fcn' takes series \(channels, length\)"),
        ({"model": "fcn", "input_shape": (40,)}, ValueError, r"'fcn' takes series \(channels, length\), got"),
        ({"model": "fcn", "input_shape": (3, 40)}, ValueError, r"`input_shape` \(3, 40\) does not fit X"),
        ({"model": "fcn", "input_shape": 40}, ValueError, r"`input_shape` must be \(channels, length\), "),
        ({"model": two_heads}, ValueError, r"`model` must end in an output of shape \(3,\) for 3 classes"),
        ({"model": ends_in_softmax}, ValueError, r"`model` must give logits: leave out the last Softmax\(\)"),
        ({"model": fc.models.fcn(2, (1, 40))}, ValueError, r"shape \(3,\) for 3 classes, got \(2,\)"),
        ({"model": fc.models.fcn(3, (1, 30))}, ValueError, r"`input_shape` \(1, 30\) does not fit X"),
        (
            {"model": fc.models.fcn(3, (1, 40)), "input_shape": (2, 20)},
            ValueError,
            r"`model` must take samples of shape \(2, 20\), got one for \(1, 40\)",
        ),
    ],
)  # fmt: skip
def test_models_that_do_not_fit_are_refused_in_one_line(settings, error, message):
    X, y = waves(20)
    with pytest.raises(error, match=message) as raised:
        ConvClassifier(**settings, epochs=1).fit(X, y)
    assert "\n" not in str(raised.value)


def test_series_of_another_length_are_refused():
    X, y = waves(20, channels=2)
    fitted = classifier("fcn").fit(X, y)
    with pytest.raises(
        ValueError, match=r"samples of shape \(2, 30\), but ConvClassifier is expecting \(2, 40\)"
    ):
        fitted.predict(X[:, :, :30])
    with pytest.raises(ValueError, match="X has 60 features, but ConvClassifier is expecting 80"):
        fitted.predict(X[:, :, :30].reshape(20, -1))
