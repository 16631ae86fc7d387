"""RMSprop in the compiled step: against PyTorch, by its name, resumed, on any threads."""

import numpy as np
import pytest

import fastconv as fc

SETTINGS = [
    {},
    {"alpha": 0.9, "eps": 1e-5, "weight_decay": 0.1},
    {"momentum": 0.8},
    {"centered": True},
    {"centered": True, "momentum": 0.9, "weight_decay": 0.01, "alpha": 0.95},
]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 1, 8, 8)), rng.integers(0, 3, 40)


def model_for(dtype="float64"):
    layers = [fc.Conv2d(4, 3), fc.Tanh(), fc.AvgPool2d(2), fc.Flatten(), fc.Dense(3)]
    return fc.Sequential(layers, (1, 8, 8), dtype=dtype, seed=2)


@pytest.mark.parametrize("settings", SETTINGS)
def test_its_steps_are_those_of_pytorch(settings, data):
    torch = pytest.importorskip("torch")
    X, y = data
    model = model_for()
    module = model.to_torch().train()
    optimizer = torch.optim.RMSprop(module.parameters(), lr=0.01, **settings)
    for _ in range(5):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(torch.tensor(X)), torch.tensor(y)).backward()
        optimizer.step()
    trainer = fc.Trainer(model, optimizer=fc.RMSprop(0.01, **settings))
    trainer.fit(X, y, epochs=5, batch_size=40, shuffle=False)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(model.parameters()[name], parameter.detach().numpy(), rtol=1e-6, atol=1e-8)


def test_one_step_worked_by_hand():
    """s = 0.01 * 4, v = 2 / sqrt(0.04) = 10, w = 1 - 0.1 * 10."""
    model = fc.Sequential([fc.Dense(1, bias=False)], (1,), dtype="float64")
    model.parameters()["0.weight"][:] = 1.0
    fc.Trainer(model, loss="mse", optimizer=fc.RMSprop(0.1, eps=0.0)).train_on_batch([[1.0]], [[0.0]])
    assert model.parameters()["0.weight"][0, 0] == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_has_the_same_bits_on_any_threads_and_after_a_resume(settings, data, tmp_path):
    X, y = data
    before, found = fc.get_num_threads(), []
    for threads in (1, 2, 5):
        fc.set_num_threads(threads)
        model = model_for("float32")
        fc.Trainer(model, optimizer=fc.RMSprop(0.01, **settings)).fit(X, y, epochs=4, batch_size=16)
        found.append(model.flat_parameters.tobytes())
    fc.set_num_threads(before)
    for epochs in (2, 4):
        trainer = fc.Trainer(model_for("float32"), optimizer=fc.RMSprop(0.01, **settings))
        path = tmp_path / "run.npz"
        trainer.fit(X, y, epochs=epochs, batch_size=16, checkpoint=path, resume=True)
    assert {*found, trainer.model.flat_parameters.tobytes()} == {found[0]}


def test_a_centered_gradient_that_never_changes_gives_no_nan():
    model = fc.Sequential([fc.Dense(1, bias=False)], (1,))
    trainer = fc.Trainer(model, loss="mse", optimizer=fc.RMSprop(1e-9, alpha=0.0, centered=True))
    trainer.fit(np.ones((8, 1)), np.zeros((8, 1)), epochs=5, batch_size=8)
    assert np.isfinite(model.flat_parameters).all()


def test_it_goes_by_its_name(data):
    X, y = data
    assert fc.optimizers.resolve("rmsprop") == fc.RMSprop()
    assert "rmsprop(" in model_for().source(optimizer="rmsprop", kernels=False)
    history = fc.Trainer(model_for(), optimizer=fc.RMSprop(fc.CosineDecay(0.01), clip_norm=1.0)).fit(
        X, y, epochs=5
    )
    assert history["loss"][-1] < history["loss"][0]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 1.0}, "`alpha`"),
        ({"alpha": -0.1}, "`alpha`"),
        ({"momentum": 1.0}, "`momentum`"),
        ({"eps": -1e-8}, "`eps`"),
        ({"weight_decay": "little"}, "`weight_decay`"),
        ({"centered": "yes"}, "`centered` must be True or False"),
        ({"lr": -1}, "`lr`"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fc.RMSprop(**settings)
