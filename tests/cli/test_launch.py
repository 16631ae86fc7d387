"""Commands that an MPI launcher starts several times do their work together, and rank 0 alone speaks."""

import json
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli import launch
from fastconv.engine.ranks.communicator import ALONE
from tests.ranks.harness import run_on_ranks

SHORT = ["--model", "reference", "--epochs", "3", "--seed", "0"]


def start(ranks, *words, folder, **options):
    return run_on_ranks(["-m", "fastconv", *map(str, words)], ranks, timeout=120, cwd=folder, **options)


def test_ranks_train_evaluate_and_predict_as_one_process(run, stripes, tmp_path):
    files = ["--checkpoint", "run.npz", "--log", "log.csv"]
    code, _, err = run("train", "--data", stripes, *SHORT, "-o", "alone.npz")
    assert code == 0, err
    done = start(3, "train", "--data", stripes, *SHORT, *files, "-o", "ranks.npz", folder=tmp_path)
    assert "saved ranks.npz" in done.outputs[0]
    assert "on each of 3 ranks" in done.outputs[0]
    assert done.outputs[1:] == ["", ""]
    assert done.errors[1:] == ["", ""]
    alone, ranks = fc.load(tmp_path / "alone.npz"), fc.load(tmp_path / "ranks.npz")
    np.testing.assert_array_equal(ranks.flat_parameters, alone.flat_parameters)
    assert ranks.metadata["held_out"] == alone.metadata["held_out"]
    assert (tmp_path / "log.csv").read_text().count("\n") == 4
    for words in (("evaluate", "ranks.npz"), ("predict", "ranks.npz", "--count", "7")):
        _, out, _ = run(*words, "--json")
        done = start(2, *words, "--json", folder=tmp_path)
        assert json.loads(done.outputs[0]) == json.loads(out)
        assert done.outputs[1] == ""


def test_a_run_that_was_cut_off_goes_on_with_another_number_of_ranks(run, stripes, tmp_path):
    words = ["train", "--data", stripes, "--model", "reference", "--seed", "0", "--schedule", "constant"]
    run(*words, "--epochs", "3", "-o", "alone.npz")
    start(2, *words, "--epochs", "2", "--checkpoint", "run.npz", "-o", "half.npz", folder=tmp_path)
    go_on = ["--epochs", "3", "--checkpoint", "run.npz", "--resume", "-o", "ranks.npz"]
    start(3, *words, *go_on, folder=tmp_path)
    alone, ranks = fc.load(tmp_path / "alone.npz"), fc.load(tmp_path / "ranks.npz")
    np.testing.assert_array_equal(ranks.flat_parameters, alone.flat_parameters)


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["evaluate", "no-such-model.npz"],
            1,
            "fastconv: error: no-such-model.npz: No such file or directory",
        ),
        (
            ["train", "-o", "nowhere/model.npz"],
            1,
            "fastconv: error: --output nowhere/model.npz: there is no folder",
        ),
        (["train", "--epochs", "0"], 2, "fastconv train: error: argument --epochs: must be an int >= 1"),
        (["train", "--resume"], 2, "fastconv train: error: --resume needs --checkpoint"),
    ],
)
def test_an_error_of_all_is_one_line_of_rank_0(words, code, message, tmp_path):
    done = start(2, *words, folder=tmp_path, check=False)
    assert done.code == code
    assert done.errors[0].startswith(message)
    assert done.errors[0].count("\n") == 1
    assert done.errors[1] == ""


def test_results_as_json_and_a_page_are_of_rank_0_too(stripes, tmp_path):
    pytest.importorskip("matplotlib")
    words = ["train", "--data", stripes, *SHORT, "--ema", "--report", "page.html", "--json", "-o", "m.npz"]
    done = start(2, *words, folder=tmp_path)
    assert json.loads(done.outputs[0])["output"] == "m.npz"
    assert "saved m.npz and page.html" in done.errors[0]
    assert (done.outputs[1], done.errors[1]) == ("", "")
    assert (tmp_path / "page.html").exists()


def test_what_ranks_cannot_divide_rank_0_does_alone(tmp_path):
    done = start(2, "info", folder=tmp_path)
    assert done.outputs[0].startswith("fastconv")
    assert done.outputs[1] == ""


# Launchers


@pytest.fixture
def started(monkeypatch):
    """An environment as a launcher leaves it."""
    for names in launch._PLACES:
        for name in names:
            monkeypatch.delenv(name, raising=False)

    def start_as(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return start_as


@pytest.mark.parametrize(
    ("variables", "place"),
    [
        ({}, (0, 1)),
        ({"PMI_RANK": "2", "PMI_SIZE": "4"}, (2, 4)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "3"}, (1, 3)),
        ({"MV2_COMM_WORLD_RANK": "0", "MV2_COMM_WORLD_SIZE": "2"}, (0, 2)),
        ({"PMIX_RANK": "5", "SLURM_STEP_NUM_TASKS": "8"}, (5, 8)),
        ({"SLURM_STEP_NUM_TASKS": "8"}, (0, 1)),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, (0, 1)),
    ],
)
def test_launchers_are_known_by_what_they_set(started, variables, place):
    started(**variables)
    assert launch.place() == place
    if place[1] == 1:
        assert launch.ranks() is ALONE


def test_without_mpi4py_one_line_says_what_to_install(started, run, monkeypatch):
    started(PMI_RANK="0", PMI_SIZE="4")
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    monkeypatch.setitem(sys.modules, "mpi4py.MPI", None)
    code, out, err = run("evaluate", "model.npz")
    assert (code, out) == (1, "")
    assert err == 'fastconv: error: a command on 4 ranks needs mpi4py: pip install mpi4py (the extra "mpi")\n'
