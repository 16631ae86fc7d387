"""Vectors of 64 bytes as Numba values.

A `Vector` holds 16 float32 or 8 float64 lanes, whatever the machine: LLVM spreads it over one AVX-512
register, two AVX2 or four SSE2/NEON ones. Kernels therefore count memory in whole vectors and are
written once for both dtypes:

    v = load(x, i)            # vector i of the memory at pointer x
    v = fma(splat(w, k), v, u)    # scalar k of the memory at pointer w, in every lane
    store(y, i, v)

Functions called `emit_...` write
LLVM code for the intrinsics of this and of the next files; `b` is the llvmlite builder throughout.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from .host import VECTOR_BYTES


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


def llvm_scalar(dtype):
    return ir.FloatType() if dtype == types.float32 else ir.DoubleType()


def llvm_vector(vector):
    return ir.VectorType(llvm_scalar(vector.dtype), vector.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, llvm_vector(fe_type))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, dmm, fe_type):
        super().__init__(dmm, fe_type, ir.VectorType(ir.IntType(1), fe_type.lanes))


# Code generation


def emit_call(b, name, result, *args):
    """Call the LLVM intrinsic `name` overloaded on its result type."""
    fnty = ir.FunctionType(result, [a.type for a in args])
    return b.call(cgutils.get_or_insert_function(b.module, fnty, f"llvm.{name}.{_suffix(result)}"), args)


def emit_fma(b, x, y, z):
    # fmuladd: one rounding where the machine has FMA, two where it would be a library call.
    return emit_call(b, "fmuladd", x.type, x, y, z)


def emit_splat(b, vec_type, scalar):
    undefined = ir.Constant(vec_type, ir.Undefined)
    first = b.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vec_type.count), None)
    return b.shuffle_vector(first, undefined, zeros)


def _vector_address(b, vector, pointer, index):
    vectors = b.bitcast(pointer, llvm_vector(vector).as_pointer())
    return b.gep(vectors, [index])


def _align(vector):
    return vector.dtype.bitwidth // 8


def emit_load(b, vector, pointer, index):
    return b.load(_vector_address(b, vector, pointer, index), align=_align(vector))


def emit_store(b, vector, pointer, index, value):
    b.store(value, _vector_address(b, vector, pointer, index), align=_align(vector))


def is_pointer(ty):
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


def emit_opaque(b, value):
    """The value itself, of which LLVM then knows nothing."""
    return b.call(ir.InlineAsm(ir.FunctionType(value.type, [value.type]), "", "=r,0"), [value])


@intrinsic
def opaque(typingctx, index):
    """The index itself, as a number that LLVM knows nothing about.

    Of addresses that grow with an outer loop, LLVM makes a pointer each that it keeps on the stack and adds
    to in every round. What starts from an opaque index is added up where it is used.
    """
    return types.intp(types.intp), lambda context, b, sig, args: emit_opaque(b, args[0])


def emit_rolled(b):
    """Forbid LLVM to unroll the loop around.

    LLVM never makes a remainder loop around a convergent call, which this empty one is.
    """
    nothing = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "", side_effect=True)
    b.call(nothing, [], attrs=("convergent",))


@intrinsic
def rolled(typingctx):
    """Forbid LLVM to unroll the loop around: for short ones, whose rounds are all alike."""

    def codegen(context, b, sig, args):
        emit_rolled(b)
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def advance(typingctx, p, count):
    """The pointer `count` elements after `p`."""

    def codegen(context, b, sig, args):
        return b.gep(args[0], [args[1]])

    return p(p, types.intp), codegen


@intrinsic
def lanes(typingctx, p):
    """How many lanes a vector of the pointer's dtype has (a compile-time constant)."""
    if not is_pointer(p):
        return None
    count = Vector(p.dtype).lanes

    def codegen(context, b, sig, args):
        return context.get_constant(types.intp, count)

    return types.intp(p), codegen


# Vectors


@intrinsic
def load(typingctx, p, index):
    """Vector `index` of the memory at `p`."""
    if not is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        return emit_load(b, vector, args[0], args[1])

    return vector(p, types.intp), codegen


@intrinsic
def load_part(typingctx, p, index, count):
    """The vector that starts at scalar `index` of the memory at `p`; zeros where `count` scalars end."""
    if not is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        base, start, limit = args
        first = b.bitcast(b.gep(base, [start]), llvm_vector(vector).as_pointer())
        return emit_masked_load(
            b, first, emit_below(b, vector.lanes, limit), ir.Constant(llvm_vector(vector), None)
        )

    return vector(p, types.intp, types.intp), codegen


@intrinsic
def store(typingctx, p, index, value):
    """Write `value` to vector `index` of the memory at `p`."""
    if not isinstance(value, Vector):
        return None

    def codegen(context, b, sig, args):
        emit_store(b, value, args[0], args[1], args[2])
        return context.get_dummy_value()

    return types.void(p, types.intp, value), codegen


@intrinsic
def splat(typingctx, p, index):
    """Scalar `index` of the memory at `p` in every lane."""
    if not is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        return emit_splat(b, llvm_vector(vector), b.load(b.gep(args[0], [args[1]])))

    return vector(p, types.intp), codegen


@intrinsic
def fill(typingctx, p, value):
    """The number `value` in every lane of a vector of the pointer's dtype."""
    if not is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        return emit_splat(b, llvm_vector(vector), context.cast(b, args[1], sig.args[1], p.dtype))

    return vector(p, value), codegen


@intrinsic
def lanes_at(typingctx, like, addresses, offset, kind, valid):
    """The vector of the dtype of `like` whose lane n is the scalar of dtype `kind` at addresses[n] + offset.

    Zeros in the lanes from `valid` on, whose addresses must be good to read, too.
    """
    if not (is_pointer(like) and isinstance(kind, types.NumberClass)):
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
        zero = ir.Constant(llvm_vector(vector), None)
        return b.select(emit_below(b, vector.lanes, valid_), emit_converted(b, value, source, vector), zero)

    return vector(like, addresses, types.intp, kind, types.intp), codegen


@intrinsic
def load_lanes(typingctx, p, row, column, row_step):
    """The vector whose lane n is lane n of vector row[n] * row_step + column[n] of the memory at `p`.

    `row` and `column` are vectors of whole numbers >= 0. Lane by lane: gather instructions are no faster.
    """
    if not isinstance(row, Vector):
        return None
    integer = ir.IntType(row.dtype.bitwidth)
    ints = ir.VectorType(integer, row.lanes)

    def codegen(context, b, sig, args):
        p_, row_, column_, step = args
        step = emit_splat(b, ints, b.trunc(step, integer) if integer.width < step.type.width else step)
        vectors = b.add(b.mul(b.fptosi(row_, ints), step), b.fptosi(column_, ints))
        scalars = b.add(
            b.mul(vectors, ir.Constant(ints, [row.lanes] * row.lanes)),
            ir.Constant(ints, list(range(row.lanes))),
        )
        value = ir.Constant(llvm_vector(row), ir.Undefined)
        for n in range(row.lanes):
            lane = ir.Constant(ir.IntType(32), n)
            at = b.extract_element(scalars, lane)
            at = b.zext(at, args[3].type) if integer.width < args[3].type.width else at
            value = b.insert_element(value, b.load(b.gep(p_, [at])), lane)
        return value

    return row(p, row, column, types.intp), codegen


@intrinsic
def first_lane(typingctx, p, value):
    """The vector of the pointer's dtype with `value` in its first lane and zeros in the others."""
    if not is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        value_ = context.cast(b, args[1], sig.args[1], p.dtype)
        return b.insert_element(
            ir.Constant(llvm_vector(vector), None), value_, ir.Constant(ir.IntType(32), 0)
        )

    return vector(p, value), codegen


@intrinsic
def fill_like(typingctx, vector, value):
    """The number `value` in every lane of a vector of the type of `vector`."""
    if not isinstance(vector, Vector):
        return None

    def codegen(context, b, sig, args):
        return emit_splat(b, llvm_vector(vector), context.cast(b, args[1], sig.args[1], vector.dtype))

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
        return emit_total(b, args[0])

    return v.dtype(v), codegen


def emit_total(b, value):
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


def emit_below(b, lane_count, limit):
    """The mask of the lanes whose number is less than `limit`."""
    wide = ir.VectorType(limit.type, lane_count)
    return b.icmp_signed("<", ir.Constant(wide, list(range(lane_count))), emit_splat(b, wide, limit))


def emit_masked(b, what, vector, address, mask, value):
    """Load the lanes of `mask` (the others are `value`'s), or store them."""
    vec_type = llvm_vector(vector)
    p = b.bitcast(address, vec_type.as_pointer())
    if what == "load":
        return emit_masked_load(b, p, mask, value, _align(vector))
    align = ir.Constant(ir.IntType(32), _align(vector))
    fnty = ir.FunctionType(ir.VoidType(), [vec_type, p.type, align.type, mask.type])
    name = f"llvm.masked.store.{_suffix(vec_type)}.p0"
    return b.call(cgutils.get_or_insert_function(b.module, fnty, name), [value, p, align, mask])


def emit_masked_load(b, p, mask, value, align=1):
    """The lanes of `mask` from the vector at `p`; the others are `value`'s."""
    number = ir.Constant(ir.IntType(32), align)
    fnty = ir.FunctionType(value.type, [p.type, number.type, mask.type, value.type])
    name = f"llvm.masked.load.{_suffix(value.type)}.p0"
    return b.call(cgutils.get_or_insert_function(b.module, fnty, name), [p, number, mask, value])


def _suffix(llvm_type):
    """How LLVM names a vector type, or a scalar one, in the names of its intrinsics."""
    if is_vector(llvm_type):
        return f"v{llvm_type.count}{_suffix(llvm_type.element)}"
    if isinstance(llvm_type, ir.IntType):
        return f"i{llvm_type.width}"
    return f"f{32 if isinstance(llvm_type, ir.FloatType) else 64}"


def emit_converted(b, value, source, vector):
    """A vector of elements of dtype `source` as one of the float dtype of `vector`."""
    target = llvm_vector(vector)
    if isinstance(source, types.Integer):
        return (b.sitofp if source.signed else b.uitofp)(value, target)
    if source == vector.dtype:
        return value
    return (b.fptrunc if source == types.float64 else b.fpext)(value, target)


# Functions of a vector


@intrinsic
def lane_mask(typingctx, p, count):
    """The mask of the lanes below `count`."""
    lane_count = Vector(p.dtype).lanes
    return Mask(lane_count)(p, types.intp), lambda context, b, sig, args: emit_below(b, lane_count, args[1])


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


def is_vector(llvm_type):
    """Whether an LLVM type is a vector, not a single number."""
    return isinstance(llvm_type, ir.VectorType)


def every_lane(llvm_type, value):
    """The constant `value` in every lane of a vector type; of a scalar type, `value` itself."""
    return ir.Constant(llvm_type, [value] * llvm_type.count if is_vector(llvm_type) else value)


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
    if not is_pointer(like):
        return None
    return like.dtype(value, like), lambda context, b, sig, args: context.cast(
        b, args[0], sig.args[0], like.dtype
    )


@intrinsic
def item_size(typingctx, kind):
    """Bytes of a dtype, a compile-time constant."""
    size = kind.dtype.bitwidth // 8
    return types.intp(kind), lambda context, b, sig, args: context.get_constant(types.intp, size)
