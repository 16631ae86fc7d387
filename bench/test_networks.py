import pytest

from fastconv.benchmarks.kernel_grid import KERNELS, SHAPES, works_of
from fastconv.benchmarks.network_works import PREDICT_BATCHES, STEP_BATCHES, predict_work, step_work
from fastconv.benchmarks.networks import NETWORKS

LARGE = ("mobilenet_v2", "unet")  # a sample of them takes as long as a batch of others


def measured(measure, smoke, batch, make, name):
    if smoke and (batch != 8 or name in LARGE):
        pytest.skip("one batch of the smaller networks shows that everything runs")
    work = make(name, 2 if smoke else batch)
    if work is None:
        pytest.skip("too large, or nothing to learn from")
    measure(work)


@pytest.mark.parametrize("batch", STEP_BATCHES)
@pytest.mark.parametrize("name", NETWORKS)
def test_training_step(measure, smoke, name, batch):
    measured(measure, smoke, batch, step_work, name)


@pytest.mark.parametrize("batch", PREDICT_BATCHES)
@pytest.mark.parametrize("name", NETWORKS)
def test_prediction(measure, smoke, name, batch):
    measured(measure, smoke, batch, predict_work, name)


@pytest.mark.parametrize("which", range(3), ids=KERNELS)
@pytest.mark.parametrize("label", SHAPES)
def test_grid(measure, smoke, label, which):
    measure(works_of(label, 2 if smoke else 32)[which])
