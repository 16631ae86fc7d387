"""The moving average of the weights: its numbers, where the network has it, and runs that go on."""

import numpy as np
import pytest

import fastconv as fc

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(48, 2, 6, 6)), RNG.integers(0, 3, 48)


def network(dtype="float32", norm=True):
    layers = [fc.Conv2d(4, 3), *([fc.BatchNorm2d()] if norm else []), fc.Tanh(), fc.Flatten(), fc.Dense(3)]
    return fc.Sequential(layers, (2, 6, 6), dtype, seed=1)


def trainer_of(dtype="float32", norm=True):
    return fc.Trainer(network(dtype, norm), optimizer=fc.Adam(0.01))


class Notes(fc.Callback):
    """Takes down the weights after each step, at validation, and at the end of epochs."""

    def __init__(self):
        self.steps, self.begun, self.validated, self.ended = [], [], [], []

    def on_epoch_begin(self, trainer, logs):
        self.begun.append(trainer.model.state())

    def on_batch_end(self, trainer, logs):
        self.steps.append(trainer.model.state())

    def on_validation_begin(self, trainer):
        self.validated.append(trainer.model.state())

    def on_epoch_end(self, trainer, logs):
        self.ended.append(trainer.model.state())


def averages(start, steps, decay, warmup):
    average = {name: array.copy() for name, array in start.items()}
    for t, state in enumerate(steps):
        kept = min(decay, (1 + t) / (10 + t)) if warmup else decay
        for name, array in state.items():
            average[name] += array.dtype.type(1 - kept) * (array - average[name])
    return average


def assert_same(state, other):
    assert state.keys() == other.keys()
    for name, array in state.items():
        np.testing.assert_array_equal(array, other[name])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("warmup", [True, False])
@pytest.mark.parametrize("validated", [True, False])
def test_the_network_has_the_average_from_validation_to_the_next_epoch(dtype, warmup, validated):
    trainer, plain = trainer_of(dtype), trainer_of(dtype)
    start, notes, alone = trainer.model.state(), Notes(), Notes()
    options = {"epochs": 3, "batch_size": 8, "validation_data": (X, Y) if validated else None}
    history = trainer.fit(X, Y, callbacks=[fc.EMA(0.9, warmup=warmup), notes], **options)
    plain.fit(X, Y, callbacks=[alone], **options)
    for step, other in zip(notes.steps, alone.steps, strict=True):  # the steps are what they were
        assert_same(step, other)
    for state in (notes.ended[-1], trainer.model.state(), *notes.validated[-1:]):
        assert_same(state, averages(start, notes.steps, 0.9, warmup))
    assert_same(notes.begun[1], notes.steps[5])
    if validated:
        assert len(notes.validated) == 3
        assert trainer.evaluate(X, Y)["loss"] == history["val_loss"][-1]


def test_a_checkpointed_model_and_early_stopping_have_the_averages(tmp_path):
    notes = Notes()
    callbacks = [fc.EMA(0.9), fc.ModelCheckpoint(tmp_path / "{epoch}.npz", save_best_only=False), notes]
    trainer_of().fit(X, Y, epochs=2, batch_size=8, validation_data=(X, Y), callbacks=callbacks)
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    for path, state in zip(files, notes.ended, strict=True):
        assert_same(fc.load(path).state(), state)
    trainer, notes = trainer_of(), Notes()
    stopping = fc.EarlyStopping(patience=1, min_delta=10.0)
    trainer.fit(
        X, Y, epochs=5, batch_size=8, validation_data=(X, Y), callbacks=[fc.EMA(0.9), stopping, notes]
    )
    assert stopping.best_epoch == 0
    assert_same(trainer.model.state(), notes.validated[0])


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_a_resumed_run_ends_with_the_same_bits(norm, dtype, suffix, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    whole, options = trainer_of(dtype, norm), {"batch_size": 8, "validation_split": 0.25}
    history = whole.fit(X, Y, epochs=4, callbacks=[fc.EMA(0.95)], **options)
    path = tmp_path / f"run{suffix}"
    for epochs in (2, 4):
        ema, trainer = fc.EMA(0.95), trainer_of(dtype, norm)
        again = trainer.fit(X, Y, epochs=epochs, callbacks=[ema], checkpoint=path, resume=True, **options)
    assert_same(trainer.model.state(), whole.model.state())
    assert again["val_loss"] == history["val_loss"]
    assert ema.updates == 20


def test_it_has_the_same_bits_on_any_threads():
    before, found = fc.get_num_threads(), set()
    for threads in (1, 2, 5):
        fc.set_num_threads(threads)
        trainer = trainer_of()
        trainer.fit(X, Y, epochs=2, batch_size=16, callbacks=[fc.EMA(0.9)])
        found.add(trainer.model.flat_parameters.tobytes())
    fc.set_num_threads(before)
    assert len(found) == 1


def test_two_calls_with_one_average_do_what_one_call_does():
    one, other, ema = trainer_of(), trainer_of(), fc.EMA(0.9)
    one.fit(X, Y, epochs=4, batch_size=8, callbacks=[fc.EMA(0.9)])
    for _ in range(2):
        other.fit(X, Y, epochs=2, batch_size=8, callbacks=[ema])
    assert_same(one.model.state(), other.model.state())


def test_a_network_that_was_changed_in_between_begins_a_new_average():
    trainer, ema = trainer_of(), fc.EMA(0.9)
    trainer.fit(X, Y, epochs=1, batch_size=8, callbacks=[ema])
    trainer.model.flat_parameters[:] = 0.5
    notes = Notes()
    trainer.fit(X, Y, epochs=1, batch_size=8, callbacks=[ema, notes])
    assert ema.updates == 6
    np.testing.assert_array_equal(notes.begun[0]["0.weight"], 0.5)


def test_frozen_layers_stay_as_they_are():
    trainer = trainer_of()
    trainer.model.freeze("0", "1")
    before = trainer.model.state()
    trainer.fit(X, Y, epochs=2, callbacks=[fc.EMA(0.9)])
    changed = {n for n, a in trainer.model.state().items() if (a != before[n]).any()}
    assert changed == {"4.weight", "4.bias"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"decay": 1.0}, "`decay` must be a number >= 0 and < 1, got 1.0"),
        ({"decay": -0.1}, "`decay`"),
        ({"decay": "0.9"}, "`decay`"),
        ({"warmup": 100}, "`warmup` must be True or False, got 100"),
    ],
)
def test_wrong_settings_are_refused_by_name(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fc.EMA(**arguments)
