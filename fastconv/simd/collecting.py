"""Python's collector of cycles rests while code is compiled.

Numba makes millions of objects for a function and keeps most of them until it is done. The collector looks
through all of them again and again and finds next to nothing: a tenth of the time that compiling takes.
"""

import contextlib
import gc
from collections.abc import Iterator
from typing import Any

from numba.core.compiler import CompilerBase, DefaultPassBuilder


@contextlib.contextmanager
def collector_resting() -> Iterator[None]:
    """No collection meanwhile, in any thread; afterwards there are some again if there were some before."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class RestingCompiler(CompilerBase):
    """Numba's compiler, without collections."""

    def compile_extra(self, func: Any) -> Any:
        with collector_resting():
            return super().compile_extra(func)

    def define_pipelines(self) -> list[Any]:
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]
