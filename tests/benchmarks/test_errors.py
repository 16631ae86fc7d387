"""Rounding errors of layers: measured on networks of one layer, and told beside PyTorch's."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.benchmarks import errors, goals, networks
from fastconv.benchmarks.errors import Case, Errors
from fastconv.benchmarks.timing import QUICK

CASES = [
    Case(16, (9, 12), 16, 3),
    Case(8, (10, 7), 4, 5, 2),
    Case(6, (30,), 4, 7),
    Case(8, (6, 6), 8, 3, 1, 8),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_errors_are_those_of_rounding_in_every_pass(case):
    before = fc.get_precision()
    for one in errors.measure([case]):
        assert {"high", "highest"} <= set(one.of)
        for who, found in one.of.items():
            assert len(found) == 3
            assert all(1e-9 < error < 2e-6 for error in found), who
    assert fc.get_precision() == before


def test_winograds_products_have_larger_errors_and_are_measured():
    (one,) = errors.measure([Case(64, (16, 16), 64, 3)])
    for high, highest in zip(one.of["high"], one.of["highest"], strict=True):
        assert 1.5 * highest < high < 8 * highest


def test_the_input_gradient_is_that_of_each_sample():
    """The weights below the layer are handed over as they are, and so is their gradient."""
    case = CASES[0]
    x = np.random.default_rng(0).standard_normal((4, case.channels, *case.size), np.float32)
    model = errors._network(case, x)
    inputs = np.eye(4, dtype=np.float32).reshape(4, 4, 1, 1)
    y = np.random.default_rng(1).standard_normal((4, *model.output_shape), np.float32)
    outputs, dx, dweight = errors._fastconv(model, inputs, y)
    weight, dy = model.parameters()["1.weight"], (y / y.size).astype(np.float32)
    settings = {"padding": 1}
    np.testing.assert_allclose(outputs, fc.kernels.conv2d(x, weight, **settings), atol=1e-5)
    wanted = fc.kernels.conv2d_grad_input(dy, weight, case.size, **settings)
    np.testing.assert_allclose(dx, wanted, atol=1e-5 * np.abs(wanted).max())
    wanted = fc.kernels.conv2d_grad_weight(x, dy, 3, **settings)
    np.testing.assert_allclose(dweight, wanted, atol=1e-5 * np.abs(wanted).max())


def test_a_wrong_result_is_no_rounding_error(monkeypatch):
    right = networks.twin

    def wrong(model, dtype):
        other = right(model, dtype)
        other.parameters()["1.weight"][0, 0] *= 1.001
        return other

    monkeypatch.setattr(networks, "twin", wrong)
    (one, *_) = errors.measure(CASES[:1])
    assert one.of["highest"][0] > 1e-5


FOUND = [
    Errors(Case(3, (8, 8), 4, 3), "random", {"high": (4e-7, 2e-7, 1e-7), "torch": (1e-7, 1e-7, 2e-7)}),
    Errors(Case(3, (40,), 4, 5), "random", {"high": (1e-7, 2e-7, 1e-7), "torch": (1e-7, 1e-7, 2e-7)}),
]


def test_the_table_has_a_line_for_each_layer_and_says_the_ratios():
    text = errors.markdown([one._replace(of={**one.of, "highest": one.of["torch"]}) for one in FOUND])
    assert '"high": 2.00, 2.00, 0.50 in the mean, at most 4.00, 2.00, 0.50.' in text
    assert "| 3x3, 3 -> 4, 8x8 | random | 4 / 1 / 1 | 2 / 1 / 1 | 1 / 2 / 2 |" in text
    assert "| 5 along signals, 3 -> 4, 40 | random | " in text


def test_the_goal_is_that_no_pass_of_any_layer_is_far_behind():
    (goal,) = goals.measure([], QUICK, everything=False, found=FOUND)
    assert (goal.measured, goal.target, goal.reached) == ("4 x", "5 x PyTorch's", True)
    assert goals.measure([], QUICK, everything=False) == []
