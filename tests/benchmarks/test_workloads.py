import numpy as np
import pytest

from fastconv.benchmarks import machine
from fastconv.benchmarks.timing import Contender
from fastconv.benchmarks.workloads import STEPS, Work, kernel_works

OTHERS = ["im2col", "im2col_inside", *(["torch"] if machine.installed("torch") else [])]
KERNELS = kernel_works(3)


@pytest.mark.parametrize("work", KERNELS, ids=[work.name.replace(" ", "-") for work in KERNELS])
def test_everybody_gets_the_same_from_a_kernel(work):
    assert work.largest_difference(OTHERS) < 1e-4


@pytest.mark.parametrize("step", STEPS[:5], ids=[f"{step.net}-{step.batch_size}" for step in STEPS[:5]])
def test_everybody_has_the_same_parameters_after_a_step(step):
    assert step.work().largest_difference(OTHERS) < 1e-3


def work_of(results):
    return Work("", 0, lambda who: Contender(lambda: results[who]) if who in results else None)


def test_the_difference_is_a_part_of_the_largest_number():
    work = work_of(
        {"fastconv": np.array([1.0, 3.0]), "im2col": np.array([2.0, -4.0]), "torch": np.array([1.0, 4.0])}
    )
    assert work.largest_difference(["torch"]) == 0.25
    assert work.largest_difference(["im2col", "torch"]) == 7 / 4


def test_all_arrays_of_a_result_are_compared():
    same, other = np.zeros(2), np.ones(2)
    assert work_of({"fastconv": (same, same), "im2col": (same, other)}).largest_difference(["im2col"]) == 1


@pytest.mark.parametrize("wrong", [np.array([1.0, np.nan]), np.ones(3)])
def test_nan_and_another_shape_are_different(wrong):
    assert work_of({"fastconv": wrong, "im2col": np.ones(2)}).largest_difference(["im2col"]) == np.inf


def test_nobody_to_compare_with_is_no_difference():
    assert work_of({"fastconv": np.ones(2)}).largest_difference(["torch"]) == 0
