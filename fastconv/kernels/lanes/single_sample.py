"""Kernels for few samples, with their channels in the lanes, beside the sums of `channels.py`.

        [channels / lanes][samples][H][W][lanes]

To pool.py and activations.py these are planes like others. A block of samples would leave most of its
lanes empty. The first layer of few channels would do so in this layout too: its positions lie in the
lanes, one sample at a time, and its results are transposed.
"""

from typing import NamedTuple

import numpy as np

from ... import simd
from ...simd import advance, load, multiply, store, subtract, tiles, transpose, vector_math
from ...simd.compiling import compiled
from ...simd.tiles import columns, multiply_add, offsets, rows, shape, zeros
from .conv import COLUMNS_1, COLUMNS_2, COLUMNS_4, COLUMNS_6, RELU, sweeps
from .operation import dividing_operation, offsets_of, operation, share

OVERRUN = max(COLUMNS_1, COLUMNS_2, COLUMNS_4, COLUMNS_6)  # vectors that a last tile may go on past its end


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
    """Sizes of the image, and distances: in scalars for x, in vectors for y."""

    channels: int
    height: int
    width: int
    x_plane: int
    x_line: int
    y_plane: int  # from one plane of the sample's channels to the next
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
        y_plane=y.plane * y.samples,
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
    samples: int  # that have a plane for the same channels
    relu: int  # whether y ends in max(y, 0)


NORM_CHANNELS = offsets_of(NormChannelsGeometry)


def norm_channels_geometry(x, y, channels, relu=False):
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
        samples=x.samples,
        relu=int(relu),
    )


@dividing_operation
def norm_channels(x, y, saved, gamma, beta, _f, g, s):
    """Batch normalisation with given statistics, as `norm.batch_norm`, and then perhaps max(y, 0).

    saved: means, then inverse deviations.
    """
    lanes, channels = simd.lanes(x), g[NORM_CHANNELS.channels]
    relu, zero = g[NORM_CHANNELS.relu] != 0, simd.fill(x, 0.0)
    first_plane, last_plane = share(g[NORM_CHANNELS.planes], s)
    for plane in range(first_plane, last_plane):
        first = plane // g[NORM_CHANNELS.samples] * lanes
        count = channels - first
        mean = simd.load_part(saved, first, count)
        inverse = simd.load_part(saved, channels + first, count)
        factor = multiply(simd.load_part(gamma, first, count), inverse)
        shift = simd.load_part(beta, first, count)
        for h in range(g[NORM_CHANNELS.height]):
            for w in range(g[NORM_CHANNELS.width]):
                x_at = plane * g[NORM_CHANNELS.x_plane] + h * g[NORM_CHANNELS.x_line] + w
                y_at = plane * g[NORM_CHANNELS.y_plane] + h * g[NORM_CHANNELS.y_line] + w
                v = simd.fma(subtract(load(x, x_at), mean), factor, shift)
                if relu:
                    v = simd.select(simd.greater(zero, v), zero, v)
                store(y, y_at, v)


class SoftmaxChannelsGeometry(NamedTuple):
    """The features that `softmax_channels` takes."""

    samples: int
    features: int
    x_sample: int  # scalars from one sample to the next
    y_sample: int


SOFTMAX_CHANNELS = offsets_of(SoftmaxChannelsGeometry)
FEATURE_PLACES = len(SOFTMAX_CHANNELS)  # behind them: at which scalar each feature lies in x, then in y


def softmax_channels_geometry(x, y, lanes):
    """Make the geometry of `softmax_channels` from the planes x to the planes y of the same features."""
    tables = x.scalar_table(lanes), y.scalar_table(lanes)
    geometry = SoftmaxChannelsGeometry(
        samples=x.samples,
        features=len(tables[0]),
        x_sample=x.sample_distance(lanes),
        y_sample=y.sample_distance(lanes),
    )
    return np.concatenate([geometry, *tables]).astype(np.int64)


@operation
def softmax_channels(x, y, _c, _d, _e, _f, g, s):
    """Softmax over all features of each sample, in the order in which a block of samples adds them."""
    lanes, features = simd.lanes(x), g[SOFTMAX_CHANNELS.features]
    table, y_table = advance(g, FEATURE_PLACES), advance(g, FEATURE_PLACES + features)
    for sample in range(g[SOFTMAX_CHANNELS.samples]):
        source = advance(x, sample * g[SOFTMAX_CHANNELS.x_sample])
        target = advance(y, sample * g[SOFTMAX_CHANNELS.y_sample])
        top = source[table[0]]
        for k in range(1, features):
            if source[table[k]] > top:
                top = source[table[k]]
        for k in range(features):
            target[y_table[k]] = source[table[k]] - top
        # Neighbours lie in one vector; those that are written again are of the same vector.
        last = -1
        for k in range(features):
            vector = y_table[k] // lanes
            if vector > last:
                store(target, vector, vector_math.exp(load(target, vector)))
                last = vector
        total = target[y_table[0]]
        for k in range(1, features):
            total += target[y_table[k]]
        for k in range(features):
            target[y_table[k]] = target[y_table[k]] / total
