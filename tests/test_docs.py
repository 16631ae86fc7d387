"""Every public name is documented: what it takes, gives and raises, and an example that runs as a doctest."""

import ast
import contextlib
import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import fastconv as fc
from fastconv.engine import threads
from fastconv.inspection import layer_by_layer
from fastconv.nn import optimizers, schedules
from fastconv.training import callbacks, metrics

PUBLIC = [fc, fc.kernels, fc.models, fc.datasets, metrics, schedules, optimizers, callbacks, layer_by_layer]
with contextlib.suppress(ImportError):  # scikit-learn is missing
    PUBLIC.append(fc.estimators)


def public(module):
    """Name -> function or class that a module offers: its __all__, or what it defines without underscore."""
    names = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    ]
    found = {name: getattr(module, name) for name in names}
    return {name: value for name, value in found.items() if callable(value)}


def own_members(kind):
    """(name, member) of the public methods and properties that a class has from this package."""
    for base in kind.__mro__:
        if base.__module__.startswith("fastconv"):
            for name, member in vars(base).items():
                if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                    yield name, member


def everything():
    """Path -> object, each once, however many names it has."""
    paths = {}
    for module in PUBLIC:
        for name, value in public(module).items():
            paths.setdefault(value, f"{module.__name__}.{name}")
            if inspect.isclass(value):
                for member_name, member in own_members(value):
                    paths.setdefault(member, f"{paths[value]}.{member_name}")
    return {path: value for value, path in paths.items()}


EVERYTHING = everything()
PACKAGE = Path(fc.__file__).parent
# Classes that users get and never make.
RESULTS = {
    "fastconv.DivergedError", "fastconv.History", "fastconv.NotFiniteError", "fastconv.RankError",
    "fastconv.estimators.FlatImagesWarning",
}  # fmt: skip
FUNCTIONS = [path for path, value in EVERYTHING.items() if not isinstance(value, property)]


def documentation(path):
    """The docstring; of an overriding method without one, that of the method it overrides."""
    return inspect.getdoc(EVERYTHING[path])


def section(text, heading):
    """The lines below a heading, or None."""
    found = re.search(rf"^{heading}\n-+\n(.*?)(?=^\w[^\n]*\n---|\Z)", text, re.MULTILINE | re.DOTALL)
    return found and found.group(1)


def parameters(value):
    """The names of the arguments, without self; of a record, its fields."""
    names = set(inspect.signature(value).parameters) - {"self", "args", "kwargs"}
    if dataclasses.is_dataclass(value):
        names &= {field.name for field in dataclasses.fields(value)}
    return names


def raises(value):
    """Whether a function, or a class when it is made, has a raise statement of its own."""
    names = ("__init__", "__post_init__")
    for maker in map(vars(value).get, names) if inspect.isclass(value) else [value]:
        maker = getattr(maker, "py_func", maker)
        # A record's own __init__ has no source, and a protocol's is Python's.
        if inspect.isfunction(maker) and maker.__code__.co_filename.startswith(str(PACKAGE)):
            tree = ast.parse(textwrap.dedent(inspect.getsource(maker)))
            if any(isinstance(node, ast.Raise) for node in ast.walk(tree)):
                return True
    return False


def returns_nothing(value):
    return inspect.signature(value).return_annotation in (None, "None")


def test_all_kinds_of_names_are_looked_at():
    assert len(EVERYTHING) > 120
    for path in ("fastconv.Conv2d.output_shape", "fastconv.Model.num_parameters", "fastconv.explain"):
        assert path in EVERYTHING


@pytest.mark.parametrize("path", EVERYTHING)
def test_a_public_name_has_an_example(path):
    text = documentation(path)
    assert text
    assert len(text.splitlines()[0]) > 8
    examples = section(text, "Examples")
    assert examples
    assert doctest.DocTestParser().get_examples(examples)


@pytest.mark.parametrize("path", FUNCTIONS)
def test_its_arguments_are_described(path):
    text, names = documentation(path), set() if path in RESULTS else parameters(EVERYTHING[path])
    if names:
        described = section(text, "Parameters")
        assert described
        heads = " ".join(
            line.partition(" : ")[0] for line in described.splitlines() if line and not line[0].isspace()
        )
        assert names <= set(re.findall(r"\w+", heads))


@pytest.mark.parametrize("path", [path for path in FUNCTIONS if not inspect.isclass(EVERYTHING[path])])
def test_what_a_function_returns_is_described(path):
    if not returns_nothing(EVERYTHING[path]):
        assert section(documentation(path), "Returns")


@pytest.mark.parametrize("path", [path for path in FUNCTIONS if raises(EVERYTHING[path])])
def test_the_errors_that_it_raises_are_described(path):
    assert section(documentation(path), "Raises")


def signatures():
    """Path -> what `help` shows of how each public function is called, those of loaded later included."""
    shown = {}
    for module in (fc, *map(importlib.import_module, LATER_TOO)):
        for name, value in {**public(module), **EVERYTHING}.items():
            with contextlib.suppress(TypeError, ValueError):  # properties and Python's own have none
                shown[name if "." in name else f"{module.__name__}.{name}"] = str(inspect.signature(value))
    return shown


LATER_TOO = ["fastconv.plots", "fastconv.inspection"]


def test_signatures_name_types_as_they_are_written():
    shown = signatures()
    assert len(shown) > 150
    assert "sample_weight: 'ArrayLike | None' = None" in shown["fastconv.Trainer.fit"]
    assert "fastconv.plots.worst_mistakes" in shown
    taken_apart = re.compile(r"numpy\._typing|_Supports|_Buffer|ForwardRef|TypeVar|~")
    assert [path for path, text in shown.items() if taken_apart.search(text)] == []


# The reference that pdoc makes

REFERENCE = [
    "fastconv", "fastconv.estimators", "fastconv.plots", "fastconv.losses", "fastconv.metrics",
    "fastconv.callbacks", "fastconv.schedules",
]  # fmt: skip


def test_the_reference_in_the_readme_is_of_everything_public():
    readme = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")
    assert f"pdoc -d numpy -o site {' '.join(REFERENCE)}\n" in readme


def test_no_name_is_missing_where_pdoc_looks_for_it():
    """It reads the module's dictionary, in which names are that others load when they ask for them."""
    code = "import sys; sys.modules['pdoc'] = sys; import fastconv as fc; print({*fc.__all__} - {*vars(fc)})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=PACKAGE.parent)
    assert (done.stdout, done.returncode) == ("set()\n", 0), done.stderr


def test_pdoc_makes_the_reference_without_a_warning(tmp_path):
    pytest.importorskip("pdoc")
    pytest.importorskip("sklearn")
    command = [sys.executable, "-m", "pdoc", "-d", "numpy", "-o", str(tmp_path), *REFERENCE]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    face = (tmp_path / "fastconv.html").read_text(encoding="utf-8")
    for name in fc.__all__:
        assert inspect.ismodule(getattr(fc, name)) or f'id="{name}"' in face, name
    for name in REFERENCE:
        assert (
            (tmp_path / importlib.import_module(name).__name__.replace(".", "/"))
            .with_suffix(".html")
            .exists()
        )


# The examples


def modules():
    """All modules of the package, __main__ apart, which runs the command line."""
    found = [module.name for module in pkgutil.walk_packages([str(PACKAGE)], "fastconv.")]
    return ["fastconv", *(name for name in found if not name.endswith("__main__"))]


def pytest_generate_tests(metafunc):
    """Each module, unless pytest collects the package's examples itself, as it does without arguments."""
    if "documented" in metafunc.fixturenames:
        asked_for = [argument.partition("::")[0] for argument in metafunc.config.args]
        collected = any(Path(path).resolve() == PACKAGE for path in asked_for)
        metafunc.parametrize("documented", [] if collected else modules())


def test_its_examples_give_what_they_say(documented, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(threads, "_threads", threads._threads)  # examples set these
    monkeypatch.setattr(threads, "_asked_for", threads._asked_for)
    try:
        module = importlib.import_module(documented)
    except ImportError as error:
        pytest.skip(str(error))
    assert doctest.testmod(module).failed == 0


def test_no_example_is_overlooked():
    """Doctest finds functions of Python only, so that it might pass by a compiled one."""
    written = {
        path: len(re.findall(r"^ *>>> ", path.read_text(encoding="utf-8"), re.MULTILINE))
        for path in PACKAGE.rglob("*.py")
    }
    assert sum(written.values()) > 500
    for name in modules():
        with contextlib.suppress(ImportError):
            module = importlib.import_module(name)
            found = sum(len(test.examples) for test in doctest.DocTestFinder().find(module, name))
            assert found == written[Path(module.__file__)], name
