"""Numbers whose dtype is known only when code runs: what users' arrays hold.

A `kind` is the number of a dtype, as in `KINDS`. Code that reads numbers of any kind has a branch for each
around the loads alone: compiled anew for every dtype, all that is done with them would take four times as
long to compile.
"""

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .vectors import Vector, emit_below, emit_converted, is_pointer, llvm_vector

KINDS = (types.uint8, types.int64, types.float32, types.float64)
UINT8, INT64, FLOAT32, FLOAT64 = range(len(KINDS))
DTYPE_CODES = {np.dtype(str(dtype)): kind for kind, dtype in enumerate(KINDS)}


def emit_by_kind(b, kind, make):
    """Emit what `make` emits for the dtype that `kind` says: a list of LLVM values, whatever the dtype.

    `make` is given a dtype and returns these values.
    """
    *others, last = [b.append_basic_block(f"kind.{dtype}") for dtype in KINDS]
    after, made = b.append_basic_block("kind.after"), []
    switch = b.switch(kind, last)
    for number, block in enumerate(others):
        switch.add_case(ir.Constant(kind.type, number), block)
    for dtype, block in zip(KINDS, [*others, last], strict=True):
        b.position_at_end(block)
        made.append((make(dtype), b.block))
        b.branch(after)
    b.position_at_end(after)
    results = []
    for k, value in enumerate(made[0][0]):
        phi = b.phi(value.type)
        for values, end in made:
            phi.add_incoming(values[k], end)
        results.append(phi)
    return results


@intrinsic
def item_bytes(typingctx, kind):
    """How many bytes a number of this kind takes."""

    def codegen(context, b, sig, args):
        return emit_by_kind(b, args[0], lambda dtype: [ir.Constant(ir.IntType(64), dtype.bitwidth // 8)])[0]

    return types.intp(types.intp), codegen


@intrinsic
def number_at(typingctx, address, kind, like):
    """Load the number at an address, aligned or not, as one of the dtype that `like` points to."""
    if not is_pointer(like):
        return None

    def codegen(context, b, sig, args):
        def loaded(dtype):
            at = b.inttoptr(args[0], context.get_value_type(dtype).as_pointer())
            return [emit_converted(b, b.load(at, align=1), dtype, like.dtype)]

        return emit_by_kind(b, args[1], loaded)[0]

    return like.dtype(types.intp, types.intp, like), codegen


@intrinsic
def lanes_at(typingctx, like, addresses, offset, kind, valid):
    """Load a vector lane by lane: lane n from the number at address addresses[n] + offset.

    It becomes a vector of the dtype that `like` points to, with zeros in the lanes from `valid` on, whose
    addresses must be good to read, too.
    """
    if not is_pointer(like):
        return None
    vector = Vector(like.dtype)

    def codegen(context, b, sig, args):
        _, table, start, kind_, valid_ = args

        def loaded(dtype):
            scalar = context.get_value_type(dtype)
            value = ir.Constant(ir.VectorType(scalar, vector.lanes), ir.Undefined)
            for n in range(vector.lanes):
                place = b.add(b.load(b.gep(table, [ir.Constant(start.type, n)])), start)
                item = b.load(b.inttoptr(place, scalar.as_pointer()), align=1)
                value = b.insert_element(value, item, ir.Constant(ir.IntType(32), n))
            return [emit_converted(b, value, dtype, vector.dtype)]

        zero = ir.Constant(llvm_vector(vector), None)
        return b.select(emit_below(b, vector.lanes, valid_), emit_by_kind(b, kind_, loaded)[0], zero)

    return vector(like, addresses, types.intp, types.intp, types.intp), codegen
