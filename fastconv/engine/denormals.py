"""Denormal numbers flushed to zero, for the time of a compiled call."""

import platform

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Denormals

_FLUSH_X86 = 0x8040  # flush to zero, denormals are zero
_FLUSH_ARM = 1 << 24


@intrinsic
def flush_denormals(typingctx):
    """Treat denormal numbers as zero in this thread; returns the state to give to `restore_denormals`."""

    def codegen(context, b, sig, args):
        word = ir.IntType(64)
        if platform.machine().lower() in ("aarch64", "arm64"):
            old = b.asm(ir.FunctionType(word, []), "mrs $0, fpcr", "=r", [], True)
            _set_control(b, b.or_(old, ir.Constant(word, _FLUSH_ARM)))
            return old
        slot = cgutils.alloca_once(b, ir.IntType(32))
        _control_call(b, "llvm.x86.sse.stmxcsr", slot)
        old = b.zext(b.load(slot), word)
        _set_control(b, b.or_(old, ir.Constant(word, _FLUSH_X86)))
        return old

    return types.int64(), codegen


@intrinsic
def restore_denormals(typingctx, state):
    """Undo `flush_denormals`."""

    def codegen(context, b, sig, args):
        _set_control(b, args[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


def _control_call(b, name, slot):
    byte_pointer = ir.IntType(8).as_pointer()
    fnty = ir.FunctionType(ir.VoidType(), [byte_pointer])
    b.call(cgutils.get_or_insert_function(b.module, fnty, name), [b.bitcast(slot, byte_pointer)])


def _set_control(b, value):
    if platform.machine().lower() in ("aarch64", "arm64"):
        b.asm(ir.FunctionType(ir.VoidType(), [value.type]), "msr fpcr, $0", "r", [value], True)
        return
    slot = cgutils.alloca_once(b, ir.IntType(32))
    b.store(b.trunc(value, ir.IntType(32)), slot)
    _control_call(b, "llvm.x86.sse.ldmxcsr", slot)
