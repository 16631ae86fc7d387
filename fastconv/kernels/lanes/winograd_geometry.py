"""What `winograd` and `winograd_grad_weight` compute, made in Python: sizes, distances and tables.

named numbers | 0 1 2 3 | the plane's tiles | where each channel begins in x | the planes of outputs
"""

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from ... import simd
from .matrix_product import APART, COLUMNS, OUTPUTS_AT_ONCE, rounded
from .operation import offsets_of
from .winograd_parts import OF_3X3
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
    steps: tuple[int, int]  # elements from one of a tile to the next, down and across
    first: tuple[int, int]  # where the plane's first tile begins
    planes: list  # where each channel or output begins

    def at(self, i, j):
        """Where result (i, j) begins."""
        return (self.first[0] + self.steps[0] * i) * self.line + self.first[1] + self.steps[1] * j


def _moved(planes, distance, line, shifts):
    """Where `planes` planes begin, each for all shifts (lines, columns) of it."""
    return [c * distance + i * line + j for c in range(planes) for i, j in shifts]


def _geometry(size, results, x, y, outputs, lanes, v_matrix, **others):
    """A geometry of planes of `size` results; `outputs` are the OutputPlanes."""
    starts = [tile_starts(n, m) for n, m in zip(size, results, strict=True)]
    channels, tiles = len(x.planes), len(starts[0]) * len(starts[1])
    strip = strip_of(channels, len(outputs), tiles)
    within = all(
        (o.first_line, o.first_column) == (0, 0) and (o.last_line + 1, o.last_column + 1) == tuple(size)
        for o in outputs
    )
    named = WinogradGeometry(
        channels=channels,
        outputs=len(outputs),
        tiles=tiles,
        strip=strip,
        x_line=x.steps[0] * x.line,
        x_column=x.steps[1],
        y_line=y.steps[0] * y.line,
        y_column=y.steps[1],
        height=results[0],
        width=results[1],
        within=int(within),
        u_output=rounded(channels, lanes),
        u_matrix=matrix_distance(len(outputs), channels, lanes) * lanes,
        v_matrix=v_matrix(channels, strip) + APART,
        m_matrix=rounded(len(outputs), OUTPUTS_AT_ONCE) * strip + APART,
        **others,
    )
    plane_tiles = [
        PlaneTile(x.at(i, j), y.at(i, j), i, j, lines_done, columns_done)
        for i, lines_done in starts[0]
        for j, columns_done in starts[1]
    ]
    tables = [number for entry in (*plane_tiles, x.planes, *outputs) for number in entry]
    return np.array([*named, *range(TILES_AT - COLUMNS_AT), *tables], np.int64)


def _forward(channels, outputs, size, padding, x, y, lanes, parts, v_matrix, **others):
    """The geometry of sums over the parts of x; `x` and `y` are (plane, line)."""
    first = -padding[0], -padding[1]
    read = Side(x[1], parts.stride, first, _moved(channels, *x, parts.starts))
    written = Side(y[1], (1, 1), (0, 0), [])
    planes = [OutputPlane(o * y[0], o, 0, size[0] - 1, 0, size[1] - 1) for o in range(outputs)]
    return _geometry(size, parts.results, read, written, planes, lanes, v_matrix, **others)


def winograd_geometry(channels, outputs, size, padding, x, y, lanes, ending, has_bias, parts=OF_3X3):
    """Make the geometry of `winograd`: `x` and `y` are (plane, line), `padding` is (top, left)."""
    return _forward(
        channels, outputs, size, padding, x, y, lanes, parts,
        lambda channels, strip: channels * strip, ending=ending, bias=has_bias,
    )  # fmt: skip


def grad_weight_geometry(channels, outputs, size, padding, x, dy, lanes, parts=OF_3X3, has_bias=0):
    """Make the geometry of `winograd_grad_weight`; `size` is that of dy."""
    return _forward(
        channels, outputs, size, padding, x, dy, lanes, parts,
        lambda channels, strip: strip * rounded(channels, lanes), bias=has_bias,
    )  # fmt: skip


def grad_input_geometry(channels, outputs, in_size, padding, dy, dx, lanes, ending, parts=OF_3X3):
    """Make the geometry of `winograd` for the gradient of x; `dy` and `dx` are (plane, line)."""
    directions = list(zip(parts.directions, in_size, padding, strict=True))
    (top, height), (left, width) = (one.places(n, before) for one, n, before in directions)
    tap_lines, tap_columns = parts.taps
    shifts = [(-i * tap_lines, -j * tap_columns) for i, j in parts.pieces]
    first = top - tap_lines + 1, left - tap_columns + 1
    read = Side(dy[1], (1, 1), first, _moved(outputs, *dy, shifts))
    down, across = parts.stride
    written = Side(dx[1], parts.stride, (down * top - padding[0], across * left - padding[1]), [])
    planes = []
    for c in range(channels):
        for phase in parts.phases:
            lines, places = (
                one.limits(p, n, before) for p, (one, n, before) in zip(phase, directions, strict=True)
            )
            planes.append(OutputPlane(c * dx[0] + phase[0] * dx[1] + phase[1], c, *lines, *places))
    return _geometry(
        (height, width), parts.results, read, written, planes, lanes,
        lambda channels, strip: channels * strip, ending=ending,
    )  # fmt: skip


@register_jitable
def scratch_size(g, lanes):
    """Scalars of scratch that an operation of this geometry works in."""
    matrices = int(g[WINOGRAD.v_matrix]) + int(g[WINOGRAD.m_matrix]) + lanes + APART
    return (WORK + MATRICES * matrices) * lanes
