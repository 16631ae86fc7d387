"""Kernels for one sample, with its channels in the lanes.

        [channels / lanes][H][W][lanes]        to pool.py and activations.py these are planes like others

A block of samples would leave all its lanes but one empty. Here convolutions and dense layers, which are
convolutions with a kernel as large as the image, are one sum over scalars of x and vectors of weights:

    y[o, p] = bias[o] + sum over c, a, b of  x[c, p + a * line + b * step] (scalar) * w[c, a, b, o] (vector)

The products are added in the same order as in a block of samples, so that the results have the same bits.
"""

import numpy as np

from .. import elementary, simd, squares, tiles
from ..compiling import compiled
from ..simd import advance, fill, load, multiply, store, subtract
from ..tiles import multiply_add, rows, zeros
from . import pack
from .contract import RELU
from .operation import FIRST_SAMPLE, POSITION, operation

POSITIONS = 8 if simd.HOST.registers_per_vector == 1 else 4  # chains that hide the latency of a product

# The geometry of `contract_channels`: distances in scalars for x, in vectors for y; where the blocks of
# output channels 0, 1, ... (POSITIONS of them) begin in w, and in y; each tile's positions in x, and in y.
TILES, OUT_BLOCKS, CHANNELS, LINES, STEPS, X_BLOCK, X_LINE, X_STEP, Y_BLOCK, ENDING, BIAS, DENSE = range(12)
BLOCKS_AT = 12
POSITIONS_AT = BLOCKS_AT + 2 * POSITIONS


def contract_geometry(x, channels, y, kernel, stride, padding, dilation, lanes, ending, has_bias):
    """Geometry of `contract_channels` from the planes x, of so many channels, to the planes y."""
    i, j = (index.ravel() for index in np.indices((y.height, y.width)))
    x_at = ((i * stride[0] - padding[0]) * x.row + j * stride[1] - padding[1]) * lanes
    y_at = i * y.row + j
    size = 1 if len(i) == 1 else POSITIONS
    tiles = -(-len(i) // size)
    places = np.minimum(np.arange(tiles * size), len(i) - 1).reshape(tiles, size)
    g = np.zeros(POSITIONS_AT + 2 * places.size, np.int64)
    g[TILES], g[OUT_BLOCKS], g[CHANNELS] = tiles, y.channels, channels
    g[LINES], g[STEPS] = kernel
    g[X_BLOCK], g[X_LINE], g[X_STEP] = x.plane * lanes, dilation[0] * x.row * lanes, dilation[1] * lanes
    g[Y_BLOCK], g[ENDING], g[BIAS], g[DENSE] = y.plane, ending, has_bias, size == 1
    g[BLOCKS_AT : BLOCKS_AT + POSITIONS] = np.arange(POSITIONS) * channels * kernel[0] * kernel[1]
    g[BLOCKS_AT + POSITIONS : POSITIONS_AT] = np.arange(POSITIONS) * y.plane
    g[POSITIONS_AT:] = np.stack([x_at[places], y_at[places]], 1).ravel()
    return g


@compiled
def _channel_tiles(form, x, w, bias, y, g, first, last):
    """All positions, for the blocks of output channels first..last, in tiles of the shape `form`."""
    lanes = simd.lanes(x)
    channels, lines, steps = g[CHANNELS], g[LINES], g[STEPS]
    x_line, x_step, taps = g[X_LINE], g[X_STEP], g[CHANNELS] * g[LINES] * g[STEPS]
    w_at = tiles.offsets(form, g, BLOCKS_AT)
    y_blocks_at = tiles.offsets(form, g, BLOCKS_AT + POSITIONS)
    for block in range(first, last, tiles.columns(form)):
        for k in range(g[TILES]):
            at = POSITIONS_AT + 2 * k * rows(form)
            x_at, y_at = tiles.row_offsets(form, g, at), tiles.row_offsets(form, g, at + rows(form))
            acc, tap = zeros(form), block * taps
            for start in range(0, channels, lanes):
                x_block = start // lanes * g[X_BLOCK]
                for c in range(min(lanes, channels - start)):
                    for a in range(lines):
                        x_tap = x_block + c + a * x_line
                        for b in range(steps):
                            acc = multiply_add(acc, x, x_tap + b * x_step, x_at, w, tap, w_at)
                            tap += 1
            if g[BIAS]:
                acc = tiles.tile_add_columns(acc, bias, block)
            if g[ENDING] == RELU:
                acc = tiles.tile_relu(acc)
            tiles.tile_store(acc, y, block * g[Y_BLOCK], y_at, y_blocks_at)


@operation
def contract_channels(x, w, bias, y, _e, _f, g, s):
    """y = the sum above, and ReLU where the geometry says so; `w` and `bias` are packed."""
    blocks = g[OUT_BLOCKS]
    if g[DENSE]:
        eight = blocks // POSITIONS * POSITIONS
        two = blocks // 2 * 2
        _channel_tiles(tiles.shape(x, 1, POSITIONS), x, w, bias, y, g, 0, eight)
        _channel_tiles(tiles.shape(x, 1, 2), x, w, bias, y, g, eight, two)
        _channel_tiles(tiles.shape(x, 1, 1), x, w, bias, y, g, two, blocks)
    else:
        _channel_tiles(tiles.shape(x, POSITIONS, 1), x, w, bias, y, g, 0, blocks)


@operation
def pack_weights(w, packed, bias, packed_bias, _e, _f, g, s):
    """packed[block][tap][lane] = w[block * lanes + lane][tap], zeros past the last row; the bias likewise.

    g: rows, taps, whether there is a bias.
    """
    lanes, row_count, taps = simd.lanes(w), g[0], g[1]
    for first in range(0, row_count, lanes):
        for tap in range(0, taps, lanes):
            square = squares.square_part(w, first * taps + tap, taps, row_count - first, taps - tap)
            squares.store_column(squares.transpose(square), packed, first // lanes * taps + tap, taps - tap)
        if g[2]:
            store(packed_bias, first // lanes, simd.load_part(bias, first, row_count - first))


@compiled
def _load_sample(kind, y, g, sample):
    table, k = advance(g, pack.TABLE), 0
    for c in range(g[pack.PLANES]):
        for h in range(g[pack.LINES]):
            at = sample + c * g[pack.C_STEP] + h * g[pack.H_STEP]
            for w in range(g[pack.PIXELS]):
                value = simd.convert(simd.scalar_at(at + w * g[pack.W_STEP], kind), y)
                y[table[k]] = value / 255 if g[pack.SCALED] else value
                k += 1


@operation
def load_sample(_a, y, _c, _d, _e, _f, g, s):
    """y[table[k]] = feature k of the sample whose turn it is; g as in `gather`, its table counts scalars."""
    sample = pack.address(g, s[POSITION] + s[FIRST_SAMPLE])
    if g[pack.KIND] == pack.UINT8:
        _load_sample(np.uint8, y, g, sample)
    elif g[pack.KIND] == pack.INT64:
        _load_sample(np.int64, y, g, sample)
    elif g[pack.KIND] == pack.FLOAT32:
        _load_sample(np.float32, y, g, sample)
    else:
        _load_sample(np.float64, y, g, sample)


@operation
def store_sample(x, _b, _c, _d, _e, _f, g, s):
    """Feature k of the sample whose turn it is = x[table[k]]; g as in `scatter`, its table counts scalars."""
    features, table = g[pack.FEATURES], advance(g, pack.SCATTER_TABLE)
    target = advance(simd.pointer_at(g[pack.TARGET], x), (s[POSITION] + s[FIRST_SAMPLE]) * features)
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
        store(y, v, elementary.exp(subtract(load(x, v), fill(x, top))))
    total = y[table[0]]
    for k in range(1, features):
        total += y[table[k]]
    for v in range(vectors):
        store(y, v, simd.divide(load(y, v), fill(x, total)))
