"""Kernels for one sample, with its channels in the lanes.

        [channels / lanes][H][W][lanes]        to pool.py and activations.py these are planes like others

A block of samples would leave all its lanes but one empty. Here convolutions and dense layers, which are
convolutions with a kernel as large as the image, are one sum over scalars of x and vectors of weights:

    y[o, p] = bias[o] + sum over c, a, b of  x[c, p + a * line + b * step] (scalar) * w[c, a, b, o] (vector)

The first layer of few channels would leave most lanes empty too: its positions lie in the lanes, and its
results are transposed. The products are added in the same order and parts as in a block of samples, so that
the results have the same bits.
"""

import numpy as np

from ... import simd
from ...simd import advance, fill, load, multiply, store, subtract, tiles, transpose, vector_math
from ...simd.compiling import compiled
from ...simd.tiles import columns, multiply_add, offsets, rows, shape, zeros
from . import layout
from .conv import COLUMNS_1, COLUMNS_2, COLUMNS_4, COLUMNS_6, RELU, channels_at_once, passes
from .operation import FIRST_SAMPLE, POSITION, operation

SLACK = max(COLUMNS_1, COLUMNS_2, COLUMNS_4, COLUMNS_6)  # vectors that a last tile may run over
POSITIONS = 8 if simd.HOST.registers_per_vector == 1 else 4  # chains that hide the latency of a product

# The geometry of `contract_channels`: distances in scalars for x, in vectors for y; then where each tile's
# positions lie in x, and in y.
TILES, OUT_BLOCKS, CHANNELS, LINES, STEPS, X_BLOCK, X_LINE, X_STEP, Y_BLOCK, ENDING, BIAS = range(11)
POSITIONS_AT = 11


def contract_geometry(x, channels, y, kernel, stride, padding, dilation, lanes, ending, has_bias):
    """Geometry of `contract_channels` from the planes x, of so many channels, to the planes y."""
    i, j = (index.ravel() for index in np.indices((y.height, y.width)))
    x_at = ((i * stride[0] - padding[0]) * x.row + j * stride[1] - padding[1]) * lanes
    y_at = i * y.row + j
    tiles = -(-len(i) // POSITIONS)
    places = np.minimum(np.arange(tiles * POSITIONS), len(i) - 1).reshape(tiles, POSITIONS)
    g = np.zeros(POSITIONS_AT + 2 * places.size, np.int64)
    g[TILES], g[OUT_BLOCKS], g[CHANNELS] = tiles, y.channels, channels
    g[LINES], g[STEPS] = kernel
    g[X_BLOCK], g[X_LINE], g[X_STEP] = x.plane * lanes, dilation[0] * x.row * lanes, dilation[1] * lanes
    g[Y_BLOCK], g[ENDING], g[BIAS] = y.plane, ending, has_bias
    g[POSITIONS_AT:] = np.stack([x_at[places], y_at[places]], 1).ravel()
    return g


@operation
def contract_channels(x, w, bias, y, _e, _f, g, s):
    """y = bias + the sum of w * x over the taps, and ReLU where the geometry says so; weights are packed."""
    lanes, form = simd.lanes(x), shape(x, POSITIONS, 1)
    channels, lines, steps, x_line, x_step = g[CHANNELS], g[LINES], g[STEPS], g[X_LINE], g[X_STEP]
    at_once = channels_at_once(lines * steps)
    for block in range(g[OUT_BLOCKS]):
        for k in range(g[TILES]):
            at = POSITIONS_AT + 2 * k * POSITIONS
            x_at, y_at = tiles.row_offsets(form, g, at), tiles.row_offsets(form, g, at + POSITIONS)
            total, tap = zeros(form), block * channels * lines * steps
            for start in range(0, channels, at_once):
                acc = zeros(form)
                for c in range(start, min(start + at_once, channels)):
                    x_channel = c // lanes * g[X_BLOCK] + c % lanes
                    for a in range(lines):
                        x_tap = x_channel + a * x_line
                        for b in range(steps):
                            acc = multiply_add(acc, x, x_tap + b * x_step, x_at, w, tap, (0,))
                            tap += 1
                total = acc if start == 0 else tiles.tile_sum(acc, total)
            if g[BIAS]:
                total = tiles.tile_add_columns(total, bias, block)
            if g[ENDING] == RELU:
                total = tiles.tile_relu(total)
            tiles.tile_store(total, y, block * g[Y_BLOCK], y_at, (0,))


@operation
def pack_weights(w, packed, bias, packed_bias, _e, _f, g, s):
    """packed[block][tap][lane] = w[block * lanes + lane][tap], zeros past the last row; the bias likewise.

    g: rows, taps, whether there is a bias.
    """
    lanes, row_count, taps = simd.lanes(w), g[0], g[1]
    for first in range(0, row_count, lanes):
        for tap in range(0, taps, lanes):
            square = transpose.square_part(w, first * taps + tap, taps, row_count - first, taps - tap)
            transpose.store_column(
                transpose.transpose(square), packed, first // lanes * taps + tap, taps - tap
            )
        if g[2]:
            store(packed_bias, first // lanes, simd.load_part(bias, first, row_count - first))


# The geometry of `dense_channels`: rows and taps of the weight, taps in a part of the sum, vectors between
# blocks of y; then at which scalar of x each tap lies.
DENSE_ROWS, DENSE_TAPS, DENSE_AT_ONCE, DENSE_Y_BLOCK, DENSE_ENDING, DENSE_BIAS, DENSE_TABLE = range(7)


@operation
def dense_channels(x, w, bias, y, _e, _f, g, s):
    """y = bias + the sum of w * x at a single position; squares of w become vectors of outputs on the way."""
    lanes, row_count, taps, table = simd.lanes(w), g[DENSE_ROWS], g[DENSE_TAPS], advance(g, DENSE_TABLE)
    for first in range(0, row_count, lanes):
        total = fill(x, 0.0)
        for start in range(0, taps, g[DENSE_AT_ONCE]):
            acc, end = fill(x, 0.0), min(start + g[DENSE_AT_ONCE], taps)
            for tap in range(start, end, lanes):
                square = transpose.square_part(w, first * taps + tap, taps, row_count - first, end - tap)
                acc = transpose.add_products(transpose.transpose(square), acc, x, table, tap, end - tap)
            total = acc if start == 0 else simd.add(acc, total)
        if g[DENSE_BIAS]:
            total = simd.add(total, simd.load_part(bias, first, row_count - first))
        if g[DENSE_ENDING] == RELU:
            zero = fill(x, 0.0)
            total = simd.select(simd.greater(zero, total), zero, total)
        store(y, first // lanes * g[DENSE_Y_BLOCK], total)


# The geometry of `contract_positions`: rows of the weight, vectors of positions, distances in scalars for x
# and in vectors for y; then the numbers 0, 1, 2, ... of vectors.
ROWS, VECTORS, P_CHANNELS, P_LINES, P_STEPS, X_PLANE, P_LINE, P_STEP, Y_PLANE, P_ENDING, P_BIAS = range(11)
NUMBERS = 11


@compiled
def _position_tiles(form, x, w, bias, y, g, first, last):
    """The output channels first..last, in tiles of channels x vectors of positions."""
    channels, lines, steps = g[P_CHANNELS], g[P_LINES], g[P_STEPS]
    taps, numbers = channels * lines * steps, offsets(form, g, NUMBERS)
    for v in range(0, g[VECTORS], columns(form)):
        for row in range(first, last, rows(form)):
            acc, tap = zeros(form), row * taps
            for c in range(channels):
                for a in range(lines):
                    at = c * g[X_PLANE] + a * g[P_LINE]
                    for b in range(steps):
                        shifted = advance(x, at + b * g[P_STEP])
                        acc = multiply_add(acc, w, tap, taps, shifted, v, numbers)
                        tap += 1
            if g[P_BIAS]:
                acc = tiles.tile_add_rows(acc, bias, row, 1)
            if g[P_ENDING] == RELU:
                acc = tiles.tile_relu(acc)
            tiles.tile_store(acc, y, row * g[Y_PLANE] + v, g[Y_PLANE], numbers)


@operation
def contract_positions(x, w, bias, y, _e, _f, g, s):
    """y[o] = bias + the sum of w * x over the taps, and ReLU, with the positions of a plane in the lanes.

    Rows follow each other as in x, so that some positions lie beside the image and mean nothing.
    """
    six, four, two, one, _ = passes(g[ROWS], 0)
    _position_tiles(shape(x, 6, COLUMNS_6), x, w, bias, y, g, six[0], six[1])
    _position_tiles(shape(x, 4, COLUMNS_4), x, w, bias, y, g, four[0], four[1])
    _position_tiles(shape(x, 2, COLUMNS_2), x, w, bias, y, g, two[0], two[1])
    _position_tiles(shape(x, 1, COLUMNS_1), x, w, bias, y, g, one[0], one[1])


@operation
def positions_to_channels(x, y, _c, _d, _e, _f, g, s):
    """y[block, i, j][lane] = x[channel, i, j], zeros in the lanes past the last channel.

    g: channels, H, W, plane and row steps of x in scalars, of y in vectors.
    """
    lanes = simd.lanes(x)
    for block in range((g[0] + lanes - 1) // lanes):
        channel = block * lanes
        for i in range(g[1]):
            for j in range(0, g[2], lanes):
                at = channel * g[3] + i * g[4] + j
                if 2 * (g[0] - channel) <= lanes:
                    square = transpose.transpose(
                        transpose.half_square_part(x, at, g[3], g[0] - channel, lanes)
                    )
                else:
                    square = transpose.transpose(transpose.square_part(x, at, g[3], g[0] - channel, lanes))
                transpose.store_column(square, y, block * g[5] + i * g[6] + j, g[2] - j)


@compiled
def _load_sample(kind, y, g, sample):
    table, k = advance(g, layout.TABLE), 0
    for c in range(g[layout.PLANES]):
        for h in range(g[layout.LINES]):
            at = sample + c * g[layout.C_STEP] + h * g[layout.H_STEP]
            for w in range(g[layout.PIXELS]):
                value = simd.convert(simd.scalar_at(at + w * g[layout.W_STEP], kind), y)
                y[table[k]] = value / 255 if g[layout.SCALED] else value
                k += 1


@operation
def load_sample(_a, y, _c, _d, _e, _f, g, s):
    """y[table[k]] = feature k of the sample whose turn it is; g as in `gather`, its table counts scalars."""
    sample = layout.address(g, s[POSITION] + s[FIRST_SAMPLE])
    if g[layout.KIND] == layout.UINT8:
        _load_sample(np.uint8, y, g, sample)
    elif g[layout.KIND] == layout.INT64:
        _load_sample(np.int64, y, g, sample)
    elif g[layout.KIND] == layout.FLOAT32:
        _load_sample(np.float32, y, g, sample)
    else:
        _load_sample(np.float64, y, g, sample)


@operation
def store_sample(x, _b, _c, _d, _e, _f, g, s):
    """Feature k of the sample whose turn it is = x[table[k]]; g as in `scatter`, its table counts scalars."""
    features, table = g[layout.FEATURES], advance(g, layout.SCATTER_TABLE)
    target = advance(simd.pointer_at(g[layout.TARGET], x), (s[POSITION] + s[FIRST_SAMPLE]) * features)
    for k in range(features):
        target[k] = x[table[k]]


@operation
def norm_channels(x, y, saved, gamma, beta, _f, g, s):
    """Batch normalisation with given statistics, as `norm.batch_norm`.

    g: blocks, H, W, plane and row steps of x, of y, channels. saved: means, then inverse deviations.
    """
    lanes, channels = simd.lanes(x), g[7]
    for block in range(g[0]):
        first = block * lanes
        count = channels - first
        mean = simd.load_part(saved, first, count)
        inverse = simd.load_part(saved, channels + first, count)
        factor = multiply(simd.load_part(gamma, first, count), inverse)
        shift = simd.load_part(beta, first, count)
        for h in range(g[1]):
            for w in range(g[2]):
                v = subtract(load(x, block * g[3] + h * g[4] + w), mean)
                store(y, block * g[5] + h * g[6] + w, simd.fma(v, factor, shift))


@operation
def softmax_channels(x, y, _c, _d, _e, _f, g, s):
    """Softmax over all features of the sample. g: vectors, features, then where each feature lies."""
    vectors, features, table = g[0], g[1], advance(g, 2)
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
