"""What ranks share with each other between the stages of a step.

Each rank computes some shards of a batch (`shares.py`). What an operation of the whole batch reads of others
comes just before its stage:

    BlockRows     a few numbers of each block, such as its sums for a batch normalisation
    ShardSums     the sums of the shards' weight gradients: of each node of the tree that a rank has, one row
                  with all layers in it; what the tree says of the nodes is added up by everybody alike
    Begin         the ShardSums of the last layers, sent before the first layers' are made; those of all
                  come in together
"""

import itertools

import numpy as np

from ..simd.compiling import compiled
from .denormals import flush_denormals, restore_denormals
from .ranks.communicator import share_of

GATHERED = 1 << 16  # bytes that it takes as long to receive as to ask for


@compiled
def add_pairs(rows, pairs):
    """rows[i] += rows[j] for all pairs (i, j), as the engine adds: numbers too small count as 0."""
    control = flush_denormals()
    for n in range(pairs.shape[0]):
        i, j = pairs[n, 0], pairs[n, 1]
        for k in range(rows.shape[1]):
            rows[i, k] += rows[j, k]
    restore_denormals(control)


def gathers(row_bytes, ranks, nodes):
    """Whether it is faster to gather all nodes than to add up slices of them, in two messages."""
    return (nodes - 2) * row_bytes <= GATHERED * ranks


class BlockRows:
    """What is kept for each block in some storages."""

    def __init__(self, storages):
        self.storages = storages

    def bind(self, memory, dtype):
        """Find the rows in a plan's memory; they are not there before."""
        self._rows = [_rows_of(memory, dtype, one.address, one.copy_bytes, one.size) for one in self.storages]

    @property
    def numbers(self):
        """How many numbers a block has to share."""
        return sum(rows.shape[1] for rows in self._rows)

    def run(self, ranks, shares):
        """Let all ranks have the rows of all blocks of a batch."""
        ends = shares.block_ends
        first, last = ends[ranks.number], ends[ranks.number + 1]
        own = np.concatenate([rows[first:last] for rows in self._rows], axis=1)
        counts = [b - a for a, b in itertools.pairwise(ends)]
        found, at = ranks.all_rows(own, counts), 0
        for rows in self._rows:
            rows[: shares.blocks] = found[:, at : at + rows.shape[1]]
            at += rows.shape[1]


class ShardSums:
    """The sums of the shards, in storages that lie one after the other, a copy for each shard.

    `before` are those of other storages that have begun by then, if there are any: both come in together.
    """

    def __init__(self, storages, before=None):
        self.storages, self.before = storages, before

    def bind(self, memory, dtype):
        """Find the rows in a plan's memory; they are not there before."""
        item = np.dtype(dtype).itemsize
        start = min(one.address for one in self.storages)
        end = max(one.address + one.size * item for one in self.storages)
        self._rows = _rows_of(memory, dtype, start, self.storages[0].copy_bytes, (end - start) // item)

    @property
    def numbers(self):
        """How many numbers a node has to share."""
        return self._rows.shape[1]

    def run(self, ranks, shares):
        """Let all ranks have the sum of all shards, in the row of the first."""
        self.begin(ranks, shares)
        if self.before is not None:
            self.before.finish(ranks, shares)
        self.finish(ranks, shares)

    def begin(self, ranks, shares):
        """Send what this rank has."""
        nodes = shares.nodes
        own = self._rows[nodes[ranks.number]]
        counts = [len(some) for some in nodes]
        if self.gathers(ranks.count, sum(counts)):
            self._coming = ranks.begin_all_rows(own, counts)
            return
        # Each rank adds up a slice of the rows, and all of them gather these.
        sizes = self._slices(ranks)
        sent = np.concatenate([part.ravel() for part in np.split(own, np.cumsum(sizes)[:-1], axis=1)])
        received = [count * sizes[ranks.number] for count in counts]
        self._coming = ranks.begin_scatter_rows(sent, [len(own) * size for size in sizes], received)

    def finish(self, ranks, shares):
        """Take in what others have sent, and add it up."""
        nodes, pairs = sum(map(len, shares.nodes)), np.array(shares.pairs, np.int64).reshape(-1, 2)
        found = self._coming.finish().reshape(nodes, -1)
        add_pairs(found, pairs)
        whole = self.gathers(ranks.count, nodes)
        self._rows[0] = found[0] if whole else ranks.all_rows(found[0], self._slices(ranks))

    def _slices(self, ranks):
        """How many numbers of each row a rank adds up."""
        shares = [share_of(self.numbers, rank, ranks.count) for rank in range(ranks.count)]
        return [last - first for first, last in shares]

    def gathers(self, ranks, nodes):
        """Whether all nodes are gathered at once."""
        return gathers(self.numbers * self._rows.itemsize, ranks, nodes)


class Begin:
    """The sums of shards, sent while others are still computed."""

    def __init__(self, sums):
        self.sums = sums

    def bind(self, memory, dtype):
        """Find the rows in a plan's memory; they are not there before."""
        self.sums.bind(memory, dtype)

    def run(self, ranks, shares):
        """Send what this rank has, and do not wait."""
        self.sums.begin(ranks, shares)


def _rows_of(memory, dtype, address, copy_bytes, numbers):
    """The first `numbers` numbers of each copy, from an address of the memory on, as rows."""
    start, kind = address - memory.ctypes.data, np.dtype(dtype)
    copies = 1 + (memory.nbytes - start - numbers * kind.itemsize) // copy_bytes  # the last may end early
    return np.ndarray((copies, numbers), kind, memory, start, (copy_bytes, kind.itemsize))
