"""The processor's clock, read by compiled code between one operation and the next."""

import platform

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..simd.compiling import compiled

ON_ARM = platform.machine().lower() in ("aarch64", "arm64")


@intrinsic
def ticks(typingctx):
    """The processor's count of ticks, which go on evenly, whatever its frequency is now.

    LLVM's own reading of it would trap on ARM, where programs may not count cycles, but may read the timer.
    """

    def codegen(context, b, sig, args):
        kind = ir.FunctionType(ir.IntType(64), [])
        if ON_ARM:
            return b.asm(kind, "mrs $0, cntvct_el0", "=r", [], True)
        return b.call(b.module.declare_intrinsic("llvm.readcyclecounter", (), kind), [])

    return types.int64(), codegen


@compiled
def read_often(times):
    """Read the clock `times` times in a row; returns the first and the last count."""
    first = ticks()
    last = first
    for _ in range(times):
        last = ticks()
    return first, last
