"""A small network, data for it, and what the tests of training share."""

import numpy as np

import fastconv as fc

SHAPE = (1, 6, 6)
RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 50)
X = (RNG.random((3, *SHAPE))[Y] + 0.2 * RNG.random((50, *SHAPE))).astype(np.float32)


def network(seed=1, dtype="float32"):
    layers = [
        fc.Conv2d(4, 3), fc.BatchNorm2d(), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dropout(0.3),
        fc.Dense(3),
    ]  # fmt: skip
    return fc.Sequential(layers, SHAPE, dtype=dtype, seed=seed)


def plain_network(dtype="float64"):
    return fc.Sequential([fc.Conv2d(2, 3), fc.Tanh(), fc.Flatten(), fc.Dense(3)], SHAPE, dtype=dtype)


def assert_same_state(model, other):
    assert model.state().keys() == other.state().keys()
    for name, array in model.state().items():
        np.testing.assert_array_equal(array, other.state()[name], err_msg=name)


def figures(history):
    return {name: values for name, values in history.items() if name != "seconds"}


class Display:
    """A progress object that notes what it is told."""

    def __init__(self):
        self.events = []

    def start(self, epochs, samples_per_epoch):
        self.events.append(("start", epochs, samples_per_epoch))

    def compiling(self, text):
        self.events.append(("compiling",))

    def batch(self, epoch, samples_done, loss):
        self.events.append(("batch", epoch, samples_done, loss))

    def epoch_end(self, logs):
        self.events.append(("epoch_end", logs["epoch"]))

    def close(self):
        self.events.append(("close",))


# Order of samples


def trained(seed=0, shuffle=True, epochs=2):
    model = network()
    fc.Trainer(model, seed=seed).fit(X, Y, epochs=epochs, batch_size=8, shuffle=shuffle)
    return model.flat_parameters


# Checkpoints


class Interrupt:
    """Stops the run with an error after some epochs, as a crash would."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_epoch_end(self, trainer, logs):
        if logs["epoch"] == self.epoch:
            raise KeyboardInterrupt


def large_data(count=6000):
    rng = np.random.default_rng(0)
    return rng.random((count, 1, 28, 28), dtype=np.float32), rng.integers(0, 10, count)
