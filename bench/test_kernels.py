import pytest

from fastconv.benchmarks.workloads import CONV_SHAPES, conv_works, lane_works, other_kernel_works

SMOKE_BATCH = 2


@pytest.mark.parametrize("which", range(3), ids=["conv2d", "grad_weight", "grad_input"])
@pytest.mark.parametrize("label", CONV_SHAPES)
def test_convolution(measure, smoke, label, which):
    measure(conv_works(label, SMOKE_BATCH if smoke else None)[which])


KERNELS = [work.name.split(",")[0].replace(" ", "-") for work in other_kernel_works()]


@pytest.mark.parametrize("which", range(len(KERNELS)), ids=KERNELS)
def test_kernel(measure, smoke, which):
    measure(other_kernel_works(SMOKE_BATCH if smoke else None)[which])


@pytest.mark.parametrize("work", lane_works(), ids=lambda work: work.name.replace(" ", "-"))
def test_lane_kernel(measure, work):
    measure(work)
