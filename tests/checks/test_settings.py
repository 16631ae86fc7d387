import numpy as np
import pytest

from fastconv.checks.settings import real_number, whole_number


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), np.int64(1)])
def test_a_number_of_any_kind_becomes_a_float(value):
    result = real_number(value, "lr")
    assert type(result) is float
    assert result == value


@pytest.mark.parametrize("value", [-1e-9, 1.0, np.nan, np.inf, -np.inf])
def test_a_number_out_of_range_is_refused_by_name_and_value(value):
    with pytest.raises(
        ValueError, match=r"`momentum` must be a number >= 0 and < 1, got .*" + str(value)[:3]
    ):
        real_number(value, "momentum", high=1.0)


def test_the_lower_end_can_be_excluded():
    with pytest.raises(ValueError, match="`gamma` must be a number > 0, got 0"):
        real_number(0, "gamma", above=True)


@pytest.mark.parametrize("value", ["0.1", None, True, 1j, [0.1], np.zeros(1)])
def test_what_is_no_number_is_a_type_error(value):
    with pytest.raises(TypeError, match="`lr` must be a number >= 0, got"):
        real_number(value, "lr")


def test_whole_numbers_of_any_kind_become_ints():
    assert type(whole_number(np.int32(3), "patience")) is int


@pytest.mark.parametrize("value", [1.0, True, "1", None])
def test_what_is_no_whole_number_is_a_type_error(value):
    with pytest.raises(TypeError, match="`patience` must be an int >= 1, got"):
        whole_number(value, "patience")


def test_a_whole_number_too_small_is_refused():
    with pytest.raises(ValueError, match="`patience` must be an int >= 0, got -1"):
        whole_number(-1, "patience", low=0)
