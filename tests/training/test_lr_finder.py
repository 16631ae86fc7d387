"""The learning-rate finder: what it suggests, what it leaves alone, and what it is given."""

import numpy as np
import pytest

import fastconv as fc

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 300)
X = RNG.normal(size=(300, 1, 6, 6)) + np.eye(36)[Y * 7].reshape(300, 1, 6, 6) * 3


def network(dtype="float32"):
    layers = [fc.Conv2d(4, 3), fc.BatchNorm2d(), fc.ReLU(), fc.Flatten(), fc.Dropout(0.2), fc.Dense(3)]
    return fc.Sequential(layers, (1, 6, 6), dtype, seed=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "optimizer", [None, "adam", fc.SGD(momentum=0.9), fc.Lion(weight_decay=0.1)], ids=str
)
def test_the_suggestion_trains_better_than_a_tenth_and_does_not_diverge(optimizer, dtype):
    found = fc.lr_finder(network(dtype), X, Y, optimizer=optimizer)
    assert found.rates[0] == pytest.approx(1e-6)
    assert found.rates[0] < found.suggestion < 1
    kind = fc.SGD() if optimizer is None else fc.optimizers.resolve(optimizer)
    losses = []
    for lr in (found.suggestion, found.suggestion / 10):
        trainer = fc.Trainer(network(dtype), optimizer=kind.with_lr(lr))
        losses.append(trainer.fit(X, Y, epochs=3)["loss"][-1])
    assert losses[0] < losses[1]


def test_the_network_and_the_optimizer_are_left_as_they_are():
    model, optimizer = network(), fc.Adam(0.5)
    model.freeze("0")
    before, metadata = model.state(), dict(model.metadata)
    fc.lr_finder(model, X, Y, optimizer=optimizer)
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, before[name])
    assert (model.metadata, optimizer.lr, model.frozen) == (metadata, 0.5, {"0"})


def test_it_finds_the_same_again_and_on_any_threads():
    before, found = fc.get_num_threads(), []
    for threads in (1, 1, 2, 5):
        fc.set_num_threads(threads)
        found.append(fc.lr_finder(network(), X, Y, seed=3))
    fc.set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(other.losses, found[0].losses)
        assert other.suggestion == found[0].suggestion


def test_rates_grow_by_one_factor_and_losses_are_those_of_the_steps():
    found = fc.lr_finder(network(), X, Y, min_lr=1e-5, max_lr=1e-3, steps=21, batch_size=64)
    np.testing.assert_allclose(found.rates, np.logspace(-5, -3, 21), rtol=1e-12)
    assert len(found.losses) == len(found.smoothed) == 21
    assert found.smoothed[0] == pytest.approx(found.losses[0])
    assert "21 steps up to 0.001" in repr(found)


def test_a_loss_that_explodes_ends_the_run():
    target = Y[:, None] * 100.0
    model = fc.Sequential([fc.Flatten(), fc.Dense(1)], (1, 6, 6))
    found = fc.lr_finder(model, X, target, loss="mse", max_lr=100.0)
    assert len(found.rates) < 100
    assert 1e-4 < found.suggestion < 1


def test_a_loss_that_does_not_fall_gives_no_suggestion():
    model = fc.Sequential([fc.Dense(2)], (1,))
    model.flat_parameters[:] = 0
    found = fc.lr_finder(model, np.zeros((64, 1)), np.arange(64) % 2, max_lr=1e-5)
    assert found.suggestion is None
    assert "no suggestion" in repr(found)


def test_batches_are_begun_anew():
    batches = [(X[k : k + 50], Y[k : k + 50]) for k in range(0, 300, 50)]
    from_list = fc.lr_finder(network(), batches, steps=30)
    from_function = fc.lr_finder(network(), lambda: iter(batches), steps=30)
    assert len(from_list.rates) == 30
    np.testing.assert_array_equal(from_list.losses, from_function.losses)


def test_data_that_are_not_finite_are_said():
    bad = X.copy()
    bad[7, 0, 0, 0] = np.nan
    with pytest.raises(fc.NotFiniteError, match=r"`X` must be finite, got nan at \[7, 0, 0, 0\]"):
        fc.lr_finder(network(), bad, Y)


def test_it_is_drawn():
    pytest.importorskip("matplotlib").use("Agg")
    found = fc.lr_finder(network(), X, Y, steps=30)
    ax = fc.plots.lr_finder(found)
    assert ax.lines[0].get_xdata().tolist() == found.rates.tolist()
    assert "steepest at" in ax.get_legend().get_texts()[-1].get_text()
    assert fc.plots.lr_finder(fc.RateSearch(None, found.rates, found.losses, found.smoothed), ax=ax) is ax
    with pytest.raises(TypeError, match="`found` must be what lr_finder returned"):
        fc.plots.lr_finder({"suggestion": 0.1})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_lr": 0}, "`min_lr` must be a number > 0, got 0"),
        ({"max_lr": 1e-7}, "`max_lr` must be larger than `min_lr`"),
        ({"steps": 9}, "`steps` must be an int >= 10, got 9"),
        ({"batch_size": 0}, "`batch_size`"),
        ({"optimizer": "best"}, "`optimizer` must be one of"),
        ({"loss": "best"}, "`loss` must be one of"),
    ],
)
def test_wrong_settings_are_refused_by_name(settings, message):
    with pytest.raises((TypeError, ValueError), match=message):
        fc.lr_finder(network(), X, Y, **settings)


def test_what_is_no_network_is_refused():
    with pytest.raises(TypeError, match="`model` must be a Sequential or a Model"):
        fc.lr_finder([fc.Dense(3)], X, Y)
