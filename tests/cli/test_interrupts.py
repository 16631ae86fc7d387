"""Ctrl-C: at any moment one line and exit code 130, nothing half-written, and a word on how to go on."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastconv as fc
from fastconv.checks import interrupts
from fastconv.cli import train
from tests.cli.answers import ENVIRONMENT, MODEL

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes in /proc")

ENDLESS = ("train", "--epochs", "1000000", "--data")


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a command as a process; it is ended with the test."""
    monkeypatch.chdir(tmp_path)
    processes = []

    def start_one(*argv, cache=None):
        environment = {**ENVIRONMENT, **({} if cache is None else {"NUMBA_CACHE_DIR": str(cache)})}
        process = subprocess.Popen(
            [sys.executable, "-u", "-m", "fastconv", *argv],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start_one
    for process in processes:
        process.kill()
        process.communicate()


def wait_for(process, library):
    """Until a process has loaded a library: then it is in the midst of its imports."""
    while library not in Path(f"/proc/{process.pid}/maps").read_text():
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.002)


def ends_as_interrupted(process):
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    said = [line for line in err.splitlines() if not line.startswith(("note: ", "compiling ", "compiled "))]
    assert said == ["fastconv: interrupted"]
    return out, err


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.2, 0.4, 0.8])
def test_during_imports(start, stripes, delay):
    process = start(*ENDLESS, stripes)
    wait_for(process, "_multiarray_umath")
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    ends_as_interrupted(process)
    assert set(os.listdir()) <= {stripes, "fastconv-model-interrupted.npz"}


@pytest.mark.parametrize("delay", [0.5, 1.5, 3.0, 5.0])
def test_during_the_first_compilation(start, stripes, tmp_path, delay):
    process = start(*ENDLESS, stripes, cache=tmp_path / "cache")
    wait_for(process, "libllvmlite")
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    ends_as_interrupted(process)
    assert not os.path.exists("fastconv-model.npz")


def test_twice_at_once_in_training(start, stripes):
    process = start(*ENDLESS, stripes)
    while not process.stdout.readline().startswith("epoch "):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert not [name for name in os.listdir() if name.startswith(".")]


def test_a_run_keeps_its_last_epoch_in_a_file_of_its_own(start, run, stripes):
    process = start(*ENDLESS, stripes, "-o", MODEL)
    while not process.stdout.readline().startswith("epoch "):
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = ends_as_interrupted(process)
    assert re.search(r"note: the network after \d+ epochs? is in model-interrupted.npz", err)
    assert not os.path.exists(MODEL)
    code, out, _ = run("evaluate", "model-interrupted.npz")
    assert code == 0
    assert "it was trained on none of them" in out


def test_a_run_with_a_checkpoint_says_how_to_go_on(start, stripes):
    process = start(*ENDLESS, stripes, "--checkpoint", "c.npz")
    lines = 0
    while lines < 2:
        lines += process.stdout.readline().startswith("epoch ")
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _, err = ends_as_interrupted(process)
    assert f"go on with: python -m fastconv {' '.join(ENDLESS)} {stripes} --checkpoint c.npz --resume" in err


def test_while_photos_are_read(start, tmp_path):
    image = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (1500, 2000), dtype=np.uint8)
    image.fromarray(pixels).save("photo.jpg")
    for name in ("cat", "dog"):
        os.makedirs(f"photos/{name}")
        for k in range(1000):
            os.link("photo.jpg", f"photos/{name}/{k}.jpg")
    process = start("train", "--data", "photos")
    wait_for(process, "_imaging")
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    ends_as_interrupted(process)
    assert time.monotonic() - started < 10
    assert sorted(os.listdir()) == ["photo.jpg", "photos"]


def test_while_the_model_is_saved_it_is_kept_elsewhere(start, stripes):
    os.mkfifo(MODEL)  # nobody reads: saving never ends
    process = start("train", "--data", stripes, "--epochs", "3", "-o", MODEL)
    while not process.stdout.readline().startswith("epoch 3/3"):
        assert process.poll() is None, process.stderr.read()
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    _, err = ends_as_interrupted(process)
    assert "note: the network after 3 epochs is in model-interrupted.npz" in err
    assert fc.load("model-interrupted.npz").metadata["network"] == "lenet"
    assert sorted(os.listdir()) == sorted([MODEL, "model-interrupted.npz", stripes])


@pytest.mark.parametrize("delay", [0.0, 5.0])  # while it is drawn, and while nobody reads it
def test_while_the_report_is_written_the_model_is_there(start, stripes, delay):
    pytest.importorskip("matplotlib")
    os.mkfifo("report.html")
    process = start("train", "--data", stripes, "--epochs", "3", "-o", MODEL, "--report", "report.html")
    while not process.stdout.readline().startswith("held-out "):
        assert process.poll() is None, process.stderr.read()
    wait_for(process, "ft2font")
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, err = ends_as_interrupted(process)
    assert "interrupted.npz" not in err
    assert fc.load(MODEL).metadata["held_out"]
    assert sorted(os.listdir()) == sorted([MODEL, "report.html", stripes])


def test_the_network_kept_is_that_of_a_whole_epoch(run, stripes, monkeypatch):
    class Stop:
        def on_epoch_end(self, trainer, logs):
            if logs["epoch"] == 2:
                trainer.model.parameters()["0.weight"][...] = np.nan
                raise KeyboardInterrupt

    argv = ["train", "--data", stripes, "--epochs", 4, "--schedule", "constant", "-o", MODEL]
    with monkeypatch.context() as patch:
        patch.setattr(train, "_callbacks", lambda *args: ([Stop()], None))
        assert run(*argv)[0] == 130
    code, _, err = run(*argv[:4], 2, *argv[5:-1], "two.npz")
    assert code == 0, err
    kept, two = (fc.load(name).parameters() for name in ("model-interrupted.npz", "two.npz"))
    for name in two:
        np.testing.assert_array_equal(kept[name], two[name])


def test_an_interrupt_that_became_another_error_is_still_one(run, monkeypatch):
    def swallowed(*args, **options):
        raise RuntimeError("a library failed")

    monkeypatch.setattr("fastconv.formats.json_text.to_json", swallowed)
    monkeypatch.setattr(interrupts, "came", lambda: True)
    assert run("info", "--json") == (130, "", "fastconv: interrupted\n")


@pytest.mark.parametrize(
    ("code", "signals"),
    [
        # Swallowed by a callback, as compilers do: the process ends a moment later all the same.
        ("try:\n  time.sleep(60)\nexcept KeyboardInterrupt:\n  pass\ntime.sleep(60)", 1),
        # Foreign code that serves no signals for a long time: the second one ends it.
        ("import hashlib\nhashlib.pbkdf2_hmac('sha1', b'', b'', 10**9)", 2),
    ],
)
def test_an_interrupt_that_nobody_hears_ends_the_process(code, signals):
    head = "import time; from fastconv.checks import interrupts as i; i.PATIENCE_SECONDS = 0.5; i.watch()\n"
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", f"{head}print('ready')\n{code}"],
        env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout.readline() == "ready\n"
    for _ in range(signals):
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
    ends_as_interrupted(process)
