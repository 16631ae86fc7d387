"""Functions of every lane of a vector, and its random numbers, against NumPy."""

import numpy as np
import pytest
from scipy import stats

from fastconv import simd
from fastconv.simd import vector_math
from tests.simd.lane_tools import (
    PRECISE,
    arithmetic,
    both_dtypes,
    compiled,
    lane_count,
    run,
    special_vectors,
    vectors,
)


@both_dtypes
def test_square_roots_are_correctly_rounded_and_nan_below_zero(dtype):
    x = special_vectors(dtype)
    with np.errstate(invalid="ignore"):
        assert np.array_equal(run(arithmetic, dtype, 11, x)[9], np.sqrt(x[0]), equal_nan=True)


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


@compiled
def random_elements_grid(out, key, sample, distance):
    """Row k: the numbers of sample `sample` + k, lane l that of element 5 + l * `distance`."""
    y = simd.pointer(out)
    for k in range(out.shape[0]):
        simd.store(y, k, vector_math.random_elements(y, key, sample + k, 5, distance))


@compiled
def random_element_grid(out, key, sample, element):
    """Lane l: the number of sample `sample` + l for one element."""
    y = simd.pointer(out)
    simd.store(y, 0, vector_math.random_lanes(y, key, sample, element))


@both_dtypes
@pytest.mark.parametrize("distance", [1, 77])
def test_random_numbers_of_elements_are_those_of_the_same_sample_and_element(dtype, distance):
    n = lane_count(dtype)
    by_elements = run(random_elements_grid, dtype, n, 11, 40, distance)
    for lane in range(n):
        by_samples = run(random_element_grid, dtype, 1, 11, 40, 5 + lane * distance)
        assert np.array_equal(by_elements[:, lane], by_samples.ravel())


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


# The same functions of a number


@compiled
def scalar_results(out, x):
    for k in range(x.size):
        out[0, k] = vector_math.scalar_exp(x[k])
        out[1, k] = vector_math.scalar_log(x[k])
        out[2, k] = vector_math.scalar_tanh(x[k])
        out[3, k] = vector_math.scalar_sqrt(x[k])


@both_dtypes
def test_a_function_of_a_number_has_the_bits_of_a_lane(dtype):
    x = np.concatenate([np.abs(domain(name, dtype)[::997]) for name in FUNCTIONS])
    out = np.empty((4, x.size), dtype)
    scalar_results(out, x)
    for row, name in enumerate(FUNCTIONS):
        assert np.array_equal(out[row], apply(name, x)), name
    assert np.array_equal(out[3], np.sqrt(x))
