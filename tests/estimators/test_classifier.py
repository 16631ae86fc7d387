"""The classifier: labels, and how it trains."""

import numpy as np
import pytest

pytest.importorskip("sklearn")
from sklearn.base import clone

import fastconv as fc
from tests.estimators.digits import DIGITS, FEW, IMAGES, LABELS, ODD, classifier, regressor

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


# Rows of a part for each class


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("form", [np.asarray, lambda rows: rows.astype(int), lambda rows: rows.tolist()])
def test_one_hot_rows_are_the_classes_0_and_up(classes, form):
    y = np.arange(60) % classes
    rows, X = form(np.eye(classes)[y]), np.random.default_rng(0).random((60, 5)) + y[:, None]
    options = {"epochs": 3, "random_state": 0, "early_stopping": True, "class_weight": "balanced"}
    one, other = (fc.estimators.ConvClassifier(**options) for _ in range(2))
    one.fit(X, rows), other.fit(X, y)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    np.testing.assert_array_equal(one.classes_, np.arange(classes))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))
    assert one.score(X, rows) == other.score(X, y)


@pytest.mark.parametrize("layers", [None, [fc.Dense(4), fc.ReLU(), fc.Dense(2)]])
def test_parts_of_two_classes_train_one_output_or_two(layers):
    rng = np.random.default_rng(0)
    part = rng.random(200)
    X, rows = part[:, None] + np.zeros((200, 3)), np.column_stack([1 - part, part])
    options = {"epochs": 200, "learning_rate": 0.02, "random_state": 0, "dtype": "float64"}
    classifier = fc.estimators.ConvClassifier(layers, **options).fit(X, rows)
    assert np.abs(classifier.predict_proba(X) - rows).max() < 0.1
    assert classifier.score(X, rows) > 0.9


def test_parts_have_a_column_for_each_class():
    X = np.zeros((6, 3))
    classifier = fc.estimators.ConvClassifier(epochs=1)
    classifier.partial_fit(X, np.eye(3)[[0, 1, 2] * 2], classes=["a", "b", "c"])
    assert classifier.classes_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match=r"a column for each of the classes .*, got shape \(6, 2\)"):
        classifier.partial_fit(X, np.eye(2)[[0, 1] * 3])
    with pytest.raises(ValueError, match="rows of numbers >= 0 that sum to 1, got a sum of 2"):
        classifier.fit(X, np.ones((6, 2)))


def test_a_class_weight_may_be_an_array_in_the_order_of_the_classes():
    X, y = np.random.default_rng(0).random((30, 4)), np.array(["b", "a", "c"] * 10)
    options = {"epochs": 2, "random_state": 0}
    one = fc.estimators.ConvClassifier(class_weight=np.array([1.0, 2.0, 3.0]), **options).fit(X, y)
    other = fc.estimators.ConvClassifier(class_weight={"a": 1, "b": 2, "c": 3}, **options).fit(X, y)
    np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    one.partial_fit(X, y)
