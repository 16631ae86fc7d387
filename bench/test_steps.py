import pytest

from fastconv.benchmarks.workloads import PREDICTIONS, STEPS


@pytest.mark.parametrize("step", STEPS, ids=[f"{step.net}-{step.batch_size}" for step in STEPS])
def test_training_step(measure, smoke, step):
    measure(step.work(batches=1 if smoke else None))


@pytest.mark.parametrize("prediction", PREDICTIONS, ids=[f"lenet5-{p.batch_size}" for p in PREDICTIONS])
def test_prediction(measure, prediction):
    measure(prediction.work())
