"""Constant matrices applied to vectors."""

import numpy as np
import pytest
from numba import njit

from fastconv import simd
from fastconv.simd.linear import linear_maps, mirrored

MATRICES = [
    [[1, 1], [1, -1]],
    [[1, 0, 0.5], [2, 3, 4], [2, -3, 4], [-2, 3, 4]],
    [[2, 2, 1], [3, -3, 0], [0.5, 0.5, -1]],  # columns that are mirrored
    [[0, 1, 0], [0, -1, 0], [1, 2, 3]],
    [[-1, 2, -3, 0.25]],
]
apply = linear_maps(MATRICES)


@njit
def run(which, x, x_step, y, y_step):
    apply(which, simd.pointer(x), 0, x_step, simd.pointer(y), 1, y_step)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("which", range(len(MATRICES)))
def test_vectors_are_those_of_the_matrix_that_was_chosen(which, dtype):
    matrix, lanes = np.array(MATRICES[which], dtype), 64 // np.dtype(dtype).itemsize
    memory = np.random.default_rng(0).standard_normal((40, lanes)).astype(dtype)
    x, y = memory[: 2 * matrix.shape[1]], np.full((40, lanes), np.nan, dtype)
    run(which, x.ravel(), 2, y.ravel(), 3)
    found = y[1 : 1 + 3 * len(matrix) : 3]
    np.testing.assert_allclose(found, matrix @ x[::2], rtol=0, atol=1e-5 if dtype == np.float32 else 1e-14)
    assert np.isnan(np.delete(y, range(1, 1 + 3 * len(matrix), 3), axis=0)).all()


def test_no_row_is_the_mirror_of_two():
    assert mirrored([[1, 2], [1, -2], [-1, 2], [5, 6], [5, 6]]) == [(0, 1)]
