"""Lion in the compiled step: against its definition, by its name, resumed, on any threads."""

import numpy as np
import pytest

import fastconv as fc

SETTINGS = [{}, {"betas": (0.5, 0.8), "weight_decay": 0.1}, {"weight_decay": 0.3, "clip_norm": 0.5}]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 1, 8, 8)), rng.integers(0, 3, 40)


def model_for(dtype="float64"):
    layers = [fc.Conv2d(4, 3), fc.Tanh(), fc.AvgPool2d(2), fc.Flatten(), fc.Dense(3)]
    return fc.Sequential(layers, (1, 8, 8), dtype=dtype, seed=2)


def by_definition(model, X, y, steps, lr, betas=(0.9, 0.99), weight_decay=0.0, clip_norm=None):
    mean = np.zeros_like(model.flat_parameters)
    for _ in range(steps):
        gradients = model.loss_and_gradients(X, y)[1].values()
        gradient = np.concatenate([g.ravel() for g in gradients])
        if clip_norm is not None:
            gradient *= min(1, clip_norm / (np.linalg.norm(gradient) + 1e-6))
        way = np.sign(betas[0] * mean + (1 - betas[0]) * gradient)
        model.flat_parameters[:] -= lr * (way + weight_decay * model.flat_parameters)
        mean = betas[1] * mean + (1 - betas[1]) * gradient


@pytest.mark.parametrize("settings", SETTINGS)
def test_its_steps_are_those_of_the_definition(settings, data):
    X, y = data
    model, other = model_for(), model_for()
    fc.Trainer(model, optimizer=fc.Lion(0.01, **settings)).fit(X, y, epochs=6, batch_size=40, shuffle=False)
    by_definition(other, X, y, 6, 0.01, **settings)
    np.testing.assert_allclose(model.flat_parameters, other.flat_parameters, rtol=1e-10, atol=1e-12)


def test_one_step_worked_by_hand():
    """The gradient is 2: w = 1 - 0.1 * (1 + 0.5 * 1)."""
    model = fc.Sequential([fc.Dense(1, bias=False)], (1,), dtype="float64")
    model.parameters()["0.weight"][:] = 1.0
    fc.Trainer(model, "mse", fc.Lion(0.1, weight_decay=0.5)).train_on_batch([[1.0]], [[0.0]])
    assert model.parameters()["0.weight"][0, 0] == pytest.approx(0.85, abs=1e-12)


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_has_the_same_bits_on_any_threads_and_after_a_resume(settings, data, tmp_path):
    X, y = data
    before, found = fc.get_num_threads(), []
    for threads in (1, 2, 5):
        fc.set_num_threads(threads)
        model = model_for("float32")
        fc.Trainer(model, optimizer=fc.Lion(0.01, **settings)).fit(X, y, epochs=4, batch_size=16)
        found.append(model.flat_parameters.tobytes())
    fc.set_num_threads(before)
    for epochs in (2, 4):
        trainer = fc.Trainer(model_for("float32"), optimizer=fc.Lion(0.01, **settings))
        path = tmp_path / "run.npz"
        trainer.fit(X, y, epochs=epochs, batch_size=16, checkpoint=path, resume=True)
    assert {*found, trainer.model.flat_parameters.tobytes()} == {found[0]}


def test_a_parameter_without_a_gradient_stays_and_nan_is_not_hidden():
    model = fc.Sequential([fc.Dense(1)], (2,), dtype="float64")
    before = model.state()
    trainer = fc.Trainer(model, "mse", fc.Lion(0.1))
    trainer.train_on_batch([[0.0, 1.0]], [[9.0]])
    after = model.state()
    assert after["0.weight"][0, 0] == before["0.weight"][0, 0]
    assert after["0.weight"][0, 1] == pytest.approx(before["0.weight"][0, 1] + 0.1)
    with pytest.raises(fc.DivergedError):
        trainer.train_on_batch([[np.nan, 1.0]], [[9.0]])


def test_it_goes_by_its_name(data):
    X, y = data
    assert fc.optimizers.resolve("lion") == fc.Lion()
    assert "lion(" in model_for().source(optimizer="lion", kernels=False)
    history = fc.Trainer(model_for(), optimizer=fc.Lion(fc.CosineDecay(0.01))).fit(X, y, epochs=5)
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"betas": 0.9}, "`betas` must be a pair"),
        ({"betas": (0.9, 1.0)}, r"`betas\[1\]`"),
        ({"weight_decay": -1}, "`weight_decay`"),
        ({"lr": -1}, "`lr`"),
        ({"decay": "biases"}, "`decay` must be None"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fc.Lion(**settings)
