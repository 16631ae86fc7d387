"""The tables that the compiled loop reads: which numbers there are, and where they lie."""

import ctypes

# Threads and ranks beyond that would have nothing to do. A shard takes the memory of a convolution's weights.
MAX_SHARDS = 1024

BLOCK, BATCH = 0, 1  # kinds of stages
STAGE = 3  # numbers of a stage: its kind, its first operation, the one after its last
OPERANDS = 6
FUNCTION, GEOMETRY, FIRST_OPERAND = 0, 1, 2
OPERAND_FIELDS = 4  # base address, and the bytes to add for each block, thread and shard
ROW = FIRST_OPERAND + OPERANDS * OPERAND_FIELDS
CALL = FIRST_OPERAND + OPERANDS  # what a call needs: function, geometry, addresses


def address_of(array):
    """As `array.ctypes.data`, in a quarter of the time for most arrays."""
    if array.flags.carray and array.size:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    return array.__array_interface__["data"][0]
