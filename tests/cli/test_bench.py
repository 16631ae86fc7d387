"""The command that measures."""

import pytest

from fastconv.benchmarks.choice import EVERYTHING, Choice
from fastconv.cli import main
from tests.cli.answers import strict


def test_bench_hands_its_options_on(run, monkeypatch):
    table = pytest.importorskip("fastconv.benchmarks.table")
    seen = {}
    monkeypatch.setattr(table, "run", lambda **options: seen.update(options) or 0)
    options = ("--quick", "--compare", "im2col", "--save", "t.md", "--threads", "1", "--no-goals")
    part = ("--parts", "steps", "grid", "--networks", "fcn", "lenet5", "--batches", "8", "--seconds", "0.5")
    assert run("bench", *options, *part)[0] == 0
    asked = {"compare": ("im2col",), "quick": True, "save": "t.md", "threads": [1], "with_goals": False}
    chosen = {"choice": Choice(("steps", "grid"), ("fcn", "lenet5"), (8,)), "seconds": 0.5}
    assert seen == {**asked, **chosen, "json": None, "chart": None, "update_readme": None}


def test_bench_measures_everything_unless_told_otherwise(run, monkeypatch):
    table = pytest.importorskip("fastconv.benchmarks.table")
    seen = {}
    monkeypatch.setattr(table, "run", lambda **options: seen.update(options) or 0)
    assert run("bench")[0] == 0
    assert (seen["choice"], seen["seconds"], seen["with_goals"]) == (EVERYTHING, None, True)


def test_a_network_that_is_not_measured_is_named(run):
    code, _, err = run("bench", "--networks", "alexnet")
    assert code == 2
    assert "--networks must be some of reference_cnn, lenet5, " in err


def test_bench_prints_json_instead_of_the_table_when_no_file_is_named(capsys, monkeypatch):
    table = pytest.importorskip("fastconv.benchmarks.table")
    monkeypatch.setattr(table, "measure", lambda *args: [])
    monkeypatch.setattr(table, "markdown", lambda *args: "| the table |")
    monkeypatch.setattr(table.errors, "measure", lambda told: [])
    assert main(["bench", "--no-goals", "--json", "--threads", "1"]) == 0
    assert strict(capsys.readouterr().out)["rows"] == []
    assert main(["bench", "--no-goals", "--threads", "1"]) == 0
    assert capsys.readouterr().out == "| the table |\n"
