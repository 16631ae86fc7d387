"""Networks with several inputs and outputs in training: losses, gradients, figures, files."""

import numpy as np
import pytest
import torch

import fastconv as fc

N = 37
LOSS = {"policy": "cross_entropy", "value": "mse", "win": "bce"}
WEIGHTS = {"policy": 1.0, "value": 0.5, "win": 2.0}


def make(dtype="float64", seed=0):
    board, extra = fc.Input((2, 6, 6), name="board"), fc.Input((3,), name="extra")
    y = fc.ReLU()(fc.Conv2d(4, 3, padding="same")(board, name="stem"))
    shared = fc.Conv2d(4, 3, padding="same")
    y = fc.ReLU()(shared(y, name="shared") + y)
    y = fc.ReLU()(shared(y) + y)
    features = fc.Concatenate()([fc.Flatten()(y), extra])
    outputs = {
        "policy": fc.Dense(4)(features, name="policy"),
        "value": fc.Tanh()(fc.Dense(1)(features, name="value")),
        "win": fc.Sigmoid()(fc.Dense(1)(features, name="win")),
    }
    return fc.Model([board, extra], outputs, dtype=dtype, seed=seed)


def data():
    rng = np.random.default_rng(0)
    X = {"board": rng.random((N, 2, 6, 6)), "extra": rng.random((N, 3)).astype(np.float32)}
    y = {"policy": rng.integers(0, 4, N), "value": rng.random((N, 1)), "win": rng.integers(0, 2, N)}
    return X, y


def with_torch(model, X, y):
    """Loss and gradients by PyTorch."""
    p = {name: torch.tensor(a, requires_grad=True) for name, a in model.parameters().items()}

    def conv(x, name):
        return torch.nn.functional.conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding=1)

    def dense(x, name):
        return torch.nn.functional.linear(x, p[f"{name}.weight"], p[f"{name}.bias"])

    h = conv(torch.tensor(X["board"]), "stem").relu()
    h = (conv(h, "shared") + h).relu()
    h = (conv(h, "shared") + h).relu()
    h = torch.cat([h.flatten(1), torch.tensor(X["extra"].astype(np.float64))], 1)
    functional = torch.nn.functional
    loss = functional.cross_entropy(dense(h, "policy"), torch.tensor(y["policy"]))
    loss = loss + 0.5 * functional.mse_loss(dense(h, "value").tanh(), torch.tensor(y["value"]))
    win = torch.tensor(y["win"][:, None].astype(np.float64))
    loss = loss + 2 * functional.binary_cross_entropy(dense(h, "win").sigmoid(), win)
    loss.backward()
    return loss.item(), {name: a.grad.numpy() for name, a in p.items()}


def test_loss_and_gradients_are_pytorchs_with_a_shared_layer_two_inputs_and_three_outputs():
    (X, y), model = data(), make()
    loss, gradients = model.loss_and_gradients(X, y, LOSS, loss_weights=WEIGHTS)
    wanted, theirs = with_torch(model, X, y)
    assert loss == pytest.approx(wanted, rel=1e-12)
    assert gradients.keys() == theirs.keys()
    for name, gradient in gradients.items():
        np.testing.assert_allclose(gradient, theirs[name], rtol=1e-9, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_are_the_same_on_any_number_of_threads_and_as_lists_or_dicts(dtype):
    X, y = data()
    before, states = fc.get_num_threads(), []
    for threads, as_lists in ((1, False), (2, True), (3, False)):
        fc.set_num_threads(threads)
        try:
            model = make(dtype)
            given = (list(X.values()), list(y.values())) if as_lists else (X, y)
            trainer = fc.Trainer(model, LOSS, fc.Adam(lr=0.01), loss_weights=WEIGHTS)
            trainer.fit(*given, epochs=2, batch_size=16, progress=False)
            states.append(model.flat_parameters.copy())
        finally:
            fc.set_num_threads(before)
    np.testing.assert_array_equal(states[0], states[1])
    np.testing.assert_array_equal(states[0], states[2])


def test_all_losses_fall_and_each_output_has_its_figures():
    (X, y), model = data(), make("float32")
    metrics = {"policy": ("accuracy", "f1"), "win": "auc"}
    trainer = fc.Trainer(model, LOSS, fc.Adam(lr=0.01), metrics=metrics, loss_weights=WEIGHTS)
    history = trainer.fit(X, y, epochs=40, progress=False)
    for name in ("policy_loss", "value_loss", "win_loss"):
        assert history[name][-1] < history[name][0], name
    assert {"policy_accuracy", "policy_f1", "win_auc"} <= set(history)
    assert "value_accuracy" not in history
    parts = [WEIGHTS[name] * history[f"{name}_loss"][-1] for name in WEIGHTS]
    assert history["loss"][-1] == pytest.approx(sum(parts), rel=1e-5)


def test_figures_of_evaluate_are_those_of_the_predictions():
    (X, y), model = data(), make()
    figures = fc.Trainer(model, LOSS, loss_weights=WEIGHTS).evaluate(X, y)
    outputs = model.predict(X)
    right = (outputs["policy"].argmax(1) == y["policy"]).mean()
    assert figures["policy_accuracy"] == pytest.approx(right)
    assert figures["value_loss"] == pytest.approx(((outputs["value"] - y["value"]) ** 2).mean())


def test_samples_predicted_alone_and_together_are_the_same():
    (X, _), model = data(), make()
    together = model.predict(X)
    alone = model.predict({name: array[:1] for name, array in X.items()})
    for name, output in alone.items():
        np.testing.assert_allclose(output, together[name][:1], rtol=1e-12, err_msg=name)


def test_batches_validation_weights_and_a_resumed_run(tmp_path):
    X, y = data()

    def batches():
        for start in range(0, N, 8):
            rows = slice(start, start + 8)
            yield (
                {k: a[rows] for k, a in X.items()},
                {k: a[rows] for k, a in y.items()},
                np.ones(len(X["extra"][rows])),
            )

    def run(epochs, model, **others):
        trainer = fc.Trainer(model, LOSS, fc.Adam(lr=0.01), loss_weights=WEIGHTS)
        weight = np.linspace(0.5, 1.5, N)
        return trainer.fit(
            X, y, epochs=epochs, validation_split=0.2, sample_weight=weight, progress=False, **others
        )

    whole, cut = make(), make()
    history = run(4, whole)
    run(2, cut, checkpoint=tmp_path / "c.npz")
    resumed = run(4, cut, checkpoint=tmp_path / "c.npz", resume=True)
    np.testing.assert_array_equal(whole.flat_parameters, cut.flat_parameters)
    assert history["val_policy_loss"] == resumed["val_policy_loss"]
    with pytest.warns(UserWarning, match="is a checkpoint"):
        again = fc.load(tmp_path / "c.npz")
    np.testing.assert_array_equal(again.flat_parameters, cut.flat_parameters)
    trainer = fc.Trainer(make(), LOSS)
    assert trainer.fit(batches, epochs=2, validation_data=(X, y), progress=False)["val_win_loss"][-1] > 0


def test_the_cause_of_a_loss_that_is_not_finite_names_the_input():
    X, y = data()
    X["extra"][5, 1] = np.nan
    with pytest.raises(fc.NotFiniteError, match=r"`X\['extra'\]` must be finite, got nan at \[5, 1\]"):
        fc.Trainer(make(), LOSS).fit(X, y, epochs=1, progress=False)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, X, y: m.predict(X["board"]), "`X` must be a list of 2 arrays, one for each input"),
        (lambda m, X, y: m.predict({"board": X["board"]}), "`X` must have the inputs' names, board, extra"),
        (lambda m, X, y: m.predict([X["board"][:3], X["extra"]]), "as many samples for each input"),
        (lambda m, X, y: m.predict([X["extra"], X["board"]]), r"`X\['board'\]` must have shape"),
        (lambda m, X, y: fc.Trainer(m, {"policy": "mse"}), "`loss` must have the outputs' names"),
        (lambda m, X, y: fc.Trainer(m, ["mse"]), "`loss` must be a list of 3"),
        (lambda m, X, y: fc.Trainer(m, "cross_entropy"), "output 'value': .*at least 2 features"),
        (lambda m, X, y: fc.Trainer(m, LOSS, loss_weights=[1, 2]), "`loss_weights` must be a list of 3"),
        (lambda m, X, y: fc.Trainer(m, LOSS, loss_weights=[1, 2, -1]), r"`loss_weights\['win'\]`"),
        (lambda m, X, y: fc.Trainer(m, LOSS, metrics={"x": "f1"}), "`metrics` must have names of outputs"),
        (lambda m, X, y: fc.Trainer(m, LOSS, metrics="nonsense"), "`metrics` must be among"),
        (lambda m, X, y: fc.Trainer(m, LOSS).fit(X, y["policy"]), "`y` must be a list of 3 arrays"),
        (lambda m, X, y: fc.Trainer(m, LOSS).fit(X, y, class_weight={0: 2.0}), "`class_weight` is for"),
        (lambda m, X, y: fc.Trainer(m, LOSS).fit(X, y, augment=fc.Augment(shift=1)), "`augment` is for"),
        (lambda m, X, y: m.predict_proba(X), "predict_proba needs an output for each class"),
        (lambda m, X, y: setattr(m, "classes", ["a", "b"]), "several outputs .* has no `classes`"),
    ],
)
def test_what_does_not_fit_is_said_in_one_line(call, message):
    X, y = data()
    with pytest.raises(ValueError, match=message) as caught:
        call(make(), X, y)
    assert "\n" not in str(caught.value)


def test_weights_of_losses_are_for_several_outputs():
    with pytest.raises(ValueError, match="`loss_weights` are for several outputs"):
        fc.Trainer(fc.models.reference_cnn(), "bce", loss_weights=[1.0])


@pytest.mark.parametrize(
    ("names", "metrics", "twice"),
    [
        (("val", "b"), (), "val_loss"),  # the loss of an output, and that of all in validation
        (("a", "val_a"), (), "val_a_loss"),
        (("learning", "b"), lambda y, outputs: 0.0, "learning_rate"),
    ],
)
def test_two_figures_of_one_name_are_refused(names, metrics, twice):
    if callable(metrics):
        metrics.__name__ = "rate"
    x = fc.Input((3,))
    model = fc.Model(x, {name: fc.Dense(1)(x) for name in names})
    with pytest.raises(ValueError, match=f"figures are their own, got '{twice}' twice: rename one"):
        fc.Trainer(model, loss="mse", metrics=metrics)


def test_a_metric_called_like_a_figure_of_validation_is_refused():
    def val_loss(y, outputs):
        return 0.0

    with pytest.raises(ValueError, match="`metrics` must have names of their own, got 'val_loss' twice"):
        fc.Trainer(fc.models.reference_cnn(), loss="bce", metrics=val_loss)
