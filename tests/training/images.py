"""Small images, and the changes that they are trained with."""

from dataclasses import replace

import numpy as np
import pytest

import fastconv as fc

BOTH_DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
EVERYTHING = fc.Augment(
    shift=2, rotation=25, horizontal_flip=True, vertical_flip=True, noise=0.2, fill=0.3
)  # fmt: skip
RNG = np.random.default_rng(0)
SHAPE = (2, 9, 7)
X = RNG.random((50, *SHAPE)).astype(np.float32)
Y = RNG.integers(0, 3, 50)


def moves(augment, count, size, seed=0, step=1):
    """Sample -> (matrix, offset): pixel p of the result comes from matrix @ p + offset."""
    (height, width), middle = size, (size[0] // 2, size[1] // 2)
    coordinates = np.indices(size, dtype=float)
    still = replace(augment, noise=0.0, fill=0.0)
    images = np.broadcast_to([*coordinates, np.ones(size)], (count, 3, height, width))
    found = still.apply(images, seed, step, "float64")
    i, j = middle
    assert np.allclose(found[:, 2, i - 1 : i + 2, j - 1 : j + 2], 1), "these come from inside the image"
    by_i = (found[:, :2, i + 1, j] - found[:, :2, i - 1, j]) / 2
    by_j = (found[:, :2, i, j + 1] - found[:, :2, i, j - 1]) / 2
    matrices = np.stack([by_i, by_j], axis=2)
    return matrices, found[:, :2, i, j] - matrices @ middle


def draws(augment, count, size, **which):
    """(degrees, signs, shifts) of each sample; below a right angle, flips show in the signs."""
    matrices, offsets = moves(augment, count, size, **which)
    signs = np.sign(matrices[:, [0, 1], [0, 1]])
    turned = signs[:, :, None] * matrices
    np.testing.assert_allclose(turned[:, 0, 0], turned[:, 1, 1], atol=1e-9)
    np.testing.assert_allclose(turned[:, 0, 1], -turned[:, 1, 0], atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(turned), 1, atol=1e-9)
    centre = (np.array(size) - 1) / 2
    shifts = np.linalg.solve(matrices, (centre - offsets - matrices @ centre)[:, :, None])[:, :, 0]
    return np.degrees(np.arctan2(turned[:, 0, 1], turned[:, 0, 0])), signs, shifts


def network(dtype="float32", seed=3):
    layers = [
        fc.Conv2d(3, 3, padding=1), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dropout(0.2), fc.Dense(3),
    ]  # fmt: skip
    return fc.Sequential(layers, SHAPE, dtype=dtype, seed=seed)
