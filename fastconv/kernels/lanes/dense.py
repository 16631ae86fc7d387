"""Dense layers and their gradients: products of matrices.

    forward and dx     a block of samples in lanes: y[row] = sum over k of w[row, k] * x[k]
    dweight            the whole batch as rows, samples x features: dweight[o] = sum over n of dy[n, o] * x[n]

A register tile of the first holds 8 rows, whose weights are splat one by one; of the second 4 rows o times 4
vectors of features. Long sums of the first are made in parts, each from 0, which are then added up.
"""

import numpy as np

from ... import simd
from ...simd import advance, tiles
from ...simd.compiling import compiled
from ...simd.tiles import (
    columns,
    multiply_add,
    offsets,
    row_offsets,
    rows,
    shape,
    tile_add,
    tile_store,
    tile_sum,
    zeros,
)
from .conv import COLUMNS_4, MANY_ROWS, SLACK, end_sum
from .operation import SAMPLES, operation, share

# Products in a part of a sum: in a single run, 784 features lose 2 to 4 times as much to rounding.
DENSE_PRODUCTS = 32

# Of a weight gradient: 4 vectors divide the usual numbers of features, 5 would leave a fifth idle.
DENSE_COLUMNS = min(4, COLUMNS_4)

# The geometry of `dense`: how many products in a sum, how many sums, distances of the weights of two rows and
# of two products, whether there is a bias, what becomes of the sums; then the distances of a tile's rows.
PRODUCTS, COUNT, W_ROW, W_STEP, BIAS, ENDING, ROWS = range(7)


@compiled
def _dense_rows(form, x, w, bias, gate, y, g, first, last, w_rows):
    """The sums first..last, in tiles of the shape `form`."""
    products, w_row, w_step, here = g[PRODUCTS], g[W_ROW], g[W_STEP], (0,)
    for row in range(first, last, rows(form)):
        total = zeros(form)
        for start in range(0, products, DENSE_PRODUCTS):
            acc = zeros(form)
            for k in range(start, min(start + DENSE_PRODUCTS, products)):
                acc = multiply_add(acc, w, row * w_row + k * w_step, w_rows, x, k, here)
            total = acc if start == 0 else tile_sum(acc, total)
        total = end_sum(total, g[BIAS], bias, g[ENDING], gate, row, 1, here)
        tile_store(total, y, row, 1, here)


@operation
def dense(x, w, bias, gate, y, _, g, s):
    """y = bias + w x, sums over features; then ReLU, or 0 where `gate` is not positive.

    Sums over the rows of w, dx = w^T dy, are the same with other distances.
    """
    count, w_row = g[COUNT], g[W_ROW]
    many = count // MANY_ROWS * MANY_ROWS
    four = many + (count - many) // 4 * 4
    if many > 0:
        form = shape(x, MANY_ROWS, 1)
        _dense_rows(form, x, w, bias, gate, y, g, 0, many, row_offsets(form, g, ROWS))
    if four > many:
        _dense_rows(shape(x, 4, 1), x, w, bias, gate, y, g, many, four, w_row)
    if count > four:
        _dense_rows(shape(x, 1, 1), x, w, bias, gate, y, g, four, count, w_row)


def _dense_geometry(products, count, w_row, w_step, has_bias, ending):
    distances = [row * w_row for row in range(MANY_ROWS)]
    return np.array([products, count, w_row, w_step, has_bias, ending, *distances], np.int64)


def forward_geometry(in_features, out_features, has_bias, ending):
    """Geometry of `dense` for y = w x + bias."""
    return _dense_geometry(in_features, out_features, in_features, 1, has_bias, ending)


def grad_input_geometry(in_features, out_features, ending):
    """Geometry of `dense` for dx = w^T dy."""
    return _dense_geometry(out_features, in_features, 1, in_features, 0, ending)


# The geometry of `rows_grad_weight`, then the numbers 0, 1, 2, ... of vectors.
R_OUT, R_IN, R_X_ROW, R_DY_ROW, R_BIAS, R_HEADER = range(6)


@operation
def rows_grad_weight(x, dy, dweight, dbias, _a, _b, g, s):
    """A dense layer's gradients over a whole batch, from samples x features.

    dweight[o, i] = sum over n of dy[n, o] * x[n, i], and dbias[o] = sum over n of dy[n, o]. Each thread
    takes some of the rows o and adds the samples in order, so any number of threads gives the same bits.
    """
    out_features, in_features, x_row, dy_row = g[R_OUT], g[R_IN], g[R_X_ROW], g[R_DY_ROW]
    samples = s[SAMPLES]
    first, last = share((out_features + 3) // 4, s)
    first, last = first * 4, min(last * 4, out_features)
    fours = first + (last - first) // 4 * 4
    _gradient_rows(
        shape(x, 4, DENSE_COLUMNS), x, dy, dweight, first, fours, samples, in_features, x_row, dy_row, g
    )
    _gradient_rows(
        shape(x, 1, DENSE_COLUMNS), x, dy, dweight, fours, last, samples, in_features, x_row, dy_row, g
    )
    if g[R_BIAS]:
        lane_count = simd.lanes(dy)
        first, last = share((out_features + lane_count - 1) // lane_count, s)
        for v in range(first, last):
            acc = zeros(shape(dy, 1, 1))
            for n in range(samples):
                acc = tile_add(acc, dy, n * (dy_row // lane_count) + v, 0)
            tiles.store_rows(acc, dbias, 0, 0, v, out_features)


@compiled
def _gradient_rows(form, x, dy, dweight, first, last, samples, in_features, x_row, dy_row, g):
    lane_count = simd.lanes(x)
    row_vectors = x_row // lane_count
    numbers = advance(g, R_HEADER)
    for o in range(first, last, rows(form)):
        for v in range(0, (in_features + lane_count - 1) // lane_count, columns(form)):
            x_at = offsets(form, numbers, v)
            acc = zeros(form)
            for n in range(samples):
                acc = multiply_add(acc, dy, n * dy_row + o, 1, x, n * row_vectors, x_at)
            tiles.store_rows(acc, dweight, o * in_features, in_features, v, in_features)


def grad_weight_geometry(in_features, out_features, x_row, dy_row, has_bias, lanes):
    """Geometry of `rows_grad_weight`; rows of x and dy are `x_row` and `dy_row` scalars apart."""
    vectors = (in_features + lanes - 1) // lanes
    g = np.zeros(R_HEADER + vectors + SLACK, np.int64)
    g[R_OUT], g[R_IN], g[R_X_ROW], g[R_DY_ROW], g[R_BIAS] = out_features, in_features, x_row, dy_row, has_bias
    g[R_HEADER:] = np.minimum(np.arange(vectors + SLACK), vectors - 1)
    return g
