"""The command that puts training runs side by side."""

import json
from pathlib import Path

import pytest

from tests.cli.answers import MODEL, strict


def trained(run, stripes, name, *options):
    """A run's JSON in a file, and what is in it."""
    code, out, err = run("train", "--data", stripes, "--epochs", 3, "-o", MODEL, "--json", *options)
    assert code == 0, err
    Path(name).write_text(out)
    return strict(out)


def test_settings_that_differ_and_results_stand_side_by_side(run, stripes):
    first = trained(run, stripes, "a.json")
    second = trained(run, stripes, "b.json", "--lr", 0.05, "--save-best", "--augment")
    code, out, err = run("compare", "a.json", "b.json")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == ["a.json", "b.json"]
    assert any(line.split() == ["lr", "0.002", "0.05"] for line in out.splitlines())
    assert any(line.split() == ["early_stopping", "-", "3"] for line in out.splitlines())
    for same in ("batch_size", "seed", "dtype", "network"):
        assert f"\n{same}" not in out
    for name, digits in (("loss", ".4g"), ("accuracy", ".2%")):
        held_out = [f"{one['held_out'][name]:{digits}}" for one in (first, second)]
        assert any(line.split()[-2:] == held_out for line in out.splitlines() if f"held-out {name}" in line)
    saved = [one["history"]["val_loss"][one["saved_epoch"] - 1] for one in (first, second)]
    (line,) = [line for line in out.splitlines() if line.startswith("val_loss")]
    assert line.split()[1:] == [f"{value:.4g}" for value in saved]
    code, out, _ = run("compare", "a.json", "b.json", "--json")
    found = strict(out)
    assert found["differ"]["lr"] == [0.002, 0.05]
    assert [one["run"] for one in found["runs"]] == ["a.json", "b.json"]
    assert found["runs"][1]["val_loss"] == saved[1]


def test_pages_and_json_of_a_run_say_the_same(run, stripes):
    pytest.importorskip("matplotlib")
    trained(run, stripes, "a.json", "--report", "a.html")
    code, out, err = run("compare", "a.json", "a.html", "a.json")
    assert (code, err) == (0, "")
    assert "(all settings are the same)" in out
    figures = [line.split()[-3:] for line in out.splitlines()[3:] if not line.startswith("training time")]
    assert len(figures) > 5
    assert all(len(set(each)) == 1 for each in figures)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "neither a page of train --report nor what train --json prints"),
        ("[" * 100_000, "neither a page"),
        ("[1]", "is about no training run"),
        ('{"history": {"loss": 3}}', "is about no training run"),
        ('{"lr": 3}', "is about no training run"),
    ],
)
def test_other_files_are_refused_by_name(run, content, message):
    Path("a.json").write_text(content)
    code, out, err = run("compare", "a.json", "a.json")
    assert (code, out) == (1, "")
    assert err.startswith("fastconv: error: a.json ")
    assert message in err
    Path("a.html").write_text(f"<html>{content}</html>")
    code, _, err = run("compare", "a.html", "a.html")
    assert (code, err) == (
        1, "fastconv: error: a.html is no page that train --report wrote, or one of an older version\n",
    )  # fmt: skip


def test_odd_values_are_shown_and_steer_no_terminal(run):
    odd = {"history": {"loss": [], "seconds": ["x"], "\x1b[2J": [None]}, "held_out": {"accuracy": None}}
    Path("a.json").write_text(json.dumps({**odd, "saved_epoch": 10**9, "classes": ["\x1b[2J", {}]}))
    Path("b.json").write_text(json.dumps({**odd, "saved_epoch": "x", "classes": "y" * 200}))
    code, out, err = run("compare", "a.json", "b.json")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) < 120
