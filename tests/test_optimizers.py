import dataclasses

import numpy as np
import pytest

from fastconv.optimizers import SGD, Adam, AdamW, resolve
from fastconv.schedules import CosineDecay, StepDecay


@pytest.mark.parametrize(
    ("optimizer", "torch_name", "names"),
    [
        (SGD(), "SGD", {"momentum": "momentum", "nesterov": "nesterov", "weight_decay": "weight_decay"}),
        (Adam(), "Adam", {"lr": "lr", "betas": "betas", "eps": "eps", "weight_decay": "weight_decay"}),
        (AdamW(), "AdamW", {"lr": "lr", "betas": "betas", "eps": "eps", "weight_decay": "weight_decay"}),
    ],
)
def test_defaults_are_pytorchs(optimizer, torch_name, names):
    torch = pytest.importorskip("torch")
    theirs = getattr(torch.optim, torch_name)([torch.zeros(1, requires_grad=True)]).defaults
    assert {ours: getattr(optimizer, ours) for ours in names} == {
        ours: theirs[name] for ours, name in names.items()
    }


def test_a_number_is_the_learning_rate_of_every_step():
    rates = SGD(lr=0.25).learning_rates(7, 3, steps_per_epoch=5, total_steps=50)
    np.testing.assert_array_equal(rates, [0.25] * 3)
    assert rates.dtype == np.float64


@pytest.mark.parametrize("optimizer_type", [SGD, Adam, AdamW])
def test_a_schedule_gives_the_learning_rates(optimizer_type):
    rates = optimizer_type(lr=StepDecay(1.0, 1)).learning_rates(1, 3, steps_per_epoch=2, total_steps=6)
    np.testing.assert_allclose(rates, [1.0, 0.1, 0.1])


def test_optimizers_are_frozen_and_compare_by_value():
    assert Adam(lr=np.float32(0.5), betas=[0.8, 0.9]) == Adam(lr=0.5, betas=(0.8, 0.9))
    assert SGD(lr=CosineDecay(0.1)) == SGD(lr=CosineDecay(0.1)) != SGD(lr=CosineDecay(0.2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        SGD().lr = 1.0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: SGD(lr=-0.1), ValueError, r"`lr` must be a number >= 0, got -0.1"),
        (lambda: SGD(lr=float("inf")), ValueError, "`lr`"),
        (lambda: SGD(lr="fast"), TypeError, "`lr` must be a number >= 0, got 'fast'"),
        (lambda: SGD(lr=CosineDecay), TypeError, "`lr` must be a schedule, not its class"),
        (lambda: SGD(lr=SGD()), TypeError, "`lr` must be a number or a schedule"),
        (lambda: SGD(momentum=1.0), ValueError, "`momentum` must be a number >= 0 and < 1, got 1.0"),
        (lambda: SGD(weight_decay=-1), ValueError, "`weight_decay`"),
        (lambda: SGD(nesterov=True), ValueError, "`nesterov` needs `momentum` > 0"),
        (lambda: SGD(nesterov=1, momentum=0.9), TypeError, "`nesterov` must be True or False, got 1"),
        (lambda: Adam(betas=0.9), TypeError, "`betas` must be a pair of numbers, got 0.9"),
        (lambda: Adam(betas=(0.9,)), ValueError, "`betas` must be a pair of numbers"),
        (lambda: Adam(betas=(0.9, 1.0)), ValueError, r"`betas\[1\]` must be a number >= 0 and < 1, got 1.0"),
        (lambda: Adam(eps=-1e-8), ValueError, "`eps`"),
        (lambda: AdamW(weight_decay=float("nan")), ValueError, "`weight_decay`"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_an_optimizer_can_be_named():
    assert resolve("SGD") == SGD()
    assert resolve("adamw") == AdamW()
    assert resolve(optimizer := Adam(lr=0.5)) is optimizer


@pytest.mark.parametrize(
    ("optimizer", "error"), [("rmsprop", ValueError), (Adam, TypeError), (None, TypeError)]
)
def test_what_is_no_optimizer_is_refused(optimizer, error):
    with pytest.raises(error, match="`optimizer` must be"):
        resolve(optimizer)
