"""Numbers, flags and groups."""

import numpy as np
import pytest
from numba.core.errors import TypingError

from tests.checks.valid_calls import BOTH, FLAGS, NUMBERS, arguments_of, check_refused, from_python


@BOTH
@pytest.mark.parametrize(("name", "argument"), arguments_of("groups", "num_groups"))
def test_groups_are_a_positive_int(name, argument, call):
    for value in (0, -1, 2**31, 2**62):
        check_refused(call, name, {argument: value}, ValueError, argument)
    for value in (True, 1.0, (1, 1), "1", None):
        check_refused(call, name, {argument: value}, (TypeError, TypingError), argument)


@pytest.mark.parametrize("value", [2**70, np.array([1, 1]), np.array(1.5), np.array([2.0])], ids=str)
def test_groups_are_no_other_number_or_array(value):
    check_refused(from_python, "conv2d", {"groups": value}, (TypeError, ValueError), "groups")


@BOTH
@pytest.mark.parametrize(("name", "argument"), arguments_of(*NUMBERS))
def test_numbers_are_real_numbers(name, argument, call):
    for value in (True, "0.1", 1j, None, np.ones(1)):
        check_refused(call, name, {argument: value}, (TypeError, TypingError), argument)


@pytest.mark.parametrize(("name", "argument"), arguments_of(*FLAGS))
def test_flags_are_true_or_false(name, argument):
    for value in ("no", None, 0.5):
        check_refused(from_python, name, {argument: value}, TypeError, argument)
