"""Where in its page of memory a kernel starts.

The code of every function that Numba compiles starts a page of its own. A processor chooses the place of
code in its caches by the address within a page, so that a dozen kernels that take turns drive each other out:

    page        0              64             128 lines of 64 bytes
    kernel a    |code-----     |              |           kernel a    |code-----     |
    kernel b    |code---       |              |   ---->   kernel b    |pad------code--|
    kernel c    |code-------   |              |           kernel c    |pad--code-------

Here a function that nobody calls comes first and moves each kernel by another distance. A step of a small
network takes a sixth less time.
"""

import zlib
from typing import Any

from llvmlite import ir
from numba.core.compiler import DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.typed_passes import NopythonTypeInference

from .collecting import RestingCompiler

PAGE_BYTES, LINE_BYTES = 4096, 64
STORE_BYTES = 6  # of a store of a constant, on x86


@register_pass(mutates_CFG=False, analysis_only=True)
class _Pad(FunctionPass):
    """Numba's pass that puts a pad before a function, of a length that depends on its name."""

    _name = "pad"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        name = f"{state.func_id.modname}.{state.func_id.func_qualname}"
        if state.library is None:
            state.library = state.targetctx.codegen().create_library(name)
            state.library.enable_object_caching()
        lines = zlib.crc32(name.encode()) % (PAGE_BYTES // LINE_BYTES)
        module = state.library.create_ir_module(f"pad of {name}")
        word = ir.IntType(32)
        pad = ir.Function(
            module, ir.FunctionType(ir.VoidType(), [word.as_pointer()]), f"pad.{state.func_id.unique_name}"
        )
        b = ir.IRBuilder(pad.append_basic_block())
        for k in range(lines * LINE_BYTES // STORE_BYTES):
            b.store_atomic(ir.Constant(word, k), pad.args[0], "release", 4)
        b.ret_void()
        state.library.add_ir_module(module)
        return False


class StaggeringCompiler(RestingCompiler):
    """The compiler, with a pad before the code of each function."""

    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_Pad, NopythonTypeInference)
        passes.finalize()
        return [passes]
