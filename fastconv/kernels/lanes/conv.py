"""Convolutions and their input gradients: sums of products over a grid of taps.

    y[o, p] = bias[o] + sum over c, kh, kw of
              w[o, c, kh, kw] * x[p + c * x_channel + kh * x_tap_h + kw * x_tap_w]

            x (one block, vectors)        p: where a window starts. A tap (kh, kw) is a distance from there.
            +--+--+--+--+--+              All distances are in the geometry `g`, made by `conv_geometry.py`,
            |  |p0|p1|p2|  |              so stride, padding, dilation and odd sizes cost nothing here.
            +--+--+--+--+--+
            |  | t: p0 + x_tap_h + x_tap_w

A register tile holds outputs x positions, in its rows and columns: each loaded vector serves every output,
each splat weight every position. Of one output alone, the positions are a patch of several lines. Taps that
meet nothing but padding at all positions of a tile are left out of its sums.
Long sums are made in parts, each from 0, which are then added up: a tile stands in the table once for each.
Groups are runs of the same sums at other distances.
"""

from typing import NamedTuple

from ... import simd
from ...simd import advance, opaque, tiles
from ...simd.compiling import compiled, inlined, internal
from ...simd.tiles import (
    multiply_add,
    offset_count,
    offsets,
    patch_shape,
    row_offsets,
    rows,
    shape,
    tile_add_rows,
    tile_add_stored,
    tile_fetch,
    tile_gate,
    tile_relu,
    tile_store,
    zeros,
)
from .operation import STATE, offsets_of, operation_in_parts, share, share_of_tiles

COLUMNS_6, COLUMNS_4 = (tiles.tile_columns(r) for r in (6, 4))
# As many addresses as stay in registers, too: with 10 and 12 columns these tiles are slower.
COLUMNS_2, COLUMNS_1 = min(9, tiles.tile_columns(2)), min(8, tiles.tile_columns(1))
PATCH_LINES, PATCH_COLUMNS = tiles.tile_patch()
# One position: outputs alone fill the tile. 8 chains hide the latency of a product; 16 pointers would spill.
MANY_ROWS = 8 if simd.HOST.registers_per_vector == 1 else 4

PLAIN, RELU, GATE = 0, 1, 2  # what becomes of a finished sum

# Products in a part of a sum: in one run, 64 channels of 3x3 taps lose twice as much to rounding.
CONV_PRODUCTS = 160


class ContractGeometry(NamedTuple):
    """What `contract` needs to know of its sums; distances in vectors for x and y, in scalars for w."""

    groups: int
    x_group: int  # from one group to the next
    w_group: int
    y_group: int
    outputs: int  # in a group: sums at a position
    w_output: int  # from one output to the next
    y_output: int
    ending: int  # what becomes of a finished sum: PLAIN, RELU or GATE
    bias: int  # whether there is one
    one_position: int  # whether there is only one
    x_outer: int  # from one step of the outer loop over products to the next
    w_outer: int
    x_middle: int
    w_middle: int
    x_inner: int
    w_inner: int


class SweepGeometry(NamedTuple):
    """A sweep computes some of the outputs at all positions, in tiles of one shape."""

    first: int  # output
    last: int  # the one after the last output
    tiles: int
    tiles_at: int  # where these stand in `g`


class TileGeometry(NamedTuple):
    """A part of the sums at the positions of a tile."""

    w_first: int  # the first weight
    outer: int  # steps of the loops over products
    middle: int
    inner: int
    adds: int  # whether it adds to an earlier part of the sum, or to what y holds
    ends: int  # whether the sum ends with it


CONTRACT, SWEEP, TILE = offsets_of(ContractGeometry), offsets_of(SweepGeometry), offsets_of(TileGeometry)
SWEEP_COUNT = 5
ALONG_LINES, IN_PATCHES = 3, 4  # the sweeps over one output at a time, of which one is used
# The geometry of `contract` is a `ContractGeometry`, the sweeps, the distances in w of the rows of a tile of
# one position, and the tiles: each a `TileGeometry`, then x of its positions, then y of them.
SWEEPS_AT = len(CONTRACT)
W_ROWS_AT = SWEEPS_AT + SWEEP_COUNT * len(SWEEP)
TILES_AT = W_ROWS_AT + MANY_ROWS
POSITIONS_AT = len(TILE)


@compiled
def channels_at_once(taps):
    """How many channels of so many taps are summed up in one part of a sum, at least one."""
    return max(1, CONV_PRODUCTS // max(1, taps))


@compiled
def sweeps(count, positions):
    """How `count` outputs at so many positions are divided among tiles of several shapes: five sweeps.

    A sweep is (first output, the one after the last, positions of a tile, lines that these lie in). The last
    two take the same outputs one by one, along lines and in patches: a geometry has tiles for one of them.
    """
    if positions == 1:
        many, four = count // MANY_ROWS * MANY_ROWS, count // 4 * 4
        nothing = count, count, 1, 1
        return (0, many, 1, 1), (many, four, 1, 1), (four, count, 1, 1), nothing, nothing
    # 4 outputs make the best tile; 6 at once beat 4 + 2, as in LeNet's first layer.
    six = 6 if count % 4 == 2 and count >= 6 else 0
    four = six + (count - six) // 4 * 4
    two = four + (count - four) // 2 * 2
    return (
        (0, six, COLUMNS_6, 1),
        (six, four, COLUMNS_4, 1),
        (four, two, COLUMNS_2, 1),
        (two, count, COLUMNS_1, 1),
        (two, count, PATCH_LINES * PATCH_COLUMNS, PATCH_LINES),
    )


@inlined
def end_sum(acc, has_bias, bias, ending, gate, o, y_output, y_at):
    """Add the bias to a tile of finished sums, and apply ReLU or the gate, as `ending` says.

    The tile's first row is output `o`; `y_output` and `y_at` say where the gate of each sum lies.
    """
    if has_bias:
        acc = tile_add_rows(acc, bias, o, 1)
    if ending == RELU:
        acc = tile_relu(acc)
    elif ending == GATE:
        acc = tile_gate(acc, gate, o * y_output, y_output, y_at)
    return acc


@internal
def _sweep(form, x, w, bias, gate, y, g, s, number, w_rows):
    """Compute the outputs of one sweep at all positions, or a share of them, in tiles of the shape `form`.

    Tiles are the outer loop, so that x stays in cache, and what a tile writes is fetched as the one before it
    is computed: 2 MB that are in no cache take a third less. `w_rows` says how far apart the weights of the
    rows of a tile are, as in `multiply_add`.
    """
    sweep = advance(g, SWEEPS_AT + number * len(SWEEP))
    first, last = sweep[SWEEP.first], sweep[SWEEP.last]
    first_tile, end_tile = 0, sweep[SWEEP.tiles]
    whole_sums = advance(g, sweep[SWEEP.tiles_at])[TILE.ends] != 0  # and not parts, one after the other
    if whole_sums and last - first < s[STATE.parts] * rows(form):
        first_tile, end_tile = share(end_tile, s)
    else:
        first, last = share_of_tiles(first, last, rows(form), s)
    w_output, y_output, ending = g[CONTRACT.w_output], g[CONTRACT.y_output], g[CONTRACT.ending]
    x_outer, w_outer = g[CONTRACT.x_outer], g[CONTRACT.w_outer]
    x_middle, w_middle = g[CONTRACT.x_middle], g[CONTRACT.w_middle]
    x_inner, w_inner = g[CONTRACT.x_inner], g[CONTRACT.w_inner]
    for number_of_tile in range(first_tile, end_tile):
        tile = advance(g, sweep[SWEEP.tiles_at] + number_of_tile * (len(TILE) + 2 * offset_count(form)))
        outer, middle, inner = tile[TILE.outer], tile[TILE.middle], tile[TILE.inner]
        x_at = offsets(form, tile, POSITIONS_AT)
        ahead = len(TILE) + 2 * offset_count(form) if number_of_tile + 1 < end_tile else 0
        next_y = offsets(form, tile, ahead + POSITIONS_AT + offset_count(form))
        for o in range(first, last, rows(form)):
            acc, x_plane, w_plane = zeros(form), 0, o * w_output + tile[TILE.w_first]
            tile_fetch(form, y, o * y_output, y_output, next_y)
            for _ in range(outer):
                x_row, w_row = x_plane, w_plane
                for _ in range(middle):
                    x_row, w_row = opaque(x_row), opaque(w_row)
                    for k in range(inner):
                        acc = multiply_add(acc, w, w_row + k * w_inner, w_rows, x, x_row + k * x_inner, x_at)
                    x_row += x_middle
                    w_row += w_middle
                x_plane += x_outer
                w_plane += w_outer
            y_at = offsets(form, tile, POSITIONS_AT + offset_count(form))
            if tile[TILE.adds]:
                acc = tile_add_stored(acc, y, o * y_output, y_output, y_at)
            if tile[TILE.ends]:
                acc = end_sum(acc, g[CONTRACT.bias], bias, ending, gate, o, y_output, y_at)
            tile_store(acc, y, o * y_output, y_output, y_at)


@internal
def _has_tiles(g, number):
    """Whether a sweep has anything to do: to call `_sweep` costs as much as a small tile."""
    return g[SWEEPS_AT + number * len(SWEEP) + SWEEP.tiles] > 0


# Parts of `contract`: its sweeps over one position, and over more.
OF_MANY, OF_FOUR, OF_ONE = True, True, True
OF_6, OF_4, OF_2, OF_1, OF_PATCHES = True, True, True, True, True


def _used_sweeps(g):
    """Which parts of `contract` a geometry uses, in the order of `_SWEEPS`."""
    used = [g[SWEEPS_AT + number * len(SWEEP) + SWEEP.tiles] > 0 for number in range(SWEEP_COUNT)]
    nothing, one = [False] * SWEEP_COUNT, g[CONTRACT.one_position]
    return (*(used if one else nothing)[:3], *(nothing if one else used))


_SWEEPS = ("OF_MANY", "OF_FOUR", "OF_ONE", "OF_6", "OF_4", "OF_2", "OF_1", "OF_PATCHES")


@operation_in_parts(_SWEEPS, _used_sweeps)
def contract(x, w, bias, gate, y, _, g, s):
    """y = bias + the sum of w * x over the taps, row by row; then ReLU, or 0 where `gate` is not positive."""
    w_output = g[CONTRACT.w_output]
    for _group in range(g[CONTRACT.groups]):
        if g[CONTRACT.one_position]:
            if OF_MANY and _has_tiles(g, 0):
                form = shape(x, MANY_ROWS, 1)
                _sweep(form, x, w, bias, gate, y, g, s, 0, row_offsets(form, g, W_ROWS_AT))
            if OF_FOUR and _has_tiles(g, 1):
                _sweep(shape(x, 4, 1), x, w, bias, gate, y, g, s, 1, w_output)
            if OF_ONE and _has_tiles(g, 2):
                _sweep(shape(x, 1, 1), x, w, bias, gate, y, g, s, 2, w_output)
        else:
            if OF_6 and _has_tiles(g, 0):
                _sweep(shape(x, 6, COLUMNS_6), x, w, bias, gate, y, g, s, 0, w_output)
            if OF_4 and _has_tiles(g, 1):
                _sweep(shape(x, 4, COLUMNS_4), x, w, bias, gate, y, g, s, 1, w_output)
            if OF_2 and _has_tiles(g, 2):
                _sweep(shape(x, 2, COLUMNS_2), x, w, bias, gate, y, g, s, 2, w_output)
            if OF_1 and _has_tiles(g, ALONG_LINES):
                _sweep(shape(x, 1, COLUMNS_1), x, w, bias, gate, y, g, s, ALONG_LINES, w_output)
            if OF_PATCHES and _has_tiles(g, IN_PATCHES):
                form = patch_shape(x, PATCH_LINES, PATCH_COLUMNS)
                _sweep(form, x, w, bias, gate, y, g, s, IN_PATCHES, w_output)
        x = advance_vectors(x, g[CONTRACT.x_group])
        y = advance_vectors(y, g[CONTRACT.y_group])
        gate = advance_vectors(gate, g[CONTRACT.y_group])
        w = advance(w, g[CONTRACT.w_group])
        bias = advance(bias, g[CONTRACT.outputs])


@internal
def advance_vectors(p, count):
    """The pointer `count` vectors after `p`."""
    return advance(p, count * simd.lanes(p))
