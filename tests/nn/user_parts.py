"""Parts of networks as a user writes them, in a module that can be imported."""

import math
from dataclasses import dataclass

import numba
import numpy as np

import fastconv as fc

ALPHA = 0.5


@numba.njit
def logistic(x):
    return 1 / (1 + math.exp(-x))


@numba.njit
def logistic_grad(x, y):
    return y * (1 - y)


@numba.njit
def positive(x):
    return max(x, 0)


@numba.njit
def positive_grad(x):
    return 1 if x > 0 else 0


@numba.njit
def elu(x):
    return x if x > 0 else ALPHA * (np.exp(x) - 1)


@numba.njit
def elu_grad(x):
    return 1.0 if x > 0 else ALPHA * np.exp(x)


@numba.njit
def inverse(x):
    """Infinite at 0, which is what lanes past a batch hold."""
    return 1 / x


@numba.njit
def inverse_grad(x, y):
    return -y * y


@numba.njit
def squared_error(output, target):
    return (output - target) ** 2


@numba.njit
def squared_error_grad(output, target):
    return 2 * (output - target)


@numba.njit
def descend(w, gradient, options):
    return w - options.lr * gradient


@numba.njit
def momentum(w, gradient, velocity, options):
    velocity = options.momentum * velocity + gradient
    return w - options.lr * velocity, velocity


@numba.njit
def adam(w, gradient, mean, square, options):
    mean += (1 - options.beta1) * (gradient - mean)
    square += (1 - options.beta2) * (gradient * gradient - square)
    size = math.sqrt(square / (1 - options.beta2**options.step)) + options.eps
    return w - options.lr * mean / (1 - options.beta1**options.step) / size, mean, square


@numba.njit
def amsgrad(w, gradient, mean, square, largest, options):
    mean += (1 - options.beta1) * (gradient - mean)
    square += (1 - options.beta2) * (gradient * gradient - square)
    largest = max(largest, square)
    size = math.sqrt(largest / (1 - options.beta2**options.step)) + options.eps
    return w - options.lr * mean / (1 - options.beta1**options.step) / size, mean, square, largest


@dataclass(frozen=True)
class ConvBlock(fc.Block):
    channels: int
    kernel_size: int = 3

    def layers(self):
        return [
            fc.Conv2d(self.channels, self.kernel_size, padding="same"),
            fc.BatchNorm2d(),
            fc.Elementwise(elu, elu_grad),
        ]


class Twice(fc.Block):
    """A block of blocks, without the help of a dataclass."""

    def __init__(self, channels):
        self.channels = channels

    def layers(self):
        return [ConvBlock(self.channels), ConvBlock(self.channels, kernel_size=1)]


class Rectifier(fc.ReLU):
    """A subclass that changes nothing."""


class Decoupled(fc.AdamW):
    """A subclass that changes nothing."""


class Descent(fc.SGD):
    """A subclass that changes nothing."""
