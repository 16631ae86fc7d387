"""The README does what it says: its Python runs as it stands, its commands and names exist."""

import ast
import inspect
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli import main

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def under(heading, language="python"):
    """The first block of a section."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE).group(1)
    return re.search(rf"^```{language}\n(.*?)^```$", section, re.DOTALL | re.MULTILINE).group(1)


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
    names = run(under("A first network"), "A first network")
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
    names = run(under("The kernels alone"), "The kernels alone")
    assert names["y"].shape == (32, 8, 13, 14)  # (28 + 2 - 5) // 2 + 1 and (28 + 4 - 5) // 2 + 1
    assert names["dweight"].shape == names["weight"].shape
    weight = np.random.default_rng(1).random(names["weight"].shape, dtype=np.float32)
    wanted, _ = fc.kernels.max_pool2d(fc.kernels.conv2d(names["x"], weight), 2)
    assert np.array_equal(names["features"](names["x"], weight), wanted)


def test_the_scikit_learn_classifier_is_cross_validated_as_it_stands(capsys):
    pytest.importorskip("sklearn")
    run(under("In scikit-learn"), "In scikit-learn")
    scores = [float(score) for score in re.findall(r"[\d.]+", capsys.readouterr().out)]
    assert len(scores) == 3
    assert min(scores) > 0.9


def test_more_of_training_runs_as_it_stands(capsys):
    pytest.importorskip("sklearn")
    names = run(under("More of training"), "More of training")
    figures = eval(capsys.readouterr().out.splitlines()[-1])
    assert figures.keys() == {"loss", "accuracy", "f1", "auc"}
    assert min(figures["accuracy"], figures["f1"], figures["auc"]) > 0.95
    assert len(Path("history.csv").read_text().splitlines()) == 1 + len(names["history"]["val_f1"])


def test_networks_go_to_other_libraries_and_back_as_it_stands():
    for module in ("torch", "onnx", "safetensors"):
        pytest.importorskip(module)
    names = run(under("To and from PyTorch and ONNX"), "To and from PyTorch and ONNX")
    X = np.random.default_rng(0).random((3, 1, 28, 28), dtype=np.float32)
    assert np.array_equal(names["again"].predict(X), names["model"].predict(X))


def test_a_module_of_ones_own_is_read_and_written_as_it_stands(capsys):
    torch = pytest.importorskip("torch")
    block = next(block for block in blocks("python") if "class Net(nn.Module)" in block)
    names = run(block, "To and from PyTorch and ONNX")
    assert capsys.readouterr().out.strip() == "['stem.weight', 'stem.bias']"
    X = np.random.default_rng(0).random((3, 1, 28, 28), dtype=np.float32)
    with torch.no_grad():
        wanted = names["module"](torch.from_numpy(X)).numpy()
    np.testing.assert_allclose(names["model"].predict(X), wanted, rtol=1e-4, atol=1e-5)


def test_a_residual_network_is_trained_as_it_stands(capsys):
    pytest.importorskip("sklearn")
    names = run(under("Networks with branches"), "Networks with branches")
    printed = capsys.readouterr().out
    assert eval(printed.splitlines()[0])["accuracy"] > 0.95
    assert "2.layers.0" in printed
    assert len(names["model"].nodes) == 17


def test_a_network_of_two_heads_is_trained_as_it_stands():
    names = run(next(block for block in blocks("python") if "policy_loss" in block), "Networks with branches")
    history = names["history"]
    assert history["policy_loss"][-1] < 0.7 * history["policy_loss"][0]
    assert history["value_loss"][-1] < 0.7 * history["value_loss"][0]
    assert names["model"].memory(batch_size=32) > 4 * names["model"].num_parameters


def test_time_series_are_classified_as_it_stands(capsys):
    pytest.importorskip("sklearn")
    run(under("Time series"), "Time series")
    assert float(capsys.readouterr().out) > 0.9


def test_a_network_is_explained_as_it_stands(capsys):
    names = run(under("See what a network does"), "See what a network does")
    out = capsys.readouterr().out
    shown = README.split("A few of its lines:\n\n```\n")[1].split("```")[0]
    assert [line for line in shown.splitlines() if line not in out.splitlines()] == []
    assert "max_pool(x=y1, y=y2, argmax=argmax2)" in out
    assert names["told"].gradients["Z1"].shape == (1, 4, 4)


def test_the_pictures_are_drawn_as_they_stand():
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib").use("agg")
    run(next(block for block in blocks("python") if "fc.plots" in block), "See what a network does")


@pytest.fixture
def photos():
    """Two classes of generated photos, one of them not square, and a new one of the first class."""
    Image = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for name, colour in (("cat", (200, 60, 60)), ("dog", (60, 60, 200))):
        Path("photos", name).mkdir(parents=True)
        for number in range(1, 31):
            pixels = rng.integers(0, 60, (48, 40 + 8 * (number % 2), 3)) + np.array(colour) * 3 // 4
            Image.fromarray(pixels.astype(np.uint8)).save(f"photos/{name}/{number}.jpg")
    Image.open("photos/cat/1.jpg").save("new.jpg")


def test_photos_are_trained_and_classified_as_it_stands(photos, capsys):
    pytest.importorskip("matplotlib").use("agg")
    install, *lines = commands(under("Your own photos", "sh"))
    assert install[:2] == ["pip", "install"]
    for words in lines:
        assert words[:3] == ["python", "-m", "fastconv"]
        assert main(words[3:]) == 0, capsys.readouterr().err
    assert "<svg" in Path("report.html").read_text(encoding="utf-8") or "data:image" in Path(
        "report.html"
    ).read_text(encoding="utf-8")
    assert "cat" in capsys.readouterr().out.splitlines()[-1]
    run(under("Your own photos"), "Your own photos")
    first, *others = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"cat (0\.[5-9]\d*|1\.0)", first)
    assert [line.split(":")[0] for line in others] == ["new.jpg", "photos/cat/1.jpg"]


def test_the_commands_of_the_container_are_those_that_are_there(photos, capsys):
    """What can be known without a container: extras, commands and files; its user may write nowhere."""
    lines = under("Your own photos", "dockerfile").splitlines()
    words = [re.match(r"([A-Z]+) (.*)", line).groups() for line in lines]
    assert words[0] == ("FROM", "python:3.12-slim")
    assert words[-2] == ("USER", "65534")
    run_lines = [text for kind, text in words if kind == "RUN"]
    assert 'pip install --no-cache-dir "/tmp/fastconv[images]"' in run_lines[0]
    assert ("COPY", "photos.npz ./") in words
    fc.Sequential([fc.Flatten(), fc.Dense(2)], (3, 32, 32)).save("photos.npz")
    entry = ast.literal_eval(words[-1][1])
    told = re.search(r"`docker run .* IMAGE /data/(.*)`", README).group(1)
    for command in (*map(shlex.split, run_lines[1:]), [*entry, *shlex.split(told)]):
        assert command[:3] == ["python", "-m", "fastconv"]
        assert main(command[3:]) == 0, capsys.readouterr().err


TABLE = re.findall(
    r"^\| (.*) \|$", README.partition("## From Keras or PyTorch")[2].partition("\n## ")[0], re.M
)
OURS = [text for row in TABLE[2:] for text in re.findall("`([^`]+)`", row.split(" | ")[-1])]


def test_the_table_for_users_of_other_libraries_has_three_columns():
    assert len(TABLE) > 25
    assert {row.count(" | ") for row in TABLE} <= {2, 1}  # the latter where a cell at the beginning is empty


@pytest.mark.parametrize("text", OURS)
def test_what_stands_for_something_of_keras_or_pytorch_can_be_called_like_that(text):
    model = fc.models.lenet5()
    names = {"fc": fc, "model": model, "trainer": fc.Trainer(model), "layers": list(model.layers)}
    names |= {"X": None, "y": None, "path": "model.npz", "state": model.state()}
    names |= {"x": None, "inputs": (inputs := fc.Input((4,))), "outputs": fc.Tanh()(inputs)}
    call = ast.parse(text, mode="eval").body
    if not isinstance(call, ast.Call):
        assert eval(text, names) is not None
        return
    function = eval(ast.unparse(call.func), names)
    given = [eval(ast.unparse(argument), names) for argument in call.args]
    named = {keyword.arg: eval(ast.unparse(keyword.value), names) for keyword in call.keywords}
    inspect.signature(function).bind(*given, **named)
    if inspect.isclass(function):
        function(*given, **named)


def test_there_are_no_other_python_blocks_than_those_that_run_here():
    assert len(blocks("python")) == 15
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
        ["python", "-m", "pytest", "tests", "-n", "2", "--dist", "loadfile"],
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


def test_the_search_on_a_cluster_runs_as_it_stands(tmp_path):
    for name in ("sklearn", "dask.distributed"):
        pytest.importorskip(name)
    script = next(block for block in blocks("python") if "dask.distributed" in block)
    (tmp_path / "script.py").write_text(script.replace("epochs=10", "epochs=1"), encoding="utf-8")
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert re.match(r"\{'batch_size': \d+, 'learning_rate': [\d.]+\} 0\.\d+", done.stdout)


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


# All but the table, which has calls of other libraries, too.
PROSE = "\n".join(line for line in README.splitlines() if not line.startswith("| "))


@pytest.mark.parametrize("text", re.findall(r"`((?:model|trainer|fc)\.[^`]+)`", PROSE))
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
