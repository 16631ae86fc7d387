"""Whatever `fit` is asked for, ranks end with the bits of one process."""

import pytest

from tests.ranks import fits
from tests.ranks.threads_as_ranks import on_ranks


@pytest.mark.parametrize("data", ["shared", "local"])
@pytest.mark.parametrize("run", fits.RUNS, ids=lambda run: run.__name__)
def test_a_run_on_ranks_ends_as_that_of_one_process(run, data):
    alone = fits.left_of(run)
    for ranks in (2, 3):
        for found in on_ranks(ranks, lambda one: fits.left_of(run, one, data)):
            assert found == alone
