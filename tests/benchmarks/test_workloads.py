import numpy as np
import pytest

from fastconv.benchmarks import machine
from fastconv.benchmarks.timing import Contender
from fastconv.benchmarks.work import Check, Work
from fastconv.benchmarks.workloads import STEPS, kernel_works

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


def failing():
    raise MemoryError("no room\nfor this")


def test_a_contender_who_fails_is_told_and_the_others_are_compared():
    calls = {"fastconv": lambda: np.ones(2), "torch": failing, "im2col": lambda: np.ones(2)}
    work = Work("", 0, lambda who: Contender(calls[who]))
    found = work.compare(["torch", "im2col"])
    assert found == ([], {"torch": "MemoryError: no room"}, 0.0)
    with pytest.raises(RuntimeError, match="torch failed: MemoryError: no room"):
        work.largest_difference(["torch"])


def test_each_check_has_a_tolerance_of_its_own_and_says_what_is_wrong():
    def answer(numbers):
        return lambda who: Contender(lambda: np.array(numbers if who == "fastconv" else [1.0, 2.0]))

    checks = (Check("sums", answer([1.0, 2.1]), 0.1), Check("means", answer([1.0, 2.1]), 0.01))
    found = Work("", 0, lambda who: None, checks).compare(["torch"])
    assert found.wrong == ["means: 5.0e-02 from those of torch, at most 0.01"]


def test_who_gives_fewer_arrays_to_a_check_has_not_given_the_same():
    results = {"fastconv": (np.ones(1),), "im2col": (np.ones(1), np.ones(1))}
    check = Check("sums", lambda who: Contender(lambda: results[who]))
    found = Work("", 0, check.make, (check,)).compare(["im2col"])
    assert found.wrong == ["sums: 1 arrays, and 2 of im2col"]
