"""Steps on few samples whose channels lie in the lanes come to what samples in the lanes come to."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine import few_samples
from fastconv.engine.builder import Builder
from fastconv.engine.emitter import layers_of_channels
from fastconv.engine.engine import Engine
from fastconv.engine.few_samples import few_in_training
from fastconv.engine.lowering import winograd_channels
from fastconv.engine.run import Run
from tests.engine.networks import NETWORKS, assert_same_bits, build, data_for
from tests.engine.two_layouts import compared

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")

WIDE = {
    "more channels than lanes": (
        [fc.Conv2d(20, 3, padding=1), fc.ReLU(), fc.Conv2d(37, 3, stride=2), fc.ReLU(), fc.Flatten(),
         fc.Dense(3)],
        (3, 9, 8),
    ),
    "wide depthwise": (
        [fc.Conv2d(20, 1), fc.BatchNorm2d(), fc.ReLU6(), fc.DepthwiseConv2d(3, stride=2, padding=1),
         fc.BatchNorm2d(), fc.ReLU(), fc.DepthwiseConv2d(5, padding="same", bias=True), fc.SiLU(),
         fc.Conv2d(18, 1), fc.GlobalAvgPool2d(), fc.Flatten(), fc.Dense(3)],
        (2, 9, 11),
    ),
    "transposed": (
        [fc.Conv2d(18, 3, padding=1), fc.ReLU(), fc.ConvTranspose2d(9, 3, stride=2, padding=1),
         fc.LeakyReLU(), fc.ConvTranspose2d(17, 2, stride=3), fc.Upsample(2), fc.Conv2d(2, 3, stride=3),
         fc.Flatten(), fc.Dense(3)],
        (3, 4, 5),
    ),
    "dropout": (
        [fc.Conv2d(20, 3), fc.Dropout(0.4), fc.Conv2d(18, 3), fc.ReLU(), fc.SpatialDropout2d(0.5),
         fc.MaxPool2d(2), fc.Flatten(), fc.Dropout(0.2), fc.Dense(3)],
        (3, 9, 8),
    ),
    "dropout first": (
        [fc.Dropout(0.4), fc.Conv2d(20, 3), fc.ReLU(), fc.Flatten(), fc.Dense(3)], (3, 9, 8)
    ),
    "wide signals": (
        [fc.Conv1d(20, 5, padding=2), fc.BatchNorm1d(), fc.ReLU(), fc.Conv1d(33, 4, stride=2), fc.Tanh(),
         fc.MaxPool1d(2), fc.Conv1d(7, 12, padding=6), fc.GlobalAvgPool1d(), fc.Flatten(), fc.Dense(3)],
        (3, 30),
    ),
    "samples in the lanes from the middle on": (
        [fc.Conv2d(20, 3, padding=1), fc.ReLU(), fc.Conv2d(20, 3, groups=2), fc.BatchNorm2d(), fc.ReLU(),
         fc.Conv2d(8, 3), fc.PReLU(), fc.Flatten(), fc.Dense(3)],
        (4, 8, 8),
    ),
}  # fmt: skip


def graph():
    """Branches of which some have their samples in the lanes, and what both kinds read."""
    image = fc.Input((3, 8, 8))
    x = fc.ReLU()(fc.Conv2d(20, 3, padding=1)(image))
    x = fc.ReLU()(fc.Add()([x, fc.BatchNorm2d()(fc.Conv2d(20, 3, padding=1)(x))]))
    small = fc.ConvTranspose2d(12, 2, stride=2)(fc.Conv2d(30, 3, padding=1)(fc.MaxPool2d(2)(x)))
    x = fc.Conv2d(6, 3)(fc.Concatenate()([x, small, image]))
    grouped = fc.Conv2d(16, 3, groups=4)(small)
    x = fc.GELU()(fc.Concatenate()([x, fc.AvgPool2d(3, stride=1)(fc.Conv2d(16, 1)(image)), grouped]))
    return fc.Model(image, fc.Dense(3)(fc.Flatten()(fc.GlobalMaxPool2d()(x))), dtype="float64")


def stepped(model, batch_size, monkeypatch, worth_it, count, threads=1):
    """What two steps on batches of `batch_size` change; a smaller one of 3 or 4 has the same engine."""
    monkeypatch.setattr(few_samples, "WORTH_IT", worth_it)
    fc.set_num_threads(threads)
    X, y = data_for(model, "mse", count=count)
    trainer = fc.Trainer(model, "mse", fc.SGD(0.01), seed=3)
    loss = trainer.fit(X, y, epochs=1, batch_size=batch_size, shuffle=False, progress=False)["loss"]
    assert bool(few_in_training(model, batch_size)) == bool(worth_it and layers_of_channels(model, True))
    return [np.array(loss), *(array.copy() for array in model.state().values())]


ALWAYS, NEVER = float("inf"), 0


def assert_same_steps(make, batch_size, count, monkeypatch, **tolerance):
    """Whether steps come to the same with channels in the lanes as with samples in them."""
    few, plain = (stepped(make(), batch_size, monkeypatch, worth_it, count) for worth_it in (ALWAYS, NEVER))
    for one, other in zip(few, plain, strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


@pytest.mark.parametrize("name", [*NETWORKS, *WIDE])
def test_steps_are_those_of_samples_in_the_lanes(name, monkeypatch):
    assert_same_steps(lambda: made(name, "float64"), 4, 7, monkeypatch, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", WIDE)
def test_so_are_those_on_one_sample(name, monkeypatch):
    assert_same_steps(lambda: made(name, "float64"), 1, 2, monkeypatch, rtol=1e-9, atol=1e-12)


def made(name, dtype):
    if name in NETWORKS:
        return build(name, dtype)
    return fc.Sequential(*WIDE[name], dtype=dtype)


@pytest.mark.parametrize("name", WIDE)
def test_float32_comes_to_the_same_within_its_rounding(name, monkeypatch):
    assert_same_steps(lambda: made(name, "float32"), 2, 4, monkeypatch, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("padding", [0, 1, ((1, 0), (0, 2)), 2])
def test_winograds_products_make_the_outputs_and_the_input_gradients(padding, monkeypatch):
    def make(dtype):
        wide = [fc.Conv2d(32, 3, padding=padding), fc.Tanh(), fc.Conv2d(24, 3, padding=padding), fc.Tanh()]
        return fc.Sequential([*wide, fc.Conv2d(17, 3), fc.Flatten(), fc.Dense(3)], (32, 17, 15), dtype=dtype)

    monkeypatch.setattr(winograd_channels, "WORTH_IT", ALWAYS)
    made = make("float32")
    plan = Builder(made, Run("gradients", 3, 1, fc.losses.MSE(), few=3)).plan
    names = [operation.name for operation, _, _ in plan.operations]
    assert names.count("transform_packed") == 5  # nobody wants the gradient of the network's input
    assert_same_steps(lambda: make("float32"), 4, 7, monkeypatch, rtol=1e-3, atol=2e-6)


def test_random_networks_come_to_the_same(monkeypatch):
    monkeypatch.setattr(few_samples, "PER_START", 1)
    count, bad = compared(range(80))
    assert count > 40
    assert bad == []


def test_gradients_of_one_sample_are_those_of_samples_in_the_lanes(monkeypatch):
    def gradients(worth_it):
        monkeypatch.setattr(few_samples, "WORTH_IT", worth_it)
        model = made("wide depthwise", "float64")
        steps = model.source("gradients", loss="mse", batch_size=1, kernels=False)
        assert ("load_samples" in steps) == bool(worth_it)
        X, y = data_for(model, "mse", count=1)
        loss, found = model.loss_and_gradients(X, y, "mse")
        return [np.array(loss), *found.values()]

    for few, plain in zip(gradients(ALWAYS), gradients(NEVER), strict=True):
        np.testing.assert_allclose(few, plain, rtol=1e-9, atol=1e-12)


def test_branches_of_both_kinds_come_to_the_same(monkeypatch):
    assert_same_steps(graph, 4, 7, monkeypatch, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", [*NETWORKS, *WIDE])
def test_they_have_the_same_bits_on_any_number_of_threads(name, monkeypatch):
    monkeypatch.setattr(few_samples, "PER_START", 1)  # as if the work were worth it
    expected = stepped(made(name, "float32"), 4, monkeypatch, ALWAYS, 7)
    for threads in (2, 5):
        assert_same_bits(stepped(made(name, "float32"), 4, monkeypatch, ALWAYS, 7, threads), expected)


def test_the_wide_networks_have_names_of_their_own():
    assert NETWORKS.keys().isdisjoint(WIDE)


def test_threads_share_the_work_on_few_samples(monkeypatch):
    monkeypatch.setattr(few_samples, "PER_START", 1)
    model = made("wide depthwise", "float32")
    engine = Engine(model, Run("gradients", 3, 2, fc.losses.MSE(), few=3))
    assert engine.threads == 2
    assert engine.program.plan.divides


def test_where_channels_fill_the_lanes_they_lie_in_them():
    wide = fc.Sequential([fc.Conv2d(32, 3, padding=1), fc.ReLU(), fc.Conv2d(32, 3, padding=1)], (16, 12, 12))
    narrow = fc.Sequential([fc.Conv2d(2, 3), fc.ReLU(), fc.Conv2d(2, 3)], (1, 12, 12))
    dense = fc.Sequential([fc.Dense(64), fc.ReLU(), fc.Dense(64)], (64,))
    assert [few_in_training(wide, n) for n in (1, 2, 16, 17)] == [1, 2, 0, 0]
    assert few_in_training(narrow, 8) == 0
    assert few_in_training(dense, 1) == 0


def test_batches_of_as_many_lanes_go_the_same_way():
    model = fc.Sequential([fc.Conv2d(32, 3, padding=1), fc.ReLU(), fc.Conv2d(32, 3)], (16, 12, 12))
    assert [few_in_training(model, n) > 0 for n in (5, 6, 7)] == [few_in_training(model, 8) > 0] * 3


def test_augmented_images_are_few_samples_too(monkeypatch):
    def run(worth_it):
        monkeypatch.setattr(few_samples, "WORTH_IT", worth_it)
        model = made("more channels than lanes", "float64")
        X, y = data_for(model, "mse", count=5)
        augment = fc.Augment(shift=1, horizontal_flip=True, noise=0.1)
        trainer = fc.Trainer(model, "mse", fc.SGD(0.01), seed=3)
        trainer.fit(X, y, epochs=1, batch_size=3, augment=augment, progress=False)
        return model.flat_parameters.copy()

    np.testing.assert_allclose(run(ALWAYS), run(NEVER), rtol=1e-9, atol=1e-12)
