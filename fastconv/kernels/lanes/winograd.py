"""Convolutions by Winograd's products, of 2 to 5 taps in each direction, stride 1: 36 for a tile of results.

    x   +-----------+     a tile is 6x6 of x, which gives 4x4 of y, if there are 3x3 taps; tiles are 4 apart,
        |   +-------|--+  the last ones of a plane so far inside as to end with y: what both compute is the
        |   |tile   |  |  later one's.
        +---|-------+  |        v  [36][channels][tiles of a strip]       vectors of samples
            +----------+        m  [36][outputs][tiles of a strip]        vectors of samples
                                u  [36][outputs][channels]                scalars

For each of the 36 points of `winograd_transforms.py`, m = u v is a matrix product like any other. Larger
kernels and strides make channels of parts of them, see `winograd_parts.py`: a tile is then every s-th element
of x. The gradient of x is the same of dy, with the weights turned round; outputs are then the phases of dx,
which lie s apart, and not all of whose results need lie in it. The gradient of the weights is du = d v^T, d
being the transform of dy; as it is summed over samples, their lanes are turned into channels:

    d   [36][outputs][tiles of a strip][samples]                          scalars
    v^T [36][tiles of a strip][samples][channels]                         vectors of channels
    du  [36][outputs][channels]                                           vectors of channels

A strip is as many tiles as stay in the second-level cache.
"""

import numpy as np

from ... import simd
from ...simd import advance, rolled
from ...simd.compiling import compiled
from ...simd.six_points import POINTS, end_line, results_line
from ...simd.transpose import square_part, store_square, transpose
from .conv import GATE, RELU
from .matrix_product import APART, CHANNELS_AT_ONCE, OUTPUTS_AT_ONCE, product
from .operation import STATE, dividing_operation, share_of_tiles
from .winograd_geometry import (
    COLUMNS_AT,
    OUTPUT_PLANE,
    PLANE_TILE,
    TILES_AT,
    WINOGRAD,
    WORK,
    grad_input_geometry,
    grad_weight_geometry,
    matrix_distance,
    scratch_size,
    winograd_geometry,
)
from .winograd_transforms import (
    MATRICES,
    transform_gradient,
    transform_input,
    transform_products,
)

__all__ = [
    "grad_input_geometry",
    "grad_weight_geometry",
    "matrix_distance",
    "scratch_size",
    "winograd",
    "winograd_geometry",
    "winograd_grad_weight",
]


@compiled
def _plane_tile(g, number):
    """The numbers of one of the plane's tiles."""
    return advance(g, TILES_AT + number * len(PLANE_TILE))


@compiled
def _channel(g, number):
    """Where a channel begins in x."""
    return g[TILES_AT + g[WINOGRAD.tiles] * len(PLANE_TILE) + number]


@compiled
def _output_plane(g, number):
    """The numbers of a plane of outputs."""
    first = TILES_AT + g[WINOGRAD.tiles] * len(PLANE_TILE) + g[WINOGRAD.channels]
    return advance(g, first + number * len(OUTPUT_PLANE))


@compiled
def _finish_part(work, bias, floor, gate, y, at, g, plane, tile):
    """Write those results of a tile that are in y: each is finished alone."""
    first_i = max(0, plane[OUTPUT_PLANE.first_line] - tile[PLANE_TILE.line])
    first_j = max(0, plane[OUTPUT_PLANE.first_column] - tile[PLANE_TILE.column])
    end_i = min(g[WINOGRAD.height], plane[OUTPUT_PLANE.last_line] + 1 - tile[PLANE_TILE.line])
    end_j = min(g[WINOGRAD.width], plane[OUTPUT_PLANE.last_column] + 1 - tile[PLANE_TILE.column])
    zero = simd.fill(y, 0.0)
    for j in range(first_j, end_j):
        results_line(work, j, POINTS, work, MATRICES, 1, g[WINOGRAD.height])
        for i in range(first_i, end_i):
            k = at + j * g[WINOGRAD.y_column] + i * g[WINOGRAD.y_line]
            value = simd.add(simd.load(work, MATRICES + i), bias)
            value = simd.select(simd.less(value, floor), floor, value)
            if g[WINOGRAD.ending] == GATE:
                value = simd.select(simd.greater(simd.load(gate, k), zero), value, zero)
            simd.store(y, k, value)


@compiled
def _is_cut(g, plane, tile):
    """Whether some results of a tile are not in y."""
    line, column = tile[PLANE_TILE.line], tile[PLANE_TILE.column]
    down = line < plane[OUTPUT_PLANE.first_line]
    down |= line + g[WINOGRAD.height] > plane[OUTPUT_PLANE.last_line] + 1
    across = column < plane[OUTPUT_PLANE.first_column]
    across |= column + g[WINOGRAD.width] > plane[OUTPUT_PLANE.last_column] + 1
    return down | across


@compiled
def _results(m, m_at, bias, floor, gate, y, g, plane, tile, work):
    """Transform the products of a tile of an output, and write its results."""
    transform_products(m, m_at, g[WINOGRAD.m_matrix], g[WINOGRAD.width], work)
    at, line = plane[OUTPUT_PLANE.y] + tile[PLANE_TILE.y], g[WINOGRAD.y_line]
    if not g[WINOGRAD.within] and _is_cut(g, plane, tile):
        _finish_part(work, bias, floor, gate, y, at, g, plane, tile)
        return
    height, gated = g[WINOGRAD.height], g[WINOGRAD.ending] == GATE
    for j in range(g[WINOGRAD.width]):
        rolled()
        k = at + j * g[WINOGRAD.y_column]
        end_line(work, j, POINTS, y, k, line, height, bias, floor, gate, gated)


@compiled
def _fetch_results(y, o, tile, g):
    """Fetch the memory of the results of a tile of output o: see `fetch`."""
    at = _output_plane(g, o)[OUTPUT_PLANE.y] + tile[PLANE_TILE.y]
    for j in range(g[WINOGRAD.width]):
        rolled()
        for i in range(g[WINOGRAD.height]):
            simd.fetch(y, at + j * g[WINOGRAD.y_column] + i * g[WINOGRAD.y_line])


@dividing_operation
def winograd(x, u, bias, gate, y, scratch, g, s):
    """y = bias + the convolution of x with the transformed weights u; then ReLU, or the gate."""
    channels, tile_count = g[WINOGRAD.channels], g[WINOGRAD.tiles]
    first_output, outputs_end = share_of_tiles(0, g[WINOGRAD.outputs], OUTPUTS_AT_ONCE, s)
    if first_output >= outputs_end:
        return
    strip, v_matrix, m_matrix = g[WINOGRAD.strip], g[WINOGRAD.v_matrix], g[WINOGRAD.m_matrix]
    line, column = g[WINOGRAD.x_line], g[WINOGRAD.x_column]
    work, v = scratch, advance(scratch, WORK * simd.lanes(x))
    m = advance(v, MATRICES * v_matrix * simd.lanes(x))
    floor = simd.fill(y, 0.0 if g[WINOGRAD.ending] == RELU else -np.inf)
    for start in range(0, tile_count, strip):
        count = min(strip, tile_count - start)
        for c in range(channels):
            first = _channel(g, c)
            for t in range(count):
                corner = first + _plane_tile(g, start + t)[PLANE_TILE.x]
                transform_input(x, corner, line, column, v, c * strip + t, v_matrix)
        for k in range(MATRICES):
            for c in range(0, channels, CHANNELS_AT_ONCE):
                product(
                    advance(u, k * g[WINOGRAD.u_matrix] + first_output * g[WINOGRAD.u_output] + c),
                    g[WINOGRAD.u_output],
                    advance(v, (k * v_matrix + c * strip) * simd.lanes(x)), strip,
                    min(CHANNELS_AT_ONCE, channels - c),
                    advance(m, (k * m_matrix + first_output * strip) * simd.lanes(x)), strip,
                    outputs_end - first_output, count, c == 0, advance(g, COLUMNS_AT),
                )  # fmt: skip
        for o in range(first_output, outputs_end):
            plane = _output_plane(g, o)
            b = simd.splat(bias, plane[OUTPUT_PLANE.bias]) if g[WINOGRAD.bias] else simd.fill(y, 0.0)
            for t in range(count):
                tile = _plane_tile(g, start + t)
                _results(m, o * strip + t, b, floor, gate, y, g, plane, tile, work)
                if o + 1 < outputs_end:
                    _fetch_results(y, o + 1, tile, g)


@compiled
def _gradient_tile(dy, o, tile, d, d_at, work, g):
    """Transform a tile of dy, where what the tiles before it have done counts as 0."""
    at, line = _output_plane(g, o)[OUTPUT_PLANE.y] + tile[PLANE_TILE.y], g[WINOGRAD.y_line]
    height, width, m_matrix = g[WINOGRAD.height], g[WINOGRAD.width], g[WINOGRAD.m_matrix]
    lines_done, columns_done = tile[PLANE_TILE.lines_done], tile[PLANE_TILE.columns_done]
    if lines_done == 0 and columns_done == 0:
        transform_gradient(dy, at, line, height, width, d, d_at, m_matrix, work)
        return
    for i in range(height):
        for j in range(width):
            value = simd.load(dy, at + i * line + j)
            done = i < lines_done or j < columns_done
            simd.store(work, MATRICES + i * width + j, simd.fill(dy, 0.0) if done else value)
    transform_gradient(work, MATRICES, width, height, width, d, d_at, m_matrix, work)


@compiled
def _gradient_sum(dy, o, tile, g):
    """The sum of a tile of dy, but for what the tiles before it have done."""
    at, line = _output_plane(g, o)[OUTPUT_PLANE.y] + tile[PLANE_TILE.y], g[WINOGRAD.y_line]
    value = simd.fill(dy, 0.0)
    for i in range(tile[PLANE_TILE.lines_done], g[WINOGRAD.height]):
        for j in range(tile[PLANE_TILE.columns_done], g[WINOGRAD.width]):
            value = simd.add(value, simd.load(dy, at + i * line + j))
    return value


@compiled
def _channels_in_lanes(x, start, count, v, squares, g):
    """v^T of a strip of `count` tiles from tile `start` on; `squares` is memory for 36 squares of lanes."""
    lanes, channels, vectors = simd.lanes(x), g[WINOGRAD.channels], g[WINOGRAD.u_output] // simd.lanes(x)
    square_distance, line, column = lanes + APART, g[WINOGRAD.x_line], g[WINOGRAD.x_column]
    for c in range(0, channels, lanes):
        here = min(lanes, channels - c)
        for t in range(count):
            corner = _plane_tile(g, start + t)[PLANE_TILE.x]
            for k in range(here):
                at = _channel(g, c + k) + corner
                transform_input(x, at, line, column, squares, k, square_distance)
            for k in range(MATRICES):
                samples = square_part(squares, k * square_distance * lanes, lanes, here, lanes)
                at = k * g[WINOGRAD.v_matrix] + t * lanes * vectors + c // lanes
                store_square(transpose(samples), v, at * lanes, vectors * lanes, lanes, lanes)


@dividing_operation
def winograd_grad_weight(x, dy, du, scratch, dbias, _, g, s):
    """du += the sums over samples and tiles of d v^T; the first block of a shard starts at 0.

    So does dbias, the sums of dy, which are made while its tiles are in cache.
    """
    first_output, outputs_end = share_of_tiles(0, g[WINOGRAD.outputs], OUTPUTS_AT_ONCE, s)
    if first_output >= outputs_end:
        return
    tile_count, strip = g[WINOGRAD.tiles], g[WINOGRAD.strip]
    v_matrix, m_matrix, lanes = g[WINOGRAD.v_matrix], g[WINOGRAD.m_matrix], simd.lanes(x)
    vectors, work = g[WINOGRAD.u_output] // lanes, scratch
    squares = advance(work, WORK * lanes)
    v = advance(squares, MATRICES * (lanes + APART) * lanes)
    d = advance(v, MATRICES * v_matrix * lanes)
    for start in range(0, tile_count, strip):
        count = min(strip, tile_count - start)
        _channels_in_lanes(x, start, count, v, squares, g)
        fresh = s[STATE.fresh] != 0 and start == 0
        for o in range(first_output, outputs_end):
            slopes = simd.fill(dy, 0.0)
            for t in range(count):
                tile = _plane_tile(g, start + t)
                _gradient_tile(dy, o, tile, d, o * strip + t, work, g)
                if g[WINOGRAD.bias]:
                    slopes = simd.add(slopes, _gradient_sum(dy, o, tile, g))
            if g[WINOGRAD.bias]:
                dbias[o] = simd.total(slopes) if fresh else dbias[o] + simd.total(slopes)
        for k in range(MATRICES):
            product(
                advance(d, (k * m_matrix + first_output * strip) * lanes), strip * lanes,
                advance(v, k * v_matrix * lanes), vectors, count * lanes,
                advance(du, k * g[WINOGRAD.u_matrix] + first_output * g[WINOGRAD.u_output]), vectors,
                outputs_end - first_output, vectors, fresh, advance(g, COLUMNS_AT),
            )  # fmt: skip
