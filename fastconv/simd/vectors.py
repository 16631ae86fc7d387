"""Vectors of 64 bytes as Numba values.

A `Vector` holds 16 float32 or 8 float64 lanes, whatever the machine: LLVM spreads it over one AVX-512
register, two AVX2 or four SSE2/NEON ones. Kernels therefore count memory in whole vectors and are
written once for both dtypes:

    v = load(x, i)            # vector i of the memory at pointer x
    v = fma(splat(w, k), v, u)    # scalar k of the memory at pointer w, in every lane
    store(y, i, v)

Functions called `emit_...` write LLVM code for the intrinsics of this and of the next files: they are given
LLVM values and return those that the code computes. `b` is the llvmlite builder throughout.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from .host import VECTOR_BYTES


class Vector(types.Type):
    """The type of a vector: 64 bytes of numbers of one float dtype, each in its lane."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.lanes = VECTOR_BYTES * 8 // dtype.bitwidth
        super().__init__(name=f"Vector({dtype} x {self.lanes})")


class Mask(types.Type):
    """The type of a truth value for each lane of a vector."""

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__(name=f"Mask({lanes})")


def llvm_scalar(dtype):
    """LLVM's type of a number of dtype float32 or float64."""
    return ir.FloatType() if dtype == types.float32 else ir.DoubleType()


def llvm_vector(vector):
    """LLVM's type of a `Vector`."""
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
    """Emit a call of LLVM's own function `name`, in the version for the type of its result."""
    fnty = ir.FunctionType(result, [a.type for a in args])
    return b.call(cgutils.get_or_insert_function(b.module, fnty, f"llvm.{name}.{_suffix(result)}"), args)


def emit_fma(b, x, y, z):
    """Emit x * y + z, with one rounding where the machine can, and two where it would be a library call."""
    return emit_call(b, "fmuladd", x.type, x, y, z)


def emit_splat(b, vec_type, scalar):
    """Emit a vector that has the scalar in every lane."""
    undefined = ir.Constant(vec_type, ir.Undefined)
    first = b.insert_element(undefined, scalar, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), vec_type.count), None)
    return b.shuffle_vector(first, undefined, zeros)


def _vector_address(b, vector, pointer, index):
    """Emit the address of vector number `index` of the memory at a pointer."""
    vectors = b.bitcast(pointer, llvm_vector(vector).as_pointer())
    return b.gep(vectors, [index])


def _align(vector):
    """The alignment in bytes that memory has for sure: that of one number."""
    return vector.dtype.bitwidth // 8


def emit_load(b, vector, pointer, index):
    """Emit the load of vector number `index` of the memory at a pointer."""
    return b.load(_vector_address(b, vector, pointer, index), align=_align(vector))


def emit_store(b, vector, pointer, index, value):
    """Emit the store of a value as vector number `index` of the memory at a pointer."""
    b.store(value, _vector_address(b, vector, pointer, index), align=_align(vector))


def emit_fetch(b, vector, pointer, index):
    """Emit what fetches vector number `index` of the memory at a pointer into the cache, to be written to."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
    function = cgutils.get_or_insert_function(b.module, kind, "llvm.prefetch.p0")
    to_write, near, data = (ir.Constant(number, n) for n in (1, 3, 1))
    b.call(function, [b.bitcast(_vector_address(b, vector, pointer, index), byte), to_write, near, data])


def is_pointer(ty):
    """Whether a Numba type is a pointer to float32 or float64."""
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
    """Do nothing but mention an array, so that Numba does not free it before.

    Numba frees an array after its last mention, whatever points to it. Who makes an array and takes its
    `pointer` calls this after the last use of the pointer.
    """
    return types.void(array), lambda context, b, sig, args: context.get_dummy_value()


def emit_opaque(b, value):
    """Emit the same value as one that LLVM knows nothing about."""
    return b.call(ir.InlineAsm(ir.FunctionType(value.type, [value.type]), "", "=r,0"), [value])


@intrinsic
def opaque(typingctx, index):
    """Return the same index, as a number that LLVM knows nothing about.

    Of addresses that grow with an outer loop, LLVM makes a pointer each that it keeps on the stack and adds
    to in every round. What starts from an opaque index is added up where it is used.
    """
    return types.intp(types.intp), lambda context, b, sig, args: emit_opaque(b, args[0])


def emit_rolled(b):
    """Emit what forbids LLVM to unroll the loop around this place.

    LLVM never makes a remainder loop around a convergent call, which this empty one is.
    """
    nothing = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "", side_effect=True)
    b.call(nothing, [], attrs=("convergent",))


@intrinsic
def rolled(typingctx):
    """Forbid LLVM to unroll the loop that this is called in: for short ones, whose rounds are all alike."""

    def codegen(context, b, sig, args):
        emit_rolled(b)
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def advance(typingctx, p, count):
    """The pointer to what lies `count` elements after `p`."""

    def codegen(context, b, sig, args):
        return b.gep(args[0], [args[1]])

    return p(p, types.intp), codegen


@intrinsic
def local(typingctx, p, count):
    """Memory of a function of its own for `count` vectors, a literal, of the dtype that p points to."""
    if not (is_pointer(p) and isinstance(count, types.IntegerLiteral)):
        return None
    vector, number = Vector(p.dtype), count.literal_value

    def codegen(context, b, sig, args):
        memory = cgutils.alloca_once(b, ir.ArrayType(llvm_vector(vector), number))
        return b.bitcast(memory, args[0].type)

    return p(p, count), codegen


@intrinsic
def lanes(typingctx, p):
    """How many lanes a vector of the dtype has that p points to, as a constant of the compiled code."""
    if not is_pointer(p):
        return None
    count = Vector(p.dtype).lanes

    def codegen(context, b, sig, args):
        return context.get_constant(types.intp, count)

    return types.intp(p), codegen


# Vectors


@intrinsic
def load(typingctx, p, index):
    """Load vector number `index` of the memory at `p`."""
    if not is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        return emit_load(b, vector, args[0], args[1])

    return vector(p, types.intp), codegen


@intrinsic
def load_part(typingctx, p, index, count):
    """Load a vector from scalar `index` of the memory at `p` on; only `count` are there, then come zeros."""
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
    """Store the vector `value` as vector number `index` of the memory at `p`."""
    if not isinstance(value, Vector):
        return None

    def codegen(context, b, sig, args):
        emit_store(b, value, args[0], args[1], args[2])
        return context.get_dummy_value()

    return types.void(p, types.intp, value), codegen


@intrinsic
def fetch(typingctx, p, index):
    """Fetch vector `index` of the memory at `p` into the cache, as it will be stored soon.

    A store to what is not there waits for it, and all stores behind it wait, too. Nothing needs to be there.
    """
    if not is_pointer(p):
        return None

    def codegen(context, b, sig, args):
        emit_fetch(b, Vector(p.dtype), *args)
        return context.get_dummy_value()

    return types.void(p, types.intp), codegen


@intrinsic
def store_part(typingctx, p, index, value, count):
    """Store the first `count` lanes of the vector `value` from scalar `index` of the memory at `p` on."""
    if not isinstance(value, Vector):
        return None

    def codegen(context, b, sig, args):
        base, start, lanes_, limit = args
        first = b.bitcast(b.gep(base, [start]), llvm_vector(value).as_pointer())
        emit_masked_store(b, first, emit_below(b, value.lanes, limit), lanes_)
        return context.get_dummy_value()

    return types.void(p, types.intp, value, types.intp), codegen


@intrinsic
def splat(typingctx, p, index):
    """Load one number, scalar `index` of the memory at `p`, into every lane of a vector."""
    if not is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        return emit_splat(b, llvm_vector(vector), b.load(b.gep(args[0], [args[1]])))

    return vector(p, types.intp), codegen


@intrinsic
def fill(typingctx, p, value):
    """Make a vector with the number `value` in every lane, of the dtype that p points to."""
    if not is_pointer(p):
        return None
    vector = Vector(p.dtype)

    def codegen(context, b, sig, args):
        return emit_splat(b, llvm_vector(vector), context.cast(b, args[1], sig.args[1], p.dtype))

    return vector(p, value), codegen


@intrinsic
def load_lanes(typingctx, p, line, place, distance):
    """Load each lane from a pixel of its own: that at `place` in `line` of an image.

    Lane n comes from lane n of vector line[n] * distance + place[n] of the memory at `p`. `line` and `place`
    are vectors of whole numbers >= 0. Lane by lane: gather instructions are no faster.
    """
    if not isinstance(line, Vector):
        return None
    integer = ir.IntType(line.dtype.bitwidth)
    ints = ir.VectorType(integer, line.lanes)

    def codegen(context, b, sig, args):
        p_, line_, place_, apart = args
        apart = b.trunc(apart, integer) if integer.width < apart.type.width else apart
        vectors = b.add(b.mul(b.fptosi(line_, ints), emit_splat(b, ints, apart)), b.fptosi(place_, ints))
        scalars = b.add(
            b.mul(vectors, ir.Constant(ints, [line.lanes] * line.lanes)),
            ir.Constant(ints, list(range(line.lanes))),
        )
        value = ir.Constant(llvm_vector(line), ir.Undefined)
        for n in range(line.lanes):
            lane = ir.Constant(ir.IntType(32), n)
            at = b.extract_element(scalars, lane)
            at = b.zext(at, args[3].type) if integer.width < args[3].type.width else at
            value = b.insert_element(value, b.load(b.gep(p_, [at])), lane)
        return value

    return line(p, line, place, types.intp), codegen


@intrinsic
def first_lane(typingctx, p, value):
    """Make a vector with `value` in its first lane and zeros in the others, of the dtype that p points to."""
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
    """Make a vector with the number `value` in every lane, of the same type as `vector`."""
    if not isinstance(vector, Vector):
        return None

    def codegen(context, b, sig, args):
        return emit_splat(b, llvm_vector(vector), context.cast(b, args[1], sig.args[1], vector.dtype))

    return vector(vector, value), codegen


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c in every lane."""
    if not isinstance(a, Vector):
        return None
    return a(a, a, a), lambda context, builder, sig, args: emit_fma(builder, *args)


@intrinsic
def select(typingctx, mask, a, b):
    """Choose lane by lane: from `a` where the mask is true, else from `b`."""
    if not isinstance(mask, Mask):
        return None
    return a(mask, a, a), lambda context, builder, sig, args: builder.select(*args)


@intrinsic
def every_other(typingctx, a, b):
    """Every other lane of two vectors, those of the first and then those of the second."""
    if not (isinstance(a, Vector) and a == b):
        return None
    lanes_ = ir.Constant(ir.VectorType(ir.IntType(32), a.lanes), list(range(0, 2 * a.lanes, 2)))
    return a(a, b), lambda context, builder, sig, args: builder.shuffle_vector(*args, lanes_)


@intrinsic
def total(typingctx, v):
    """The sum of all lanes, as one number. Halves are added until one lane is left, always in that order."""
    if not isinstance(v, Vector):
        return None

    def codegen(context, b, sig, args):
        return emit_total(b, args[0])

    return v.dtype(v), codegen


def emit_total(b, value):
    """Emit the sum of all lanes of a vector: its halves are added until one lane is left."""
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
    """An intrinsic that applies an operation of LLVM's builder to two vectors, lane by lane."""

    @intrinsic
    def function(typingctx, a, b):
        if not (isinstance(a, Vector) and a == b):
            return None
        return a(a, a), lambda context, builder, sig, args: getattr(builder, operation)(*args)

    return function


def _comparison(symbol):
    """An intrinsic that compares two vectors lane by lane: a mask, false where one of them is NaN."""

    @intrinsic
    def function(typingctx, a, b):
        if not (isinstance(a, Vector) and a == b):
            return None
        return Mask(a.lanes)(a, a), lambda context, builder, sig, args: builder.fcmp_ordered(symbol, *args)

    return function


add, subtract, multiply, divide = _binary("fadd"), _binary("fsub"), _binary("fmul"), _binary("fdiv")
greater, less, equal = _comparison(">"), _comparison("<"), _comparison("==")


def emit_below(b, lane_count, limit):
    """Emit the mask that is true in the first `limit` lanes."""
    wide = ir.VectorType(limit.type, lane_count)
    return b.icmp_signed("<", ir.Constant(wide, list(range(lane_count))), emit_splat(b, wide, limit))


def emit_masked(b, what, vector, address, mask, value):
    """Emit a load or a store, as `what` says, of the lanes where the mask is true.

    A load takes the other lanes from `value`; a store leaves their memory alone.
    """
    vec_type = llvm_vector(vector)
    p = b.bitcast(address, vec_type.as_pointer())
    if what == "load":
        return emit_masked_load(b, p, mask, value, _align(vector))
    return emit_masked_store(b, p, mask, value, _align(vector))


def emit_masked_store(b, p, mask, value, align=1):
    """Emit the store of the lanes where the mask is true; the memory of the others is left alone."""
    number = ir.Constant(ir.IntType(32), align)
    fnty = ir.FunctionType(ir.VoidType(), [value.type, p.type, number.type, mask.type])
    name = f"llvm.masked.store.{_suffix(value.type)}.p0"
    return b.call(cgutils.get_or_insert_function(b.module, fnty, name), [value, p, number, mask])


def emit_masked_load(b, p, mask, value, align=1):
    """Emit the load of the lanes where the mask is true; the others are taken from `value`."""
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


def emit_converted(b, value, source, dtype):
    """Emit a number of dtype `source`, or a vector of such, as one of the float dtype `dtype`."""
    target = llvm_scalar(dtype)
    if is_vector(value.type):
        target = ir.VectorType(target, value.type.count)
    if isinstance(source, types.Integer):
        return (b.sitofp if source.signed else b.uitofp)(value, target)
    if source == dtype:
        return value
    return (b.fptrunc if source == types.float64 else b.fpext)(value, target)


# Functions of a vector


@intrinsic
def lane_mask(typingctx, p, count):
    """The mask that is true in the first `count` lanes, for vectors of the dtype that p points to."""
    lane_count = Vector(p.dtype).lanes
    return Mask(lane_count)(p, types.intp), lambda context, b, sig, args: emit_below(b, lane_count, args[1])


@intrinsic
def is_nan(typingctx, v):
    """The mask of the lanes that hold NaN."""
    return Mask(v.lanes)(v), lambda context, b, sig, args: b.fcmp_unordered("uno", args[0], args[0])


@intrinsic
def either(typingctx, a, b):
    """The mask of the lanes where one of two masks is true, or both."""
    return a(a, a), lambda context, builder, sig, args: builder.or_(*args)


@intrinsic
def both(typingctx, a, b):
    """The mask of the lanes where both of two masks are true."""
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
    """Turn an address, an integer, into a pointer of the same type as `like`."""
    return like(types.intp, like), lambda context, b, sig, args: b.inttoptr(
        args[0], context.get_value_type(like)
    )


@intrinsic
def scalar_at(typingctx, address, kind):
    """Load the number of dtype `kind` at an address, an integer, aligned or not."""
    if not isinstance(kind, types.NumberClass):
        return None
    dtype = kind.dtype

    def codegen(context, b, sig, args):
        at = b.inttoptr(args[0], context.get_value_type(dtype).as_pointer())
        return b.load(at, align=1)

    return dtype(types.intp, kind), codegen


@intrinsic
def convert(typingctx, value, like):
    """Turn a number into one of the dtype that `like` points to."""
    if not is_pointer(like):
        return None
    return like.dtype(value, like), lambda context, b, sig, args: context.cast(
        b, args[0], sig.args[0], like.dtype
    )
