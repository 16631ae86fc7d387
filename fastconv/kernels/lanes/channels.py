"""Sums for few samples, whose channels lie in the lanes: convolutions, dense layers and depthwise ones.

    x: a plane of each sample for as many channels as a vector has lanes, or planes of scalars
       [channels / lanes][samples][H + halo][W + halo][lanes]
       [samples][channels][H + halo][W + halo]
    packed weights, one register tile of outputs after the other
       [outputs / (columns * lanes)][taps][columns][lanes]

    y[o, p] = bias[o] + sum over taps of  x[place of p + place of the tap] (scalar) * w[tap, o] (vector)

A register tile holds positions x vectors of outputs, in its rows and columns: a scalar of x serves all its
vectors of weights, a vector of weights all its positions, so that it takes 9 loads to make 20 products. Where
a tap and where a position lies is told by tables, so that strides, padding, dilation, images of several
samples and scalars beside vectors cost nothing here. A dense layer has one position in each sample.
"""

from typing import NamedTuple

import numpy as np

from ... import simd
from ...simd import advance, tiles, transpose
from ...simd.compiling import compiled
from ...simd.tiles import columns, multiply_add, offsets, outer_add, row_offsets, rows, shape, zeros
from .conv import PLAIN, RELU
from .operation import dividing_operation, offsets_of, operation, run_of, share

MOST_ROWS = 8  # so many chains hide the latency of a product; addresses of more rows would spill


def _rows(wanted):
    """How many positions fit the registers beside so many vectors of outputs."""
    fitting = (r for r in range(MOST_ROWS, 0, -1) if tiles.tile_columns(r) >= wanted)
    return next(fitting, 1)


# Vectors of outputs in a tile, the widest that fits first: 5 x 4, 8 x 2 and 8 x 1 with 32 registers. A single
# position has a tile of one row.
WIDE = min(4, tiles.tile_columns(1))
WIDE_ROWS, PAIR_ROWS, NARROW_ROWS = _rows(WIDE), _rows(2), _rows(1)
ALONE = min(MOST_ROWS, tiles.tile_columns(1))
FEW_POSITIONS = 64  # in an image: those of several samples share tiles then


class SumsGeometry(NamedTuple):
    """The sums that `contract_channels` makes; distances in scalars for x, in vectors for y."""

    taps: int  # of an output
    part: int  # taps in a part of a sum: long ones are made in parts, each from 0
    images: int  # that have the same positions
    x_image: int  # from one of them to the next
    y_image: int
    w_image: int  # vectors of weights, where each image has its own
    y_block: int  # from one vector of outputs to the next
    ending: int  # what becomes of a finished sum: PLAIN or RELU of conv.py
    bias: int  # whether there is one


class SweepGeometry(NamedTuple):
    """Vectors of outputs that are computed in tiles of one shape."""

    first: int
    last: int  # the one after the last
    tiles: int
    tiles_at: int  # where their positions stand in `g`: for each tile those of x, then those of y


SUMS, SWEEP = offsets_of(SumsGeometry), offsets_of(SweepGeometry)
SWEEPS_AT = len(SUMS)  # four sweeps: one position, wide, in pairs, narrow
NUMBERS_AT = SWEEPS_AT + 4 * len(SWEEP)  # 0, 1, 2, ...: the columns of a tile of weights
BLOCKS_AT = NUMBERS_AT + MOST_ROWS  # where the vectors of a tile lie in y
TAPS_AT = BLOCKS_AT + MOST_ROWS


def widths(blocks, positions):
    """How vectors of outputs are divided: (first, last, columns of a tile, its rows) of four sweeps."""
    wide, pair = (-(-positions // height) * height for height in (WIDE_ROWS, PAIR_ROWS))
    forms = [
        (ALONE, 1, positions == 1),
        (WIDE, WIDE_ROWS, wide <= 1.05 * pair),  # not where its last tile would repeat more positions
        (2, PAIR_ROWS, ALONE >= 2),  # what does not fit the registers would be no faster than one by one
        (1, NARROW_ROWS, True),
    ]
    found, first = [], 0
    for width, height, pays in forms:
        last = first + (blocks - first) // width * width if pays else first
        found.append((first, last, width, height))
        first = last
    return found


def sums_geometry(taps, part, x_at, y_at, blocks, y_block, images, ending, bias):
    """Make the geometry of `contract_channels` to so many vectors of outputs at each position.

    `taps` says at which scalar of x each tap lies, `x_at` and `y_at` at which scalar of x and vector of y
    each position of an image; `images` are (how many, from one to the next in x, in y).
    """
    count, x_image, y_image = images
    if len(x_at) < FEW_POSITIONS:
        x_at, y_at = (
            (np.arange(count)[:, None] * step + at).ravel() for step, at in ((x_image, x_at), (y_image, y_at))
        )
        count = 1
    sweeps = widths(blocks, len(x_at) * count)
    named = SumsGeometry(
        taps=len(taps), part=part, images=count, x_image=x_image, y_image=y_image, w_image=0,
        y_block=y_block, ending=ending, bias=bias,
    )  # fmt: skip
    return _with_tables(named, taps, x_at, y_at, sweeps)


def products_geometry(depth, part, x_at, y_at, sweeps, images):
    """Make the geometry of `contract_channels` as products of matrices, one an image: y = x w.

    Rows of x, of `depth` scalars, and rows of y begin at `x_at` and `y_at`. `sweeps` are those of `widths`
    that the weights are packed for; `images` are as in `sums_geometry`, and how far apart their weights are.
    """
    count, x_image, y_image, w_image = images
    named = SumsGeometry(
        taps=depth, part=part, images=count, x_image=x_image, y_image=y_image, w_image=w_image, y_block=1,
        ending=PLAIN, bias=0,
    )  # fmt: skip
    return _with_tables(named, np.arange(depth), x_at, y_at, sweeps)


def _with_tables(named, taps, x_at, y_at, sweeps):
    """A geometry of `contract_channels`, of its named numbers and of what lies behind them."""
    numbers, places, end = [], [], TAPS_AT + len(taps)
    for first, last, _, height in sweeps:
        count = -(-len(x_at) // height) if last > first else 0
        numbers += SweepGeometry(first=first, last=last, tiles=count, tiles_at=end)
        # The last tile repeats the last position.
        of_tile = np.minimum(np.arange(count * height), len(x_at) - 1).reshape(count, height)
        places.append(np.stack([x_at[of_tile], y_at[of_tile]], 1).ravel())
        end += places[-1].size
    columns = np.arange(MOST_ROWS)
    tables = columns, columns * named.y_block, taps, *places
    return np.concatenate([named, numbers, *tables]).astype(np.int64)


@compiled
def _sweep(form, x, w, bias, y, g, at, s):
    """Make a share of the sums of the sweep whose numbers stand at g[at]: of the tiles of all its outputs."""
    taps, part, ending = g[SUMS.taps], g[SUMS.part], g[SUMS.ending]
    numbers, y_blocks = offsets(form, g, NUMBERS_AT), offsets(form, g, BLOCKS_AT)
    table, has_bias, y_block = advance(g, TAPS_AT), g[SUMS.bias], g[SUMS.y_block]
    begin, end, tile_count = g[at + SWEEP.first], g[at + SWEEP.last], g[at + SWEEP.tiles]
    if tile_count == 0 or begin >= end:
        return
    blocks, images = (end - begin) // columns(form), g[SUMS.images]
    first, last = share(blocks * images * tile_count, s)
    for number in range(first // (images * tile_count), blocks):
        block = begin + number * columns(form)
        for image in range(images):
            first_tile, end_tile = run_of(number * images + image, tile_count, first, last)
            weights = advance(w, (block * taps + image * g[SUMS.w_image]) * simd.lanes(w))
            x_image, y_image = advance(x, image * g[SUMS.x_image]), image * g[SUMS.y_image] + block * y_block
            for k in range(first_tile, end_tile):
                places = g[at + SWEEP.tiles_at] + 2 * k * rows(form)
                x_at, y_at = row_offsets(form, g, places), row_offsets(form, g, places + rows(form))
                total = zeros(form)
                for start in range(0, taps, part):
                    acc = zeros(form)
                    for tap in range(start, min(start + part, taps)):
                        acc = multiply_add(
                            acc, x_image, table[tap], x_at, weights, tap * columns(form), numbers
                        )
                    total = acc if start == 0 else tiles.tile_sum(acc, total)
                if has_bias:
                    total = tiles.tile_add_columns(total, bias, block)
                if ending == RELU:
                    total = tiles.tile_relu(total)
                tiles.tile_store(total, y, y_image, y_at, y_blocks)


@dividing_operation
def contract_channels(x, w, bias, y, _e, _f, g, s):
    """y = bias + the sum of w * x over the taps, and ReLU where the geometry says so; weights are packed."""
    _sweep(shape(x, 1, ALONE), x, w, bias, y, g, SWEEPS_AT, s)
    _sweep(shape(x, WIDE_ROWS, WIDE), x, w, bias, y, g, SWEEPS_AT + len(SWEEP), s)
    _sweep(shape(x, PAIR_ROWS, 2), x, w, bias, y, g, SWEEPS_AT + 2 * len(SWEEP), s)
    _sweep(shape(x, NARROW_ROWS, 1), x, w, bias, y, g, SWEEPS_AT + 3 * len(SWEEP), s)


class DepthwiseGeometry(NamedTuple):
    """The sums that `depthwise_channels` makes; distances in vectors."""

    blocks: int  # vectors of channels
    images: int  # of each
    taps: int
    x_image: int
    y_image: int
    tiles: int
    tiles_at: int  # as in a SweepGeometry
    ending: int
    bias: int


DEPTHWISE = offsets_of(DepthwiseGeometry)
DEPTHWISE_TAPS = len(DEPTHWISE)  # behind them: at which vector of x each tap lies


def depthwise_geometry(taps, x_at, y_at, blocks, images, ending, bias):
    """Make the geometry of `depthwise_channels`; arguments as in `sums_geometry`, but all in vectors."""
    number = -(-len(x_at) // NARROW_ROWS)
    of_tile = np.minimum(np.arange(number * NARROW_ROWS), len(x_at) - 1).reshape(number, NARROW_ROWS)
    geometry = DepthwiseGeometry(
        blocks=blocks, images=images[0], taps=len(taps), x_image=images[1], y_image=images[2], tiles=number,
        tiles_at=DEPTHWISE_TAPS + len(taps), ending=ending, bias=bias,
    )  # fmt: skip
    places = np.stack([x_at[of_tile], y_at[of_tile]], 1).ravel()
    return np.concatenate([geometry, taps, places]).astype(np.int64)


@dividing_operation
def depthwise_channels(x, w, bias, y, _e, _f, g, s):
    """y = bias + the sum of w * x over the taps of each channel, and ReLU where the geometry says so."""
    form, taps, table = shape(x, NARROW_ROWS, 1), g[DEPTHWISE.taps], advance(g, DEPTHWISE_TAPS)
    tile_count = g[DEPTHWISE.tiles]
    planes = g[DEPTHWISE.blocks] * g[DEPTHWISE.images]
    begin, end = share(planes * tile_count, s)
    for plane in range(planes):
        first, last = run_of(plane, tile_count, begin, end)
        block = plane // g[DEPTHWISE.images]
        x_plane, y_plane = plane * g[DEPTHWISE.x_image], plane * g[DEPTHWISE.y_image]
        for k in range(first, last):
            places = g[DEPTHWISE.tiles_at] + 2 * k * NARROW_ROWS
            x_at, y_at = row_offsets(form, g, places), row_offsets(form, g, places + NARROW_ROWS)
            acc = zeros(form)
            for tap in range(taps):
                acc = outer_add(acc, x, x_plane + table[tap], x_at, w, block * taps + tap, (0,))
            if g[DEPTHWISE.bias]:
                acc = tiles.tile_add_columns(acc, bias, block)
            if g[DEPTHWISE.ending] == RELU:
                acc = tiles.tile_relu(acc)
            tiles.tile_store(acc, y, y_plane, y_at, (0,))


# Weights


class PackWeightsGeometry(NamedTuple):
    """The weight that `pack_weights` packs."""

    outputs: int
    taps: int  # of an output, those of all its channels
    bias: int  # whether there is one


PACK = offsets_of(PackWeightsGeometry)
PACK_SWEEPS = len(PACK)  # four times (first vector of outputs, the one after the last, columns, distances at)


def pack_geometry(outputs, taps, bias, lanes, positions):
    """Make the geometry of `pack_weights` for sums at so many positions, or depthwise ones: 0."""
    sweeps, tables, blocks = [], [], -(-outputs // lanes)
    end = PACK_SWEEPS + 4 * 4
    narrow = [(0, 0, 1, 1)] * 3 + [(0, blocks, 1, 1)]
    for first, last, width, _ in widths(blocks, positions) if positions else narrow:
        sweeps += first, last, width, end
        if last > first:
            tables.append(np.arange(taps) * width)
            end += taps
    geometry = PackWeightsGeometry(outputs=outputs, taps=taps, bias=bias)
    return np.concatenate([geometry, sweeps, *tables]).astype(np.int64)


@operation
def pack_weights(w, packed, bias, packed_bias, _e, _f, g, s):
    """packed[tile][tap][column][lane] = w[output][tap], zeros past the last output; the bias likewise."""
    lanes, outputs, taps = simd.lanes(w), g[PACK.outputs], g[PACK.taps]
    begin, end = share((outputs + lanes - 1) // lanes, s)
    for sweep in range(4):
        at = PACK_SWEEPS + 4 * sweep
        for block in range(max(g[at], begin), min(g[at + 1], end)):
            width, first = g[at + 2], block * lanes
            column = (block - g[at]) % width
            target = advance(packed, ((block - column) * taps + column) * lanes)
            for tap in range(0, taps, lanes):
                square = transpose.square_part(w, first * taps + tap, taps, outputs - first, taps - tap)
                square = transpose.transpose(square)
                transpose.store_scattered(square, target, advance(g, g[at + 3]), tap, taps - tap)
            if g[PACK.bias]:
                simd.store(packed_bias, block, simd.load_part(bias, first, outputs - first))


def pack_from_geometry(table):
    """Make the geometry of `pack_from`, from where in w each packed number comes; -1 for zeros."""
    return np.array([len(table), *table], np.int64)


@operation
def pack_from(w, packed, _c, _d, _e, _f, g, s):
    """packed[k] = w[table[k]], zeros where that is -1."""
    first, last = share(g[0], s)
    for k in range(first, last):
        packed[k] = w[g[1 + k]] if g[1 + k] >= 0 else 0.0


def pack_vectors_geometry(table, lanes):
    """Make the geometry of `pack_vectors` from the table of `pack_from`, or None where it can't be.

    It can be where the numbers of each vector follow each other, before any zeros.
    """
    vectors = np.reshape(table, (-1, lanes))
    counts = np.count_nonzero(vectors >= 0, axis=1)
    starts = np.where(counts > 0, vectors[:, 0], 0)
    lane = np.arange(lanes)
    if not np.array_equal(vectors, np.where(lane < counts[:, None], starts[:, None] + lane, -1)):
        return None
    return np.array([len(vectors), *np.stack([starts, counts], 1).ravel()], np.int64)


@operation
def pack_vectors(w, packed, _c, _d, _e, _f, g, s):
    """As `pack_from`, vector by vector: each is a run of w, with zeros behind it."""
    first, last = share(g[0], s)
    for k in range(first, last):
        simd.store(packed, k, simd.load_part(w, g[1 + 2 * k], g[2 + 2 * k]))


class FoldGeometry(NamedTuple):
    """The weight that `fold_norm` scales: (outer, channels, inner), of which channels are outputs."""

    outer: int
    channels: int
    inner: int
    bias: int  # whether there is one before


FOLD = offsets_of(FoldGeometry)


@operation
def fold_norm(w, bias, running, gamma, eps, folded, g, s):
    """folded = the weight, then the bias, that give what batch normalisation makes of the sums.

    running: means, then variances; gamma: scales, then shifts.
    """
    outer, channels, inner = g[FOLD.outer], g[FOLD.channels], g[FOLD.inner]
    shifts = advance(folded, outer * channels * inner)
    for c in range(channels):
        factor = gamma[c] / np.sqrt(running[channels + c] + eps[0])
        for n in range(outer):
            for k in range((n * channels + c) * inner, (n * channels + c + 1) * inner):
                folded[k] = w[k] * factor
        before = bias[c] if g[FOLD.bias] else simd.convert(0.0, w)
        shifts[c] = (before - running[c]) * factor + gamma[channels + c]
