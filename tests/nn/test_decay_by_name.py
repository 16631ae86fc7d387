"""Weight decay of some parameters: as PyTorch does it by groups, with the same bits on any threads."""

import numpy as np
import pytest

import fastconv as fc

KINDS = {"SGD": {"momentum": 0.9}, "Adam": {}, "AdamW": {}, "RMSprop": {}, "Lion": {}}


def not_the_bias_of_the_end(name):
    return name != "5.bias"


def model_for(dtype="float64"):
    layers = [
        fc.Conv2d(4, 3, padding=1),
        fc.BatchNorm2d(),
        fc.Residual([fc.Conv2d(4, 3, padding=1), fc.GroupNorm(2)]),
        fc.Tanh(),
        fc.Flatten(),
        fc.Dense(3),
    ]
    return fc.Sequential(layers, (2, 6, 6), dtype=dtype, seed=2)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 2, 6, 6)), rng.integers(0, 3, 24)


def steps_of(optimizer, data, dtype="float64", epochs=4):
    model = model_for(dtype)
    fc.Trainer(model, optimizer=optimizer).fit(*data, epochs=epochs, batch_size=8, shuffle=False)
    return model


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "Lion"])
def test_steps_are_those_of_pytorchs_groups_of_parameters(kind, data):
    torch = pytest.importorskip("torch")
    X, y = data
    module = model_for().to_torch().train()
    weights = [p for p in module.parameters() if p.ndim > 1]
    rest = [p for p in module.parameters() if p.ndim == 1]
    assert len(weights) == 3
    groups = [{"params": weights, "weight_decay": 0.3}, {"params": rest, "weight_decay": 0.0}]
    optimizer = getattr(torch.optim, kind)(groups, lr=0.01, **KINDS[kind])
    for _ in range(3):
        for batch in range(3):
            some = slice(8 * batch, 8 * batch + 8)
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(torch.tensor(X[some])), torch.tensor(y[some])).backward()
            optimizer.step()
    settings = {"weight_decay": 0.3, "decay": "weights", **KINDS[kind]}
    model = steps_of(getattr(fc, kind)(0.01, **settings), data, epochs=3)
    for name, parameter in module.named_parameters():
        wanted = parameter.detach().numpy()
        np.testing.assert_allclose(model.parameters()[name], wanted, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_a_function_of_the_name_decides_for_each_parameter(kind, data):
    """Without a gradient a step is nothing but decay."""
    model, optimizer = model_for(), getattr(fc, kind)
    model.flat_parameters[:] = 1.0
    decay = {"weight_decay": 0.5, "decay": not_the_bias_of_the_end}
    fc.Trainer(model, optimizer=optimizer(0.1, **decay)).train_on_batch(*data, sample_weight=np.zeros(24))
    changed = {name: bool((array != 1).any()) for name, array in model.parameters().items()}
    assert changed == {name: name != "5.bias" for name in changed}


@pytest.mark.parametrize("kind", KINDS)
def test_normalisations_and_biases_are_spared_and_weights_are_not(kind, data):
    model = model_for()
    model.flat_parameters[:] = 1.0
    decay = {"weight_decay": 0.5, "decay": "weights"}
    trainer = fc.Trainer(model, optimizer=getattr(fc, kind)(0.1, **decay))
    trainer.train_on_batch(*data, sample_weight=np.zeros(24))
    changed = [name for name, array in model.parameters().items() if (array != 1).any()]
    assert changed == ["0.weight", "2.layers.0.weight", "5.weight"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_decay_of_all_has_the_bits_of_none_named(kind, data):
    plain = steps_of(getattr(fc, kind)(0.01, weight_decay=0.1), data, "float32")
    named = steps_of(getattr(fc, kind)(0.01, weight_decay=0.1, decay=lambda name: True), data, "float32")
    assert plain.flat_parameters.tobytes() == named.flat_parameters.tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_the_same_bits_on_any_threads_and_after_a_resume(kind, data, tmp_path):
    settings = {"weight_decay": 0.1, "decay": "weights", "clip_norm": 1.0}
    optimizer, found = getattr(fc, kind)(0.01, **settings), set()
    before = fc.get_num_threads()
    for threads in (1, 2, 5):
        fc.set_num_threads(threads)
        found.add(steps_of(optimizer, data, "float32").flat_parameters.tobytes())
    fc.set_num_threads(before)
    options = {"batch_size": 8, "shuffle": False, "checkpoint": tmp_path / "run.npz", "resume": True}
    for epochs in (2, 4):
        trainer = fc.Trainer(model_for("float32"), optimizer=optimizer)
        trainer.fit(*data, epochs=epochs, **options)
    assert {*found, trainer.model.flat_parameters.tobytes()} == found
    assert len(found) == 1
    other = fc.Trainer(
        model_for("float32"), optimizer=getattr(fc, kind)(0.01, weight_decay=0.1, clip_norm=1.0)
    )
    with pytest.raises(ValueError, match="written by another network, loss, optimizer"):
        other.fit(*data, epochs=5, **options)


def test_a_function_is_known_by_its_name_when_a_run_goes_on(data, tmp_path):
    options = {"batch_size": 8, "checkpoint": tmp_path / "run.npz", "resume": True}
    for epochs in (1, 2):
        optimizer = fc.AdamW(0.01, decay=not_the_bias_of_the_end)
        history = fc.Trainer(model_for(), optimizer=optimizer).fit(*data, epochs=epochs, **options)
    assert len(history["loss"]) == 2


@pytest.mark.parametrize("decay", ["biases", 0.1, True, ["0.weight"]])
def test_what_is_neither_a_kind_nor_a_function_is_refused(decay):
    with pytest.raises(TypeError, match='`decay` must be None, "weights" or a function'):
        fc.SGD(0.1, weight_decay=0.1, decay=decay)
