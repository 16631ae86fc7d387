"""The plans of convolutions: which tiles they make, and of which taps."""

import numpy as np
import pytest

from fastconv.engine.lowering import conv_geometry as in_python
from fastconv.kernels.lanes import conv, conv_geometry

# channels, output channels, kernel, edge of the image, padding
LENET = (6, 16, 5, 12, 0)
SHAPES = [
    LENET,
    (1, 6, 5, 28, 0),
    (3, 1, 3, 9, 1),
    (1, 1, 3, 6, 0),
    (32, 32, 3, 32, 1),
    (2, 7, 2, 3, 1),
    (400, 4, 1, 6, 1),
]


def plan(which, channels, out_channels, kernel, edge, padding):
    """(geometry, rows, positions, offsets of a tile in x and y) of a convolution or its input gradient."""
    out = edge + 2 * padding - kernel + 1
    shape = channels, out_channels, (kernel, kernel), (edge, edge), (out, out)
    windows = (1, 1), (padding, padding), (1, 1), 1
    if which == "forward":
        g = conv_geometry.conv_forward(*shape, *windows, (1000, 100), (10_000, 100), 1, 0)
        return g, out_channels, (out, out)
    g = conv_geometry.conv_grad_input(*shape, *windows, (10_000, 100), (1000, 100), (0, 0), 0, 0)
    return g, channels, (edge, edge)


def tiles(g, rows, positions):
    """(sweep, tile, places in y) of every tile."""
    for number, (_, _, size, lines) in enumerate(conv.sweeps(rows, positions[0] * positions[1])):
        sweep = conv.SweepGeometry(*g[conv.SWEEPS_AT + number * len(conv.SWEEP) :][: len(conv.SWEEP)])
        entries = conv_geometry.entries(size, lines)
        for k in range(sweep.tiles):
            tile = g[sweep.tiles_at + k * (conv.POSITIONS_AT + 2 * entries) :]
            y = tile[conv.POSITIONS_AT + entries :][:entries]
            yield number, tile, (y[:lines, None] + y[lines:]).ravel() if lines > 1 else y


def loops(tile, kernel):
    """How often the loops of a tile run over channels, taps down and taps across: 1x1 has channels inside."""
    outer, middle, inner = tile[conv.TILE.outer], tile[conv.TILE.middle], tile[conv.TILE.inner]
    return (inner, outer, middle) if kernel == 1 else (outer, middle, inner)


def products(g, rows, positions):
    """Products that the tiles of all sweeps make for an output."""
    return sum(
        len(places) * tile[conv.TILE.outer] * tile[conv.TILE.middle] * tile[conv.TILE.inner]
        for _, tile, places in tiles(g, rows, positions)
    )


@pytest.mark.parametrize("which", ["forward", "grad_input"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_last_parts_of_the_tiles_of_a_sweep_end_the_sum_of_every_position(which, shape):
    g, rows, (height, width) = plan(which, *shape)
    ended = {}
    for number, tile, places in tiles(g, rows, (height, width)):
        if tile[conv.TILE.ends]:
            ended.setdefault(number, set()).update(places.tolist())
    assert ended
    everywhere = {100 * i + j for i in range(height) for j in range(width)}
    assert all(places == everywhere for places in ended.values())


@pytest.mark.parametrize("which", ["forward", "grad_input"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_part_of_a_sum_has_no_more_products_than_rounding_allows(which, shape):
    g, rows, positions = plan(which, *shape)
    for _, tile, _ in tiles(g, rows, positions):
        channels, taps_h, taps_w = loops(tile, shape[2])
        assert channels == 1 or channels * taps_h * taps_w <= conv.CONV_PRODUCTS
    parts = (loops(tile, shape[2]) for _, tile, places in tiles(g, rows, positions) if 0 in places)
    channels = sum(channels for channels, _, _ in parts)
    sweeps = {number for number, _, _ in tiles(g, rows, positions)}
    assert channels == len(sweeps) * (shape[0] if which == "forward" else shape[1])


@pytest.mark.skipif(conv.COLUMNS_6 != 3, reason="other tiles on a narrower machine")
def test_tiles_along_the_edges_multiply_little_padding():
    needed = 16 * 8 * 8 * 5 * 5
    assert needed < products(*plan("grad_input", *LENET)) <= 1.13 * needed


def test_without_padding_tiles_go_on_across_the_ends_of_rows():
    g, rows, positions = plan("forward", *LENET)
    size = conv.sweeps(rows, 64)[1][2]
    needed = 6 * 5 * 5
    assert products(g, rows, positions) == -(-64 // size) * size * needed


def test_one_output_alone_is_cut_in_patches_where_these_waste_little():
    if conv.PATCH_LINES == 1:
        pytest.skip("no patches on a narrow machine")
    edge = conv.PATCH_LINES
    assert {n for n, *_ in tiles(*plan("forward", 1, 1, 1, 4 * edge, 0))} == {conv.IN_PATCHES}
    g = conv_geometry.conv_forward(
        1, 1, (1, 1), (1, 64), (1, 64), (1, 1), (0, 0), (1, 1), 1, (100, 100), (100, 100), 0, 0
    )
    assert {n for n, *_ in tiles(g, 1, (1, 64))} == {conv.ALONG_LINES}


@pytest.mark.parametrize(
    ("groups", "stride", "padding"), [(1, (1, 1), (2, 0)), (2, (2, 3), (1, 2)), (1, (3, 1), (0, 1))]
)
@pytest.mark.parametrize("size", [(1, 5), (9, 20), (24, 23)])
@pytest.mark.parametrize("channels", [(2, 6), (34, 14), (4, 10)])
def test_python_makes_the_geometries_that_compiled_code_makes(channels, size, groups, stride, padding):
    kernel, dilation = (3, 4), (2, 1)
    out = tuple(max(1, (n + 3 * p) // s) for n, s, p in zip(size, stride, padding, strict=True))
    shape, windows = (*channels, kernel, size, out), (stride, padding, dilation, groups)
    for name in ("forward_halo", "grad_input_halo"):
        arguments = kernel, size, out, stride, padding, dilation
        assert getattr(in_python, name)(*arguments) == getattr(conv_geometry, name)(*arguments)
    calls = {
        "conv_forward": (*shape, *windows, (1000, 40), (900, 30), 1, conv.RELU),
        "conv_grad_input": (*shape, *windows, (1000, 40), (900, 30), (0, 0), 0, conv.GATE),
        "conv_grad_weight": (*channels, kernel, out, *windows, (1000, 40), (900, 30), 1),
    }
    for name, arguments in calls.items():
        made, expected = (getattr(where, name)(*arguments) for where in (in_python, conv_geometry))
        assert made.dtype == expected.dtype == np.int64
        np.testing.assert_array_equal(made, expected)
