"""A small network and batches for it."""

import numpy as np

import fastconv as fc

SHAPE = (1, 6, 6)
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 50)
X = (RNG.random((3, *SHAPE))[Y] + 0.2 * RNG.random((50, *SHAPE))).astype(np.float32)
WEIGHT = RNG.random(50)


def network(dtype="float32"):
    layers = [
        fc.Conv2d(4, 3), fc.BatchNorm2d(), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dropout(0.3),
        fc.Dense(3),
    ]  # fmt: skip
    return fc.Sequential(layers, SHAPE, dtype=dtype, seed=1)


def batches(*sizes, arrays=(X, Y)):
    """The samples in batches of these sizes."""
    stops = np.cumsum(sizes)
    return [tuple(a[stop - size : stop] for a in arrays) for size, stop in zip(sizes, stops, strict=True)]


def figures(history):
    return {name: values for name, values in history.items() if name != "seconds"}


def assert_same_bits(model, other):
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, other.state()[name], err_msg=name)


class Anew:
    """Goes through its batches as often as one likes, without a length."""

    def __init__(self, given):
        self.given, self.begun = given, 0

    def __iter__(self):
        self.begun += 1
        return iter(self.given)
