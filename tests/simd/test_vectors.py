"""Vectors, each function alone, against NumPy."""

import numpy as np
import pytest

from fastconv import simd
from fastconv.simd import kinds
from tests.simd.lane_tools import (
    PRECISE,
    arithmetic,
    both_dtypes,
    compiled,
    lane_count,
    numbers,
    run,
    special_vectors,
    vectors,
)

# Memory


@compiled
def memory(out, x, start, value):
    p, y = simd.pointer(x), simd.pointer(out)
    simd.store(y, 0, simd.load(p, start))
    simd.store(y, 1, simd.load(simd.advance(p, start), 0))
    simd.store(y, 2, simd.splat(p, start))
    simd.store(y, 3, simd.fill(p, value))
    simd.store(y, 4, simd.fill_like(simd.load(p, 0), value))
    simd.store(simd.advance(y, 3), 5, simd.load(simd.pointer_at(x.ctypes.data, p), 1))
    return simd.lanes(p)


@both_dtypes
def test_memory_is_counted_in_vectors_by_load_and_store_and_in_scalars_by_splat_and_advance(dtype):
    x = numbers(dtype, 6 * lane_count(dtype))
    n = lane_count(dtype)
    out = np.full((7, n), 77, dtype)
    assert memory(out, x, 3, 0.1) == n
    assert np.array_equal(out[0], x[3 * n : 4 * n])
    assert np.array_equal(out[1], x[3 : 3 + n])
    assert np.array_equal(out[2], np.full(n, x[3]))
    assert np.array_equal(out[3:5], np.full((2, n), dtype(0.1)))
    assert np.array_equal(out.reshape(-1)[5 * n : 5 * n + 3], np.full(3, 77, dtype)), "advance counts scalars"
    assert np.array_equal(out.reshape(-1)[5 * n + 3 : 6 * n + 3], x[n : 2 * n])
    assert (out.reshape(-1)[6 * n + 3 :] == 77).all(), "a store writes one vector and no more"


@compiled
def on_the_stack(out, x):
    p, y = simd.pointer(x), simd.pointer(out)
    first, second = simd.local(p, 2), simd.local(p, 1)
    simd.store(second, 0, simd.load(p, 2))
    for k in range(2):
        simd.store(first, k, simd.load(p, k))
    simd.store(y, 0, simd.load(first, 1))
    simd.store(y, 1, simd.load(first, 0))
    simd.store(y, 2, simd.load(second, 0))
    out[3, 0] = first[1]


@both_dtypes
def test_local_memory_is_each_its_own(dtype):
    n = lane_count(dtype)
    x, out = numbers(dtype, 3 * n), np.zeros((4, n), dtype)
    on_the_stack(out, x)
    assert np.array_equal(out[0], x[n : 2 * n])
    assert np.array_equal(out[1], x[:n])
    assert np.array_equal(out[2], x[2 * n :])
    assert out[3, 0] == x[1]


@both_dtypes
def test_memory_that_is_aligned_to_scalars_only_is_enough(dtype):
    memory_of_bytes = np.zeros(200 * np.dtype(dtype).itemsize + 64, np.uint8)
    start = -memory_of_bytes.ctypes.data % 64 + np.dtype(dtype).itemsize
    x = memory_of_bytes[start : start + 100 * np.dtype(dtype).itemsize].view(dtype)
    assert x.ctypes.data % 64 == np.dtype(dtype).itemsize
    x[:] = numbers(dtype, 100)
    out = np.zeros(7 * lane_count(dtype) + 1, dtype)[1:]
    memory(out, x, 1, 0)
    assert np.array_equal(out[: lane_count(dtype)], x[lane_count(dtype) : 2 * lane_count(dtype)])


@compiled
def kept(out):
    for k in range(out.shape[0]):
        made = np.full(out.shape[1], k, out.dtype)
        p = simd.pointer(made)
        other = np.full(out.shape[1], -1, out.dtype)  # lands where `made` was, had it been freed
        simd.store(simd.pointer(out), k, simd.load(p, 0))
        simd.keep(made)
        simd.keep(other)


@both_dtypes
def test_an_array_that_is_kept_lives_as_long_as_its_pointer_is_used(dtype):
    out = run(kept, dtype, 50)
    assert np.array_equal(out, np.broadcast_to(np.arange(50, dtype=dtype)[:, None], out.shape))


@compiled
def scalars(data, offset):
    address = data.ctypes.data + offset
    return (
        simd.scalar_at(address, np.uint8),
        simd.scalar_at(address, np.int64),
        simd.scalar_at(address, np.float32),
        simd.scalar_at(address, np.float64),
    )


def test_scalars_are_read_at_any_address_in_their_own_dtype():
    data = np.random.default_rng(1).integers(0, 60, 32, dtype=np.uint8)
    read = list(scalars(data, 3))
    raw = data.tobytes()[3:]
    assert read == [np.frombuffer(raw, kind, 1)[0] for kind in ("u1", "i8", "f4", "f8")]


@compiled
def part(out, x, index, count):
    simd.store(simd.pointer(out), 0, simd.load_part(simd.pointer(x), index, count))


@compiled
def stored_part(out, x, index, count):
    simd.store_part(simd.pointer(out), index, simd.load(simd.pointer(x), 0), count)


@both_dtypes
def test_a_part_of_a_vector_is_stored_from_any_scalar_on_and_the_rest_is_left_alone(dtype):
    n = lane_count(dtype)
    x = numbers(dtype, n)
    for index in (0, 1, n + 3):
        for count in (-2, 0, 1, n - 1, n, n + 7):
            wanted = np.full(3 * n, 77, dtype)
            stored = max(0, min(count, n))
            wanted[index : index + stored] = x[:stored]
            assert np.array_equal(run(stored_part, dtype, 3, x, index, count).ravel(), wanted), (index, count)


@both_dtypes
def test_a_part_of_a_vector_starts_at_any_scalar_and_is_0_where_its_count_ends(dtype):
    n = lane_count(dtype)
    x = numbers(dtype, 3 * n)
    for index in (0, 1, n + 3):
        for count in (-2, 0, 1, n - 1, n, n + 7):
            wanted = np.where(np.arange(n) < count, x[index : index + n], 0)
            assert np.array_equal(run(part, dtype, 1, x, index, count)[0], wanted), (index, count)


@compiled
def thinned(out, x):
    p = simd.pointer(x)
    simd.store(simd.pointer(out), 0, simd.every_other(simd.load(p, 0), simd.load(p, 1)))


@both_dtypes
def test_every_other_lane_of_two_vectors_makes_one(dtype):
    x = numbers(dtype, 2 * lane_count(dtype))
    assert np.array_equal(run(thinned, dtype, 1, x)[0], x[::2])


@compiled
def fetched(out, x):
    p = simd.pointer(x)
    for k in (0, 1, 10**15):  # nothing needs to be there
        simd.fetch(p, k)
    simd.store(simd.pointer(out), 0, simd.load(p, 1))


@both_dtypes
def test_to_fetch_memory_changes_nothing(dtype):
    x = numbers(dtype, 2 * lane_count(dtype))
    before = x.copy()
    assert np.array_equal(run(fetched, dtype, 1, x)[0], x[lane_count(dtype) :])
    assert np.array_equal(x, before)


@compiled
def number_of_a_kind(like, data, offset, kind):
    return kinds.number_at(data.ctypes.data + offset, kind, simd.pointer(like)), kinds.item_bytes(kind)


@both_dtypes
def test_numbers_of_a_kind_are_read_at_any_address(dtype):
    data = np.random.default_rng(1).integers(0, 60, 32, dtype=np.uint8)
    for kind, number in kinds.DTYPE_CODES.items():
        value, size = number_of_a_kind(np.zeros(1, dtype), data, 3, number)
        assert value == np.frombuffer(data.tobytes()[3:], kind, 1)[0].astype(dtype)
        assert size == kind.itemsize


@compiled
def addressed_lanes(out, addresses, kind, offset, valid):
    y = simd.pointer(out)
    simd.store(y, 0, kinds.lanes_at(y, simd.pointer(addresses), offset, kind, valid))


@both_dtypes
@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, np.float64])
def test_lanes_are_read_at_any_addresses_in_any_dtype_and_are_0_from_the_first_that_is_not_valid(dtype, kind):
    n = lane_count(dtype)
    rng = np.random.default_rng(4)
    data = rng.integers(0, 2**53, 5 * n) if kind is np.int64 else rng.integers(0, 255, 5 * n)
    raw = np.frombuffer(b"-" + data.astype(kind).tobytes(), np.uint8)  # an odd address
    data, item = data.astype(kind), np.dtype(kind).itemsize
    places = rng.permutation(4 * n)[:n]
    addresses = raw.ctypes.data + 1 + places * item
    for ahead, valid in ((0, n), (3, n + 4), (1, 1), (n, n - 1), (2, 0)):
        wanted = np.where(np.arange(n) < valid, data[places + ahead].astype(dtype), 0)
        out = run(
            addressed_lanes, dtype, 1, addresses, kinds.DTYPE_CODES[np.dtype(kind)], ahead * item, valid
        )
        assert np.array_equal(out[0], wanted), (ahead, valid)


@compiled
def lanes_of_rows_and_columns(out, x, places, row_step):
    p, y, at = simd.pointer(x), simd.pointer(out), simd.pointer(places)
    simd.store(y, 0, simd.load_lanes(p, simd.load(at, 0), simd.load(at, 1), row_step))


@both_dtypes
def test_every_lane_is_read_at_a_row_and_a_column_of_its_own(dtype):
    n = lane_count(dtype)
    rng = np.random.default_rng(6)
    x = vectors(dtype, 35).reshape(5, 7, n)
    rows, columns = rng.integers(0, 5, n), rng.integers(0, 7, n)
    out = run(lanes_of_rows_and_columns, dtype, 1, x, np.array([rows, columns], dtype), 7)
    assert np.array_equal(out[0], x[rows, columns, np.arange(n)])


# Arithmetic

BINARY = {"add": np.add, "subtract": np.subtract, "multiply": np.multiply, "divide": np.divide}
COMPARISON = {"greater": np.greater, "less": np.less, "equal": np.equal}


@both_dtypes
def test_lanes_are_added_subtracted_multiplied_and_divided_as_numpy_does(dtype):
    x = special_vectors(dtype)
    with np.errstate(all="ignore"):
        wanted = [function(x[0], x[1]) for function in BINARY.values()]
        assert np.array_equal(run(arithmetic, dtype, 11, x)[:4], wanted, equal_nan=True)


@both_dtypes
def test_comparisons_are_false_where_a_lane_is_nan(dtype):
    x = special_vectors(dtype)
    out = run(arithmetic, dtype, 11, x)
    wanted = [function(x[0], x[1]).astype(dtype) for function in COMPARISON.values()]
    assert np.array_equal(out[4:7], wanted)
    assert np.array_equal(out[8], np.isnan(x[0]).astype(dtype))


@both_dtypes
def test_select_takes_the_first_value_where_one_of_two_masks_holds(dtype):
    x = special_vectors(dtype)
    wanted = np.where((x[0] > x[1]) | (x[0] == x[1]), x[0], x[2])
    assert np.array_equal(run(arithmetic, dtype, 11, x)[7], wanted)


@compiled
def scalar_functions(out, x, value):
    p, y = simd.pointer(x), simd.pointer(out)
    a, b = simd.load(p, 0), simd.load(p, 1)
    one, zero = simd.fill(p, 1.0), simd.fill(p, 0.0)
    simd.store(y, 0, simd.select(simd.both(simd.greater(a, b), simd.greater(b, zero)), one, zero))
    simd.store(y, 1, simd.first_lane(p, value))
    return simd.convert(value, p)


@both_dtypes
def test_both_masks_hold_where_each_of_two_does(dtype):
    n = lane_count(dtype)
    x = np.array([np.resize([3, 1, -1, 0], n), np.resize([1, 3, -2, 1], n)], dtype)
    assert np.array_equal(run(scalar_functions, dtype, 2, x, 1.0)[0], np.resize([1, 0, 0, 0], n))


@both_dtypes
def test_first_lane_and_convert_round_a_number_to_the_dtype_and_other_lanes_are_0(dtype):
    x, out = vectors(dtype, 2), np.full((2, lane_count(dtype)), 77, dtype)
    for value in (0.1, 7, 2**53 + 1, np.uint8(200), np.float32(0.3)):
        assert scalar_functions(out, x, value) == dtype(value)
        assert out[1, 0] == dtype(value)
        assert not out[1, 1:].any()


@both_dtypes
def test_fma_rounds_once_where_the_unit_has_it_and_twice_elsewhere(dtype):
    x = vectors(dtype, 3, seed=5)
    product = x[0].astype(PRECISE) * x[1].astype(PRECISE)
    once = (product + x[2]).astype(dtype)  # exact before the last rounding, but for rare ties
    twice = x[0] * x[1] + x[2]
    assert (once != twice).any(), "these numbers tell the two apart"
    assert np.array_equal(run(arithmetic, dtype, 11, x)[10], twice if simd.HOST.name == "sse2" else once)


@both_dtypes
def test_a_total_adds_the_halves_until_one_lane_is_left(dtype):
    x = vectors(dtype, 3, seed=2)
    parts = x[2]
    while len(parts) > 1:
        parts = parts[: len(parts) // 2] + parts[len(parts) // 2 :]
    assert arithmetic(np.empty((11, lane_count(dtype)), dtype), x) == parts[0]


@compiled
def masked(out, count):
    y = simd.pointer(out)
    simd.store(y, 0, simd.select(simd.lane_mask(y, count), simd.fill(y, 1.0), simd.fill(y, 0.0)))


@both_dtypes
def test_a_lane_mask_holds_the_lanes_below_a_count_of_any_size(dtype):
    n = lane_count(dtype)
    for count in (-3, 0, 1, n - 1, n, n + 5, 2**40):
        assert np.array_equal(run(masked, dtype, 1, count)[0], (np.arange(n) < count).astype(dtype))
