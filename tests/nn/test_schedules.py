import math

import numpy as np
import pytest

import fastconv as fc
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


# Warm-up


RATES = [0.1, fc.CosineDecay(0.1), fc.OneCycle(0.1), fc.StepDecay(0.1, 2)]


@pytest.mark.parametrize("lr", RATES, ids=repr)
@pytest.mark.parametrize("steps", [1, 5, 12, 40])
def test_a_warm_up_rises_in_a_line_and_goes_on_as_the_rate_says(lr, steps):
    schedule = fc.Warmup(lr, steps=steps)
    rates = schedule.learning_rates(0, 24, steps_per_epoch=6, total_steps=24)
    left = max(24 - steps, 1)

    def after(first, count):
        if isinstance(lr, float):
            return np.full(count, lr)
        return lr.learning_rates(first, count, steps_per_epoch=6, total_steps=left)

    rising = min(steps, 24)
    np.testing.assert_allclose(rates[:rising], after(0, 1) * np.arange(1, rising + 1) / steps, rtol=1e-15)
    np.testing.assert_array_equal(rates[rising:], after(0, max(24 - steps, 0)))


@pytest.mark.parametrize("lr", RATES, ids=repr)
def test_a_warm_up_asked_in_pieces_gives_the_same_rates(lr):
    schedule = fc.Warmup(lr, steps=7)
    whole = schedule.learning_rates(0, 24, steps_per_epoch=6, total_steps=24)
    for size in (1, 3, 5, 24):
        pieces = [
            schedule.learning_rates(first, min(size, 24 - first), steps_per_epoch=6, total_steps=24)
            for first in range(0, 24, size)
        ]
        np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_a_warm_up_is_that_of_pytorch():
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    linear = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / 5, total_iters=4)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [linear, cosine], milestones=[5])
    wanted = []
    for _ in range(20):
        wanted.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        both.step()
    rates = fc.Warmup(fc.CosineDecay(0.1), steps=5).learning_rates(0, 20, steps_per_epoch=4, total_steps=20)
    np.testing.assert_allclose(rates, wanted, rtol=1e-9)


class Cut(fc.Callback):
    """Ends a run before its third epoch, as a power cut would."""

    def on_epoch_begin(self, trainer, logs):
        if logs["epoch"] == 2:
            raise RuntimeError("cut")


def test_a_warm_up_goes_on_after_a_checkpoint(tmp_path):
    X, y = np.random.default_rng(0).normal(size=(32, 3)), np.arange(32) % 2
    optimizer = fc.Adam(fc.Warmup(fc.CosineDecay(0.1), steps=6))
    options = {"epochs": 4, "batch_size": 8}
    whole, other = (fc.Trainer(fc.Sequential([fc.Dense(2)], (3,)), optimizer=optimizer) for _ in range(2))
    history = whole.fit(X, y, **options)
    with pytest.raises(RuntimeError, match="cut"):
        other.fit(X, y, checkpoint=tmp_path / "run.npz", callbacks=[Cut()], **options)
    other = fc.Trainer(fc.Sequential([fc.Dense(2)], (3,)), optimizer=optimizer)
    again = other.fit(X, y, checkpoint=tmp_path / "run.npz", resume=True, **options)
    assert again["learning_rate"] == history["learning_rate"]
    assert history["learning_rate"][0] == pytest.approx(0.1 * 4 / 6)
    assert other.model.flat_parameters.tobytes() == whole.model.flat_parameters.tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lr": -0.1, "steps": 5}, "`lr`"),
        ({"lr": 0.1, "steps": 0}, "`steps` must be an int >= 1, got 0"),
        ({"lr": 0.1, "steps": 1.5}, "`steps` must be an int >= 1, got 1.5"),
        ({"lr": fc.CosineDecay, "steps": 5}, "`lr` must be a schedule, not its class"),
        ({"lr": "0.1", "steps": 5}, "`lr`"),
    ],
)
def test_a_warm_up_of_something_else_is_refused(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fc.Warmup(**arguments)
