"""Where a step goes that processes share: each measures its own part."""

from tests.ranks.harness import run_on_ranks

SCRIPT = """
import fastconv as fc
from fastconv.inspection.random_batch import random_batch
from mpi4py import MPI

model = fc.models.reference_cnn()
X, y = random_batch(model, 64)
found = fc.profile(model, X, y, seconds=0.05, communicator=MPI.COMM_WORLD)
(row,) = (row for row in found.rows if row.layer == "exchange with other ranks")
assert 0 < row.seconds < found.seconds
print(found.ranks, found.batch_size)
"""


def test_each_rank_measures_its_own_part():
    assert run_on_ranks(SCRIPT, 2, timeout=120).outputs == ["2 64\n"] * 2


def test_the_command_prints_the_profile_of_rank_0():
    command = ["-m", "fastconv", "profile", "reference_cnn", "--batch-size", "64", "--seconds", "0.05"]
    first, second = run_on_ranks(command, 2, timeout=120).outputs
    assert "exchange with other ranks" in first
    assert "a training step of 64 samples on 2 ranks of 1 thread each (above, one of them)" in first
    assert second == ""


def test_a_prediction_is_measured_by_rank_0():
    command = ["-m", "fastconv", "profile", "reference_cnn", "--predict", "--seconds", "0.05"]
    first, second = run_on_ranks(command, 2, timeout=120).outputs
    assert "a prediction of 32 samples on 1 thread" in first
    assert second == ""
