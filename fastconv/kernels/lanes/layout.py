"""Between the user's arrays (samples x features, any dtype and strides) and the lane layout.

    X[order[n], ...]   ---->   squares of samples x features   ---->   [C][H][W][lanes]
                       load                             transpose, store

Squares of lanes x lanes are transposed in registers. `table` holds where each feature's vector lies, so that
a halo around the planes needs no further code.
"""

import struct
from typing import NamedTuple

import numpy as np

from ... import simd
from ...simd import advance, tiles, transpose
from ...simd.compiling import internal
from ...simd.kinds import DTYPE_CODES, FLOAT32, FLOAT64, UINT8, item_bytes, lanes_at, number_at
from .operation import LANE_ADDRESSES, STATE, channel_operation, offsets_of, operation, share
from .planes import PLANES, source_at, target_at


class GatherGeometry(NamedTuple):
    """What `gather` reads: an array (samples, channels, height, width) of any dtype and strides."""

    kind: int  # its dtype: one of DTYPE_CODES
    channels: int
    height: int
    width: int
    y_sample: int = 0  # scalars from one sample to the next, where `load_samples` puts them
    c_bytes: int = 0  # the array's strides: bytes from one channel to the next
    h_bytes: int = 0  # from one line to the next
    w_bytes: int = 0  # from one pixel to the next
    n_bytes: int = 0  # from one sample to the next
    source: int = 0  # address of the array
    order: int = 0  # address of the samples' numbers in the order in which they are taken; 0: as they lie
    scaled: int = 0  # whether numbers are divided by 255


GATHER = offsets_of(GatherGeometry)
GATHER_TABLE = len(GATHER)  # behind them: the vector where each feature goes, or its scalar in `load_samples`
_ARRAY_FIELDS = struct.Struct(f"={len(GATHER) - GATHER.c_bytes}q")


def gather_geometry(shape, table, y_sample=0):
    """Make the geometry of `gather` or `load_samples` of samples (C, H, W), but for the array."""
    channels, height, width = shape
    header = GatherGeometry(kind=UINT8, channels=channels, height=height, width=width, y_sample=y_sample)
    return np.array([*header, *table], np.int64)


def set_source(g, dtype, c_bytes, h_bytes, w_bytes, n_bytes, source, order, scaled):
    """Fill in which array a `gather` with geometry `g` reads; the names are those of `GatherGeometry`."""
    g[GATHER.kind] = DTYPE_CODES[dtype]
    # In a third of the time of an assignment:
    _ARRAY_FIELDS.pack_into(
        g, GATHER.c_bytes * g.itemsize, c_bytes, h_bytes, w_bytes, n_bytes, source, order, scaled
    )


FEW = 64  # so many features of a single sample are faster moved one by one


@internal
def address(g, n):
    """The address in memory of the sample that comes n-th in the order of samples."""
    if g[GATHER.order] != 0:
        n = simd.scalar_at(g[GATHER.order] + n * 8, np.int64)
    return g[GATHER.source] + n * g[GATHER.n_bytes]


@internal
def _one_sample(y, g, sample):
    """Read the one sample at address `sample` into the first lane; zeros go into the others."""
    table, k = advance(g, GATHER_TABLE), 0
    height, width, w_bytes = g[GATHER.height], g[GATHER.width], g[GATHER.w_bytes]
    # Read here, not in the loop: to LLVM, y might be the same memory.
    kind, scaled = g[GATHER.kind], g[GATHER.scaled]
    for c in range(g[GATHER.channels]):
        for h in range(height):
            at = sample + c * g[GATHER.c_bytes] + h * g[GATHER.h_bytes]
            for w in range(width):
                simd.rolled()
                value = number_at(at + w * w_bytes, kind, y)
                simd.store(y, table[k + w], simd.first_lane(y, value / 255 if scaled else value))
            k += width


@internal
def _by_features(y, addresses, g, valid):
    """Read the samples at `addresses` one feature at a time, wherever it lies, into all lanes at once."""
    table, k, scale, kind = advance(g, GATHER_TABLE), 0, simd.fill(y, 255.0), g[GATHER.kind]
    for c in range(g[GATHER.channels]):
        for h in range(g[GATHER.height]):
            for w in range(g[GATHER.width]):
                simd.rolled()
                offset = c * g[GATHER.c_bytes] + h * g[GATHER.h_bytes] + w * g[GATHER.w_bytes]
                v = lanes_at(y, addresses, offset, kind, valid)
                simd.store(y, table[k], simd.divide(v, scale) if g[GATHER.scaled] else v)
                k += 1


@internal
def _to_boundary(address, item, lane_count):
    """Elements of `item` bytes from an address to about the next cache line, at most one for each lane.

    Squares that start there do not cross cache lines.
    """
    return lane_count - address // item % lane_count


@internal
def _by_squares(y, addresses, g, valid):
    """Read the samples at `addresses`, whose features lie together, in squares of samples x features."""
    features, table, k, kind = _features(g), advance(g, GATHER_TABLE), 0, g[GATHER.kind]
    count = _to_boundary(addresses[0], item_bytes(kind), simd.lanes(y))
    while k < features:
        count = min(count, features - k)
        square = transpose.square_at(y, addresses, k, kind, valid, count)
        if g[GATHER.scaled]:
            square = tiles.tile_divide(square, 255.0)
        transpose.store_scattered(transpose.transpose(square), y, table, k, count)
        k += count
        count = simd.lanes(y)


@internal
def _features(g):
    """How many features a sample has that `gather` reads."""
    return g[GATHER.channels] * g[GATHER.height] * g[GATHER.width]


@operation
def gather(_, y, _b, _c, _d, _e, g, s):
    """y[table[k]] = feature k of the samples whose turn it is; zeros in the lanes past the batch.

    They are read in the way that is the fastest for them.
    """
    first, valid = s[STATE.position] + s[STATE.first_sample], s[STATE.valid]
    features = _features(g)
    if valid == 1 and features <= FEW:
        _one_sample(y, g, address(g, first))
        return
    addresses = advance(s, LANE_ADDRESSES)
    for lane in range(simd.lanes(y)):
        addresses[lane] = address(g, first + min(lane, valid - 1))
    item, width, height = item_bytes(g[GATHER.kind]), g[GATHER.width], g[GATHER.height]
    lines_together = g[GATHER.w_bytes] == item and g[GATHER.h_bytes] == width * item
    together = lines_together and g[GATHER.c_bytes] == height * width * item
    if together and features > 4:
        _by_squares(y, addresses, g, valid)
    else:
        _by_features(y, addresses, g, valid)


class LanesToRowsGeometry(NamedTuple):
    """What `lanes_to_rows` writes: a row of numbers for each sample."""

    features: int  # of a sample
    length: int  # scalars from one sample's row to the next one's


TO_ROWS = offsets_of(LanesToRowsGeometry)
ROWS_TABLE = len(TO_ROWS)  # behind them: the vector at which each feature lies


def rows_geometry(planes, length):
    """Make the geometry of `lanes_to_rows` from planes to rows of `length` scalars."""
    return np.array(
        [*LanesToRowsGeometry(features=planes.features, length=length), *planes.table()], np.int64
    )


@operation
def lanes_to_rows(x, rows, _b, _c, _d, _e, g, s):
    """rows[first sample + lane, k] = x[table[k]], for the samples of this block."""
    features, length, first, valid = (
        g[TO_ROWS.features],
        g[TO_ROWS.length],
        s[STATE.first_sample],
        s[STATE.valid],
    )
    lane_count, table = simd.lanes(x), advance(g, ROWS_TABLE)
    if features * valid <= lane_count:
        for lane in range(valid):
            for k in range(features):
                rows[(first + lane) * length + k] = x[table[k] * lane_count + lane]
        return
    for k in range(0, features, lane_count):
        square = transpose.transpose(transpose.load_gathered(x, table, k, features - k))
        tiles.store_rows(square, advance(rows, first * length + k), 0, length, 0, length - k)


class ScatterGeometry(NamedTuple):
    """What `scatter` writes: a C-ordered array of the network's dtype."""

    features: int  # of a sample
    x_sample: int = 0  # scalars from one sample to the next, where `store_samples` finds them
    target: int = 0  # address of the array


SCATTER = offsets_of(ScatterGeometry)
SCATTER_TABLE = len(SCATTER)  # behind them: the vector of each feature, or its scalar in `store_samples`


def scatter_geometry(table, x_sample=0):
    """Make the geometry of `scatter` or `store_samples` from a table; its `target` is filled in later."""
    return np.array([*ScatterGeometry(features=len(table), x_sample=x_sample), *table], np.int64)


@operation
def scatter(x, _a, _b, _c, _d, _e, g, s):
    """Feature k of the samples whose turn it is = x[table[k]]: the reverse of `gather`."""
    features, valid, lane_count = g[SCATTER.features], s[STATE.valid], simd.lanes(x)
    item, table = simd.VECTOR_BYTES // lane_count, advance(g, SCATTER_TABLE)
    start = g[SCATTER.target] + (s[STATE.position] + s[STATE.first_sample]) * features * item
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


@internal
def _load_sample(y, g, sample):
    """Read the sample at address `sample` to where the table says."""
    table, k = advance(g, GATHER_TABLE), 0
    height, width, w_bytes = g[GATHER.height], g[GATHER.width], g[GATHER.w_bytes]
    kind, scaled = g[GATHER.kind], g[GATHER.scaled]
    for c in range(g[GATHER.channels]):
        for h in range(height):
            at = sample + c * g[GATHER.c_bytes] + h * g[GATHER.h_bytes]
            for w in range(width):
                value = number_at(at + w * w_bytes, kind, y)
                y[table[k]] = value / 255 if scaled else value
                k += 1


@internal
def _are_together(g, count):
    """Whether the first `count` features of a sample are written one after the other."""
    return g[GATHER_TABLE + count - 1] - g[GATHER_TABLE] == count - 1


@internal
def _follows(g, count):
    """Whether feature number `count`, if there is one, is written so many places after the first."""
    return count >= _features(g) or g[GATHER_TABLE + count] - g[GATHER_TABLE] == count


@internal
def _line(g):
    """(lines of a sample, numbers in each, bytes from one to the next); features are a single line.

    So are lines that follow each other where they are read, and where they are written.
    """
    channels, height, width, item = g[GATHER.channels], g[GATHER.height], g[GATHER.width], g[GATHER.w_bytes]
    if height == 1 and width == 1:
        return 1, channels, g[GATHER.c_bytes]
    read_on = g[GATHER.h_bytes] == width * item and g[GATHER.c_bytes] == height * width * item
    if read_on and _are_together(g, width) and _follows(g, width) and _follows(g, height * width):
        return 1, _features(g), item
    return channels * height, width, item


@internal
def _lies_as_read(y, g):
    """Whether lines are read and written as they are: numbers of one dtype, one after the other."""
    _, length, distance = _line(g)
    item = simd.VECTOR_BYTES // simd.lanes(y)
    own = FLOAT32 if item == 4 else FLOAT64
    return g[GATHER.kind] == own and distance == item and _are_together(g, length)


@internal
def _copy(source, target, length):
    """Copy numbers in whole vectors, the last of which may overlap the one before."""
    lane_count = simd.lanes(source)
    if length < lane_count:
        for k in range(length):
            target[k] = source[k]
        return
    for k in range(0, length - lane_count, lane_count):
        simd.store(advance(target, k), 0, simd.load(advance(source, k), 0))
    last = length - lane_count
    simd.store(advance(target, last), 0, simd.load(advance(source, last), 0))


@internal
def _copy_lines(y, g, sample):
    """`_load_sample` of lines that lie as they are read."""
    lines, length, _ = _line(g)
    height = g[GATHER.height]
    for line in range(lines):
        at = sample + line // height * g[GATHER.c_bytes] + line % height * g[GATHER.h_bytes]
        _copy(simd.pointer_at(at, y), advance(y, g[GATHER_TABLE + line * length]), length)


@operation
def load_samples(_a, y, _c, _d, _e, _f, g, s):
    """y[table[k]] = feature k of each sample whose turn it is; g as in `gather`, its table counts scalars."""
    as_read = _lies_as_read(y, g)
    for n in range(s[STATE.valid]):
        sample = address(g, s[STATE.position] + s[STATE.first_sample] + n)
        target = advance(y, n * g[GATHER.y_sample])
        if as_read:
            _copy_lines(target, g, sample)
        else:
            _load_sample(target, g, sample)


@operation
def store_samples(x, _b, _c, _d, _e, _f, g, s):
    """Feature k of each sample whose turn it is = x[table[k]], a scalar; g as in `scatter`."""
    features, table = g[SCATTER.features], advance(g, SCATTER_TABLE)
    target = simd.pointer_at(g[SCATTER.target], x)
    for n in range(s[STATE.valid]):
        source = advance(x, n * g[SCATTER.x_sample])
        row = advance(target, (s[STATE.position] + s[STATE.first_sample] + n) * features)
        for k in range(features):
            row[k] = source[table[k]]


@channel_operation
def copy_planes(x, y, _b, _c, _d, _e, g, s):
    """y[c, h, w] = x[c, h, w], each with its own plane and row steps."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                simd.store(y, target + w, simd.load(x, source + w))


def regroup_geometry(samples, x_table, x_sample, y_table, y_sample):
    """Make the geometry of `regroup`: the tables say at which scalar each feature lies in x and in y."""
    return np.array([samples, x_sample, y_sample, len(x_table), *x_table, *y_table], np.int64)


@operation
def regroup(x, y, _b, _c, _d, _e, g, s):
    """y = x, the features of few samples, which lie in another order; g as `regroup_geometry` makes it."""
    samples, x_sample, y_sample, features = g[0], g[1], g[2], g[3]
    x_table, y_table = advance(g, 4), advance(g, 4 + features)
    for n in range(samples):
        for k in range(features):
            y[n * y_sample + y_table[k]] = x[n * x_sample + x_table[k]]


@internal
def _nchw_table(g, at, shape, distances):
    """Write at which vector each feature of a sample (C, H, W) lies, from g[at] on, in row-major order.

    `distances` are those in vectors (from plane to plane, from line to line).
    """
    for c in range(shape[1]):
        for h in range(shape[2]):
            for w in range(shape[3]):
                g[at] = c * distances[0] + h * distances[1] + w
                at += 1


@internal
def gather_array(x, distances):
    """Make the geometry of `gather` from a C-ordered array to planes; `distances` are (plane, line)."""
    channels, height, width = x.shape[1:]
    g = np.zeros(GATHER_TABLE + channels * height * width, np.int64)
    g[GATHER.kind] = FLOAT32 if x.itemsize == 4 else FLOAT64
    g[GATHER.channels], g[GATHER.height], g[GATHER.width] = channels, height, width
    g[GATHER.w_bytes], g[GATHER.h_bytes] = x.itemsize, width * x.itemsize
    g[GATHER.c_bytes] = height * g[GATHER.h_bytes]
    g[GATHER.n_bytes], g[GATHER.source] = channels * g[GATHER.c_bytes], x.ctypes.data
    _nchw_table(g, GATHER_TABLE, x.shape, distances)
    return g


@internal
def scatter_array(y, distances):
    """Make the geometry of `scatter` from planes to a C-ordered array; `distances` are (plane, line)."""
    features = y.shape[1] * y.shape[2] * y.shape[3]
    g = np.zeros(SCATTER_TABLE + features, np.int64)
    g[SCATTER.features], g[SCATTER.target] = features, y.ctypes.data
    _nchw_table(g, SCATTER_TABLE, y.shape, distances)
    return g
