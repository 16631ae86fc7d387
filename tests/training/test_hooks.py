"""The moments at which callbacks are called, and what they may do then."""

import copy
from types import SimpleNamespace

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import Display, X, Y, assert_same_state, figures, network, plain_network

HOOKS = ["on_train_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end", "on_train_end"]


def at(name, action):
    """A callback that does something at one moment: action(trainer, logs)."""
    if name in ("on_train_begin", "on_train_end"):
        return SimpleNamespace(**{name: lambda trainer: action(trainer, {})})
    return SimpleNamespace(**{name: lambda trainer, logs: action(trainer, logs)})


def batches():
    return [(X[k : k + 8], Y[k : k + 8]) for k in range(0, 50, 8)]


class Hears(fc.Callback):
    def __init__(self):
        self.calls = []

    def on_train_begin(self, trainer):
        self.calls.append("train_begin")

    def on_epoch_begin(self, trainer, logs):
        self.calls.append("epoch_begin")

    def on_batch_end(self, trainer, logs):
        self.calls.append(dict(logs))

    def on_epoch_end(self, trainer, logs):
        self.calls.append("epoch_end")

    def on_train_end(self, trainer):
        self.calls.append("train_end")


# Steps one by one

WAYS = {
    "arrays": {"X": X, "y": Y, "batch_size": 8},
    "weights": {"X": X, "y": Y, "batch_size": 8, "sample_weight": np.linspace(0.1, 2, 50)},
    "augmentation": {"X": X, "y": Y, "batch_size": 8, "augment": fc.Augment(shift=1, noise=0.1)},
    "split": {"X": X, "y": Y, "batch_size": 8, "validation_split": 0.2},
    "batches": {"X": batches()},
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "optimizer", [fc.SGD(0.05, momentum=0.9), fc.Adam(fc.OneCycle(0.01))], ids=["sgd", "adam"]
)
def test_steps_one_by_one_have_the_bits_of_many_in_one_call(dtype, way, optimizer):
    runs = []
    for callbacks in ([], [at("on_batch_end", lambda trainer, logs: trainer.evaluate(X[:9], Y[:9]))]):
        trainer = fc.Trainer(network(dtype=dtype), optimizer=optimizer, metrics=("accuracy", "f1"))
        runs.append((trainer, trainer.fit(**WAYS[way], epochs=3, callbacks=callbacks)))
    assert figures(runs[0][1]) == figures(runs[1][1])
    assert_same_state(runs[0][0].model, runs[1][0].model)
    assert runs[0][0].steps_taken == runs[1][0].steps_taken


@pytest.mark.parametrize("way", ["arrays", "batches"])
def test_every_step_is_told_with_its_place_its_loss_and_its_rate(way):
    hears, trainer = Hears(), fc.Trainer(network(), optimizer=fc.SGD(fc.StepDecay(0.1, 1)))
    history = trainer.fit(**WAYS[way], epochs=2, callbacks=[hears])
    steps = [call for call in hears.calls if isinstance(call, dict)]
    assert [(logs["epoch"], logs["batch"], logs["epochs"]) for logs in steps] == [
        (epoch, batch, 2) for epoch in range(2) for batch in range(7)
    ]
    sizes = np.array([8] * 6 + [2])
    for epoch in range(2):
        losses = np.array([logs["loss"] for logs in steps if logs["epoch"] == epoch])
        assert losses @ sizes / 50 == pytest.approx(history["loss"][epoch])
        assert {logs["learning_rate"] for logs in steps if logs["epoch"] == epoch} == {
            history["learning_rate"][epoch]
        }
    words = [call for call in hears.calls if not isinstance(call, dict)]
    assert words == ["train_begin", *["epoch_begin", "epoch_end"] * 2, "train_end"]


def test_only_a_callback_that_has_the_method_slows_steps_down():
    class Quiet(fc.Callback):
        def on_epoch_end(self, trainer, logs):
            pass

    def calls(callback):
        display = Display()
        trainer = fc.Trainer(network())
        trainer.fit(X, Y, batch_size=1, epochs=5, callbacks=[callback], progress=display)
        return [event[0] for event in display.events].count("batch")

    assert calls(Quiet()) < calls(Hears()) == 250


@pytest.mark.parametrize("count", [8, 10, 14])
def test_no_epoch_is_begun_where_the_data_have_come_to_their_end(count):
    hears, trainer = Hears(), fc.Trainer(network())
    endless = (batches() * 2)[:count]
    with pytest.warns(UserWarning, match="has come to its end in epoch [23] of 4"):
        trainer.fit(iter(endless), epochs=4, steps_per_epoch=7, callbacks=[hears])
    words = [call for call in hears.calls if not isinstance(call, dict)]
    begun, ended = words.count("epoch_begin"), words.count("epoch_end")
    assert (ended, begun) == ((2, 2) if count < 14 else (2, 3))
    assert words[-1] == "train_end"


# Wrong callbacks


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"on_epoch_ends": 2}, r"Mine\.on_epoch_ends is never called: did you mean on_epoch_end\?"),
        ({"onEpochEnd": 2}, r"Mine\.onEpochEnd is never called: did you mean on_epoch_end\?"),
        ({"on_bach_end": 2}, r"did you mean on_batch_end\?"),
        ({"on_train_batch_end": 2}, r"is called on_batch_end\(trainer, logs\)"),
        ({"on_batch_begin": 2}, "use on_batch_end of the batch before"),
        ({"on_train_start": 1}, r"is called on_train_begin\(trainer\)"),
        ({"on_validation_end": 1}, "the logs of on_epoch_end have the figures of validation"),
        ({"on_whatever": 1}, r"Mine\.on_whatever is never called \(callbacks have"),
        ({"on_epoch_end": 1}, r"Mine\.on_epoch_end must take \(trainer, logs\), got \(a\)"),
        ({"on_train_end": 2}, r"Mine\.on_train_end must take \(trainer\), got \(a, b\)"),
        (
            {"on_epoch_end": lambda self, epoch, logs=None: None},
            "other than in Keras, the trainer comes first",
        ),
        ({"on_train_begin": lambda self, logs=None: None}, "other than in Keras, the trainer comes first"),
        ({"on_epoch_end": 2, "state_dict": 0}, "Mine has state_dict, so it must have load_state_dict too"),
        (
            {"on_epoch_end": 2, "load_state_dict": 1},
            "Mine has load_state_dict, so it must have state_dict too",
        ),
        ({}, r"`callbacks` must have a method on_epoch_end\(trainer, logs\), got"),
    ],
)
def test_a_callback_that_would_not_work_is_refused_before_training(members, message):
    taking = [lambda self: None, lambda self, a: None, lambda self, a, b: None]
    kind = type("Mine", (), {n: taking[m] if isinstance(m, int) else m for n, m in members.items()})
    trainer = fc.Trainer(network())
    with pytest.raises(TypeError, match=message):
        trainer.fit(X, Y, callbacks=[kind()])
    assert trainer.steps_taken == 0


@pytest.mark.parametrize(
    "method",
    [
        lambda self, *args: None,
        lambda self, trainer, logs, more=None: None,
        lambda self, *args, **kwargs: None,
    ],
)
def test_a_method_may_take_more(method):
    fc.Trainer(network()).fit(X, Y, epochs=1, callbacks=[type("Mine", (), {"on_epoch_end": method})()])


def test_names_of_other_things_may_begin_alike():
    callback = Hears()
    callback.on_disk, callback.online = True, lambda: None
    fc.Trainer(network()).fit(X, Y, epochs=1, callbacks=[callback])


def test_the_callbacks_of_the_package_are_callbacks():
    for name in fc.callbacks.__all__:
        assert issubclass(getattr(fc.callbacks, name), fc.Callback)
        assert getattr(fc, name) is getattr(fc.callbacks, name)


# What callbacks may do


@pytest.mark.parametrize(
    ("hook", "epochs", "steps"),
    [("on_train_begin", 0, 0), ("on_epoch_begin", 1, 7), ("on_batch_end", 2, 10), ("on_epoch_end", 2, 14)],
)
@pytest.mark.parametrize("way", ["arrays", "batches"])
def test_a_callback_may_stop_training_at_any_moment(hook, epochs, steps, way):
    def stop(trainer, logs):
        if hook == "on_train_begin" or (logs["epoch"] == 1 and logs.get("batch", 2) == 2):
            trainer.stop_training = True

    trainer = fc.Trainer(plain_network(), metrics=("accuracy", "f1"))
    hears = Hears()
    history = trainer.fit(**WAYS[way], epochs=4, callbacks=[at(hook, stop), hears])
    assert len(history.get("loss", [])) == len(history.get("f1", [])) == epochs
    assert trainer.steps_taken == steps
    assert hears.calls[-1] == "train_end"
    twin = fc.Trainer(plain_network())
    for epoch in range(2):
        order = np.random.default_rng((0, epoch)).permutation(50) if way == "arrays" else np.arange(50)
        for k in range(0, 50, 8):
            if twin.steps_taken < steps:
                twin.train_on_batch(X[order[k : k + 8]], Y[order[k : k + 8]])
    assert_same_state(trainer.model, twin.model)
    assert len(trainer.fit(**WAYS[way], epochs=1)["loss"]) == 1


def test_figures_of_an_epoch_that_was_cut_are_those_of_its_steps():
    def stop(trainer, logs):
        trainer.stop_training = logs["batch"] == 2

    trainer, losses = fc.Trainer(network(), metrics=("accuracy", "f1")), []
    note = at("on_batch_end", lambda trainer, logs: losses.append(logs["loss"]))
    history = trainer.fit(X, Y, batch_size=8, epochs=3, callbacks=[note, at("on_batch_end", stop)])
    assert history["loss"] == [pytest.approx(np.mean(losses))]
    assert len(losses) == 3
    assert 0 <= history["f1"][0] <= 1


@pytest.mark.parametrize("hook", HOOKS)
def test_a_callback_that_raises_leaves_everything_usable(hook):
    def fail(trainer, logs):
        raise KeyError("out of luck")

    trainer, display = fc.Trainer(network()), Display()
    with pytest.raises(KeyError, match="out of luck"):
        trainer.fit(X, Y, batch_size=8, epochs=2, callbacks=[at(hook, fail)], progress=display)
    assert display.events[-1] == ("close",)
    steps = trainer.steps_taken
    assert steps == {"on_batch_end": 1, "on_epoch_end": 7, "on_train_end": 14}.get(hook, 0)
    trainer.loss = "cross_entropy"
    trainer.optimizer = fc.Adam()
    assert len(trainer.fit(X, Y, batch_size=8, epochs=1)["loss"]) == 1
    trainer.train_on_batch(X, Y)
    assert trainer.steps_taken == steps + 8


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_rate_that_a_callback_sets_holds_from_the_next_step_on(hook, momentum):
    def change(trainer, logs):
        if not logs or (logs["epoch"], logs.get("batch", 3)) == (1, 3):
            trainer.optimizer = trainer.optimizer.with_lr(0.03)

    class Rates:
        def learning_rates(self, first_step, count, steps_per_epoch, total_steps):
            first = {"on_train_begin": 0, "on_epoch_begin": 7, "on_batch_end": 11, "on_epoch_end": 14}
            steps = np.arange(first_step, first_step + count)
            return np.where(steps >= first.get(hook, 99), 0.03, 0.1)

    trainer = fc.Trainer(network(), optimizer=fc.SGD(0.1, momentum=momentum))
    twin = fc.Trainer(network(), optimizer=fc.SGD(Rates(), momentum=momentum))
    history = trainer.fit(X, Y, batch_size=8, epochs=3, callbacks=[at(hook, change)])
    assert figures(history) == figures(twin.fit(X, Y, batch_size=8, epochs=3))
    assert_same_state(trainer.model, twin.model)
    assert trainer.optimizer == fc.SGD(0.03, momentum=momentum)


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_epoch_end", "on_train_end"])
@pytest.mark.parametrize("other", [fc.Adam(0.01), fc.SGD(0.1, momentum=0.5), fc.SGD(0.1, clip_norm=1.0)])
def test_a_callback_may_assign_another_optimizer_between_epochs(hook, other):
    def change(trainer, logs):
        if not logs or logs["epoch"] == 1:
            trainer.optimizer = other

    trainer = fc.Trainer(network(), optimizer=fc.SGD(0.1, momentum=0.9))
    twin = fc.Trainer(network(), optimizer=fc.SGD(0.1, momentum=0.9))
    trainer.fit(X, Y, batch_size=8, epochs=3, callbacks=[at(hook, change)])
    at_epoch = {"on_train_begin": 0, "on_epoch_begin": 1, "on_epoch_end": 2}.get(hook, 3)
    for epoch in range(3):
        if epoch == at_epoch:
            twin.optimizer = other
        twin.fit(X, Y, batch_size=8, epochs=1)
    assert_same_state(trainer.model, twin.model)


@pytest.mark.parametrize("other", [fc.Adam(0.01), fc.SGD(0.1, momentum=0.5)])
def test_within_an_epoch_only_the_rate_may_change(other):
    def change(trainer, logs):
        trainer.optimizer = other

    trainer = fc.Trainer(network(), optimizer=fc.SGD(0.1, momentum=0.9))
    with pytest.raises(
        RuntimeError, match="in on_batch_end only the learning rate of the optimizer can change"
    ):
        trainer.fit(X, Y, callbacks=[at("on_batch_end", change)])
    assert trainer.optimizer == fc.SGD(0.1, momentum=0.9)
    trainer.optimizer = other
    trainer.fit(X, Y, epochs=1)


@pytest.mark.parametrize("hook", ["on_train_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end"])
def test_a_schedule_that_a_callback_assigns_needs_a_number_of_steps(hook):
    def change(trainer, logs):
        trainer.optimizer = trainer.optimizer.with_lr(fc.CosineDecay(0.1))

    endless = lambda: iter(batches())  # noqa: E731
    with pytest.raises(ValueError, match=r"`steps_per_epoch` must be given for CosineDecay"):
        fc.Trainer(network()).fit(endless, epochs=3, callbacks=[at(hook, change)])


@pytest.mark.parametrize("hook", HOOKS)
def test_fit_within_fit_is_refused(hook):
    trainer = fc.Trainer(network())
    with pytest.raises(RuntimeError, match="`fit` can't be called by a callback of `fit`"):
        trainer.fit(X, Y, epochs=2, callbacks=[at(hook, lambda trainer, logs: trainer.fit(X, Y))])
    assert len(trainer.fit(X, Y, epochs=1)["loss"]) == 1


def test_single_steps_between_epochs_are_steps_like_any_other():
    trainer, twin = (fc.Trainer(network(), optimizer=fc.Adam(0.01)) for _ in range(2))
    extra = at("on_epoch_end", lambda trainer, logs: trainer.train_on_batch(X[:5], Y[:5]))
    trainer.fit(X, Y, epochs=3, callbacks=[extra])
    for _ in range(3):
        twin.fit(X, Y, epochs=1)
        twin.train_on_batch(X[:5], Y[:5])
    assert_same_state(trainer.model, twin.model)
    assert trainer.steps_taken == twin.steps_taken == 9


def test_a_single_step_within_an_epoch_is_refused():
    trainer = fc.Trainer(network())
    step = at("on_batch_end", lambda trainer, logs: trainer.train_on_batch(X, Y))
    with pytest.raises(RuntimeError, match="`train_on_batch` can't be called in on_batch_end"):
        trainer.fit(X, Y, epochs=1, callbacks=[step])
    with pytest.raises(RuntimeError, match="`steps_taken` can't be changed within an epoch"):
        trainer.fit(
            X, Y, callbacks=[at("on_batch_end", lambda trainer, _: setattr(trainer, "steps_taken", 0))]
        )
    assert trainer.train_on_batch(X, Y) > 0


@pytest.mark.parametrize("hook", HOOKS)
def test_the_network_may_be_looked_at_and_saved_at_any_moment(hook, tmp_path):
    seen = []

    def look(trainer, logs):
        trainer.model.save(tmp_path / "model.npz")
        seen.append((trainer.steps_taken, trainer.evaluate(X, Y)["loss"], trainer.model.predict(X[:3])))
        copy.deepcopy(trainer).fit(X, Y, epochs=1)
        fc.Trainer(copy.deepcopy(trainer.model)).fit(X, Y, epochs=1)

    trainer, twin = fc.Trainer(network()), fc.Trainer(network())
    trainer.fit(X, Y, batch_size=16, epochs=2, callbacks=[at(hook, look)])
    twin.fit(X, Y, batch_size=16, epochs=2)
    assert_same_state(trainer.model, twin.model)
    steps = {
        "on_train_begin": [0],
        "on_epoch_begin": [0, 4],
        "on_batch_end": [*range(1, 9)],
        "on_epoch_end": [4, 8],
    }
    assert [taken for taken, _, _ in seen] == steps.get(hook, [8])
    if hook == "on_batch_end":
        assert len({loss for _, loss, _ in seen}) == 8


def test_parameters_that_a_callback_changes_within_an_epoch_hold_from_the_next_step_on():
    def reset(trainer, logs):
        if logs["batch"] == 3:
            trainer.model.load_state(start)

    trainer = fc.Trainer(network())
    start = trainer.model.state()
    trainer.fit(X, Y, batch_size=8, epochs=1, shuffle=False, callbacks=[at("on_batch_end", reset)])
    twin = fc.Trainer(network())
    for k in range(0, 50, 8):
        twin.train_on_batch(X[k : k + 8], Y[k : k + 8])
        if k == 24:
            twin.model.load_state(start)
    assert_same_state(trainer.model, twin.model)


def test_early_stopping_puts_nothing_back_in_a_run_without_an_epoch():
    stopping, trainer = fc.EarlyStopping("loss", mode="max"), fc.Trainer(network())
    trainer.fit(X, Y, epochs=3, callbacks=[stopping])
    trainer.fit(X, Y, epochs=3)
    before = trainer.model.state()
    stop = at("on_train_begin", lambda trainer, logs: setattr(trainer, "stop_training", True))
    assert trainer.fit(X, Y, callbacks=[stop, stopping]) == {}
    for name, array in trainer.model.state().items():
        np.testing.assert_array_equal(array, before[name])


def test_divergence_after_a_rate_was_changed_puts_the_epoch_back():
    def explode(trainer, logs):
        if logs["epoch"] == 1:
            trainer.optimizer = trainer.optimizer.with_lr(1e30)

    trainer, twin = fc.Trainer(network()), fc.Trainer(network())
    with pytest.raises(fc.DivergedError):
        trainer.fit(X, Y, batch_size=8, epochs=3, callbacks=[at("on_batch_end", explode)])
    twin.fit(X, Y, batch_size=8, epochs=1)
    assert_same_state(trainer.model, twin.model)
    assert trainer.steps_taken == 7
