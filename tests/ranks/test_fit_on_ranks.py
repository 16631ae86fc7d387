"""Whatever `fit` is asked for, ranks end with the bits of one process."""

from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv.engine.ranks.communicator import ALONE
from tests.ranks import fits
from tests.ranks.harness import run_on_ranks
from tests.ranks.threads_as_ranks import on_ranks


@pytest.mark.parametrize("data", ["shared", "local"])
@pytest.mark.parametrize("run", fits.RUNS, ids=lambda run: run.__name__)
def test_a_run_on_ranks_ends_as_that_of_one_process(run, data):
    alone = fits.left_of(run)
    for ranks in (2, 3):
        for found in on_ranks(ranks, lambda one: fits.left_of(run, one, data)):
            assert found == alone


def test_the_script_of_the_readme_runs_on_ranks_as_it_stands(tmp_path):
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    script = readme.partition("## On many machines")[2].partition("```python\n")[2].partition("```")[0]
    run_on_ranks(script.replace("epochs=10", "epochs=1"), 2, cwd=tmp_path)
    assert (tmp_path / "run.npz").exists()


def test_batches_with_too_few_blocks_for_all_ranks_are_told_of(recwarn):
    def train(ranks):
        X, y = np.zeros((40, 1, 6, 6)), np.arange(40) % 2
        fc.Trainer(fc.models.reference_cnn(), "bce", communicator=ranks).fit(X, y, epochs=1, batch_size=20)

    train(ALONE)
    assert not recwarn
    on_ranks(3, train)
    assert [str(one.message) for one in recwarn] == [
        "a batch of 20 samples is 2 blocks of 16, and 1 of 3 ranks have nothing to do: a `batch_size` of 48 "
        "gives each a block"
    ]
