"""Whatever `fit` is asked for, ranks end with the bits of one process."""

from pathlib import Path

import pytest

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
