"""Losses of whole networks keep their digits at the ends of the range."""

import numpy as np
import pytest

import fastconv as fc
from tests.engine.networks import loss_of

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
SIZES = [*10.0 ** np.arange(-30, 0, 1.7), 0.3, 0.5, 0.7, 0.95]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_binary_losses_keep_their_digits_however_small_they_are(dtype):
    eps = float(np.finfo(dtype).eps)
    for size in np.array(SIZES, dtype):
        p = np.longdouble(size)
        assert loss_of("bce", size, 0, dtype) == pytest.approx(float(-np.log1p(-p)), rel=4 * eps)
        assert loss_of("bce", size, 1, dtype) == pytest.approx(float(-np.log(p)), rel=4 * eps)
    for logit in np.array([*np.arange(0.01, 60, 3.3), 87], dtype):
        small = float(np.log1p(np.exp(-np.longdouble(logit))))
        for sign, target in ((1, 1), (-1, 0)):
            assert loss_of("bce_with_logits", sign * logit, target, dtype) == pytest.approx(
                small, rel=4 * eps
            )
            fused = loss_of("bce", sign * logit, target, dtype, [fc.Sigmoid()])
            assert fused == pytest.approx(small, rel=4 * eps)


@pytest.mark.parametrize(("logit", "losses"), [(np.inf, (100, 50, 0)), (-np.inf, (0, 50, 100))])
def test_bce_after_a_sigmoid_clips_the_logarithms_of_infinite_logits(logit, losses):
    for target, expected in zip((0.0, 0.5, 1.0), losses, strict=True):
        assert loss_of("bce", logit, target, "float32", [fc.Sigmoid()]) == expected
