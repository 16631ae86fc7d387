"""What `winograd` and `winograd_grad_weight` compute: sizes, distances and tables.

named numbers | 0 1 2 3 | the plane's tiles | where each channel begins in x | the planes of outputs
"""

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from ... import simd
from .matrix_product import APART, COLUMNS, OUTPUTS_AT_ONCE, rounded
from .operation import offsets_of
from .winograd_parts import (
    OF_3X3,
    inputs_of,
    limits,
    part_count,
    part_start,
    piece_count,
    places,
    results_of,
    rows_of,
)
from .winograd_transforms import MATRICES

SCRATCH_BYTES = 3 << 18  # of v and m of a strip: most of a second-level cache of 1 MiB
WORK = 2 * MATRICES  # vectors of scratch: half of a transform, and a tile before or after it


class WinogradGeometry(NamedTuple):
    """What `winograd` and `winograd_grad_weight` compute; distances in vectors, those of u in scalars."""

    channels: int
    outputs: int
    tiles: int
    strip: int  # tiles at once
    x_line: int
    x_column: int  # from one element of a tile to the next
    y_line: int  # in y or dy
    y_column: int
    height: int  # results of a tile
    width: int
    within: int  # whether all of them are in y
    u_output: int  # from one output to the next: the channels, rounded up to whole vectors
    u_matrix: int  # from one of the 36 matrices to the next
    v_matrix: int
    m_matrix: int  # of m or d
    ending: int = 0  # PLAIN, RELU or GATE, as in `contract`
    bias: int = 0


WINOGRAD = offsets_of(WinogradGeometry)
# Behind the named numbers: where the columns of a register tile lie: 0, 1, 2, 3; the plane's tiles; where
# each channel begins in x; the planes of outputs.
COLUMNS_AT = len(WINOGRAD)
TILES_AT = COLUMNS_AT + COLUMNS


class PlaneTile(NamedTuple):
    """Where a tile of a plane begins, and how much of it the tiles before it have done."""

    x: int  # vectors
    y: int
    line: int  # of results
    column: int
    lines_done: int
    columns_done: int


class OutputPlane(NamedTuple):
    """Where a plane of outputs begins, and which of its lines and columns there are."""

    y: int  # vectors
    bias: int  # its number
    first_line: int
    last_line: int
    first_column: int
    last_column: int


PLANE_TILE, OUTPUT_PLANE = offsets_of(PlaneTile), offsets_of(OutputPlane)


@register_jitable
def matrix_distance(outputs, channels, lanes):
    """Vectors from one of the 36 matrices of u or du to the next."""
    return rounded(outputs, OUTPUTS_AT_ONCE) * -(-channels // lanes) + APART


@register_jitable
def tile_starts(size, results):
    """Where the tiles of a line begin: pairs (first result, results that earlier tiles have done)."""
    last = size - results
    return [(min(at, last), max(0, at - last)) for at in range(0, size, results)]


@register_jitable
def tile_count(size, results=(4, 4)):
    """How many tiles a plane of results has."""
    return -(-size[0] // results[0]) * -(-size[1] // results[1])


@register_jitable
def strip_of(channels, outputs, tile_count):
    """How many tiles are computed at once: all, or some that stay in cache and fill register tiles."""
    a_tile = MATRICES * simd.VECTOR_BYTES * (channels + rounded(outputs, OUTPUTS_AT_ONCE))
    fits = SCRATCH_BYTES // a_tile
    return min(tile_count, max(4, fits // 4 * 4))


class Side(NamedTuple):
    """The planes that tiles are read from, or their results written to: distances in vectors."""

    line: int
    down: int  # elements from one of a tile to the next
    across: int
    first: int  # where the plane's first tile begins


@register_jitable
def _side(line, steps, first):
    """A `Side` of int64 in compiled code; `steps` and `first`, an element, are (down, across)."""
    return Side(int(line), int(steps[0]), int(steps[1]), int(first[0] * line + first[1]))


@register_jitable
def _place(side, i, j):
    """Where result (i, j) begins."""
    return side.first + i * side.down * side.line + j * side.across


@register_jitable
def _geometry(size, results, x, y, channels, outputs, lanes, in_lanes):
    """A geometry of planes of `size` results, but for the tables of channels and outputs.

    `in_lanes` says whether channels come to lie in the lanes.
    """
    down, across = tile_starts(size[0], results[0]), tile_starts(size[1], results[1])
    tiles = len(down) * len(across)
    strip = strip_of(channels, outputs, tiles)
    g = np.zeros(TILES_AT + tiles * len(PLANE_TILE) + channels + outputs * len(OUTPUT_PLANE), np.int64)
    g[WINOGRAD.channels], g[WINOGRAD.outputs] = channels, outputs
    g[WINOGRAD.tiles], g[WINOGRAD.strip] = tiles, strip
    g[WINOGRAD.x_line], g[WINOGRAD.x_column] = x.down * x.line, x.across
    g[WINOGRAD.y_line], g[WINOGRAD.y_column] = y.down * y.line, y.across
    g[WINOGRAD.height], g[WINOGRAD.width] = results
    g[WINOGRAD.u_output] = rounded(channels, lanes)
    g[WINOGRAD.u_matrix] = matrix_distance(outputs, channels, lanes) * lanes
    g[WINOGRAD.v_matrix] = strip * (rounded(channels, lanes) if in_lanes else channels) + APART
    g[WINOGRAD.m_matrix] = rounded(outputs, OUTPUTS_AT_ONCE) * strip + APART
    for column in range(COLUMNS):
        g[COLUMNS_AT + column] = column
    at = TILES_AT
    for i, lines_done in down:
        for j, columns_done in across:
            g[at + PLANE_TILE.x], g[at + PLANE_TILE.y] = _place(x, i, j), _place(y, i, j)
            g[at + PLANE_TILE.line], g[at + PLANE_TILE.column] = i, j
            g[at + PLANE_TILE.lines_done], g[at + PLANE_TILE.columns_done] = lines_done, columns_done
            at += len(PLANE_TILE)
    return g


@register_jitable
def _set_output(g, number, y, bias, lines, columns):
    """Fill in the plane of an output: `lines` and `columns` are the first and the last there are."""
    at = TILES_AT + g[WINOGRAD.tiles] * len(PLANE_TILE) + g[WINOGRAD.channels] + number * len(OUTPUT_PLANE)
    g[at + OUTPUT_PLANE.y], g[at + OUTPUT_PLANE.bias] = y, bias
    g[at + OUTPUT_PLANE.first_line], g[at + OUTPUT_PLANE.last_line] = lines
    g[at + OUTPUT_PLANE.first_column], g[at + OUTPUT_PLANE.last_column] = columns


@register_jitable
def _forward(channels, outputs, size, padding, x, y, lanes, parts, in_lanes):
    """The geometry of sums over the parts of x; `x` and `y` are (plane, line)."""
    inputs = channels * inputs_of(parts, False)
    read = _side(x[1], (parts.down.stride, parts.across.stride), (-padding[0], -padding[1]))
    written = _side(y[1], (1, 1), (0, 0))
    g = _geometry(size, results_of(parts), read, written, inputs, outputs, lanes, in_lanes)
    at = TILES_AT + g[WINOGRAD.tiles] * len(PLANE_TILE)
    for c in range(channels):
        for a in range(part_count(parts.down)):
            for b in range(part_count(parts.across)):
                g[at] = c * x[0] + part_start(parts.down, a) * x[1] + part_start(parts.across, b)
                at += 1
    for o in range(outputs):
        _set_output(g, o, o * y[0], o, (0, size[0] - 1), (0, size[1] - 1))
    g[WINOGRAD.within] = 1
    return g


@register_jitable
def winograd_geometry(channels, outputs, size, padding, x, y, lanes, ending, has_bias, parts=OF_3X3):
    """Make the geometry of `winograd`: `x` and `y` are (plane, line), `padding` is (top, left)."""
    g = _forward(channels, outputs, size, padding, x, y, lanes, parts, False)
    g[WINOGRAD.ending], g[WINOGRAD.bias] = ending, has_bias
    return g


@register_jitable
def grad_weight_geometry(channels, outputs, size, padding, x, dy, lanes, parts=OF_3X3, has_bias=0):
    """Make the geometry of `winograd_grad_weight`; `size` is that of dy."""
    g = _forward(channels, outputs, size, padding, x, dy, lanes, parts, True)
    g[WINOGRAD.bias] = has_bias
    return g


@register_jitable
def grad_input_geometry(
    channels, outputs, in_size, padding, dy, dx, lanes, ending, parts=OF_3X3, has_bias=0
):  # fmt: skip
    """Make the geometry of `winograd` for the gradient of x; `dy` and `dx` are (plane, line).

    Run forward, that is a transposed convolution, which may have a bias.
    """
    down, across = parts
    top, height = places(down, in_size[0], padding[0])
    left, width = places(across, in_size[1], padding[1])
    inputs, rows = outputs * inputs_of(parts, True), rows_of(parts, True)
    read = _side(dy[1], (1, 1), (top - down.taps + 1, left - across.taps + 1))
    steps = down.stride, across.stride
    written = _side(dx[1], steps, (down.stride * top - padding[0], across.stride * left - padding[1]))
    size = height, width
    g = _geometry(size, results_of(parts), read, written, inputs, channels * rows, lanes, False)
    at = TILES_AT + g[WINOGRAD.tiles] * len(PLANE_TILE)
    for o in range(outputs):
        for i in range(piece_count(down)):
            for j in range(piece_count(across)):
                g[at] = o * dy[0] - i * down.taps * dy[1] - j * across.taps
                at += 1
    within = 1
    for phase in range(rows):
        i, j = phase // across.stride, phase % across.stride
        lines = limits(down, i, in_size[0], padding[0])
        columns = limits(across, j, in_size[1], padding[1])
        if lines != (0, height - 1) or columns != (0, width - 1):
            within = 0
        for c in range(channels):
            _set_output(g, c * rows + phase, c * dx[0] + i * dx[1] + j, c, lines, columns)
    g[WINOGRAD.within], g[WINOGRAD.ending], g[WINOGRAD.bias] = within, ending, has_bias
    return g


@register_jitable
def scratch_size(g, lanes):
    """Scalars of scratch that an operation of this geometry works in."""
    matrices = int(g[WINOGRAD.v_matrix]) + int(g[WINOGRAD.m_matrix]) + lanes + APART
    return (WORK + MATRICES * matrices) * lanes
