"""`lr` and `learning_rate` are one, in everything that has a learning rate."""

import copy
import dataclasses
import inspect
import pickle
from typing import get_args

import numpy as np
import pytest

import fastconv as fc
from fastconv.nn import losses, optimizers, schedules
from fastconv.training import running_metrics


def update(w, gradient, options):
    return w - options.lr * gradient


def elementwise(*args, **kwargs):
    return fc.ElementwiseOptimizer(update, *args, **kwargs)


SCHEDULES = {
    "StepDecay": lambda *args, **kwargs: fc.StepDecay(*args, step_size=2, **kwargs),
    "CosineDecay": fc.CosineDecay,
    "OneCycle": fc.OneCycle,
    "Warmup": lambda *args, **kwargs: fc.Warmup(*args, steps=3, **kwargs),
}
KINDS = {
    **{kind.__name__: kind for kind in optimizers.BY_NAME.values()},
    "Elementwise": elementwise,
    **SCHEDULES,
}
OPTIMIZERS = [name for name in KINDS if name not in SCHEDULES]


def test_all_optimizers_and_schedules_are_looked_at():
    assert {*optimizers.__all__} == {
        name.replace("Elementwise", "ElementwiseOptimizer") for name in OPTIMIZERS
    }
    kinds = [k for k in vars(schedules).values() if inspect.isclass(k) and k.__module__ == schedules.__name__]
    assert {kind.__name__ for kind in kinds} == {*SCHEDULES, "Schedule"}


@pytest.mark.parametrize("name", KINDS)
def test_either_name_is_taken_and_read(name):
    made = KINDS[name](learning_rate=0.25)
    assert made == KINDS[name](lr=0.25) == KINDS[name](0.25)
    assert made.lr == made.learning_rate == 0.25
    assert repr(made) == repr(KINDS[name](lr=0.25))
    assert copy.deepcopy(made) == made == pickle.loads(pickle.dumps(made))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("args", [(0.1,), ()])
def test_both_names_are_refused(name, args):
    both = {} if args else {"lr": 0.1}
    with pytest.raises(TypeError, match=r"`lr` and `learning_rate` of .* are one: .*got both"):
        KINDS[name](*args, learning_rate=0.1, **both)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("rate", [-1, "0.1", np.nan])
def test_it_is_checked_under_either_name(name, rate):
    with pytest.raises((TypeError, ValueError), match="`lr` must be"):
        KINDS[name](learning_rate=rate)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_schedule_is_taken_under_either_name(name):
    assert KINDS[name](learning_rate=fc.CosineDecay(0.1)).learning_rate == fc.CosineDecay(learning_rate=0.1)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_same_optimizer_with_another_rate_has_all_its_other_settings(name):
    made = KINDS[name](lr=0.1, clip_norm=2.0)
    other = made.with_lr(0.5)
    assert (made.lr, other.lr, other.clip_norm, type(other)) == (0.1, 0.5, 2.0, type(made))
    assert other.with_lr(0.1) == made
    with pytest.raises(ValueError, match="`lr` must be a number >= 0"):
        made.with_lr(-1)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("setting", ["lr", "learning_rate", "clip_norm"])
def test_assigning_to_an_optimizer_says_what_to_do(name, setting):
    made = KINDS[name]()
    before = made.settings() if name != "Elementwise" else made.lr
    with pytest.raises(
        AttributeError, match=rf"`{setting}` of an optimizer can't be assigned.*with_lr\(0\.01\)"
    ):
        setattr(made, setting, 0.5)
    with pytest.raises(dataclasses.FrozenInstanceError):
        del made.lr
    assert (made.settings() if name != "Elementwise" else made.lr) == before


def test_a_subclass_of_the_users_own_keeps_attributes_of_its_own():
    class Named(fc.SGD):
        def __init__(self, name, **others):
            super().__init__(**others)
            self.name = name
            self.name = name * 2

    @dataclasses.dataclass(frozen=True)
    class Frozen(fc.Adam):
        name: str = "a"

    assert Named("a", learning_rate=0.5).with_lr(0.25).name == "aa"
    assert Frozen(0.5).with_lr(0.25) == Frozen(0.25)


@pytest.mark.parametrize("optimizer", [fc.SGD(lr=0.1), fc.SGD(learning_rate=0.1)])
def test_a_network_is_trained_the_same_by_either(optimizer):
    trainer = fc.Trainer(fc.models.reference_cnn(), loss="bce", optimizer=optimizer)
    X = np.random.default_rng(0).random((8, 1, 6, 6))
    assert trainer.fit(X, np.arange(8) % 2, epochs=1)["learning_rate"] == [0.1]


def test_the_types_of_names_are_the_tables():
    assert get_args(losses.LossName) == tuple(losses.LOSSES)
    assert get_args(optimizers.OptimizerName) == tuple(optimizers.BY_NAME)
    assert get_args(running_metrics.MetricName) == running_metrics.NAMES
