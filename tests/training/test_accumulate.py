"""Several batches as one step: the bits of the large batch, of arrays and of what gives batches."""

import pickle

import numpy as np
import pytest

import fastconv as fc
from tests.training.batches_of_runs import assert_same_bits, figures

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(50, 1, 6, 6)), RNG.integers(0, 3, 50)
W = RNG.random(50)


def network(dtype="float32"):
    layers = [fc.Conv2d(4, 3), fc.BatchNorm2d(), fc.ReLU(), fc.Flatten(), fc.Dropout(0.2), fc.Dense(3)]
    return fc.Sequential(layers, (1, 6, 6), dtype, seed=1)


def trainer_of(accumulate=1, dtype="float32", optimizer=None):
    optimizer = fc.Adam(fc.CosineDecay(0.01)) if optimizer is None else optimizer
    return fc.Trainer(network(dtype), optimizer=optimizer, metrics=("accuracy", "f1"), accumulate=accumulate)


def batches(size, arrays=(X, Y)):
    return [tuple(a[k : k + size] for a in arrays) for k in range(0, 50, size)]


def assert_same_run(one, other, history, again):
    assert figures(history) == figures(again)
    assert one.steps_taken == other.steps_taken
    assert_same_bits(one.model, other.model)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("weights", [None, W])
def test_arrays_are_trained_on_with_the_bits_of_the_large_batch(dtype, weights):
    one, other = trainer_of(4, dtype), trainer_of(1, dtype)
    options = {"epochs": 3, "validation_split": 0.2, "sample_weight": weights}
    history = one.fit(X, Y, batch_size=4, **options)
    assert_same_run(one, other, history, other.fit(X, Y, batch_size=16, **options))


FORMS = {
    "a list": lambda size: batches(size),
    "a function": lambda size: lambda: iter(batches(size)),
    "weights": lambda size: batches(size, (X, Y, W)),
    "rows": lambda size: batches(size, (X, np.eye(3)[Y] * 0.7 + 0.1)),
    "bytes": lambda size: batches(size, ((X * 20 + 128).astype(np.uint8), Y)),
}


@pytest.mark.parametrize("form", FORMS)
def test_batches_are_trained_on_with_the_bits_of_large_ones(form):
    one, other = trainer_of(3), trainer_of()
    history = one.fit(FORMS[form](4), epochs=3, steps_per_epoch=13 if form == "a function" else None)
    again = other.fit(FORMS[form](12), epochs=3, steps_per_epoch=5 if form == "a function" else None)
    assert_same_run(one, other, history, again)
    assert one.steps_taken == 15  # 13 batches are 4 groups of 3, and one that is left


def test_an_endless_generator_is_taken_in_groups():
    def endless(size):
        while True:
            yield from (batch for batch in batches(size) if len(batch[0]) == size)

    one, other = trainer_of(2, optimizer=fc.SGD(0.1)), trainer_of(optimizer=fc.SGD(0.1))
    history = one.fit(endless(8), epochs=2, steps_per_epoch=6)
    assert one.steps_taken == 6
    again = other.fit(endless(16), epochs=2, steps_per_epoch=3)
    assert_same_run(one, other, history, again)


def test_the_last_group_of_an_epoch_divides_by_its_own_size():
    """Groups of 40 and 10 samples: the second step is that of the 10 alone."""
    one, other = (trainer_of(4, "float64", fc.SGD(0.1)), trainer_of(1, "float64", fc.SGD(0.1)))
    one.fit(batches(10), epochs=1)
    other.train_on_batch(X[:40], Y[:40])
    other.train_on_batch(X[40:], Y[40:])
    assert_same_bits(one.model, other.model)


def test_mixed_batches_are_joined_as_they_are_meant():
    images, soft = (X * 20 + 128).astype(np.uint8), np.eye(3)[Y] * 0.7 + 0.1
    mixed = [(images[:8], Y[:8]), (images[8:16] / 255, soft[8:16]), (images[16:24], Y[16:24], W[16:24])]
    whole = [(images[:24] / 255, np.concatenate([np.eye(3)[Y[:8]], soft[8:16], np.eye(3)[Y[16:24]]]),
              np.concatenate([np.ones(16), W[16:24]]))]  # fmt: skip
    one, other = trainer_of(3, "float64"), trainer_of(1, "float64")
    history, again = one.fit(mixed, epochs=2), other.fit(whole, epochs=2)
    assert history["loss"] == pytest.approx(again["loss"], rel=1e-12)
    np.testing.assert_allclose(one.model.flat_parameters, other.model.flat_parameters, rtol=1e-9, atol=1e-12)


def test_callbacks_and_schedules_count_steps():
    seen = []

    class Notes(fc.Callback):
        def on_batch_end(self, trainer, logs):
            seen.append(logs["batch"])

    trainer = trainer_of(5, optimizer=fc.SGD(fc.Warmup(0.1, steps=4)))
    history = trainer.fit(batches(5), epochs=3, callbacks=[Notes()])
    assert seen == [0, 1] * 3
    assert history["learning_rate"] == [0.05, 0.1, 0.1]


def test_a_resumed_run_has_the_same_bits(tmp_path):
    whole = trainer_of(3, optimizer=fc.Adam(0.01))
    whole.fit(batches(8), epochs=4)
    for epochs in (2, 4):
        trainer = trainer_of(3, optimizer=fc.Adam(0.01))
        trainer.fit(batches(8), epochs=epochs, checkpoint=tmp_path / "run.npz", resume=True)
    assert_same_bits(trainer.model, whole.model)


def test_what_is_not_finite_is_found_in_its_group():
    bad = X.copy()
    bad[13, 0, 2, 3] = np.nan
    where = r"`X of batch 1 and the 2 after it` .* got nan at \[13, 0, 2, 3\]"
    with pytest.raises(fc.NotFiniteError, match=where):
        trainer_of(3).fit([(bad[k : k + 8], Y[k : k + 8]) for k in range(0, 50, 8)], epochs=1)


def test_it_is_assigned_pickled_and_left_out_of_single_steps():
    trainer = trainer_of(4, optimizer=fc.SGD(0.1))
    assert pickle.loads(pickle.dumps(trainer)).accumulate == 4
    trainer.train_on_batch(X, Y)
    assert trainer.steps_taken == 1
    trainer.accumulate = 2
    trainer.fit(X, Y, epochs=1, batch_size=10)
    assert trainer.steps_taken == 4


@pytest.mark.parametrize("accumulate", [0, -1, 1.5, "4", True])
def test_what_is_no_number_of_batches_is_refused(accumulate):
    with pytest.raises((TypeError, ValueError), match="`accumulate` must be an int >= 1, got"):
        trainer_of(accumulate)
