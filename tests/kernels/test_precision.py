"""The choice of how precise convolutions are."""

import subprocess
import sys

import pytest

import fastconv as fc
from fastconv.kernels import precision


@pytest.fixture(autouse=True)
def _own_precision(monkeypatch):
    monkeypatch.setattr(precision.chosen, "value", precision.UNKNOWN)
    monkeypatch.delenv("FASTCONV_PRECISION", raising=False)


def test_it_is_high_unless_told_otherwise():
    assert fc.get_precision() == "high"


@pytest.mark.parametrize("chosen", ["high", "highest"])
def test_it_is_what_was_set(chosen):
    fc.set_precision(chosen)
    assert fc.get_precision() == chosen


def test_the_environment_says_what_holds_at_first(monkeypatch):
    monkeypatch.setenv("FASTCONV_PRECISION", " highest ")
    assert fc.get_precision() == "highest"


@pytest.mark.parametrize(("wrong", "error"), [("low", ValueError), (3, TypeError), (None, TypeError)])
def test_others_are_refused(wrong, error):
    with pytest.raises(error, match=f"`precision` must be 'high' or 'highest', got {wrong!r}"):
        fc.set_precision(wrong)
    assert fc.get_precision() == "high"


def test_others_are_refused_in_the_environment(monkeypatch):
    monkeypatch.setenv("FASTCONV_PRECISION", "low")
    with pytest.raises(ValueError, match="`FASTCONV_PRECISION` must be 'high' or 'highest', got 'low'"):
        fc.get_precision()


def test_a_process_that_is_told_by_its_environment_says_so(monkeypatch):
    monkeypatch.setenv("FASTCONV_PRECISION", "highest")
    command = [sys.executable, "-m", "fastconv", "info"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "highest" in next(line for line in text.splitlines() if line.startswith("precision"))
