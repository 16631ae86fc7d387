"""Numbers for vectors, and what the tests of vectors and tiles share."""

import numpy as np
import pytest
from numba import njit

from fastconv import simd
from fastconv.simd import vector_math

PRECISE = np.longdouble if np.finfo(np.longdouble).nmant > 60 else np.float64
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def lane_count(dtype):
    return 64 // np.dtype(dtype).itemsize


def numbers(dtype, *shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def vectors(dtype, count, seed=0):
    """`count` vectors of random numbers, one a row."""
    return numbers(dtype, count, lane_count(dtype), seed=seed)


def compiled(function):
    """Compiled afresh in every run: Numba's cache would not notice a change of simd.py."""
    return njit(error_model="numpy")(function)


def run(kernel, dtype, count, *arguments, seed=0):
    """The `count` vectors that a kernel writes to its first argument."""
    out = np.full((count, lane_count(dtype)), 77, dtype)
    kernel(out, *arguments)
    return out


@compiled
def arithmetic(out, x):
    p, y = simd.pointer(x), simd.pointer(out)
    a, b, c = simd.load(p, 0), simd.load(p, 1), simd.load(p, 2)
    one, zero = simd.fill(p, 1.0), simd.fill(p, 0.0)
    simd.store(y, 0, simd.add(a, b))
    simd.store(y, 1, simd.subtract(a, b))
    simd.store(y, 2, simd.multiply(a, b))
    simd.store(y, 3, simd.divide(a, b))
    simd.store(y, 4, simd.select(simd.greater(a, b), one, zero))
    simd.store(y, 5, simd.select(simd.less(a, b), one, zero))
    simd.store(y, 6, simd.select(simd.equal(a, b), one, zero))
    simd.store(y, 7, simd.select(simd.either(simd.greater(a, b), simd.equal(a, b)), a, c))
    simd.store(y, 8, simd.select(simd.is_nan(a), one, zero))
    simd.store(y, 9, vector_math.square_root(a))
    simd.store(y, 10, simd.fma(a, b, c))
    return simd.total(c)


def special_vectors(dtype):
    """Three vectors: ordinary numbers, and pairs with NaN, infinity, zeros of both signs and equal lanes."""
    x = vectors(dtype, 3)
    x[0, :6] = np.nan, np.inf, -np.inf, 0.0, -0.0, 2.0
    x[1, :6] = 1.0, np.inf, 3.0, -0.0, np.nan, 2.0
    return x
