"""Commands on photos: bad files, options that change them, and photos unlike those of training."""

import os
import re

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli import looks
from fastconv.datasets.image_arrays import resize
from tests.cli.answers import MODEL, predictions, strict

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def wide(tmp_path):
    """24 images of 24x36 in two classes, red and blue in the middle, noise at the sides."""
    rng = np.random.default_rng(0)
    for k in range(24):
        pixels = rng.integers(0, 256, (24, 36, 3), dtype=np.uint8)
        pixels[:, 6:30] = (30, 30, 30)
        pixels[:, 6:30, 0 if k % 2 else 2] = 150 + k
        folder = tmp_path / "wide" / ("red" if k % 2 else "blue")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    return "wide"


def train(run, *argv):
    code, out, err = run("train", "--data", "wide", "--epochs", 3, "-o", MODEL, "--image-size", 16, *argv)
    assert code == 0, err
    return out


@pytest.mark.parametrize("aspect", ["crop", "pad"])
def test_what_train_does_to_proportions_is_done_again_later(run, wide, aspect):
    out = train(run, f"--{aspect}")
    assert "24 images scaled from 24x36 to 16x16 pixels, with" in out
    model = fc.load(MODEL)
    assert model.metadata["aspect"] == aspect
    code, out, err = run("evaluate", MODEL, "--json")
    assert (code, strict(out)["trained_on"], err) == (0, 0, "")
    path = os.path.join(wide, "red", "1.png")
    pixels = np.asarray(Image.open(path)).transpose(2, 0, 1)
    X = resize(pixels, (16, 16), aspect)[None]
    code, out, _ = run("predict", MODEL, path, "--json", "--top", 2)
    chances = {one["class"]: one["probability"] for one in predictions(out)[path]["top"]}
    expected = np.exp(model.predict(X)[0].astype(float))
    assert chances["red"] == pytest.approx(expected[1] / expected.sum(), abs=1e-6)
    np.savez("one.npz", X=pixels[None])
    _, out, _ = run("predict", MODEL, "one.npz", "--json", "--top", 2)
    (row,) = strict(out)["images"]
    assert {one["class"]: one["probability"] for one in row["top"]} == pytest.approx(chances, abs=1e-6)


def test_colours_are_turned_grey_if_asked(run, wide):
    out = train(run, "--grey")
    assert "24 images in colours turned grey" in out
    assert "held-out images of 1x16x16" in out
    code, out, err = run("evaluate", MODEL, "--all", "--json")
    assert (code, strict(out)["images"], err) == (0, 24, "")


def test_arrays_are_turned_grey_and_cropped_too(run):
    X = np.random.default_rng(0).integers(0, 256, (40, 3, 12, 20), dtype=np.uint8)
    np.savez("data.npz", X=X, y=np.arange(40) % 2)
    argv = ["train", "--data", "data.npz", "--epochs", 1, "-o", MODEL, "--grey", "--crop", "--image-size", 8]
    code, out, err = run(*argv)
    assert code == 0, err
    assert "of 1x8x8" in out
    code, out, _ = run("evaluate", MODEL, "--json", "--all")
    assert strict(out)["trained_on"] == 32


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_bad_files_are_named_a_line_each_and_may_be_skipped(run, wide, command):
    if command == "evaluate":
        train(run)
    argv = [*(["train", "-q", "--epochs", 1] if command == "train" else ["evaluate", MODEL]), "--data", wide]
    for k in range(11):
        with open(f"wide/red/bad{k:02}.jpg", "wb") as file:
            file.write(b"\xff\xd8" * (k % 2))
    code, out, err = run(*argv)
    lines = err.splitlines()
    assert (code, out, len(lines)) == (1, "", 12)
    assert lines[0] == "fastconv: error: wide/red/bad00.jpg is empty"
    assert "bad01.jpg is not a PNG" in lines[1]
    assert lines[10:] == [
        "fastconv: error: and 1 more",
        "fastconv: error: wide has 11 of 35 image files that cannot be read: --skip-bad goes on without them",
    ]
    code, _, err = run(*argv, "--skip-bad")
    assert code == 0, err


@pytest.mark.skipif(os.name == "nt", reason="such names can't be there")
def test_names_of_classes_and_files_do_not_steer_the_terminal(run, wide):
    os.rename("wide/red", "wide/r\x1b[2Jed\r")
    os.rename("wide/blue", "wide/b\nlue")
    for name in ("\x1b[2J.jpg", "\x1b[1m.txt"):
        with open(f"wide/b\nlue/{name}", "wb"):
            pass
    shown = [run("train", "--data", wide, "--epochs", 1, "-o", MODEL)]
    shown.append(run("train", "--data", wide, "--epochs", 1, "-o", MODEL, "--skip-bad"))
    shown.append(run("train", "--data", wide, "--classes", "b\nlue", "x\x1b[2J"))
    shown.append(run("evaluate", MODEL, "--skip-bad"))
    shown.append(run("evaluate", MODEL, "--data", "x\x1b[2J"))
    shown.append(run("predict", MODEL))
    shown.append(run("predict", MODEL, wide))
    shown.append(run("export", MODEL, "model.safetensors"))
    shown.append(run("export", MODEL, "x\x1b[2J.onnx/x\x1b[2J.npz"))
    assert [code for code, _, _ in shown] == [1, 0, 1, 0, 1, 0, 1, 0, 1]
    for _, out, err in shown:
        assert not set("\x1b\r") & set(out + err)
        assert "lue" not in [line.split(" ")[0] for line in (out + err).splitlines()]


def test_the_validation_part_of_a_split_validates(run, wide):
    for k, name in enumerate(("train", "val", "test")):
        for colour in ("red", "blue"):
            files = sorted(os.listdir(f"wide/{colour}"))
            os.makedirs(f"parts/{name}/{colour}")
            for file in files[: 6 - 2 * k]:
                os.rename(f"wide/{colour}/{file}", f"parts/{name}/{colour}/{file}")
    code, out, err = run("train", "--data", "parts", "--epochs", 2, "-o", MODEL, "--json")
    assert (code, strict(out)["trained_on"]) == (0, 12 + 8), err
    assert "12 training and 4 held-out images of 3x24x36, 8 to validate on" in err
    figures = strict(out)["history"]["val_accuracy"]
    assert {round(figure * 8, 6) % 1 for figure in figures} == {0.0}
    code, out, _ = run("evaluate", MODEL, "--all", "--json")
    assert (strict(out)["images"], strict(out)["trained_on"]) == (24, 20)
    code, out, err = run("train", "--data", "parts", "--classes", "red", "blue", "--epochs", 1, "-q")
    assert code == 0, err


# ---------------------------------------------------------------- photos unlike those of training


def photos(level, colour=0.0, count=20):
    """Images of a mean level from 0 to 1, their channels apart by `colour`."""
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, (count, 1, 8, 8))
    return np.clip(255 * (level + noise + np.array([colour, 0, -colour])[:, None, None] / 2), 0, 255).astype(
        "u1"
    )


@pytest.mark.parametrize(
    ("trained", "shown", "said"),
    [
        (photos(0.4, 0.2), photos(0.42, 0.2), None),
        (photos(0.4, 0.2), photos(0.42, 0.2, 1), None),
        (photos(0.2), photos(0.6), "brighter than those of training"),
        (photos(0.6), photos(0.2), "darker than those of training"),
        (photos(0.4, 0.2), photos(0.4), "grey, those of training had colours"),
        (photos(0.4), photos(0.4, 0.2), "colours, those of training were grey"),
        (photos(0.4), photos(0.4).astype(float), "another scale .* divide them by 255"),
        (photos(0.4).astype(float), photos(0.4), "another scale .* multiply them by 255"),
        (photos(0.4), np.full((9, 3, 8, 8), 100, "u1"), "hardly any contrast"),
    ],
)
def test_images_unlike_those_of_training_are_said(trained, shown, said):
    found = looks.hints({"pixels": looks.measured(trained)}, shown)
    assert len(found) == (said is not None)
    assert said is None or re.search(said, found[0])


@pytest.mark.parametrize(
    "known", [None, 3, {}, {"brightness": 1}, {"brightness": ["a"], "contrast": [], "colour": []}]
)
def test_a_model_that_does_not_say_how_its_images_look_gives_no_hint(known):
    assert looks.hints({"pixels": known}, photos(0.4)) == []


def test_predict_and_evaluate_say_that_images_are_inverted(run, wide):
    train(run)
    os.makedirs("light/red")
    for k in range(1, 24, 2):
        pixels = 255 - np.asarray(Image.open(f"wide/red/{k}.png")) // 4
        Image.fromarray(pixels).save(f"light/red/{k}.png")
    _, _, err = run("predict", MODEL, "light")
    assert re.fullmatch(r"note: the images are brighter than those of training .*\n", err)
    _, _, err = run("predict", MODEL, "wide")
    assert err == ""
    os.makedirs("light/blue")
    Image.fromarray(pixels).save("light/blue/1.png")
    code, _, err = run("evaluate", MODEL, "--data", "light", "--all")
    assert code == 0
    assert "note: the images are brighter" in err
    assert "note: 13 images scaled from 24x36 to 16x16" in err
