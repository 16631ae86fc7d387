"""A second process that compiles some of what a plan needs, while this one compiles the rest.

Numba compiles one function at a time in a process. Where more than a few are in no cache, another process
begins at the other end of the list; how the two share it is in `simd/turns.py`. There is none where this
process may use one processor only, where compiled code can't be kept, or where Python is a part of another
program.
"""

import contextlib
import importlib
import json
import os
import subprocess
import sys
from functools import partial

from ..kernels.lanes.operation import operation_types_of
from ..simd import turns
from ..simd.compiling import is_compiled, is_kept
from .threads import get_num_threads
from .workers import address_of_steps

WORTH_IT = 4  # functions: a process takes a second to start
_CODE = "from fastconv.engine.assistant import main; main()"


@contextlib.contextmanager
def assisted(operations, dtype):
    """Within the block, another process compiles some of the operations, if there is enough to do for two."""
    process = _started(operations, dtype)
    try:
        yield
    finally:
        if process is not None:  # what it may still do is of no use any more
            process.terminate()
            process.wait()


def _started(operations, dtype):
    if turns.fcntl is None or not _python() or get_num_threads() == 1:
        return None
    types = operation_types_of(dtype)
    missing = [one for one in dict.fromkeys(operations) if not is_compiled(one.function, types)]
    places = [one.place for one in missing if one.place is not None]
    if len(missing) < WORTH_IT or not places or not is_kept(missing[0].function):
        return None
    nowhere = subprocess.DEVNULL
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _CODE],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=nowhere,
            stderr=nowhere,
        )
        with process.stdin as pipe:
            pipe.write(json.dumps([os.getpid(), dtype, places[::-1]]).encode())
    except OSError:  # no memory, no processes
        return None
    return process


def _python():
    """Whether this is a Python that can be started again."""
    name = os.path.basename(sys.executable or "").lower()
    return name.startswith("python") and not getattr(sys, "frozen", False)


def main():
    """Compile what standard input names, as long as the process that has asked for it is there."""
    asking, dtype, places = json.load(sys.stdin)

    def compile_one(place):
        if os.getppid() != asking:
            sys.exit()
        module, name, used = place
        operation = getattr(importlib.import_module(module), name)
        if used:
            operation = operation.with_parts(tuple(used))
        operation.address(dtype)

    turns.spread([address_of_steps, *(partial(compile_one, place) for place in places)])
