"""Ranks that are killed, stopped or struck by an error at any moment: all end, and the run can go on."""

import csv
import os
import random
import re
import signal
import subprocess
import sys
import time

import pytest

import fastconv as fc
from tests.ranks.harness import PRELUDE, Running, environment

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="signals")
STRIKES = int(os.environ.get("FASTCONV_SOAK_STRIKES", "100"))
KINDS = [signal.SIGKILL] * 7 + [signal.SIGSTOP] * 2 + [signal.SIGUSR1] * 3  # the last raises an error
PATIENCE_SECONDS = 10.0

# A run with all that has a state; "alone" is that of one process without MPI.
SCRIPT = """
import signal, sys
from pathlib import Path

def strike(*_):
    raise RuntimeError("struck")

signal.signal(signal.SIGUSR1, strike)
import numpy as np
import fastconv as fc

folder, world = Path(sys.argv[1]), None
if sys.argv[2] != "alone":
    from mpi4py import MPI
    world = MPI.COMM_WORLD
rng = np.random.default_rng(0)
X, y = rng.random((600, 1, 10, 10)).astype(np.float32), rng.integers(0, 4, 600)
layers = [
    fc.Conv2d(6, 3), fc.BatchNorm2d(), fc.ReLU(), fc.MaxPool2d(2), fc.Dropout(0.3), fc.Flatten(), fc.Dense(4),
]
model = fc.Sequential(layers, (1, 10, 10), seed=1)
optimizer = fc.AdamW(lr=fc.OneCycle(0.01), clip_norm=0.5)
trainer = fc.Trainer(model, optimizer=optimizer, seed=3, communicator=world)
print("watched", flush=True)
trainer.fit(
    X, y, epochs=40, batch_size=64, validation_split=0.1,
    checkpoint=folder / "run.npz", resume=True,
    augment=fc.Augment(shift=1, rotation=5, noise=0.05),
    callbacks=[
        fc.EarlyStopping(patience=25, restore_best_weights=True),
        fc.ModelCheckpoint(folder / "best.npz", save_best_only=True),
        fc.CSVLogger(folder / "log.csv"),
    ],
    progress=False,
)
print("through", flush=True)
if trainer.ranks.leads:
    model.save(folder / "final.npz")
"""


def left_of(folder):
    """What a run leaves: the networks, and its rows without the times."""
    files = [fc.load(folder / name).state() for name in ("final.npz", "best.npz")]
    with (folder / "log.csv").open(newline="") as file:
        rows = [{**row, "seconds": ""} for row in csv.DictReader(file)]
    return [{name: array.tobytes() for name, array in arrays.items()} for arrays in files], rows


class Campaign:
    """One strike after the other."""

    def __init__(self, seconds, of_training):
        self.moment, self.seconds, self.of_training = random.Random(5), seconds, of_training
        self.strikes = self.named = self.to_name = self.while_writing = 0
        self.slowest = 0.0

    def _wait(self, running, ranks):
        """Until the moment, most often one of training; returns whether all ranks train by then."""

        def watched():
            return all("watched" in running.output(rank) for rank in range(ranks))

        whole = self.moment.random() < 0.25
        while not (whole or watched()) and running.ended() is None:
            time.sleep(0.01)
        until = time.monotonic() + self.moment.uniform(0, self.seconds if whole else self.of_training)
        while time.monotonic() < until and running.ended() is None:
            time.sleep(0.01)
        return watched()

    def attempt(self, folder, ranks):
        """Begin or go on with a run, and strike one of its ranks; returns whether it came to its end."""
        kind = self.moment.choice(KINDS)
        if ranks == 1 and kind == signal.SIGSTOP:  # nobody is there to see it
            kind = signal.SIGKILL
        rank = self.moment.randrange(ranks)
        with Running(SCRIPT, ranks, arguments=[folder, "together"]) as running:
            watched = self._wait(running, ranks)
            if not watched:  # only MPI's launcher is there to see it
                kind = signal.SIGKILL
            struck = running.send(kind, rank)
            began = time.monotonic()
            done = running.wait(60)
            while running.processes():
                assert time.monotonic() - began < 60, f"processes are left: {done}"
                time.sleep(0.01)
            took = time.monotonic() - began
        for half in folder.glob(".*.tmp"):  # what a write that was cut off leaves
            half.unlink()
            self.while_writing += 1
        if done.code == 0:
            return True
        assert struck, done
        self.strikes += 1
        self.slowest = max(self.slowest, took)
        print(f"{self.strikes}: {kind.name} of rank {rank} of {ranks}, all ended in {took:.2f} s", flush=True)
        assert took < PATIENCE_SECONDS, f"{kind.name} of rank {rank} of {ranks} took {took:.1f} s: {done}"
        if ranks > 1 and watched and "through" not in done.outputs[rank]:
            self.to_name += 1
            assert re.search(rf"fastconv: rank \d of {ranks} on host ", done.all_errors), (kind, done)
            self.named += f"fastconv: rank {rank} of {ranks} on host " in done.all_errors
        return False


def test_a_run_on_ranks_that_are_struck_ends_with_the_bits_of_one_that_was_not(tmp_path, figure):
    script = tmp_path / "script.py"
    script.write_text(PRELUDE + SCRIPT)
    for name in ("first", "whole"):  # the first may have to compile
        (tmp_path / name).mkdir()
        command = [sys.executable, script, tmp_path / name, "alone"]
        subprocess.run(command, env=environment(), check=True, timeout=600)
    expected = left_of(tmp_path / "whole")
    (tmp_path / "timed").mkdir()
    with Running(SCRIPT, 4, arguments=[tmp_path / "timed", "together"]) as running:
        running.wait_for(0, "watched", 600)
        began = time.monotonic()
        assert running.wait(600).code == 0
        campaign = Campaign(time.monotonic() - running.started, time.monotonic() - began)
    assert left_of(tmp_path / "timed") == expected
    runs, ranks = 0, 1
    while campaign.strikes < STRIKES:
        runs += 1
        folder = tmp_path / f"run {runs}"
        folder.mkdir()
        while not campaign.attempt(folder, ranks):
            ranks = campaign.moment.choice([count for count in (1, 2, 3, 4) if count != ranks])
        assert left_of(folder) == expected, f"run {runs}"
    figure(
        "strikes at ranks survived",
        f"{campaign.strikes} in {runs} runs, {campaign.while_writing} within a write; the slowest end took "
        f"{campaign.slowest:.1f} s, and {campaign.named} of {campaign.to_name} lines named the right rank",
    )
