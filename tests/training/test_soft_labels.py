"""Cross-entropy takes labels, one-hot rows and rows of a part for each class, and smooths them."""

import io
import pickle

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn.losses import resolve
from fastconv.training.sample_weights import class_weights
from tests.training.batches_of_runs import Anew, X, Y, assert_same_bits, batches, figures, network

SOFT = np.random.default_rng(3).dirichlet(np.ones(3), 50)
SMOOTH = fc.losses.CrossEntropy(label_smoothing=0.1)
ROWS = {
    "ints": lambda y: np.eye(3, dtype=int)[y],
    "floats": lambda y: np.eye(3)[y],
    "float32": lambda y: np.eye(3, dtype=np.float32)[y],
    "booleans": lambda y: np.eye(3, dtype=bool)[y],
    "bytes": lambda y: np.eye(3, dtype=np.uint8)[y],
    "lists": lambda y: np.eye(3)[y].tolist(),
    "strided": lambda y: np.repeat(np.eye(3)[y], 2, axis=1)[:, ::2],
}


def trainer_of(loss="cross_entropy", dtype="float64", last=(), metrics=("accuracy", "f1", "auc")):
    model = fc.Sequential(
        [fc.Conv2d(4, 3), fc.Tanh(), fc.Flatten(), fc.Dense(3), *last], X.shape[1:], dtype, seed=2
    )
    return fc.Trainer(model, loss, fc.SGD(0.05), metrics)


@pytest.mark.parametrize("form", ROWS)
@pytest.mark.parametrize("loss", ["cross_entropy", SMOOTH])
def test_one_hot_rows_are_the_labels_to_the_bit(form, loss):
    options = {
        "epochs": 2,
        "validation_split": 0.2,
        "class_weight": "balanced",
        "sample_weight": np.arange(50),
    }
    metrics = ("accuracy", "f1", "auc")
    one, other = (fc.Trainer(network(), loss, metrics=metrics) for _ in range(2))
    rows = ROWS[form](Y)
    assert figures(one.fit(X, rows, **options)) == figures(other.fit(X, Y, **options))
    assert one.evaluate(X, rows) == other.evaluate(X, Y)
    assert one.train_on_batch(X[:8], rows[:8]) == other.train_on_batch(X[:8], Y[:8])
    assert_same_bits(one.model, other.model)
    for name, gradient in one.model.loss_and_gradients(X, rows, loss)[1].items():
        np.testing.assert_array_equal(gradient, other.model.loss_and_gradients(X, Y, loss)[1][name])


@pytest.mark.parametrize("last", [[], [fc.Softmax()]], ids=["logits", "softmax"])
@pytest.mark.parametrize(
    "loss", [fc.losses.CrossEntropy(), SMOOTH, fc.losses.CrossEntropy(label_smoothing=0.5)]
)
@pytest.mark.parametrize("y", [SOFT, SOFT.astype(np.float32), Y], ids=["parts", "float32", "labels"])
def test_losses_and_gradients_are_those_of_pytorch(loss, y, last):
    torch = pytest.importorskip("torch")
    model = trainer_of(loss, last=last).model
    module = model.to_torch()[: len(model.layers) - len(last)]
    wanted = torch.nn.functional.cross_entropy(
        module(torch.tensor(X, dtype=torch.float64)),
        torch.tensor(y if y.ndim == 1 else y.astype(np.float64)),
        label_smoothing=loss.label_smoothing,
    )
    wanted.backward()
    value, gradients = model.loss_and_gradients(X, y, loss)
    assert value == pytest.approx(wanted.item(), rel=1e-12)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(gradients[name], parameter.grad.numpy(), rtol=1e-9, atol=1e-12)
    assert fc.check_gradients(model, X[:5], y[:5], loss) < 1e-5
    by_layers, _, other = fc.inspection.backward(model, X, y, loss)
    assert by_layers == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(other["0.weight"], gradients["0.weight"], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parts_train_and_are_evaluated_by_the_right_figures(dtype):
    trainer = trainer_of(dtype=dtype)
    history = trainer.fit(X, SOFT, epochs=20, batch_size=8, validation_split=0.2)
    assert history["loss"][-1] < history["loss"][0]
    logits = trainer.model.predict(X).astype(np.float64)
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    found = trainer.evaluate(X, SOFT)
    assert found["loss"] == pytest.approx(-(SOFT * log_p).sum(axis=1).mean(), rel=1e-5)
    assert found["accuracy"] == pytest.approx(np.mean(logits.argmax(1) == SOFT.argmax(1)))
    assert found["f1"] == pytest.approx(fc.metrics.f1(SOFT.argmax(1), logits.argmax(1), average="macro"))
    assert {f"val_{name}" for name in found} <= set(history)


def test_functions_get_the_class_of_the_largest_part():
    got = []

    def seen(y_true, outputs):
        got.append(y_true)
        return 0.0

    trainer_of(metrics=(seen,)).evaluate(X, SOFT)
    np.testing.assert_array_equal(got[0], SOFT.argmax(axis=1))


def test_sample_weights_count_for_parts_too():
    weight = np.arange(50.0) / 25
    each = [trainer_of().evaluate(X[k : k + 1], SOFT[k : k + 1])["loss"] for k in range(50)]
    found = trainer_of().evaluate(X, SOFT, sample_weight=weight)["loss"]
    assert found == pytest.approx(np.mean(weight * each), rel=1e-10)


def test_a_class_weight_goes_by_the_largest_part():
    weight = np.array([3.0, 1.0, 0.5])
    one, other = trainer_of(), trainer_of()
    one.fit(X, SOFT, class_weight=weight, epochs=2)
    other.fit(X, SOFT, sample_weight=weight[SOFT.argmax(axis=1)], epochs=2)
    assert_same_bits(one.model, other.model)


def test_batches_may_mix_labels_and_parts():
    given = batches(10, 20, 20)
    given[1] = (given[1][0], SOFT[10:30])
    one, other = trainer_of(), trainer_of()
    one.fit(Anew(given), epochs=2)
    rows = [(x, np.eye(3)[y] if y.ndim == 1 else y) for x, y in given]
    for _ in range(2):
        for x, y in rows:
            other.train_on_batch(x, y)
    for name, array in one.model.state().items():
        np.testing.assert_allclose(array, other.model.state()[name], rtol=1e-10, err_msg=name)
    assert one.evaluate(Anew(given)).keys() == other.evaluate(Anew(rows)).keys()


def test_a_run_with_parts_resumes_only_with_them(tmp_path):
    path = tmp_path / "run.npz"
    trainer_of(SMOOTH).fit(X, SOFT, epochs=1, checkpoint=path)
    whole, resumed = trainer_of(SMOOTH), trainer_of(SMOOTH)
    whole.fit(X, SOFT, epochs=3)
    resumed.fit(X, SOFT, epochs=3, checkpoint=path, resume=True)
    assert_same_bits(whole.model, resumed.model)
    for loss, y in (("cross_entropy", SOFT), (SMOOTH, Y)):
        with pytest.raises(ValueError, match="not a checkpoint to go on from"):
            trainer_of(loss).fit(X, y, epochs=3, checkpoint=path, resume=True)


WRONG = {
    "sums to 2": (np.full((50, 3), 2 / 3), r"numbers >= 0 that sum to 1, got a sum of 2 at \[0\]$"),
    "negative": (np.tile([1.5, -0.5, 0.0], (50, 1)), r"got a sum of 1 at \[0\]"),
    "nothing": (np.zeros((50, 3), int), r"got a sum of 0 at \[0\]: several labels a sample need the loss"),
    "not a number": (np.where(np.arange(150).reshape(50, 3) == 7, np.nan, 1 / 3), r"a sum of nan at \[2\]"),
    "other classes": (np.eye(4)[Y], r"`y` must be int labels for cross_entropy, got float64"),
    "int classes": (np.eye(4, dtype=int)[Y], r"one label a sample, got \(50, 4\)"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_rows_that_are_no_parts_are_refused(name):
    y, message = WRONG[name]
    trainer = trainer_of()
    for call in (
        lambda: trainer.fit(X, y),
        lambda: trainer.fit([(X, y)]),
        lambda: trainer.evaluate(X, y),
        lambda: trainer.train_on_batch(X, y),
        lambda: trainer.model.loss_and_gradients(X, y),
    ):
        with pytest.raises((TypeError, ValueError), match=message.replace("`y`", "`y.*`")):
            call()


@pytest.mark.parametrize("kind", ["U", "S", "O", list])
@pytest.mark.parametrize("loss", ["cross_entropy", "bce_with_logits"])
def test_names_of_classes_are_refused_with_the_ways_out(kind, loss):
    y = np.array(["cat", "dog"])[Y % 2]
    y = y.tolist() if kind is list else y.astype(kind)
    trainer, right = trainer_of(loss), Y if loss == "cross_entropy" else np.eye(3)[Y]
    for call in (
        lambda: trainer.fit(X, y),
        lambda: trainer.fit([(X, y)]),
        lambda: trainer.fit(X, right, validation_data=(X, y)),
        lambda: trainer.evaluate(X, y),
        lambda: trainer.model.loss_and_gradients(X, y, loss),
        lambda: fc.inspection.backward(trainer.model, X, y, loss),
    ):
        with pytest.raises(
            TypeError, match=r"np\.unique\(y, return_inverse=True\).*estimators\.ConvClassifier"
        ):
            call()


# The record


def test_smoothing_is_in_messages_and_files_only_where_there_is_some():
    assert (str(resolve("cross_entropy")), resolve("cross_entropy").record()) == ("cross_entropy",) * 2
    assert repr(fc.losses.CrossEntropy()) == "CrossEntropy()"
    assert repr(SMOOTH) == "CrossEntropy(label_smoothing=0.1)"
    assert str(SMOOTH) == "cross_entropy(label_smoothing=0.1)"
    assert SMOOTH.record() == {"name": "cross_entropy", "label_smoothing": 0.1}
    assert pickle.loads(pickle.dumps(SMOOTH)) == SMOOTH != fc.losses.CrossEntropy()


@pytest.mark.parametrize("smoothing", [-0.1, 1.5, np.nan, "a", True, None])
def test_smoothing_is_a_part(smoothing):
    with pytest.raises((TypeError, ValueError), match="`label_smoothing` must be a number"):
        fc.losses.CrossEntropy(label_smoothing=smoothing)


def test_smoothing_is_never_taken_by_position():
    with pytest.raises(TypeError, match="positional"):
        fc.losses.CrossEntropy(0.1)


@pytest.mark.parametrize("last", [[], [fc.Softmax()]], ids=["logits", "softmax"])
@pytest.mark.parametrize(("loss", "y"), [("cross_entropy", SOFT[0]), (SMOOTH, 2), (SMOOTH, SOFT[0])])
def test_explain_tells_of_parts(loss, y, last):
    page = io.StringIO()
    model = trainer_of(last=last).model
    told = fc.explain(model, X[0], y, loss=loss, file=page)
    assert told.loss == pytest.approx(model.loss_and_gradients(X[:1], np.array(y)[None], loss)[0])
    smoothed = "t = (1 - 0.1) * y + 0.1 / K" if loss is SMOOTH else "t = y"
    assert smoothed in page.getvalue()
    assert "sum over k of t[k] * " in page.getvalue()
    assert "divided by" not in page.getvalue()


# Weights of classes


@pytest.mark.parametrize("form", [np.array, list, tuple])
def test_a_class_weight_may_be_an_array(form):
    weights = [2.0, 0.0, 1.5]
    np.testing.assert_array_equal(class_weights(form(weights), Y, 3), weights)
    one, other = trainer_of(), trainer_of()
    one.fit(X, Y, class_weight=form(weights), epochs=2)
    other.fit(X, Y, class_weight=dict(enumerate(weights)), epochs=2)
    assert_same_bits(one.model, other.model)
    one.fit(batches(25, 25), class_weight=form(weights), epochs=1)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(2), r"`class_weight` must have shape \(3,\), one weight a class, got \(2,\)"),
        (np.ones((3, 1)), r"must have shape \(3,\)"),
        ([1, -1, 1], r"`class_weight\[1\]` must be a number >= 0"),
        ([1, np.nan, 1], r"`class_weight\[1\]`"),
        ("even", '`class_weight` must be None, "balanced" or a dict, got .* .or an array of 3'),
        (3.0, '`class_weight` must be None, "balanced" or a dict, got .* .or an array of 3'),
    ],
)
def test_class_weights_that_do_not_fit_are_refused(weight, message):
    with pytest.raises((TypeError, ValueError), match=message):
        trainer_of().fit(X, Y, class_weight=weight)
