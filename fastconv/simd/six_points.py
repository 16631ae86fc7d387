"""Lines of numbers as polynomials at six points, as Winograd's convolutions need them.

A line is some vectors in memory at equal distances. The points are 0, 5/8, -5/8, 3/2, -3/2 and infinity,
where a polynomial is its last coefficient. At p and -p, sums of even and of odd powers serve both.

    polynomial a0, a1, ...          its values at the points: `gradient_line`, and, over f, which is the
                                    product of the distances to the other points, `weight_line`
    six numbers at the points       what each adds to a0, a1, ...: `results_line`, `weight_sums_line`
    six numbers of an input         what makes the products right, down and across: `input_square`

Each loads a line, and stores one; a square is six of them. There are 2 to 5 coefficients: the code has a
case for each number, so that whoever calls it is compiled once. These points lose 2.6 times less to rounding
than 0, +-1, +-2 and infinity, which most libraries take.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .tiles import emit_places
from .vectors import Vector, emit_fma, emit_load, emit_store, every_lane, is_pointer

COUNTS = 4, 2, 3, 5  # of coefficients
POINTS = 6
P, Q = 5 / 8, 3 / 2
AT_0, AT_P, AT_Q = 1 / (P * Q) ** 2, 1 / (2 * P**2 * (P**2 - Q**2)), 1 / (2 * Q**2 * (Q**2 - P**2))  # 1 / f
SCALED, PLAIN = (AT_0, AT_P, AT_Q), (1.0, 1.0, 1.0)


def _times(b, vector, number):
    """Emit the product of a vector and a constant."""
    return vector if number == 1 else b.fmul(vector, every_lane(vector.type, number))


def _sum(b, terms):
    """Emit the sum of vectors times constants: pairs (constant, vector)."""
    number, vector = terms[-1]
    total = _times(b, vector, number)
    for number, vector in reversed(terms[:-1]):
        if number == 1:
            total = b.fadd(vector, total)
        else:
            total = emit_fma(b, every_lane(vector.type, number), vector, total)
    return total


def _polynomial(b, coefficients, at):
    """Emit a polynomial's value, by Horner's rule."""
    total = coefficients[-1]
    for coefficient in reversed(coefficients[:-1]):
        total = emit_fma(b, every_lane(total.type, at), total, coefficient)
    return total


def _input_end(b, d):
    """Emit every other number of an input, three in all, at the point 0, or infinity if the last is one."""
    return _sum(b, [((P * Q) ** 2, d[0]), (-(P**2 + Q**2), d[1]), (1, d[2])])


def _input_pair(b, d, point, other):
    """Emit six numbers of an input at a point and its opposite, `other` being the third point."""
    even = _sum(b, [(-(other**2), d[2]), (1, d[4])])
    odd = _times(b, _sum(b, [(-(other**2), d[1]), (1, d[3])]), point)
    return [b.fadd(even, odd), b.fsub(even, odd)]


def _first_half(b, d):
    """Emit six numbers of an input at the first three points."""
    return [_input_end(b, d[0::2]), *_input_pair(b, d, P, Q)]


def _second_half(b, d):
    """Emit six numbers of an input at the last three points."""
    return [*_input_pair(b, d, Q, P), _input_end(b, d[1::2])]


def _evaluated(b, coefficients, scales):
    """Emit a polynomial's values at the points, times the scales of 0, P and Q."""
    at_0, at_p, at_q = scales
    values = [_times(b, coefficients[0], at_0)]
    for point, scale in ((P, at_p), (Q, at_q)):
        even = _times(b, _polynomial(b, coefficients[0::2], point**2), scale)
        odd = _times(b, _polynomial(b, coefficients[1::2], point**2), scale * point)
        values += [b.fadd(even, odd), b.fsub(even, odd)]
    return [*values, coefficients[-1]]


def _spread(b, m, count, scales):
    """Emit what numbers at the points, times the scales, add to each of `count` coefficients."""
    at_0, at_p, at_q = scales
    sums = b.fadd(m[1], m[2]), b.fadd(m[3], m[4])
    differences = b.fsub(m[1], m[2]), b.fsub(m[3], m[4])
    values = []
    for k in range(count):
        of_p, of_q = differences if k % 2 else sums
        terms = [(at_p * P**k, of_p), (at_q * Q**k, of_q)]
        terms = [(at_0, m[0]), *terms] if k == 0 else terms
        values.append(_sum(b, [*terms, (1, m[5])] if k == count - 1 else terms))
    return values


def _load_line(b, vector, base, start, by, count):
    """Emit the loads of a line of so many vectors."""
    return [emit_load(b, vector, base, place) for place in emit_places(b, start, by, count)]


def _store_line(b, vector, base, start, by, values):
    """Emit the stores of a line."""
    for place, value in zip(emit_places(b, start, by, len(values)), values, strict=True):
        emit_store(b, vector, base, place, value)


def _emit_cases(b, count, emit):
    """Emit a case for each number of coefficients: emit(n) for n of them."""
    end = b.append_basic_block("end")
    cases = [(n, b.append_basic_block(f"of_{n}")) for n in COUNTS]
    switch = b.switch(count, cases[-1][1])
    for n, block in cases:
        switch.add_case(n, block) if n != COUNTS[-1] else None
        b.position_at_end(block)
        emit(n)
        b.branch(end)
    b.position_at_end(end)


@intrinsic
def input_square(typingctx, x, x_index, x_line, x_step, y, y_index, y_step):
    """Store B^T d B of six lines of an input, x_line apart: line by line, vectors y[y_index + k * y_step].

    Half of the columns at a time stay in registers, and x is read twice: with all of them in memory between
    lines and columns, stores would bind, and it would take a third longer.
    """
    if not is_pointer(x):
        return None

    def codegen(context, b, sig, args):
        base, start, by, step, target, first, distance = args
        vector, apart = Vector(x.dtype), b.mul(distance, ir.Constant(distance.type, POINTS))
        for half, columns in ((_first_half, range(3)), (_second_half, range(3, POINTS))):
            lines = [
                half(b, _load_line(b, vector, base, line, step, POINTS))
                for line in emit_places(b, start, by, POINTS)
            ]
            for j, column in zip(columns, zip(*lines, strict=True), strict=True):
                at = b.add(first, b.mul(distance, ir.Constant(distance.type, j)))
                values = [*_first_half(b, column), *_second_half(b, column)]
                _store_line(b, vector, target, at, apart, values)
        return context.get_dummy_value()

    return types.void(x, *[types.intp] * 3, y, types.intp, types.intp), codegen


def _to_points(scales):
    """An intrinsic that evaluates a polynomial at the points."""

    @intrinsic
    def function(typingctx, x, x_index, x_step, count, y, y_index, y_step):
        if not is_pointer(x):
            return None
        vector = Vector(x.dtype)

        def codegen(context, b, sig, args):
            source, count_, target = args[:3], args[3], args[4:]
            _emit_cases(
                b, count_,
                lambda n: _store_line(
                    b, vector, *target, _evaluated(b, _load_line(b, vector, *source, n), scales)
                ),
            )  # fmt: skip
            return context.get_dummy_value()

        return types.void(x, *[types.intp] * 3, y, types.intp, types.intp), codegen

    return function


def _of_points(scales):
    """An intrinsic that makes coefficients of six numbers at the points."""

    @intrinsic
    def function(typingctx, x, x_index, x_step, y, y_index, y_step, count):
        if not is_pointer(x):
            return None
        vector = Vector(x.dtype)

        def codegen(context, b, sig, args):
            source, target, count_ = args[:3], args[3:6], args[6]
            six = _load_line(b, vector, *source, POINTS)
            _emit_cases(b, count_, lambda n: _store_line(b, vector, *target, _spread(b, six, n, scales)))
            return context.get_dummy_value()

        return types.void(x, types.intp, types.intp, y, *[types.intp] * 3), codegen

    return function


gradient_line, weight_line = _to_points(PLAIN), _to_points(SCALED)
results_line, weight_sums_line = _of_points(PLAIN), _of_points(SCALED)


@intrinsic
def end_line(typingctx, x, x_index, x_step, y, y_index, y_step, count, bias, floor, gate, gated):
    """As `results_line`, with an ending: add a vector to each result, and lift it to a floor; NaN stays.

    Where it is `gated`, the results become 0 whose vector of the gate is not positive.
    """
    if not isinstance(bias, Vector):
        return None

    def codegen(context, b, sig, args):
        source, target, (count_, bias_, floor_, gate_, gated_) = args[:3], args[3:6], args[6:]
        six, zero = _load_line(b, bias, *source, POINTS), every_lane(bias_.type, 0.0)

        def finish(n):
            values = [b.fadd(value, bias_) for value in _spread(b, six, n, PLAIN)]
            with b.if_else(gated_) as (then, otherwise):
                with then:
                    gates = _load_line(b, bias, gate_, *target[1:], n)
                    pairs = zip(values, gates, strict=True)
                    ended = [b.select(b.fcmp_ordered(">", g, zero), v, zero) for v, g in pairs]
                    _store_line(b, bias, *target, ended)
                with otherwise:
                    ended = [b.select(b.fcmp_ordered("<", v, floor_), floor_, v) for v in values]
                    _store_line(b, bias, *target, ended)

        _emit_cases(b, count_, finish)
        return context.get_dummy_value()

    whole = types.intp
    return types.void(x, whole, whole, y, whole, whole, whole, bias, bias, gate, types.boolean), codegen
