"""Metrics of a trainer: of what, and when."""

import functools

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import engine
from fastconv.engine.tables import FUNCTION
from fastconv.kernels.lanes import layout

SHAPE = (1, 6, 6)
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 90)
X = (RNG.random((3, *SHAPE))[Y] + RNG.random((90, *SHAPE))).astype(np.float32)
BINARY = (Y > 0).astype(np.int64)
CLASS_METRICS = ("precision", "recall", "f1", "auc")


def network(classes=3, last=(), dtype="float64"):
    layers = [fc.Conv2d(4, 3), fc.ReLU(), fc.Flatten(), fc.Dense(classes), *last]
    return fc.Sequential(layers, SHAPE, dtype=dtype, seed=1)


def sklearn_figures(y, predicted, scores, average):
    m = pytest.importorskip("sklearn.metrics")
    figures = {
        name: getattr(m, f"{name}_score")(y, predicted, average=average, zero_division=0)
        for name in ("precision", "recall", "f1")
    }
    figures["auc"] = m.roc_auc_score(y, scores, **({"multi_class": "ovr"} if scores.ndim == 2 else {}))
    return {name: pytest.approx(value, abs=1e-9) for name, value in figures.items()}


def softmax(logits):
    mass = np.exp(logits.astype(np.float64))
    return mass / mass.sum(1, keepdims=True)


CASES = {
    "three classes": (3, (), "cross_entropy", Y),
    "three classes, a softmax": (3, (fc.Softmax(),), "cross_entropy", Y),
    "two classes": (2, (), "cross_entropy", BINARY),
    "a logit": (1, (), "bce_with_logits", BINARY),
    "a probability": (1, (fc.Sigmoid(),), "bce", BINARY),
}


def expected_figures(outputs, y, loss, case):
    if "softmax" not in case and loss == "cross_entropy":
        outputs = softmax(outputs)
    if outputs.shape[1] == 3:
        return sklearn_figures(y, outputs.argmax(1), outputs, "macro")
    if outputs.shape[1] == 2:
        return sklearn_figures(y, outputs.argmax(1), outputs[:, 1], "binary")
    threshold = 0.5 if loss == "bce" else 0.0
    return sklearn_figures(y, outputs[:, 0] > threshold, outputs[:, 0], "binary")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("batch_size", [256, 16])
def test_figures_of_evaluate_are_scikit_learns_of_the_predictions(case, batch_size):
    classes, last, loss, y = CASES[case]
    model = network(classes, last)
    trainer = fc.Trainer(model, loss, fc.SGD(0.1), metrics=CLASS_METRICS)
    trainer.fit(X, y, epochs=3)
    figures = trainer.evaluate(X, y, batch_size=batch_size)
    del figures["loss"]
    assert figures == expected_figures(model.predict(X), y, loss, case)


@pytest.mark.parametrize("case", CASES)
def test_figures_of_an_epoch_are_of_the_outputs_that_its_steps_made(case):
    classes, last, loss, y = CASES[case]
    model, twin = network(classes, last), network(classes, last)
    history = fc.Trainer(model, loss, fc.SGD(0.5), metrics=CLASS_METRICS).fit(
        X, y, epochs=1, batch_size=20, shuffle=False
    )
    outputs = []
    for first in range(0, 90, 20):  # the outputs of a batch, before the step that it makes
        outputs.append(twin.predict(X[first : first + 20]))
        fc.Trainer(twin, loss, fc.SGD(0.5)).train_on_batch(X[first : first + 20], y[first : first + 20])
    expected = expected_figures(np.concatenate(outputs), y, loss, case)
    assert {name: history[name][0] for name in CLASS_METRICS} == expected


def test_shuffled_samples_are_compared_with_their_own_targets():
    metrics = ("accuracy", lambda y, outputs: np.mean(outputs.argmax(1) == y))
    history = fc.Trainer(network(), metrics=metrics).fit(X, Y, epochs=3, batch_size=16)
    assert history["<lambda>"] == pytest.approx(history["accuracy"])


@pytest.mark.parametrize("seconds", [0.0, 100.0])
def test_figures_do_not_depend_on_how_steps_are_split_into_calls(monkeypatch, seconds):
    expected = fc.Trainer(network(), metrics=CLASS_METRICS).fit(X, Y, epochs=2, batch_size=4)
    monkeypatch.setattr(engine, "SECONDS_PER_CALL", seconds)
    history = fc.Trainer(network(), metrics=CLASS_METRICS).fit(X, Y, epochs=2, batch_size=4)
    for name in ("loss", *CLASS_METRICS):
        assert history[name] == expected[name]


def test_asking_for_metrics_does_not_change_training():
    plain, measured = network(), network()
    fc.Trainer(plain, optimizer=fc.Adam(0.01)).fit(X, Y, epochs=2, validation_split=0.2)
    fc.Trainer(measured, optimizer=fc.Adam(0.01), metrics=("f1", "top5_accuracy")).fit(
        X, Y, epochs=2, validation_split=0.2
    )
    np.testing.assert_array_equal(plain.flat_parameters, measured.flat_parameters)


def test_accuracy_alone_needs_no_outputs():
    def operations(metrics):
        model = network()
        trainer = fc.Trainer(model, metrics=metrics)
        trainer.evaluate(X, Y)
        (idle,) = model.engines._engines
        return set(idle.program.operations[:, FUNCTION])

    scatter = layout.scatter.address(network().dtype)
    assert scatter not in operations(("accuracy",))
    assert scatter in operations(("accuracy", "f1"))


def test_figures_come_in_the_order_asked_for():
    trainer = fc.Trainer(network(), metrics=("auc", "accuracy", "top5_accuracy"))
    history = trainer.fit(X, Y, epochs=1, validation_data=(X, Y))
    names = ["loss", "auc", "accuracy", "top5_accuracy"]
    assert list(history) == [*names, "learning_rate", "seconds", *(f"val_{name}" for name in names)]
    assert history["val_top5_accuracy"] == [1.0]


def test_several_labels_a_sample_are_averaged():
    m = pytest.importorskip("sklearn.metrics")
    model, y = network(2), np.stack([BINARY, Y == 1], axis=1).astype(float)
    figures = fc.Trainer(model, "bce_with_logits", metrics=("f1", "auc")).evaluate(X, y)
    outputs = model.predict(X)
    assert figures["f1"] == pytest.approx(m.f1_score(y, outputs > 0, average="macro", zero_division=0))
    assert figures["auc"] == pytest.approx(m.roc_auc_score(y, outputs))


def test_an_undefined_auc_does_not_stop_training():
    trainer = fc.Trainer(network(1), "bce_with_logits", metrics=("auc", "f1"))
    history = trainer.fit(X, np.zeros(90), epochs=2)
    assert np.isnan(history["auc"]).all()


# The user's own functions


def test_a_function_gets_the_targets_in_the_outputs_shape_once_a_pass():
    seen = []

    def mean_absolute_error(y_true, outputs):
        seen.append((y_true.shape, outputs.shape, outputs.dtype))
        return np.abs(y_true - outputs).mean()

    model = network(2, dtype="float32")
    trainer = fc.Trainer(model, "mse", metrics=[mean_absolute_error])
    y = RNG.random((90, 2))
    history = trainer.fit(X, y, epochs=2, validation_data=(X[:9], y[:9]))
    assert seen == [((90, 2), (90, 2), np.float32), ((9, 2), (9, 2), np.float32)] * 2
    assert history["val_mean_absolute_error"][-1] == pytest.approx(
        np.abs(model.predict(X[:9]) - y[:9]).mean(), rel=1e-5
    )


def test_a_function_of_one_output_a_sample_gets_a_column():
    def shapes(y_true, outputs):
        return y_true.shape == outputs.shape == (90, 1)

    assert fc.Trainer(network(1), "bce_with_logits", metrics=shapes).evaluate(X, BINARY)["shapes"] == 1.0


@pytest.mark.parametrize(
    ("metrics", "loss", "error", "message"),
    [
        (
            ("accuracy", "accuracy"),
            "cross_entropy",
            ValueError,
            "names of their own, got 'accuracy'",
        ),
        (("f2",), "cross_entropy", ValueError, r"`metrics` must be among .* or functions, got 'f2'"),
        ((3,), "cross_entropy", ValueError, r"`metrics` must be among .* or functions, got 3"),
        (("f1",), "mse", ValueError, "`metrics` 'f1' needs a loss with classes, got 'mse'"),
        (
            ("top5_accuracy",),
            "bce_with_logits",
            ValueError,
            "'top5_accuracy' needs the loss",
        ),
        (fc.models.lenet5().predict, "mse", None, None),
        (functools.partial(abs), "mse", TypeError, "functions with a `__name__`"),
    ],
)
def test_metrics_that_do_not_fit_are_refused(metrics, loss, error, message):
    model = network(3 if loss == "cross_entropy" else 1)
    if error is None:
        assert fc.Trainer(model, loss, metrics=metrics).metrics == (metrics,)
        return
    with pytest.raises(error, match=message):
        fc.Trainer(model, loss, metrics=metrics)


def test_a_function_named_as_another_figure_or_without_a_number_is_refused():
    def loss(y, outputs):
        return 0.0

    def report(y, outputs):
        return "good"

    with pytest.raises(ValueError, match="got 'loss'"):
        fc.Trainer(network(), metrics=[loss])
    with pytest.raises(TypeError, match="`metrics` report must return a number, got 'good'"):
        fc.Trainer(network(), metrics=[report]).evaluate(X, Y)


# Callbacks


def test_callbacks_follow_a_metric(tmp_path):
    model = network()
    trainer = fc.Trainer(model, optimizer=fc.SGD(1.5), metrics=("f1", "auc"))
    stopping = fc.EarlyStopping("val_f1", patience=4)
    saving = fc.ModelCheckpoint(tmp_path / "best.npz", monitor="val_f1")
    history = trainer.fit(
        X, Y, epochs=30, validation_data=(X[:30], Y[:30]),
        callbacks=[stopping, saving, fc.CSVLogger(tmp_path / "log.csv")],
    )  # fmt: skip
    best = max(history["val_f1"])
    assert stopping.best == saving.best == best
    assert trainer.evaluate(X[:30], Y[:30])["f1"] == best
    np.testing.assert_array_equal(fc.load(tmp_path / "best.npz").flat_parameters, model.flat_parameters)
    header, *rows = (tmp_path / "log.csv").read_text().split()
    column = header.split(",").index("val_f1")
    assert [float(row.split(",")[column]) for row in rows] == history["val_f1"]
