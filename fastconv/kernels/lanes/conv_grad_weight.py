"""Weight gradients of convolutions: sums over positions and lanes of products of two vectors.

    dweight[o, t] = sum over the positions p and their lanes of dy[o, p] * x[p + tap[t]]

    positions of one block         A register tile holds outputs x taps, over the positions of a band: a part
    +--------------------+         of the sum. Bands are the outer loop, so that both operands are read from
    |       band 0       |         memory once, and wait in the second-level cache for their next turn:
    +--------------------+
    |       band 1       |         band --> columns of taps, whose x stays in the first-level cache
    +--------------------+                --> rows of outputs, whose dy comes from the second
    |       band 2       |                     --> positions of the band
    +--------------------+

All distances are in the geometry `g`, made by `conv_geometry.py`: a tap is a distance in x.
"""

from typing import NamedTuple

from ...simd import advance, opaque, tiles
from ...simd.compiling import compiled
from ...simd.tiles import (
    add_totals,
    columns,
    offsets,
    outer_add,
    rows,
    shape,
    tile_add,
    zeros,
)
from .conv import COLUMNS_4, advance_vectors
from .operation import STATE, dividing_operation, offsets_of, share_of_tiles

# Tiles of outputs x taps. With 32 registers, 4 x 5 and 2 x 9 fit; 4 x 4 divides the usual numbers of taps.
# One output alone leaves registers for the sum of dy. With fewer registers, 2 x 2 needs the fewest loads.
ROWS = 4 if COLUMNS_4 > 1 else 2
FIVE_COLUMNS = tiles.tile_columns(ROWS)
FOUR_COLUMNS = min(4, FIVE_COLUMNS)
TWO_COLUMNS, ONE_COLUMNS = (min(9, tiles.tile_columns(r)) for r in (2, 1))  # the taps of 3x3

TABLE_TAIL = 12  # a table repeats its last entry this often, so that a last tile may run over
POSITIONS_AT_ONCE = 1024  # in a part of a sum: in one run, a 512x512 image loses 30 times as much
VECTORS_AT_ONCE = 256  # of x, for the taps of a tile: half a first-level cache of 32 kB, dy has the other
DY_AT_ONCE = 8192  # vectors, for the outputs that share a tile of taps: half a second-level cache of 1 MB
FEWEST_POSITIONS = 32  # to add up the lanes of a tile's vectors takes as long as 3 or 4 positions


class ContractGradWeightGeometry(NamedTuple):
    """The sums over positions that `contract_grad_weight` makes; distances in vectors."""

    outputs: int  # in a group
    taps: int  # of an output, those of all its channels
    height: int  # of dy
    width: int
    groups: int
    x_group: int  # from one group to the next
    y_group: int
    x_window_h: int  # from one window to the one below
    x_window_w: int  # from one window to the one at its right
    y_output: int  # from one output to the next
    y_line: int  # from one line of dy to the next
    bias: int  # whether there is one
    band_lines: int  # of dy in a part of a sum
    band_places: int  # in each of these lines
    outputs_at_once: int  # whose dy stays in cache over a band, a multiple of the rows of a tile
    fives: int  # whether the largest tiles are used: see `takes_fives`


GRAD_WEIGHT = offsets_of(ContractGradWeightGeometry)
TAPS_AT = len(GRAD_WEIGHT)  # behind them: the distance of each tap in x


@compiled
def lines_at_once(width):
    """How many lines of an image of this width are summed up in one part of a sum, at least one."""
    return max(1, POSITIONS_AT_ONCE // max(width, 1))


@compiled
def takes_fives(taps):
    """Whether the largest tiles cover so many taps with fewer products than those of fewer columns."""
    fives, fours = (taps + FIVE_COLUMNS - 1) // FIVE_COLUMNS, (taps + FOUR_COLUMNS - 1) // FOUR_COLUMNS
    return fives * FIVE_COLUMNS < fours * FOUR_COLUMNS


@compiled
def band_size(width, kernel, stride):
    """How large the bands of an image of this width are: (lines, places in each of them), at least 1.

    For a position, a tile loads so many vectors of x that no other position loads, for each channel in it.
    """
    taps, tile_taps = max(1, kernel[0] * kernel[1]), FOUR_COLUMNS
    own = min(stride[0], kernel[0]) * min(stride[1], kernel[1])
    loads = (tile_taps + taps - 1) // taps * max(1, min(own, tile_taps))
    positions = max(FEWEST_POSITIONS, VECTORS_AT_ONCE // loads)
    bands = max(1, (width + positions - 1) // positions)
    places = max(1, (width + bands - 1) // bands)
    return max(1, positions // places), places


@compiled
def outputs_at_once(positions):
    """For how many outputs a band of so many positions is taken through all taps."""
    return max(1, DY_AT_ONCE // max(positions, 1) // ROWS) * ROWS


@compiled
def _weight_sums(form, x, dy, dweight, dbias, outputs, band, fresh, g, s):
    """Add a band's products to the weight's gradient for some outputs, or for a share of these or the taps.

    Outputs are (the first, the one after the last), the band (top, bottom, left, right). One output alone
    brings its bias's gradient, too.
    """
    taps, alone = g[GRAD_WEIGHT.taps], rows(form) == 1
    first, last = outputs
    first_tap, end_tap = 0, taps
    if last - first < s[STATE.parts] * rows(form):
        first_tap, end_tap = share_of_tiles(0, taps, columns(form), s)
    else:
        first, last = share_of_tiles(first, last, rows(form), s)
    top, bottom, left, right = band
    x_window_h, x_window_w = g[GRAD_WEIGHT.x_window_h], g[GRAD_WEIGHT.x_window_w]
    y_output, y_line = g[GRAD_WEIGHT.y_output], g[GRAD_WEIGHT.y_line]
    for begin in range(first, last, g[GRAD_WEIGHT.outputs_at_once]):
        end = min(begin + g[GRAD_WEIGHT.outputs_at_once], last)
        for t in range(first_tap, end_tap, columns(form)):
            x_at = offsets(form, advance(g, TAPS_AT), t)
            for o in range(begin, end, rows(form)):
                acc, total = zeros(form), zeros(shape(x, 1, 1))
                for i in range(top, bottom):
                    x_start = opaque(i * x_window_h + left * x_window_w)
                    y_start = opaque(o * y_output + i * y_line + left)
                    for j in range(right - left):
                        acc = outer_add(acc, dy, y_start + j, y_output, x, x_start + j * x_window_w, x_at)
                        if alone:
                            total = tile_add(total, dy, y_start + j, 0)
                add_totals(acc, dweight, o * taps + t, taps, taps - t, fresh)
                if alone and t == 0 and g[GRAD_WEIGHT.bias]:
                    add_totals(total, dbias, o, 1, 1, fresh)


@compiled
def _band_sums(x, dy, dweight, dbias, band, fresh, g, s):
    """Add what a band brings to the gradients of a group's weights and bias."""
    count = g[GRAD_WEIGHT.outputs]
    many, two = count // ROWS * ROWS, count // 2 * 2
    if many > 0 and g[GRAD_WEIGHT.fives]:
        _weight_sums(shape(x, ROWS, FIVE_COLUMNS), x, dy, dweight, dbias, (0, many), band, fresh, g, s)
    elif many > 0:
        _weight_sums(shape(x, ROWS, FOUR_COLUMNS), x, dy, dweight, dbias, (0, many), band, fresh, g, s)
    if two > many:
        _weight_sums(shape(x, 2, TWO_COLUMNS), x, dy, dweight, dbias, (many, two), band, fresh, g, s)
    if count > two:
        _weight_sums(shape(x, 1, ONE_COLUMNS), x, dy, dweight, dbias, (two, count), band, fresh, g, s)
    if g[GRAD_WEIGHT.bias]:
        _bias_sums(dy, dbias, two, band, fresh, g, s)


@dividing_operation
def contract_grad_weight(x, dy, dweight, _a, _b, _c, g, s):
    """dweight[row, t] += sum over positions and lanes of dy[row, p] * x[p + tap[t]]; behind it, dbias.

    The first block of a shard starts at 0.
    """
    count, groups = g[GRAD_WEIGHT.outputs], g[GRAD_WEIGHT.groups]
    size, height, width = count * g[GRAD_WEIGHT.taps], g[GRAD_WEIGHT.height], g[GRAD_WEIGHT.width]
    lines, places = g[GRAD_WEIGHT.band_lines], g[GRAD_WEIGHT.band_places]
    dbias, fresh = advance(dweight, groups * size), s[STATE.fresh] != 0
    for _ in range(groups):
        for top in range(0, max(height, 1), lines):  # without positions, too, sums are stored: zeros
            for left in range(0, max(width, 1), places):
                band = top, min(top + lines, height), left, min(left + places, width)
                _band_sums(x, dy, dweight, dbias, band, fresh and top == 0 and left == 0, g, s)
        x = advance_vectors(x, g[GRAD_WEIGHT.x_group])
        dy = advance_vectors(dy, g[GRAD_WEIGHT.y_group])
        dweight = advance(dweight, size)
        dbias = advance(dbias, count)


@compiled
def _bias_sums(dy, dbias, count, band, fresh, g, s):
    """Add up dy over a band and its lanes: the bias's gradient for the first `count` outputs."""
    fours = count // 4 * 4
    _channel_sums(shape(dy, 4, 1), dy, dbias, 0, fours, band, fresh, g, s)
    _channel_sums(shape(dy, 1, 1), dy, dbias, fours, count, band, fresh, g, s)


@compiled
def _channel_sums(form, dy, dbias, first, last, band, fresh, g, s):
    """As `_bias_sums`, for outputs `first` to before `last`."""
    y_output, y_line = g[GRAD_WEIGHT.y_output], g[GRAD_WEIGHT.y_line]
    top, bottom, left, right = band
    first, last = share_of_tiles(first, last, rows(form), s)
    for o in range(first, last, rows(form)):
        acc = zeros(form)
        for i in range(top, bottom):
            for j in range(left, right):
                acc = tile_add(acc, dy, o * y_output + i * y_line + j, y_output)
        add_totals(acc, dbias, o, 1, 1, fresh)


def channel_sums_geometry(planes):
    """Make the geometry of `channel_sums` over planes."""
    nothing = dict.fromkeys(ContractGradWeightGeometry._fields, 0)
    return ContractGradWeightGeometry(
        **nothing
        | {
            "outputs": planes.channels,
            "height": planes.height,
            "width": planes.width,
            "y_output": planes.plane,
            "y_line": planes.row,
            "band_lines": lines_at_once(planes.width),
        }
    )


@dividing_operation
def channel_sums(dy, dbias, _b, _c, _d, _e, g, s):
    """dbias[c] += sum over positions and lanes of dy[c, p]; the first block of a shard starts at 0."""
    height, lines = g[GRAD_WEIGHT.height], g[GRAD_WEIGHT.band_lines]
    for top in range(0, max(height, 1), lines):
        band = top, min(top + lines, height), 0, g[GRAD_WEIGHT.width]
        _bias_sums(dy, dbias, g[GRAD_WEIGHT.outputs], band, s[STATE.fresh] != 0 and top == 0, g, s)
