"""Frozen layers: what training leaves alone, what it saves, and what is kept of it."""

import copy
import pickle

import numpy as np
import pytest

import fastconv as fc

KINDS = ["SGD", "Adam", "AdamW", "RMSprop", "Lion"]


def model_for(dtype="float64", seed=2):
    layers = [
        fc.Conv2d(4, 3, padding=1),
        fc.BatchNorm2d(),
        fc.ReLU(),
        fc.Residual([fc.Conv2d(4, 3, padding=1), fc.GroupNorm(2)]),
        fc.Conv2d(4, 3),
        fc.Flatten(),
        fc.Dense(9),
        fc.Dense(3),
    ]
    return fc.Sequential(layers, (2, 6, 6), dtype=dtype, seed=seed)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(24, 2, 6, 6)), rng.integers(0, 3, 24)


def changed(model, before):
    """The places of the layers of which something is not as it was."""
    now = model.state()
    return {name.rpartition(".")[0] for name, array in now.items() if (array != before[name]).any()}


ALL = {"0", "1", "3.layers.0", "3.layers.1", "4", "6", "7"}


@pytest.mark.parametrize(
    "places", [("0",), ("0", "1"), ("3",), ("3.layers.1", "7"), ("4", "6", "7"), ("0.", "6")]
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_changes_all_layers_but_the_frozen_ones(places, dtype, data):
    model = model_for(dtype)
    model.freeze(*places)
    frozen = {name for name in ALL if any(f"{name}.".startswith(f"{p.strip('.')}.") for p in places)}
    assert model.frozen == frozen
    before = model.state()
    optimizer = fc.AdamW(0.01, weight_decay=0.5, clip_norm=1.0)
    history = fc.Trainer(model, optimizer=optimizer).fit(*data, epochs=3, batch_size=8)
    assert changed(model, before) == ALL - frozen
    assert history["loss"][-1] < history["loss"][0]


def frozen_by_hand(torch, model, frozen):
    """The module with the same layers frozen, batch normalisations with their running statistics too."""
    module = model.to_torch().train()
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name.rpartition(".")[0] not in frozen)
    for name, part in module.named_modules():
        if name in frozen:
            part.eval()
    return module


@pytest.mark.parametrize(
    "places", [("0",), ("1",), ("0", "1"), ("3.layers.0",), ("1", "3", "7"), ("4", "6", "7")]
)
def test_gradients_and_steps_are_those_of_pytorch_without_requires_grad(places, data):
    torch = pytest.importorskip("torch")
    X, y = data
    model = model_for()
    model.statistics()["1.running_mean"][:] = [0.1, -0.2, 0.3, 0.0]
    model.statistics()["1.running_var"][:] = [0.5, 2.0, 1.0, 0.25]
    model.freeze(*places)
    module = frozen_by_hand(torch, model, model.frozen)
    loss, gradients = model.loss_and_gradients(X, y)
    value = torch.nn.functional.cross_entropy(module(torch.tensor(X)), torch.tensor(y))
    value.backward()
    assert loss == pytest.approx(value.item(), rel=1e-12)
    for name, parameter in module.named_parameters():
        wanted = np.zeros(parameter.shape) if parameter.grad is None else parameter.grad.numpy()
        np.testing.assert_allclose(gradients[name], wanted, rtol=1e-9, atol=1e-13)
    module = frozen_by_hand(torch, model, model.frozen)
    trained = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.05, momentum=0.9, weight_decay=0.1)
    for _ in range(4):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(torch.tensor(X)), torch.tensor(y)).backward()
        torch.nn.utils.clip_grad_norm_(trained, 0.5)
        optimizer.step()
    trainer = fc.Trainer(model, optimizer=fc.SGD(0.05, 0.9, weight_decay=0.1, clip_norm=0.5))
    trainer.fit(X, y, epochs=4, batch_size=24, shuffle=False)
    for name, array in module.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            np.testing.assert_allclose(model.state()[name], array.numpy(), rtol=1e-9, atol=1e-12)


def operations(model, purpose="train"):
    return [line.strip() for line in model.source(purpose, kernels=False).splitlines() if "(" in line]


def test_no_work_is_done_for_what_is_frozen():
    model = model_for()
    whole = operations(model)
    model.freeze("6")
    assert len([line for line in operations(model) if "rows_grad_weight" in line]) == 0
    model.unfreeze()
    model.freeze("0", "1", "3")
    left = operations(model)
    assert sum("contract_grad_weight" in line for line in left) < sum(
        "contract_grad_weight" in w for w in whole
    )
    assert not any("batch_norm_grad" in line or "group_norm_grad" in line for line in left)
    assert not any("dy0" in line or "dX" in line for line in left)
    model.unfreeze()
    assert operations(model) == whole


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_the_same_bits_on_any_threads_and_after_a_resume(kind, data, tmp_path):
    optimizer, found = getattr(fc, kind)(0.01, weight_decay=0.1, decay="weights"), set()
    before = fc.get_num_threads()
    for threads in (1, 2, 5):
        fc.set_num_threads(threads)
        model = model_for("float32")
        model.freeze("1", "3.layers.0", "6")
        fc.Trainer(model, optimizer=optimizer).fit(*data, epochs=4, batch_size=8)
        found.add(model.flat_parameters.tobytes())
    fc.set_num_threads(before)
    for epochs in (2, 4):
        model = model_for("float32")
        model.freeze("1", "3.layers.0", "6")
        options = {"batch_size": 8, "checkpoint": tmp_path / "run.npz", "resume": True}
        fc.Trainer(model, optimizer=optimizer).fit(*data, epochs=epochs, **options)
    assert {*found, model.flat_parameters.tobytes()} == found
    assert len(found) == 1


def test_an_optimizer_of_your_own_leaves_them_alone_too(data):
    model = model_for()
    model.freeze("0", "3")
    before = model.state()
    optimizer = fc.ElementwiseOptimizer(lambda w, gradient, options: w - options.lr * (gradient + 1), lr=0.1)
    fc.Trainer(model, optimizer=optimizer).fit(*data, epochs=1)
    assert changed(model, before) == ALL - {"0", "3.layers.0", "3.layers.1"}


class Thaw(fc.Callback):
    """Freezes all but the last layer for an epoch, and none from then on."""

    def on_train_begin(self, trainer):
        if trainer.epochs_taken == 0:
            trainer.model.freeze("0", "1", "3", "4", "6")

    def on_epoch_end(self, trainer, logs):
        trainer.model.unfreeze()


def test_a_callback_thaws_between_epochs_and_a_resumed_run_goes_on_with_what_was_frozen(data, tmp_path):
    model, options = model_for(), {"batch_size": 8, "callbacks": [Thaw()]}
    before = model.state()
    trainer = fc.Trainer(model)
    trainer.fit(*data, epochs=1, **options)
    assert changed(model, before) == {"7"}
    whole = model_for()
    fc.Trainer(whole).fit(*data, epochs=3, **options)
    assert changed(whole, before) == ALL
    for epochs in (1, 3):
        model = model_for()
        fc.Trainer(model).fit(*data, epochs=epochs, checkpoint=tmp_path / "run.npz", resume=True, **options)
    assert model.flat_parameters.tobytes() == whole.flat_parameters.tobytes()
    assert model.frozen == frozenset()


def test_train_on_batch_follows_what_is_frozen_now(data):
    model = model_for()
    trainer = fc.Trainer(model)
    for places in (("0", "1"), ("7",), ("3", "4")):
        model.unfreeze()
        model.freeze(*places)
        before = model.state()
        trainer.train_on_batch(*data)
        assert changed(model, before) == ALL - model.frozen


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_files_checkpoints_copies_and_pickles_keep_it(suffix, data, tmp_path):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    model = model_for()
    model.freeze("0", "3.layers.1")
    model.save(tmp_path / f"model{suffix}")
    assert fc.load(tmp_path / f"model{suffix}").frozen == {"0", "3.layers.1"}
    assert copy.deepcopy(model).frozen == pickle.loads(pickle.dumps(model)).frozen == model.frozen
    fc.Trainer(model).fit(*data, epochs=1, checkpoint=tmp_path / f"run{suffix}")
    with pytest.warns(UserWarning, match="is a checkpoint"):
        assert fc.load(tmp_path / f"run{suffix}").frozen == model.frozen
    other = model_for()
    fc.Trainer(other).fit(*data, epochs=2, checkpoint=tmp_path / f"run{suffix}", resume=True)
    assert other.frozen == model.frozen


def test_a_frozen_batch_normalisation_learns_from_a_single_sample(data):
    layers = [fc.Conv2d(4, 6), fc.BatchNorm2d(), fc.Flatten(), fc.Dense(3)]
    model = fc.Sequential(layers, (2, 6, 6))
    with pytest.raises(ValueError, match="more than one value"):
        fc.Trainer(model).train_on_batch(data[0][:1], data[1][:1])
    model.freeze("1")
    fc.Trainer(model).train_on_batch(data[0][:1], data[1][:1])


def test_predictions_do_not_depend_on_it(data):
    model = model_for()
    before = model.predict(data[0])
    model.freeze()
    np.testing.assert_array_equal(model.predict(data[0]), before)


def test_training_of_nothing_is_refused(data):
    model = model_for()
    model.freeze()
    for call in (fc.Trainer(model).fit, fc.Trainer(model).train_on_batch):
        with pytest.raises(ValueError, match=r"all layers are frozen.*model.unfreeze\(\)"):
            call(*data)
    assert fc.Trainer(model).evaluate(*data)["loss"] > 0


@pytest.mark.parametrize(
    ("places", "error", "message"),
    [
        (("2",), ValueError, "`places` must be of layers with parameters, '0', '1', '3.layers.0', .*got '2'"),
        (("0.weight",), ValueError, "got '0.weight'"),
        (("9",), ValueError, "got '9'"),
        (("",), ValueError, "got ''"),
        ((0,), TypeError, "`places` must be names of layers such as '0' or '2.1', got 0"),
        (("0", "nothing"), ValueError, "got 'nothing'"),
    ],
)
def test_a_place_without_parameters_is_refused_and_nothing_is_frozen(places, error, message):
    model = model_for()
    for call in (model.freeze, model.unfreeze):
        with pytest.raises(error, match=message):
            call(*places)
    assert model.frozen == frozenset()


# Every layer with parameters

OF_ALL_KINDS = {
    "Conv2d": fc.Conv2d(4, 3, padding=1),
    "Conv2d of groups": fc.Conv2d(4, 3, padding=1, groups=2),
    "ConvTranspose2d": fc.ConvTranspose2d(4, 3, padding=1),
    "BatchNorm2d": fc.BatchNorm2d(),
    "GroupNorm": fc.GroupNorm(2),
    "LayerNorm": fc.LayerNorm(),
    "InstanceNorm2d": fc.InstanceNorm2d(affine=True),
    "PReLU": fc.PReLU(per_channel=True),
    "SeparableConv2d": fc.SeparableConv2d(4, 3, padding=1),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", OF_ALL_KINDS)
def test_every_layer_can_be_frozen_between_others_that_learn(kind, dtype, data):
    """The others get the gradients that they had; those of a norm that goes by batches are others."""
    layers = [fc.Conv2d(4, 3, padding=1), OF_ALL_KINDS[kind], fc.Tanh(), fc.Flatten(), fc.Dense(3)]
    model = fc.Sequential(layers, (2, 6, 6), dtype=dtype, seed=2)
    whole = model.loss_and_gradients(*data)[1]
    model.freeze("1")
    rest = model.loss_and_gradients(*data)[1]
    for name, gradient in rest.items():
        if name.startswith("1."):
            assert not gradient.any()
        elif kind != "BatchNorm2d":
            np.testing.assert_array_equal(gradient, whole[name])
    before = model.state()
    optimizer = fc.AdamW(0.01, weight_decay=0.5, clip_norm=1.0)
    fc.Trainer(model, optimizer=optimizer).fit(*data, epochs=2, batch_size=8)
    assert changed(model, before) == {"0", "4"}


def test_a_layer_that_stands_at_two_places_is_frozen_at_both(data):
    shared, x = fc.Conv2d(2, 3, padding=1), fc.Input((2, 6, 6))
    middle = fc.Tanh()(shared(x, name="shared"))
    output = fc.Dense(3)(fc.Flatten()(shared(fc.PReLU()(middle, name="slope"))), name="end")
    model = fc.Model(x, output, seed=1)
    model.freeze("shared")
    before = model.state()
    fc.Trainer(model).fit(*data, epochs=2)
    assert changed(model, before) == {"slope", "end"}
