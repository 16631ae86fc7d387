"""The matrix products that sums of products in a transformed domain come down to.

    y  [outputs][count]    vectors, rows `y_row` apart        y = a b, or y += a b
    a  [outputs][depth]    scalars
    b  [depth][count]      vectors, rows `b_step` apart

Outputs are rounded up to whole register tiles: all three have memory for `OUTPUTS_AT_ONCE` times as many.
"""

from numba.extending import register_jitable

from ...simd import tiles
from ...simd.compiling import compiled, inlined
from ...simd.tiles import (
    columns,
    multiply_add,
    offsets,
    rows,
    shape,
    tile_add_stored,
    tile_store,
    zeros,
)
from .conv import MANY_ROWS

# Register tiles: outputs x vectors. One of two vectors needs more outputs for its loads.
WIDE_ROWS = 4 if tiles.tile_columns(4) >= 4 else 2
WIDE = min(4, tiles.tile_columns(WIDE_ROWS))
NARROW_ROWS = MANY_ROWS
PAIR_ROWS, PAIR = (NARROW_ROWS, 2) if tiles.tile_columns(NARROW_ROWS) >= 2 else (WIDE_ROWS, WIDE)
OUTPUTS_AT_ONCE = 8  # each tile has a divisor of it
COLUMNS = 4  # a table of 0, 1, 2, 3: where the columns of a register tile lie

# Matrices are so many vectors further apart than they are long: at powers of two, the stores of a transform
# would all fall into one set of the cache.
APART = 5
CHANNELS_AT_ONCE = 64  # in a part of a sum: in one run, 128 channels lose 1.4 times as much to rounding


@register_jitable
def rounded(count, unit):
    """`count`, rounded up to a multiple of `unit`."""
    return -(-count // unit) * unit


@register_jitable
def rounded_outputs(outputs, count):
    """How many outputs are computed, tiles of the products being whole, where y has `count` columns."""
    return rounded(outputs, WIDE_ROWS if count % WIDE == 0 else OUTPUTS_AT_ONCE)


@inlined
def _multiply(form, a, a_at, a_row, b, b_at, b_step, depth, place, y, y_at, y_row, fresh):
    """A register tile of y = a b, or y += a b: sums of `depth` products; rows of b are `b_step` apart."""
    acc = zeros(form)
    for k in range(depth):
        acc = multiply_add(acc, a, a_at + k, a_row, b, b_at + k * b_step, place)
    if not fresh:
        acc = tile_add_stored(acc, y, y_at, y_row, place)
    tile_store(acc, y, y_at, y_row, place)


@compiled
def product(a, a_row, b, b_step, depth, y, y_row, outputs, count, fresh, at_columns):
    """y [outputs][count] = a b, or y += a b unless `fresh`; `at_columns` is the table of `COLUMNS`."""
    done = count // WIDE * WIDE
    wide, pair, narrow = shape(b, WIDE_ROWS, WIDE), shape(b, PAIR_ROWS, PAIR), shape(b, NARROW_ROWS, 1)
    place = offsets(wide, at_columns, 0)
    for j in range(0, done, columns(wide)):
        for o in range(0, outputs, rows(wide)):
            _multiply(wide, a, o * a_row, a_row, b, j, b_step, depth, place, y, o * y_row + j, y_row, fresh)
    pairs = done + (count - done) // PAIR * PAIR
    place = offsets(pair, at_columns, 0)
    for j in range(done, pairs, columns(pair)):
        for o in range(0, outputs, rows(pair)):
            _multiply(pair, a, o * a_row, a_row, b, j, b_step, depth, place, y, o * y_row + j, y_row, fresh)
    place = offsets(narrow, at_columns, 0)
    for j in range(pairs, count):
        for o in range(0, outputs, rows(narrow)):
            _multiply(narrow, a, o * a_row, a_row, b, j, b_step, depth, place, y, o * y_row + j, y_row, fresh)
