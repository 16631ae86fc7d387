"""What a lane kernel is to the engine: a function of six memory pointers and two tables of integers.

    def kernel(a, b, c, d, e, f, g, s): ...

`a` to `f` point to buffers of the network's dtype, `g` to the operation's geometry (sizes, distances and
tables, fixed when the network is planned) and `s` to the step state below, which the engine updates as it
goes. One signature for all of them lets one compiled loop run any network: no kernel is compiled twice for
two networks. Both tables are read by name: see `offsets_of`.
"""

from functools import cache, partial
from types import FunctionType
from typing import NamedTuple

from numba import types

from ...simd.code_placement import StaggeringCompiler
from ...simd.compiling import internal
from ...simd.turns import spread


def offsets_of(geometry):
    """Where each number of a geometry lies: the named tuple `geometry` filled with 0, 1, 2, ...

    class ReluGeometry(NamedTuple):          ReluGeometry(channels=3, height=8): the numbers themselves
        channels: int                        RELU = offsets_of(ReluGeometry)
        height: int                          g[RELU.height]: the height, in a kernel

    Numba takes the offsets for constants. Tables of any length lie behind the named numbers, from
    `len(RELU)` on.
    """
    return geometry(*range(len(geometry._fields)))


class StepState(NamedTuple):
    """The numbers of the step state `s`, one after the other, for one thread."""

    samples: int  # in this batch
    first_sample: int  # of this block, counted in the batch
    valid: int  # samples in this block; the lanes past them are padding
    blocks: int  # in this batch
    part: int  # of the work, which `parts` do side by side: the rest belongs to others
    parts: int
    step: int  # of this call, from 0
    update: int  # steps that the optimizer has taken, this one included
    position: int  # of the batch's first sample in the order of samples
    seed: int
    shards: int  # in this batch: see shard_sums.py
    fresh: int  # 1 for the first block of a shard: its sums start at 0
    first_shard: int  # of those that this process computes
    last_shard: int  # the one after them
    sums: int  # of shards that are still to be added up: of all, or 1 where processes have done that
    parts_of_block: int  # that do the work of an operation on a block side by side, where it is divided


STATE = offsets_of(StepState)
LANE_ADDRESSES = len(STATE)  # from here on: room for the address of each lane's sample, 16 at most
STATE_SIZE = 40  # more than 36, so that no two threads write to one cache line


@internal
def random_key(s, stream):
    """A number that seeds the random numbers of one update: another one for each seed, update and stream."""
    return s[STATE.seed] * 1000003 + s[STATE.update] * 8191 + stream


@internal
def share(count, s):
    """Which of `count` things belong to this part of the work: (the first, the one after the last)."""
    if s[STATE.parts] <= 1:  # small networks would notice the divisions
        return 0, count
    return count * s[STATE.part] // s[STATE.parts], count * (s[STATE.part] + 1) // s[STATE.parts]


@internal
def run_of(number, size, first, last):
    """Which things of run number `number`, of so many in a row, are from `first` to before `last` of all."""
    return max(first - number * size, 0), min(last - number * size, size)


@internal
def share_of_tiles(first, last, size, s):
    """As `share`, of the things from `first` to before `last`, in whole tiles of so many; one may be cut."""
    if s[STATE.parts] <= 1:
        return first, last
    begin, end = share((last - first + size - 1) // size, s)
    return first + begin * size, min(first + end * size, last)


def operation_types(dtype):
    """Numba's types of the eight arguments of a lane kernel whose buffers hold `dtype`."""
    return (types.CPointer(dtype),) * 6 + (types.CPointer(types.int64),) * 2


def operation_types_of(dtype):
    """Those of 'float32' or 'float64'."""
    return operation_types(getattr(types, str(dtype)))


def address_of_code(function, arguments):
    """Where a function's machine code for these types is: compiled now, if the cache has none."""
    function.compile(arguments)
    code = function.overloads[arguments]
    return code.library.get_pointer_to_function(code.fndesc.llvm_func_name)


class Operation:
    """A lane kernel: callable from @njit code as `.function`, and by address from the engine.

    `divides` says that it takes the part of the work that the step state tells, if it is one of several: all
    do that where the engine runs them on the whole batch, and some also where they run on a block. Those
    `by_channel` divide planes by their channels, and use nothing of the others: as many as the first number
    of their geometry says.
    """

    def __init__(self, kernel, fingerprint=None, divides=False, by_channel=False):
        self.name = kernel.__name__
        self.divides, self.by_channel = divides, by_channel
        self.__doc__ = kernel.__doc__
        self.kernel = kernel
        self.function = internal(kernel, fingerprint=fingerprint, pipeline_class=StaggeringCompiler)
        # Where another process finds it: a module, a name in it and the parts that are used.
        self.place = None if fingerprint is not None else (kernel.__module__, kernel.__name__, ())

    def for_geometry(self, g):
        """The operation that does this one's work for the geometry `g`."""
        return self

    @cache  # noqa: B019 - operations live as long as the module
    def address(self, dtype):
        """The address of the machine code for 'float32' or 'float64', compiled now if the cache has none."""
        return address_of_code(self.function, operation_types_of(dtype))


def addresses_of(operations, dtype):
    """The address of each operation's machine code; processes that begin at once share the compiling."""
    spread(partial(one.address, dtype) for one in dict.fromkeys(operations))
    return [one.address(dtype) for one in operations]


def operation(kernel):
    """Decorator: make a function of `(a, b, c, d, e, f, g, s)` an operation that the engine can run."""
    return Operation(kernel)


def dividing_operation(kernel):
    """As `operation`, for one that takes a `share` of its work on a block of samples."""
    return Operation(kernel, divides=True)


def channel_operation(kernel):
    """As `dividing_operation`, for one that takes each channel of its planes for itself."""
    return Operation(kernel, divides=True, by_channel=True)


class OperationInParts(Operation):
    """An operation of which each geometry uses some parts only, that are all to be compiled for it."""

    def __init__(self, kernel, names, parts_of, by_channel):
        super().__init__(kernel, divides=True, by_channel=by_channel)
        self._names, self._parts_of = names, parts_of

    def for_geometry(self, g):
        return self.with_parts(tuple(bool(used) for used in self._parts_of(g)))

    @cache  # noqa: B019
    def with_parts(self, used):
        """The operation without the parts that are not used: Numba leaves out what a constant forbids."""
        if all(used):
            return self
        kernel = self.kernel
        names = kernel.__globals__ | dict(zip(self._names, used, strict=True))
        some = FunctionType(kernel.__code__, names, kernel.__name__)
        some.__doc__, parts = kernel.__doc__, "".join(str(k) for k, one in enumerate(used) if one)
        some.__qualname__ = f"{kernel.__qualname__}_{parts}"
        made = Operation(some, divides=True, by_channel=self.by_channel)
        made.place = (*self.place[:2], used)
        return made


def operation_in_parts(names, parts_of, by_channel=False):
    """Decorator: make a kernel a dividing operation whose parts are compiled when a geometry first uses them.

    The kernel asks before each part whether a global constant is true, one of `names`; all of them are.
    `parts_of(g)` says for each name whether the geometry `g` uses the part. Sweeps of a convolution, for
    example, take half a second each to compile, and most networks use two of eight.
    """
    return lambda kernel: OperationInParts(kernel, names, parts_of, by_channel)
