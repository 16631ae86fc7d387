"""The losses by their definitions, in float64, and data for them."""

import math

import numpy as np
import scipy.special

from fastconv.kernels import (
    bce,
    bce_grad,
    bce_with_logits,
    bce_with_logits_grad,
    cross_entropy,
    cross_entropy_grad,
    mse,
    mse_grad,
)

DTYPES = [np.float32, np.float64]
REDUCTIONS = ["mean", "sum", "none"]
SHAPES = [(1,), (7,), (7, 1), (7, 3), (2, 3, 4)]
INF, NAN = np.inf, np.nan
LOSSES = {"bce": bce, "bce_with_logits": bce_with_logits, "mse": mse, "cross_entropy": cross_entropy}
GRADIENTS = {
    "bce": bce_grad,
    "bce_with_logits": bce_with_logits_grad,
    "mse": mse_grad,
    "cross_entropy": cross_entropy_grad,
}
PAIRED = ["bce", "bce_with_logits", "mse"]  # whose target has the shape of the prediction
FIRST = {"bce": "p", "bce_with_logits": "z", "mse": "y"}


def exact_bce(p, target):
    with np.errstate(divide="ignore"):
        return -(target * np.maximum(np.log(p), -100) + (1 - target) * np.maximum(np.log1p(-p), -100))


def exact_bce_with_logits(z, target):
    return np.logaddexp(0, z) - z * target


def exact_mse(y, target):
    return (y - target) ** 2


def exact_cross_entropy(logits, labels):
    own = logits[np.arange(len(labels)), labels]
    return scipy.special.logsumexp(logits - own[:, None], axis=1)


EXACT = {
    "bce": exact_bce,
    "bce_with_logits": exact_bce_with_logits,
    "mse": exact_mse,
    "cross_entropy": exact_cross_entropy,
}


def reduced(losses, reduction):
    """Mean, sum or all of the losses, the sum exactly rounded."""
    if reduction == "none":
        return losses
    total = math.fsum(losses.ravel())
    return total / losses.size if reduction == "mean" else total


def data(name, shape, dtype=np.float64, seed=0):
    """A prediction and its target."""
    generator = np.random.default_rng(seed)
    if name == "cross_entropy":
        return (3 * generator.standard_normal(shape)).astype(dtype), generator.integers(0, shape[1], shape[0])
    low, high = {"bce": (0.01, 0.99), "bce_with_logits": (-9, 9), "mse": (-3, 3)}[name]
    return generator.uniform(low, high, shape).astype(dtype), generator.random(shape).astype(dtype)


def epsilon(dtype):
    return float(np.finfo(dtype).eps)


def wide(array):
    return array.astype(np.float64) if array.dtype.kind == "f" else array


CASES = [(name, shape) for name in PAIRED for shape in SHAPES]
CASES += [("cross_entropy", shape) for shape in ((1, 1), (1, 4), (7, 1), (7, 2), (5, 10))]


def empty(name):
    if name == "cross_entropy":
        return np.zeros((0, 3)), np.zeros(0, int)
    return np.zeros((0, 1)), np.zeros((0, 1))
