"""Register tiles: grids of vectors that LLVM keeps in registers, the accumulators of a matrix product.

    acc = zeros(shape(x, 4, 5))                          # 4 rows x 5 columns of vectors
    acc = multiply_add(acc, w, at, step, x, 0, places)   # each row's scalar times each column's vector

`rows` and `columns` arguments are literal integers; a tile carries its size in its type. `tile_columns`
says how many columns fit the machine's registers, here and nowhere else.
"""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, register_jitable, register_model

from .host import HOST
from .vectors import (
    Vector,
    emit_below,
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
    """How many offsets tell where the columns of a tile lie: of a block, its lines' and those in a line."""
    return columns if lines == 1 else lines + columns // lines


class Tile(types.Type):
    """A grid of vectors held in registers; its columns may be those of a block of several `lines`."""

    def __init__(self, dtype, rows, columns, lines=1):
        self.vector = Vector(dtype)
        self.dtype, self.rows, self.columns, self.lines = dtype, rows, columns, lines
        self.offsets = entries(columns, lines)
        super().__init__(name=f"Tile({dtype}, {rows} x {columns} in {lines})")


class Shape(types.Dummy):
    """The rows and columns of a tile."""

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
    """Columns of a register tile of `rows` rows.

    Registers: rows x columns accumulators, and `columns` vectors and `rows` splats to multiply: LLVM
    loads these ahead of the first product, so a tile that counts on one splat at a time spills.
    """
    vectors = HOST.registers // HOST.registers_per_vector
    return max(1, min(12, (vectors - rows) // (rows + 1)))


def tile_patch():
    """(lines, columns) of the block of positions of a tile of one row.

    Each position has a vector of its own to load, for a single product. Addresses are sums of a line's and a
    column's, so that those of 16 positions stay in registers.
    """
    vectors = HOST.registers // HOST.registers_per_vector
    edge = 4 if vectors >= 32 else 2 if vectors >= 8 else 1
    return edge, edge


def _grid(tile):
    """(row, column, index) of each vector of a tile."""
    return ((r, c, r * tile.columns + c) for r in range(tile.rows) for c in range(tile.columns))


def emit_steps(b, start, step, count):
    """start, start + step, ... as IR values."""
    offsets = [start]
    for _ in range(count - 1):
        offsets.append(b.add(offsets[-1], step))
    return offsets


def _column_vectors(b, grid, base, start, column):
    """(pointer, index) of the vector of each column that the offsets `column` from `start` tell."""
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


def _row_places(b, start, by, count, in_steps):
    """start + 0, 1, ... steps of `by`, or start + each entry of the tuple `by`."""
    if in_steps:
        return emit_steps(b, start, by, count)
    return [b.add(start, b.extract_value(by, r)) for r in range(count)]


@intrinsic
def tile(typingctx, p, rows, columns):
    """A tile of zeros of the pointer's dtype."""
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(columns, types.IntegerLiteral)):
        return None
    grid = Tile(p.dtype, rows.literal_value, columns.literal_value)

    def codegen(context, b, sig, args):
        return ir.Constant(context.get_value_type(grid), None)

    return grid(p, rows, columns), codegen


@intrinsic
def shape(typingctx, p, rows, columns):
    """The shape of a tile of the pointer's dtype: all type and no value, so that passing it costs nothing."""
    if not (isinstance(rows, types.IntegerLiteral) and isinstance(columns, types.IntegerLiteral)):
        return None
    grid = Tile(p.dtype, rows.literal_value, columns.literal_value)
    return Shape(grid)(p, rows, columns), lambda context, b, sig, args: context.get_dummy_value()


@intrinsic
def patch_shape(typingctx, p, lines, columns):
    """The shape of a tile of one row, whose columns are a block of `lines` x `columns` positions."""
    if not (isinstance(lines, types.IntegerLiteral) and isinstance(columns, types.IntegerLiteral)):
        return None
    count = lines.literal_value * columns.literal_value
    grid = Tile(p.dtype, 1, count, lines.literal_value)
    return Shape(grid)(p, lines, columns), lambda context, b, sig, args: context.get_dummy_value()


@intrinsic
def zeros(typingctx, form):
    """The tile of zeros of a shape."""
    if not isinstance(form, Shape):
        return None
    return form.grid(form), lambda context, b, sig, args: ir.Constant(context.get_value_type(form.grid), None)


@intrinsic
def rows(typingctx, grid):
    """Rows of a tile, a compile-time constant."""
    return types.intp(grid), lambda context, b, sig, args: context.get_constant(types.intp, grid.rows)


@intrinsic
def columns(typingctx, grid):
    """Columns of a tile, a compile-time constant."""
    return types.intp(grid), lambda context, b, sig, args: context.get_constant(types.intp, grid.columns)


@intrinsic
def offset_count(typingctx, grid):
    """How many offsets say where the columns of a tile lie, a compile-time constant."""
    return types.intp(grid), lambda context, b, sig, args: context.get_constant(types.intp, grid.offsets)


@intrinsic
def offsets(typingctx, grid, table, index):
    """The tuple table[index], table[index + 1], ... with an entry for each column of the tile.

    Of a block, with an entry for each line, then for each column of a line: their sums are the offsets.
    """
    return _entries(grid.offsets, grid, table)


@intrinsic
def row_offsets(typingctx, grid, table, index):
    """The tuple table[index], table[index + 1], ... with one entry a row of the tile."""
    return _entries(grid.rows, grid, table)


def _entries(count, grid, table):
    entries = types.UniTuple(types.intp, count)

    def codegen(context, b, sig, args):
        _, base, start = args
        values = [b.load(b.gep(base, [b.add(start, ir.Constant(start.type, k))])) for k in range(count)]
        return context.make_tuple(b, entries, values)

    return entries(grid, table, types.intp), codegen


@intrinsic
def tile_add_rows(typingctx, grid, p, index, step):
    """tile[r, c] += scalar `index + r * step` of the memory at `p`."""

    def codegen(context, b, sig, args):
        acc, base, start, by = args
        for r, where in enumerate(emit_steps(b, start, by, grid.rows)):
            value = emit_splat(b, llvm_vector(grid.vector), b.load(b.gep(base, [where])))
            for c in range(grid.columns):
                k = r * grid.columns + c
                acc = b.insert_value(acc, b.fadd(b.extract_value(acc, k), value), k)
        return acc

    return grid(grid, p, types.intp, types.intp), codegen


@intrinsic
def multiply_add(typingctx, grid, w, w_index, w_rows, x, x_index, x_offsets):
    """tile[r, c] += w[w_index + w_rows[r]] (a scalar) * x[x_index + x_offsets[c]] (a vector).

    `w_rows` is a tuple from `row_offsets`, or the step from row to row. LLVM makes a chain of additions of a
    step, which is the smaller evil with few rows, and slower than the products with many.
    """
    in_steps = isinstance(w_rows, types.Integer)

    def codegen(context, b, sig, args):
        acc, w_, start, by, x_, at, column = args
        emit_rolled(b)
        loaded = [emit_load(b, grid.vector, *place) for place in _column_vectors(b, grid, x_, at, column)]
        for r, where in enumerate(_row_places(b, start, by, grid.rows, in_steps)):
            scalar = emit_splat(b, llvm_vector(grid.vector), b.load(b.gep(w_, [where])))
            for c in range(grid.columns):
                k = r * grid.columns + c
                acc = b.insert_value(acc, emit_fma(b, scalar, loaded[c], b.extract_value(acc, k)), k)
        return acc

    rows_type = types.intp if in_steps else w_rows
    return grid(grid, w, types.intp, rows_type, x, types.intp, x_offsets), codegen


@intrinsic
def outer_add(typingctx, grid, y, y_index, y_step, x, x_index, x_offsets):
    """tile[r, c] += y[y_index + r * y_step] * x[x_index + x_offsets[c]], both vectors."""

    def codegen(context, b, sig, args):
        acc, y_, start, by, x_, at, column = args
        emit_rolled(b)
        loaded = [
            emit_load(b, grid.vector, x_, b.add(at, b.extract_value(column, c))) for c in range(grid.columns)
        ]
        for r, where in enumerate(emit_steps(b, start, by, grid.rows)):
            row = emit_load(b, grid.vector, y_, where)
            for c in range(grid.columns):
                k = r * grid.columns + c
                acc = b.insert_value(acc, emit_fma(b, row, loaded[c], b.extract_value(acc, k)), k)
        return acc

    return grid(grid, y, types.intp, types.intp, x, types.intp, x_offsets), codegen


@intrinsic
def tile_add(typingctx, grid, y, y_index, y_step):
    """tile[r, 0] += y[y_index + r * y_step], vectors, for a tile of one column."""

    def codegen(context, b, sig, args):
        acc, y_, start, by = args
        for r, where in enumerate(emit_steps(b, start, by, grid.rows)):
            acc = b.insert_value(
                acc, b.fadd(b.extract_value(acc, r), emit_load(b, grid.vector, y_, where)), r
            )
        return acc

    return grid(grid, y, types.intp, types.intp), codegen


@intrinsic
def tile_store(typingctx, grid, y, y_index, y_step, y_offsets):
    """y[y_index + r * y_step + y_offsets[c]] = tile[r, c]; `y_step` may be a tuple of the rows' offsets."""
    in_steps = isinstance(y_step, types.Integer)

    def codegen(context, b, sig, args):
        acc, y_, start, by, column = args
        for r, where in enumerate(_row_places(b, start, by, grid.rows, in_steps)):
            for c, place in enumerate(_column_vectors(b, grid, y_, where, column)):
                emit_store(b, grid.vector, *place, b.extract_value(acc, r * grid.columns + c))
        return context.get_dummy_value()

    return types.void(grid, y, types.intp, types.intp if in_steps else y_step, y_offsets), codegen


@intrinsic
def tile_add_stored(typingctx, grid, y, y_index, y_step, y_offsets):
    """tile[r, c] += the stored vector y[y_index + r * y_step + y_offsets[c]]."""

    def codegen(context, b, sig, args):
        acc, y_, start, by, column = args
        for r, where in enumerate(emit_steps(b, start, by, grid.rows)):
            for c, place in enumerate(_column_vectors(b, grid, y_, where, column)):
                k = r * grid.columns + c
                stored = emit_load(b, grid.vector, *place)
                acc = b.insert_value(acc, b.fadd(b.extract_value(acc, k), stored), k)
        return acc

    return grid(grid, y, types.intp, types.intp, y_offsets), codegen


@intrinsic
def tile_sum(typingctx, grid, other):
    """The sum of two tiles of one shape."""

    def codegen(context, b, sig, args):
        acc = args[0]
        for _, _, k in _grid(grid):
            acc = b.insert_value(acc, b.fadd(b.extract_value(acc, k), b.extract_value(args[1], k)), k)
        return acc

    return grid(grid, other), codegen


@intrinsic
def tile_add_columns(typingctx, grid, p, index):
    """tile[r, c] += vector `index + c` of the memory at `p`."""

    def codegen(context, b, sig, args):
        acc, base, start = args
        for c, where in enumerate(emit_steps(b, start, ir.Constant(start.type, 1), grid.columns)):
            value = emit_load(b, grid.vector, base, where)
            for r in range(grid.rows):
                k = r * grid.columns + c
                acc = b.insert_value(acc, b.fadd(b.extract_value(acc, k), value), k)
        return acc

    return grid(grid, p, types.intp), codegen


@intrinsic
def tile_divide(typingctx, grid, divisor):
    """Every lane of the tile divided by a number."""

    def codegen(context, b, sig, args):
        acc = args[0]
        by = emit_splat(b, llvm_vector(grid.vector), context.cast(b, args[1], sig.args[1], grid.dtype))
        for _, _, k in _grid(grid):
            acc = b.insert_value(acc, b.fdiv(b.extract_value(acc, k), by), k)
        return acc

    return grid(grid, divisor), codegen


@intrinsic
def tile_relu(typingctx, grid):
    """max(tile, 0); NaN stays."""

    def codegen(context, b, sig, args):
        acc = args[0]
        zero = ir.Constant(llvm_vector(grid.vector), None)
        for _, _, k in _grid(grid):
            value = b.extract_value(acc, k)
            acc = b.insert_value(acc, b.select(b.fcmp_ordered("<", value, zero), zero, value), k)
        return acc

    return grid(grid), codegen


@intrinsic
def tile_gate(typingctx, grid, y, y_index, y_step, y_offsets):
    """tile[r, c] where the stored vector y[y_index + r * y_step + y_offsets[c]] is positive, else 0."""

    def codegen(context, b, sig, args):
        acc, y_, start, by, column = args
        zero = ir.Constant(llvm_vector(grid.vector), None)
        for r, where in enumerate(emit_steps(b, start, by, grid.rows)):
            for c, place in enumerate(_column_vectors(b, grid, y_, where, column)):
                k = r * grid.columns + c
                positive = b.fcmp_ordered(">", emit_load(b, grid.vector, *place), zero)
                acc = b.insert_value(acc, b.select(positive, b.extract_value(acc, k), zero), k)
        return acc

    return grid(grid, y, types.intp, types.intp, y_offsets), codegen


@intrinsic
def add_totals(typingctx, grid, p, index, step, count, fresh):
    """p[index + r * step + c] += the sum of the lanes of tile[r, c], for c < count; = it where `fresh`."""

    def codegen(context, b, sig, args):
        acc, base, start, by, limit, anew = args
        totals = _totals(b, [b.extract_value(acc, k) for _, _, k in _grid(grid)])
        lane_count, short = grid.vector.lanes, ir.IntType(32)
        limit = b.trunc(limit, short)
        mask_type = ir.VectorType(ir.IntType(1), lane_count)
        for r, where in enumerate(emit_steps(b, start, by, grid.rows)):
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
    """The sums of the lanes of the vectors, in the lanes of as few vectors, in order.

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
def store_rows(typingctx, grid, p, index, step, first, length):
    """Rows of `length` scalars from vectors: p[index + r * step + l] = tile[r, c][lane].

    Column c holds the scalars l of vector `first + c`; what lies past `length` is not written.
    """
    if not isinstance(grid, Tile):
        return None

    def codegen(context, b, sig, args):
        for address, value, mask in _row_parts(b, grid, args):
            emit_masked(b, "store", grid.vector, address, mask, value)
        return context.get_dummy_value()

    return types.void(grid, p, types.intp, types.intp, types.intp, types.intp), codegen


@intrinsic
def add_to_rows(typingctx, grid, p, index, step, first, length):
    """As `store_rows`, but adding to what is there."""
    if not isinstance(grid, Tile):
        return None

    def codegen(context, b, sig, args):
        for address, value, mask in _row_parts(b, grid, args):
            old = emit_masked(b, "load", grid.vector, address, mask, every_lane(value.type, 0.0))
            emit_masked(b, "store", grid.vector, address, mask, b.fadd(old, value))
        return context.get_dummy_value()

    return types.void(grid, p, types.intp, types.intp, types.intp, types.intp), codegen


def _row_parts(b, grid, args):
    """(address, vector, mask of the lanes that lie inside the row) of every vector of a tile."""
    acc, base, start, by, vector_number, count = args
    for r, where in enumerate(emit_steps(b, start, by, grid.rows)):
        for c in range(grid.columns):
            number = b.add(vector_number, ir.Constant(count.type, c))
            begin = b.mul(number, ir.Constant(count.type, grid.vector.lanes))
            mask = emit_below(b, grid.vector.lanes, b.sub(count, begin))
            yield b.gep(base, [b.add(where, begin)]), b.extract_value(acc, r * grid.columns + c), mask
