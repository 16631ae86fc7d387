"""The command that measures."""

import pytest

from fastconv.cli import main
from tests.cli.answers import strict


def test_bench_hands_its_options_on(run, monkeypatch):
    table = pytest.importorskip("fastconv.benchmarks.table")
    seen = {}
    monkeypatch.setattr(table, "run", lambda **options: seen.update(options) or 0)
    assert (
        run("bench", "--quick", "--compare", "im2col", "--save", "t.md", "--threads", "1", "--no-goals")[0]
        == 0
    )
    asked = {"compare": ("im2col",), "quick": True, "save": "t.md", "threads": [1], "with_goals": False}
    assert seen == {**asked, "json": None, "chart": None, "update_readme": None}


def test_bench_prints_json_instead_of_the_table_when_no_file_is_named(capsys, monkeypatch):
    table = pytest.importorskip("fastconv.benchmarks.table")
    monkeypatch.setattr(table, "measure", lambda *args: [])
    monkeypatch.setattr(table, "markdown", lambda *args: "| the table |")
    assert main(["bench", "--no-goals", "--json", "--threads", "1"]) == 0
    assert strict(capsys.readouterr().out)["rows"] == []
    assert main(["bench", "--no-goals", "--threads", "1"]) == 0
    assert capsys.readouterr().out == "| the table |\n"
