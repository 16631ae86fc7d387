"""Cells of int64 in memory that several threads read and write at once, and a way to wait politely."""

import platform

from numba import types
from numba.extending import intrinsic

from ..simd.compiling import compiled

_CELLS = types.CPointer(types.int64)
SPINS = 2000  # of a thread that waits, about a microsecond; then somebody else may need this processor


@intrinsic
def cells_at(typingctx, address):
    """Turn an address, an integer, into a pointer to int64."""

    def codegen(context, b, sig, args):
        return b.inttoptr(args[0], context.get_value_type(_CELLS))

    return _CELLS(types.int64), codegen


@intrinsic
def atomic_load(typingctx, cells, index):
    """Read a cell, and see what was written before it was."""

    def codegen(context, b, sig, args):
        return b.load_atomic(b.gep(args[0], [args[1]]), "seq_cst", 8)

    return types.int64(_CELLS, types.intp), codegen


@intrinsic
def atomic_exchange(typingctx, cells, index, value):
    """Write a cell, and return what it held."""

    def codegen(context, b, sig, args):
        return b.atomic_rmw("xchg", b.gep(args[0], [args[1]]), args[2], "seq_cst")

    return types.int64(_CELLS, types.intp, types.int64), codegen


@intrinsic
def atomic_add(typingctx, cells, index, value):
    """Add to a cell, and return what it held."""

    def codegen(context, b, sig, args):
        return b.atomic_rmw("add", b.gep(args[0], [args[1]]), args[2], "seq_cst")

    return types.int64(_CELLS, types.intp, types.int64), codegen


@intrinsic
def compare_and_swap(typingctx, cells, index, expected, value):
    """Write `value` if the cell holds `expected`; returns whether it did."""

    def codegen(context, b, sig, args):
        place = b.gep(args[0], [args[1]])
        return b.extract_value(b.cmpxchg(place, args[2], args[3], "seq_cst", "seq_cst"), 1)

    return types.boolean(_CELLS, types.intp, types.int64, types.int64), codegen


_yield_processor = types.ExternalFunction(
    "SwitchToThread" if platform.system() == "Windows" else "sched_yield", types.int32()
)


@compiled
def spin(spins):
    """Let some time pass, `spins` times so far; returns one more. Now and then the processor is let go."""
    if spins % SPINS == SPINS - 1:
        _yield_processor()
    return spins + 1
