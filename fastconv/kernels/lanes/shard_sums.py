"""Sums over the shards of a batch, by a binary tree that depends on nothing but their number.

    shard    0   1   2   3   4     A shard is a run of blocks of samples whose weight gradients are summed
             +---+   +---+   |     in one place. Which thread computes it, and on which machine, makes no
               +-------+     |     difference to a bit: a process that has computed shards 0 to 3 adds them
                   +---------+     up to one node, whose sum is all that others need of them.

The sums of shard k lie in row k; what they are added up to, in the row of the first of them.
"""

from typing import NamedTuple

from ... import simd
from ...simd.compiling import compiled
from .operation import STATE, offsets_of, operation, share

LEVELS = 10  # of the tree over as many shards as there may be


@compiled
def first_block(shard, blocks, shards):
    """The first block of a shard; mostly there is one in each."""
    return shard if shards == blocks else shard * blocks // shards


@compiled
def end_of_node(first, last, shards):
    """The end of the largest node of the tree that begins at shard `first` and has none from `last` on.

    >>> [end_of_node(first, 5, 5) for first in (0, 2, 4)], end_of_node(0, 3, 5)
    ([5, 4, 5], 2)
    """
    size = 1
    while first % (2 * size) == 0 and first + size < last and (first + 2 * size <= last or last == shards):
        size *= 2
    return min(first + size, last)


@compiled
def add_rows(rows, distance, first, last, begin, end):
    """Add up the rows from `first` to before `last`, which are a node, in that of `first`.

    Rows are `distance` vectors apart; of each, the vectors from `begin` to before `end` are added. Sums that
    wait for their right neighbour do so in `waiting`, one a level of the tree: those of the bits of `pair`.
    """
    if first + 1 == last:
        return
    waiting, pairs = simd.local(rows, LEVELS), (last - first + 1) // 2
    for k in range(begin, end):
        at, ends = first * distance + k, last * distance
        for pair in range(pairs):
            value, right = simd.load(rows, at), at + distance
            if right < ends:
                value = simd.add(value, simd.load(rows, right))
            level, rest, at = 0, pair, right + distance
            while rest % 2 == 1 or (pair == pairs - 1 and rest > 0):
                if rest % 2 == 1:
                    value = simd.add(simd.load(waiting, level), value)
                rest, level = rest // 2, level + 1
            simd.store(waiting, level, value)
        simd.store(rows, first * distance + k, value)


class ShardSumsGeometry(NamedTuple):
    """What `add_shards` and `add_own_shards` add up; storage is padded to whole vectors."""

    numbers: int  # in a row
    distance: int  # scalars from one row to the next


SHARD_SUMS = offsets_of(ShardSumsGeometry)


@operation
def add_shards(shards, total_gradient, _a, _b, _c, _d, g, s):
    """total_gradient = the sum of all shards; each thread takes some of the numbers."""
    lanes = simd.lanes(shards)
    distance = g[SHARD_SUMS.distance] // lanes
    first, last = share((g[SHARD_SUMS.numbers] + lanes - 1) // lanes, s)
    add_rows(shards, distance, 0, s[STATE.sums], first, last)
    for k in range(first * lanes, min(last * lanes, g[SHARD_SUMS.numbers])):
        total_gradient[k] = shards[k]


@operation
def add_own_shards(shards, _a, _b, _c, _d, _e, g, s):
    """Add up the shards of each node of the tree that this process computes; threads take some numbers."""
    lanes = simd.lanes(shards)
    distance, own_end = g[SHARD_SUMS.distance] // lanes, s[STATE.last_shard]
    first, last = share((g[SHARD_SUMS.numbers] + lanes - 1) // lanes, s)
    node = s[STATE.first_shard]
    while node < own_end:
        end = end_of_node(node, own_end, s[STATE.shards])
        add_rows(shards, distance, node, end, first, last)
        node = end
