"""Convolutions of 3x3 taps, stride 1, by Winograd's F(4x4, 3x3): 36 products where direct sums have 144.

    x   +-----------+     a tile is 6x6 of x, which gives 4x4 of y; tiles are 4 apart, the last ones of a
        |   +-------|--+  plane so far inside as to end with y: what both compute is the later one's.
        |   |tile   |  |
        +---|-------+  |        v  [36][channels][tiles of a strip]       vectors of samples
            +----------+        m  [36][outputs][tiles of a strip]        vectors of samples
                                u  [36][outputs][channels]                scalars

For each of the 36 points of `winograd_transforms.py`, m = u v is a matrix product like any other. The
gradient of x is the same of dy, with the weights turned round. The gradient of the weights is
du = d v^T, d being the transform of dy; as it is summed over samples, their lanes are turned into channels:

    d   [36][outputs][tiles of a strip][samples]                          scalars
    v^T [36][tiles of a strip][samples][channels]                         vectors of channels
    du  [36][outputs][channels]                                           vectors of channels

A strip is as many tiles as stay in the second-level cache.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from ... import simd
from ...simd import advance
from ...simd.compiling import compiled, inlined
from ...simd.transpose import square_part, store_square, transpose
from .conv import GATE, RELU
from .matrix_product import APART, CHANNELS_AT_ONCE, COLUMNS, OUTPUTS_AT_ONCE, product, rounded
from .matrix_product import rounded_outputs as whole_outputs
from .operation import STATE, offsets_of, operation
from .winograd_transforms import (
    MATRICES,
    RESULTS,
    result_column,
    transform_gradient,
    transform_input,
    transform_products,
)

SCRATCH_BYTES = 3 << 18  # of v and m of a strip: most of a second-level cache of 1 MiB
WORK = MATRICES  # vectors of scratch for half of a transform


class WinogradGeometry(NamedTuple):
    """What `winograd` and `winograd_grad_weight` compute; distances in vectors, those of u in scalars."""

    channels: int
    outputs: int
    tiles: int
    strip: int  # tiles at once
    x_channel: int  # from one channel to the next
    x_line: int
    y_output: int  # from one output to the next, in y or dy
    y_line: int
    u_output: int  # from one output to the next: the channels, rounded up to whole vectors
    u_matrix: int  # from one of the 36 matrices to the next
    v_matrix: int
    m_matrix: int  # of m or d
    ending: int  # PLAIN, RELU or GATE, as in `contract`
    bias: int


WINOGRAD = offsets_of(WinogradGeometry)
# Behind the named numbers: 0, 1, 2, 3, where the columns of a register tile lie, then the plane's tiles.
COLUMNS_AT = len(WINOGRAD)
TILES_AT = COLUMNS_AT + COLUMNS


class PlaneTile(NamedTuple):
    """Where a tile of a plane begins, and how much of it the tiles before it have done."""

    x: int  # vectors
    y: int
    lines_done: int
    columns_done: int


PLANE_TILE = offsets_of(PlaneTile)


@register_jitable
def matrix_distance(outputs, channels, lanes):
    """Vectors from one of the 36 matrices of u or du to the next."""
    return rounded(outputs, OUTPUTS_AT_ONCE) * -(-channels // lanes) + APART


@register_jitable
def _tile_starts(size):
    """Where the tiles of a line begin: pairs (first result, results that earlier tiles have done)."""
    last = size - RESULTS
    return [(min(at, last), max(0, at - last)) for at in range(0, size, RESULTS)]


@register_jitable
def rounded_outputs(outputs, size):
    """How many outputs are computed, tiles of the products being whole, for a plane of results of `size`."""
    return whole_outputs(outputs, tile_count(size[0], size[1]))


@register_jitable
def tile_count(height, width):
    """How many tiles a plane of results has."""
    return -(-height // RESULTS) * -(-width // RESULTS)


@register_jitable
def strip_of(channels, outputs, tile_count):
    """How many tiles are computed at once: all, or some that stay in cache and fill register tiles."""
    a_tile = MATRICES * simd.VECTOR_BYTES * (channels + rounded(outputs, OUTPUTS_AT_ONCE))
    fits = SCRATCH_BYTES // a_tile
    return min(tile_count, max(4, fits // 4 * 4))


@register_jitable
def _geometry(channels, outputs, size, padding, x, y, lanes, v_channels):
    """A geometry of planes x [channels] and y [outputs] of `size`, whose windows start in the padding.

    v has `v_channels` vectors for each tile.
    """
    down, across = _tile_starts(size[0]), _tile_starts(size[1])
    tiles = len(down) * len(across)
    strip = strip_of(channels, outputs, tiles)
    g = np.zeros(TILES_AT + tiles * len(PLANE_TILE), np.int64)
    g[WINOGRAD.channels], g[WINOGRAD.outputs] = channels, outputs
    g[WINOGRAD.tiles], g[WINOGRAD.strip] = tiles, strip
    g[WINOGRAD.x_channel], g[WINOGRAD.x_line] = x
    g[WINOGRAD.y_output], g[WINOGRAD.y_line] = y
    g[WINOGRAD.u_output] = rounded(channels, lanes)
    g[WINOGRAD.u_matrix] = matrix_distance(outputs, channels, lanes) * lanes
    g[WINOGRAD.v_matrix] = v_channels * strip + APART
    g[WINOGRAD.m_matrix] = rounded(outputs, OUTPUTS_AT_ONCE) * strip + APART
    for column in range(COLUMNS):
        g[COLUMNS_AT + column] = column
    at = TILES_AT
    for i, lines_done in down:
        for j, columns_done in across:
            g[at + PLANE_TILE.x] = (i - padding[0]) * x[1] + j - padding[1]
            g[at + PLANE_TILE.y] = i * y[1] + j
            g[at + PLANE_TILE.lines_done], g[at + PLANE_TILE.columns_done] = lines_done, columns_done
            at += len(PLANE_TILE)
    return g


@register_jitable
def winograd_geometry(channels, outputs, size, padding, x, y, lanes, ending, has_bias):
    """Make the geometry of `winograd`: `x` and `y` are (plane, line), `padding` is (top, left)."""
    g = _geometry(channels, outputs, size, padding, x, y, lanes, channels)
    g[WINOGRAD.ending], g[WINOGRAD.bias] = ending, has_bias
    return g


@register_jitable
def grad_weight_geometry(channels, outputs, size, padding, x, dy, lanes):
    """Make the geometry of `winograd_grad_weight`; `size` is that of dy."""
    return _geometry(channels, outputs, size, padding, x, dy, lanes, rounded(channels, lanes))


@register_jitable
def scratch_size(g, lanes):
    """Scalars of scratch that an operation of this geometry works in."""
    matrices = int(g[WINOGRAD.v_matrix]) + int(g[WINOGRAD.m_matrix]) + lanes + APART
    return (WORK + MATRICES * matrices) * lanes


@compiled
def _plane_tile(g, number):
    """The numbers of one of the plane's tiles."""
    return advance(g, TILES_AT + number * len(PLANE_TILE))


@compiled
def _finish(work, bias, gate, y, at, g, o):
    """Write the 4x4 results of a tile of output o to y from vector `at` on, with bias and ending."""
    line, ending = g[WINOGRAD.y_line], g[WINOGRAD.ending]
    b = simd.splat(bias, o) if g[WINOGRAD.bias] else simd.fill(y, 0.0)
    zero = simd.fill(y, 0.0)
    for j in range(RESULTS):
        r0, r1, r2, r3 = result_column(work, j)
        r0, r1, r2, r3 = simd.add(r0, b), simd.add(r1, b), simd.add(r2, b), simd.add(r3, b)
        k = at + j
        if ending == RELU:
            r0, r1 = _relu(r0, zero), _relu(r1, zero)
            r2, r3 = _relu(r2, zero), _relu(r3, zero)
        elif ending == GATE:
            r0, r1 = _gated(r0, gate, k, zero), _gated(r1, gate, k + line, zero)
            r2, r3 = _gated(r2, gate, k + 2 * line, zero), _gated(r3, gate, k + 3 * line, zero)
        simd.store(y, k, r0)
        simd.store(y, k + line, r1)
        simd.store(y, k + 2 * line, r2)
        simd.store(y, k + 3 * line, r3)


@inlined
def _relu(v, zero):
    """0 where v is below it; NaN stays."""
    return simd.select(simd.less(v, zero), zero, v)


@inlined
def _gated(v, gate, k, zero):
    """V where vector k of the gate is positive, else 0."""
    return simd.select(simd.greater(simd.load(gate, k), zero), v, zero)


@operation
def winograd(x, u, bias, gate, y, scratch, g, s):
    """y = bias + the convolution of x with the transformed weights u; then ReLU, or the gate."""
    channels, outputs, tile_count = g[WINOGRAD.channels], g[WINOGRAD.outputs], g[WINOGRAD.tiles]
    strip, v_matrix, m_matrix = g[WINOGRAD.strip], g[WINOGRAD.v_matrix], g[WINOGRAD.m_matrix]
    work, v = scratch, advance(scratch, WORK * simd.lanes(x))
    m = advance(v, MATRICES * v_matrix * simd.lanes(x))
    for start in range(0, tile_count, strip):
        count = min(strip, tile_count - start)
        for c in range(channels):
            for t in range(count):
                corner = c * g[WINOGRAD.x_channel] + _plane_tile(g, start + t)[PLANE_TILE.x]
                transform_input(x, corner, g[WINOGRAD.x_line], v, c * strip + t, v_matrix, work)
        for k in range(MATRICES):
            for c in range(0, channels, CHANNELS_AT_ONCE):
                product(
                    advance(u, k * g[WINOGRAD.u_matrix] + c), g[WINOGRAD.u_output],
                    advance(v, (k * v_matrix + c * strip) * simd.lanes(x)), strip,
                    min(CHANNELS_AT_ONCE, channels - c),
                    advance(m, k * m_matrix * simd.lanes(x)), strip, outputs, count, c == 0,
                    advance(g, COLUMNS_AT),
                )  # fmt: skip
        for o in range(outputs):
            for t in range(count):
                transform_products(m, o * strip + t, m_matrix, work)
                at = o * g[WINOGRAD.y_output] + _plane_tile(g, start + t)[PLANE_TILE.y]
                _finish(work, bias, gate, y, at, g, o)


@compiled
def _gradient_tile(dy, o, tile, d, d_at, work, g):
    """Transform a tile of dy, where what the tiles before it have done counts as 0."""
    at, line = o * g[WINOGRAD.y_output] + tile[PLANE_TILE.y], g[WINOGRAD.y_line]
    lines_done, columns_done = tile[PLANE_TILE.lines_done], tile[PLANE_TILE.columns_done]
    if lines_done == 0 and columns_done == 0:
        transform_gradient(dy, at, line, d, d_at, g[WINOGRAD.m_matrix], work)
        return
    rest = MATRICES - RESULTS * RESULTS  # `work` is read before a line of it is overwritten: see below
    for i in range(RESULTS):
        for j in range(RESULTS):
            value = simd.load(dy, at + i * line + j)
            done = i < lines_done or j < columns_done
            simd.store(work, rest + i * RESULTS + j, simd.fill(dy, 0.0) if done else value)
    transform_gradient(work, rest, RESULTS, d, d_at, g[WINOGRAD.m_matrix], work)


@compiled
def _channels_in_lanes(x, start, count, v, squares, work, g):
    """v^T of a strip of `count` tiles from tile `start` on; `squares` is memory for 36 squares of lanes."""
    lanes, channels, vectors = simd.lanes(x), g[WINOGRAD.channels], g[WINOGRAD.u_output] // simd.lanes(x)
    square_distance = lanes + APART
    for c in range(0, channels, lanes):
        here = min(lanes, channels - c)
        for t in range(count):
            corner = _plane_tile(g, start + t)[PLANE_TILE.x]
            for k in range(here):
                at = (c + k) * g[WINOGRAD.x_channel] + corner
                transform_input(x, at, g[WINOGRAD.x_line], squares, k, square_distance, work)
            for k in range(MATRICES):
                samples = square_part(squares, k * square_distance * lanes, lanes, here, lanes)
                at = k * g[WINOGRAD.v_matrix] + t * lanes * vectors + c // lanes
                store_square(transpose(samples), v, at * lanes, vectors * lanes, lanes, lanes)


@operation
def winograd_grad_weight(x, dy, du, scratch, _a, _b, g, s):
    """du += the sums over samples and tiles of d v^T; the first block of a shard starts at 0."""
    outputs, tile_count, strip = g[WINOGRAD.outputs], g[WINOGRAD.tiles], g[WINOGRAD.strip]
    v_matrix, m_matrix, lanes = g[WINOGRAD.v_matrix], g[WINOGRAD.m_matrix], simd.lanes(x)
    vectors, work = g[WINOGRAD.u_output] // lanes, scratch
    squares = advance(work, WORK * lanes)
    v = advance(squares, MATRICES * (lanes + APART) * lanes)
    d = advance(v, MATRICES * v_matrix * lanes)
    for start in range(0, tile_count, strip):
        count = min(strip, tile_count - start)
        _channels_in_lanes(x, start, count, v, squares, work, g)
        for o in range(outputs):
            for t in range(count):
                _gradient_tile(dy, o, _plane_tile(g, start + t), d, o * strip + t, work, g)
        for k in range(MATRICES):
            product(
                advance(d, k * m_matrix * lanes), strip * lanes,
                advance(v, k * v_matrix * lanes), vectors, count * lanes,
                advance(du, k * g[WINOGRAD.u_matrix]), vectors, outputs, vectors,
                s[STATE.fresh] != 0 and start == 0, advance(g, COLUMNS_AT),
            )  # fmt: skip
