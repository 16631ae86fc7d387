"""Long campaigns, run by `python -m pytest tests -m soak`; each prints the figures that it found."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv

FIGURES: list[tuple[str, object]] = []
SECONDS = float(os.environ.get("FASTCONV_SOAK_SECONDS", "300"))  # of each campaign under load


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("soak")


def pytest_terminal_summary(terminalreporter):
    if FIGURES:
        terminalreporter.section("soak figures")
        width = max(len(name) for name, _ in FIGURES)
        for name, value in FIGURES:
            terminalreporter.write_line(f"{name:<{width}}  {value}")


@pytest.fixture
def figure():
    """Report a figure: figure("calls tried", 20000)."""
    return lambda name, value: FIGURES.append((name, value))


@pytest.fixture
def seconds():
    """How long a campaign under load lasts."""
    return SECONDS


def environment(**more):
    """The environment of a child process that imports this fastconv and these tests."""
    tests = Path(__file__).parents[1]
    paths = [Path(fastconv.__file__).parents[1], tests, tests / "kernels", tests / "soak"]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), **more}


def fuzz(script, count, share=500):
    """Run the cases 0..count of a fuzzer in child processes; returns what each case came to, by number.

    A child tells before each case that it begins, so that a crash has a number; the next child goes on
    behind it.
    """
    outcomes, first = {}, 0
    while first < count:
        last = min(count, first + share)
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", str(Path(__file__).parent / script), str(first), str(last)],
            env=environment(), capture_output=True, text=True, timeout=1800, check=False,
        )  # fmt: skip
        begun = first
        for line in done.stdout.splitlines():
            number, _, outcome = line.partition(" ")
            begun = int(number)
            if outcome:
                outcomes[begun] = json.loads(outcome)
        if done.returncode != 0:
            outcomes[begun] = ["crash", f"exit code {done.returncode}: {done.stderr[-2000:]}"]
            last = begun + 1
        first = last
    return outcomes
