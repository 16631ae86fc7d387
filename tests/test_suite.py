"""The tests themselves: on several processes, and in the background."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc

ROOT = Path(__file__).parents[1]
NUMBERS = """
import numpy as np
import pytest

@pytest.mark.parametrize("value", [np.float32(1), np.float64(2), np.int64(3), np.arange(3), np.dtype("f4")])
def test_that_fails(value, record_property):
    for kind in (np.float32, np.float64, np.int64, np.bool_):
        record_property(kind.__name__, kind(1))
    raise ValueError(value, np.float64(1))
"""


def pytest_run(*arguments, cwd=ROOT, **options):
    """What pytest says, in a process of its own that knows nothing of the one around it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    env = {**kept, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=200, **options)


def test_failures_that_hold_numbers_of_numpy_are_told_from_process_to_process(tmp_path):
    pytest.importorskip("xdist")
    (tmp_path / "pytest.ini").write_text("[pytest]")
    (tmp_path / "test_numbers.py").write_text(NUMBERS)
    done = pytest_run("-n", "2", "-p", "tests.conftest", cwd=tmp_path)
    assert done.returncode == 1, done.stdout
    assert "INTERNALERROR" not in done.stdout + done.stderr
    assert "5 failed" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.parametrize("processes", [(), ("-n", "2")])
def test_interrupts_are_tested_where_a_shell_makes_the_suite_ignore_them(processes):
    """As it does with jobs in the background; it took for ever."""
    if processes:
        pytest.importorskip("xdist")
    done = pytest_run(
        "tests/cli/test_interrupts.py", "tests/training/test_interrupts.py", *processes,
        "-k", "nobody_hears or stops_training",
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert int(re.search(r"(\d+) passed", done.stdout).group(1)) >= 3


def test_the_command_of_the_readme_and_that_of_continuous_integration_are_one():
    command = "python -m pytest tests -n 2 --dist loadfile"
    for name in ("README.md", ".ci/run"):
        assert f"\n{command}\n" in (ROOT / name).read_text(encoding="utf-8"), name
    assert '"pytest-xdist>=' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def find_python(version, path, pyenv):
    """What the script of continuous integration finds, or ""."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    function = re.search(r"^find_python\(\) \{\n.*?^\}\n", script, re.DOTALL | re.MULTILINE).group(0)
    environment = {"PATH": f"{path}:{os.environ['PATH']}", "PYENV_ROOT": str(pyenv), "HOME": str(pyenv)}
    command = ["bash", "-euo", "pipefail", "-c", f"{function}\nfind_python {version}"]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(os.name == "nt", reason="a script for bash")
def test_a_python_is_found_where_it_works_and_skipped_where_there_is_none(tmp_path):
    """The stand-ins of pyenv are on PATH for versions, too, that none of them leads to."""

    def put(path, code):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!/bin/sh\nexit {code}\n")
        path.chmod(0o755)

    stand_in = tmp_path / "shims" / "python3.99"
    assert find_python("3.99", stand_in.parent, tmp_path) == ""
    put(stand_in, 127)
    assert find_python("3.99", stand_in.parent, tmp_path) == ""
    installed = tmp_path / "versions" / "3.99.1" / "bin" / "python3.99"
    put(installed, 0)
    assert find_python("3.99", stand_in.parent, tmp_path) == str(installed)
    put(stand_in, 0)
    assert find_python("3.99", stand_in.parent, tmp_path) == "python3.99"


def test_the_pythons_that_are_named_begin_with_the_oldest_that_is_allowed():
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.findall(r'"Programming Language :: Python :: 3\.(\d+)"', project)
    assert [int(minor) for minor in named] == list(range(int(named[0]), int(named[0]) + len(named)))
    assert f'requires-python = ">=3.{named[0]}"' in project


def test_the_campaigns_know_every_layer():
    from tests.nn.layer_kinds import LAYERS
    from tests.soak import random_settings

    assert set(LAYERS.values()) - set(random_settings.LAYERS) == {fc.Residual, fc.Add, fc.Concatenate}


@pytest.mark.parametrize("number", range(12))
def test_networks_of_the_campaigns_give_what_their_layers_say(number):
    """A few of them, so that the campaigns themselves do not rot."""
    from tests.soak import definitions, random_networks

    rng = np.random.default_rng((1, number))
    model = random_networks.any_network(rng, "float64")
    X = [rng.standard_normal((3, *shape)) for shape in model.input_shapes]
    found = model.predict(X if len(X) > 1 else X[0])
    for one, wanted in zip(
        found if isinstance(found, list) else [found], definitions.outputs(model, X), strict=True
    ):
        np.testing.assert_allclose(one, wanted, rtol=1e-8, atol=1e-8)
