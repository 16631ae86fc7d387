"""Images whose layout or scale is another library's: said, with the way out, wherever they come in."""

import io
import warnings

import numpy as np
import pytest

import fastconv as fc

RNG = np.random.default_rng(0)
IMAGES = RNG.random((12, 9, 7, 3))  # height, width, channels
LABELS = np.arange(12) % 2
HINT = r": channels come first, so give X\.transpose\(0, 3, 1, 2\)"


def network(shape, outputs=2):
    return fc.Sequential([fc.Flatten(), fc.Dense(outputs)], shape)


USES = {
    "predict": lambda model, X, y: model.predict(X),
    "loss_and_gradients": lambda model, X, y: model.loss_and_gradients(X, y),
    "fit": lambda model, X, y: fc.Trainer(model).fit(X, y, epochs=1),
    "fit of batches": lambda model, X, y: fc.Trainer(model).fit([(X, y)], epochs=1),
    "validation data": lambda model, X, y: fc.Trainer(model).fit(
        X.transpose(0, 3, 1, 2), y, epochs=1, validation_data=(X, y)
    ),
    "evaluate": lambda model, X, y: fc.Trainer(model).evaluate(X, y),
    "train_on_batch": lambda model, X, y: fc.Trainer(model).train_on_batch(X, y),
    "explain": lambda model, X, y: fc.explain(model, X[:1], y[0], file=io.StringIO()),
    "activations": lambda model, X, y: fc.inspection.activations(model, X),
    "backward": lambda model, X, y: fc.inspection.backward(model, X, y),
}


@pytest.mark.parametrize("use", USES)
def test_channels_that_come_last_are_said_with_the_way_out(use):
    with pytest.raises(ValueError, match=rf"must have shape \(N, 3, 9, 7\), got \(1?2?, 9, 7, 3\){HINT}"):
        USES[use](network((3, 9, 7)), IMAGES, LABELS)


def test_grey_channels_that_come_last_are_said_too():
    with pytest.raises(ValueError, match=rf"\(N, 1, 9, 7\), got \(12, 9, 7, 1\){HINT}"):
        network((1, 9, 7)).predict(IMAGES[..., :1])


def test_a_single_sample_is_said():
    with pytest.raises(ValueError, match=r"got \(3, 9, 7\): of a single sample, give X\[None\]"):
        network((3, 9, 7)).predict(np.zeros((3, 9, 7)))


@pytest.mark.parametrize("shape", [(32, 32, 3), (8, 8, 1), (28, 28, 4), (48, 64, 3)])
@pytest.mark.parametrize("use", ["fit", "fit of batches", "evaluate", "train_on_batch"])
def test_images_that_plainly_have_their_channels_last_are_not_trained(use, shape):
    X, channels_first = np.zeros((12, *shape)), (shape[2], *shape[:2])
    message = rf"got {(12, *shape)}".replace("(", r"\(").replace(")", r"\)") + HINT
    with pytest.raises(ValueError, match=message) as caught:
        USES[use](network(shape), X, LABELS)
    assert f"`input_shape` {channels_first}" in str(caught.value)
    USES[use](network(channels_first), X.transpose(0, 3, 1, 2), LABELS)


@pytest.mark.parametrize("shape", [(3, 32, 32), (16, 1, 1), (32, 12, 3), (4, 4, 4), (3, 3, 3), (8, 100, 1)])
def test_images_that_may_have_their_channels_first_are_trained(shape):
    fc.Trainer(network(shape)).fit(np.zeros((12, *shape)), LABELS, epochs=1)


def test_augmentation_says_so_too():
    with pytest.raises(ValueError, match=HINT):
        fc.Augment(shift=1).apply(np.zeros((2, 9, 9, 3)))


# Scales


@pytest.mark.parametrize(
    ("dtype", "top", "way_out"),
    [
        (np.int64, 255, r"X\.astype\(np\.uint8\) is, or divide them"),
        (np.int32, 200, r"X\.astype\(np\.uint8\) is, or divide them"),
        (np.uint16, 255, r"X\.astype\(np\.uint8\) is, or divide them"),
        (np.int8, 127, r"X\.astype\(np\.uint8\) is, or divide them"),
        (">i4", 255, r"X\.astype\(np\.uint8\) is, or divide them"),
        (np.uint16, 65535, ": divide them"),
    ],
)
@pytest.mark.parametrize("use", USES)
def test_images_of_ints_that_are_not_scaled_are_said(use, dtype, top, way_out):
    X = np.linspace(0, top, 12 * 48).reshape(12, 3, 4, 4)[::-1].astype(dtype)
    if use == "validation data":
        X = X.transpose(0, 2, 3, 1)
        calls = lambda: fc.Trainer(network((3, 4, 4))).fit(  # noqa: E731
            np.zeros((12, 3, 4, 4)), LABELS, epochs=1, validation_data=(X.transpose(0, 3, 1, 2), LABELS)
        )
    else:
        calls = lambda: USES[use](network((3, 4, 4)), X, LABELS)  # noqa: E731
    message = f"images of {np.dtype(dtype)} are not divided by 255, as those of uint8 are: ".replace(">", ".")
    with pytest.warns(UserWarning, match=message + ".*" + way_out.lstrip(": ")), np.errstate(all="ignore"):
        calls()


def test_images_of_ints_are_said_once():
    model = network((1, 4, 4))
    model.predict(np.zeros((2, 1, 4, 4)))  # compiles, which makes Python forget what it has warned of
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("default")
        for top in range(100, 256, 5):
            model.predict(np.full((2, 1, 4, 4), top))
    assert len(said) == 1
    assert "\n" not in str(said[0].message)


@pytest.mark.parametrize(
    "X",
    [
        np.full((5, 1, 4, 4), 255, np.uint8),
        np.full((5, 1, 4, 4), 16),
        np.full((5, 1, 4, 4), 1, bool),
        np.full((5, 1, 4, 4), 255.0),
        np.full((5, 1, 4, 4), 255) * np.array([-1, 1, 1, 1]),
        np.zeros((0, 1, 4, 4), int),
    ],
)
def test_other_images_say_nothing(X):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network((1, 4, 4)).predict(X)


def test_features_of_ints_say_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network((4,)).predict(np.full((5, 4), 255))
