"""Files that commands write: never one that they read, and never two in one."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv as fc
from tests.cli.answers import ENVIRONMENT, MODEL

FIT = fc.Trainer.fit


@pytest.fixture(autouse=True)
def untrained(monkeypatch):
    monkeypatch.setattr(fc.Trainer, "fit", lambda *args, **options: pytest.fail("it was trained"))


def ways_to(path):
    """Names that lead to a file: its own, through `..`, a link and a hard link if it is there, absolute."""
    yield path
    yield os.path.abspath(path)
    folder = f"in-{path}"
    os.mkdir(folder)
    yield os.path.join(folder, "..", path)
    link = f"link-{path}"
    os.symlink(path, link)
    yield link
    if os.path.exists(path):
        os.link(path, f"hard-{path}")
        yield f"hard-{path}"


@pytest.mark.parametrize("option", ["-o", "--checkpoint", "--log"])
def test_data_are_never_overwritten(run, stripes, option):
    before = Path(stripes).read_bytes()
    for name in list(ways_to(stripes)):
        code, out, err = run("train", "--data", stripes, option, name)
        assert (code, out) == (1, "")
        assert "is the file of --data, which would be overwritten" in err
        assert err.count("\n") == 1
    assert Path(stripes).read_bytes() == before


@pytest.mark.parametrize(
    ("first", "second"), list(itertools.combinations(("-o", "--checkpoint", "--log"), 2))
)
@pytest.mark.parametrize("there", [False, True])
def test_two_options_never_name_one_file(run, stripes, first, second, there):
    if there:
        Path("one.npz").touch()
    for name in list(ways_to("one.npz")):
        code, _, err = run("train", "--data", stripes, first, "one.npz", second, name)
        assert code == 1
        long = {"-o": "--output"}
        assert f"is the file of {long.get(first, first)}, which would be overwritten" in err


def test_the_report_and_the_log_never_name_one_file(run, stripes):
    pytest.importorskip("matplotlib")
    code, _, err = run("train", "--data", stripes, "--log", "a.html", "--report", "./a.html")
    assert code == 1
    assert "--report ./a.html is the file of --log" in err


def test_images_and_labels_in_a_folder_of_data_are_never_overwritten(run):
    os.makedirs("pets/cat")
    for name in ("pets/cat/1.PNG", "pets/train-labels-idx1-ubyte"):
        Path(name).write_bytes(b"data")
        code, _, err = run("train", "--data", "pets", "--log", name)
        assert code == 1
        assert f"--log {name} is an image or label file of --data pets" in err
        assert Path(name).read_bytes() == b"data"


def test_what_is_printed_goes_to_no_file_that_is_written(stripes, tmp_path):
    with open(tmp_path / "all.npz", "wb") as file:
        done = subprocess.run(
            [sys.executable, "-m", "fastconv", "train", "--data", stripes, "-o", "all.npz", "--json"],
            env=ENVIRONMENT, stdout=file, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path,
        )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == ("fastconv: error: --output all.npz is the file that standard output goes to\n")


def test_a_model_is_never_exported_over_itself(run):
    fc.Sequential([fc.Dense(3)], (4,)).save(MODEL)
    before = Path(MODEL).read_bytes()
    for name in list(ways_to(MODEL)):
        code, _, err = run("export", MODEL, name)
        assert code == 1
        assert "is the file of MODEL, which would be overwritten" in err
    assert Path(MODEL).read_bytes() == before


def test_a_benchmark_never_writes_two_things_to_one_file(run):
    code, _, err = run("bench", "--save", "a.md", "--json", "./a.md")
    assert code == 1
    assert "--json ./a.md is the file of --save" in err


def test_a_disk_that_fills_up_later_is_named_with_the_file(run, stripes, monkeypatch):
    monkeypatch.setattr(fc.Trainer, "fit", FIT)

    def full(*args, **options):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("fastconv.training.checkpoint.write_model", full)
        code, _, err = run("train", "--data", stripes, "--epochs", 1, "--checkpoint", "c.npz", "-q")
    assert (code, err) == (1, "fastconv: error: c.npz: No space left on device\n")
    pytest.importorskip("matplotlib")
    with monkeypatch.context() as patch:
        patch.setattr("fastconv.cli.report.replaced", full)
        code, _, err = run("train", "--data", stripes, "--epochs", 1, "--report", "r.html", "-q")
    assert (code, err) == (1, "fastconv: error: r.html: No space left on device\n")
