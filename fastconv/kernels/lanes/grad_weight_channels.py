"""Weight gradients of few samples, whose channels lie in the lanes.

    dw[o, k] = sum over positions p of  x[place of p + place of k] (scalar) * dy[p, o] (vector)

where k counts the taps of all channels. `contract_channels` makes that, with the positions for its taps and
dy for its weights, and the taps for its positions:

    dy  --pack_columns-->  [outputs / (columns * lanes)][positions][columns][lanes]
        --contract_channels-->  [outputs / lanes][k][lanes]  --unpack_weights-->  dw [outputs][k]

Of a depthwise convolution x is a vector, too: `depthwise_weights` makes [channels / lanes][taps][lanes].
"""

from typing import NamedTuple

import numpy as np

from ... import simd
from ...simd import add, advance, fill, load, store, tiles, transpose
from ...simd.tiles import outer_add, row_offsets, shape, zeros
from .channels import widths
from .operation import dividing_operation, offsets_of, run_of, share

POSITIONS_AT_ONCE = 512  # in a part of a sum, whose rounding is that of so many numbers
TAPS_AT_ONCE = 5  # of a depthwise kernel: nine take two tiles, three one; a load of dy serves all


class SlopeGeometry(NamedTuple):
    """The planes of dy: of so many vectors of outputs, each for some samples; distances in vectors."""

    blocks: int
    outputs: int
    samples: int
    height: int
    width: int
    plane: int
    row: int


SLOPE = offsets_of(SlopeGeometry)
COLUMNS_SWEEPS = len(SLOPE)  # four times (first vector of outputs, the one after the last, columns)


def slope_geometry(dy, outputs, lanes, positions=0):
    """Make the geometry of `pack_columns`, for sums that have so many taps, or of `plane_sums`."""
    blocks = -(-outputs // lanes)
    named = SlopeGeometry(blocks, outputs, dy.samples, dy.height, dy.width, dy.plane, dy.row)
    sweeps = [number for sweep in widths(blocks, positions) for number in sweep[:3]] if positions else []
    return np.array([*named, *sweeps], np.int64)


@dividing_operation
def pack_columns(dy, packed, _c, _d, _e, _f, g, s):
    """packed[tile][position][column][lane] = dy at each position of each sample."""
    lines, width = g[SLOPE.samples] * g[SLOPE.height], g[SLOPE.width]
    begin, end = share(g[SLOPE.blocks] * lines, s)
    for sweep in range(4):
        at = COLUMNS_SWEEPS + 3 * sweep
        columns = g[at + 2]
        for block in range(g[at], g[at + 1]):
            column = (block - g[at]) % columns
            target = (block - column) * lines * width + column
            first, last = run_of(block, lines, begin, end)
            for line in range(first, last):
                sample, h = line // g[SLOPE.height], line % g[SLOPE.height]
                source = (block * g[SLOPE.samples] + sample) * g[SLOPE.plane] + h * g[SLOPE.row]
                for w in range(width):
                    store(packed, target + (line * width + w) * columns, load(dy, source + w))


@dividing_operation
def plane_sums(dy, sums, _c, _d, _e, _f, g, s):
    """sums[o] = the sum of dy over the positions of all samples: the gradient of a bias."""
    lanes = simd.lanes(dy)
    first, last = share(g[SLOPE.blocks], s)
    for block in range(first, last):
        result = fill(dy, 0.0)
        for sample in range(g[SLOPE.samples]):
            plane = (block * g[SLOPE.samples] + sample) * g[SLOPE.plane]
            for h in range(g[SLOPE.height]):
                line = fill(dy, 0.0)
                for w in range(g[SLOPE.width]):
                    line = add(line, load(dy, plane + h * g[SLOPE.row] + w))
                result = add(result, line)
        simd.store_part(sums, block * lanes, result, g[SLOPE.outputs] - block * lanes)


class UnpackGeometry(NamedTuple):
    """A weight [outputs][taps]: the taps are those of all channels that an output is a sum over."""

    outputs: int
    taps: int


UNPACK = offsets_of(UnpackGeometry)


def unpacked_from(outputs, taps, lanes):
    """How many scalars `unpack_weights` reads: it loads whole squares."""
    return -(-outputs // lanes) * taps * lanes + lanes * lanes


@dividing_operation
def unpack_weights(packed, dw, _c, _d, _e, _f, g, s):
    """dw[output][tap] = packed[output / lanes][tap][lane]."""
    lanes, outputs, taps = simd.lanes(packed), g[UNPACK.outputs], g[UNPACK.taps]
    squares, blocks = (taps + lanes - 1) // lanes, (outputs + lanes - 1) // lanes
    first, last = share(blocks * squares, s)
    for number in range(first, last):
        block, tap = number // squares, number % squares * lanes
        square = transpose.square(packed, (block * taps + tap) * lanes, lanes)
        left = outputs - block * lanes
        transpose.store_square(
            transpose.transpose(square), dw, block * lanes * taps + tap, taps, left, taps - tap
        )


class DepthwiseWeightsGeometry(NamedTuple):
    """The sums that `depthwise_weights` makes; distances in vectors."""

    blocks: int  # vectors of channels
    images: int  # of each
    taps: int
    positions: int
    x_image: int
    y_image: int
    tiles: int  # of taps
    tiles_at: int  # where their places stand in `g`: for each tile those in x, then those in the result


DEPTHWISE_WEIGHTS = offsets_of(DepthwiseWeightsGeometry)
PLACES_AT = len(DEPTHWISE_WEIGHTS)  # behind them: at which vector each position lies in x, and in dy


def depthwise_weights_geometry(taps, results, x_at, dy_at, blocks, images):
    """Make the geometry of `depthwise_weights`.

    `taps` says at which vector of x each tap lies, `results` where its sum goes, `x_at` and `dy_at` where
    each position lies; `images` are (how many, from one to the next in x, in dy).
    """
    count = -(-len(taps) // TAPS_AT_ONCE)
    # The last tile repeats the last tap.
    number = np.minimum(np.arange(count * TAPS_AT_ONCE), len(taps) - 1).reshape(count, TAPS_AT_ONCE)
    geometry = DepthwiseWeightsGeometry(
        blocks=blocks, images=images[0], taps=len(taps), positions=len(x_at), x_image=images[1],
        y_image=images[2], tiles=count, tiles_at=PLACES_AT + 2 * len(x_at),
    )  # fmt: skip
    places = np.stack([x_at, dy_at], 1).ravel()
    of_taps = np.stack([np.asarray(taps)[number], np.asarray(results)[number]], 1).ravel()
    return np.concatenate([geometry, places, of_taps]).astype(np.int64)


@dividing_operation
def depthwise_weights(x, dy, packed, _d, _e, _f, g, s):
    """packed[channels / lanes][tap][lane] = the sum of x * dy over the positions of all samples."""
    form, places = shape(x, TAPS_AT_ONCE, 1), advance(g, PLACES_AT)
    images, positions, tile_count = (
        g[DEPTHWISE_WEIGHTS.images],
        g[DEPTHWISE_WEIGHTS.positions],
        g[DEPTHWISE_WEIGHTS.tiles],
    )
    first, last = share(g[DEPTHWISE_WEIGHTS.blocks] * tile_count, s)
    for number in range(first, last):
        block, at = number // tile_count, g[DEPTHWISE_WEIGHTS.tiles_at]
        at += number % tile_count * 2 * TAPS_AT_ONCE
        taps, results = row_offsets(form, g, at), row_offsets(form, g, at + TAPS_AT_ONCE)
        total = zeros(form)
        for image in range(images):
            plane = block * images + image
            x_plane, dy_plane = plane * g[DEPTHWISE_WEIGHTS.x_image], plane * g[DEPTHWISE_WEIGHTS.y_image]
            for start in range(0, positions, POSITIONS_AT_ONCE):
                acc = zeros(form)
                for p in range(start, min(start + POSITIONS_AT_ONCE, positions)):
                    x_place, dy_place = x_plane + places[2 * p], dy_plane + places[2 * p + 1]
                    acc = outer_add(acc, x, x_place, taps, dy, dy_place, (0,))
                total = tiles.tile_sum(acc, total)
        tiles.tile_store(total, packed, block * g[DEPTHWISE_WEIGHTS.taps], results, (0,))
