"""The command that predicts: arrays and image files."""

import os
import re

import numpy as np
import pytest

from tests.cli.answers import MODEL, accuracy_in, expected_chances, predictions, strict


def test_predict_takes_a_file_of_images_without_labels(run, stripes):
    run("train", "--data", stripes, "--epochs", 8, "--output", MODEL, "--quiet")
    with np.load(stripes) as arrays:
        np.savez("unlabelled.npz", arrays["X"])
    code, out, _ = run("predict", MODEL, "unlabelled.npz", "--count", 2)
    assert code == 0
    assert "truth" not in out
    assert "right" not in out
    assert [line.split()[1] for line in out.splitlines()[1:]] == ["0", "1"]


def test_the_pixels_of_a_file_are_scaled_as_in_training(run, pictures):
    code, out, err = run("predict", MODEL, "pictures", "pixels.npz", "--json", "--top", 2)
    assert (code, err) == (0, "")
    rows = predictions(out)
    chances = expected_chances(pictures.astype(np.float64))
    for k, name in enumerate(("above", "above", "below", "below")):
        row = rows[f"pictures/{name}/{k}.png"]
        assert row["predicted"] == row["truth"] == name
        assert row["probability"] == pytest.approx(chances[k].max(), abs=1e-6)
        assert [one["probability"] for one in row["top"]] == pytest.approx(sorted(chances[k])[::-1], abs=1e-6)
        assert row["probability"] == rows[f"pixels.npz[{k}]"]["probability"]
    assert strict(out)["right"] == 4


def test_arrays_of_any_layout_and_ints_are_taken_as_in_training_with_a_word(run, pictures):
    _, out, _ = run("predict", MODEL, "pixels.npz", "--json")
    expected = [row["probability"] for row in strict(out)["images"]]
    for array, said in (
        (pictures, ""),
        (pictures[..., None], "note: images of shape (4, 8, 8, 1) are taken as (N, H, W, C)\n"),
        (pictures.astype(np.int64), "are divided by 255, as uint8 are\n"),
    ):
        np.save("pixels.npy", array)
        code, out, err = run("predict", MODEL, "pixels.npy", "--json")
        assert code == 0
        assert err.endswith(said)
        assert bool(err) == bool(said)
        assert [row["probability"] for row in strict(out)["images"]] == expected
    with open("pixels.npy", "wb") as file:
        file.write(b"not an array")
    code, _, err = run("predict", MODEL, "pixels.npy")
    assert code == 1
    assert "pixels.npy is not a whole NumPy .npy file" in err


def test_a_line_a_file_with_its_name_class_and_probability(run, pictures):
    chances = expected_chances(pictures.astype(np.float64))
    code, out, _ = run("predict", MODEL, "pictures/below/3.png", "--top", 2, "pictures/above/0.png")
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert lines[1] == [
        "pictures/below/3.png",
        "below",
        f"{chances[3, 1]:.1%}",
        "above",
        f"{chances[3, 0]:.1%}",
    ]
    assert lines[2][:3] == ["pictures/above/0.png", "above", f"{chances[0, 0]:.1%}"]
    assert len(lines) == 3


def test_inverted_pictures_of_dark_on_light_give_the_same_answers(run, pictures):
    from PIL import Image

    Image.fromarray(255 - pictures[0]).save("dark.png")
    _, out, _ = run("predict", MODEL, "pictures/above/0.png", "--json")
    _, inverted, _ = run("predict", MODEL, "dark.png", "--invert", "--json")
    _, not_inverted, _ = run("predict", MODEL, "dark.png", "--json")
    rows = [strict(text)["images"][0] for text in (out, inverted, not_inverted)]
    assert rows[0]["probability"] == rows[1]["probability"]
    assert [row["predicted"] for row in rows] == ["above", "above", "below"]


def test_files_that_cannot_be_read_are_named_and_the_others_answered(run, pictures):
    with open("pictures/above/0.png", "rb") as file:
        whole = file.read()
    for name, content in (("cut.png", whole[:60]), ("text.png", b"hello")):
        with open(name, "wb") as file:
            file.write(content)
    os.mkdir("empty")
    code, out, err = run("predict", MODEL, "cut.png", "text.png", "none.png", "empty", "pictures/above/0.png")
    assert code == 1
    assert [line.split()[0] for line in out.splitlines()[1:]] == ["pictures/above/0.png"]
    cut, text, none, empty = err.splitlines()
    assert re.fullmatch("fastconv: error: cut.png cannot be read: .+", cut)
    assert text == "fastconv: error: text.png is not a PNG, JPEG, BMP, GIF, WebP or TIFF image"
    assert none == "fastconv: error: none.png: No such file or directory"
    assert empty.startswith("fastconv: error: empty has no images (.png,")
    code, out, _ = run("predict", MODEL, "text.png", "--json")
    assert code == 1
    assert "text.png is not" in strict(out)["images"][0]["error"]


def test_a_folder_of_pictures_is_trained_evaluated_and_predicted_with_its_names(run, pictures):
    from PIL import Image

    rng = np.random.default_rng(0)
    for name, rows in (("above", slice(0, 4)), ("below", slice(4, 8))):
        for k in range(20):
            pixels = rng.integers(0, 100, (8, 8), dtype=np.uint8)
            pixels[rows] += 150
            Image.fromarray(pixels).save(f"pictures/{name}/more{k}.png")
    code, out, err = run("train", "--data", "pictures", "-o", "trained.npz", "--lr", 0.01)
    assert code == 0, err
    training, held_out = map(
        int, re.search(r"(\d+) training and (\d+) held-out images of 1x8x8", out).groups()
    )
    assert training + held_out == 44
    assert "classes above below" in out
    assert accuracy_in(out) == 100
    code, out, _ = run("evaluate", "trained.npz")
    assert code == 0
    assert re.search(r"^above +\d+ +100.0% +100.0%  -$", out, re.MULTILINE)
    code, out, _ = run("predict", "trained.npz", "pictures")
    assert code == 0
    assert "44 of 44 right" in out
    code, out, _ = run(
        "train", "--data", "pictures", "--model", "reference", "-o", "small.npz", "--epochs", 1
    )
    assert code == 0
    assert "1x6x6" in out


def test_a_file_of_arrays_that_cannot_be_read_does_not_end_the_others(run, pictures):
    with open("bad.npz", "wb") as file:
        file.write(b"PK\x03\x04 and nothing")
    code, out, err = run("predict", MODEL, "bad.npz", "pictures/above/0.png", "none.npz", "--json")
    assert code == 1
    assert err.count("error: bad.npz") == err.count("error: none.npz") == 1
    rows = strict(out)["images"]
    assert ["error" in row for row in rows] == [True, False, True]


@pytest.mark.skipif(os.name == "nt", reason="such names can't be there")
def test_names_of_files_do_not_steer_the_terminal(run, pictures):
    names = ("\x1b[2Jcleared.png", "a\rb.png")
    os.rename("pictures/above/0.png", f"pictures/{names[0]}")
    with open(f"pictures/{names[1]}", "wb") as file:
        file.write(b"no picture")
    code, out, err = run("predict", MODEL, "pictures")
    assert code == 1
    assert "\\x1b[2Jcleared.png" in out
    assert not set("\x1b\r") & set(out + err)
