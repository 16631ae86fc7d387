"""Steps whose gradients are on their way while others are computed, over MPI."""

import socket

import pytest

from tests.ranks.harness import run_on_ranks

# Every step is cut, and something happens to rank 1 in between, in its fifth.
SCRIPT = """
import os, signal, sys, time
import numpy as np
import fastconv as fc
from fastconv.engine import exchange
from fastconv.engine.overlap import Cut, Cuts
from mpi4py import MPI

Cuts.best = lambda self, shares, wire: Cut(self.layers[len(self.layers) // 2], 0.0)
world, kind, begun = MPI.COMM_WORLD, sys.argv[1], 0
begin = exchange.Begin.run

def disturbed(self, ranks, shares):
    global begun
    if kind == "raise apart" and begun == 4 and ranks.number == 1:
        raise ValueError("in between")
    begin(self, ranks, shares)
    begun += 1
    if begun != 5:
        return
    print("begun", flush=True)
    if kind in ("all raise", "raise apart"):
        raise ValueError("in between")
    if kind == "raise" and ranks.number == 1:
        raise ValueError("in between")
    if kind == "kill" and ranks.number == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "hang" and ranks.number == 1:
        time.sleep(1000)

exchange.Begin.run = disturbed

def trained(norm, communicator=None):
    rng = np.random.default_rng(0)
    X, y = rng.random((150, 2, 8, 8)).astype("float32"), rng.integers(0, 3, 150)
    layers = [fc.Conv2d(5, 3), *([fc.BatchNorm2d()] if norm else []), fc.ReLU(), fc.Conv2d(4, 3)]
    layers += [fc.Flatten(), fc.Dense(40), fc.ReLU(), fc.Dense(3)]
    model = fc.Sequential(layers, (2, 8, 8))
    trainer = fc.Trainer(
        model, optimizer=fc.Adam(0.01, clip_norm=0.5), communicator=communicator, accumulate=1 if norm else 2
    )
    try:
        trainer.fit(X, y, epochs=3, batch_size=64, validation_split=0.2, progress=False)
    except ValueError:
        if kind not in ("all raise", "raise apart"):
            raise
        trainer.fit(X, y, epochs=3, batch_size=64, validation_split=0.2, progress=False)
    return model.flat_parameters.tobytes()

together = [trained(norm, world) for norm in (False, True)]
assert begun
if kind == "same bits":
    assert together == [trained(norm) for norm in (False, True)]
else:
    assert len(set(world.allgather(together[0]))) == 1
print("all is well")
"""


def on_ranks(kind, ranks=2, check=False):
    env = {"FASTCONV_RANK_TIMEOUT": "2"}
    return run_on_ranks(SCRIPT, ranks, arguments=[kind], check=check, timeout=120, env=env)


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_runs_that_overlap_have_the_bits_of_one_process(ranks):
    done = on_ranks("same bits", ranks, check=True)
    assert all(output.endswith("all is well\n") for output in done.outputs)


def test_all_may_be_interrupted_in_between_and_go_on():
    done = on_ranks("all raise", 3, check=True)
    assert all(output.endswith("all is well\n") for output in done.outputs)


def test_ranks_that_have_begun_different_exchanges_do_not_go_on():
    done = on_ranks("raise apart")
    assert done.code != 0
    assert "nothing more can be done on these ranks" in done.all_errors


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        ("kill", "was killed"),  # by SIGKILL, as far as the launcher leaves time to see that
        ("raise", "ended with ValueError: in between"),
        ("hang", "does not go on in "),
    ],
)
def test_nobody_waits_for_a_rank_that_ends_in_between(kind, cause):
    done = on_ranks(kind)
    assert done.code != 0
    assert "begun" in done.outputs[0]
    assert "well" not in done.outputs[0]
    told = [
        line for line in done.all_errors.splitlines() if line.startswith("fastconv: rank 1 of 2 on host ")
    ]
    assert any(socket.gethostname() in line and cause in line for line in told), done.all_errors
