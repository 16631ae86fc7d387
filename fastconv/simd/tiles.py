"""Register tiles: grids of vectors that LLVM keeps in registers, the accumulators of a matrix product.

    acc = zeros(shape(x, 4, 5))                             # 4 rows x 5 columns of vectors
    acc = multiply_add(acc, w, at, distance, x, 0, places)  # each row's scalar times each column's vector

`rows` and `columns` arguments are literal integers; a tile carries its size in its type. `tile_columns`
says how many columns fit the machine's registers, here and nowhere else.

Where the columns of a tile lie in memory is told by offsets, one for each column, counted in vectors. In a
patch, a tile of one row whose columns lie on several lines of an image, there is an offset for each line and
one for each place in a line, and a column's offset is the sum of the two. Rows lie at equal distances.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_jitable, register_model

from .host import HOST
from .vectors import (
    Vector,
    emit_below,
    emit_fetch,
    emit_fma,
    emit_load,
    emit_masked,
    emit_opaque,
    emit_rolled,
    emit_splat,
    emit_store,
    every_lane,
    llvm_vector,
)


@register_jitable
def entries(columns, lines):
    """How many numbers it takes to say where the columns of a tile lie in memory.

    One for each column; but where they form a patch of several lines, one for each line and one for each
    place in a line.
    """
    return columns if lines == 1 else lines + columns // lines


class Tile(types.Type):
    """The type of a grid of vectors in registers; its columns may form a patch of several `lines`."""

    def __init__(self, dtype, rows, columns, lines=1):
        self.vector = Vector(dtype)
        self.dtype, self.rows, self.columns, self.lines = dtype, rows, columns, lines
        self.offsets = entries(columns, lines)
        super().__init__(name=f"Tile({dtype}, {rows} x {columns} in {lines})")


class Shape(types.Dummy):
    """The type of a value that only tells how many rows and columns a tile has."""

    def __init__(self, grid):
        self.grid, self.rows, self.columns, self.offsets = grid, grid.rows, grid.columns, grid.offsets
        super().__init__(name=f"Shape({grid})")


register_model(Shape)(models.OpaqueModel)


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(
            dmm, fe_type, ir.ArrayType(llvm_vector(fe_type.vector), fe_type.rows * fe_type.columns)
        )


def tile_columns(rows):
    """How many columns a tile of `rows` rows may have so that it fits the machine's registers.

    Registers: rows x columns accumulators, and `columns` vectors and `rows` splats to multiply: LLVM
    loads these ahead of the first product, so a tile that counts on one splat at a time spills.
    """
    vectors = HOST.registers // HOST.registers_per_vector
    return max(1, min(12, (vectors - rows) // (rows + 1)))


def tile_patch():
    """How many lines, and places in a line, a patch has: the tile of one row that fits the registers best.

    Each position has a vector of its own to load, for a single product. Addresses are sums of a line's and a
    column's, so that those of 16 positions stay in registers.
    """
    vectors = HOST.registers // HOST.registers_per_vector
    edge = 4 if vectors >= 32 else 2 if vectors >= 8 else 1
    return edge, edge


def _grid(tile):
    """List the vectors of a tile: (row, column, number of the vector in the tile)."""
    return ((r, c, r * tile.columns + c) for r in range(tile.rows) for c in range(tile.columns))


def emit_places(b, start, distance, count):
    """Emit `count` numbers that are `distance` apart: start, start + distance, and so on."""
    places = [start]
    for _ in range(count - 1):
        places.append(b.add(places[-1], distance))
    return places


def _column_vectors(b, grid, base, start, column):
    """Emit where the vector of each column lies: pairs of a pointer and the number of a vector from there.

    `column` are the offsets of the columns, counted from vector `start` of the memory at `base`.
    """
    if grid.lines == 1:
        return [(base, b.add(start, b.extract_value(column, c))) for c in range(grid.columns)]
    # Opaque, lest LLVM adds up all lines and columns before the loop: so many sums stay in no registers.
    lanes = ir.Constant(start.type, grid.vector.lanes)
    lines = [
        emit_opaque(b, b.gep(base, [b.mul(b.add(start, b.extract_value(column, n)), lanes)]))
        for n in range(grid.lines)
    ]
    rest = [b.extract_value(column, n) for n in range(grid.lines, grid.offsets)]
    return [(line, offset) for line in lines for offset in rest]


def _row_places(b, start, by, count, evenly):
    """Emit where each of `count` rows starts: every `by` from `start` on, if `evenly`; else start + by[r]."""
    if evenly:
        return emit_places(b, start, by, count)
    return [b.add(start, b.extract_value(by, r)) for r in range(count)]


@intrinsic
def tile(typingctx, p, rows, columns):
    """Make a tile of zeros with so many rows and columns, of the dtype that p points to."""
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(columns, types.IntegerLiteral)):
        return None
    grid = Tile(p.dtype, rows.literal_value, columns.literal_value)

    def codegen(context, b, sig, args):
        return ir.Constant(context.get_value_type(grid), None)

    return grid(p, rows, columns), codegen


@intrinsic
def shape(typingctx, p, rows, columns):
    """Say which shape a tile has, and that it holds the dtype p points to.

    The result is all type and no value, so that passing it to a function costs nothing.
    """
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(columns, types.IntegerLiteral)):
        return None
    grid = Tile(p.dtype, rows.literal_value, columns.literal_value)
    return Shape(grid)(p, rows, columns), lambda context, b, sig, args: context.get_dummy_value()


@intrinsic
def patch_shape(typingctx, p, lines, columns):
    """As `shape`, for a tile of one row whose columns are a patch of `lines` x `columns` positions."""
    if not (isinstance(lines, types.IntegerLiteral) and isinstance(columns, types.IntegerLiteral)):
        return None
    count = lines.literal_value * columns.literal_value
    grid = Tile(p.dtype, 1, count, lines.literal_value)
    return Shape(grid)(p, lines, columns), lambda context, b, sig, args: context.get_dummy_value()


@intrinsic
def zeros(typingctx, form):
    """Make a tile of zeros of a given shape."""
    if not isinstance(form, Shape):
        return None
    return form.grid(form), lambda context, b, sig, args: ir.Constant(context.get_value_type(form.grid), None)


@intrinsic
def rows(typingctx, grid):
    """How many rows a tile or shape has, as a constant of the compiled code."""
    return types.intp(grid), lambda context, b, sig, args: context.get_constant(types.intp, grid.rows)


@intrinsic
def columns(typingctx, grid):
    """How many columns a tile or shape has, as a constant of the compiled code."""
    return types.intp(grid), lambda context, b, sig, args: context.get_constant(types.intp, grid.columns)


@intrinsic
def offset_count(typingctx, grid):
    """How many numbers `offsets` reads for a tile or shape, as a constant of the compiled code."""
    return types.intp(grid), lambda context, b, sig, args: context.get_constant(types.intp, grid.offsets)


@intrinsic
def offsets(typingctx, grid, table, index):
    """Read where the columns of a tile lie: the tuple table[index], table[index + 1], ..., one a column.

    Of a patch, an offset for each line, then one for each place in a line: their sums are those of columns.
    """
    return _entries(grid.offsets, grid, table)


@intrinsic
def row_offsets(typingctx, grid, table, index):
    """Read where the rows of a tile lie: the tuple table[index], table[index + 1], ..., one a row."""
    return _entries(grid.rows, grid, table)


@intrinsic
def column_places(typingctx, grid, distance):
    """Where the columns of a tile lie that are `distance` vectors apart: (0, distance, ...), as `offsets`."""
    places = types.UniTuple(types.intp, grid.columns)

    def codegen(context, b, sig, args):
        first = ir.Constant(args[1].type, 0)
        return context.make_tuple(b, places, emit_places(b, first, args[1], grid.columns))

    return places(grid, types.intp), codegen


def _entries(count, grid, table):
    """What an intrinsic returns that reads `count` numbers of a table into a tuple."""
    entries = types.UniTuple(types.intp, count)

    def codegen(context, b, sig, args):
        _, base, start = args
        values = [b.load(b.gep(base, [b.add(start, ir.Constant(start.type, k))])) for k in range(count)]
        return context.make_tuple(b, entries, values)

    return entries(grid, table, types.intp), codegen


@intrinsic
def tile_add_rows(typingctx, grid, p, index, distance):
    """Add a number to each row of a tile: the scalar p[index + r * distance] to all of row r."""

    def codegen(context, b, sig, args):
        acc, base, start, by = args
        for r, where in enumerate(emit_places(b, start, by, grid.rows)):
            value = emit_splat(b, llvm_vector(grid.vector), b.load(b.gep(base, [where])))
            for c in range(grid.columns):
                k = r * grid.columns + c
                acc = b.insert_value(acc, b.fadd(b.extract_value(acc, k), value), k)
        return acc

    return grid(grid, p, types.intp, types.intp), codegen


@intrinsic
def multiply_add(typingctx, grid, w, w_index, w_rows, x, x_index, x_offsets):
    """Add products to a tile: to each place (r, c), a scalar of w for row r times a vector of x for column c.

    The scalar is w[w_index + w_rows[r]], the vector x[x_index + x_offsets[c]]. `w_rows` is a tuple from
    `row_offsets`, or the distance from row to row. Of a distance, LLVM makes a chain of additions, which is
    the smaller evil with few rows, and slower than the products with many.
    """
    evenly = isinstance(w_rows, types.Integer)

    def codegen(context, b, sig, args):
        acc, w_, start, by, x_, at, column = args
        emit_rolled(b)
        loaded = [emit_load(b, grid.vector, *place) for place in _column_vectors(b, grid, x_, at, column)]
        for r, where in enumerate(_row_places(b, start, by, grid.rows, evenly)):
            scalar = emit_splat(b, llvm_vector(grid.vector), b.load(b.gep(w_, [where])))
            for c in range(grid.columns):
                k = r * grid.columns + c
                acc = b.insert_value(acc, emit_fma(b, scalar, loaded[c], b.extract_value(acc, k)), k)
        return acc

    rows_type = types.intp if evenly else w_rows
    return grid(grid, w, types.intp, rows_type, x, types.intp, x_offsets), codegen


@intrinsic
def outer_add(typingctx, grid, y, y_index, y_distance, x, x_index, x_offsets):
    """Add products to a tile: to each place (r, c), a vector of y for row r times a vector of x for column c.

    They are y[y_index + r * y_distance] and x[x_index + x_offsets[c]]; `y_distance` may also be a tuple from
    `row_offsets`, with an offset for each row.
    """
    evenly = isinstance(y_distance, types.Integer)

    def codegen(context, b, sig, args):
        acc, y_, start, by, x_, at, column = args
        emit_rolled(b)
        loaded = [
            emit_load(b, grid.vector, x_, b.add(at, b.extract_value(column, c))) for c in range(grid.columns)
        ]
        for r, where in enumerate(_row_places(b, start, by, grid.rows, evenly)):
            row = emit_load(b, grid.vector, y_, where)
            for c in range(grid.columns):
                k = r * grid.columns + c
                acc = b.insert_value(acc, emit_fma(b, row, loaded[c], b.extract_value(acc, k)), k)
        return acc

    rows_type = types.intp if evenly else y_distance
    return grid(grid, y, types.intp, rows_type, x, types.intp, x_offsets), codegen


@intrinsic
def tile_add(typingctx, grid, y, y_index, y_distance):
    """Add to each row of a tile of one column a vector of y: y[y_index + r * y_distance] to row r."""

    def codegen(context, b, sig, args):
        acc, y_, start, by = args
        for r, where in enumerate(emit_places(b, start, by, grid.rows)):
            acc = b.insert_value(
                acc, b.fadd(b.extract_value(acc, r), emit_load(b, grid.vector, y_, where)), r
            )
        return acc

    return grid(grid, y, types.intp, types.intp), codegen


@intrinsic
def tile_store(typingctx, grid, y, y_index, y_rows, y_offsets):
    """Store a tile: the vector of row r and column c goes to y[y_index + r * y_rows + y_offsets[c]].

    `y_rows` may also be a tuple from `row_offsets`, with an offset for each row.
    """
    evenly = isinstance(y_rows, types.Integer)

    def codegen(context, b, sig, args):
        acc, y_, start, by, column = args
        for r, where in enumerate(_row_places(b, start, by, grid.rows, evenly)):
            for c, place in enumerate(_column_vectors(b, grid, y_, where, column)):
                emit_store(b, grid.vector, *place, b.extract_value(acc, r * grid.columns + c))
        return context.get_dummy_value()

    return types.void(grid, y, types.intp, types.intp if evenly else y_rows, y_offsets), codegen


@intrinsic
def tile_fetch(typingctx, form, y, y_index, y_rows, y_offsets):
    """Fetch the memory that a tile of a given shape will be stored to: see `fetch` and `tile_store`."""
    if not isinstance(form, Shape):
        return None
    grid = form.grid

    def codegen(context, b, sig, args):
        _, y_, start, by, column = args
        for where in emit_places(b, start, by, grid.rows):
            for place in _column_vectors(b, grid, y_, where, column):
                emit_fetch(b, grid.vector, *place)
        return context.get_dummy_value()

    return types.void(form, y, types.intp, types.intp, y_offsets), codegen


@intrinsic
def tile_add_stored(typingctx, grid, y, y_index, y_distance, y_offsets):
    """Add what is stored to a tile: y[y_index + r * y_distance + y_offsets[c]] to row r and column c."""

    def codegen(context, b, sig, args):
        acc, y_, start, by, column = args
        for r, where in enumerate(emit_places(b, start, by, grid.rows)):
            for c, place in enumerate(_column_vectors(b, grid, y_, where, column)):
                k = r * grid.columns + c
                stored = emit_load(b, grid.vector, *place)
                acc = b.insert_value(acc, b.fadd(b.extract_value(acc, k), stored), k)
        return acc

    return grid(grid, y, types.intp, types.intp, y_offsets), codegen


@intrinsic
def tile_sum(typingctx, grid, other):
    """Add two tiles of the same shape, place by place."""

    def codegen(context, b, sig, args):
        acc = args[0]
        for _, _, k in _grid(grid):
            acc = b.insert_value(acc, b.fadd(b.extract_value(acc, k), b.extract_value(args[1], k)), k)
        return acc

    return grid(grid, other), codegen


@intrinsic
def tile_add_columns(typingctx, grid, p, index):
    """Add a vector to each column of a tile: vector index + c of the memory at `p` to all of column c."""

    def codegen(context, b, sig, args):
        acc, base, start = args
        for c, where in enumerate(emit_places(b, start, ir.Constant(start.type, 1), grid.columns)):
            value = emit_load(b, grid.vector, base, where)
            for r in range(grid.rows):
                k = r * grid.columns + c
                acc = b.insert_value(acc, b.fadd(b.extract_value(acc, k), value), k)
        return acc

    return grid(grid, p, types.intp), codegen


@intrinsic
def tile_divide(typingctx, grid, divisor):
    """Divide every number in a tile by `divisor`."""

    def codegen(context, b, sig, args):
        acc = args[0]
        by = emit_splat(b, llvm_vector(grid.vector), context.cast(b, args[1], sig.args[1], grid.dtype))
        for _, _, k in _grid(grid):
            acc = b.insert_value(acc, b.fdiv(b.extract_value(acc, k), by), k)
        return acc

    return grid(grid, divisor), codegen


@intrinsic
def tile_relu(typingctx, grid):
    """Replace every number in a tile that is below 0 by 0; NaN stays."""

    def codegen(context, b, sig, args):
        acc = args[0]
        zero = ir.Constant(llvm_vector(grid.vector), None)
        for _, _, k in _grid(grid):
            value = b.extract_value(acc, k)
            acc = b.insert_value(acc, b.select(b.fcmp_ordered("<", value, zero), zero, value), k)
        return acc

    return grid(grid), codegen


@intrinsic
def tile_gate(typingctx, grid, y, y_index, y_distance, y_offsets):
    """Set to 0 what is in a tile where the numbers stored for the same places in y are not positive.

    Those of row r and column c are the vector y[y_index + r * y_distance + y_offsets[c]].
    """

    def codegen(context, b, sig, args):
        acc, y_, start, by, column = args
        zero = ir.Constant(llvm_vector(grid.vector), None)
        for r, where in enumerate(emit_places(b, start, by, grid.rows)):
            for c, place in enumerate(_column_vectors(b, grid, y_, where, column)):
                k = r * grid.columns + c
                positive = b.fcmp_ordered(">", emit_load(b, grid.vector, *place), zero)
                acc = b.insert_value(acc, b.select(positive, b.extract_value(acc, k), zero), k)
        return acc

    return grid(grid, y, types.intp, types.intp, y_offsets), codegen


@intrinsic
def add_totals(typingctx, grid, p, index, distance, count, fresh):
    """Sum up the lanes of each vector of a tile, and add each sum to memory, or store it where `fresh`.

    That of row r and column c goes to p[index + r * distance + c]; columns from `count` on are left out.
    """

    def codegen(context, b, sig, args):
        acc, base, start, by, limit, anew = args
        totals = _totals(b, [b.extract_value(acc, k) for _, _, k in _grid(grid)])
        lane_count, short = grid.vector.lanes, ir.IntType(32)
        limit = b.trunc(limit, short)
        mask_type = ir.VectorType(ir.IntType(1), lane_count)
        for r, where in enumerate(emit_places(b, start, by, grid.rows)):
            first, last = r * grid.columns, (r + 1) * grid.columns
            for number in range(first // lane_count, (last - 1) // lane_count + 1):
                column_0 = number * lane_count - first  # in lane 0
                own = [column_0 + lane in range(grid.columns) for lane in range(lane_count)]
                below = emit_below(b, lane_count, b.sub(limit, ir.Constant(short, column_0)))
                mask = b.and_(below, ir.Constant(mask_type, own))
                added = b.select(anew, ir.Constant(mask_type, None), mask)
                at = b.gep(base, [b.add(where, ir.Constant(where.type, column_0))])
                nothing = every_lane(totals[number].type, 0.0)
                old = emit_masked(b, "load", grid.vector, at, added, nothing)
                emit_masked(b, "store", grid.vector, at, mask, b.fadd(old, totals[number]))
        return context.get_dummy_value()

    return types.void(grid, p, types.intp, types.intp, types.intp, types.boolean), codegen


def _totals(b, vectors):
    """Emit the sum of the lanes of each vector; the sums come in order, in the lanes of few vectors.

    2 shuffles and an addition merge two vectors into one; after each round, vector k holds twice as many
    sums, each in half as many neighbouring lanes.
    """
    lane_count, totals = vectors[0].type.count, []
    indices = ir.VectorType(ir.IntType(32), lane_count)
    for first in range(0, len(vectors), lane_count):
        some = vectors[first : first + lane_count]
        width = lane_count  # lanes of one sum
        while width > 1:
            half = width // 2
            low = [at + lane for at in range(0, lane_count, width) for lane in range(half)]
            halves = [[k + shift for k in low + [lane_count + k for k in low]] for shift in (0, half)]
            pairs = [(some[k], some[min(k + 1, len(some) - 1)]) for k in range(0, len(some), 2)]
            some = [
                b.fadd(*(b.shuffle_vector(*pair, ir.Constant(indices, half_lanes)) for half_lanes in halves))
                for pair in pairs
            ]
            width = half
        totals.append(some[0])
    return totals


@intrinsic
def store_rows(typingctx, grid, p, index, distance, first, length):
    """Store a tile of which each row is a piece of a longer row in memory, of `length` scalars.

    Row r starts at p[index + r * distance], and column c is its vector number first + c. What would lie past
    `length` is not written.
    """
    if not isinstance(grid, Tile):
        return None

    def codegen(context, b, sig, args):
        for address, value, mask in _row_parts(b, grid, args):
            emit_masked(b, "store", grid.vector, address, mask, value)
        return context.get_dummy_value()

    return types.void(grid, p, types.intp, types.intp, types.intp, types.intp), codegen


@intrinsic
def add_to_rows(typingctx, grid, p, index, distance, first, length):
    """As `store_rows`, but add to what is in memory."""
    if not isinstance(grid, Tile):
        return None

    def codegen(context, b, sig, args):
        for address, value, mask in _row_parts(b, grid, args):
            old = emit_masked(b, "load", grid.vector, address, mask, every_lane(value.type, 0.0))
            emit_masked(b, "store", grid.vector, address, mask, b.fadd(old, value))
        return context.get_dummy_value()

    return types.void(grid, p, types.intp, types.intp, types.intp, types.intp), codegen


def _row_parts(b, grid, args):
    """Emit for every vector of a tile: its address, itself, and the mask of the lanes inside the row."""
    acc, base, start, by, vector_number, count = args
    for r, where in enumerate(emit_places(b, start, by, grid.rows)):
        for c in range(grid.columns):
            number = b.add(vector_number, ir.Constant(count.type, c))
            begin = b.mul(number, ir.Constant(count.type, grid.vector.lanes))
            mask = emit_below(b, grid.vector.lanes, b.sub(count, begin))
            yield b.gep(base, [b.add(where, begin)]), b.extract_value(acc, r * grid.columns + c), mask
