"""Vectors of 64 bytes as Numba values.

A `Vector` holds 16 float32 or 8 float64 lanes, whatever the machine: LLVM spreads it over one AVX-512
register, two AVX2 or four SSE2/NEON ones. Kernels therefore count memory in whole vectors and are
written once for both dtypes:

    v = load(x, i)            # vector i of the memory at pointer x
    v = fma(splat(w, k), v, u)    # scalar k of the memory at pointer w, in every lane
    store(y, i, v)

A `Tile` is a grid of rows x columns of vectors that LLVM keeps in registers: the accumulators of a
matrix product. `HOST` says how many the machine has; tiles are sized from it here and nowhere else.
"""

import os
import platform
from dataclasses import dataclass

import numba
from llvmlite import binding, ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

VECTOR_BYTES = 64


@dataclass(frozen=True)
class Host:
    """The vector unit that kernels are sized for."""

    name: str
    vector_bytes: int
    registers: int

    @property
    def registers_per_vector(self):
        """How many machine registers one 64-byte vector takes."""
        return VECTOR_BYTES // self.vector_bytes


# The LLVM CPU names are what numba is told to compile for when FASTCONV_SIMD overrides the machine.
_UNITS = {
    "avx512": (Host("avx512", 64, 32), "x86-64-v4"),
    "avx2": (Host("avx2", 32, 16), "x86-64-v3"),
    "sse2": (Host("sse2", 16, 16), "x86-64"),
    "neon": (Host("neon", 16, 32), "generic"),
}


def _detect():
    """The widest unit whose features the CPU reports."""
    features = binding.get_host_cpu_features()
    if platform.machine().lower() in ("aarch64", "arm64"):
        return "neon"
    if all(features.get(f) for f in ("avx512f", "avx512vl", "avx512dq")):
        return "avx512"
    return "avx2" if features.get("avx2") and features.get("fma") else "sse2"


def _choose():
    """The unit named by FASTCONV_SIMD, or the machine's own.

    An override also sets Numba's target CPU, so that the code really is what the narrower machine runs
    and Numba's cache keeps it apart.
    """
    name = os.environ.get("FASTCONV_SIMD", "").strip().lower()
    if not name:
        return _UNITS[_detect()][0]
    if name not in _UNITS:
        raise ValueError(f"`FASTCONV_SIMD` must be one of {', '.join(_UNITS)}, got {name!r}")
    host, cpu = _UNITS[name]
    numba.config.CPU_NAME, numba.config.CPU_FEATURES = cpu, ""
    return host


HOST = _choose()


def tile_columns(rows):
    """Columns of a register tile of `rows` rows.

    Registers: rows x columns accumulators, and `columns` vectors and `rows` splats to multiply: LLVM
    loads these ahead of the first product, so a tile that counts on one splat at a time spills.
    """
    vectors = HOST.registers // HOST.registers_per_vector
    return max(1, min(12, (vectors - rows) // (rows + 1)))


class Vector(types.Type):
    """64 bytes of lanes of one float dtype."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype} x {self.lanes})")


class Mask(types.Type):
    """One truth value a lane."""

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__(name=f"Mask({lanes})")


class Tile(types.Type):
    """A grid of vectors held in registers."""

    def __init__(self, dtype, rows, columns):
        self.vector = Vector(dtype)
        self.dtype, self.rows, self.columns = dtype, rows, columns
        super().__init__(name=f"Tile({dtype}, {rows} x {columns})")


class Shape(types.Dummy):
    """The rows and columns of a tile."""

    def __init__(self, grid):
        self.grid, self.rows, self.columns = grid, grid.rows, grid.columns
        super().__init__(name=f"Shape({grid})")


register_model(Shape)(models.OpaqueModel)


def _scalar(dtype):
    return ir.FloatType() if dtype == types.float32 else ir.DoubleType()


def _ir(vector):
    return ir.VectorType(_scalar(vector.dtype), vector.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, _ir(fe_type))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.VectorType(ir.IntType(1), fe_type.lanes))


@register_model(Tile)
class _TileModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.ArrayType(_ir(fe_type.vector), fe_type.rows * fe_type.columns))


# Code generation helpers. `b` is the llvmlite builder throughout.


def _call(b, name, result, *args):
    """Call the LLVM intrinsic `name` overloaded on its result type."""
    fnty = ir.FunctionType(result, [a.type for a in args])
    return b.call(cgutils.get_or_insert_function(b.module, fnty, f"llvm.{name}.{_suffix(result)}"), args)


def emit_fma(b, x, y, z):
    # fmuladd: one rounding where the machine has FMA, two where it would be a library call.
    return _call(b, "fmuladd", x.type, x, y, z)


def _splat(b, vec_type, scalar):
    undefined = ir.Constant(vec_type, ir.Undefined)
    first = b.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vec_type.count), None)
    return b.shuffle_vector(first, undefined, zeros)


def _vector_address(b, vector, pointer, index):
    vectors = b.bitcast(pointer, _ir(vector).as_pointer())
    return b.gep(vectors, [index])


def _align(vector):
    return vector.dtype.bitwidth // 8


def _load(b, vector, pointer, index):
    return b.load(_vector_address(b, vector, pointer, index), align=_align(vector))


def _store(b, vector, pointer, index, value):
    b.store(value, _vector_address(b, vector, pointer, index), align=_align(vector))


def _is_pointer(ty):
    return isinstance(ty, types.CPointer) and ty.dtype in (types.float32, types.float64)


# Pointers


@intrinsic
def pointer(typingctx, array):
    """The address of the first element of a C-contiguous array."""
    if not isinstance(array, types.Array):
        return None

    def codegen(context, b, sig, args):
        return context.make_array(sig.args[0])(context, b, args[0]).data

    return types.CPointer(array.dtype)(array), codegen


@intrinsic
def keep(typingctx, array):
    """Nothing, but a mention of the array: Numba frees an array after its last one, whatever points to it.

    Who makes an array and takes its `pointer` calls this after the last use of the pointer.
    """
    return types.void(array), lambda context, b, sig, args: context.get_dummy_value()


@intrinsic
def advance(typingctx, p, count):
    """The pointer `count` elements after `p`."""

    def codegen(context, b, sig, args):
        return b.gep(args[0], [args[1]])

    return p(p, types.intp), codegen


@intrinsic
def lanes(typingctx, p):
    """How many lanes a vector of the pointer's dtype has (a compile-time constant)."""
    if not _is_pointer(p):
        return None
    count = Vector(p.dtype).lanes

    def codegen(context, b, sig, args):
        return context.get_constant(types.intp, count)

    return types.intp(p), codegen


# Vectors


@intrinsic
def load(typingctx, p, index):
    """Vector `index` of the memory at `p`."""
    if not _is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        return _load(b, vector, args[0], args[1])

    return vector(p, types.intp), codegen


@intrinsic
def load_part(typingctx, p, index, count):
    """The vector that starts at scalar `index` of the memory at `p`; zeros where `count` scalars end."""
    if not _is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        base, start, limit = args
        first = b.bitcast(b.gep(base, [start]), _ir(vector).as_pointer())
        return _masked_load(b, first, _below(b, vector.lanes, limit), ir.Constant(_ir(vector), None))

    return vector(p, types.intp, types.intp), codegen


@intrinsic
def store(typingctx, p, index, value):
    """Write `value` to vector `index` of the memory at `p`."""
    if not isinstance(value, Vector):
        return None

    def codegen(context, b, sig, args):
        _store(b, value, args[0], args[1], args[2])
        return context.get_dummy_value()

    return types.void(p, types.intp, value), codegen


@intrinsic
def splat(typingctx, p, index):
    """Scalar `index` of the memory at `p` in every lane."""
    if not _is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        return _splat(b, _ir(vector), b.load(b.gep(args[0], [args[1]])))

    return vector(p, types.intp), codegen


@intrinsic
def fill(typingctx, p, value):
    """The number `value` in every lane of a vector of the pointer's dtype."""
    if not _is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        return _splat(b, _ir(vector), context.cast(b, args[1], sig.args[1], p.dtype))

    return vector(p, value), codegen


@intrinsic
def lanes_at(typingctx, like, addresses, offset, kind, valid):
    """The vector of the dtype of `like` whose lane n is the scalar of dtype `kind` at addresses[n] + offset.

    Zeros in the lanes from `valid` on, whose addresses must be good to read, too.
    """
    if not (_is_pointer(like) and isinstance(kind, types.NumberClass)):
        return None
    vector, source = Vector(like.dtype), kind.dtype

    def codegen(context, b, sig, args):
        _, table, start, _, valid_ = args
        scalar = context.get_value_type(source)
        value = ir.Constant(ir.VectorType(scalar, vector.lanes), ir.Undefined)
        for n in range(vector.lanes):
            address = b.add(b.load(b.gep(table, [ir.Constant(start.type, n)])), start)
            item = b.load(b.inttoptr(address, scalar.as_pointer()), align=1)
            value = b.insert_element(value, item, ir.Constant(ir.IntType(32), n))
        zero = ir.Constant(_ir(vector), None)
        return b.select(_below(b, vector.lanes, valid_), _converted(b, value, source, vector), zero)

    return vector(like, addresses, types.intp, kind, types.intp), codegen


@intrinsic
def first_lane(typingctx, p, value):
    """The vector of the pointer's dtype with `value` in its first lane and zeros in the others."""
    if not _is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        value_ = context.cast(b, args[1], sig.args[1], p.dtype)
        return b.insert_element(ir.Constant(_ir(vector), None), value_, ir.Constant(ir.IntType(32), 0))

    return vector(p, value), codegen


@intrinsic
def fill_like(typingctx, vector, value):
    """The number `value` in every lane of a vector of the type of `vector`."""
    if not isinstance(vector, Vector):
        return None

    def codegen(context, b, sig, args):
        return _splat(b, _ir(vector), context.cast(b, args[1], sig.args[1], vector.dtype))

    return vector(vector, value), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c."""
    if not isinstance(a, Vector):
        return None
    return a(a, a, a), lambda context, builder, sig, args: emit_fma(builder, *args)


@intrinsic
def select(typingctx, mask, a, b):
    """`a` where `mask` holds, else `b`."""
    if not isinstance(mask, Mask):
        return None
    return a(mask, a, a), lambda context, builder, sig, args: builder.select(*args)


@intrinsic
def total(typingctx, v):
    """The sum of the lanes, in pairs: ((0 + h) + (1 + h + 1)) ... with h half the lanes."""
    if not isinstance(v, Vector):
        return None

    def codegen(context, b, sig, args):
        return _total(b, args[0])

    return v.dtype(v), codegen


def _total(b, value):
    """Halve the vector until one lane is left."""
    count = value.type.count
    while count > 1:
        count //= 2
        low, high = (
            b.shuffle_vector(value, value, ir.Constant(ir.VectorType(ir.IntType(32), count), list(idx)))
            for idx in (range(count), range(count, 2 * count))
        )
        value = b.fadd(low, high)
    return b.extract_element(value, ir.Constant(ir.IntType(32), 0))


def _binary(operation):
    @intrinsic
    def function(typingctx, a, b):
        if not (isinstance(a, Vector) and a == b):
            return None
        return a(a, a), lambda context, builder, sig, args: getattr(builder, operation)(*args)

    return function


def _comparison(symbol):
    @intrinsic
    def function(typingctx, a, b):
        if not (isinstance(a, Vector) and a == b):
            return None
        return Mask(a.lanes)(a, a), lambda context, builder, sig, args: builder.fcmp_ordered(symbol, *args)

    return function


add, subtract, multiply, divide = _binary("fadd"), _binary("fsub"), _binary("fmul"), _binary("fdiv")
greater, less, equal = _comparison(">"), _comparison("<"), _comparison("==")


# Tiles. `rows` and `columns` arguments are literal integers; a tile carries its size in its type.


def _grid(tile):
    """(row, column, index) of each vector of a tile."""
    return ((r, c, r * tile.columns + c) for r in range(tile.rows) for c in range(tile.columns))


def _steps(b, start, step, count):
    """start, start + step, ... as IR values."""
    offsets = [start]
    for _ in range(count - 1):
        offsets.append(b.add(offsets[-1], step))
    return offsets


def _row_places(b, start, by, count, in_steps):
    """start + 0, 1, ... steps of `by`, or start + each entry of the tuple `by`."""
    if in_steps:
        return _steps(b, start, by, count)
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
def offsets(typingctx, grid, table, index):
    """The tuple table[index], table[index + 1], ... with one entry a column of the tile."""
    return _entries(grid.columns, grid, table)


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
        for r, where in enumerate(_steps(b, start, by, grid.rows)):
            value = _splat(b, _ir(grid.vector), b.load(b.gep(base, [where])))
            for c in range(grid.columns):
                k = r * grid.columns + c
                acc = b.insert_value(acc, b.fadd(b.extract_value(acc, k), value), k)
        return acc

    return grid(grid, p, types.intp, types.intp), codegen


def _keep_rolled(b):
    """Forbid LLVM to unroll the loop around: two rounds of a full tile do not fit the registers.

    LLVM never makes a remainder loop around a convergent call, which this empty one is.
    """
    nothing = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "", side_effect=True)
    b.call(nothing, [], attrs=("convergent",))


@intrinsic
def multiply_add(typingctx, grid, w, w_index, w_rows, x, x_index, x_offsets):
    """tile[r, c] += w[w_index + w_rows[r]] (a scalar) * x[x_index + x_offsets[c]] (a vector).

    `w_rows` is a tuple from `row_offsets`, or the step from row to row. LLVM makes a chain of additions of a
    step, which is the smaller evil with few rows, and slower than the products with many.
    """
    in_steps = isinstance(w_rows, types.Integer)

    def codegen(context, b, sig, args):
        acc, w_, start, by, x_, at, column = args
        _keep_rolled(b)
        loaded = [
            _load(b, grid.vector, x_, b.add(at, b.extract_value(column, c))) for c in range(grid.columns)
        ]
        for r, where in enumerate(_row_places(b, start, by, grid.rows, in_steps)):
            scalar = _splat(b, _ir(grid.vector), b.load(b.gep(w_, [where])))
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
        _keep_rolled(b)
        loaded = [
            _load(b, grid.vector, x_, b.add(at, b.extract_value(column, c))) for c in range(grid.columns)
        ]
        for r, where in enumerate(_steps(b, start, by, grid.rows)):
            row = _load(b, grid.vector, y_, where)
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
        for r, where in enumerate(_steps(b, start, by, grid.rows)):
            acc = b.insert_value(acc, b.fadd(b.extract_value(acc, r), _load(b, grid.vector, y_, where)), r)
        return acc

    return grid(grid, y, types.intp, types.intp), codegen


@intrinsic
def tile_store(typingctx, grid, y, y_index, y_step, y_offsets):
    """y[y_index + r * y_step + y_offsets[c]] = tile[r, c]; `y_step` may be a tuple of the rows' offsets."""
    in_steps = isinstance(y_step, types.Integer)

    def codegen(context, b, sig, args):
        acc, y_, start, by, column = args
        for r, where in enumerate(_row_places(b, start, by, grid.rows, in_steps)):
            for c in range(grid.columns):
                at = b.add(where, b.extract_value(column, c))
                _store(b, grid.vector, y_, at, b.extract_value(acc, r * grid.columns + c))
        return context.get_dummy_value()

    return types.void(grid, y, types.intp, types.intp if in_steps else y_step, y_offsets), codegen


@intrinsic
def tile_add_columns(typingctx, grid, p, index):
    """tile[r, c] += vector `index + c` of the memory at `p`."""

    def codegen(context, b, sig, args):
        acc, base, start = args
        for c, where in enumerate(_steps(b, start, ir.Constant(start.type, 1), grid.columns)):
            value = _load(b, grid.vector, base, where)
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
        by = _splat(b, _ir(grid.vector), context.cast(b, args[1], sig.args[1], grid.dtype))
        for _, _, k in _grid(grid):
            acc = b.insert_value(acc, b.fdiv(b.extract_value(acc, k), by), k)
        return acc

    return grid(grid, divisor), codegen


@intrinsic
def tile_relu(typingctx, grid):
    """max(tile, 0); NaN stays."""

    def codegen(context, b, sig, args):
        acc = args[0]
        zero = ir.Constant(_ir(grid.vector), None)
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
        zero = ir.Constant(_ir(grid.vector), None)
        for r, where in enumerate(_steps(b, start, by, grid.rows)):
            for c in range(grid.columns):
                k = r * grid.columns + c
                at = b.add(where, b.extract_value(column, c))
                positive = b.fcmp_ordered(">", _load(b, grid.vector, y_, at), zero)
                acc = b.insert_value(acc, b.select(positive, b.extract_value(acc, k), zero), k)
        return acc

    return grid(grid, y, types.intp, types.intp, y_offsets), codegen


@intrinsic
def add_totals(typingctx, grid, p, index, step, count):
    """p[index + r * step + c] += the sum of the lanes of tile[r, c], for c < count."""

    def codegen(context, b, sig, args):
        acc, base, start, by, limit = args
        totals = _totals(b, [b.extract_value(acc, k) for _, _, k in _grid(grid)])
        for r, where in enumerate(_steps(b, start, by, grid.rows)):
            for c in range(grid.columns):
                with b.if_then(b.icmp_signed("<", ir.Constant(limit.type, c), limit)):
                    at = b.gep(base, [b.add(where, ir.Constant(where.type, c))])
                    b.store(b.fadd(b.load(at), totals[r * grid.columns + c]), at)
        return context.get_dummy_value()

    return types.void(grid, p, types.intp, types.intp, types.intp), codegen


def _totals(b, vectors):
    """The sum of the lanes of each vector, as scalars.

    2 shuffles and an addition merge two vectors into one; after each round, vector k holds twice as many
    sums, each in half as many neighbouring lanes. Of few vectors, each is faster summed on its own.
    """
    lane_count, totals = vectors[0].type.count, []
    if len(vectors) < 12:
        return [_total(b, vector) for vector in vectors]
    indices = ir.VectorType(ir.IntType(32), lane_count)
    for first in range(0, len(vectors), lane_count):
        some = vectors[first : first + lane_count]
        places = range(len(some))
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
        totals += [b.extract_element(some[0], ir.Constant(ir.IntType(32), place)) for place in places]
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
            _masked(b, "store", grid.vector, address, mask, value)
        return context.get_dummy_value()

    return types.void(grid, p, types.intp, types.intp, types.intp, types.intp), codegen


@intrinsic
def add_to_rows(typingctx, grid, p, index, step, first, length):
    """As `store_rows`, but adding to what is there."""
    if not isinstance(grid, Tile):
        return None

    def codegen(context, b, sig, args):
        for address, value, mask in _row_parts(b, grid, args):
            old = _masked(b, "load", grid.vector, address, mask, _constant(value.type, 0.0))
            _masked(b, "store", grid.vector, address, mask, b.fadd(old, value))
        return context.get_dummy_value()

    return types.void(grid, p, types.intp, types.intp, types.intp, types.intp), codegen


@intrinsic
def store_square(typingctx, grid, p, index, step, valid, count):
    """p[index + r * step + l] = tile[r, 0][lane l] for the rows r < valid and the lanes l < count."""

    def codegen(context, b, sig, args):
        acc, base, start, by, valid_, limit = args
        places = [b.gep(base, [where]) for where in _steps(b, start, by, grid.rows)]
        _store_square(b, grid, acc, places, valid_, limit)
        return context.get_dummy_value()

    return types.void(grid, p, types.intp, types.intp, types.intp, types.intp), codegen


@intrinsic
def store_square_at(typingctx, grid, addresses, index, valid, count):
    """Element `index + l` at addresses[r] = tile[r, 0][lane l] for the rows r < valid and lanes l < count."""

    def codegen(context, b, sig, args):
        acc, table, start, valid_, limit = args
        kind = _scalar(grid.dtype).as_pointer()
        places = [b.gep(_pointer_from(b, table, r, kind), [start]) for r in range(grid.rows)]
        _store_square(b, grid, acc, places, valid_, limit)
        return context.get_dummy_value()

    return types.void(grid, addresses, types.intp, types.intp, types.intp), codegen


def _store_square(b, grid, acc, places, valid, count):
    """Row r of a square goes to places[r], for r < valid; `count` lanes of it."""
    inside, zero = _below(b, grid.vector.lanes, count), ir.Constant(count.type, 0)
    with b.if_else(_whole(b, grid, valid, count)) as (then, otherwise):
        with then:
            for r, place in enumerate(places):
                _store(b, grid.vector, place, zero, b.extract_value(acc, r))
        with otherwise:
            for r, place in enumerate(places):
                with b.if_then(b.icmp_signed("<", ir.Constant(valid.type, r), valid)):
                    _masked(b, "store", grid.vector, place, inside, b.extract_value(acc, r))


def _whole(b, square, valid, count):
    """Whether all rows and lanes of a square are there."""
    return b.and_(
        b.icmp_signed(">=", count, ir.Constant(count.type, square.rows)),
        b.icmp_signed(">=", valid, ir.Constant(valid.type, square.rows)),
    )


def _row_parts(b, grid, args):
    """(address, vector, mask of the lanes that lie inside the row) of every vector of a tile."""
    acc, base, start, by, vector_number, count = args
    for r, where in enumerate(_steps(b, start, by, grid.rows)):
        for c in range(grid.columns):
            number = b.add(vector_number, ir.Constant(count.type, c))
            begin = b.mul(number, ir.Constant(count.type, grid.vector.lanes))
            mask = _below(b, grid.vector.lanes, b.sub(count, begin))
            yield b.gep(base, [b.add(where, begin)]), b.extract_value(acc, r * grid.columns + c), mask


def _below(b, lane_count, limit):
    """The mask of the lanes whose number is less than `limit`."""
    wide = ir.VectorType(limit.type, lane_count)
    return b.icmp_signed("<", ir.Constant(wide, list(range(lane_count))), _splat(b, wide, limit))


def _masked(b, what, vector, address, mask, value):
    """Load the lanes of `mask` (the others are `value`'s), or store them."""
    vec_type = _ir(vector)
    p = b.bitcast(address, vec_type.as_pointer())
    if what == "load":
        return _masked_load(b, p, mask, value, _align(vector))
    align = ir.Constant(ir.IntType(32), _align(vector))
    fnty = ir.FunctionType(ir.VoidType(), [vec_type, p.type, align.type, mask.type])
    name = f"llvm.masked.store.{_suffix(vec_type)}.p0"
    return b.call(cgutils.get_or_insert_function(b.module, fnty, name), [value, p, align, mask])


def _masked_load(b, p, mask, value, align=1):
    """The lanes of `mask` from the vector at `p`; the others are `value`'s."""
    number = ir.Constant(ir.IntType(32), align)
    fnty = ir.FunctionType(value.type, [p.type, number.type, mask.type, value.type])
    name = f"llvm.masked.load.{_suffix(value.type)}.p0"
    return b.call(cgutils.get_or_insert_function(b.module, fnty, name), [p, number, mask, value])


def _suffix(vec_type):
    """How LLVM names a vector type in the names of its intrinsics."""
    element = vec_type.element
    if isinstance(element, ir.IntType):
        return f"v{vec_type.count}i{element.width}"
    return f"v{vec_type.count}f{32 if isinstance(element, ir.FloatType) else 64}"


@intrinsic
def square(typingctx, p, index, step):
    """The tile of one column whose row r is the vector at scalar p[index + r * step], r < lanes."""
    if not _is_pointer(p):
        return None
    grid = Tile(p.dtype, Vector(p.dtype).lanes, 1)

    def codegen(context, b, sig, args):
        base, start, by = args
        acc = ir.Constant(context.get_value_type(grid), ir.Undefined)
        zero = ir.Constant(start.type, 0)
        for r, where in enumerate(_steps(b, start, by, grid.rows)):
            acc = b.insert_value(acc, _load(b, grid.vector, b.gep(base, [where]), zero), r)
        return acc

    return grid(p, types.intp, types.intp), codegen


@intrinsic
def square_at(typingctx, like, addresses, index, kind, valid, count):
    """Row r of the tile holds elements `index`, `index` + 1, ... of dtype `kind` at addresses[r].

    They become numbers of the dtype of `like`. Only `count` are there; rows from `valid` on are zeros.
    """
    if not (_is_pointer(like) and isinstance(kind, types.NumberClass)):
        return None
    grid, source = Tile(like.dtype, Vector(like.dtype).lanes, 1), kind.dtype

    def codegen(context, b, sig, args):
        _, table, start, _, valid_, limit = args
        kind_pointer = context.get_value_type(source).as_pointer()

        def place(r):
            return b.gep(_pointer_from(b, table, r, kind_pointer), [start])

        return _square(context, b, grid, source, place, valid_, limit)

    return grid(like, addresses, types.intp, kind, types.intp, types.intp), codegen


@intrinsic
def square_from(typingctx, like, addresses, index, valid, count):
    """As `square_at`, of elements of the dtype of `like`."""
    if not _is_pointer(like):
        return None
    grid = Tile(like.dtype, Vector(like.dtype).lanes, 1)

    def codegen(context, b, sig, args):
        like_, table, start, valid_, limit = args

        def place(r):
            return b.gep(_pointer_from(b, table, r, like_.type), [start])

        return _square(context, b, grid, like.dtype, place, valid_, limit)

    return grid(like, addresses, types.intp, types.intp, types.intp), codegen


def _pointer_from(b, table, r, pointer_type):
    """The address table[r] as a pointer."""
    return b.inttoptr(b.load(b.gep(table, [ir.Constant(ir.IntType(64), r)])), pointer_type)


@intrinsic
def square_part(typingctx, p, index, step, valid, count):
    """As `square`, with zeros in the rows from `valid` on; only `count` elements of a row are there."""
    if not _is_pointer(p):
        return None
    grid = Tile(p.dtype, Vector(p.dtype).lanes, 1)

    def codegen(context, b, sig, args):
        base, start, by, valid_, limit = args
        places = _steps(b, start, by, grid.rows)
        return _square(context, b, grid, p.dtype, lambda r: b.gep(base, [places[r]]), valid_, limit)

    return grid(p, types.intp, types.intp, types.intp, types.intp), codegen


def _square(context, b, grid, source, place, valid, count):
    """The tile whose row r is the vector of elements of dtype `source` at place(r), converted."""
    raw = ir.VectorType(context.get_value_type(source), grid.rows)
    nothing, inside = ir.Constant(raw, None), _below(b, grid.rows, count)
    empty = ir.Constant(inside.type, None)

    def rows(load_row):
        acc = ir.Constant(context.get_value_type(grid), ir.Undefined)
        for r in range(grid.rows):
            value = load_row(r, b.bitcast(place(r), raw.as_pointer()))
            acc = b.insert_value(acc, _converted(b, value, source, grid.vector), r)
        return acc

    def masked(r, first):
        here = b.icmp_signed("<", ir.Constant(valid.type, r), valid)
        return _masked_load(b, first, b.select(here, inside, empty), nothing)

    with b.if_else(_whole(b, grid, valid, count)) as (then, otherwise):
        with then:
            plain, plain_end = rows(lambda r, first: b.load(first, align=1)), b.block
        with otherwise:
            partial, partial_end = rows(masked), b.block
    result = b.phi(plain.type)
    result.add_incoming(plain, plain_end)
    result.add_incoming(partial, partial_end)
    return result


def _converted(b, value, source, vector):
    """A vector of elements of dtype `source` as one of the float dtype of `vector`."""
    target = _ir(vector)
    if isinstance(source, types.Integer):
        return (b.sitofp if source.signed else b.uitofp)(value, target)
    if source == vector.dtype:
        return value
    return (b.fptrunc if source == types.float64 else b.fpext)(value, target)


@intrinsic
def transpose(typingctx, grid):
    """Swap rows and lanes of a square tile, by exchanging ever larger blocks."""
    if not (isinstance(grid, Tile) and grid.rows == grid.vector.lanes and grid.columns == 1):
        return None

    def codegen(context, b, sig, args):
        count = grid.rows
        vectors = [b.extract_value(args[0], r) for r in range(count)]
        indices = ir.VectorType(ir.IntType(32), count)
        size = 1
        while size < count:
            low = [k if not k & size else count + k - size for k in range(count)]
            high = [k + size if not k & size else count + k for k in range(count)]
            for r in range(count):
                if not r & size:
                    pair = vectors[r], vectors[r + size]
                    vectors[r] = b.shuffle_vector(*pair, ir.Constant(indices, low))
                    vectors[r + size] = b.shuffle_vector(*pair, ir.Constant(indices, high))
            size *= 2
        acc = args[0]
        for r in range(count):
            acc = b.insert_value(acc, vectors[r], r)
        return acc

    return grid(grid), codegen


@intrinsic
def store_column(typingctx, grid, y, index, count):
    """Row r of a tile of one column goes to vector index + r of the memory at `y`, for r < count."""

    def codegen(context, b, sig, args):
        acc, y_, start, limit = args
        for r in range(grid.rows):
            number = ir.Constant(limit.type, r)
            with b.if_then(b.icmp_signed("<", number, limit)):
                _store(b, grid.vector, y_, b.add(start, number), b.extract_value(acc, r))
        return context.get_dummy_value()

    return types.void(grid, y, types.intp, types.intp), codegen


@intrinsic
def store_scattered(typingctx, grid, y, table, index, count):
    """Row r of a tile of one column goes to vector table[index + r] of the memory at `y`, for r < count."""

    def codegen(context, b, sig, args):
        acc, y_, table_, start, limit = args
        for r in range(grid.rows):
            number = ir.Constant(limit.type, r)
            with b.if_then(b.icmp_signed("<", number, limit)):
                at = b.load(b.gep(table_, [b.add(start, number)]))
                _store(b, grid.vector, y_, at, b.extract_value(acc, r))
        return context.get_dummy_value()

    return types.void(grid, y, table, types.intp, types.intp), codegen


@intrinsic
def load_gathered(typingctx, x, table, index, count):
    """The tile of one column whose row r is vector table[index + r] of the memory at `x`; 0 past `count`."""
    if not _is_pointer(x):
        return None
    grid = Tile(x.dtype, Vector(x.dtype).lanes, 1)

    def codegen(context, b, sig, args):
        x_, table_, start, limit = args
        acc = ir.Constant(context.get_value_type(grid), ir.Undefined)
        last = b.sub(limit, ir.Constant(limit.type, 1))
        zero = ir.Constant(_ir(grid.vector), None)
        for r in range(grid.rows):
            number = ir.Constant(limit.type, r)
            inside = b.icmp_signed("<", number, limit)
            at = b.load(b.gep(table_, [b.add(start, b.select(inside, number, last))]))
            acc = b.insert_value(acc, b.select(inside, _load(b, grid.vector, x_, at), zero), r)
        return acc

    return grid(x, table, types.intp, types.intp), codegen


# Functions of a vector


@intrinsic
def lane_mask(typingctx, p, count):
    """The mask of the lanes below `count`."""
    lane_count = Vector(p.dtype).lanes
    return Mask(lane_count)(p, types.intp), lambda context, b, sig, args: _below(b, lane_count, args[1])


@intrinsic
def is_nan(typingctx, v):
    """Lanes that hold NaN."""
    return Mask(v.lanes)(v), lambda context, b, sig, args: b.fcmp_unordered("uno", args[0], args[0])


@intrinsic
def either(typingctx, a, b):
    """Lanes where one of two masks holds."""
    return a(a, a), lambda context, builder, sig, args: builder.or_(*args)


@intrinsic
def both(typingctx, a, b):
    """Lanes where both of two masks hold."""
    return a(a, a), lambda context, builder, sig, args: builder.and_(*args)


@intrinsic
def square_root(typingctx, v):
    """The square root of every lane."""
    return v(v), lambda context, b, sig, args: _call(b, "sqrt", args[0].type, args[0])


class _Float:
    """The constants of a float format that `exp` and `log` are built from."""

    def __init__(self, dtype):
        single = dtype == types.float32
        self.mantissa = 23 if single else 52
        self.bias = 127 if single else 1023
        self.integer = ir.IntType(32 if single else 64)
        self.exp_terms, self.log_terms = (7, 6) if single else (13, 12)
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


def _constant(vec_type, value):
    return ir.Constant(vec_type, [value] * vec_type.count)


def _exp(b, dtype, x):
    """2**n * exp(r) with r = x - n ln 2, |r| <= ln 2 / 2, by its Taylor series (relative error < 1 ulp)."""
    fmt, vt = _Float(dtype), x.type
    ints = ir.VectorType(fmt.integer, vt.count)
    tiny = b.fcmp_ordered("<", x, _constant(vt, fmt.lowest))
    huge = b.fcmp_ordered(">", x, _constant(vt, fmt.highest))
    x = b.select(tiny, _constant(vt, fmt.lowest), b.select(huge, _constant(vt, fmt.highest), x))
    n = _call(b, "rint", vt, b.fmul(x, _constant(vt, 1.4426950408889634)))
    # The largest n would not fit the exponent: halve it and multiply twice.
    r = emit_fma(b, n, _constant(vt, -fmt.ln2[0]), x)
    r = emit_fma(b, n, _constant(vt, -fmt.ln2[1]), r)
    series = _expm1_series(b, fmt, r)
    value = b.fadd(series, _constant(vt, 1.0))
    whole = b.fptosi(b.select(b.fcmp_unordered("uno", n, n), _constant(vt, 0.0), n), ints)
    half = b.ashr(whole, ir.Constant(ints, [1] * vt.count))
    for power in (half, b.sub(whole, half)):
        bits = b.shl(
            b.add(power, ir.Constant(ints, [fmt.bias] * vt.count)),
            ir.Constant(ints, [fmt.mantissa] * vt.count),
        )
        value = b.fmul(value, b.bitcast(bits, vt))
    value = b.select(tiny, _constant(vt, 0.0), value)
    return b.select(huge, _constant(vt, float("inf")), value)


def _expm1_series(b, fmt, r):
    """r + r**2 / 2! + r**3 / 3! + ..."""
    coefficient = [1.0]
    for k in range(1, fmt.exp_terms + 1):
        coefficient.append(coefficient[-1] / k)
    value = _constant(r.type, coefficient[-1])
    for k in range(fmt.exp_terms - 1, 0, -1):
        value = emit_fma(b, value, r, _constant(r.type, coefficient[k]))
    return b.fmul(value, r)


def _log(b, dtype, x):
    """n ln 2 + 2 atanh((m - 1) / (m + 1)) with x = 2**n * m, sqrt(1/2) <= m < sqrt(2); -inf for denormals."""
    fmt, vt = _Float(dtype), x.type
    ints = ir.VectorType(fmt.integer, vt.count)

    def whole(value):
        return ir.Constant(ints, [value] * vt.count)

    small = b.fcmp_ordered("<", x, _constant(vt, fmt.smallest))
    bits = b.bitcast(x, ints)
    # Adding the distance from sqrt(1/2) to 1 moves the exponent up for mantissas above sqrt(2).
    root_half = b.bitcast(_constant(vt, 0.7071067811865476), ints)
    shifted = b.sub(bits, root_half)
    n = b.ashr(shifted, whole(fmt.mantissa))
    m = b.bitcast(b.sub(bits, b.shl(n, whole(fmt.mantissa))), vt)
    n = b.sitofp(n, vt)
    one = _constant(vt, 1.0)
    f = b.fdiv(b.fsub(m, one), b.fadd(m, one))
    f2 = b.fmul(f, f)
    series = _constant(vt, 1.0 / (2 * fmt.log_terms + 1))
    for k in range(fmt.log_terms - 1, -1, -1):
        series = emit_fma(b, series, f2, _constant(vt, 1.0 / (2 * k + 1)))
    series = b.fmul(b.fmul(f, series), _constant(vt, 2.0))
    value = emit_fma(b, n, _constant(vt, fmt.ln2[0]), emit_fma(b, n, _constant(vt, fmt.ln2[1]), series))
    value = b.select(small, _constant(vt, float("-inf")), value)
    unbounded = b.fcmp_unordered("uno", x, x)
    unbounded = b.or_(unbounded, b.fcmp_ordered("==", x, _constant(vt, float("inf"))))
    return b.select(unbounded, x, value)


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
    """(e - 1) / (e + 1) with e = exp(2 |v|) and the sign of v; a small e - 1 by its own series."""

    def codegen(context, b, sig, args):
        x = args[0]
        vt, fmt = x.type, _Float(v.dtype)
        size = _call(b, "fabs", vt, x)
        twice = b.fadd(size, size)
        limit = _constant(vt, 80.0)
        twice = b.select(b.fcmp_ordered(">", twice, limit), limit, twice)
        far = b.fsub(_exp(b, v.dtype, twice), _constant(vt, 1.0))
        near = b.fcmp_ordered("<", twice, _constant(vt, 0.34))
        e = b.select(near, _expm1_series(b, fmt, twice), far)
        return _call(b, "copysign", vt, b.fdiv(e, b.fadd(e, _constant(vt, 2.0))), x)

    return v(v), codegen


@intrinsic
def random_lanes(typingctx, p, key, sample, element):
    """Uniform numbers in [0, 1), a hash of (key, sample + lane, element).

    Integer mixing by multiplication and shifts, as in the finalizer of MurmurHash3; the upper 24 bits
    make the number, exact in both dtypes.
    """
    vector = Vector(p.dtype)
    word = ir.IntType(32)
    words = ir.VectorType(word, vector.lanes)

    def codegen(context, b, sig, args):
        def every(value):
            return ir.Constant(words, [value] * vector.lanes)

        def mix(h):
            for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
                h = b.mul(b.xor(h, b.lshr(h, every(shift))), every(factor))
            return b.xor(h, b.lshr(h, every(16)))

        _, key_, sample_, element_ = args
        low, high = b.trunc(key_, word), b.trunc(b.lshr(key_, ir.Constant(key_.type, 32)), word)
        numbers = b.add(
            _splat(b, words, b.trunc(sample_, word)), ir.Constant(words, list(range(vector.lanes)))
        )
        h = mix(b.xor(b.mul(numbers, every(0x9E3779B1)), _splat(b, words, low)))
        h = mix(b.xor(b.add(h, _splat(b, words, high)), _splat(b, words, b.trunc(element_, word))))
        value = b.uitofp(b.lshr(h, every(8)), _ir(vector))
        return b.fmul(value, _constant(_ir(vector), 2.0**-24))

    return vector(p, types.int64, types.intp, types.intp), codegen


# Memory by address


@intrinsic
def pointer_at(typingctx, address, like):
    """The integer `address` as a pointer of the type of `like`."""
    return like(types.intp, like), lambda context, b, sig, args: b.inttoptr(
        args[0], context.get_value_type(like)
    )


@intrinsic
def scalar_at(typingctx, address, kind):
    """The scalar of dtype `kind` at an integer address, aligned or not."""
    if not isinstance(kind, types.NumberClass):
        return None
    dtype = kind.dtype

    def codegen(context, b, sig, args):
        at = b.inttoptr(args[0], context.get_value_type(dtype).as_pointer())
        return b.load(at, align=1)

    return dtype(types.intp, kind), codegen


@intrinsic
def convert(typingctx, value, like):
    """A number as a scalar of the dtype of the pointer `like`."""
    if not _is_pointer(like):
        return None
    return like.dtype(value, like), lambda context, b, sig, args: context.cast(
        b, args[0], sig.args[0], like.dtype
    )


@intrinsic
def item_size(typingctx, kind):
    """Bytes of a dtype, a compile-time constant."""
    size = kind.dtype.bitwidth // 8
    return types.intp(kind), lambda context, b, sig, args: context.get_constant(types.intp, size)
