"""Few samples fill the lanes in strips of rows; large images are cut so that a block stays in the cache."""

import numpy as np
import pytest

from fastconv import kernels
from fastconv.kernels.row_strips import STRIP_BYTES, WHOLE_BYTES, Row, row_of, strip_rows
from tests.kernels import reference, reference_taps
from tests.kernels.test_conv import CASES, Case, check_equal, results, whole_numbers

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])


def name(case):
    return "-".join(map(str, case)).replace(" ", "")


# How images are cut

ROW = 64  # bytes of a vector
MUCH = STRIP_BYTES // ROW  # vectors in a row, so that a strip of one row is all that fits


@pytest.mark.parametrize(
    ("images", "rows", "row_vectors", "lanes", "multiple", "wanted"),
    [
        (1, 32, 10, 16, 1, 2),  # 16 strips of one image
        (1, 33, 10, 16, 1, 3),  # the last of 11 strips is as long as the others
        (2, 32, 10, 16, 1, 4),
        (3, 32, 10, 16, 1, 2),  # 48 strips are three whole blocks
        (5, 32, 10, 16, 1, 11),
        (8, 32, 10, 16, 1, 16),
        (9, 32, 10, 16, 1, 2),  # 144 strips fill 9 blocks, where 9 images fill 9 lanes of 16
        (15, 32, 10, 16, 1, 32),
        (16, 32, 10, 16, 1, 32),
        (20, 32, 10, 16, 1, 8),
        (100, 32, 10, 16, 1, 8),
        (1, 5, 10, 16, 1, 1),  # no more strips than rows
        (1, 1, 10, 16, 1, 1),
        (0, 7, 10, 16, 1, 7),
        (1, 32, 10, 8, 1, 4),
        (1, 32, 10, 16, 3, 3),  # a multiple of the stride
        (1, 32, 10, 16, 5, 5),
        (2, 10, 10, 16, 7, 7),
        (2, 10, 10, 16, 12, 10),  # never more than all rows
        (1, 160, MUCH // 10, 16, 1, 10),  # just as large as a cache holds
        (1, 160, MUCH // 5, 16, 1, 5),
        (1, 160, MUCH // 5, 16, 3, 6),
        (1, 160, 3 * MUCH, 16, 1, 1),
        (16, 8, WHOLE_BYTES // ROW // 8, 16, 1, 8),  # as large as the allocator keeps
        (16, 8, WHOLE_BYTES // ROW // 8 + 1, 16, 1, 1),
        (16, 64, 5120, 16, 1, 4),
    ],
)
def test_strips_fill_the_lanes_and_fit_the_cache(images, rows, row_vectors, lanes, multiple, wanted):
    assert strip_rows(images, rows, of_sums(row_vectors), lanes, multiple) == wanted


def of_sums(vectors):
    """A row of many products, where it is hardly seen how it is packed."""
    return Row(vectors, vectors, 10**6 * vectors, 10**3 * vectors)


def test_images_are_not_cut_where_packing_is_all_that_there_is_to_do():
    row = row_of((64, 5, 1), (64, 5, 1), 0, 2, 16)
    assert row == (640, 128, 0, 128)
    assert [strip_rows(images, 25, row, 16, 1) for images in (9, 20)] == [25, 25]
    assert strip_rows(1, 25, row, 16, 1) < 25


def test_strips_of_any_image_are_from_one_row_to_all_and_a_multiple_of_the_stride():
    rng = np.random.default_rng(0)
    for images, rows, lanes, multiple in rng.integers(1, [40, 300, 17, 9], (2000, 4)):
        row_vectors = int(2 ** rng.uniform(0, 20))
        height = strip_rows(images, rows, of_sums(row_vectors), lanes, multiple)
        assert 1 <= height <= rows
        assert height == rows or height % multiple == 0
        strip_bytes = height * row_vectors * ROW
        assert height <= multiple or strip_bytes <= max(WHOLE_BYTES, STRIP_BYTES * (1 + multiple / height))


# The reference for the cases below


@pytest.mark.parametrize(
    "case", [case for case in CASES[::7] if case.channels and case.out_channels], ids=name
)
def test_the_sums_by_taps_are_the_sums_of_the_definition(case):
    arrays = whole_numbers(case)
    check_equal(results(reference_taps, case, *arrays), results(reference, case, *arrays))


def rows_of_strips(case, dtype):
    """Rows of a strip of y, and of x where the gradient is computed."""
    lanes, stride = 64 // np.dtype(dtype).itemsize, reference.pair(case.stride)[0]
    (_, channels, height, width), _, _, (_, out_channels, out_height, out_width) = case.shapes
    (down, across), dilation = case.kernel, reference.pair(case.dilation)[0]
    products = out_channels * out_width * (channels // case.groups) * down * across
    seam = (down - 1) * dilation
    x, y = (channels, width), (out_channels, out_width)
    forward = row_of((*x, stride), (*y, 1), products, max(0, seam + 1 - stride), lanes)
    backward = row_of((*y, 1), (*x, 1), products // stride, seam // stride, lanes)
    return (
        strip_rows(case.n, out_height, forward, lanes, 1),
        strip_rows(case.n, height, backward, lanes, stride),
    )


def check(case, dtype):
    arrays = whole_numbers(case, dtype)
    got = results(kernels, case, *arrays)
    assert {array.dtype for array in got.values()} == {np.dtype(dtype)}
    check_equal(got, results(reference_taps, case, *arrays))


# Few samples

SETTINGS = [
    ((3, 3), 1, 0, 1),
    ((3, 3), 1, 1, 1),
    ((3, 2), 2, 1, 1),
    ((2, 3), 3, (2, 0), 1),
    ((3, 3), 1, 2, 2),
    ((4, 1), (3, 2), (5, 0), (2, 1)),  # strips that see padding only
    ((1, 1), (2, 1), 0, 1),
    ((2, 2), (5, 1), 1, 1),  # rows of x that no window meets
    ((7, 3), 1, (3, 1), 1),  # windows over several strips
    ((5, 5), (2, 3), 4, (3, 2)),
]
FEW = [
    Case(n, 3, 5, (height, 9), kernel, stride, padding, dilation)
    for n in (1, 2, 3, 5, 7)
    for height in (16, 23, 40)
    for kernel, stride, padding, dilation in SETTINGS
]
GROUPED = [Case(n, 6, 4, (19, 21), (3, 3), stride, 1, 1, 2) for n in (1, 3) for stride in (1, 2)]
GROUPED += [Case(1, 17, 17, (21, 8), (3, 3), 1, 1, 1, 17)]
NARROW_AND_WIDE = [
    Case(n, 2, 3, (20, width), (3, 1), 1, 1) for n in (1, 2) for width in (1, 7, 8, 15, 16, 17, 33)
]


@both_dtypes
@pytest.mark.parametrize("case", FEW + GROUPED + NARROW_AND_WIDE, ids=name)
def test_few_samples_give_the_sums_of_the_definition(case, dtype):
    if case.n <= 2 and case.size[1] > 1:  # else lanes may be full enough, or squares are nearly empty
        assert rows_of_strips(case, dtype)[1] < case.size[0]
    check(case, dtype)


# Strips that are limited by the cache

MANY_ROWS = [
    Case(1, 24, 22, (40, 200), (3, 3), 1, 1),
    Case(2, 20, 24, (41, 150), (3, 3), 2, 1),
    Case(3, 24, 9, (43, 130), (2, 3), (3, 1), (1, 0)),
    Case(5, 30, 10, (40, 120), (3, 1), 1, 2, 2),
    Case(7, 48, 48, (37, 160), (3, 3), (2, 3), 1, 1, 8),
    Case(16, 40, 40, (64, 64), (3, 3), 1, 1),
    Case(17, 40, 30, (65, 64), (2, 3), 2, (0, 1)),
    Case(33, 40, 44, (47, 64), (3, 1), (3, 1), (2, 0), (2, 1), 4),
]


@both_dtypes
@pytest.mark.parametrize("case", MANY_ROWS, ids=name)
def test_images_whose_blocks_outgrow_the_cache_give_the_sums_of_the_definition(case, dtype):
    strips = max(1, 64 // np.dtype(dtype).itemsize // case.n)
    rows = rows_of_strips(case, dtype)
    assert rows[0] < -(-case.shapes[3][2] // strips), "more strips than would fill the lanes"
    assert rows[1] < -(-case.size[0] // strips)
    check(case, dtype)


@both_dtypes
@pytest.mark.parametrize("n", [1, 3, 16])
def test_nan_in_one_row_stays_in_the_windows_that_meet_it(n, dtype):
    case = Case(n, 3, 4, (24, 6), (3, 3), 1, 1)
    x, weight, bias, dy = whole_numbers(case, dtype)
    for row in range(24):
        spoilt, slopes = x.copy(), dy.copy()
        spoilt[n // 2, 1, row, 2], slopes[n // 2, 1, row, 2] = np.nan, np.nan
        got = (
            kernels.conv2d(spoilt, weight, bias, padding=1),
            kernels.conv2d_grad_input(slopes, weight, (24, 6), 1, 1),
        )
        expected = np.zeros((n, 24, 6), bool)
        expected[n // 2, max(row - 1, 0) : row + 2, 1:4] = True
        for array in got:
            assert np.array_equal(np.isnan(array).any(1), expected), row


@both_dtypes
def test_a_sample_has_the_same_bits_alone_as_among_others(dtype):
    case = Case(20, 5, 6, (31, 13), (3, 3), 2, 1)
    rng = np.random.default_rng(0)
    x, weight, bias, dy = (rng.standard_normal(shape).astype(dtype) for shape in case.shapes)
    y, dx = (results(kernels, case, x, weight, bias, dy)[name] for name in ("y", "dx"))
    for count in (1, 2, 3, 7):
        got = results(kernels, case, x[:count], weight, bias, dy[:count])
        assert got["y"].tobytes() == y[:count].tobytes(), count
        assert got["dx"].tobytes() == dx[:count].tobytes(), count
