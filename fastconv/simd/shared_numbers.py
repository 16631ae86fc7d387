"""Whole numbers that Python sets and compiled code reads, at any time and in any code, however old.

Code that is kept on disk can hold no address of a process. It has a name instead, which the linker looks up
when a process loads the code: by then, the module that makes the number has told it where it lies.
"""

import ctypes

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic


def shared_number(name, value):
    """An int64 of this process, `.value` of the result, that compiled code can `read_shared` by its name.

    It lives as long as the result, which a module keeps. A name is given once.
    """
    number = ctypes.c_int64(value)
    llvm.add_symbol(name, ctypes.addressof(number))
    return number


@intrinsic
def read_shared(typingctx, name):
    """Read the number of the literal `name`."""
    if not isinstance(name, types.StringLiteral):
        return None

    def codegen(context, b, sig, args):
        number = cgutils.add_global_variable(b.module, ir.IntType(64), name.literal_value)
        return b.load(number)

    return types.int64(name), codegen
