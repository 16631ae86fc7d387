"""Depthwise convolutions in the lane layout: forward, input gradient and weight gradient."""

import itertools
from typing import NamedTuple

import numpy as np
import pytest

from fastconv.kernels import conv2d, conv2d_grad_input, conv2d_grad_weight
from fastconv.kernels.lanes import depthwise, depthwise_geometry, depthwise_grad_weight
from tests.kernels import reference


class Case(NamedTuple):
    size: tuple
    kernel: tuple = (3, 3)
    stride: tuple = (1, 1)
    padding: object = 1
    dilation: tuple = (1, 1)
    channels: int = 3
    multiplier: int = 1
    samples: int = 18


SIZES = [(25, 5), (24, 7), (6, 6), (4, 5), (4, 4), (3, 3), (3, 4), (2, 9), (2, 2), (1, 1), (5, 1), (13, 14)]
LENGTHS = [1, 2, 3, 4, 7, 11, 12, 13, 21, 24, 39, 100]
CASES = [
    *(Case(size) for size in SIZES),
    *(Case((1, n), (1, k), padding=(0, k // 2)) for n in LENGTHS for k in (3, 8)),
    *(Case((1, 60), (1, k), padding=(0, k // 2)) for k in (1, 2, 4, 5, 6, 7, 9, 10, 11, 20, 40)),
    *(Case((9, 10), (k, k), padding=k // 2) for k in (1, 2, 4, 5, 6, 7, 9)),
    *(
        Case((11, 12), (3, 3), stride, ((0, 2), (1, 0)), dilation)
        for stride, dilation in itertools.product(((1, 1), (2, 2), (2, 1), (1, 3)), ((1, 1), (2, 1), (1, 2)))
    ),
    *(Case((10, 9), kernel, (2, 2), 2) for kernel in ((5, 5), (6, 3), (3, 7), (4, 4), (2, 3))),
    *(Case((7, 8), channels=c, multiplier=m) for c, m in ((2, 2), (3, 3), (2, 4), (2, 5), (17, 1))),
    *(Case((7, 6), samples=n) for n in (1, 2, 7, 16, 33, 40)),
    Case((40, 33), channels=2, samples=16),
    Case((2, 3), stride=(2, 2), padding=4),  # windows that see padding only
    Case((6, 7), (2, 2), (4, 3), 0),  # a stride larger than the kernel
    Case((1, 2000), (1, 3), padding=(0, 1), channels=2),  # more positions than a part of a sum has
]


def arrays(case, seed=0):
    rng = np.random.default_rng(seed)
    pads = case.padding
    out = case.channels * case.multiplier
    size = reference.output_size(case.size, case.kernel, case.stride, pads, case.dilation)
    x = rng.standard_normal((case.samples, case.channels, *case.size))
    weight = rng.standard_normal((out, 1, *case.kernel))
    return x, weight, rng.standard_normal(out), rng.standard_normal((case.samples, out, *size))


def results(module, case, x, weight, bias, dy):
    settings = case.stride, case.padding, case.dilation, case.channels
    return (
        module.conv2d(x, weight, bias, *settings),
        module.conv2d_grad_input(dy, weight, case.size, *settings),
        module.conv2d_grad_weight(x, dy, case.kernel, *settings),
    )


class Ours:
    conv2d = staticmethod(conv2d)
    conv2d_grad_input = staticmethod(conv2d_grad_input)
    conv2d_grad_weight = staticmethod(conv2d_grad_weight)


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case)).replace(" ", ""))
def test_results_are_the_sums_of_the_definition(case):
    check_sums(case, float64=1e-13, float32=3e-6)


def check_sums(case, **tolerances):
    """The results in the dtypes whose tolerance is given."""
    given = arrays(case)
    whole = results(reference, case, *given)
    for dtype, tolerance in tolerances.items():
        own = results(Ours, case, *(array.astype(dtype) for array in given))
        for expected, found in zip(whole, own, strict=True):
            scale = max(1.0, np.abs(expected).max(initial=0))
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def test_several_planes_of_a_group_are_added_up_in_parts():
    """60 planes of 3 x 3 taps are 540 products: more than a part of a sum has."""
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal((17, 120, 5, 6)), rng.standard_normal((2, 60, 3, 3))
    dy = rng.standard_normal((17, 2, 5, 6))
    assert depthwise.takes(2, 120, 2)
    settings = 1, 1, 1, 2
    np.testing.assert_allclose(
        conv2d(x, weight, None, *settings), reference.conv2d(x, weight, None, *settings), atol=1e-12
    )
    np.testing.assert_allclose(
        conv2d_grad_weight(x, dy, 3, *settings),
        reference.conv2d_grad_weight(x, dy, 3, *settings),
        atol=1e-11,
    )
    np.testing.assert_allclose(
        conv2d_grad_input(dy, weight, (5, 6), *settings),
        reference.conv2d_grad_input(dy, weight, (5, 6), *settings),
        atol=1e-12,
    )


def phases(g):
    """(phase, its patches) of a geometry."""
    count = g[depthwise.DEPTHWISE.phases]
    for number in range(count):
        at = depthwise.PHASES_AT + number * len(depthwise.PHASE)
        phase = depthwise.PhaseGeometry(*g[at : at + len(depthwise.PHASE)])
        lines, columns = depthwise.FORMS[phase.form]
        table = g[phase.patches_at : phase.patches_at + (lines if lines > 1 else 0) + columns]
        first = table[:lines] if lines > 1 else np.zeros(1, np.int64)
        places = (first[:, None] + table[-columns:]).ravel()
        start = phase.patches_at + len(table)
        patches = g[start : start + phase.patches * len(depthwise.PATCH)].reshape(-1, len(depthwise.PATCH))
        yield phase, [depthwise.PatchGeometry(*patch) for patch in patches], places


@pytest.mark.parametrize("size", [*SIZES, *((1, n) for n in LENGTHS)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 2), (3, 2)])
def test_the_patches_of_all_phases_cover_every_position_and_no_other(size, stride):
    arguments = 4, 4, (3, 3), size, size, stride, (1, 1), (1, 1), 4, (1000, 50), (1000, 50), 0, 0
    for make in (depthwise_geometry.depthwise_forward, depthwise_geometry.depthwise_grad_input):
        covered = set()
        for _, patches, places in phases(make(*arguments)):
            covered.update(patch.y_at + place for patch in patches for place in places.tolist())
        assert covered == {50 * i + j for i in range(size[0]) for j in range(size[1])}


@pytest.mark.skipif(depthwise.EDGE != 4, reason="other patches on a narrower machine")
def test_patches_waste_few_positions_on_the_sizes_of_known_networks():
    for height, width in ((25, 5), (24, 24), (12, 12), (6, 6), (3, 3), (48, 48), (1, 140), (1, 500)):
        g = depthwise_geometry.depthwise_forward(
            2, 2, (3, 3), (height, width), (height, width), (1, 1), (1, 1), (1, 1), 2,
            (9999, 600), (9999, 600), 0, 0,
        )  # fmt: skip
        computed = sum(len(patches) * len(places) for _, patches, places in phases(g))
        assert computed <= 1.13 * height * width


def test_every_kernel_of_three_taps_and_more_is_cut_in_blocks_that_hold_each_tap_once():
    grad, block = depthwise_grad_weight.GRAD, depthwise_grad_weight.BLOCK
    for height, width in itertools.product((1, 2, 3, 4, 6), range(3, 24)):
        g = depthwise_grad_weight.depthwise_weight_geometry(
            2, 2, (height, width), (9, 9), (1, 1), (0, 0), (1, 1), 2, (1000, 100), (1000, 100), 0
        )
        sizes = ((grad.squares, 9), (grad.fives, 5), (grad.fours, 4), (grad.threes, 3))
        taps, at = [], depthwise_grad_weight.BLOCKS_AT
        for field, size in sizes:
            for _ in range(g[field]):
                first = g[at + block.w_at]
                taps += range(first, first + size)
                line, place = divmod(first, width)
                assert g[at + block.x_at] == 100 * line + place
                at += len(block)
        assert sorted(taps) == list(range(height * width))
