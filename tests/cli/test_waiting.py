"""What is said while a command makes people wait."""

import contextlib
import os
import subprocess
import sys
import threading
import time

import pytest

import fastconv as fc
from fastconv.checks import waiting
from fastconv.cli import main
from tests.cli.answers import ENVIRONMENT, MODEL


class Terminal:
    """Keeps what is written, as a terminal would get it."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def shown(monkeypatch, seconds, patience=0.05):
    """What a terminal is sent while something takes so long."""
    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr(waiting, "PATIENCE_SECONDS", patience)
        patch.setattr(sys, "stderr", terminal)
        with waiting.waiting("reading photos"):
            time.sleep(seconds)
    return terminal.text


def test_a_long_wait_is_said_with_its_seconds_and_wiped_away(monkeypatch):
    lines = shown(monkeypatch, 1.5).split("\r\x1b[K")
    assert lines == ["", "reading photos: 0 s", "reading photos: 1 s", ""]


def test_a_short_wait_is_not_said(monkeypatch):
    assert shown(monkeypatch, 0, patience=5) == ""


def test_an_error_ends_the_line_too(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0)
    monkeypatch.setattr(sys, "stderr", terminal)

    def fail():
        with waiting.waiting("reading photos"):
            time.sleep(0.2)
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert terminal.text == "\r\x1b[Kreading photos: 0 s\r\x1b[K"


def test_nothing_is_said_where_there_is_no_terminal(capsys, monkeypatch):
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.01)
    with waiting.waiting("reading photos"):
        time.sleep(0.1)
    assert capsys.readouterr() == ("", "")


def test_what_is_counted_moves_a_bar(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "TICK_SECONDS", 0.05)
    monkeypatch.setattr(sys, "stderr", terminal)
    with waiting.waiting("reading a\x1b[2J") as wait:
        for k in range(5):
            wait.count(k, 4)
            time.sleep(0.2)
    assert "reading a\\x1b[2J: [" in terminal.text
    for bar in (
        "[....................] 0 of 4",
        "[##########..........] 2 of 4",
        "[####################] 4 of 4",
    ):
        assert bar in terminal.text


@pytest.fixture
def slow(monkeypatch):
    """A terminal on which every wait is said at once, since each takes a moment."""
    terminal = Terminal()
    monkeypatch.setattr(waiting, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(waiting, "TICK_SECONDS", 0.02)
    end = threading.Event.set

    def end_later(event):
        time.sleep(0.05)
        end(event)

    monkeypatch.setattr(threading.Event, "set", end_later)
    return terminal


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["train", "--data", "pictures", "--epochs", 1, "-o", "new.npz"],
         ["reading pictures: [", "measuring", "writing new.npz"]),
        (["evaluate", MODEL, "--data", "pictures"], [f"reading {MODEL}", "reading pictures: [", "measuring"]),
        (["predict", MODEL, "pictures"],
         [f"reading {MODEL}", "reading images 1 to 4 of 4: [", "looking at 4"]),
        (["export", MODEL, "new.safetensors"], [f"reading {MODEL}", "writing new.safetensors"]),
        (["warm", MODEL], [f"compiling {MODEL}"]),
    ],
)  # fmt: skip
def test_every_wait_of_a_command_is_said(slow, pictures, tmp_path, monkeypatch, argv, said):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stderr", slow)
    assert main([str(word) for word in argv]) == 0
    lines = slow.text.split("\r\x1b[K")
    for text in said:
        assert any(line.startswith(text) for line in lines), (text, lines)


@pytest.mark.skipif(os.name == "nt", reason="terminals")
def test_the_first_compilation_is_said_on_a_terminal(stripes, tmp_path, monkeypatch):
    import pty

    monkeypatch.chdir(tmp_path)
    fc.Sequential([fc.Flatten(), fc.Dense(2)], (1, 8, 8)).save(MODEL)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "fastconv", "evaluate", MODEL, "--data", stripes],
        env={**ENVIRONMENT, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        stderr=theirs, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(theirs)
    said = ""
    with contextlib.suppress(OSError):  # Linux tells of the end so
        while part := os.read(ours, 10_000).decode():
            said += part
    os.close(ours)
    assert process.wait() == 0, said
    assert "images, the first time with compiling" in said
    assert ": 1 s" in said
    assert said.endswith("\r\x1b[K")
