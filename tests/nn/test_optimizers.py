import dataclasses

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import engine
from fastconv.engine.builder import Builder
from fastconv.engine.engine import Engine
from fastconv.engine.run import Run
from fastconv.nn import losses
from fastconv.nn.losses import MSE
from fastconv.nn.optimizers import SGD, Adam, AdamW, resolve
from fastconv.nn.schedules import CosineDecay, StepDecay


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
        (lambda: SGD(clip_norm=0), ValueError, "`clip_norm` must be a number > 0, got 0"),
        (lambda: Adam(clip_norm="1"), TypeError, "`clip_norm` must be a number > 0, got '1'"),
        (lambda: AdamW(clip_value=-1.0), ValueError, "`clip_value` must be a number > 0, got -1.0"),
        (lambda: Adam(clip_value=float("nan")), ValueError, "`clip_value` must be a number > 0, got nan"),
        (
            lambda: SGD(clip_norm=1.0, clip_value=2.0),
            ValueError,
            "`clip_value` must be None where `clip_norm`",
        ),
        (lambda: SGD(0.1, 0.9, True, 0.0, 1.0), TypeError, "positional"),
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
    ("optimizer", "error"), [("lbfgs", ValueError), (Adam, TypeError), (None, TypeError)]
)
def test_what_is_no_optimizer_is_refused(optimizer, error):
    with pytest.raises(error, match="`optimizer` must be"):
        resolve(optimizer)


# Clipping

OPTIMIZERS = {
    "SGD": (SGD, {"lr": 0.3}),
    "SGD with momentum": (SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "Adam": (Adam, {"lr": 0.01, "weight_decay": 0.1, "eps": 1e-4}),
    "AdamW": (AdamW, {"lr": 0.01, "weight_decay": 0.1, "eps": 1e-4}),
}
FEATURES, HIDDEN, STEPS, BATCH = 7, 200, 6, 5  # 2,203 parameters: two chunks of squares and a part of one


def wide_network(dtype):
    return fc.Sequential([fc.Dense(HIDDEN), fc.Tanh(), fc.Dense(3)], (FEATURES,), dtype=dtype, seed=3)


def regression_data():
    """Batches whose gradients grow from step to step, so that some are clipped and some not."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(STEPS * BATCH, FEATURES))
    return X, rng.normal(size=(STEPS * BATCH, 3)) * np.repeat(2.0 ** np.arange(STEPS), BATCH)[:, None]


def torch_steps(torch, model, name, options, clip):
    """PyTorch's parameters after the same steps, and how many of them were clipped."""
    kind = getattr(torch, model.dtype)
    twin = torch.nn.Sequential(
        torch.nn.Linear(FEATURES, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, 3)
    ).to(kind)
    twin.load_state_dict({n: torch.tensor(a) for n, a in model.parameters().items()})
    optimizer = getattr(torch.optim, name)(twin.parameters(), **options)
    X, y = (torch.tensor(a, dtype=kind) for a in regression_data())
    clipped = 0
    for first in range(0, len(X), BATCH):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(twin(X[first : first + BATCH]), y[first : first + BATCH]).backward()
        before = [p.grad.clone() for p in twin.parameters()]
        clip(torch, twin)
        clipped += any((p.grad != g).any().item() for p, g in zip(twin.parameters(), before, strict=True))
        optimizer.step()
    return {n: p.detach().numpy() for n, p in twin.named_parameters()}, clipped


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    ("settings", "clip"),
    [
        ({"clip_norm": 4.0}, lambda torch, twin: torch.nn.utils.clip_grad_norm_(twin.parameters(), 4.0)),
        ({"clip_value": 1.5}, lambda torch, twin: torch.nn.utils.clip_grad_value_(twin.parameters(), 1.5)),
    ],
    ids=["clip_norm", "clip_value"],
)
def test_clipped_steps_are_pytorchs(settings, clip, name, dtype):
    torch = pytest.importorskip("torch")
    optimizer_type, options = OPTIMIZERS[name]
    model = wide_network(dtype)
    expected, clipped = torch_steps(torch, model, optimizer_type.__name__, options, clip)
    assert 0 < clipped < STEPS
    X, y = regression_data()
    fc.Trainer(model, "mse", optimizer_type(**options, **settings)).fit(
        X, y, epochs=1, batch_size=BATCH, shuffle=False
    )
    tolerance = 1e-5 if dtype == "float32" else 1e-11
    for parameter, array in model.parameters().items():
        np.testing.assert_allclose(array, expected[parameter], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("settings", [{"clip_norm": 0.5}, {"clip_value": 0.01}])
def test_clipped_steps_have_the_same_bits_on_any_number_of_threads(monkeypatch, settings, dtype):
    monkeypatch.setattr(engine, "PRODUCTS_PER_THREAD", 1)  # so that a small network has work for all
    before = fc.get_num_threads()
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(128, FEATURES)), rng.normal(size=(128, 3))
    results = []
    try:
        for threads in (1, 2, 3, 7):
            fc.set_num_threads(threads)
            model = wide_network(dtype)
            fc.Trainer(model, "mse", SGD(0.5, **settings)).fit(X, y, epochs=3, batch_size=128)
            results.append(model.flat_parameters.copy())
    finally:
        fc.set_num_threads(before)
    for other in results[1:]:
        np.testing.assert_array_equal(results[0], other)


def one_step(optimizer, slope, dtype="float32"):
    """How a weight of 0 moves where the gradient is `slope`: the mean of (x * w - t)^2 at t = -slope / 2."""
    model = fc.Sequential([fc.Dense(1, bias=False)], (1,), dtype=dtype)
    model.flat_parameters[...] = 0.0
    fc.Trainer(model, "mse", optimizer).fit(np.ones((1, 1)), np.full((1, 1), -slope / 2), epochs=1)
    return float(model.flat_parameters[0])


def test_a_gradient_of_1e30_is_scaled_to_the_norm_asked_for():
    # The weights are huge, not the targets: the gradient of w1 is x * w2 * 2 (y - t) with w2 = 1e30.
    model = fc.Sequential([fc.Dense(2, bias=False), fc.Dense(1, bias=False)], (1,), dtype="float32")
    first, second = model.parameters().values()
    first[...], second[...] = 0.0, [[6e29, 8e29]]
    fc.Trainer(model, "mse", SGD(1.0, clip_norm=2.0)).fit(np.ones((1, 1)), np.full((1, 1), -0.5), epochs=1)
    np.testing.assert_allclose(first.ravel(), [-1.2, -1.6], rtol=1e-6)
    np.testing.assert_allclose(second.ravel(), [6e29, 8e29], rtol=1e-6)


def test_a_gradient_within_the_limit_is_not_changed():
    assert one_step(SGD(1.0, clip_norm=3.0), 3.0 - 1e-5, "float64") == -(3.0 - 1e-5)
    assert one_step(SGD(1.0, clip_value=3.0), 3.0, "float64") == -3.0
    assert one_step(SGD(1.0, clip_value=3.0), -5.0, "float64") == 3.0


@pytest.mark.parametrize(
    ("settings", "first"), [({"clip_norm": 1.0}, np.nan), ({"clip_value": 0.25}, 0.25)], ids=["norm", "value"]
)
def test_a_gradient_that_is_not_a_number_is_not_hidden(settings, first):
    model = fc.Sequential([fc.Dense(2, bias=False)], (1,))
    model.flat_parameters[...] = 0.0
    with pytest.raises(fc.DivergedError):
        fc.Trainer(model, "mse", SGD(1.0, **settings)).fit(np.ones((1, 1)), [[9.0, np.nan]], epochs=3)
    np.testing.assert_array_equal(model.flat_parameters, [0.0, 0.0])
    optimizer = SGD(1.0, **settings)  # what the trainer has undone: the step itself
    run = Run("train", 1, 1, losses.MSE(), optimizer)
    engine = Engine(model, run, optimizer.initial_state(model.flat_parameters))
    engine.ports.rates[:] = 1.0
    engine.load(np.ones((1, 1)), np.array([[9.0, np.nan]]))
    engine.run(0, 1)
    np.testing.assert_array_equal(model.flat_parameters, [first, np.nan])


def test_without_clipping_a_step_has_no_operation_for_it():
    def operations(**settings):
        model = wide_network("float32")
        trainer = fc.Trainer(model, "mse", SGD(**settings))
        built = Builder(model, Run("train", 8, 1, MSE(), trainer.optimizer), trainer._optimizer_state)
        return [operation.name for _, stage in built.plan.stages for operation, _, _ in stage]

    plain = operations()
    assert operations(clip_value=1.0) == [*plain[:-1], "clip_value", "sgd"]
    assert operations(clip_norm=1.0) == [*plain[:-1], "chunk_norms", "clip_norm", "sgd"]
