"""Between the user's arrays (samples x features, any dtype and strides) and the lane layout.

    X[order[n], ...]   ---->   squares of samples x features   ---->   [C][H][W][lanes]
                       load                             transpose, store

Squares of lanes x lanes are transposed in registers. `table` holds where each feature's vector lies, so that
a halo around the planes needs no further code.
"""

import numpy as np

from ... import simd
from ...simd import advance, tiles, transpose
from ...simd.compiling import compiled
from .operation import ADDRESSES, FIRST_SAMPLE, POSITION, VALID, operation

UINT8, INT64, FLOAT32, FLOAT64 = 0, 1, 2, 3
DTYPE_CODES = {np.dtype("u1"): UINT8, np.dtype("i8"): INT64, np.dtype("f4"): FLOAT32, np.dtype("f8"): FLOAT64}

# The geometry of `gather`: what is read, its steps in bytes, addresses of the array and of the order (0: as
# they lie); then the table.
KIND, PLANES, LINES, PIXELS, C_STEP, H_STEP, W_STEP, N_STEP, SOURCE, ORDER, SCALED = range(11)
TABLE = 11
FEW = 64  # so many features of a single sample are faster moved one by one


@compiled
def address(g, n):
    """The address of the sample whose turn is n."""
    if g[ORDER] != 0:
        n = simd.scalar_at(g[ORDER] + n * 8, np.int64)
    return g[SOURCE] + n * g[N_STEP]


@compiled
def _one_sample(kind, y, g, sample):
    """The features of the sample at an address, in the first lane; zeros in the others."""
    table, k = advance(g, TABLE), 0
    lines, pixels, step, scaled = g[LINES], g[PIXELS], g[W_STEP], g[SCALED]  # y might be the same memory
    for c in range(g[PLANES]):
        for h in range(lines):
            at = sample + c * g[C_STEP] + h * g[H_STEP]
            for w in range(pixels):
                simd.rolled()
                value = simd.convert(simd.scalar_at(at + w * step, kind), y)
                simd.store(y, table[k + w], simd.first_lane(y, value / 255 if scaled else value))
            k += pixels


@compiled
def _by_features(kind, y, addresses, g, valid):
    """A feature of all samples at a time, wherever it lies."""
    table, k, scale = advance(g, TABLE), 0, simd.fill(y, 255.0)
    for c in range(g[PLANES]):
        for h in range(g[LINES]):
            for w in range(g[PIXELS]):
                simd.rolled()
                offset = c * g[C_STEP] + h * g[H_STEP] + w * g[W_STEP]
                v = simd.lanes_at(y, addresses, offset, kind, valid)
                simd.store(y, table[k], simd.divide(v, scale) if g[SCALED] else v)
                k += 1


@compiled
def _to_boundary(address, item, lane_count):
    """Elements of the first square, so that the next ones do not cross cache lines."""
    return lane_count - address // item % lane_count


@compiled
def _by_squares(kind, y, addresses, g, valid):
    """A square of samples x features at a time, where the features of a sample lie in a row."""
    features, table, k = g[PLANES] * g[LINES] * g[PIXELS], advance(g, TABLE), 0
    count = _to_boundary(addresses[0], simd.item_size(kind), simd.lanes(y))
    while k < features:
        count = min(count, features - k)
        square = transpose.square_at(y, addresses, k, kind, valid, count)
        if g[SCALED]:
            square = tiles.tile_divide(square, 255.0)
        transpose.store_scattered(transpose.transpose(square), y, table, k, count)
        k += count
        count = simd.lanes(y)


@compiled
def _gather(kind, y, g, s):
    first, valid = s[POSITION] + s[FIRST_SAMPLE], s[VALID]
    features = g[PLANES] * g[LINES] * g[PIXELS]
    if valid == 1 and features <= FEW:
        _one_sample(kind, y, g, address(g, first))
        return
    addresses = advance(s, ADDRESSES)
    for lane in range(simd.lanes(y)):
        addresses[lane] = address(g, first + min(lane, valid - 1))
    item, width, height = simd.item_size(kind), g[PIXELS], g[LINES]
    in_a_row = g[W_STEP] == item and g[H_STEP] == width * item and g[C_STEP] == height * width * item
    if in_a_row and features > 4:
        _by_squares(kind, y, addresses, g, valid)
    else:
        _by_features(kind, y, addresses, g, valid)


@operation
def gather(_, y, _b, _c, _d, _e, g, s):
    """y[table[k]] = feature k of the samples whose turn it is; zeros in the lanes past the batch."""
    if g[KIND] == UINT8:
        _gather(np.uint8, y, g, s)
    elif g[KIND] == INT64:
        _gather(np.int64, y, g, s)
    elif g[KIND] == FLOAT32:
        _gather(np.float32, y, g, s)
    else:
        _gather(np.float64, y, g, s)


@operation
def lanes_to_rows(x, rows, _b, _c, _d, _e, g, s):
    """rows[first sample + lane, k] = x[table[k]], for the samples of this block.

    g: features, row length, table.
    """
    features, row = g[0], g[1]
    lane_count, table = simd.lanes(x), advance(g, 2)
    if features * s[VALID] <= lane_count:
        for lane in range(s[VALID]):
            for k in range(features):
                rows[(s[FIRST_SAMPLE] + lane) * row + k] = x[table[k] * lane_count + lane]
        return
    for k in range(0, features, lane_count):
        square = transpose.transpose(transpose.load_gathered(x, table, k, features - k))
        tiles.store_rows(square, advance(rows, s[FIRST_SAMPLE] * row + k), 0, row, 0, row - k)


# The geometry of `scatter`: features, and the address of a C-ordered array of the network's dtype; the table.
FEATURES, TARGET, SCATTER_TABLE = range(3)


@operation
def scatter(x, _a, _b, _c, _d, _e, g, s):
    """Feature k of the samples whose turn it is = x[table[k]]: the reverse of `gather`."""
    features, valid, lane_count = g[FEATURES], s[VALID], simd.lanes(x)
    item, table = simd.VECTOR_BYTES // lane_count, advance(g, SCATTER_TABLE)
    start = g[TARGET] + (s[POSITION] + s[FIRST_SAMPLE]) * features * item
    target = simd.pointer_at(start, x)
    if features * valid <= lane_count:
        for lane in range(valid):
            for k in range(features):
                target[lane * features + k] = x[table[k] * lane_count + lane]
        return
    k, count = 0, _to_boundary(start, item, lane_count)
    while k < features:
        count = min(count, features - k)
        square = transpose.transpose(transpose.load_gathered(x, table, k, count))
        transpose.store_square(square, target, k, features, valid, count)
        k += count
        count = lane_count


@operation
def copy_planes(x, y, _b, _c, _d, _e, g, s):
    """y[c, h, w] = x[c, h, w], each with its own plane and row steps."""
    for c in range(g[0]):
        for h in range(g[1]):
            for w in range(g[2]):
                simd.store(y, c * g[5] + h * g[6] + w, simd.load(x, c * g[3] + h * g[4] + w))


@compiled
def _nchw_table(g, at, shape, steps):
    """Write where the features of one sample lie, in row-major order, from g[at] on."""
    for c in range(shape[1]):
        for h in range(shape[2]):
            for w in range(shape[3]):
                g[at] = c * steps[0] + h * steps[1] + w
                at += 1


@compiled
def gather_array(x, steps):
    """Geometry of `gather` from a C-ordered array of images (N, C, H, W)."""
    channels, height, width = x.shape[1:]
    g = np.zeros(TABLE + channels * height * width, np.int64)
    g[KIND] = FLOAT32 if x.itemsize == 4 else FLOAT64
    g[PLANES], g[LINES], g[PIXELS] = channels, height, width
    g[W_STEP], g[H_STEP] = x.itemsize, width * x.itemsize
    g[C_STEP] = height * g[H_STEP]
    g[N_STEP], g[SOURCE] = channels * g[C_STEP], x.ctypes.data
    _nchw_table(g, TABLE, x.shape, steps)
    return g


@compiled
def scatter_array(y, steps):
    """Geometry of `scatter` to a C-ordered array of images (N, C, H, W)."""
    features = y.shape[1] * y.shape[2] * y.shape[3]
    g = np.zeros(SCATTER_TABLE + features, np.int64)
    g[FEATURES], g[TARGET] = features, y.ctypes.data
    _nchw_table(g, SCATTER_TABLE, y.shape, steps)
    return g
