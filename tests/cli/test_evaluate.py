"""The command that evaluates."""

import numpy as np
import pytest

import fastconv as fc
from tests.cli.answers import MODEL, strict


def test_evaluate_refuses_data_that_lack_a_class(run, stripes):
    run("train", "--digits", 7, 3, "--epochs", 1, "-o", MODEL)
    code, _, err = run("evaluate", MODEL, "--data", stripes)
    assert code == 1
    assert "class 7 has no samples; stripes.npz has 0 1" in err


def test_evaluate_prints_what_the_table_says_and_null_where_there_is_no_number(run):
    arrays = {"y": np.arange(20) % 2, "X": np.random.default_rng(0).random((20, 8, 8))}
    np.savez("data.npz", **arrays)
    model = fc.Sequential([fc.Flatten(), fc.Dense(2)], (1, 8, 8))
    model.parameters()["1.weight"][...] = 0
    model.parameters()["1.bias"][...] = [1, 0]  # says class 0, always
    model.save(MODEL)
    code, out, _ = run("evaluate", MODEL, "--data", "data.npz", "--json")
    assert code == 0
    found = strict(out)
    assert found["images"] == 4
    assert found["accuracy"] == 0.5
    assert found["loss"] == pytest.approx(np.log(1 + np.e) - 0.5, rel=1e-6)
    assert found["confusion"] == [[2, 0], [2, 0]]
    assert [one["recall"] for one in found["classes"]] == [1, 0]
    assert [one["precision"] for one in found["classes"]] == [0.5, None]
