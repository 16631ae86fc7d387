"""How losses are reduced."""

import pytest
from numba import njit
from numba.core.errors import TypingError

from fastconv import kernels
from tests.checks.valid_calls import VALID, check_refused, from_python

LOSSES = [name for name in VALID if name.startswith(("bce", "mse", "huber", "cross"))]


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("reduction", ["avg", "", None, 1, True, b"mean", ["mean"]])
def test_a_reduction_is_one_of_three_texts(name, reduction):
    error = ValueError if isinstance(reduction, str) else (ValueError, TypeError)
    check_refused(from_python, name, {"reduction": reduction}, error, "reduction")


@pytest.mark.parametrize("name", LOSSES)
def test_a_reduction_of_compiled_code_is_one_of_three_texts(name):
    function = getattr(kernels, name)

    @njit
    def caller(x, y):
        return function(x, y, reduction="avg")

    with pytest.raises((ValueError, TypingError), match='`reduction` must be "mean", "sum" or "none"'):
        caller(*list(VALID[name].values())[:2])
