"""What `train` chooses where nobody asked: how long, on what it stops, and how images are changed."""

import argparse
import csv
import re

import numpy as np
import pytest

from fastconv.cli import training_plan
from fastconv.datasets import DataSet
from tests.cli.answers import MODEL, accuracy_in, strict
from tests.cli.scenes import photo_folder

PHOTOS = ["cat", "dog"]


def plan(count=500, classes=PHOTOS, colour=0.2, validation=False, shape=(3, 32, 32), **given):
    """The plan for so many images."""
    options = ("epochs", "batch_size", "lr", "early_stopping", "validation_split", "augment", "flip")
    args = argparse.Namespace(model="lenet", data="photos", optimizer="adam", save_best=False)
    vars(args).update(dict.fromkeys(options) | given)
    X = np.zeros((count, *shape), np.uint8)
    y = np.zeros(count, np.int64)
    more = {"X_val": X[:9], "y_val": y[:9]} if validation else {}
    return training_plan.plan_for(args, DataSet(X, y, X[:9], y[:9], classes, **more), colour)


def test_few_photos_reach_with_the_defaults_what_they_can(run, tmp_path):
    photo_folder(tmp_path / "photos", 80)
    code, out, err = run("train", "--data", "photos", "-o", MODEL, "--log", "log.csv")
    assert code == 0, err
    assert accuracy_in(out) >= 90
    assert re.search(r"up to 100 epochs, until 33 bring nothing on 3\d images set apart \(--epochs N", out)
    assert re.search(r"Augment\(.*horizontal_flip=True.*\): few images \(--no-augment: as they are\)", out)
    assert "left and right are exchanged, as photos allow (--no-flip" in out
    with open("log.csv", newline="") as file:
        losses = [float(row["val_loss"]) for row in csv.DictReader(file)]
    best = losses.index(min(losses)) + 1
    assert best == len(losses) or f"the weights of epoch {best}\n" in out
    code, out, err = run("train", "--data", "photos", "-o", MODEL, "--epochs", 10)
    assert accuracy_in(out) < 80  # what the defaults used to be


def test_epochs_follow_from_the_number_of_steps():
    assert [plan(count).recipe.epochs for count in (20, 500, 5_000, 20_000, 100_000)] == [
        100,
        100,
        20,
        10,
        10,
    ]
    assert plan(500, batch_size=500).recipe.batch_size == 500
    assert plan(500).recipe.batch_size == 32


def test_what_is_asked_for_is_done_and_nothing_else():
    asked = plan(epochs=7)
    assert (asked.recipe.epochs, asked.recipe.batch_size) == (7, 64)
    assert (asked.patience, asked.split, asked.augment, asked.chosen) == (None, 0.0, None, ())
    assert list(asked.lines(9)) == []
    assert plan(data="digits").chosen == ()
    asked = plan(early_stopping=4, validation_split=0.3, augment=False)
    assert (asked.patience, asked.split, asked.augment) == (4, 0.3, None)
    assert plan(epochs=7, flip=True).augment == plan(epochs=7, augment=False, flip=True).augment
    assert plan(epochs=7, flip=True).augment.horizontal_flip
    assert not plan(flip=False).augment.horizontal_flip
    assert plan(epochs=7, augment=True).augment.noise == 0.1


@pytest.mark.parametrize(
    ("options", "patience", "split"),
    [
        ({}, 33, 0.1),
        ({"count": 20_000}, 5, 0.1),
        ({"count": 30}, None, 0.0),  # a tenth of few images says nothing
        ({"count": 30, "validation": True}, 33, 0.0),
        ({"validation": True}, 33, 0.0),
        ({"validation_split": 0.0}, None, 0.0),
        ({"epochs": 9, "save_best": True}, 9, 0.1),
        ({"epochs": 9, "save_best": True, "validation": True}, 9, 0.0),
        ({"epochs": 9, "early_stopping": 2}, 2, 0.1),
    ],
)
def test_a_run_stops_or_goes_back_by_images_that_are_set_apart(options, patience, split):
    found = plan(**options)
    assert (found.patience, found.split) == (patience, split)


@pytest.mark.parametrize(
    ("options", "flip"),
    [
        ({}, True),
        ({"colour": 0.0, "shape": (1, 28, 28)}, False),
        ({"colour": 0.0}, False),  # grey images in three channels
        ({"classes": [*range(10)]}, False),
        ({"classes": [*"abc"]}, False),
        ({"classes": ["turn left", "turn right"]}, False),
    ],
)
def test_only_photos_are_mirrored(options, flip):
    found = plan(**options)
    assert found.augment.horizontal_flip is flip
    assert found.augment.noise == (0.03 if options.get("colour", 0.2) else 0.1)


def test_many_images_are_taken_as_they_are():
    assert plan(6000).augment is None
    assert plan(6000).chosen == ("epochs",)


def test_the_weights_of_the_best_epoch_are_kept_if_asked(run, stripes):
    argv = ["train", "--data", stripes, "--epochs", 12, "--lr", 0.2, "--save-best", "-o", MODEL]
    code, out, err = run(*argv, "--validation-split", 0.3, "--json")
    assert code == 0, err
    found = strict(out)
    losses = found["history"]["val_loss"]
    assert len(losses) == 12
    assert found["saved_epoch"] == losses.index(min(losses)) + 1


@pytest.mark.parametrize("option", ["flip", "augment"])
def test_what_is_chosen_can_be_refused(run, option):
    assert f"--{option}, --no-{option}" in run("train", "--help")[1]
