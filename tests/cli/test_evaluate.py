"""The command that evaluates."""

import re
from pathlib import Path

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


def photos(folder, count, seed=0):
    """Pictures of two classes, bright above and bright below, in a folder for each."""
    Image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(seed)
    for name, rows in (("above", slice(0, 4)), ("below", slice(4, 8))):
        place = Path(folder, name)
        place.mkdir(parents=True, exist_ok=True)
        for k in range(count):
            pixels = rng.integers(0, 100, (8, 8), dtype=np.uint8)
            pixels[rows] += 150
            Image.fromarray(pixels).save(place / f"{seed}-{k}.png")


def test_what_is_measured_is_said_and_images_trained_on_are_counted(run):
    photos("pets", 20)
    assert run("train", "--data", "pets", "--epochs", 1, "-o", MODEL)[0] == 0
    code, out, _ = run("evaluate", MODEL)
    assert code == 0
    count = int(re.search(r"pets: (\d+) held-out images of 40, --all measures all", out).group(1))
    assert "it was trained on none of them" in out
    code, out, _ = run("evaluate", MODEL, "--all")
    assert "pets: all 40 images" in out
    assert f"it was trained on {40 - count} of them: new images will do worse" in out
    assert re.search(r"^accuracy [\d.]+% \(\d+ of 40\)", out, re.MULTILINE)
    found = strict(run("evaluate", MODEL, "--all", "--json")[1])
    assert (found["images"], found["of"], found["part"], found["trained_on"]) == (40, 40, "all", 40 - count)


def test_photos_that_are_added_take_no_photo_from_training_to_the_held_out_ones(run):
    photos("pets", 20)
    run("train", "--data", "pets", "--epochs", 1, "-o", MODEL, "-q")
    photos("pets", 1, seed=1)
    found = strict(run("evaluate", MODEL, "--json")[1])
    assert found["trained_on"] == 0
    assert found["of"] == 42


def test_images_trained_on_are_known_by_any_name_and_in_any_file(run, stripes):
    run("train", "--data", stripes, "--epochs", 1, "-o", MODEL, "-q")
    with np.load(stripes) as arrays:
        np.savez("again.npz", X=arrays["X"][::-1], y=arrays["y"][::-1])
    found = strict(run("evaluate", MODEL, "--data", "again.npz", "--all", "--json")[1])
    assert (found["images"], found["trained_on"]) == (60, 48)


def test_images_set_apart_to_stop_early_count_as_trained_on(run, stripes):
    run("train", "--data", stripes, "--epochs", 2, "--early-stopping", 1, "-o", MODEL, "-q")
    assert strict(run("evaluate", MODEL, "--all", "--json")[1])["trained_on"] == 48


def test_a_model_that_does_not_say_what_it_was_trained_on_is_said(run, stripes):
    fc.Sequential([fc.Flatten(), fc.Dense(2)], (1, 8, 8)).save(MODEL)
    _, out, _ = run("evaluate", MODEL, "--data", stripes)
    assert "does not say which images it was trained on" in out


@pytest.mark.parametrize("hashes", [None, 3, "", "no base 64!"])
def test_a_memory_that_is_damaged_is_none(run, stripes, hashes):
    about = {"trained_on": {"images": 1, "hashes": hashes}}
    fc.Sequential([fc.Flatten(), fc.Dense(2)], (1, 8, 8)).save(MODEL, metadata=about)
    code, out, _ = run("evaluate", MODEL, "--data", stripes, "--json")
    assert code == 0
    assert strict(out)["trained_on"] is None


def test_data_may_lack_a_class_and_have_others_which_are_said(run):
    rng = np.random.default_rng(0)
    np.savez("three.npz", X=rng.random((60, 8, 8)), y=np.arange(60) % 3)
    run("train", "--data", "three.npz", "--classes", 0, 1, "--epochs", 1, "-o", MODEL, "-q")
    np.savez("other.npz", X=rng.random((60, 8, 8)), y=np.arange(60) % 2 + 1)
    code, out, err = run("evaluate", MODEL, "--data", "other.npz", "--all", "--json")
    assert (code, err) == (0, "note: images of 2 are left out: the model knows 0 1\n")
    assert [one["images"] for one in strict(out)["classes"]] == [0, 30]
    code, out, _ = run("evaluate", MODEL, "--data", "other.npz")
    assert code == 0
    assert re.search(r"^ +0 +0 +- ", out, re.MULTILINE)


def test_the_reference_network_takes_no_two_of_many_classes_by_itself(run):
    code, _, err = run("train", "--model", "reference")
    assert code == 1
    assert "--model reference tells two classes apart, digits has 10: choose two, as --classes 0 1" in err
