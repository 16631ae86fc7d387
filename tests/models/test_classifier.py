"""The names of a network's classes, and the probability of each."""

import pickle

import numpy as np
import pytest

import fastconv as fc
from fastconv.inspection.classification import class_probabilities

X = np.random.default_rng(0).normal(size=(7, 3))


def network(outputs, *last, dtype="float64"):
    return fc.Sequential([fc.Dense(outputs), *last], (3,), dtype=dtype)


def softmaxed(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def sigmoided(logits):
    return 1 / (1 + np.exp(-logits))


def two(yes):
    return np.concatenate([1 - yes, yes], axis=1)


CASES = {
    "logits of classes": (4, [], None, softmaxed),
    "logits, trained": (4, [], "cross_entropy", softmaxed),
    "smoothed": (4, [], fc.losses.CrossEntropy(label_smoothing=0.2), softmaxed),
    "a softmax": (4, [fc.Softmax()], None, softmaxed),
    "a softmax, trained": (4, [fc.Softmax()], "cross_entropy", softmaxed),
    "one logit": (1, [], None, lambda z: two(sigmoided(z))),
    "one logit, trained": (1, [], "bce_with_logits", lambda z: two(sigmoided(z))),
    "a sigmoid": (1, [fc.Sigmoid()], None, lambda z: two(sigmoided(z))),
    "a sigmoid, trained": (1, [fc.Sigmoid()], "bce", lambda z: two(sigmoided(z))),
    "several sigmoids": (3, [fc.Sigmoid()], None, sigmoided),
    "several logits, trained": (3, [], "bce_with_logits", sigmoided),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_probabilities_follow_from_the_last_layer_and_the_loss_in_files_too(name, dtype, tmp_path):
    outputs, last, loss, wanted = CASES[name]
    model = network(outputs, *last, dtype=dtype)
    if loss is not None:
        labels = isinstance(loss, fc.losses.CrossEntropy) or loss == "cross_entropy"
        y = np.arange(7) % outputs if labels else np.ones((7, outputs))
        fc.Trainer(model, loss).fit(X, y, epochs=1)
    parameters = model.parameters()
    logits = X @ parameters["0.weight"].T.astype(float) + parameters["0.bias"]
    model.save(tmp_path / "m.npz")
    for one in (model, fc.load(tmp_path / "m.npz"), pickle.loads(pickle.dumps(model))):
        got = one.predict_proba(X)
        assert got.dtype == np.float64
        np.testing.assert_allclose(got, wanted(logits), rtol=1e-12 if dtype == "float64" else 1e-4)
        np.testing.assert_array_equal(one.predict_proba(X, batch_size=2), got)
        if not one.answers_apart():
            np.testing.assert_array_equal(class_probabilities(one, X), got)


def test_small_probabilities_keep_their_digits():
    model = fc.Sequential([fc.Flatten()], (1,), dtype="float64")
    np.testing.assert_allclose(
        model.predict_proba([[40.0], [-50.0]]), np.exp([[-40, 0], [0, -50]]), rtol=1e-13
    )


def test_the_loss_is_that_of_the_last_training_of_any_kind():
    model = network(3)
    trainer = fc.Trainer(model, "bce_with_logits")
    assert not model.answers_apart()
    trainer.train_on_batch(X, np.ones((7, 3)))
    assert model.answers_apart()
    trainer.loss = "cross_entropy"
    assert model.answers_apart()
    trainer.train_on_batch(X, np.zeros(7, int))
    assert not model.answers_apart()
    fc.Trainer(model, "mse").evaluate(X, np.ones((7, 3)))
    model.predict_proba(X)


def test_networks_that_are_no_classifiers_are_refused():
    model = network(3)
    fc.Trainer(model, "mse").fit(X, np.ones((7, 3)), epochs=1)
    with pytest.raises(ValueError, match='needs classes, got a network trained with "mse"'):
        model.predict_proba(X)
    image = fc.Sequential([fc.Conv2d(2, 1)], (1, 3, 3))
    with pytest.raises(ValueError, match=r"needs an output for each class, got shape \(2, 3, 3\)"):
        image.predict_proba(np.ones((1, 1, 3, 3)))


# Names


@pytest.mark.parametrize("outputs", [1, 2, 4])
def test_classes_have_numbers_until_they_have_names(outputs):
    model, count = network(outputs), max(outputs, 2)
    assert model.classes == list(range(count))
    model.classes = names = list("abcd"[:count])
    assert model.classes == names
    names.append("z")
    model.classes.append("z")
    assert model.classes == list("abcd"[:count])
    model.classes = None
    assert model.classes == list(range(count))


@pytest.mark.parametrize(
    "names",
    [["a", "ü"], ("a", "b"), np.array(["a", "b"]), np.array([3, 8]), [0.5, 1], [False, True], range(2)],
)
@pytest.mark.parametrize("kind", [".npz", ".safetensors"])
def test_names_are_kept_in_files_and_copies(names, kind, tmp_path):
    if kind == ".safetensors":
        pytest.importorskip("safetensors")
    model = network(2)
    model.classes = names
    model.save(tmp_path / f"m{kind}")
    for one in (model, fc.load(tmp_path / f"m{kind}"), pickle.loads(pickle.dumps(model))):
        assert one.classes == list(names)
        assert one.metadata["classes"] == list(names)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["a"], r"`classes` must be 2 texts or numbers, one for each class, got \['a'\]"),
        (["a", "b", "c"], "must be 2 texts or numbers"),
        ("ab", "must be 2 texts or numbers.* got 'ab'"),
        (["a", None], "must be 2 texts or numbers"),
        ([["a"], ["b"]], "must be 2 texts or numbers"),
        (7, "must be 2 texts or numbers"),
        (["a", "a"], "`classes` must be different from each other"),
    ],
)
def test_names_that_do_not_fit_are_refused_and_the_old_ones_stay(names, message):
    model = network(2)
    model.classes = ["no", "yes"]
    with pytest.raises(ValueError, match=message):
        model.classes = names
    assert model.classes == ["no", "yes"]


@pytest.mark.parametrize("metadata", [{}, {"classes": 10}, {"classes": ["a"]}, None, [1]])
def test_other_metadata_say_nothing_of_classes(metadata):
    model = network(2)
    model.metadata = metadata
    assert model.classes == [0, 1]
    assert model.predict_proba(X).shape == (7, 2)
    fc.Trainer(model).train_on_batch(X, np.zeros(7, int))


def test_a_classifier_of_scikit_learn_names_its_network():
    pytest.importorskip("sklearn")
    y = np.array(["no", "yes"])[np.arange(7) % 2]
    classifier = fc.estimators.ConvClassifier(epochs=1).fit(X, y)
    assert classifier.model_.classes == ["no", "yes"]
    np.testing.assert_array_equal(classifier.model_.predict_proba(X), classifier.predict_proba(X))


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "bce_with_logits"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_trained_on_pixels_gives_a_probability_for_each(loss, channels):
    if channels == 1 and loss != "bce_with_logits":
        return
    model = fc.Sequential([fc.Conv2d(channels, 3, padding="same")], (1, 5, 4), seed=3)
    X, labels = np.random.default_rng(0).random((6, 1, 5, 4)), np.arange(120).reshape(6, 5, 4) % 3
    y = (np.arange(channels)[:, None, None] == labels[:, None]) if loss == "bce_with_logits" else labels
    fc.Trainer(model, loss).fit(X, y, epochs=1)
    assert model.classes == list(range(max(channels, 2)))
    outputs, found = model.predict(X).astype(np.float64), model.predict_proba(X)
    if channels == 1:
        wanted = 1 / (1 + np.exp(-outputs))
        np.testing.assert_allclose(found, np.concatenate([1 - wanted, wanted], axis=1), rtol=1e-6)
    elif loss == "bce_with_logits":
        np.testing.assert_allclose(found, 1 / (1 + np.exp(-outputs)), rtol=1e-6)
    else:
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        np.testing.assert_allclose(found, powers / powers.sum(axis=1, keepdims=True), rtol=1e-6)
