"""The command that says where a step goes."""

import pytest

import fastconv as fc
from tests.cli.answers import MODEL, strict

QUICK = ("--seconds", "0.02", "--batch-size", "4", "--threads", "1")


@pytest.fixture(autouse=True)
def _the_same_threads_afterwards():
    before = fc.get_num_threads()
    yield
    fc.set_num_threads(before)


def test_profile_prints_the_table_of_a_saved_network(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fc.models.reference_cnn().save(MODEL)
    code, out, err = run("profile", MODEL, *QUICK)
    assert (code, err) == (0, "")
    assert "0 Conv2d(1, kernel_size=3) + 1 ReLU()  forward" in out
    assert "a training step of 4 samples on 1 thread" in out


def test_profile_knows_the_networks_by_name_and_prints_json(run):
    code, out, _ = run("profile", "reference_cnn", "--predict", "--json", *QUICK)
    assert code == 0
    found = strict(out)
    assert found["purpose"] == "predict"
    assert sum(row["seconds"] for row in found["rows"]) == pytest.approx(found["seconds"])


def test_profile_makes_networks_for_series(run):
    for name in ("time_cnn", "lite"):
        assert run("profile", name, "--predict", *QUICK)[0] == 0


def test_profile_draws_a_picture(run, tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "profile.svg"
    assert run("profile", "reference_cnn", "--output", str(path), *QUICK)[0] == 0
    assert path.read_text().startswith("<?xml")
