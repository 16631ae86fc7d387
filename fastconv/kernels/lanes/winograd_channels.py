"""Convolutions of few samples by Winograd's products: their channels lie in the lanes, as in `channels.py`.

    x  planes of vectors of channels          a tile is 6x6 of x, which gives 4x4 of y: see `winograd.py`
    v  [36][tiles][channels / lanes]          vectors of channels
    u  [36][outputs / (columns * lanes)][channels][columns]    vectors of outputs, packed as for `channels.py`
    m  [36][tiles][outputs / lanes]           vectors of outputs
    y  planes of vectors of outputs

For each of the 36 points, m = v u is what `contract_channels` computes: tiles are its positions, channels its
taps, and points its images, with weights of their own. Tiles of all samples are rows of one product.
"""

from typing import NamedTuple

import numpy as np

from ... import simd
from ...simd import rolled
from ...simd.six_points import POINTS, end_line
from .conv import RELU
from .matrix_product import APART
from .operation import dividing_operation, offsets_of, operation, run_of, share
from .winograd_transforms import (
    MATRICES,
    results_for,
    transform_input,
    transform_products,
    transform_weights,
)

TAPS = 3  # in each direction
RESULTS, ALL_TAPS = results_for(TAPS), TAPS * TAPS


class TilesGeometry(NamedTuple):
    """The tiles that `tiles_to_points` reads or `points_to_tiles` writes; distances in vectors."""

    tiles: int
    blocks: int  # vectors of channels or outputs
    plane: int  # from one of these to the next
    line: int
    matrix: int  # from one of the 36 matrices to the next
    outputs: int = 0  # that have a bias
    ending: int = 0  # PLAIN or RELU, as in `contract_channels`
    bias: int = 0  # whether there is one


TILES = offsets_of(TilesGeometry)
PLACES_AT = len(TILES)  # where each tile begins


def tiles_geometry(places, blocks, plane, line, **others):
    """Make the geometry of either transform, of tiles at the `places` of each vector of channels."""
    named = TilesGeometry(
        tiles=len(places), blocks=blocks, plane=plane, line=line,
        matrix=matrix_distance(len(places), blocks), **others,
    )  # fmt: skip
    return np.array([*named, *places], np.int64)


def matrix_distance(tiles, blocks):
    """Vectors from one of the 36 matrices of v or m to the next."""
    return tiles * blocks + APART


@dividing_operation
def tiles_to_points(x, v, _c, _d, _e, _f, g, s):
    """V = the tiles of x, transformed."""
    blocks = g[TILES.blocks]
    begin, end = share(blocks * g[TILES.tiles], s)
    for block in range(blocks):
        first, last = run_of(block, g[TILES.tiles], begin, end)
        for tile in range(first, last):
            at = block * g[TILES.plane] + g[PLACES_AT + tile]
            transform_input(x, at, g[TILES.line], 1, v, tile * blocks + block, g[TILES.matrix])


@dividing_operation
def points_to_tiles(m, bias, y, scratch, _e, _f, g, s):
    """Y = the results of the products m, with bias and ReLU where the geometry says so."""
    blocks, lanes = g[TILES.blocks], simd.lanes(m)
    floor = simd.fill(y, 0.0 if g[TILES.ending] == RELU else -np.inf)
    begin, end = share(blocks * g[TILES.tiles], s)
    for block in range(blocks):
        first, last = run_of(block, g[TILES.tiles], begin, end)
        b = simd.fill(y, 0.0)
        if g[TILES.bias]:
            b = simd.load_part(bias, block * lanes, g[TILES.outputs] - block * lanes)
        for tile in range(first, last):
            transform_products(m, tile * blocks + block, g[TILES.matrix], RESULTS, scratch)
            at = block * g[TILES.plane] + g[PLACES_AT + tile]
            for j in range(RESULTS):
                rolled()
                end_line(scratch, j, POINTS, y, at + j, g[TILES.line], RESULTS, b, floor, y, False)


class TransformPackedGeometry(NamedTuple):
    """The weight that `transform_packed` transforms, and how far its numbers lie apart."""

    outputs: int
    channels: int
    by_output: int
    by_channel: int
    first_tap: int
    by_tap: int


PACKED = offsets_of(TransformPackedGeometry)
VECTORS_AT = len(PACKED)  # behind them, for each vector of outputs: where it begins, and its tile's columns


def transform_packed_geometry(outputs, channels, widths, turned=False):
    """Make the geometry of `transform_packed`; `widths` are those of `channels.widths`.

    `turned` is that of an input gradient: the weight lies as [channels][outputs], its taps turned round.
    """
    if turned:
        named = TransformPackedGeometry(outputs, channels, ALL_TAPS, outputs * ALL_TAPS, ALL_TAPS - 1, -1)
    else:
        named = TransformPackedGeometry(outputs, channels, channels * ALL_TAPS, ALL_TAPS, 0, 1)
    vectors = [
        (at * channels + column, width)
        for first, last, width, _ in widths
        for at in range(first, last, width)
        for column in range(width)
    ]
    return np.array([*named, *(number for vector in vectors for number in vector)], np.int64)


@operation
def transform_packed(w, u, _c, _d, _e, _f, g, s):
    """U = the transforms of the weight [outputs][channels][3][3], zeros past the last output."""
    outputs, channels, lanes = g[PACKED.outputs], g[PACKED.channels], simd.lanes(w)
    blocks, taps = (outputs + lanes - 1) // lanes, simd.local(w, MATRICES)
    begin, end = share(blocks * channels, s)
    for number in range(begin, end):
        block, c = number // channels, number % channels
        at = g[VECTORS_AT + 2 * block] + c * g[VECTORS_AT + 2 * block + 1]
        for lane in range(lanes):
            output = block * lanes + lane
            source = output * g[PACKED.by_output] + c * g[PACKED.by_channel] + g[PACKED.first_tap]
            for tap in range(ALL_TAPS):
                value = w[source + tap * g[PACKED.by_tap]] if output < outputs else 0.0
                taps[tap * lanes + lane] = value
        transform_weights(taps, u, at, blocks * channels, TAPS, TAPS)


def weight_size(outputs, channels, lanes):
    """Scalars of the transforms of a weight."""
    return MATRICES * channels * -(-outputs // lanes) * lanes
