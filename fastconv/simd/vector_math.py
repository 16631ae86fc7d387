"""Elementary functions of every lane of a vector: roots, exponentials, logarithms, sines, random numbers."""

import math

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .vectors import Vector, emit_call, emit_fma, emit_splat, every_lane, is_vector, llvm_vector


@intrinsic
def square_root(typingctx, v):
    """The square root of every lane."""
    return v(v), lambda context, b, sig, args: emit_call(b, "sqrt", args[0].type, args[0])


@intrinsic
def floor(typingctx, v):
    """Round every lane down to a whole number."""
    return v(v), lambda context, b, sig, args: emit_call(b, "floor", args[0].type, args[0])


class _Float:
    """The constants of a float format that `exp`, `log` and `sine` are built from."""

    def __init__(self, dtype):
        single = dtype == types.float32
        self.mantissa = 23 if single else 52
        self.bias = 127 if single else 1023
        self.integer = ir.IntType(32 if single else 64)
        self.exp_terms, self.log_terms, self.sine_terms = (7, 6, 7) if single else (13, 12, 11)
        # ln 2 = high + low, where n * high is exact for every exponent n (Cody and Waite).
        self.ln2 = (
            (0.693359375, -2.12194440e-4)
            if single
            else (6.93147180369123816490e-01, 1.90821492927058770002e-10)
        )
        self.lowest, self.highest = (
            (-87.33654, 88.72283) if single else (-708.3964185322641, 709.782712893384)
        )
        self.smallest = 1.1754943508222875e-38 if single else 2.2250738585072014e-308


def _integers(fmt, float_type):
    """The type of as many integers, as wide, as there are floats in a vector; of a scalar, one."""
    return ir.VectorType(fmt.integer, float_type.count) if is_vector(float_type) else fmt.integer


def _exp(b, dtype, x):
    """Emit e to the power of x, with a relative error below 1 unit of the last place.

    It is 2**n * exp(r) with r = x - n ln 2, |r| <= ln 2 / 2, by its Taylor series.
    """
    fmt, vt = _Float(dtype), x.type
    ints = _integers(fmt, vt)
    tiny = b.fcmp_ordered("<", x, every_lane(vt, fmt.lowest))
    huge = b.fcmp_ordered(">", x, every_lane(vt, fmt.highest))
    x = b.select(tiny, every_lane(vt, fmt.lowest), b.select(huge, every_lane(vt, fmt.highest), x))
    n = emit_call(b, "rint", vt, b.fmul(x, every_lane(vt, 1.4426950408889634)))
    # The largest n would not fit the exponent: halve it and multiply twice.
    r = emit_fma(b, n, every_lane(vt, -fmt.ln2[0]), x)
    r = emit_fma(b, n, every_lane(vt, -fmt.ln2[1]), r)
    series = _expm1_series(b, fmt, r)
    value = b.fadd(series, every_lane(vt, 1.0))
    whole = b.fptosi(b.select(b.fcmp_unordered("uno", n, n), every_lane(vt, 0.0), n), ints)
    half = b.ashr(whole, every_lane(ints, 1))
    for power in (half, b.sub(whole, half)):
        bits = b.shl(b.add(power, every_lane(ints, fmt.bias)), every_lane(ints, fmt.mantissa))
        value = b.fmul(value, b.bitcast(bits, vt))
    value = b.select(tiny, every_lane(vt, 0.0), value)
    return b.select(huge, every_lane(vt, float("inf")), value)


def _expm1_series(b, fmt, r):
    """Emit exp(r) - 1 for a small r, by its Taylor series r + r**2 / 2! + r**3 / 3! + ..."""
    coefficient = [1.0]
    for k in range(1, fmt.exp_terms + 1):
        coefficient.append(coefficient[-1] / k)
    value = every_lane(r.type, coefficient[-1])
    for k in range(fmt.exp_terms - 1, 0, -1):
        value = emit_fma(b, value, r, every_lane(r.type, coefficient[k]))
    return b.fmul(value, r)


def _log(b, dtype, x):
    """Emit the natural logarithm of x; -inf for denormal numbers.

    It is n ln 2 + 2 atanh((m - 1) / (m + 1)) with x = 2**n * m, sqrt(1/2) <= m < sqrt(2).
    """
    fmt, vt = _Float(dtype), x.type
    ints = _integers(fmt, vt)
    small = b.fcmp_ordered("<", x, every_lane(vt, fmt.smallest))
    bits = b.bitcast(x, ints)
    # Adding the distance from sqrt(1/2) to 1 moves the exponent up for mantissas above sqrt(2).
    root_half = b.bitcast(every_lane(vt, 0.7071067811865476), ints)
    shifted = b.sub(bits, root_half)
    n = b.ashr(shifted, every_lane(ints, fmt.mantissa))
    m = b.bitcast(b.sub(bits, b.shl(n, every_lane(ints, fmt.mantissa))), vt)
    n = b.sitofp(n, vt)
    one = every_lane(vt, 1.0)
    f = b.fdiv(b.fsub(m, one), b.fadd(m, one))
    f2 = b.fmul(f, f)
    series = every_lane(vt, 1.0 / (2 * fmt.log_terms + 1))
    for k in range(fmt.log_terms - 1, -1, -1):
        series = emit_fma(b, series, f2, every_lane(vt, 1.0 / (2 * k + 1)))
    series = b.fmul(b.fmul(f, series), every_lane(vt, 2.0))
    value = emit_fma(b, n, every_lane(vt, fmt.ln2[0]), emit_fma(b, n, every_lane(vt, fmt.ln2[1]), series))
    value = b.select(small, every_lane(vt, float("-inf")), value)
    unbounded = b.fcmp_unordered("uno", x, x)
    unbounded = b.or_(unbounded, b.fcmp_ordered("==", x, every_lane(vt, float("inf"))))
    return b.select(unbounded, x, value)


def _tanh(b, dtype, x):
    """Emit the hyperbolic tangent of x.

    It is (e - 1) / (e + 1) with e = exp(2 |x|) and the sign of x; a small e - 1 comes from its own series.
    """
    vt, fmt = x.type, _Float(dtype)
    size = emit_call(b, "fabs", vt, x)
    twice = b.fadd(size, size)
    limit = every_lane(vt, 80.0)
    twice = b.select(b.fcmp_ordered(">", twice, limit), limit, twice)
    far = b.fsub(_exp(b, dtype, twice), every_lane(vt, 1.0))
    near = b.fcmp_ordered("<", twice, every_lane(vt, 0.34))
    e = b.select(near, _expm1_series(b, fmt, twice), far)
    return emit_call(b, "copysign", vt, b.fdiv(e, b.fadd(e, every_lane(vt, 2.0))), x)


@intrinsic
def exp(typingctx, v):
    """e to the power of every lane; inf and 0 past the ends of the range, NaN stays."""
    return v(v), lambda context, b, sig, args: _exp(b, v.dtype, args[0])


@intrinsic
def log(typingctx, v):
    """The natural logarithm of every lane that is not negative; -inf for 0 and denormal numbers."""
    return v(v), lambda context, b, sig, args: _log(b, v.dtype, args[0])


@intrinsic
def tanh(typingctx, v):
    """The hyperbolic tangent of every lane."""
    return v(v), lambda context, b, sig, args: _tanh(b, v.dtype, args[0])


@intrinsic
def sine(typingctx, v):
    """The sine of every lane, an angle in full turns: sin(2 pi v). That of v + 1/4 is the cosine.

    Whole turns are taken off, which is exact, and the rest is folded into a quarter turn to either side,
    where the Taylor series ends soon (absolute error < 2 units of the last place of 1).
    """

    def codegen(context, b, sig, args):
        (x,) = args
        fmt, vt = _Float(v.dtype), x.type
        x = b.fsub(x, emit_call(b, "rint", vt, x))
        opposite = b.fsub(emit_call(b, "copysign", vt, every_lane(vt, 0.5), x), x)
        far = b.fcmp_ordered(">", emit_call(b, "fabs", vt, x), every_lane(vt, 0.25))
        x = b.select(far, opposite, x)
        x2 = b.fmul(x, x)
        powers = range(2 * fmt.sine_terms - 1, 0, -2)
        terms = [(-1) ** (n // 2) * math.tau**n / math.factorial(n) for n in powers]
        value = every_lane(vt, terms[0])
        for term in terms[1:]:
            value = emit_fma(b, value, x2, every_lane(vt, term))
        return b.fmul(value, x)

    return v(v), codegen


@intrinsic
def random_lanes(typingctx, p, key, sample, element):
    """A random number from 0 to below 1 in every lane: a hash of `key`, the lane's sample and `element`.

    Lane 0 holds sample number `sample`, lane 1 the next one, and so on.

    Integer mixing by multiplication and shifts, as in the finalizer of MurmurHash3; the upper 24 bits
    make the number, exact in both dtypes.
    """
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        _, key_, sample_, element_ = args
        samples = b.add(_every_word(b, vector, sample_), _lane_numbers(vector))
        return _hashed(b, vector, key_, samples, _every_word(b, vector, element_))

    return vector(p, types.int64, types.intp, types.intp), codegen


@intrinsic
def random_elements(typingctx, p, key, sample, element, distance):
    """As `random_lanes`, for one sample: the element of a lane is `distance` after the last."""
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        _, key_, sample_, element_, by = args
        further = b.mul(_every_word(b, vector, by), _lane_numbers(vector))
        elements = b.add(_every_word(b, vector, element_), further)
        return _hashed(b, vector, key_, _every_word(b, vector, sample_), elements)

    return vector(p, types.int64, types.intp, types.intp, types.intp), codegen


def _words(vector):
    return ir.VectorType(ir.IntType(32), vector.lanes)


def _every_word(b, vector, number):
    """The lower 32 bits of an integer in every lane."""
    return emit_splat(b, _words(vector), b.trunc(number, ir.IntType(32)))


def _lane_numbers(vector):
    return ir.Constant(_words(vector), list(range(vector.lanes)))


def _hashed(b, vector, key, samples, elements):
    """Emit a random number for each lane's sample and element."""

    def every(value):
        return ir.Constant(_words(vector), [value] * vector.lanes)

    def mix(h):
        for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
            h = b.mul(b.xor(h, b.lshr(h, every(shift))), every(factor))
        return b.xor(h, b.lshr(h, every(16)))

    low, high = key, b.lshr(key, ir.Constant(key.type, 32))
    h = mix(b.xor(b.mul(samples, every(0x9E3779B1)), _every_word(b, vector, low)))
    h = mix(b.xor(b.add(h, _every_word(b, vector, high)), elements))
    value = b.uitofp(b.lshr(h, every(8)), llvm_vector(vector))
    return b.fmul(value, every_lane(llvm_vector(vector), 2.0**-24))


# The same of a single number: LLVM makes vectors of a loop over them.


def _of_a_number(emit):
    """The intrinsic of a float32 or float64 that `emit(b, dtype, x)` writes."""

    @intrinsic
    def function(typingctx, x):
        if isinstance(x, types.Float):
            return x(x), lambda context, b, sig, args: emit(b, x, args[0])
        return None

    return function


scalar_exp, scalar_log, scalar_tanh = _of_a_number(_exp), _of_a_number(_log), _of_a_number(_tanh)
scalar_sqrt = _of_a_number(lambda b, dtype, x: emit_call(b, "sqrt", x.type, x))
