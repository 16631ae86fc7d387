"""Arrays of many kinds train the same network, and are never copied whole."""

import tracemalloc

import numpy as np
import pytest

import fastconv as fc
from tests.training.small_runs import RNG, SHAPE, X, Y, assert_same_state, network

LABELS = {
    "a list": lambda y: y.tolist(),
    "int32": lambda y: y.astype(np.int32),
    "uint8": lambda y: y.astype(np.uint8),
    "a column": lambda y: y[:, None],
    "strided": lambda y: np.repeat(y, 3)[::3],
}


@pytest.mark.parametrize("form", LABELS)
def test_labels_of_any_form_train_the_same_network(form):
    model, expected = network(), network()
    fc.Trainer(model).fit(X, LABELS[form](Y), epochs=1)
    fc.Trainer(expected).fit(X, Y, epochs=1)
    assert_same_state(model, expected)


@pytest.mark.parametrize(
    "targets", [lambda y: y.tolist(), lambda y: y.astype(bool), lambda y: y.astype(np.float32)[:, None],
                lambda y: y.astype(np.uint8), lambda y: np.repeat(y * 1.0, 2)[::2]],
)  # fmt: skip
def test_binary_targets_of_any_form_train_the_same_network(targets):
    y = Y % 2
    model, expected = fc.models.reference_cnn(), fc.models.reference_cnn()
    fc.Trainer(model, "bce").fit(X, targets(y), epochs=1)
    fc.Trainer(expected, "bce").fit(X, y, epochs=1)
    assert_same_state(model, expected)


@pytest.mark.parametrize(
    "images", [np.asfortranarray, lambda X: X[:, 0], lambda X: X.astype(np.float64), lambda X: X.tolist(),
               lambda X: np.repeat(X, 2, 0)[::2]],
)  # fmt: skip
def test_images_of_any_form_train_the_same_network(images):
    model, expected = network(), network()
    fc.Trainer(model).fit(images(X), Y, epochs=1)
    fc.Trainer(expected).fit(X, Y, epochs=1)
    assert_same_state(model, expected)


def test_bytes_train_as_their_255th_parts():
    pixels = RNG.integers(0, 256, (50, *SHAPE), dtype=np.uint8)
    model, expected = network(), network()
    fc.Trainer(model).fit(pixels, Y, epochs=1)
    fc.Trainer(expected).fit(pixels / 255, Y, epochs=1)
    assert_same_state(model, expected)


def test_a_memory_mapped_file_is_never_copied_whole(tmp_path):
    count, shape = 40_000, (1, 28, 28)
    mapped = np.memmap(tmp_path / "X", np.uint8, "w+", shape=(count, *shape))
    y = np.zeros(count, np.int64)
    model = fc.Sequential([fc.MaxPool2d(7), fc.Flatten(), fc.Dense(2)], shape)
    trainer = fc.Trainer(model)
    trainer.fit(mapped[:64], y[:64], epochs=1)
    tracemalloc.start()
    trainer.fit(mapped, y, epochs=1, batch_size=64, validation_split=0.1)
    trainer.evaluate(mapped, y)
    model.predict(mapped)
    model.predict(mapped[::2, :, ::-1])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < mapped.nbytes / 8


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
@pytest.mark.parametrize("view", [np.asarray, lambda X: X[:, :, ::-1], lambda X: X[:, 0]])
def test_images_are_never_copied_whole(dtype, view):
    images, y = view(np.ones((30_000, 1, 12, 12), dtype)), np.zeros(30_000, np.int64)
    trainer = fc.Trainer(fc.Sequential([fc.MaxPool2d(6), fc.Flatten(), fc.Dense(2)], (1, 12, 12)))
    trainer.fit(images[:64], y[:64], epochs=1)
    tracemalloc.start()
    trainer.fit(images, y, epochs=2, batch_size=64, validation_split=0.1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < images.nbytes / 4
