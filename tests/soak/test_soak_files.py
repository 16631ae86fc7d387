"""Files: a run that is killed at any moment goes on where it was; a file that is damaged is refused."""

import csv
import os
import random
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastconv as fc
from tests.soak.children import environment

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="os.fork")
KILLS = 100  # of each network
EPOCHS = 60
FIRST_RUNS = 40


def row():
    layers = [
        fc.Conv2d(6, 3),
        fc.BatchNorm2d(),
        fc.ReLU(),
        fc.MaxPool2d(2),
        fc.Dropout(0.3),
        fc.Flatten(),
        fc.Dense(4),
    ]
    return fc.Sequential(layers, (1, 10, 10), seed=1)


def graph():
    """A network that branches, with a layer at two places."""
    x = fc.Input((1, 10, 10))
    stem = fc.ReLU()(fc.BatchNorm2d()(fc.Conv2d(4, 3)(x)))
    shared = fc.Conv2d(4, 3, padding="same")
    y = fc.Residual([shared, fc.ReLU(), fc.SpatialDropout2d(0.2)])(fc.ReLU()(shared(stem) + stem))
    y = fc.Concatenate([fc.MaxPool2d(2)], [fc.AvgPool2d(2), fc.PReLU()])(y)
    return fc.Model(x, fc.Dense(4)(fc.Flatten()(y)), seed=1)


def train(folder, epochs=EPOCHS, network=row):
    """A run with everything that has a state: it goes on from its checkpoint, and saves the network."""
    rng = np.random.default_rng(0)
    X, y = rng.random((600, 1, 10, 10)).astype(np.float32), rng.integers(0, 4, 600)
    model = network()
    schedule = fc.OneCycle(0.01)
    trainer = fc.Trainer(model, optimizer=fc.AdamW(lr=schedule, clip_norm=0.5), seed=3)
    trainer.fit(
        X,
        y,
        epochs=epochs,
        batch_size=32,
        validation_split=0.1,
        checkpoint=folder / "run.npz",
        resume=True,
        augment=fc.Augment(shift=1, rotation=5, noise=0.05),
        callbacks=[
            fc.EarlyStopping(patience=25, restore_best_weights=True),
            fc.ModelCheckpoint(folder / "best.npz", save_best_only=True),
            fc.CSVLogger(folder / "log.csv"),
        ],
        progress=False,
    )
    model.save(folder / "final.npz")


def state(folder):
    """What a run leaves: the networks, and its rows without the times."""
    files = [fc.load(folder / name).state() for name in ("final.npz", "best.npz")]
    with (folder / "log.csv").open(newline="") as file:
        rows = [{**row, "seconds": ""} for row in csv.DictReader(file)]
    return [{name: array.tobytes() for name, array in arrays.items()} for arrays in files], rows


def child(function, *arguments):
    """Run a function in a forked child; returns its process number."""
    number = os.fork()
    if number == 0:
        code = 1
        try:
            function(*arguments)
            code = 0
        finally:
            os._exit(code)
    return number


def exit_code(number):
    return os.waitstatus_to_exitcode(os.waitpid(number, 0)[1])


@pytest.mark.parametrize("network", [row, graph])
def test_a_run_that_is_killed_at_any_moment_ends_with_the_bits_of_one_that_was_not(network, tmp_path, figure):
    for name in ("first", "whole"):  # the first may have to compile
        (tmp_path / name).mkdir()
        started = time.perf_counter()
        assert exit_code(child(train, tmp_path / name, EPOCHS, network)) == 0
        seconds = time.perf_counter() - started
    expected, moment = state(tmp_path / "whole"), random.Random(5)
    kills, runs, while_writing = 0, 0, 0
    while kills < KILLS:
        runs += 1
        folder = tmp_path / f"run {runs}"
        folder.mkdir()
        while True:
            number = child(train, folder, EPOCHS, network)
            time.sleep(moment.uniform(0, seconds))
            os.kill(number, signal.SIGKILL)
            if exit_code(number) == 0:
                break
            kills += 1
            for half in folder.glob(".*.tmp"):  # what a write that was cut off leaves
                half.unlink()
                while_writing += 1
        assert state(folder) == expected, f"run {runs}"
    figure(
        f"kills of a training run survived, {network.__name__}",
        f"{kills} in {runs} runs, {while_writing} within a write",
    )


def test_a_disk_that_fills_up_gives_an_error_and_keeps_the_old_file(tmp_path):
    train(tmp_path, epochs=1)
    before = (tmp_path / "run.npz").read_bytes()

    def train_on_a_full_disk():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        with pytest.raises(OSError, match="large"):
            train(tmp_path, epochs=2)

    assert exit_code(child(train_on_a_full_disk)) == 0
    assert (tmp_path / "run.npz").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["best.npz", "final.npz", "log.csv", "run.npz"]
    train(tmp_path, epochs=2)


def test_a_cache_on_a_full_disk_only_costs_the_time_to_compile(tmp_path):
    script = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "import numpy as np, fastconv as fc\n"
        "print(fc.models.reference_cnn().predict(np.ones((2, 1, 6, 6))).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=environment(NUMBA_CACHE_DIR=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == f"{fc.models.reference_cnn().predict(np.ones((2, 1, 6, 6))).tolist()}\n", (
        done.stderr
    )


def test_an_interrupt_at_any_moment_of_a_first_run_ends_with_130_and_no_half_file(tmp_path, figure):
    """Imports, compiling, training and saving of `train`, each time with an empty cache."""
    images = np.random.default_rng(0).random((60, 1, 8, 8), dtype=np.float32)
    np.savez(tmp_path / "data.npz", X=images, y=np.arange(60) % 3)
    command = [sys.executable, "-m", "fastconv", "train", "--data", "../data.npz", "--epochs", "3"]
    moment, codes, interrupted = random.Random(2), set(), 0
    while interrupted < FIRST_RUNS:
        folder = tmp_path / f"run {interrupted} {len(codes)}"
        folder.mkdir(exist_ok=True)
        cache = environment(NUMBA_CACHE_DIR=str(folder / "cache"))
        process = subprocess.Popen(
            command, cwd=folder, env=cache, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        # Before Python has begun, the system's own answer to SIGINT counts.
        time.sleep(0.3 + 25 * moment.random() ** 2)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        codes.add(process.returncode)
        assert process.returncode in (0, 130), err
        assert "Traceback" not in err
        if process.returncode == 130:
            interrupted += 1
            assert "fastconv: interrupted" in err
        for path in folder.glob("*.npz"):
            fc.load(path)
        assert not list(folder.glob(".*.tmp"))
    figure("interrupts of a first run: exit code 130, no half file", interrupted)
