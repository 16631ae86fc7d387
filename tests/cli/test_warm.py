"""The command that compiles ahead."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastconv as fc
from fastconv.cli import main, recipes, warm
from tests.cli.answers import ENVIRONMENT, MODEL, strict


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A cache that `warm` has filled for a network of few kernels, and what it printed."""
    folder = tmp_path_factory.mktemp("warm")
    fc.Sequential([fc.Flatten(), fc.Dense(2)], (1, 8, 8)).save(folder / MODEL)
    done = fastconv(folder, "warm", MODEL, "--json")
    assert done.returncode == 0, done.stderr
    return folder, strict(done.stdout)


def fastconv(cache, *argv):
    environment = {**ENVIRONMENT, "NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-m", "fastconv", *argv]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=cache)


def functions(cache):
    return {path: path.stat().st_mtime_ns for path in Path(cache).rglob("*.nbc")}


def test_it_says_what_was_compiled_and_where_it_is(cache):
    folder, said = cache
    files = functions(folder)
    assert said["compiled"] == len(files) > 20
    assert said["files"] >= len(files)  # others lie beside the package's sources, where they have been run
    assert said["bytes"] == sum(path.stat().st_size for path in files)
    assert {os.path.dirname(path) for path in files} <= set(said["folders"])
    assert said["seconds"] > 0


def test_a_second_time_compiles_nothing_and_says_so(cache):
    folder, _ = cache
    before = functions(folder)
    done = fastconv(folder, "warm", MODEL)
    assert done.returncode == 0, done.stderr
    assert "nothing was left to compile, in " in done.stdout
    assert int(re.search(r"(\d+) functions in\n", done.stdout)[1]) >= len(before)
    assert functions(folder) == before


TRAINING = """
import numpy as np, fastconv as fc, sys
X, y = np.random.default_rng(0).integers(0, 256, (90, 1, 8, 8), dtype=np.uint8), np.arange(90) % 2
for augment in (None, fc.Augment(shift=2, noise=0.1)):
    trainer = fc.Trainer(fc.load(sys.argv[1]), optimizer=fc.AdamW(0.01))
    trainer.fit(X, y, epochs=2, validation_split=0.2, augment=augment)
np.savez("data.npz", X=X, y=y)
"""


def test_training_and_commands_find_all_that_they_need(cache):
    folder, _ = cache
    before = functions(folder)
    environment = {**ENVIRONMENT, "NUMBA_CACHE_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", TRAINING, MODEL], env=environment, check=True, cwd=folder)
    assert functions(folder) == before
    for command in ("evaluate", "predict"):
        done = fastconv(folder, command, MODEL, "--data", "data.npz")
        assert done.returncode == 0, done.stderr
        assert functions(folder) == before, command


def test_a_model_of_ones_own_is_left_as_it_is(run):
    model = fc.Sequential([fc.Conv2d(3, 3), fc.BatchNorm2d(), fc.Flatten(), fc.Dense(2)], (1, 8, 8))
    model.save(MODEL)
    before = Path(MODEL).read_bytes()
    code, out, err = run("warm", MODEL)
    assert code == 0, err
    assert out.startswith(f"{MODEL}: ")
    assert Path(MODEL).read_bytes() == before
    fc.Sequential([fc.Conv2d(2, 3)], (1, 8, 8)).save(MODEL)
    assert run("warm", MODEL)[0] == 0
    fc.Sequential([fc.Dense(3)], (4,)).save(MODEL)
    assert run("warm", MODEL)[0] == 0


def test_a_machine_that_keeps_nothing_is_an_error(run, monkeypatch):
    monkeypatch.setattr("fastconv.cli.warm.facts.cache_folders", list)
    code, _, err = run("warm", "reference")
    assert code == 1
    assert "no folder for compiled code can be written to: set NUMBA_CACHE_DIR" in err


def test_networks_of_signals_and_of_several_inputs_and_outputs_are_compiled_too(tmp_path, monkeypatch):
    x, z = fc.Input((1, 8, 8)), fc.Input((3,))
    both = fc.Concatenate()([fc.Flatten()(x), z])
    fc.Model([x, z], [fc.Dense(2)(both), fc.Dense(1)(both)]).save(tmp_path / "two.npz")
    fc.Sequential([fc.Conv1d(2, 3), fc.Flatten(), fc.Dense(1)], (1, 12)).save(tmp_path / "signal.npz")
    monkeypatch.chdir(tmp_path)
    assert main(["warm", "two.npz", "signal.npz"]) == 0


def test_every_network_that_train_knows_can_be_compiled_ahead():
    assert set(warm._SHAPES) == {*recipes.NETWORKS, *recipes.IMAGES, *recipes.SIGNALS}
