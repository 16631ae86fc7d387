"""What a lane kernel is to the engine: a function of six memory pointers and two integer tables.

    def kernel(a, b, c, d, e, f, g, s): ...

`a` to `f` point to buffers of the network's dtype, `g` to the operation's geometry (sizes, steps and
offset tables, fixed when the network is planned) and `s` to the step state below, which the engine
updates as it goes. One signature for all of them lets one compiled loop run any network: no kernel is
compiled twice for two networks.
"""

from functools import cache

from numba import types

from ...simd.code_placement import StaggeringCompiler
from ...simd.compiling import compiled

# The step state `s`.
SAMPLES = 0  # in this batch
FIRST_SAMPLE = 1  # of this block, counted in the batch
VALID = 2  # samples in this block; the lanes past them are padding
BLOCKS = 3  # in this batch
THREAD = 4
THREADS = 5
STEP = 6  # of this call, from 0
UPDATE = 7  # steps that the optimizer has taken, this one included
POSITION = 8  # of the batch's first sample in the order of samples
SEED = 9
SHARDS = 10  # in this batch: see plan.py
FRESH = 11  # 1 for the first block of a shard: its sums start at 0
ADDRESSES = 16  # and on: room for the address of each lane's sample
STATE_SIZE = 32


@compiled
def share(count, s):
    """(first, last excluded) of `count` things: this thread's share of an operation on the whole batch."""
    if s[THREADS] == 1:  # small networks would notice the divisions
        return 0, count
    return count * s[THREAD] // s[THREADS], count * (s[THREAD] + 1) // s[THREADS]


def operation_types(dtype):
    """Numba's types of an operation's arguments."""
    return (types.CPointer(dtype),) * 6 + (types.CPointer(types.int64),) * 2


class Operation:
    """A lane kernel: callable from @njit code as `.function`, and by address from the engine."""

    def __init__(self, kernel, fingerprint=None):
        self.name = kernel.__name__
        self.__doc__ = kernel.__doc__
        self.kernel = kernel
        self.function = compiled(kernel, fingerprint, pipeline_class=StaggeringCompiler)

    @cache  # noqa: B019 - operations live as long as the module
    def address(self, dtype):
        """Where the kernel starts that is compiled (or read from the cache) for 'float32' or 'float64'."""
        arguments = operation_types(getattr(types, str(dtype)))
        self.function.compile(arguments)
        code = self.function.overloads[arguments]
        return code.library.get_pointer_to_function(code.fndesc.llvm_func_name)


def operation(kernel):
    """Make a function of `(a, b, c, d, e, f, g, s)` an operation of the engine."""
    return Operation(kernel)
