"""Losses called from compiled code."""

import math

import numba
import numpy as np
import pytest

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
from tests.kernels.reference_losses import GRADIENTS, LOSSES, PAIRED, REDUCTIONS, data


@numba.njit
def compiled_bce(p, target):
    return bce(p, target), bce(p, target, "sum"), bce(p, target, "none")


@numba.njit
def compiled_bce_with_logits(z, target):
    return (
        bce_with_logits(z, target),
        bce_with_logits(z, target, "sum"),
        bce_with_logits(z, target, reduction="none"),
    )


@numba.njit
def compiled_mse(y, target):
    return mse(y, target), mse(y, target, "sum"), mse(y, target, "none")


@numba.njit
def compiled_cross_entropy(logits, labels):
    return (
        cross_entropy(logits, labels, "mean"),
        cross_entropy(logits, labels, reduction="sum"),
        cross_entropy(logits, labels, "none"),
    )


@numba.njit
def compiled_paired_gradients(y, target):
    return (
        (bce_grad(y, target), bce_grad(y, target, "sum"), bce_grad(y, target, "none")),
        (
            bce_with_logits_grad(y, target),
            bce_with_logits_grad(y, target, "sum"),
            bce_with_logits_grad(y, target, "none"),
        ),
        (mse_grad(y, target), mse_grad(y, target, "sum"), mse_grad(y, target, "none")),
    )


@numba.njit
def compiled_cross_entropy_gradients(logits, labels):
    return (
        cross_entropy_grad(logits, labels),
        cross_entropy_grad(logits, labels, "sum"),
        cross_entropy_grad(logits, labels, "none"),
    )


COMPILED = {
    "bce": compiled_bce,
    "bce_with_logits": compiled_bce_with_logits,
    "mse": compiled_mse,
    "cross_entropy": compiled_cross_entropy,
}


@pytest.mark.parametrize("name", LOSSES)
def test_compiled_callers_get_the_same_losses(name):
    prediction, target = data(name, (9, 3), np.float32)
    mean, total, each = COMPILED[name](prediction, target)
    assert type(mean) is type(total) is float
    assert mean == pytest.approx(LOSSES[name](prediction, target), rel=1e-14)
    assert total == pytest.approx(LOSSES[name](prediction, target, "sum"), rel=1e-14)
    np.testing.assert_array_equal(each, LOSSES[name](prediction, target, "none"))


@pytest.mark.parametrize("name", LOSSES)
def test_compiled_callers_get_the_same_of_an_empty_batch(name):
    prediction, target = (a[:0] for a in data(name, (9, 3), np.float32))
    mean, total, each = COMPILED[name](prediction, target)
    assert math.isnan(mean)
    assert total == 0
    assert each.size == 0


def test_compiled_callers_get_the_same_gradients():
    for count in (9, 0):
        p, target = (a[:count] for a in data("bce", (9, 3), np.float32))
        for name, got in zip(PAIRED, compiled_paired_gradients(p, target), strict=True):
            for reduction, slopes in zip(REDUCTIONS, got, strict=True):
                np.testing.assert_array_equal(slopes, GRADIENTS[name](p, target, reduction))
        logits, labels = (a[:count] for a in data("cross_entropy", (9, 3), np.float32))
        got = compiled_cross_entropy_gradients(logits, labels)
        for reduction, slopes in zip(REDUCTIONS, got, strict=True):
            np.testing.assert_array_equal(slopes, cross_entropy_grad(logits, labels, reduction))


def test_compiled_callers_get_the_same_errors():
    logits, labels = data("cross_entropy", (9, 3), np.float32)
    for bad in (-1, 3):
        with pytest.raises(ValueError, match=f"`labels` must be from 0 to 2, got {bad}"):
            compiled_cross_entropy(logits, np.full(9, bad))
    with pytest.raises(ValueError, match="`labels` must have 9 entries"):
        compiled_cross_entropy(logits, labels[:8])
    with pytest.raises(ValueError, match="`target` must have the shape of `y`"):
        compiled_mse(logits, logits[:8])
    with pytest.raises(TypeError, match="`target` must have the dtype of `y`"):
        compiled_mse(logits, logits.astype(np.float64))
    with pytest.raises(ValueError, match='`reduction` must be "mean", "sum" or "none", got \'avg\''):
        numba.njit(lambda y: mse(y, y, "avg"))(logits)


def test_compiled_callers_are_told_that_a_reduction_must_be_a_constant():
    with pytest.raises(numba.TypingError, match="`reduction` must be a constant text"):
        numba.njit(lambda y, reduction: mse(y, y, reduction))(np.zeros((9, 3), np.float32), "sum")
