"""Ranks that are processes end with the bits of one process, as those that are threads do."""

import functools
import hashlib
import json

import pytest

from tests.ranks import fits
from tests.ranks.harness import run_on_ranks

SCRIPT = """
import hashlib, json, sys
from mpi4py import MPI
from tests.ranks import fits

found = {}
for name in sys.argv[1:]:
    for data in ("shared", "local"):
        left = fits.left_of(getattr(fits, name), MPI.COMM_WORLD, data)
        found[f"{name}, {data}"] = hashlib.sha256(repr(left).encode()).hexdigest()
print(json.dumps(found))
"""
EVERY = [run.__name__ for run in fits.RUNS]
SOME = ["changed_at_random", "several_outputs", "of_batches"]


@functools.cache
def alone(name):
    return hashlib.sha256(repr(fits.left_of(getattr(fits, name))).encode()).hexdigest()


@pytest.mark.parametrize(
    ("ranks", "threads", "names"),
    [(1, 2, SOME), (2, 2, EVERY), (3, 1, EVERY), (4, 2, SOME), (7, 1, SOME), (8, 2, SOME)],
)
def test_processes_end_with_the_bits_of_one(ranks, threads, names):
    done = run_on_ranks(SCRIPT, ranks, threads=threads, arguments=names, timeout=300)
    wanted = {f"{name}, {data}": alone(name) for name in names for data in ("shared", "local")}
    for output in done.outputs:
        assert json.loads(output.splitlines()[-1]) == wanted


WARNING = """
import numpy as np, fastconv as fc
from mpi4py import MPI
from tests.ranks.fits import X, Y, network

trainer = fc.Trainer(network(), communicator=MPI.COMM_WORLD)
trainer.fit((200 * X).astype(np.int32), Y, epochs=1, progress=True)
print(MPI.COMM_WORLD.Get_rank())
"""


def test_rank_0_alone_warns_and_shows_progress():
    done = run_on_ranks(WARNING, 3, timeout=120)
    assert "not divided by 255" in done.errors[0]
    assert done.errors[1:] == ["", ""]
    assert done.outputs[0].startswith("epoch 1/1")
    assert done.outputs[1:] == ["1\n", "2\n"]
