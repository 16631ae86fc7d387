"""The plans of convolutions: which tiles they make, and of which taps."""

import pytest

from fastconv.kernels.lanes import conv, conv_geometry

# channels, output channels, kernel, edge of the image, padding
LENET = (6, 16, 5, 12, 0)
SHAPES = [LENET, (1, 6, 5, 28, 0), (3, 1, 3, 9, 1), (1, 1, 3, 6, 0), (32, 32, 3, 32, 1), (2, 7, 2, 3, 1)]


def plan(which, channels, out_channels, kernel, edge, padding):
    """(geometry, rows, positions, offsets of a tile in x and y) of a convolution or its input gradient."""
    out = edge + 2 * padding - kernel + 1
    shape = channels, out_channels, (kernel, kernel), (edge, edge), (out, out)
    windows = (1, 1), (padding, padding), (1, 1), 1
    if which == "forward":
        g = conv_geometry.conv_forward(*shape, *windows, (1000, 100), (10_000, 100), 1, 0)
        return g, out_channels, (out, out)
    g = conv_geometry.conv_grad_input(*shape, *windows, (10_000, 100), (1000, 100), (0, 0), 0)
    return g, channels, (edge, edge)


def tiles(g, rows, positions):
    """(pass, tile header, places in y) of every tile."""
    for number, (_, _, size, lines) in enumerate(conv.passes(rows, positions[0] * positions[1])):
        _, _, count, start = g[conv.PASSES + number * conv.PASS_FIELDS :][: conv.PASS_FIELDS]
        entries = conv_geometry.entries(size, lines)
        for k in range(count):
            tile = g[start + k * (conv.TILE_HEADER + 2 * entries) :]
            y = tile[conv.TILE_HEADER + entries :][:entries]
            yield number, tile, (y[:lines, None] + y[lines:]).ravel() if lines > 1 else y


def products(g, rows, positions):
    """Products that the tiles of all passes make for a row of the sum."""
    return sum(
        len(places) * tile[conv.CHANNELS] * tile[conv.LINES] * tile[conv.STEPS]
        for _, tile, places in tiles(g, rows, positions)
    )


@pytest.mark.parametrize("which", ["forward", "grad_input"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_last_parts_of_the_tiles_of_a_pass_end_the_sum_of_every_position(which, shape):
    g, rows, (height, width) = plan(which, *shape)
    ended = {}
    for number, tile, places in tiles(g, rows, (height, width)):
        if tile[conv.ENDS]:
            ended.setdefault(number, set()).update(places.tolist())
    assert ended
    everywhere = {100 * i + j for i in range(height) for j in range(width)}
    assert all(places == everywhere for places in ended.values())


@pytest.mark.parametrize("which", ["forward", "grad_input"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_part_of_a_sum_has_no_more_products_than_rounding_allows(which, shape):
    g, rows, positions = plan(which, *shape)
    for _, tile, _ in tiles(g, rows, positions):
        taps = tile[conv.LINES] * tile[conv.STEPS]
        assert tile[conv.CHANNELS] == 1 or tile[conv.CHANNELS] * taps <= conv.CONV_PRODUCTS
    channels = sum(tile[conv.CHANNELS] for _, tile, places in tiles(g, rows, positions) if 0 in places)
    passes = {number for number, _, _ in tiles(g, rows, positions)}
    assert channels == len(passes) * (shape[0] if which == "forward" else shape[1])


@pytest.mark.skipif(conv.COLUMNS_6 != 3, reason="other tiles on a narrower machine")
def test_tiles_along_the_edges_multiply_little_padding():
    needed = 16 * 8 * 8 * 5 * 5
    assert needed < products(*plan("grad_input", *LENET)) <= 1.13 * needed


def test_without_padding_tiles_go_on_across_the_ends_of_rows():
    g, rows, positions = plan("forward", *LENET)
    size = conv.passes(rows, 64)[1][2]
    needed = 6 * 5 * 5
    assert products(g, rows, positions) == -(-64 // size) * size * needed


def test_a_single_row_is_cut_in_blocks_where_these_waste_little():
    if conv.BLOCK_LINES == 1:
        pytest.skip("no blocks on a narrow machine")
    edge = conv.BLOCK_LINES
    assert {n for n, *_ in tiles(*plan("forward", 1, 1, 1, 4 * edge, 0))} == {conv.BLOCKS}
    g = conv_geometry.conv_forward(
        1, 1, (1, 1), (1, 64), (1, 64), (1, 1), (0, 0), (1, 1), 1, (100, 100), (100, 100), 0, 0
    )
    assert {n for n, *_ in tiles(g, 1, (1, 64))} == {conv.SINGLE}
