"""Between the user's arrays (samples x features, any dtype and strides) and the lane layout.

    samples x features          a block's rows, in the network's dtype     lanes
    X[order[n], ...]   ---->    [lanes][features, padded]          ---->   [C][H][W][lanes]
                      gather                                    transpose

The transpose moves squares of lanes x lanes in registers. `table` holds where each feature's vector lies,
so that a halo around the planes needs no further code.
"""

import numpy as np
from numba import njit

from .. import simd
from ..simd import advance
from .operation import operation

UINT8, INT64, FLOAT32, FLOAT64 = 0, 1, 2, 3
DTYPE_CODES = {np.dtype("u1"): UINT8, np.dtype("i8"): INT64, np.dtype("f4"): FLOAT32, np.dtype("f8"): FLOAT64}
SOURCE_HEADER = 16


@njit(cache=True, nogil=True, error_model="numpy")
def _copy_row(kind, source, g, target):
    """target[c, h, w] = the sample at address `source`, whose axes step g[4..6] bytes."""
    channels, height, width = g[1], g[2], g[3]
    k = 0
    for c in range(channels):
        for h in range(height):
            at = source + c * g[4] + h * g[5]
            if g[6] == simd.item_size(kind):
                for w in range(width):
                    target[k + w] = simd.scalar_at(at + w * simd.item_size(kind), kind)
            else:
                for w in range(width):
                    target[k + w] = simd.scalar_at(at + w * g[6], kind)
            k += width


@operation
def gather(_, rows, _b, _c, _d, _e, g, s):
    """rows[lane, :] = the sample whose turn it is in the order; zeros in the lanes past the batch.

    g: dtype code, C, H, W, the steps of C, H, W and N in bytes, address of the array, address of the
    order (0: as they lie), row length, 1 where uint8 is divided by 255.
    """
    features, row = g[1] * g[2] * g[3], g[10]
    for lane in range(simd.lanes(rows)):
        target = advance(rows, lane * row)
        if lane >= s[2]:
            for k in range(features):
                target[k] = 0.0
            continue
        n = s[8] + s[1] + lane
        if g[9] != 0:
            n = simd.scalar_at(g[9] + n * 8, np.int64)
        source = g[8] + n * g[7]
        if g[0] == UINT8:
            _copy_row(np.uint8, source, g, target)
        elif g[0] == INT64:
            _copy_row(np.int64, source, g, target)
        elif g[0] == FLOAT32:
            _copy_row(np.float32, source, g, target)
        else:
            _copy_row(np.float64, source, g, target)
        if g[11]:
            for k in range(features):
                target[k] = target[k] / 255.0


@operation
def rows_to_lanes(rows, y, _b, _c, _d, _e, g, s):
    """y[table[k]] = feature k of every sample, from the block's rows. g: features, row length, table."""
    features, row = g[0], g[1]
    lane_count = simd.lanes(rows)
    for k in range(0, features, lane_count):
        square = simd.transpose(simd.square(rows, k, row))
        simd.store_scattered(square, y, advance(g, 2), k, features - k)


@operation
def lanes_to_rows(x, rows, _b, _c, _d, _e, g, s):
    """rows[first sample + lane, k] = x[table[k]], for the samples of this block. g as in rows_to_lanes."""
    features, row = g[0], g[1]
    lane_count = simd.lanes(x)
    for k in range(0, features, lane_count):
        square = simd.transpose(simd.load_gathered(x, advance(g, 2), k, features - k))
        simd.store_rows(square, advance(rows, s[1] * row + k), 0, row, 0, row - k)


@operation
def scatter(rows, _a, _b, _c, _d, _e, g, s):
    """Copy the batch's rows to the output array at the batch's position.

    g: features, row length, address of the output (the network's dtype, C-ordered).
    """
    features, row = g[0], g[1]
    for n in range(s[2]):
        source = advance(rows, (s[1] + n) * row)
        target = simd.pointer_at(g[2], rows)
        target = advance(target, (s[8] + s[1] + n) * features)
        for k in range(features):
            target[k] = source[k]


@operation
def copy_planes(x, y, _b, _c, _d, _e, g, s):
    """y[c, h, w] = x[c, h, w], each with its own plane and row steps."""
    for c in range(g[0]):
        for h in range(g[1]):
            for w in range(g[2]):
                simd.store(y, c * g[5] + h * g[6] + w, simd.load(x, c * g[3] + h * g[4] + w))
