"""Sizes of windows: ints and pairs, ranges, and memory that can't be counted."""

import subprocess
import sys

import numpy as np
import pytest
from numba.core.errors import TypingError

from tests.checks.valid_calls import (
    BOTH,
    PAIRS,
    VALID,
    arguments_of,
    check_refused,
    from_compiled_code,
    from_python,
)


def bad_sizes(argument):
    """Values that are ints, but not sizes."""
    values = [(-1, 1), (1, -1), (2**31, 1), (1, 2**62)]
    return values if argument == "padding" else [(0, 1), (1, 0), *values]


@BOTH
@pytest.mark.parametrize(("name", "argument"), arguments_of(*PAIRS, signals=False))
def test_sizes_out_of_range_are_value_errors(name, argument, call):
    for value in bad_sizes(argument):
        check_refused(call, name, {argument: value}, ValueError, argument)


@pytest.mark.parametrize(("name", "argument"), arguments_of(*PAIRS, signals=False))
def test_sizes_are_an_int_or_a_pair_of_ints(name, argument):
    for value in (2**31, 2**70, (1, 2**70), -1, (1, 2, 3), (1,), (), [1, 2, 3], np.ones(3, int)):
        check_refused(from_python, name, {argument: value}, ValueError, argument)
    for value in (True, 1.0, np.float64(1), (1.0, 1), (1, True), 1j, np.ones(2), object(), ("a", 1)):
        check_refused(from_python, name, {argument: value}, TypeError, argument)
    # Some texts are paddings: another one is a wrong value.
    check_refused(
        from_python, name, {argument: "11"}, ValueError if argument == "padding" else TypeError, argument
    )
    if VALID[name].get("kernel_size") is None or argument != "stride":
        check_refused(from_python, name, {argument: None}, TypeError, argument)


@pytest.mark.parametrize(
    "value", [np.array(1.5), (np.array(1.5), 1), np.ones((2, 2), int)], ids=["0-d", "pair of 0-d", "2-D"]
)
def test_sizes_are_no_arrays_of_another_shape_or_of_floats(value):
    check_refused(from_python, "conv2d", {"stride": value}, (TypeError, ValueError), "stride")


@pytest.mark.parametrize(("name", "argument"), arguments_of(*PAIRS, signals=False))
def test_sizes_of_compiled_code_are_an_int_or_a_pair_of_ints(name, argument):
    for value in (True, 1.0, (1.0, 1), (1, True), "11", (1, 2, 3), (1,), np.ones(2, int)):
        errors = TypeError, ValueError, TypingError
        check_refused(from_compiled_code, name, {argument: value}, errors, argument)


LENGTHS = [param for param in arguments_of(*PAIRS) if "1d" in param.values[0]]


@BOTH
@pytest.mark.parametrize(("name", "argument"), LENGTHS)
def test_lengths_of_signals_are_ints(name, argument, call):
    for value in (2**31, -1) if argument == "padding" else (2**31, 0, -1):
        check_refused(call, name, {argument: value}, ValueError, argument)
    wrong = [True, 1.0, (1.0, 1), (1, 2, 3), (1,), np.ones(2)]
    for value in wrong if argument == "padding" else [*wrong, (1, 1), "11"]:
        check_refused(call, name, {argument: value}, (TypeError, ValueError, TypingError), argument)


@BOTH
@pytest.mark.parametrize("name", ["conv2d", "max_pool2d", "avg_pool2d", "conv1d", "max_pool1d", "avg_pool1d"])
@pytest.mark.parametrize("value", ["full", "11", ""])
def test_padding_in_words_is_one_of_some(name, value, call):
    check_refused(call, name, {"padding": value}, (ValueError, TypingError), "padding")


OVERFLOWS = """
import numpy as np
from fastconv.kernels import conv2d, conv2d_grad_input, conv2d_grad_weight
x, weight, most = np.ones((1, 1, 4, 4)), np.ones((1, 1, 2, 2)), 2**31 - 1
calls = [
    lambda: conv2d(x, weight, None, most, most),
    lambda: conv2d(x, weight[..., :1, :1], None, most, most),
    lambda: conv2d_grad_weight(x, x[..., :3, :3], 2, most, most),
    lambda: conv2d(x, weight, None, 1, 2**29, 2**30),
    lambda: conv2d_grad_input(x, weight, 4, 1, 2**29, 2**30),
]
for call in calls:
    try:
        call()
    except ValueError as error:
        print(error)
"""


def test_padding_whose_memory_cannot_be_counted_is_refused_without_a_crash():
    run = subprocess.run([sys.executable, "-c", OVERFLOWS], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert [line.split(" ")[0] for line in run.stdout.splitlines()] == ["`padding`"] * 5, run.stdout


@BOTH
@pytest.mark.parametrize(
    ("name", "changed", "argument"),
    [
        ("conv2d", {"stride": (-(2**63), 1)}, "stride"),
        ("conv2d", {"groups": -(2**63)}, "groups"),
        ("cross_entropy", {"labels": np.array([-(2**63), 0])}, "labels"),
    ],
)
def test_the_smallest_int_is_refused_like_any_other(name, changed, argument, call):
    check_refused(call, name, changed, ValueError, argument)
