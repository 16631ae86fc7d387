"""Long campaigns, run by `python -m pytest tests -m soak`; each prints the figures that it found."""

import os
from pathlib import Path

import pytest

from fastconv.kernels import precision

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


@pytest.fixture(autouse=True)
def _direct_sums(monkeypatch):
    """Campaigns hold errors at or below PyTorch's, and bits of one sample to those in a batch."""
    monkeypatch.setattr(precision.chosen, "value", precision.HIGHEST)
    monkeypatch.setenv("FASTCONV_PRECISION", "highest")  # of processes that a campaign starts


@pytest.fixture
def figure():
    """Report a figure: figure("calls tried", 20000)."""
    return lambda name, value: FIGURES.append((name, value))


@pytest.fixture
def seconds():
    """How long a campaign under load lasts."""
    return SECONDS
