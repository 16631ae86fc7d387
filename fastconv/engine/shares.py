"""Which part of a batch each rank computes: a run of shards, and so of blocks and of samples."""

import itertools
from functools import cached_property, lru_cache

from ..kernels.lanes.shard_sums import end_of_node, first_block
from .ranks.communicator import share_of
from .tables import MAX_SHARDS


class Shares:
    """How a batch of so many samples, some in each block, is divided among ranks.

    Attributes
    ----------
    shard_ends, block_ends, sample_ends : list of int
        Rank r computes those from number r of the list on to before number r + 1.
    nodes : list of list of int
        Of each rank, the first shards of the nodes of the tree that it has the sums of.
    """

    def __init__(self, samples: int, in_a_block: int, ranks: int) -> None:
        self.samples = samples
        self.blocks = -(-samples // in_a_block)
        self.shards = min(self.blocks, MAX_SHARDS)
        self.shard_ends = [0, *(share_of(self.shards, rank, ranks)[1] for rank in range(ranks))]
        self.block_ends = [first_block.py_func(end, self.blocks, self.shards) for end in self.shard_ends]
        self.sample_ends = [min(end * in_a_block, samples) for end in self.block_ends]

    @cached_property
    def _nodes(self) -> list[tuple[int, int, int]]:
        """(rank, first shard, the one after the last) of all nodes."""
        found = []
        for rank, (node, own_end) in enumerate(itertools.pairwise(self.shard_ends)):
            while node < own_end:
                end = end_of_node.py_func(node, own_end, self.shards)
                found.append((rank, node, end))
                node = end
        return found

    @cached_property
    def nodes(self) -> list[list[int]]:
        ranks = len(self.shard_ends) - 1
        return [[first for owner, first, _ in self._nodes if owner == rank] for rank in range(ranks)]

    @cached_property
    def pairs(self) -> list[tuple[int, int]]:
        """What is left of the tree above the nodes: in order, pairs of nodes whose sums are added.

        Nodes go by their place among all; the sum lies in that of the first, and all of them in node 0.
        """
        at = {first: number for number, (_, first, _) in enumerate(self._nodes)}
        whole = {first: end for _, first, end in self._nodes}
        found, size = [], 1
        while size < self.shards:
            for first in range(0, self.shards - size, 2 * size):
                end = min(first + 2 * size, self.shards)
                if first in at and first + size in at and end > whole[first]:
                    found.append((at[first], at[first + size]))
                    whole[first] = end
            size *= 2
        return found


@lru_cache(maxsize=256)
def shares_of(samples: int, in_a_block: int, ranks: int) -> Shares:
    """The shares of a batch, made once for each size."""
    return Shares(samples, in_a_block, ranks)
