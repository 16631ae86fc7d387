"""Constant matrices applied to vectors, written out as sums and products in registers.

    to_sum_and_difference = linear_maps([[[1, 1], [1, -1]]])
    to_sum_and_difference(0, x, at, step, y, at, step)      # by matrix 0: x[at], x[at + step] -> y[...]

Rows that differ in signs alone share their sums: one adds the terms of equal sign to those of the other, the
other subtracts them. Of columns that do so, the sum and the difference of their vectors are taken first.
"""

from itertools import combinations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .vectors import Vector, emit_fma, emit_load, emit_store, every_lane, is_pointer


def mirrored(rows):
    """Pairs of rows that differ in signs alone, no row in two of them.

    Examples
    --------
    >>> mirrored([[1, 2], [1, -2], [3, 4]])
    [(0, 1)]
    """
    pairs, taken = [], set()
    for i, j in combinations(range(len(rows)), 2):
        equal = [abs(a) for a in rows[i]] == [abs(a) for a in rows[j]]
        if equal and rows[i] != rows[j] and not taken & {i, j}:
            pairs.append((i, j))
            taken |= {i, j}
    return pairs


def _sum(b, row, values):
    """Emit the sum of the products of a row's numbers with values; None where all numbers are 0."""
    terms = [(number, value) for number, value in zip(row, values, strict=True) if number]
    total = None
    for number, value in sorted(terms, key=lambda term: term[0] != 1):  # a factor of 1 needs no product
        if total is None:
            total = value if number == 1 else b.fmul(every_lane(value.type, number), value)
        elif abs(number) == 1:
            total = (b.fadd if number == 1 else b.fsub)(total, value)
        else:
            total = emit_fma(b, every_lane(value.type, number), value, total)
    return total


def _by_rows(b, matrix, values):
    """Emit a matrix times values, rows that are mirrored together."""
    results = [None] * len(matrix)
    for i, j in mirrored(matrix):
        same = _sum(b, [p if p == q else 0 for p, q in zip(matrix[i], matrix[j], strict=True)], values)
        other = _sum(b, [p if p != q else 0 for p, q in zip(matrix[i], matrix[j], strict=True)], values)
        if same is None:
            results[i], results[j] = other, b.fneg(other)
        else:
            results[i], results[j] = b.fadd(same, other), b.fsub(same, other)
    return [_sum(b, row, values) if made is None else made for row, made in zip(matrix, results, strict=True)]


def _by_columns(b, matrix, values, pairs):
    """Emit a matrix times values, by the sums and differences of values whose columns are mirrored."""
    values, rows = list(values), [list(row) for row in matrix]
    for i, j in pairs:
        values[i], values[j] = b.fadd(values[i], values[j]), b.fsub(values[i], values[j])
        for row in rows:
            row[i], row[j] = (row[i], 0) if row[i] == row[j] else (0, row[i])
    return [_sum(b, row, values) for row in rows]


def emit_linear_map(b, matrix, values):
    """Emit the vectors that a matrix makes of others; none of its rows is all zeros."""
    pairs = mirrored(list(zip(*matrix, strict=True)))
    if len(pairs) > len(mirrored(matrix)):
        return _by_columns(b, matrix, values, pairs)
    return _by_rows(b, matrix, values)


def linear_maps(matrices):
    """Make a function of compiled code that applies one of several matrices: see the head of this file.

    Its arguments are the number of the matrix, the memory that is read, the first vector there and the
    distance to the next, and the same of the memory that is written, which may be that which is read.

    Parameters
    ----------
    matrices : list of lists of rows
        Numbers; those of each matrix have a size of their own.
    """

    @intrinsic
    def apply(typingctx, which, x, x_at, x_step, y, y_at, y_step):
        if not (is_pointer(x) and x == y):
            return None
        vector = Vector(x.dtype)

        def codegen(context, b, sig, args):
            number, x_, source, source_step, y_, target, target_step = args
            after = b.append_basic_block("mapped")
            choice = b.switch(number, after)
            for k, matrix in enumerate(matrices):
                choice.add_case(ir.Constant(number.type, k), b.append_basic_block(f"matrix_{k}"))
                b.position_at_end(choice.cases[-1][1])
                places = _places(b, source, source_step, len(matrix[0]))
                values = [emit_load(b, vector, x_, place) for place in places]
                places = _places(b, target, target_step, len(matrix))
                for place, value in zip(places, emit_linear_map(b, matrix, values), strict=True):
                    emit_store(b, vector, y_, place, value)
                b.branch(after)
            b.position_at_end(after)
            return context.get_dummy_value()

        integers = types.intp, types.intp
        return types.void(types.intp, x, *integers, y, *integers), codegen

    return apply


def _places(b, start, step, count):
    """Emit `count` numbers that are `step` apart; each of its own, not a chain of additions."""
    return [b.add(start, b.mul(step, ir.Constant(step.type, k))) for k in range(count)]
