"""Losses: empty batches, shapes, memory, and arguments that do not fit."""

import math

import numpy as np
import pytest

from fastconv.kernels import (
    cross_entropy,
    cross_entropy_grad,
)
from tests.kernels.reference_losses import FIRST, GRADIENTS, LOSSES, PAIRED, REDUCTIONS, data, empty


@pytest.mark.parametrize("name", LOSSES)
def test_an_empty_batch_has_sum_0_mean_nan_as_in_pytorch_and_empty_gradients(name):
    prediction, target = empty(name)
    assert LOSSES[name](prediction, target, "sum") == 0
    assert math.isnan(LOSSES[name](prediction, target))
    assert LOSSES[name](prediction, target, "none").size == 0
    for reduction in REDUCTIONS:
        assert GRADIENTS[name](prediction, target, reduction).shape == prediction.shape


@pytest.mark.parametrize("name", PAIRED)
def test_a_single_number_without_axes_has_a_loss(name):
    prediction, target = data(name, (1,))
    for reduction in REDUCTIONS:
        loss = LOSSES[name](prediction.reshape(()), target.reshape(()), reduction)
        assert np.shape(loss) == ()
        assert loss == np.squeeze(LOSSES[name](prediction, target, reduction))
    assert GRADIENTS[name](prediction.reshape(()), target.reshape(())).shape == ()


def layouts(x):
    """The same numbers in other orders in memory."""
    spaced = np.repeat(x, 2, axis=-1)[..., ::2]
    still = x.copy()
    still.flags.writeable = False
    return [spaced, np.asfortranarray(x), still, x[::-1].copy()[::-1], x.astype(x.dtype.newbyteorder())]


@pytest.mark.parametrize("name", LOSSES)
def test_the_order_in_memory_changes_no_bit_and_no_input(name):
    prediction, target = data(name, (6, 5), np.float32)
    for function in (LOSSES[name], GRADIENTS[name]):
        for reduction in REDUCTIONS:
            wanted = function(prediction, target, reduction)
            for one, other in zip(layouts(prediction), layouts(target), strict=True):
                np.testing.assert_array_equal(function(one, other, reduction), wanted)
                np.testing.assert_array_equal(one, prediction)
                np.testing.assert_array_equal(other, target)


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int32, np.uint64])
def test_labels_may_be_of_any_int_dtype(kind):
    logits, labels = data("cross_entropy", (5, 4))
    assert cross_entropy(logits, labels.astype(kind)) == cross_entropy(logits, labels)
    slopes = cross_entropy_grad(logits, labels.astype(kind))
    np.testing.assert_array_equal(slopes, cross_entropy_grad(logits, labels))


@pytest.mark.parametrize("function", [cross_entropy, cross_entropy_grad])
@pytest.mark.parametrize(
    ("logits", "labels", "error", "message"),
    [
        ((2, 3), [0, 3], ValueError, "`labels` must be from 0 to 2, got 3"),
        ((2, 3), [-1, 0], ValueError, "`labels` must be from 0 to 2, got -1"),
        ((2, 3), [0, 2**62], ValueError, "`labels` must be from 0 to 2, got"),
        ((1, 0), [0], ValueError, "`labels`"),
        ((2, 3), [0], ValueError, "`labels` must have 2 entries, one for each row of `logits`, got 1"),
        ((2, 3), [[0], [1]], ValueError, r"`labels` must be a 1-D array of ints, got shape \(2, 1\)"),
        ((2, 3), [0.0, 1.0], TypeError, "`labels` must be a 1-D array of ints, got an array of float64"),
        ((2, 3), [False, True], TypeError, "`labels` must be a 1-D array of ints, got an array of bool"),
        ((3,), [0], ValueError, r"`logits` must be a 2-D array .* got shape \(3,\)"),
    ],
)
def test_cross_entropy_refuses_labels_and_logits_that_do_not_fit(function, logits, labels, error, message):
    with pytest.raises(error, match=message):
        function(np.zeros(logits), np.array(labels))


@pytest.mark.parametrize("name", PAIRED)
def test_a_target_of_another_shape_or_dtype_is_refused(name):
    first = FIRST[name]
    for function in (LOSSES[name], GRADIENTS[name]):
        with pytest.raises(
            ValueError, match=rf"`target` must have the shape of `{first}`, \(3, 1\), got \(3,\)"
        ):
            function(np.zeros((3, 1)), np.zeros(3))
        with pytest.raises(
            TypeError, match=f"`target` must have the dtype of `{first}`, float32, got float64"
        ):
            function(np.zeros(3, np.float32), np.zeros(3))
        with pytest.raises(TypeError, match=r"`target` must be an array of float32 or float64, got .* int"):
            function(np.zeros(3), np.zeros(3, int))
        with pytest.raises(TypeError, match=f"`{first}` must be an array of float32 or float64, got list"):
            function([0.0], np.zeros(1))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["avg", "", None, 1, True, ["mean"]])
def test_an_unknown_reduction_is_refused(name, reduction):
    for function in (LOSSES[name], GRADIENTS[name]):
        for prediction, target in (data(name, (2, 3)), empty(name)):
            with pytest.raises(ValueError, match='`reduction` must be "mean", "sum" or "none", got'):
                function(prediction, target, reduction)
