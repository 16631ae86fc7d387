"""The softmax."""

import numpy as np
import pytest
import scipy.special

from fastconv.kernels import (
    softmax,
)
from tests.kernels.activation_cases import DTYPES, INF, NAN, random


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spread", [0.1, 1, 10, 80])
@pytest.mark.parametrize("length", [1, 2, 10, 33])
def test_softmax_is_accurate_to_the_rounding_of_the_distance_from_the_largest(length, spread, dtype):
    x = (spread * random(50, length)).astype(dtype)
    with np.errstate(under="ignore"):
        exact = scipy.special.softmax(x.astype(np.float64), axis=1)
    distance = x.max(axis=1, keepdims=True).astype(float) - x
    eps = np.finfo(dtype).eps
    sums = length if dtype is np.float64 else 0  # those of float32 are carried in float64
    error = np.abs(softmax(x) - exact)
    assert (error <= (3 + sums + distance) * eps * exact + np.finfo(dtype).tiny).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([7.0], [1]),
        ([3.0, 3, 3, 3], [0.25, 0.25, 0.25, 0.25]),
        ([1e4, 1e4], [0.5, 0.5]),
        ([-1e4, -1e4], [0.5, 0.5]),
        ([1e4, -1e4, 0], [1, 0, 0]),
        ([3e38, -3e38], [1, 0]),
        ([-INF, 1, -INF, 1], [0, 0.5, 0, 0.5]),
        ([NAN, 1], [NAN, NAN]),
        ([1, 2, NAN], [NAN, NAN, NAN]),
        ([INF, 1], [NAN, NAN]),
        ([-INF, -INF], [NAN, NAN]),
    ],
)
def test_softmax_of_equal_extreme_and_missing_numbers(torch, x, y, dtype):
    x = np.array([x, np.zeros(len(x))], dtype)
    got = softmax(x)
    wanted = torch.softmax(torch.tensor(x), 1).numpy()
    np.testing.assert_array_equal(np.isnan(got), np.isnan(wanted))
    np.testing.assert_array_equal(got[0], y)
    np.testing.assert_allclose(got[1], 1 / len(y), rtol=np.finfo(dtype).eps)  # the row below is not touched


@pytest.mark.parametrize("shape", [(5,), (3, 4), (2, 3, 4), (2, 1, 3, 2), (0, 3), (3, 0), (2, 0, 3)])
def test_softmax_runs_over_the_last_axis_of_any_shape(shape):
    x = random(*shape)
    y = softmax(x)
    assert y.shape == shape
    if x.size:
        np.testing.assert_allclose(y, scipy.special.softmax(x, axis=-1), rtol=1e-14)


def test_softmax_of_a_single_number_is_refused():
    with pytest.raises(ValueError, match="`x` must have at least one axis, got a single number"):
        softmax(np.array(1.0))
