"""Tiles, each function alone, against NumPy."""

import functools

import numpy as np
import pytest

from fastconv import simd
from fastconv.simd import tiles, transpose
from tests.simd.lane_tools import both_dtypes, compiled, lane_count, numbers, run, vectors

ROWS, COLUMNS = 3, 2


@compiled
def tile_sizes(x):
    grid = tiles.tile(simd.pointer(x), 5, 7)
    return tiles.rows(grid), tiles.columns(grid)


@both_dtypes
def test_a_tile_knows_its_rows_and_columns(dtype):
    assert tile_sizes(np.zeros(1, dtype)) == (5, 7)


@compiled
def shaped(out, form, x, table):
    """A tile of the shape `form`, with vectors of `x` added to every row and stored where the table says."""
    grid = tiles.tile_add_columns(tiles.zeros(form), simd.pointer(x), 2)
    at = simd.pointer(table)
    tiles.tile_fetch(form, simd.pointer(out), 1, 0, tiles.offsets(form, at, 5))
    tiles.tile_store(grid, simd.pointer(out), 1, tiles.row_offsets(form, at, 1), tiles.offsets(form, at, 5))
    return tiles.rows(form), tiles.columns(form)


@compiled
def tiles_of_two_shapes(out, other, x, table):
    p = simd.pointer(x)
    return shaped(out, tiles.shape(p, 3, 2), x, table), shaped(other, tiles.shape(p, 1, 4), x, table)


def shaped_case(dtype):
    """Sizes, vectors added, and what a tile of 3 x 2 and one of 1 x 4 wrote to 20 vectors of 77."""
    x = vectors(dtype, 9)
    table = np.array([99, 12, 0, 7, 99, 4, 0, 1, 6])  # offsets of rows from entry 1, of columns from entry 5
    out, other = np.full((2, 20, lane_count(dtype)), 77, dtype)
    sizes = tiles_of_two_shapes(out, other, x, table)
    return sizes, x, out, other


@both_dtypes
def test_a_shape_stands_for_the_rows_and_columns_of_a_tile(dtype):
    assert shaped_case(dtype)[0] == ((3, 2), (1, 4))


@both_dtypes
def test_tile_add_columns_adds_a_vector_to_each_column_and_tile_store_takes_an_offset_of_each_row(dtype):
    _, x, out, other = shaped_case(dtype)
    wanted = np.full(out.shape, 77, dtype)
    for row in (12, 0, 7):
        wanted[1 + row + 4], wanted[1 + row + 0] = x[2], x[3]
    assert np.array_equal(out, wanted)
    wanted = np.full(out.shape, 77, dtype)
    wanted[[1 + 12 + column for column in (4, 0, 1, 6)]] = x[2:6]
    assert np.array_equal(other, wanted)


@compiled
def rolled_sum(x):
    total = 0.0
    for value in x:
        simd.rolled()
        total += value
    return total


def test_a_rolled_loop_does_the_same():
    assert rolled_sum(np.arange(101.0)) == 5050


@compiled
def opaque_index(k):
    return simd.opaque(k)


def test_an_opaque_index_is_the_index():
    assert [opaque_index(k) for k in (-(2**40), -1, 0, 7)] == [-(2**40), -1, 0, 7]


@compiled
def tile_sums(out, x, table):
    p, y = simd.pointer(x), simd.pointer(out)
    form, at = tiles.shape(p, 3, 2), simd.pointer(table)
    columns = tiles.offsets(form, at, 1)
    grid = tiles.tile_add_columns(tiles.zeros(form), p, 2)
    stored = tiles.tile_add_stored(grid, p, 1, 3, columns)
    tiles.tile_store(stored, y, 0, 2, tiles.offsets(form, at, 3))
    tiles.tile_store(tiles.tile_sum(grid, stored), y, 6, 2, tiles.offsets(form, at, 3))


@both_dtypes
def test_a_tile_adds_stored_vectors_and_another_tile(dtype):
    x = vectors(dtype, 12)
    table = np.array([99, 3, 0, 0, 1])  # offsets of columns: in x from entry 1, in the result from entry 3
    out = run(tile_sums, dtype, 12, x, table)
    stored = x[[1 + 3 * row + column for row in range(3) for column in (3, 0)]]
    columns = np.tile(x[2:4], (3, 1))
    assert np.array_equal(out[:6], columns + stored)
    assert np.array_equal(out[6:], columns + (columns + stored))


@compiled
def columns_apart(out, x, distance):
    p, y = simd.pointer(x), simd.pointer(out)
    form = tiles.shape(p, 2, 3)
    stored = tiles.tile_add_stored(tiles.zeros(form), p, 1, 2, tiles.column_places(form, distance))
    tiles.tile_store(stored, y, 0, 3, tiles.column_places(form, 1))


@both_dtypes
def test_columns_may_lie_at_a_distance(dtype):
    x = vectors(dtype, 12)
    assert np.array_equal(run(columns_apart, dtype, 6, x, 4), x[[1, 5, 9, 3, 7, 11]])


@compiled
def tile_functions(out, x, y, w, bias, table):
    p = simd.pointer(x)
    at = tiles.offsets(tiles.tile(p, 3, 2), simd.pointer(table), 1)
    zero = tiles.tile(p, 3, 2)
    product = tiles.multiply_add(zero, simd.pointer(w), 2, 4, p, 1, at)
    product = tiles.multiply_add(product, simd.pointer(w), 3, 4, p, 2, at)
    outer = tiles.outer_add(zero, simd.pointer(y), 1, 2, p, 1, at)
    shifted = tiles.tile_add_rows(product, simd.pointer(bias), 1, 2)
    target = simd.pointer(out)
    step = simd.lanes(p) * 6
    k = 0
    for grid in (zero, product, outer, shifted, tiles.tile_relu(product)):
        pairs = tiles.offsets(grid, simd.pointer(table), 4)
        tiles.tile_store(grid, simd.advance(target, k * step), 0, 2, pairs)
        k += 1
    gated = tiles.tile_gate(product, simd.pointer(y), 0, 2, tiles.offsets(zero, simd.pointer(table), 4))
    tiles.tile_store(gated, simd.advance(target, k * step), 0, 2, tiles.offsets(zero, simd.pointer(table), 4))


def tile_case(dtype):
    x, y = vectors(dtype, 9, seed=1), vectors(dtype, 7, seed=2)
    y[0, 0], y[1, 1], y[2, :3] = 0.0, -0.0, np.nan
    w, bias = numbers(dtype, 20, seed=3), numbers(dtype, 8, seed=4)
    table = np.array([9, 0, 5, 9, 0, 1])  # offsets of x from entry 1: 0 and 5; of the output from 4: 0 and 1
    out = run(tile_functions, dtype, 36, x, y, w, bias, table)
    names = ("zero", "product", "outer", "shifted", "relu", "gate")
    return x, y, w, bias, dict(zip(names, out.reshape(6, ROWS, COLUMNS, -1), strict=True))


def expected_product(x, w):
    wide = x.astype(np.float64)
    return np.array(
        [[w[2 + 4 * r] * wide[1 + c] + w[3 + 4 * r] * wide[2 + c] for c in (0, 5)] for r in range(ROWS)]
    )


@compiled
def block_functions(out, x, w, table):
    """A tile of one row whose columns are a block of 2 lines x 3 columns; offsets of both in tables."""
    p, y, at = simd.pointer(x), simd.pointer(out), simd.pointer(table)
    form = tiles.patch_shape(p, 2, 3)
    x_at, y_at = tiles.offsets(form, at, 1), tiles.offsets(form, at, 1 + tiles.offset_count(form))
    product = tiles.multiply_add(tiles.zeros(form), simd.pointer(w), 2, 4, p, 1, x_at)
    tiles.tile_store(product, y, 0, 1, y_at)
    tiles.tile_store(tiles.tile_add_stored(product, p, 0, 1, y_at), y, 6, 1, y_at)
    tiles.tile_store(tiles.tile_gate(product, p, 0, 1, y_at), y, 12, 1, y_at)


@both_dtypes
def test_the_columns_of_a_block_lie_where_its_lines_and_columns_add_up_to(dtype):
    x, w = vectors(dtype, 12, seed=1), numbers(dtype, 3, seed=3)
    x[4, 0], x[0, 1] = np.nan, -0.0
    lines, columns, y_lines, y_columns = (3, 0), (1, 7, 4), (0, 3), (2, 0, 1)
    out = run(block_functions, dtype, 18, x, w, np.array([99, *lines, *columns, *y_lines, *y_columns]))
    product, added, gated = np.empty((3, 6, x.shape[1]), dtype)
    for line, y_line in zip(lines, y_lines, strict=True):
        for column, y_column in zip(columns, y_columns, strict=True):
            k = y_line + y_column
            product[k] = w[2] * x[1 + line + column]
            added[k], gated[k] = product[k] + x[k], np.where(x[k] > 0, product[k], 0)
    assert np.array_equal(out, np.concatenate([product, added, gated]), equal_nan=True)


@compiled
def row_functions(out, x, w, table, divisor):
    """A product with rows of weights from a table, then vectors added and the whole divided."""
    p, at = simd.pointer(x), simd.pointer(table)
    grid = tiles.tile(p, 3, 1)
    weights = tiles.row_offsets(grid, at, 1)
    product = tiles.multiply_add(grid, simd.pointer(w), 2, weights, p, 1, tiles.offsets(grid, at, 0))
    more = tiles.tile_add(product, p, 2, 3)
    n = simd.lanes(p)
    transpose.store_column(product, simd.pointer(out), 0, n)
    transpose.store_column(more, simd.pointer(out), 3, n)
    transpose.store_column(tiles.tile_divide(more, divisor), simd.pointer(out), 6, n)


def row_case(dtype):
    x, w = vectors(dtype, 12, seed=1), numbers(dtype, 20, seed=3)
    table = np.array([4, 9, 0, 5])  # the offset of x, then those of the weights of three rows
    return x, w, run(row_functions, dtype, 9, x, w, table, 255.0).reshape(3, 3, -1)


@both_dtypes
def test_row_offsets_say_where_the_weight_of_each_row_lies(dtype):
    x, w, (product, _, _) = row_case(dtype)
    assert np.array_equal(product, [w[2 + k] * x[1 + 4] for k in (9, 0, 5)])


@both_dtypes
def test_tile_add_adds_a_vector_to_every_row(dtype):
    x, _, (product, more, _) = row_case(dtype)
    assert np.array_equal(more, product + x[[2, 5, 8]])


@both_dtypes
def test_tile_divide_divides_every_lane_and_rounds_once(dtype):
    _, _, (_, more, divided) = row_case(dtype)
    assert np.array_equal(divided, more / dtype(255))


@both_dtypes
def test_multiply_add_adds_a_scalar_of_every_row_times_a_vector_of_every_column(dtype):
    x, _, w, _, got = tile_case(dtype)
    assert not got["zero"].any()
    np.testing.assert_allclose(
        got["product"], expected_product(x, w), rtol=8 * np.finfo(dtype).eps, atol=1e-7
    )


@both_dtypes
def test_outer_add_adds_a_vector_of_every_row_times_a_vector_of_every_column(dtype):
    x, y, _, _, got = tile_case(dtype)
    wanted = [[y[1 + 2 * r] * x[1 + c] for c in (0, 5)] for r in range(ROWS)]
    assert np.array_equal(got["outer"], wanted)


@both_dtypes
def test_tile_add_rows_adds_one_scalar_to_every_vector_of_a_row(dtype):
    *_, bias, got = tile_case(dtype)
    assert np.array_equal(got["shifted"], got["product"] + bias[1:7:2, None, None])


@both_dtypes
def test_tile_relu_is_the_tile_where_positive_and_0_elsewhere(dtype):
    got = tile_case(dtype)[-1]
    assert (got["product"] < 0).any()
    assert np.array_equal(got["relu"], np.maximum(got["product"], 0))


@both_dtypes
def test_tile_gate_is_the_tile_where_the_stored_vector_is_positive_and_0_elsewhere(dtype):
    _, y, *_, got = tile_case(dtype)
    gate = y[:6].reshape(ROWS, COLUMNS, -1)
    assert np.array_equal(got["gate"], np.where(gate > 0, got["product"], 0))


@compiled
def relu_of_one(out, x):
    grid = transpose.square(simd.pointer(x), 0, simd.lanes(simd.pointer(x)))
    transpose.store_column(tiles.tile_relu(grid), simd.pointer(out), 0, x.shape[0])


@both_dtypes
def test_tile_relu_keeps_nan(dtype):
    x = vectors(dtype, lane_count(dtype))
    x[0, :3], x[-1, -1] = (np.nan, -np.inf, np.inf), np.nan
    assert np.array_equal(run(relu_of_one, dtype, len(x), x), np.maximum(x, 0), equal_nan=True)


@compiled
def filled(grid, x):
    """The tile whose vectors are those of x in their order."""
    one, table = np.zeros(tiles.rows(grid), x.dtype), np.arange(tiles.columns(grid))
    at = tiles.offsets(grid, simd.pointer(table), 0)
    for r in range(tiles.rows(grid)):
        one[:] = 0
        one[r] = 1
        grid = tiles.multiply_add(grid, simd.pointer(one), 0, 1, simd.pointer(x), r * tiles.columns(grid), at)
    simd.keep(one)
    simd.keep(table)
    return grid


@compiled
def totals(out, x, count, fresh):
    tiles.add_totals(filled(tiles.tile(simd.pointer(x), 3, 2), x), simd.pointer(out), 1, 4, count, fresh)


@both_dtypes
@pytest.mark.parametrize("fresh", [False, True])
def test_add_totals_adds_or_stores_the_sum_of_every_vector_of_the_first_columns_only(dtype, fresh):
    x = vectors(dtype, 6)
    for count in (0, 1, 2, 9):
        out = np.full(12, 10, dtype)
        totals(out, x, count, fresh)
        wanted = np.full((3, 4), 10.0)
        if fresh:
            wanted[:, :COLUMNS][:, :count] = 0
        wanted[:, :COLUMNS][:, :count] += x.reshape(3, 2, -1).sum(-1, dtype=np.float64)[:, :count]
        rolled = np.roll(wanted.ravel(), 1)  # index 1 is where row 0 starts
        np.testing.assert_allclose(out, rolled, rtol=1e-5 if dtype is np.float32 else 1e-14)


@functools.cache
def totals_of(rows, columns):
    """Add the totals of a tile of this size, and those of its vectors one by one."""

    @compiled
    def function(out, single, x, count):
        p = simd.pointer(x)
        grid = filled(tiles.tile(p, rows, columns), x)
        tiles.add_totals(grid, simd.pointer(out), 1, columns + 2, count, False)
        for k in range(x.shape[0]):
            single[k] = simd.total(simd.load(p, k))

    return function


@both_dtypes
@pytest.mark.parametrize(("rows", "columns"), [(1, 11), (3, 4), (2, 8), (13, 1), (3, 11)])
def test_totals_of_tiles_of_any_size_have_the_bits_of_single_totals(rows, columns, dtype):
    x = vectors(dtype, rows * columns, seed=8)
    for count in (columns, columns - 1, 0):
        out = numbers(dtype, (columns + 2) * rows + 1, seed=9)
        before, single = out[1:].reshape(rows, -1).copy(), np.empty(len(x), dtype)
        totals_of(rows, columns)(out, single, x, count)
        before[:, :count] += single.reshape(rows, columns)[:, :count]
        assert np.array_equal(out[1:].reshape(rows, -1), before), count


@compiled
def row_stores(out, added, x, step, first, length):
    grid = filled(tiles.tile(simd.pointer(x), 2, 2), x)
    tiles.store_rows(grid, simd.pointer(out), 1, step, first, length)
    tiles.add_to_rows(grid, simd.pointer(added), 1, step, first, length)


@both_dtypes
def test_rows_of_scalars_are_stored_or_added_from_vectors_and_nothing_past_their_length(dtype):
    n = lane_count(dtype)
    x = vectors(dtype, 4)
    rows = x.reshape(2, 2 * n)  # the scalars of each row of the tile
    step = 5 * n
    cases = (0, 1), (0, n), (0, n + 3), (0, 2 * n), (1, 2 * n + 2), (1, 3 * n), (2, 2 * n), (0, 0)
    for first, length in cases:
        out, added = np.full(2 * step + n, 77, dtype), np.full(2 * step + n, 77, dtype)
        row_stores(out, added, x, step, first, length)
        wanted, sums = np.full(out.size, 77, dtype), np.full(out.size, 77, dtype)
        begin, end = first * n, min(length, (first + 2) * n)
        if end > begin:
            for r in range(2):
                wanted[1 + r * step + begin : 1 + r * step + end] = rows[r, : end - begin]
                sums[1 + r * step + begin : 1 + r * step + end] += rows[r, : end - begin]
        assert np.array_equal(out, wanted), (first, length)
        assert np.array_equal(added, sums), (first, length)
