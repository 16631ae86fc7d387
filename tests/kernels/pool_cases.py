"""Geometries of pooling, and images for them."""

import numpy as np

from fastconv.kernels import max_pool2d
from tests.kernels import reference_pool as reference

DTYPES = [np.float32, np.float64]
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-13}
INF, NAN = np.inf, np.nan
# size, kernel_size, stride, padding, ceil_mode
GEOMETRIES = [
    ((4, 4), 2, None, 0, False),
    ((5, 7), 2, None, 0, False),
    ((5, 7), 2, None, 0, True),
    ((6, 6), 3, 1, 1, False),
    ((7, 5), 3, 2, 1, False),
    ((7, 6), 3, 2, 1, True),
    ((9, 4), (3, 2), (1, 2), (1, 0), False),
    ((8, 9), (2, 3), (3, 2), (1, 1), True),
    ((5, 5), 1, 1, 0, False),
    ((5, 4), 1, 3, 0, True),
    ((1, 1), 1, 1, 0, False),
    ((1, 1), 3, 1, 1, False),
    ((1, 9), (1, 4), (1, 3), (0, 2), True),
    ((13, 1), (5, 1), (4, 1), (2, 0), False),
    ((2, 3), 4, 3, 2, True),
    ((3, 3), 5, 7, 2, False),
    ((17, 19), 5, 3, 2, True),
    ((6, 6), 2, 4, 1, True),
]
# The same with dilation before ceil_mode; only max_pool2d has one.
DILATED = [
    ((7, 7), 2, 1, 0, 2, False),
    ((9, 8), 3, 2, 1, (2, 3), False),
    ((9, 8), 3, 2, 1, (1, 3), True),
    ((5, 11), (2, 3), (1, 2), (1, 1), (3, 2), True),
    ((6, 5), (1, 2), None, (0, 1), (4, 2), True),
]
MAX_GEOMETRIES = [(*g[:4], 1, g[4]) for g in GEOMETRIES] + DILATED


def random(*shape, dtype=np.float64, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def small_ints(*shape, dtype=np.float64, seed=0):
    """Many equal elements, and so many ties."""
    return np.random.default_rng(seed).integers(-2, 3, shape).astype(dtype)


def image(values, dtype=np.float64):
    """A list of rows as an array of one sample and one channel."""
    return np.array(values, dtype)[None, None]


def outputs(size, kernel_size, stride, padding, ceil_mode, dtype=np.float64, seed=7):
    """A gradient of the shape of a pooled batch of 2 with 3 channels."""
    y = reference.avg_pool2d(np.zeros((2, 3, *size)), kernel_size, stride, padding, ceil_mode)
    return random(*y.shape, dtype=dtype, seed=seed)


def check_max(x, *arguments):
    y, argmax = max_pool2d(x, *arguments)
    wanted, where = reference.max_pool2d(x, *arguments)
    assert y.dtype == x.dtype
    assert argmax.dtype == np.int64
    np.testing.assert_array_equal(y, wanted)
    full = where >= 0
    np.testing.assert_array_equal(argmax[full], where[full])
    assert ((argmax >= 0) & (argmax < x.shape[2] * x.shape[3])).all()
