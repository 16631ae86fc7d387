"""Vectors and tiles, each function alone, against NumPy; then the same on narrower vector units."""

import functools
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding
from numba import njit
from scipy import stats

from fastconv import simd
from fastconv.simd import tiles, transpose, vector_math

PRECISE = np.longdouble if np.finfo(np.longdouble).nmant > 60 else np.float64
UNITS = {  # name -> registers, bytes of one, processor features that it needs
    "avx512": (32, 64, ("avx512f", "avx512vl", "avx512dq")),
    "avx2": (16, 32, ("avx2", "fma")),
    "sse2": (16, 16, ("sse2",)),
    "neon": (32, 16, ("neon",)),
}

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
        simd.item_size(np.uint8) + 10 * simd.item_size(np.float32) + 100 * simd.item_size(np.int64),
    )


def test_scalars_are_read_at_any_address_in_their_own_dtype():
    data = np.random.default_rng(1).integers(0, 60, 32, dtype=np.uint8)
    *read, sizes = scalars(data, 3)
    raw = data.tobytes()[3:]
    assert sizes == 1 + 40 + 800
    assert read == [np.frombuffer(raw, kind, 1)[0] for kind in ("u1", "i8", "f4", "f8")]


@compiled
def part(out, x, index, count):
    simd.store(simd.pointer(out), 0, simd.load_part(simd.pointer(x), index, count))


@both_dtypes
def test_a_part_of_a_vector_starts_at_any_scalar_and_is_0_where_its_count_ends(dtype):
    n = lane_count(dtype)
    x = numbers(dtype, 3 * n)
    for index in (0, 1, n + 3):
        for count in (-2, 0, 1, n - 1, n, n + 7):
            wanted = np.where(np.arange(n) < count, x[index : index + n], 0)
            assert np.array_equal(run(part, dtype, 1, x, index, count)[0], wanted), (index, count)


@compiled
def addressed_lanes(out, addresses, kind, offset, valid):
    y = simd.pointer(out)
    simd.store(y, 0, simd.lanes_at(y, simd.pointer(addresses), offset, kind, valid))


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
        out = run(addressed_lanes, dtype, 1, addresses, kind, ahead * item, valid)
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
def test_square_roots_are_correctly_rounded_and_nan_below_zero(dtype):
    x = special_vectors(dtype)
    with np.errstate(invalid="ignore"):
        assert np.array_equal(run(arithmetic, dtype, 11, x)[9], np.sqrt(x[0]), equal_nan=True)


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


@compiled
def rounded_and_turned(out, x):
    p, y, count = simd.pointer(x), simd.pointer(out), x.shape[0]
    for k in range(count):
        simd.store(y, k, vector_math.floor(simd.load(p, k)))
        simd.store(y, count + k, vector_math.sine(simd.load(p, k)))


def floors_and_sines(x):
    out = run(rounded_and_turned, x.dtype, 2 * len(x), x)
    return out[: len(x)], out[len(x) :]


@both_dtypes
def test_the_floor_of_a_lane_is_the_next_whole_number_below(dtype):
    x = np.concatenate([vectors(dtype, 3), 9 * vectors(dtype, 3), np.round(9 * vectors(dtype, 3))])
    assert np.array_equal(floors_and_sines(x)[0], np.floor(x))


@both_dtypes
def test_the_sine_of_turns_is_within_two_units_of_the_last_place_of_1(dtype):
    n = lane_count(dtype)
    rng = np.random.default_rng(8)
    seams = np.arange(-16, 17) / 8
    seams = np.concatenate([seams, np.nextafter(seams, -9), np.nextafter(seams, 9)])
    x = np.concatenate([rng.uniform(-1, 1, 200_000), rng.uniform(-100, 100, 20_000), seams])
    x = x[: len(x) // n * n].astype(dtype).reshape(-1, n)
    true = np.sin(2 * np.pi * np.remainder(x.astype(np.float64), 1.0))
    assert np.abs(floors_and_sines(x)[1] - true).max() < 2 * np.finfo(dtype).eps + 5e-16


# Exponentials, logarithms, hyperbolic tangents


@compiled
def transcendental(out, x):
    count = x.size // simd.lanes(simd.pointer(x))
    p, y = simd.pointer(x), simd.pointer(out)
    for k in range(count):
        v = simd.load(p, k)
        simd.store(y, k, vector_math.exp(v))
        simd.store(y, count + k, vector_math.log(v))
        simd.store(y, 2 * count + k, vector_math.tanh(v))


FUNCTIONS = {"exp": np.exp, "log": np.log, "tanh": np.tanh}
ULP = {"exp": 1.25, "log": 3.0, "tanh": 4.0}  # how far a result may be from the true one


def apply(name, x):
    n = lane_count(x.dtype)
    padded = np.ones(-(-x.size // n) * n, x.dtype)
    padded[: x.size] = x
    out = np.empty((3, padded.size), x.dtype)
    transcendental(out, padded)
    return out[list(FUNCTIONS).index(name), : x.size]


def ulps(got, true):
    """Distance in units of the last place of the true value."""
    unit = np.spacing(np.abs(true.astype(got.dtype)))
    return np.abs((got.astype(PRECISE) - true) / unit).astype(float)


def domain(name, dtype):
    """Where a function's values are normal numbers: many points of every size, and those near its seams."""
    rng, info = np.random.default_rng(3), np.finfo(dtype)
    top, bottom = np.log(info.max), np.log(info.tiny)
    points = {
        "exp": [
            rng.uniform(bottom, top, 200_000),
            rng.uniform(-1, 1, 200_000),
            10.0 ** rng.uniform(-30, 0, 9999),
        ],
        "log": [np.exp(rng.uniform(bottom, top, 200_000)), rng.uniform(0.5, 2, 200_000)],
        "tanh": [rng.uniform(-20, 20, 200_000), rng.uniform(-0.5, 0.5, 200_000)],
    }[name]
    signed = [*points, -points[-1]] if name != "log" else points
    x = np.concatenate(signed).astype(dtype)
    if name == "log":
        seams = np.array([1, 0.7071067811865476, 1.4142135623730951, info.tiny, info.max], dtype)
        seams = np.concatenate([seams, np.nextafter(seams[:3], dtype(0)), np.nextafter(seams[:3], dtype(9))])
        return np.concatenate([x[(x >= info.tiny) & (x <= info.max)], seams])
    return x[np.isfinite(x) & (x > dtype(bottom)) & (x < dtype(top))]


@both_dtypes
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_of_a_vector_is_within_its_units_of_the_last_place(name, dtype, record_property):
    x = domain(name, dtype)
    with np.errstate(under="ignore"):
        true = FUNCTIONS[name](x.astype(PRECISE))
    error = ulps(apply(name, x), true)
    record_property("ulp", error.max())
    print(f"{name} {np.dtype(dtype)}: at most {error.max():.3f} ulp, at {x[error.argmax()]!r}")
    allowance = 0.0 if PRECISE is np.longdouble or dtype is np.float32 else 0.5
    assert error.max() <= ULP[name] + allowance, f"at {x[error.argmax()]!r}"


@both_dtypes
def test_the_relative_error_of_exp_is_below_the_distance_from_1_to_the_next_number(dtype):
    x = domain("exp", dtype)
    true = np.exp(x.astype(PRECISE))
    assert np.abs(apply("exp", x).astype(PRECISE) / true - 1).max() < np.finfo(dtype).eps


@both_dtypes
def test_exp_is_0_and_infinity_past_the_ends_of_its_range_and_keeps_nan(dtype):
    info = np.finfo(dtype)
    below, above = np.floor(np.log(info.smallest_subnormal)) - 1, np.ceil(np.log(info.max))
    x = np.array([-np.inf, -info.max, below, above, info.max, np.inf, np.nan, 0.0, -0.0], dtype)
    assert np.array_equal(apply("exp", x), [0, 0, 0, np.inf, np.inf, np.inf, np.nan, 1, 1], equal_nan=True)


@both_dtypes
def test_exp_is_0_where_it_would_be_denormal(dtype):
    info = np.finfo(dtype)
    x = np.linspace(np.log(info.smallest_subnormal), np.log(info.tiny), 1000).astype(dtype)
    values = apply("exp", x)
    assert ((values == 0) | (values >= info.tiny)).all()
    assert (values[:990] == 0).all()


@both_dtypes
def test_log_is_minus_infinity_at_0_and_denormals_and_keeps_infinity_and_nan(dtype):
    info = np.finfo(dtype)
    x = np.array([0.0, -0.0, info.smallest_subnormal, info.tiny / 2, np.inf, np.nan, 1.0], dtype)
    wanted = [-np.inf, -np.inf, -np.inf, -np.inf, np.inf, np.nan, 0]
    assert np.array_equal(apply("log", x), wanted, equal_nan=True)


@both_dtypes
def test_tanh_is_odd_reaches_1_and_keeps_nan_and_the_sign_of_0(dtype):
    x = np.concatenate([domain("tanh", dtype)[:5000], np.array([0.0, 1e-30, 25, 500, np.inf], dtype)])
    values = apply("tanh", x)
    assert np.array_equal(-values, apply("tanh", -x))
    assert np.array_equal(np.signbit(values), np.signbit(x))
    assert np.array_equal(np.abs(values[-3:]), [1, 1, 1])
    assert (np.abs(values) <= 1).all()
    assert np.isnan(apply("tanh", np.array([np.nan], dtype))).all()


@both_dtypes
def test_tanh_of_small_numbers_is_the_number_itself(dtype):
    x = (10.0 ** np.linspace(-30, -9, 200)).astype(dtype)
    assert np.abs(apply("tanh", x) / x.astype(PRECISE) - 1).max() < 2 * np.finfo(dtype).eps


# Random numbers


@compiled
def random_grid(out, key, first, step):
    """Row k: the numbers of the samples from `first + k * step` on, element k // 1000."""
    y = simd.pointer(out)
    for k in range(out.shape[0]):
        simd.store(y, k, vector_math.random_lanes(y, key, first + k * step, k // 1000))


def random_numbers(dtype, count, key=1, first=0, step=None):
    step = lane_count(dtype) if step is None else step
    return run(random_grid, dtype, count, key, first, step)


@both_dtypes
def test_random_numbers_are_uniform_from_0_to_less_than_1(dtype):
    for key in (0, 1, 2**32, -5, 2**62 + 12345):
        values = random_numbers(dtype, 20_000, key).ravel().astype(np.float64)
        assert values.min() >= 0
        assert values.max() < 1
        assert stats.kstest(values, "uniform").pvalue > 1e-3
        assert stats.chisquare(np.bincount((values * 256).astype(int), minlength=256)).pvalue > 1e-3


@both_dtypes
def test_random_numbers_are_the_same_again_and_belong_to_a_sample_not_to_a_lane(dtype):
    n = lane_count(dtype)
    a = random_numbers(dtype, 500, key=7)
    assert np.array_equal(a, random_numbers(dtype, 500, key=7))
    shifted = random_numbers(dtype, 500, key=7, first=3)
    assert np.array_equal(a.ravel()[3:], shifted.ravel()[: 500 * n - 3])


def test_random_numbers_are_the_same_in_both_dtypes():
    single, double = random_numbers(np.float32, 1, key=9), random_numbers(np.float64, 2, key=9)
    assert np.array_equal(single.ravel(), double.ravel())


@both_dtypes
def test_random_numbers_of_other_keys_samples_and_elements_are_unrelated(dtype):
    n = 40_000 // lane_count(dtype)
    base = random_numbers(dtype, n).ravel().astype(np.float64)
    same_sample = random_numbers(dtype, 2000, step=0)
    pairs = {
        "next sample": (base[:-1], base[1:]),
        "next block": (base[:-16], base[16:]),
        "next key": (base, random_numbers(dtype, n, key=2).ravel()),
        "key of the next layer and step": (base, random_numbers(dtype, n, key=8192).ravel()),
        "upper half of the key": (base, random_numbers(dtype, n, key=1 + 2**32).ravel()),
    }
    for what, (a, b) in pairs.items():
        assert not np.array_equal(a, b), what
        assert abs(np.corrcoef(a, b)[0, 1]) < 5 / np.sqrt(len(a)), what
    assert np.array_equal(same_sample[0], same_sample[999])
    assert not (same_sample[0] == same_sample[1000]).any(), "the next element"


# Tiles

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


# Squares: rows of scalars to lanes and back


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
    addresses = data.ctypes.data + order * data.strides[0]
    for index, valid, count in ((0, n, n), (3, n, n + 9), (1, n, 1), (2, 1, n), (5, n - 1, n - 1), (0, n, 0)):
        out = run(addressed_square, dtype, n, np.zeros(1, dtype), addresses, kind, index, valid, count)
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
def products_of_rows(out, square, start, x, table, index, count):
    p, y = simd.pointer(square), simd.pointer(out)
    rows = transpose.square(p, 0, simd.lanes(p))
    total = simd.load(simd.pointer(start), 0)
    total = transpose.add_products(rows, total, simd.pointer(x), simd.pointer(table), index, count)
    simd.store(y, 0, total)


@both_dtypes
def test_products_of_the_rows_of_a_square_are_added_up_to_a_count(dtype):
    n = lane_count(dtype)
    rng = np.random.default_rng(4)
    square, start, x = (rng.integers(-9, 9, shape).astype(dtype) for shape in ((n, n), (1, n), 3 * n))
    table = rng.permutation(3 * n)[: 2 * n]
    for index, count in ((0, n), (3, n + 5), (n, n), (2, n - 1), (1, 1), (4, 0)):
        x[table[index + min(count, n) :]] = np.nan  # what is past the count is not read
        out = run(products_of_rows, dtype, 1, square, start, x, table, index, count)
        places = table[index : index + min(count, n)]
        assert np.array_equal(out, start + x[places] @ square[: len(places)]), (index, count)
        x[:] = rng.integers(-9, 9, x.shape)


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


# What a vector unit is


def test_the_host_is_one_of_the_known_units_and_the_processor_has_it():
    registers, vector_bytes, features = UNITS[simd.HOST.name]
    assert (simd.HOST.registers, simd.HOST.vector_bytes) == (registers, vector_bytes)
    assert simd.HOST.registers_per_vector == 64 // vector_bytes
    host = binding.get_host_cpu_features()
    assert simd.HOST.name == "neon" or all(host.get(feature) for feature in features)


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 6, 8, 16])
def test_a_register_tile_with_its_operands_fits_the_registers(rows):
    columns = tiles.tile_columns(rows)
    available = simd.HOST.registers // simd.HOST.registers_per_vector
    assert 1 <= columns <= 12
    assert columns == 1 or rows * columns + columns + rows <= available
    assert columns == 12 or rows * (columns + 1) + columns + 1 + rows > available, "no column is left out"


def test_the_machine_code_uses_the_registers_of_the_host_and_no_wider_ones():
    x = np.ones((3, 16), np.float32)
    run(arithmetic, np.float32, 11, x)
    code = "".join(arithmetic.inspect_asm().values())
    widths = {"zmm": 64, "ymm": 32, "xmm": 16}
    if simd.HOST.name == "neon":
        assert re.search(r"\bv\d+\.4s", code)
    else:
        used = {widths[name] for name in re.findall(r"%?([xyz]mm)\d", code)}
        assert max(used) == simd.HOST.vector_bytes
        assert ("vfmadd" in code) == (simd.HOST.name != "sse2")


@pytest.mark.parametrize("module", [simd, tiles, transpose, vector_math], ids=lambda module: module.__name__)
def test_every_function_of_these_modules_is_tried_here(module):
    own = Path(module.__file__).read_text()
    public = {name for name, value in vars(module).items() if type(value) is type(simd.load)}
    public = {name for name in public if re.search(rf"^(def {name}\b|.*\b{name}\b.* = _)", own, re.MULTILINE)}
    name = module.__name__.split(".")[-1]
    tried = set(re.findall(rf"\b{name}\.(\w+)", Path(__file__).read_text()))
    assert len(public) > 4
    assert sorted(public - tried) == []


# Narrower vector units, each in its own process: FASTCONV_SIMD is read once

RESULTS = """
import sys
import numpy as np
import fastconv as fc
from fastconv import kernels

rng = np.random.default_rng(0)
x, weight = rng.random((3, 4, 9, 9), dtype=np.float32), rng.random((6, 2, 3, 3), dtype=np.float32)
y = kernels.conv2d(x, weight, padding=1, groups=2)
results = {
    "conv2d": y,
    "conv2d_grad_weight": kernels.conv2d_grad_weight(x, y, 3, padding=1, groups=2),
    "dense": kernels.dense(x[0].reshape(4, 81), x[1].reshape(4, 81)),
}
model = fc.Sequential(
    [fc.Conv2d(6, 3), fc.ReLU(), fc.MaxPool2d(2), fc.Flatten(), fc.Dense(7), fc.Tanh(), fc.Dense(3)],
    input_shape=(1, 8, 8),
)
X, labels = rng.random((50, 1, 8, 8), dtype=np.float32), rng.integers(0, 3, 50)
history = fc.Trainer(model, optimizer=fc.SGD(lr=0.1, momentum=0.9)).fit(X, labels, epochs=3)
results.update(model.parameters(), loss=history["loss"], predictions=model.predict(X))
np.savez(sys.argv[1], **results)
"""


def other_units():
    """The units that this run does not use."""
    host = binding.get_host_cpu_features()
    missing = pytest.mark.skip("this processor has no such unit")
    return [
        pytest.param(name, marks=() if all(map(host.get, needed)) else missing)
        for name, (*_, needed) in UNITS.items()
        if name != simd.HOST.name
    ]


def start(*arguments, unit):
    return subprocess.Popen(
        [sys.executable, *arguments],
        env={**os.environ, "FASTCONV_SIMD": unit},
        cwd=Path(__file__).parents[1],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process):
    """What a process printed, and its errors."""
    try:
        return process.communicate(timeout=300)
    finally:
        process.kill()


@pytest.fixture(scope="module")
def on_other_units():
    """Unit -> the process that runs this file there; they run beside each other."""
    arguments = "-m", "pytest", __file__, "-k", "not width", "-p", "no:cacheprovider"
    processes = {
        param.values[0]: start(*arguments, unit=param.values[0]) for param in other_units() if not param.marks
    }
    yield processes
    for process in processes.values():
        process.kill()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Unit, or "" for this run's own, -> the results there."""
    units = ["", *(param.values[0] for param in other_units() if not param.marks)]
    folder = tmp_path_factory.mktemp("width")
    processes = {unit: start("-c", RESULTS, str(folder / f"{unit}.npz"), unit=unit) for unit in units}
    found = {}
    for unit, process in processes.items():
        errors = finish(process)[1]
        assert process.returncode == 0, errors
        with np.load(folder / f"{unit}.npz") as file:
            found[unit] = dict(file)
    return found


@pytest.mark.parametrize("unit", other_units())
def test_of_width_every_function_holds_on_a_narrower_unit(unit, on_other_units):
    output = finish(on_other_units[unit])[0]
    assert on_other_units[unit].returncode == 0, output[-3000:]
    assert " passed" in output


@pytest.mark.parametrize("unit", other_units())
def test_of_width_kernels_and_training_agree_to_rounding_on_a_narrower_unit(unit, results):
    assert results[unit].keys() == results[""].keys()
    for name, array in results[unit].items():
        np.testing.assert_allclose(array, results[""][name], rtol=2e-4, atol=2e-5, err_msg=name)


@pytest.mark.parametrize("name", ["avx", "AVX2x"])
def test_of_width_an_unknown_unit_is_refused_by_name(name):
    process = start("-c", "import fastconv", unit=name)
    message = finish(process)[1].strip().splitlines()[-1]
    assert process.returncode != 0
    assert (
        message
        == f"ValueError: `FASTCONV_SIMD` must be one of avx512, avx2, sse2, neon, got {name.lower()!r}"
    )


def test_of_width_the_name_of_a_unit_may_be_written_in_capitals():
    process = start("-c", "from fastconv import simd; print(simd.HOST.name)", unit=" SSE2 ")
    assert finish(process)[0].strip() == "sse2"
