"""Rows that lie with several ranks come to where they are wanted."""

import numpy as np
import pytest

from fastconv.engine.ranks.communicator import ALONE
from fastconv.engine.ranks.spread import Spread
from tests.ranks.threads_as_ranks import on_ranks

ROWS = np.random.default_rng(0).random((23, 2, 3))
COUNTS = {1: [23], 2: [20, 3], 3: [0, 23, 0], 4: [5, 0, 11, 7]}


def on_each(count, work):
    """What `work(spread, own rows)` gives on each rank."""
    ends = np.cumsum([0, *COUNTS[count]])

    def run(ranks):
        own = ROWS[ends[ranks.number] : ends[ranks.number + 1]]
        return work(Spread(ranks, len(own)), own)

    return on_ranks(count, run)


@pytest.mark.parametrize("count", COUNTS)
def test_all_rows_and_some_of_them_come_to_all(count):
    some = np.array([0, 4, 5, 19, 20, 22, 22])

    def work(spread, own):
        assert spread.total == 23
        np.testing.assert_array_equal(spread.here(ROWS), own)
        return spread.of_all(own[..., ::-1]), spread.rows(own, some), spread.rows(own, some[:0])

    for everything, found, nothing in on_each(count, work):
        np.testing.assert_array_equal(everything, ROWS[..., ::-1])
        np.testing.assert_array_equal(found, ROWS[some])
        assert nothing.shape == (0, 2, 3)


@pytest.mark.parametrize("count", COUNTS)
def test_each_rank_gets_the_rows_that_it_wants_in_its_order(count):
    rng = np.random.default_rng(1)
    wanted = [rng.integers(0, 23, size) for size in (9, 0, 40, 1)[:count]]
    found = on_each(count, lambda spread, own: spread.fetched(own, wanted))
    for rows, mine in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(rows, ROWS[mine])


def test_a_process_on_its_own_has_all_rows():
    spread = Spread(ALONE, 23)
    assert spread.of_all(ROWS) is ROWS
    np.testing.assert_array_equal(spread.fetched(ROWS, [np.array([3, 1])]), ROWS[[3, 1]])
