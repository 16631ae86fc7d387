"""Training: steps and epochs, history, the order of samples, validation and evaluation."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import engine
from fastconv.training.trainer import History
from tests.training.small_runs import (
    RNG,
    SHAPE,
    Display,
    X,
    Y,
    assert_same_state,
    network,
    plain_network,
    trained,
)

# Steps and epochs


def test_an_epoch_takes_its_batches_in_order_and_the_last_one_divides_by_its_own_size():
    model, twin = plain_network(), plain_network()
    history = fc.Trainer(model, optimizer=fc.SGD(0.5)).fit(
        X[:40], Y[:40], epochs=1, batch_size=17, shuffle=False
    )
    total = 0.0
    for first, last in ((0, 17), (17, 34), (34, 40)):
        loss, gradients = twin.loss_and_gradients(X[first:last], Y[first:last])
        total += loss * (last - first)
        for name, array in twin.parameters().items():
            array -= 0.5 * gradients[name]
    for name, array in model.parameters().items():
        np.testing.assert_allclose(array, twin.parameters()[name], rtol=1e-11, atol=1e-13)
    assert history["loss"] == [pytest.approx(total / 40, rel=1e-12)]


def test_a_batch_larger_than_the_data_is_one_step_on_all_of_them():
    model, twin = plain_network(), plain_network()
    fc.Trainer(model, optimizer=fc.SGD(0.5)).fit(X, Y, epochs=1, batch_size=5000)
    _, gradients = twin.loss_and_gradients(X, Y)
    for name, array in model.parameters().items():
        np.testing.assert_allclose(
            array, twin.parameters()[name] - 0.5 * gradients[name], rtol=1e-11, atol=1e-13
        )


def test_training_lowers_the_loss_and_raises_the_accuracy():
    history = fc.Trainer(network(), optimizer=fc.Adam(0.02)).fit(X, Y, epochs=30, batch_size=16)
    assert history["loss"][-1] < 0.4 * history["loss"][0]
    assert history["accuracy"][-1] > 0.9


def test_a_second_fit_goes_on_from_the_first():
    model = network()
    trainer = fc.Trainer(model, optimizer=fc.Adam(0.01))
    first = trainer.fit(X, Y, epochs=5)
    before = model.state()
    second = trainer.fit(X, Y, epochs=5)
    assert second["loss"][0] < first["loss"][0]
    assert any((before[name] != array).any() for name, array in model.state().items())
    assert trainer.steps_taken == 20


# History


def test_history_has_one_value_an_epoch_of_every_figure():
    history = fc.Trainer(network()).fit(X, Y, epochs=3, validation_data=(X[:9], Y[:9]))
    assert isinstance(history, History)
    names = ["loss", "accuracy", "learning_rate", "seconds", "val_loss", "val_accuracy"]
    assert list(history) == names
    for values in history.values():
        assert len(values) == 3
        assert all(type(value) is float for value in values)


def test_history_has_only_the_metrics_asked_for():
    for metrics, names in [((), []), ("accuracy", ["accuracy"]), (["accuracy"], ["accuracy"])]:
        history = fc.Trainer(network(), metrics=metrics).fit(X, Y, epochs=1)
        assert list(history) == ["loss", *names, "learning_rate", "seconds"]


def test_a_regression_has_no_accuracy():
    model = fc.Sequential([fc.Flatten(), fc.Dense(1)], SHAPE)
    trainer = fc.Trainer(model, loss="mse")
    assert "accuracy" not in trainer.fit(X, Y, epochs=1)
    assert "accuracy" not in trainer.evaluate(X, Y)


def test_learning_rates_follow_the_schedule():
    history = fc.Trainer(network(), optimizer=fc.SGD(fc.StepDecay(0.1, step_size=2))).fit(X, Y, epochs=5)
    assert history["learning_rate"] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_a_schedule_acts_on_every_step():
    class Counting:
        def learning_rates(self, first_step, count, steps_per_epoch, total_steps):
            assert (steps_per_epoch, total_steps) == (3, 6)
            return 0.1 / (1 + np.arange(first_step, first_step + count))

    model, twin = plain_network(), plain_network()
    fc.Trainer(model, optimizer=fc.SGD(Counting())).fit(X, Y, epochs=2, batch_size=20, shuffle=False)
    for step, first in enumerate([0, 20, 40] * 2):
        _, gradients = twin.loss_and_gradients(X[first : first + 20], Y[first : first + 20])
        for name, array in twin.parameters().items():
            array -= 0.1 / (1 + step) * gradients[name]
    for name, array in model.parameters().items():
        np.testing.assert_allclose(array, twin.parameters()[name], rtol=1e-10, atol=1e-13)


def test_the_seed_decides_the_order():
    assert np.array_equal(trained(seed=3), trained(seed=3))
    assert not np.array_equal(trained(seed=3), trained(seed=4))
    assert not np.array_equal(trained(), trained(shuffle=False))


@pytest.mark.parametrize("seed", [2**31, 2**63, 2**70])
def test_a_large_seed_trains_or_is_refused_by_its_name(seed):
    try:
        trained(seed=seed)
    except ValueError as error:
        if "`seed`" not in str(error):
            raise


def test_each_epoch_takes_every_sample_once_in_a_new_order(monkeypatch):
    monkeypatch.setattr(engine, "SECONDS_PER_CALL", 0.0)  # the display then hears of every step
    model = fc.Sequential([fc.Dense(1)], (1,), dtype="float64")
    model.flat_parameters[...] = 0.0
    targets = np.sqrt(np.arange(20.0))  # without learning, the loss of sample n is n
    display = Display()
    fc.Trainer(model, "mse", fc.SGD(0.0)).fit(np.zeros(20), targets, epochs=3, batch_size=1, progress=display)
    losses = [event[3] for event in display.events if event[0] == "batch"]
    orders = np.round(losses).astype(int).reshape(3, 20).tolist()
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3


# Validation and evaluation


def test_validation_figures_are_those_of_evaluate():
    model = network()
    trainer = fc.Trainer(model)
    history = trainer.fit(X[:40], Y[:40], epochs=2, validation_data=(X[40:], Y[40:]))
    figures = trainer.evaluate(X[40:], Y[40:])
    assert (history["val_loss"][-1], history["val_accuracy"][-1]) == (figures["loss"], figures["accuracy"])


def test_validation_does_not_change_training():
    with_it, without = network(), network()
    fc.Trainer(with_it).fit(X, Y, epochs=2, validation_data=(X[:5], Y[:5]))
    fc.Trainer(without).fit(X, Y, epochs=2)
    assert_same_state(with_it, without)


def test_validation_split_holds_out_the_last_samples_of_each_class():
    counts = 4, 3, 3  # of 19, 17 and 14
    out = np.sort(np.concatenate([np.flatnonzero(c == Y)[-count:] for c, count in enumerate(counts)]))
    kept = np.setdiff1d(np.arange(50), out)
    spoiled = X.copy()
    spoiled[out] *= -1e6
    model, expected = network(), network()
    trainer = fc.Trainer(model)
    history = trainer.fit(spoiled, Y, epochs=2, validation_split=0.2)
    fc.Trainer(expected).fit(X[kept], Y[kept], epochs=2)
    assert_same_state(model, expected)
    assert max(history["loss"]) < 10 < 1000 < min(history["val_loss"])
    assert history["val_loss"][-1] == trainer.evaluate(spoiled[out], Y[out])["loss"]


def test_validation_split_holds_out_the_last_samples_where_there_are_no_classes():
    y = RNG.random((50, 3))
    trainer, expected = fc.Trainer(network(), "mse"), fc.Trainer(network(), "mse")
    history = trainer.fit(X, y, epochs=2, validation_split=0.2)
    expected.fit(X[:40], y[:40], epochs=2)
    assert_same_state(trainer.model, expected.model)
    assert history["val_loss"][-1] == expected.evaluate(X[40:], y[40:])["loss"]


def test_evaluate_is_the_loss_and_accuracy_of_the_predictions():
    model = network()
    trainer = fc.Trainer(model)
    trainer.fit(X, Y, epochs=2)
    logits = model.predict(X).astype(np.float64)
    loss = np.mean(np.log(np.exp(logits).sum(1)) - logits[np.arange(50), Y])
    assert trainer.evaluate(X, Y) == {
        "loss": pytest.approx(loss, rel=1e-5), "accuracy": pytest.approx(np.mean(logits.argmax(1) == Y)),
    }  # fmt: skip
    before = model.state()
    for batch_size in (1, 7, 49, 50, 1000):
        assert trainer.evaluate(X, Y, batch_size=batch_size)["loss"] == pytest.approx(loss, rel=1e-5)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(("loss", "threshold"), [("bce", 0.5), ("bce_with_logits", 0.0)])
def test_binary_accuracy_is_the_share_of_outputs_on_the_right_side(loss, threshold):
    layers = [fc.Flatten(), fc.Dense(2)] + ([fc.Sigmoid()] if loss == "bce" else [])
    model = fc.Sequential(layers, SHAPE)
    targets = RNG.integers(0, 2, (50, 2))
    right = np.mean((model.predict(X) > threshold) == targets)
    assert fc.Trainer(model, loss).evaluate(X, targets)["accuracy"] == pytest.approx(right)
