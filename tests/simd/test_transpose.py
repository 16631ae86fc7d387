"""Squares: rows of scalars to lanes and back, against NumPy."""

import numpy as np
import pytest

from fastconv import simd
from fastconv.simd import transpose
from fastconv.simd.kinds import DTYPE_CODES
from tests.simd.lane_tools import both_dtypes, compiled, lane_count, numbers, run, vectors


@compiled
def whole_squares(out, x, row):
    p = simd.pointer(x)
    square = transpose.square(p, 1, row)
    n = simd.lanes(p)
    transpose.store_column(square, simd.pointer(out), 0, n)
    transpose.store_column(transpose.transpose(square), simd.pointer(out), n, n)


@both_dtypes
def test_transpose_swaps_the_rows_and_lanes_of_a_square(dtype):
    n = lane_count(dtype)
    x = numbers(dtype, n, n + 5)
    out = run(whole_squares, dtype, 2 * n, x, n + 5)
    assert np.array_equal(out[:n], x[:, 1 : n + 1])
    assert np.array_equal(out[n:], x[:, 1 : n + 1].T)


@compiled
def columns_of(out, x, table, start, count):
    p = simd.pointer(x)
    n = simd.lanes(p)
    gathered = transpose.load_gathered(p, simd.pointer(table), start, count)
    y = simd.pointer(out)
    transpose.store_column(gathered, y, 0, n)
    transpose.store_column(gathered, y, n, count)
    transpose.store_scattered(gathered, simd.advance(y, 2 * n * n), simd.pointer(table), start, count)


@both_dtypes
def test_vectors_are_gathered_and_scattered_by_a_table_up_to_a_count(dtype):
    n = lane_count(dtype)
    x = vectors(dtype, 2 * n, seed=6)
    table = np.random.default_rng(0).permutation(2 * n)
    for count in (1, n // 2 + 1, n, n + 3):
        kept = min(count, n)
        out = run(columns_of, dtype, 4 * n, x, table, 2, count)
        gathered, stored, scattered = out[:n], out[n : 2 * n], out[2 * n :]
        assert np.array_equal(gathered[:kept], x[table[2 : 2 + kept]])
        assert not gathered[kept:].any(), "0 past the count"
        assert np.array_equal(stored[:kept], gathered[:kept])
        assert (stored[kept:] == 77).all(), "nothing is written past the count"
        wanted = np.full((2 * n, n), 77, dtype)
        wanted[table[2 : 2 + kept]] = x[table[2 : 2 + kept]]
        assert np.array_equal(scattered, wanted)


@compiled
def addressed_square(out, like, addresses, kind, index, valid, count):
    square = transpose.square_at(simd.pointer(like), simd.pointer(addresses), index, kind, valid, count)
    transpose.store_column(square, simd.pointer(out), 0, simd.lanes(simd.pointer(like)))


@both_dtypes
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, np.float64])
def test_a_square_is_read_at_any_addresses_in_any_dtype_and_is_0_past_its_rows_and_its_count(dtype, kind):
    n = lane_count(dtype)
    data = np.random.default_rng(2).integers(0, 200, (n, 3 * n)).astype(kind)
    order = np.random.default_rng(3).permutation(n)
    addresses, code = data.ctypes.data + order * data.strides[0], DTYPE_CODES[np.dtype(kind)]
    for index, valid, count in ((0, n, n), (3, n, n + 9), (1, n, 1), (2, 1, n), (5, n - 1, n - 1), (0, n, 0)):
        out = run(
            addressed_square,
            dtype,
            n,
            np.zeros(1, dtype),
            addresses,
            code,
            index,
            valid,
            count,
        )
        wanted = data[order, index : index + n].astype(dtype)
        wanted[valid:], wanted[:, count:] = 0, 0
        assert np.array_equal(out, wanted), (index, valid, count)


def square_parts(n):
    """(index, rows, lanes that are there) of squares that are whole, and that lack rows or lanes."""
    whole = [(0, n, n), (3, n + 5, n), (1, n, n + 1)]
    return [*whole, (0, n, n - 1), (2, n - 1, n), (5, 3, 5), (1, 1, n), (0, n, 0), (2, 0, n), (4, -1, 2)]


def square_of(n, valid, count):
    """Which rows and lanes are there."""
    return (np.arange(n) < valid)[:, None] & (np.arange(n) < count)


@compiled
def partial_squares(out, x, row, addresses, index, valid, count):
    p, y = simd.pointer(x), simd.pointer(out)
    n = simd.lanes(p)
    transpose.store_column(transpose.square_part(p, index, row, valid, count), y, 0, n)
    transpose.store_column(transpose.square_from(p, simd.pointer(addresses), index, valid, count), y, n, n)


@both_dtypes
def test_a_square_is_0_past_its_rows_and_its_count_by_a_step_and_by_addresses(dtype):
    n = lane_count(dtype)
    x = numbers(dtype, n, 2 * n)
    order = np.random.default_rng(3).permutation(n)
    addresses = x.ctypes.data + order * x.strides[0]
    for index, valid, count in square_parts(n):
        out = run(partial_squares, dtype, 2 * n, x, 2 * n, addresses, index, valid, count)
        inside, columns = square_of(n, valid, count), slice(index, index + n)
        assert np.array_equal(out[:n], np.where(inside, x[:, columns], 0)), (index, valid, count)
        assert np.array_equal(out[n:], np.where(inside, x[order, columns], 0)), (index, valid, count)


@compiled
def half_squares(out, x, row, index, valid, count):
    p = simd.pointer(x)
    half = transpose.half_square_part(p, index, row, valid, count)
    transpose.store_column(half, simd.pointer(out), 0, simd.lanes(p))


@both_dtypes
def test_half_a_square_is_0_past_its_rows_and_its_count_and_in_the_other_half(dtype):
    n = lane_count(dtype)
    x = numbers(dtype, n, 2 * n)
    for index, valid, count in square_parts(n):
        out = run(half_squares, dtype, n, x, 2 * n, index, valid, count)
        inside = square_of(n, min(valid, n // 2), count)
        assert np.array_equal(out, np.where(inside, x[:, index : index + n], 0)), (index, valid, count)


@compiled
def square_stores(stepped, addressed, x, step, addresses, index, valid, count):
    square = transpose.square(simd.pointer(x), 0, simd.lanes(simd.pointer(x)))
    transpose.store_square(square, simd.pointer(stepped), index, step, valid, count)
    transpose.store_square_at(square, simd.pointer(addresses), index, valid, count)
    simd.keep(addressed)


@both_dtypes
def test_a_square_is_stored_up_to_its_rows_and_its_count_by_a_step_and_by_addresses(dtype):
    n = lane_count(dtype)
    x = vectors(dtype, n)
    order = np.random.default_rng(3).permutation(n)
    for index, valid, count in square_parts(n):
        stepped, addressed = np.full((2, n, 2 * n), 77, dtype)
        addresses = addressed.ctypes.data + order * addressed.strides[0]
        square_stores(stepped, addressed, x, 2 * n, addresses, index, valid, count)
        inside, wanted = square_of(n, valid, count), np.full((n, 2 * n), 77, dtype)
        wanted[:, index : index + n][inside] = x[inside]
        assert np.array_equal(stepped, wanted), (index, valid, count)
        assert np.array_equal(addressed[order], wanted), (index, valid, count)
