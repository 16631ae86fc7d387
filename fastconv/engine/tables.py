"""The tables that the compiled loop reads: which numbers there are, and where they lie."""

import ctypes

# Threads and ranks beyond that would have nothing to do. A shard takes the memory of a convolution's weights.
MAX_SHARDS = 1024

BLOCK, BATCH, DIVIDED = 0, 1, 2  # kinds of stages: see plan.py
STAGE = 3  # numbers of a stage: its kind, its first operation, the one after its last
OPERANDS = 6
FUNCTION, GEOMETRY, FIRST_OPERAND = 0, 1, 2
OPERAND_FIELDS = 4  # base address, and the bytes to add for each block, thread and shard
ROW = FIRST_OPERAND + OPERANDS * OPERAND_FIELDS
CALL = FIRST_OPERAND + OPERANDS  # what a call needs: function, geometry, addresses
# Of an operation in a chain: the one after its last; the number of channels, 0 of others; and for each
# operand the bytes of a channel if it has memory for a single one, else 0.
CHAIN_END, CHAIN_CHANNELS, CHAIN_STEPS = 0, 1, 2
CHAIN = CHAIN_STEPS + OPERANDS


# Of an array, which is to C what every object begins with, and then: where its numbers lie.
_DATA_AT = object.__basicsize__
_number_at = ctypes.c_size_t.from_address


def address_of(array):
    """As `array.ctypes.data`, in a fifth of the time."""
    return _number_at(id(array) + _DATA_AT).value


def cell_of(table, index):
    """A number of a table of int64, whose `value` is written in half of the time that the table takes."""
    return ctypes.c_int64.from_buffer(table, index * table.itemsize)
