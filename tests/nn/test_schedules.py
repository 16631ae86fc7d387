import math

import numpy as np
import pytest

from fastconv.nn.schedules import CosineDecay, OneCycle, Schedule, StepDecay

SCHEDULES = [StepDecay(0.1, 2), StepDecay(0.3, 1, gamma=0.5), CosineDecay(0.1, min_lr=0.02), OneCycle(0.1)]


def whole_run(schedule, epochs, steps_per_epoch):
    total = epochs * steps_per_epoch
    return schedule.learning_rates(0, total, steps_per_epoch, total)


def torch_rates(make, count, lr=0.1, per_epoch=1):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates = []
    for step in range(count):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % per_epoch == 0 and step + 1 < count:
            scheduler.step()
    return rates


def test_step_decay_falls_by_gamma_every_step_size_epochs():
    rates = whole_run(StepDecay(0.8, step_size=2, gamma=0.5), epochs=5, steps_per_epoch=3)
    np.testing.assert_allclose(rates, [0.8] * 6 + [0.4] * 6 + [0.2] * 3)


def test_step_decay_is_pytorchs():
    expected = torch_rates(lambda s, o: s.StepLR(o, 3, gamma=0.3), 40, per_epoch=4)
    np.testing.assert_allclose(whole_run(StepDecay(0.1, 3, gamma=0.3), 10, 4), expected, rtol=1e-12)


def test_cosine_decay_at_hand_worked_steps():
    rates = whole_run(CosineDecay(1.0, min_lr=0.2), epochs=1, steps_per_epoch=4)
    # min + (lr - min) / 2 (1 + cos(pi t / 4)) at t = 0, 1, 2, 3
    half = math.sqrt(0.5)
    np.testing.assert_allclose(rates, [1.0, 0.2 + 0.4 * (1 + half), 0.6, 0.2 + 0.4 * (1 - half)])


def test_cosine_decay_is_pytorchs():
    expected = torch_rates(lambda s, o: s.CosineAnnealingLR(o, 30, eta_min=0.01), 30)
    np.testing.assert_allclose(whole_run(CosineDecay(0.1, min_lr=0.01), 3, 10), expected, rtol=1e-9)


@pytest.mark.parametrize("total", [3, 4, 10, 97])
@pytest.mark.parametrize("start_fraction", [0.2, 0.3, 0.5])
def test_one_cycle_is_pytorchs(total, start_fraction):
    if start_fraction * total == 1:
        pytest.skip("PyTorch divides by zero")

    def make(s, o):
        return s.OneCycleLR(
            o, 0.1, total_steps=total, pct_start=start_fraction, div_factor=20, final_div_factor=50
        )

    ours = whole_run(OneCycle(0.1, start_fraction=start_fraction, div=20, final_div=50), 1, total)
    np.testing.assert_allclose(ours, torch_rates(make, total), rtol=1e-9)


@pytest.mark.parametrize("total", [1, 2, 3])
def test_one_cycle_of_a_very_short_run_is_finite_and_at_most_the_peak(total):
    for start_fraction in (0.01, 1 / 3, 0.5, 0.99):
        rates = whole_run(OneCycle(0.1, start_fraction=start_fraction), 1, total)
        assert np.isfinite(rates).all()
        assert (rates > 0).all()
        assert (rates <= 0.1).all()


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_asking_in_chunks_gives_the_same_bits_as_asking_at_once(schedule):
    at_once = schedule.learning_rates(0, 60, 10, 60)
    chunks = [
        schedule.learning_rates(first, count, 10, 60) for first, count in ((0, 7), (7, 1), (8, 0), (8, 52))
    ]
    np.testing.assert_array_equal(np.concatenate(chunks), at_once)
    assert at_once.dtype == np.float64
    assert at_once.shape == (60,)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_steps_beyond_the_run_stay_finite(schedule):
    rates = schedule.learning_rates(55, 20, 10, 60)
    assert np.isfinite(rates).all()
    assert (rates >= 0).all()
    if not isinstance(schedule, StepDecay):
        assert (np.diff(rates) <= 0).all()


def test_the_schedules_are_schedules():
    assert all(isinstance(schedule, Schedule) for schedule in SCHEDULES)


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: StepDecay(-1, 2), "lr"),
        (lambda: StepDecay(0.1, 0), "step_size"),
        (lambda: StepDecay(0.1, 2, gamma=0), "gamma"),
        (lambda: CosineDecay(0.1, min_lr=0.2), "min_lr"),
        (lambda: CosineDecay(float("nan")), "lr"),
        (lambda: OneCycle(0.1, start_fraction=1.0), "start_fraction"),
        (lambda: OneCycle(0.1, start_fraction=0.0), "start_fraction"),
        (lambda: OneCycle(0.1, div=0), "div"),
        (lambda: OneCycle(0.1, final_div=-1), "final_div"),
    ],
)
def test_settings_out_of_range_are_refused_by_name(make, name):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        make()
