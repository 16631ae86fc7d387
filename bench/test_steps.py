import pytest

from fastconv.benchmarks.workloads import STEPS


@pytest.mark.parametrize("step", STEPS, ids=[f"{step.net}-{step.batch_size}" for step in STEPS])
def test_training_step(measure, smoke, step):
    measure(step.work(batches=1 if smoke else None))
