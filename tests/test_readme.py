"""The README does what it says: its Python runs as it stands, its commands and names exist."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def commands(block):
    """The commands of a shell block, each a list of words."""
    lines = [line for line in block.splitlines() if line.strip() and not line.startswith("#")]
    return [shlex.split(part) for line in lines for part in line.split("&&")]


def run(block, where):
    names = {"__name__": "readme"}
    exec(compile(block, f"README.md, {where}", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_first_network_trains_as_it_stands_to_the_accuracy_of_a_convolutional_network(capsys):
    pytest.importorskip("sklearn")
    names = run(blocks("python")[0], "A first network")
    figures, classes = re.fullmatch(
        r"(\{.*\}) \[([\d ]+)\]", capsys.readouterr().out.splitlines()[-1]
    ).groups()
    assert float(re.search(r"'accuracy': ([\d.]+)", figures).group(1)) > 0.95
    assert len(classes.split()) == 5
    assert names["model"].output_shape == (10,)


def test_parts_of_ones_own_train_as_they_stand(capsys):
    names = run(next(block for block in blocks("python") if "ConvBlock" in block), "Parts of your own")
    assert float(capsys.readouterr().out) < 1e-6
    names["model"].predict(names["X"])


def test_the_kernels_run_as_they_stand_from_python_and_from_compiled_code():
    names = run(blocks("python")[-1], "The kernels alone")
    assert names["y"].shape == (32, 8, 13, 14)  # (28 + 2 - 5) // 2 + 1 and (28 + 4 - 5) // 2 + 1
    assert names["dweight"].shape == names["weight"].shape
    weight = np.random.default_rng(1).random(names["weight"].shape, dtype=np.float32)
    wanted, _ = fc.kernels.max_pool2d(fc.kernels.conv2d(names["x"], weight), 2)
    assert np.array_equal(names["features"](names["x"], weight), wanted)


def test_the_scikit_learn_classifier_is_cross_validated_as_it_stands(capsys):
    pytest.importorskip("sklearn")
    run(blocks("python")[2], "In scikit-learn")
    scores = [float(score) for score in re.findall(r"[\d.]+", capsys.readouterr().out)]
    assert len(scores) == 3
    assert min(scores) > 0.9


def test_more_of_training_runs_as_it_stands(capsys):
    pytest.importorskip("sklearn")
    names = run(blocks("python")[1], "More of training")
    figures = eval(capsys.readouterr().out.splitlines()[-1])
    assert figures.keys() == {"loss", "accuracy", "f1", "auc"}
    assert min(figures["accuracy"], figures["f1"], figures["auc"]) > 0.95
    assert len(Path("history.csv").read_text().splitlines()) == 1 + len(names["history"]["val_f1"])


def test_networks_go_to_other_libraries_and_back_as_it_stands():
    for module in ("torch", "onnx", "safetensors"):
        pytest.importorskip(module)
    names = run(blocks("python")[3], "To and from PyTorch and ONNX")
    X = np.random.default_rng(0).random((3, 1, 28, 28), dtype=np.float32)
    assert np.array_equal(names["again"].predict(X), names["model"].predict(X))


def test_a_network_is_explained_as_it_stands(capsys):
    names = run(blocks("python")[4], "See what a network does")
    out = capsys.readouterr().out
    shown = README.split("A few of its lines:\n\n```\n")[1].split("```")[0]
    assert [line for line in shown.splitlines() if line not in out.splitlines()] == []
    assert "max_pool(x=y1, y=y2, argmax=argmax2)" in out
    assert names["told"].gradients["Z1"].shape == (1, 4, 4)


def test_the_pictures_are_drawn_as_they_stand():
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib").use("agg")
    run(blocks("python")[5], "See what a network does")


def test_there_are_no_other_python_blocks_than_those_that_run_here():
    assert len(blocks("python")) == 8
    assert "```py\n" not in README


def test_training_takes_an_environment_one_install_and_one_command():
    assert commands(blocks("sh")[0]) == [
        ["python", "-m", "venv", ".venv"],
        [".", ".venv/bin/activate"],
        ["pip", "install", ".[sklearn]"],
        ["python", "-m", "fastconv", "train"],
    ]


def test_testing_takes_an_environment_one_install_and_one_command():
    assert commands(blocks("sh")[1]) == [
        ["python", "-m", "venv", ".venv"],
        [".", ".venv/bin/activate"],
        ["pip", "install", "-e", ".[test]"],
        ["python", "-m", "pytest", "tests"],
    ]


def test_every_extra_that_the_readme_installs_exists():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    section = re.search(
        r"^\[project.optional-dependencies\]\n(.*?)^\[", project, re.DOTALL | re.MULTILINE
    ).group(1)
    known = set(re.findall(r"^(\w+) = ", section, re.MULTILINE))
    named = {
        name for group in re.findall(r"pip install .*?\.\[([\w,]+)\]", README) for name in group.split(",")
    }
    assert {"sklearn", "test"} <= named <= known


def test_every_command_that_the_readme_names_exists(capsys):
    named = set(re.findall(r"python -m fastconv (\w+)", README))
    assert {"train", "bench", "info"} <= named
    for name in sorted(named):
        assert main([name, "--help"]) == 0, name
        assert f"fastconv {name}" in capsys.readouterr().out


def test_every_setting_of_the_environment_in_the_readme_is_read_and_every_one_that_is_read_is_there():
    sources = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "fastconv").rglob("*.py"))
    read = set(re.findall(r"environ(?:\.get)?[\(\[]\"(FASTCONV_\w+)\"", sources))
    assert read == set(re.findall(r"FASTCONV_\w+", README))


@pytest.mark.parametrize("text", re.findall(r"`((?:model|trainer|fc)\.[^`]+)`", README))
def test_every_call_in_the_text_names_something_that_exists(text):
    roots = {"model": fc.models.reference_cnn(), "trainer": fc.Trainer(fc.models.lenet5()), "fc": fc}
    found = roots[text.split(".")[0]]
    for name in text.partition("(")[0].split(".")[1:]:
        found = getattr(found, name)
    assert callable(found)


def test_the_networks_in_the_text_have_the_parameters_that_it_says():
    count = int(
        re.search(r"`fc\.models\.reference_cnn\(\)` is .*?(\d+) parameters", README, re.DOTALL).group(1)
    )
    assert fc.models.reference_cnn().num_parameters == count == 15


@pytest.mark.parametrize("path", re.findall(r"`((?:tests/|lanes/)?\w+\.py|lanes/)`", README))
def test_every_file_in_the_text_exists(path):
    assert (ROOT / path).exists() or (ROOT / "fastconv" / path).exists()
