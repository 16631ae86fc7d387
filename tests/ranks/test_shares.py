"""Which part of a batch each rank computes, and what is left of the tree above its nodes."""

import numpy as np
import pytest

from fastconv.engine.shares import Shares
from fastconv.engine.tables import MAX_SHARDS
from fastconv.kernels.lanes.shard_sums import LEVELS


def tree(first, end):
    """The sum of some shards as the tree has it, in words: pairs of neighbours, then pairs of these, ..."""
    rows = [str(k) for k in range(first, end)]
    while len(rows) > 1:
        pairs = [rows[k : k + 2] for k in range(0, len(rows), 2)]
        rows = [f"({'+'.join(pair)})" if len(pair) == 2 else pair[0] for pair in pairs]
    return rows[0]


@pytest.mark.parametrize("shards", [*range(1, 20), 31, 33, 63, 64])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 5, 7, 8, 16])
def test_the_nodes_of_all_ranks_make_up_the_tree_of_one(shards, ranks):
    shares = Shares(shards * 16, 16, ranks)
    sums = [tree(first, end) for _, first, end in shares._nodes]
    for i, j in shares.pairs:
        sums[i] = f"({sums[i]}+{sums[j]})"
    assert sums[0] == tree(0, shards)


@pytest.mark.parametrize("samples", [1, 15, 16, 17, 100, 1000, 16 * MAX_SHARDS + 3, 50_000])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8, 100])
def test_every_sample_has_one_rank(samples, ranks):
    shares = Shares(samples, 16, ranks)
    assert shares.sample_ends[0] == 0
    assert shares.sample_ends[-1] == samples
    assert (np.diff(shares.sample_ends) >= 0).all()
    assert shares.block_ends[-1] == -(-samples // 16)
    assert shares.shard_ends[-1] == min(MAX_SHARDS, shares.blocks)


def test_the_sums_have_room_for_all_levels_of_the_tree():
    assert 2**LEVELS >= MAX_SHARDS


def test_a_batch_of_five_blocks_by_hand():
    shares = Shares(70, 16, 2)
    assert shares.sample_ends == [0, 32, 70]
    assert shares.nodes == [[0], [2, 4]]
    assert shares.pairs == [(0, 1), (0, 2)]
