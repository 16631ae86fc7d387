"""Kernels for one sample, with its channels in the lanes.

        [channels / lanes][H][W][lanes]        to pool.py and activations.py these are planes like others

A block of samples would leave all its lanes but one empty. Here convolutions and dense layers, which are
convolutions with a kernel as large as the image, are one sum over scalars of x and vectors of weights:

    y[o, p] = bias[o] + sum over c, kh, kw of  x[c, p + kh * line + kw] (scalar) * w[c, kh, kw, o] (vector)

The first layer of few channels would leave most lanes empty too: its positions lie in the lanes, and its
results are transposed. The products are added in the same order and parts as in a block of samples, so that
the results have the same bits.
"""

from typing import NamedTuple

import numpy as np

from ... import simd
from ...simd import advance, fill, load, multiply, store, subtract, tiles, transpose, vector_math
from ...simd.compiling import compiled
from ...simd.tiles import columns, multiply_add, offsets, rows, shape, zeros
from .conv import COLUMNS_1, COLUMNS_2, COLUMNS_4, COLUMNS_6, RELU, channels_at_once, sweeps
from .operation import offsets_of, operation

OVERRUN = max(COLUMNS_1, COLUMNS_2, COLUMNS_4, COLUMNS_6)  # vectors that a last tile may go on past its end
# Positions of a tile of `contract_channels`: so many chains hide the latency of a product.
TILE_POSITIONS = 8 if simd.HOST.registers_per_vector == 1 else 4


class ContractChannelsGeometry(NamedTuple):
    """The sums that `contract_channels` makes; distances in scalars for x, in vectors for y."""

    tiles: int
    out_planes: int  # planes of y: its channels, as many in each as a vector has lanes
    channels: int  # of x
    taps_h: int  # taps in a channel, down and across
    taps_w: int
    x_plane: int
    x_tap_h: int  # from one tap to the one below
    x_tap_w: int  # from one tap to the one at its right
    y_plane: int
    ending: int  # what becomes of a finished sum: PLAIN or RELU of conv.py
    bias: int  # whether there is one


CHANNELS = offsets_of(ContractChannelsGeometry)
TILE_PLACES = len(CHANNELS)  # behind them, for each tile: where its positions lie in x, then where in y


def contract_channels_geometry(x, channels, y, kernel, stride, padding, dilation, lanes, ending, has_bias):
    """Make the geometry of `contract_channels` from the planes x, of so many channels, to the planes y."""
    i, j = (index.ravel() for index in np.indices((y.height, y.width)))
    x_at = ((i * stride[0] - padding[0]) * x.row + j * stride[1] - padding[1]) * lanes
    y_at = i * y.row + j
    tile_count = -(-len(i) // TILE_POSITIONS)
    places = np.minimum(np.arange(tile_count * TILE_POSITIONS), len(i) - 1).reshape(-1, TILE_POSITIONS)
    geometry = ContractChannelsGeometry(
        tiles=tile_count,
        out_planes=y.channels,
        channels=channels,
        taps_h=kernel[0],
        taps_w=kernel[1],
        x_plane=x.plane * lanes,
        x_tap_h=dilation[0] * x.row * lanes,
        x_tap_w=dilation[1] * lanes,
        y_plane=y.plane,
        ending=ending,
        bias=has_bias,
    )
    return np.array([*geometry, *np.stack([x_at[places], y_at[places]], 1).ravel()], np.int64)


@operation
def contract_channels(x, w, bias, y, _e, _f, g, s):
    """y = bias + the sum of w * x over the taps, and ReLU where the geometry says so; weights are packed."""
    lanes, form = simd.lanes(x), shape(x, TILE_POSITIONS, 1)
    channels, taps_h, taps_w = g[CHANNELS.channels], g[CHANNELS.taps_h], g[CHANNELS.taps_w]
    x_tap_h, x_tap_w = g[CHANNELS.x_tap_h], g[CHANNELS.x_tap_w]
    at_once = channels_at_once(taps_h * taps_w)
    for plane in range(g[CHANNELS.out_planes]):
        for k in range(g[CHANNELS.tiles]):
            at = TILE_PLACES + 2 * k * TILE_POSITIONS
            x_at, y_at = tiles.row_offsets(form, g, at), tiles.row_offsets(form, g, at + TILE_POSITIONS)
            total, tap = zeros(form), plane * channels * taps_h * taps_w
            for start in range(0, channels, at_once):
                acc = zeros(form)
                for c in range(start, min(start + at_once, channels)):
                    x_channel = c // lanes * g[CHANNELS.x_plane] + c % lanes
                    for kh in range(taps_h):
                        x_tap = x_channel + kh * x_tap_h
                        for kw in range(taps_w):
                            acc = multiply_add(acc, x, x_tap + kw * x_tap_w, x_at, w, tap, (0,))
                            tap += 1
                total = acc if start == 0 else tiles.tile_sum(acc, total)
            if g[CHANNELS.bias]:
                total = tiles.tile_add_columns(total, bias, plane)
            if g[CHANNELS.ending] == RELU:
                total = tiles.tile_relu(total)
            tiles.tile_store(total, y, plane * g[CHANNELS.y_plane], y_at, (0,))


class PackWeightsGeometry(NamedTuple):
    """The weight that `pack_weights` packs."""

    outputs: int
    taps: int  # of an output, those of all its channels
    bias: int  # whether there is one


PACK = offsets_of(PackWeightsGeometry)


@operation
def pack_weights(w, packed, bias, packed_bias, _e, _f, g, s):
    """packed[block][tap][lane] = w[block * lanes + lane][tap], zeros past the last row; the bias likewise."""
    lanes, outputs, taps = simd.lanes(w), g[PACK.outputs], g[PACK.taps]
    for first in range(0, outputs, lanes):
        for tap in range(0, taps, lanes):
            square = transpose.square_part(w, first * taps + tap, taps, outputs - first, taps - tap)
            transpose.store_column(
                transpose.transpose(square), packed, first // lanes * taps + tap, taps - tap
            )
        if g[PACK.bias]:
            store(packed_bias, first // lanes, simd.load_part(bias, first, outputs - first))


class DenseChannelsGeometry(NamedTuple):
    """The sums that `dense_channels` makes."""

    outputs: int
    taps: int  # of an output
    at_once: int  # taps in a part of a sum
    y_plane: int  # vectors from one plane of y to the next
    ending: int  # what becomes of a finished sum: PLAIN or RELU of conv.py
    bias: int  # whether there is one


DENSE_CHANNELS = offsets_of(DenseChannelsGeometry)
TAP_PLACES = len(DENSE_CHANNELS)  # behind them: at which scalar of x each tap lies


def dense_channels_geometry(outputs, table, at_once, y_plane, ending, has_bias):
    """Make the geometry of `dense_channels`, where `table` says at which scalar of x each tap lies."""
    geometry = DenseChannelsGeometry(
        outputs=outputs, taps=len(table), at_once=at_once, y_plane=y_plane, ending=ending, bias=has_bias
    )
    return np.array([*geometry, *table], np.int64)


@operation
def dense_channels(x, w, bias, y, _e, _f, g, s):
    """y = bias + the sum of w * x at a single position; squares of w become vectors of outputs on the way."""
    lanes, outputs, taps, table = (
        simd.lanes(w),
        g[DENSE_CHANNELS.outputs],
        g[DENSE_CHANNELS.taps],
        advance(g, TAP_PLACES),
    )
    for first in range(0, outputs, lanes):
        total = fill(x, 0.0)
        for start in range(0, taps, g[DENSE_CHANNELS.at_once]):
            acc, end = fill(x, 0.0), min(start + g[DENSE_CHANNELS.at_once], taps)
            for tap in range(start, end, lanes):
                square = transpose.square_part(w, first * taps + tap, taps, outputs - first, end - tap)
                acc = transpose.add_products(transpose.transpose(square), acc, x, table, tap, end - tap)
            total = acc if start == 0 else simd.add(acc, total)
        if g[DENSE_CHANNELS.bias]:
            total = simd.add(total, simd.load_part(bias, first, outputs - first))
        if g[DENSE_CHANNELS.ending] == RELU:
            zero = fill(x, 0.0)
            total = simd.select(simd.greater(zero, total), zero, total)
        store(y, first // lanes * g[DENSE_CHANNELS.y_plane], total)


class ContractPositionsGeometry(NamedTuple):
    """The sums that `contract_positions` makes; distances in scalars for x, in vectors for y."""

    outputs: int
    vectors: int  # of positions
    channels: int
    taps_h: int  # taps in a channel, down and across
    taps_w: int
    x_plane: int
    x_tap_h: int  # from one tap to the one below
    x_tap_w: int  # from one tap to the one at its right
    y_plane: int
    ending: int  # what becomes of a finished sum: PLAIN or RELU of conv.py
    bias: int  # whether there is one


POSITIONS = offsets_of(ContractPositionsGeometry)
VECTOR_NUMBERS = len(POSITIONS)  # behind them: 0, 1, 2, ..., the vectors of positions of a tile


def contract_positions_geometry(x, outputs, vectors, channels, kernel, dilation, y_plane, ending, has_bias):
    """Make the geometry of `contract_positions` from planes of scalars x to planes of `y_plane` vectors."""
    geometry = ContractPositionsGeometry(
        outputs=outputs,
        vectors=vectors,
        channels=channels,
        taps_h=kernel[0],
        taps_w=kernel[1],
        x_plane=x.plane,
        x_tap_h=dilation[0] * x.row,
        x_tap_w=dilation[1],
        y_plane=y_plane,
        ending=ending,
        bias=has_bias,
    )
    return np.array([*geometry, *range(OVERRUN)], np.int64)


@compiled
def _position_tiles(form, x, w, bias, y, g, first, last):
    """Compute the outputs from `first` to before `last`, in tiles of outputs x vectors of positions."""
    channels, taps_h, taps_w = g[POSITIONS.channels], g[POSITIONS.taps_h], g[POSITIONS.taps_w]
    taps, numbers = channels * taps_h * taps_w, offsets(form, g, VECTOR_NUMBERS)
    for v in range(0, g[POSITIONS.vectors], columns(form)):
        for o in range(first, last, rows(form)):
            acc, tap = zeros(form), o * taps
            for c in range(channels):
                for kh in range(taps_h):
                    at = c * g[POSITIONS.x_plane] + kh * g[POSITIONS.x_tap_h]
                    for kw in range(taps_w):
                        shifted = advance(x, at + kw * g[POSITIONS.x_tap_w])
                        acc = multiply_add(acc, w, tap, taps, shifted, v, numbers)
                        tap += 1
            if g[POSITIONS.bias]:
                acc = tiles.tile_add_rows(acc, bias, o, 1)
            if g[POSITIONS.ending] == RELU:
                acc = tiles.tile_relu(acc)
            tiles.tile_store(acc, y, o * g[POSITIONS.y_plane] + v, g[POSITIONS.y_plane], numbers)


@operation
def contract_positions(x, w, bias, y, _e, _f, g, s):
    """y[o] = bias + the sum of w * x over the taps, and ReLU, with the positions of a plane in the lanes.

    Lines follow each other as in x, so that some positions lie beside the image and mean nothing.
    """
    six, four, two, one, _ = sweeps(g[POSITIONS.outputs], 0)
    _position_tiles(shape(x, 6, COLUMNS_6), x, w, bias, y, g, six[0], six[1])
    _position_tiles(shape(x, 4, COLUMNS_4), x, w, bias, y, g, four[0], four[1])
    _position_tiles(shape(x, 2, COLUMNS_2), x, w, bias, y, g, two[0], two[1])
    _position_tiles(shape(x, 1, COLUMNS_1), x, w, bias, y, g, one[0], one[1])


class PositionsToChannelsGeometry(NamedTuple):
    """Sizes of the images, and distances: in scalars for x, in vectors for y."""

    channels: int
    height: int
    width: int
    x_plane: int
    x_line: int
    y_plane: int
    y_line: int


TO_CHANNELS = offsets_of(PositionsToChannelsGeometry)


def positions_to_channels_geometry(channels, x_plane, x_line, y):
    """Make the geometry of `positions_to_channels`, with so many channels, to the planes y."""
    return PositionsToChannelsGeometry(
        channels=channels,
        height=y.height,
        width=y.width,
        x_plane=x_plane,
        x_line=x_line,
        y_plane=y.plane,
        y_line=y.row,
    )


@operation
def positions_to_channels(x, y, _c, _d, _e, _f, g, s):
    """y[block, i, j][lane] = x[channel, i, j], zeros in the lanes past the last channel."""
    lanes = simd.lanes(x)
    for plane in range((g[TO_CHANNELS.channels] + lanes - 1) // lanes):
        channel = plane * lanes
        for i in range(g[TO_CHANNELS.height]):
            for j in range(0, g[TO_CHANNELS.width], lanes):
                x_plane = g[TO_CHANNELS.x_plane]
                at = channel * x_plane + i * g[TO_CHANNELS.x_line] + j
                left = g[TO_CHANNELS.channels] - channel
                if 2 * left <= lanes:
                    square = transpose.transpose(transpose.half_square_part(x, at, x_plane, left, lanes))
                else:
                    square = transpose.transpose(transpose.square_part(x, at, x_plane, left, lanes))
                y_at = plane * g[TO_CHANNELS.y_plane] + i * g[TO_CHANNELS.y_line] + j
                transpose.store_column(square, y, y_at, g[TO_CHANNELS.width] - j)


class NormChannelsGeometry(NamedTuple):
    """Sizes of the planes of vectors, and distances in vectors."""

    planes: int
    height: int
    width: int
    x_plane: int
    x_line: int
    y_plane: int
    y_line: int
    channels: int  # of the image


NORM_CHANNELS = offsets_of(NormChannelsGeometry)


def norm_channels_geometry(x, y, channels):
    """Make the geometry of `norm_channels` from the planes x, of so many channels, to the planes y."""
    return NormChannelsGeometry(
        planes=x.channels,
        height=x.height,
        width=x.width,
        x_plane=x.plane,
        x_line=x.row,
        y_plane=y.plane,
        y_line=y.row,
        channels=channels,
    )


@operation
def norm_channels(x, y, saved, gamma, beta, _f, g, s):
    """Batch normalisation with given statistics, as `norm.batch_norm`.

    saved: means, then inverse deviations.
    """
    lanes, channels = simd.lanes(x), g[NORM_CHANNELS.channels]
    for plane in range(g[NORM_CHANNELS.planes]):
        first = plane * lanes
        count = channels - first
        mean = simd.load_part(saved, first, count)
        inverse = simd.load_part(saved, channels + first, count)
        factor = multiply(simd.load_part(gamma, first, count), inverse)
        shift = simd.load_part(beta, first, count)
        for h in range(g[NORM_CHANNELS.height]):
            for w in range(g[NORM_CHANNELS.width]):
                x_at = plane * g[NORM_CHANNELS.x_plane] + h * g[NORM_CHANNELS.x_line] + w
                y_at = plane * g[NORM_CHANNELS.y_plane] + h * g[NORM_CHANNELS.y_line] + w
                store(y, y_at, simd.fma(subtract(load(x, x_at), mean), factor, shift))


class SoftmaxChannelsGeometry(NamedTuple):
    """The features that `softmax_channels` takes."""

    vectors: int
    features: int


SOFTMAX_CHANNELS = offsets_of(SoftmaxChannelsGeometry)
FEATURE_PLACES = len(SOFTMAX_CHANNELS)  # behind them: at which scalar each feature lies


def softmax_channels_geometry(vectors, table):
    """Make the geometry of `softmax_channels`, where `table` says at which scalar each feature lies."""
    return np.array([*SoftmaxChannelsGeometry(vectors=vectors, features=len(table)), *table], np.int64)


@operation
def softmax_channels(x, y, _c, _d, _e, _f, g, s):
    """Softmax over all features of the sample. g: vectors, features, then where each feature lies."""
    vectors, features, table = (
        g[SOFTMAX_CHANNELS.vectors],
        g[SOFTMAX_CHANNELS.features],
        advance(g, FEATURE_PLACES),
    )
    top = x[table[0]]
    for k in range(1, features):
        if x[table[k]] > top:
            top = x[table[k]]
    for v in range(vectors):
        store(y, v, vector_math.exp(subtract(load(x, v), fill(x, top))))
    total = y[table[0]]
    for k in range(1, features):
        total += y[table[k]]
    for v in range(vectors):
        store(y, v, simd.divide(load(y, v), fill(x, total)))
