"""Convolution, dense layers and their input gradients: one kernel.

All are the same sum over a list of taps, at a list of positions:

    y[row, p] = bias[row] + sum over t of  w[row * w_row + w_tap[t]] * x[position[p] + tap[t]]

            x (one block, vectors)                        a tap is an offset from the position: (c, kh, kw)
            +--+--+--+--+--+                              for a convolution, a feature for a dense layer.
            |  |p0|p1|p2|  |    p: where a window starts  The tables come ready from `tables.py`, so stride,
            +--+--+--+--+--+                              padding, dilation and odd sizes cost nothing here.
            |  | t: p0 + row + 1 ...

The register tile holds rows x positions accumulators: each loaded vector serves every row, each splat
weight every position. Groups are runs of the same sum at other offsets.
"""

from numba import njit

from .. import simd
from ..simd import (
    add_totals,
    advance,
    columns,
    load,
    multiply_add,
    offsets,
    outer_add,
    rows,
    tile,
    tile_add_rows,
    tile_gate,
    tile_relu,
    tile_store,
    total,
)
from .operation import operation

COLUMNS_4, COLUMNS_6, COLUMNS_2, COLUMNS_1 = (simd.tile_columns(r) for r in (4, 6, 2, 1))
DENSE_ROWS = 16 if simd.HOST.registers_per_vector == 1 else 4  # one position: rows alone fill the tile
TABLE_SLACK = 12  # tables repeat their last entry this often, so that a last tile may run over

PLAIN, RELU, GATE = 0, 1, 2  # what becomes of a finished sum
HEADER = 14  # integers before the tables in the geometry


@njit(cache=True, nogil=True, error_model="numpy")
def _rows_pass(zero, x, w, bias, gate, y, first, last, g, w_row, y_row):
    """Rows first..last, in tiles of the size of `zero`; positions outside, so that x stays in cache."""
    positions, taps, ending = g[1], g[2], g[3]
    x_position = advance(g, HEADER)
    y_position = advance(x_position, positions + TABLE_SLACK)
    tap = advance(y_position, positions + TABLE_SLACK)
    w_tap = advance(tap, taps + TABLE_SLACK)
    for p in range(0, positions, columns(zero)):
        x_at = offsets(zero, x_position, p)
        y_at = offsets(zero, y_position, p)
        for row in range(first, last, rows(zero)):
            acc = zero
            for t in range(taps):
                acc = multiply_add(acc, w, row * w_row + w_tap[t], w_row, x, tap[t], x_at)
            if g[12]:
                acc = tile_add_rows(acc, bias, row, 1)
            if ending == RELU:
                acc = tile_relu(acc)
            elif ending == GATE:
                acc = tile_gate(acc, gate, row * y_row, y_row, y_at)
            tile_store(acc, y, row * y_row, y_row, y_at)


@operation
def contract(x, w, bias, gate, y, _, g, s):
    """y = the sum above for every row, group by group; then ReLU, or 0 where `gate` is not positive."""
    count, positions, groups = g[0], g[1], g[4]
    x_group, w_group, y_group, w_row, y_row = g[5], g[6], g[7], g[8], g[9]
    for _group in range(groups):
        first = 0
        if positions == 1:
            last = count // DENSE_ROWS * DENSE_ROWS
            _rows_pass(tile(x, DENSE_ROWS, 1), x, w, bias, gate, y, first, last, g, w_row, y_row)
            first, last = last, last + (count - last) // 4 * 4
            _rows_pass(tile(x, 4, 1), x, w, bias, gate, y, first, last, g, w_row, y_row)
            _rows_pass(tile(x, 1, 1), x, w, bias, gate, y, last, count, g, w_row, y_row)
        else:
            # 4 rows make the best tile; 6 rows at once beat 4 + 2, as in LeNet's first layer.
            last = 6 if count % 4 == 2 and count >= 6 else 0
            _rows_pass(tile(x, 6, COLUMNS_6), x, w, bias, gate, y, first, last, g, w_row, y_row)
            first, last = last, last + (count - last) // 4 * 4
            _rows_pass(tile(x, 4, COLUMNS_4), x, w, bias, gate, y, first, last, g, w_row, y_row)
            first, last = last, last + (count - last) // 2 * 2
            _rows_pass(tile(x, 2, COLUMNS_2), x, w, bias, gate, y, first, last, g, w_row, y_row)
            _rows_pass(tile(x, 1, COLUMNS_1), x, w, bias, gate, y, last, count, g, w_row, y_row)
        x = advance_vectors(x, x_group)
        y = advance_vectors(y, y_group)
        gate = advance_vectors(gate, y_group)
        w = advance(w, w_group)
        bias = advance(bias, count)


@njit(cache=True, nogil=True, error_model="numpy")
def advance_vectors(p, count):
    """The pointer `count` vectors after `p`."""
    return advance(p, count * simd.lanes(p))


@njit(cache=True, nogil=True, error_model="numpy")
def _gradient_pass(zero, x, dy, dweight, first, last, g):
    """Rows first..last of the weight gradient, a tile of rows x taps held over the whole image."""
    taps, height, width = g[1], g[2], g[3]
    x_i, x_j, y_row, y_i, w_row = g[7], g[8], g[9], g[10], g[11]
    tap = advance(g, HEADER)
    for row in range(first, last, rows(zero)):
        for t in range(0, taps, columns(zero)):
            x_at = offsets(zero, tap, t)
            acc = zero
            for i in range(height):
                for j in range(width):
                    acc = outer_add(acc, dy, row * y_row + i * y_i + j, y_row, x, i * x_i + j * x_j, x_at)
            add_totals(acc, dweight, row * w_row + t, w_row, taps - t)


@operation
def contract_grad_weight(x, dy, dweight, _a, _b, _c, g, s):
    """dweight[row, t] += sum over positions and lanes of dy[row, p] * x[position[p] + tap[t]]."""
    count, groups = g[0], g[4]
    x_group, w_group, y_group = g[5], g[6], g[12]
    for _ in range(groups):
        last = 6 if count % 4 == 2 and count >= 6 else 0
        _gradient_pass(tile(x, 6, COLUMNS_6), x, dy, dweight, 0, last, g)
        first, last = last, last + (count - last) // 4 * 4
        _gradient_pass(tile(x, 4, COLUMNS_4), x, dy, dweight, first, last, g)
        first, last = last, last + (count - last) // 2 * 2
        _gradient_pass(tile(x, 2, COLUMNS_2), x, dy, dweight, first, last, g)
        _gradient_pass(tile(x, 1, COLUMNS_1), x, dy, dweight, last, count, g)
        x = advance_vectors(x, x_group)
        dy = advance_vectors(dy, y_group)
        dweight = advance(dweight, w_group)


@operation
def planes_grad_bias(dy, dbias, _a, _b, _c, _d, g, s):
    """dbias[c] += sum of plane c of dy over positions and lanes."""
    channels, height, width, plane, row = g[0], g[1], g[2], g[3], g[4]
    for c in range(channels):
        acc = simd.fill(dy, 0.0)
        for i in range(height):
            for j in range(width):
                acc = simd.add(acc, load(dy, c * plane + i * row + j))
        dbias[c] += total(acc)


@operation
def rows_grad_weight(x, dy, dweight, dbias, _a, _b, g, s):
    """A dense layer's gradients over a whole batch, from samples x features.

    dweight[o, i] = sum over n of dy[n, o] * x[n, i], and dbias[o] = sum over n of dy[n, o]. Each thread
    takes some of the rows o and adds the samples in order, so any number of threads gives the same bits.
    """
    out_features, in_features, x_row, dy_row, has_bias = g[0], g[1], g[2], g[3], g[4]
    samples, thread, threads = s[0], s[4], s[5]
    groups = (out_features + 3) // 4
    first, last = groups * thread // threads * 4, min(groups * (thread + 1) // threads * 4, out_features)
    fours = first + (last - first) // 4 * 4
    _dense_pass(tile(x, 4, COLUMNS_4), x, dy, dweight, first, fours, samples, in_features, x_row, dy_row, g)
    _dense_pass(tile(x, 1, COLUMNS_4), x, dy, dweight, fours, last, samples, in_features, x_row, dy_row, g)
    if has_bias:
        for o in range(first, last):
            dbias[o] = 0.0
        for n in range(samples):
            for o in range(first, last):
                dbias[o] += dy[n * dy_row + o]


@njit(cache=True, nogil=True, error_model="numpy")
def _dense_pass(zero, x, dy, dweight, first, last, samples, in_features, x_row, dy_row, g):
    lane_count = simd.lanes(x)
    row_vectors = x_row // lane_count
    numbers = advance(g, HEADER)
    for o in range(first, last, rows(zero)):
        for v in range(0, (in_features + lane_count - 1) // lane_count, columns(zero)):
            x_at = offsets(zero, numbers, v)
            acc = zero
            for n in range(samples):
                acc = multiply_add(acc, dy, n * dy_row + o, 1, x, n * row_vectors, x_at)
            simd.store_rows(acc, dweight, o * in_features, in_features, v, in_features)


@operation
def clear(x, _a, _b, _c, _d, _e, g, s):
    """x[0..count] = 0."""
    for k in range(g[0]):
        x[k] = 0.0


@operation
def add_shards(shards, total_gradient, _a, _b, _c, _d, g, s):
    """total[k] = shard 0's [k] + shard 1's [k] + ..., in that order; each thread takes some of the k."""
    count, step = g[0], g[1]
    thread, threads, shard_count = s[4], s[5], s[10]
    first, last = count * thread // threads, count * (thread + 1) // threads
    for k in range(first, last):
        total_gradient[k] = shards[k]
    for shard in range(1, shard_count):
        source = advance(shards, shard * step)
        for k in range(first, last):
            total_gradient[k] += source[k]
