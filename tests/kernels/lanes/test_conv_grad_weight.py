"""Weight gradients of convolutions in the lane layout: their tiles, their bands, and their sums."""

import itertools

import numpy as np
import pytest
from numba import njit

from fastconv import simd
from fastconv.engine.memory import Planes, Storage
from fastconv.kernels.lanes import conv_geometry
from fastconv.kernels.lanes.conv_grad_weight import (
    FEWEST_POSITIONS,
    FIVE_COLUMNS,
    GRAD_WEIGHT,
    ONE_COLUMNS,
    ROWS,
    TABLE_TAIL,
    TWO_COLUMNS,
    band_size,
    contract_grad_weight,
    takes_fives,
)
from fastconv.kernels.lanes.operation import STATE, STATE_SIZE
from fastconv.simd import advance, keep, pointer

# channels, outputs, kernel, size, stride, padding, dilation, groups
CASES = [
    (1, 1, (1, 1), (1, 1), (1, 1), (0, 0), (1, 1), 1),
    (5, 7, (1, 1), (13, 17), (1, 1), (0, 0), (1, 1), 1),
    (8, 13, (1, 1), (1, 701), (1, 1), (0, 0), (1, 1), 1),
    (16, 16, (1, 1), (24, 24), (2, 2), (0, 0), (1, 1), 1),
    (6, 10, (1, 1), (9, 11), (1, 2), (0, 0), (1, 1), 2),
    (1, 6, (5, 5), (14, 15), (1, 1), (0, 0), (1, 1), 1),
    (3, 5, (3, 3), (19, 40), (2, 1), (1, 1), (1, 1), 1),
    (4, 9, (3, 3), (11, 12), (1, 1), (2, 1), (2, 1), 1),
    (4, 2, (3, 2), (40, 33), (3, 2), (0, 1), (1, 1), 2),
    (9, 6, (1, 1), (30, 31), (1, 1), (0, 0), (1, 1), 1),
    (2, 150, (1, 1), (1, 400), (1, 2), (0, 0), (1, 1), 1),
    (3, 11, (1, 8), (1, 300), (1, 1), (0, 4), (1, 1), 1),
    (2, 4, (1, 39), (1, 130), (1, 2), (0, 19), (1, 2), 1),
]


def gradient_of(case, dtype, has_bias=True):
    """What the kernel makes of random images, twice: begun anew, then added to."""
    channels, outputs, kernel, size, stride, padding, dilation, groups = case
    lanes, rng = simd.VECTOR_BYTES // np.dtype(dtype).itemsize, np.random.default_rng(3)
    out = [
        (n + 2 * p - (k - 1) * d - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
    ]
    halo = padding[0], padding[0], padding[1], padding[1]
    x, dy = Planes(Storage(0), channels, *size, halo), Planes(Storage(0), outputs, *out, (0, 0, 0, 0))
    X, dY = rng.standard_normal((lanes, channels, *size)), rng.standard_normal((lanes, outputs, *out))
    memories = []
    for planes, values in ((x, X), (dy, dY)):
        memory = np.zeros((planes.channels * planes.plane, lanes), dtype)
        table = planes.table() + planes.first_byte // simd.VECTOR_BYTES
        memory[table] = values.reshape(lanes, -1).T
        memories.append(memory)
    g = conv_geometry.conv_grad_weight(
        channels, outputs, kernel, tuple(out), stride, padding, dilation, groups,
        x.steps, dy.steps, int(has_bias),
    )  # fmt: skip
    size_of_all = outputs * (channels // groups) * kernel[0] * kernel[1] + outputs * has_bias
    sums, state = np.full(size_of_all + 8, np.nan, dtype), np.zeros(STATE_SIZE, np.int64)
    first = x.first_byte // np.dtype(dtype).itemsize
    run(contract_grad_weight.function, _aligned(memories[0]), first, _aligned(memories[1]), sums, g, state)
    return X, dY, sums[:size_of_all], sums[size_of_all:]


@njit
def run(kernel, x, first, dy, sums, g, state):
    """Begin the sums with a block, then add the same block."""
    x, total = advance(pointer(x), first), pointer(sums)
    for fresh in (1, 0):
        state[STATE.fresh] = fresh
        kernel(x, pointer(dy), total, total, total, total, pointer(g), pointer(state))
    keep((g, state))


def _aligned(memory):
    """A copy that begins at a vector's boundary."""
    whole = np.zeros(memory.size + simd.VECTOR_BYTES // memory.itemsize, memory.dtype)
    start = -whole.ctypes.data % simd.VECTOR_BYTES // memory.itemsize
    copy = whole[start : start + memory.size]
    copy[:] = memory.ravel()
    return copy


def right_gradient(case, X, dY):
    """The same sums, tap by tap, in float64."""
    channels, outputs, kernel, _, stride, padding, dilation, groups = case
    padded = np.pad(X, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2))
    height, width = dY.shape[2:]
    inputs, rows = channels // groups, outputs // groups
    result = np.zeros((outputs, inputs, *kernel))
    for o, c, kh, kw in itertools.product(range(outputs), range(inputs), range(kernel[0]), range(kernel[1])):
        top, left = kh * dilation[0], kw * dilation[1]
        seen = padded[
            :, o // rows * inputs + c,
            top : top + (height - 1) * stride[0] + 1 : stride[0],
            left : left + (width - 1) * stride[1] + 1 : stride[1],
        ]  # fmt: skip
        result[o, c, kh, kw] = (seen * dY[:, o]).sum()
    return result


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_are_the_sums_of_all_positions_and_lanes(case, dtype):
    X, dY, sums, behind = gradient_of(case, dtype)
    weight = right_gradient(case, X, dY)
    right = 2 * np.concatenate([weight.ravel(), dY.sum((0, 2, 3))])  # of the same block twice
    scale = np.sqrt(dY[:, 0].size)
    np.testing.assert_allclose(sums / scale, right / scale, atol=1e-12 if dtype == "float64" else 2e-6)
    assert np.isnan(behind).all()  # nothing else is written


def test_without_a_bias_nothing_is_written_behind_the_weights():
    X, dY, sums, behind = gradient_of(CASES[1], "float32", has_bias=False)
    np.testing.assert_allclose(sums, 2 * right_gradient(CASES[1], X, dY).ravel(), rtol=1e-4, atol=1e-3)
    assert np.isnan(behind).all()


def test_without_positions_sums_are_zero():
    case = 3, 6, (1, 1), (0, 4), (1, 1), (0, 0), (1, 1), 1
    assert not gradient_of(case, "float32")[2].any()


def test_a_long_sum_is_made_of_parts():
    case = 1, 1, (1, 1), (512, 512), (1, 1), (0, 0), (1, 1), 1
    X, dY, sums, _ = gradient_of(case, "float32")
    X32, dY32 = X.astype("f4").astype("f8"), dY.astype("f4").astype("f8")
    assert abs(sums[0] - 2 * (X32 * dY32).sum()) < 5e-8 * (np.abs(X32 * dY32)).sum()


@pytest.mark.skipif(ROWS != 4, reason="tiles of few registers have two columns at most")
def test_tiles_have_as_many_columns_as_leave_the_fewest_over():
    fives = [taps for taps in range(1, 33) if takes_fives(taps)]
    assert fives == [5, 9, 10, 13, 14, 15, 25, 29, 30]


def test_a_tile_that_runs_over_reads_repeated_entries():
    assert max(FIVE_COLUMNS, TWO_COLUMNS, ONE_COLUMNS) <= TABLE_TAIL


@pytest.mark.parametrize("width", [0, 1, 5, 48, 63, 64, 65, 141, 2304])
@pytest.mark.parametrize(("kernel", "stride"), [((1, 1), (1, 1)), ((3, 3), (1, 1)), ((8, 8), (4, 4))])
def test_bands_cover_an_image_in_pieces_of_like_size(width, kernel, stride):
    lines, places = band_size(width, kernel, stride)
    bands = -(-width // places)
    assert lines >= 1
    assert bands * places - width < max(bands, 1)
    assert lines * places >= min(FEWEST_POSITIONS, width) // 2


def test_lines_that_touch_are_one_line():
    def sizes(x_line, y_line):
        g = conv_geometry.conv_grad_weight(
            2, 2, (1, 1), (25, 5), (1, 1), (0, 0), (1, 1), 1, (200, x_line), (200, y_line), 0
        )
        return g[GRAD_WEIGHT.height], g[GRAD_WEIGHT.width]

    assert sizes(5, 5) == (1, 125)
    assert sizes(7, 5) == sizes(5, 7) == (25, 5)
