"""Convolutions and their gradients: sums of products over a grid of taps.

    y[row, p] = bias[row] + sum over c, a, b of  w[row, c, a, b] * x[p + c * channel + a * line + b * step]

            x (one block, vectors)        p: where a window starts. A tap is a distance from there:
            +--+--+--+--+--+              a = kh and b = kw.
            |  |p0|p1|p2|  |              All distances are in the geometry `g`, made by `tables.py`, so
            +--+--+--+--+--+              stride, padding, dilation and odd sizes cost nothing here.
            |  | t: p0 + line + step

A register tile holds rows x positions accumulators: each loaded vector serves every row, each splat weight
every position. Of a single row, the positions are a block of several lines. Taps that meet nothing but
padding at all positions of a tile are left out of its grid.
Long sums are made in parts, each from 0, which are then added up: a tile stands in the table once for each.
Groups are runs of the same sums at other offsets.
"""

from ... import simd
from ...simd import advance, opaque, tiles
from ...simd.compiling import compiled, inlined
from ...simd.tiles import (
    add_totals,
    block_shape,
    columns,
    multiply_add,
    offset_count,
    offsets,
    outer_add,
    row_offsets,
    rows,
    shape,
    tile_add,
    tile_add_rows,
    tile_add_stored,
    tile_gate,
    tile_relu,
    tile_store,
    zeros,
)
from .operation import FRESH, SHARDS, operation, share

COLUMNS_6, COLUMNS_4, COLUMNS_3 = (tiles.tile_columns(r) for r in (6, 4, 3))
# As many addresses as stay in registers, too: with 10 and 12 columns these tiles are slower.
COLUMNS_2, COLUMNS_1 = min(9, tiles.tile_columns(2)), min(8, tiles.tile_columns(1))
BLOCK_LINES, BLOCK_COLUMNS = tiles.tile_block()
TAPS_1 = min(9, tiles.tile_columns(1))  # of the weight gradient of a single row: those of 3x3
# One position: rows alone fill the tile. 8 chains hide the latency of a product; 16 row pointers would spill.
MANY_ROWS = 8 if simd.HOST.registers_per_vector == 1 else 4

PLAIN, RELU, GATE = 0, 1, 2  # what becomes of a finished sum

# Products in a part of a sum: in a single run, 64 channels of 3x3 taps lose twice as much to rounding.
CONV_PRODUCTS = 160

# The geometry of `contract`: distances in vectors for x and y, in scalars for w.
GROUPS, X_GROUP, W_GROUP, Y_GROUP, COUNT, W_ROW, Y_ROW, ENDING, BIAS, ONE_POSITION = range(10)
X_CHANNEL, W_CHANNEL, X_LINE, W_LINE, X_STEP, W_STEP = range(10, 16)
PASSES = 16  # then, for each pass: first row, last row, how many tiles, where they stand in `g`
PASS_FIELDS = 4
PASS_COUNT = 5
SINGLE, BLOCKS = 3, 4  # the passes over single rows
ROWS = PASSES + PASS_COUNT * PASS_FIELDS  # then the weights' distances of the rows of a dense tile
HEADER = ROWS + MANY_ROWS
# A tile: first weight, channels, lines and steps of its taps, whether it adds to an earlier part of the sum,
# whether the sum ends with it; then x of each position, then y of each.
W_FIRST, CHANNELS, LINES, STEPS, ADDS, ENDS, TILE_HEADER = range(7)


@compiled
def channels_at_once(taps):
    """Channels in a part of a sum, at least one."""
    return max(1, CONV_PRODUCTS // max(1, taps))


@compiled
def passes(count, positions):
    """(first row, last row, positions of the tile, lines that these lie in) of each pass over `count` rows.

    Of a single row there are two, of which a plan uses one: tiles along a line, and blocks.
    """
    if positions == 1:
        many, four = count // MANY_ROWS * MANY_ROWS, count // 4 * 4
        nothing = count, count, 1, 1
        return (0, many, 1, 1), (many, four, 1, 1), (four, count, 1, 1), nothing, nothing
    # 4 rows make the best tile; 6 rows at once beat 4 + 2, as in LeNet's first layer.
    six = 6 if count % 4 == 2 and count >= 6 else 0
    four = six + (count - six) // 4 * 4
    two = four + (count - four) // 2 * 2
    return (
        (0, six, COLUMNS_6, 1),
        (six, four, COLUMNS_4, 1),
        (four, two, COLUMNS_2, 1),
        (two, count, COLUMNS_1, 1),
        (two, count, BLOCK_LINES * BLOCK_COLUMNS, BLOCK_LINES),
    )


@inlined
def end_sum(acc, has_bias, bias, ending, gate, row, y_row, y_at):
    """What becomes of the finished sums of the rows from `row` on."""
    if has_bias:
        acc = tile_add_rows(acc, bias, row, 1)
    if ending == RELU:
        acc = tile_relu(acc)
    elif ending == GATE:
        acc = tile_gate(acc, gate, row * y_row, y_row, y_at)
    return acc


@compiled
def _rows_pass(form, x, w, bias, gate, y, g, number, w_rows):
    """The rows of one pass, in tiles of the shape `form`; tiles outside, so that x stays in cache."""
    plan = advance(g, PASSES + number * PASS_FIELDS)
    first, last, tile_count = plan[0], plan[1], plan[2]
    w_row, y_row, ending = g[W_ROW], g[Y_ROW], g[ENDING]
    x_channel, w_channel = g[X_CHANNEL], g[W_CHANNEL]
    x_line, w_line, x_step, w_step = g[X_LINE], g[W_LINE], g[X_STEP], g[W_STEP]
    for k in range(tile_count):
        this = advance(g, plan[3] + k * (TILE_HEADER + 2 * offset_count(form)))
        w_first, channels, lines, steps = this[W_FIRST], this[CHANNELS], this[LINES], this[STEPS]
        x_at = offsets(form, this, TILE_HEADER)
        for row in range(first, last, rows(form)):
            acc, x_plane, w_plane = zeros(form), 0, row * w_row + w_first
            for _ in range(channels):
                x_tap, w_tap = x_plane, w_plane
                for _ in range(lines):
                    x_tap, w_tap = opaque(x_tap), opaque(w_tap)
                    for b in range(steps):
                        acc = multiply_add(acc, w, w_tap + b * w_step, w_rows, x, x_tap + b * x_step, x_at)
                    x_tap += x_line
                    w_tap += w_line
                x_plane += x_channel
                w_plane += w_channel
            y_at = offsets(form, this, TILE_HEADER + offset_count(form))
            if this[ADDS]:
                acc = tile_add_stored(acc, y, row * y_row, y_row, y_at)
            if this[ENDS]:
                acc = end_sum(acc, g[BIAS], bias, ending, gate, row, y_row, y_at)
            tile_store(acc, y, row * y_row, y_row, y_at)


@compiled
def _has_tiles(g, number):
    """Whether a pass has anything to do: a call costs as much as a small tile."""
    return g[PASSES + number * PASS_FIELDS + 2] > 0


@operation
def contract(x, w, bias, gate, y, _, g, s):
    """y = bias + the sum of w * x over the taps, row by row; then ReLU, or 0 where `gate` is not positive."""
    w_row = g[W_ROW]
    for _group in range(g[GROUPS]):
        if g[ONE_POSITION]:
            if _has_tiles(g, 0):
                form = shape(x, MANY_ROWS, 1)
                _rows_pass(form, x, w, bias, gate, y, g, 0, row_offsets(form, g, ROWS))
            if _has_tiles(g, 1):
                _rows_pass(shape(x, 4, 1), x, w, bias, gate, y, g, 1, w_row)
            if _has_tiles(g, 2):
                _rows_pass(shape(x, 1, 1), x, w, bias, gate, y, g, 2, w_row)
        else:
            if _has_tiles(g, 0):
                _rows_pass(shape(x, 6, COLUMNS_6), x, w, bias, gate, y, g, 0, w_row)
            if _has_tiles(g, 1):
                _rows_pass(shape(x, 4, COLUMNS_4), x, w, bias, gate, y, g, 1, w_row)
            if _has_tiles(g, 2):
                _rows_pass(shape(x, 2, COLUMNS_2), x, w, bias, gate, y, g, 2, w_row)
            if _has_tiles(g, SINGLE):
                _rows_pass(shape(x, 1, COLUMNS_1), x, w, bias, gate, y, g, SINGLE, w_row)
            if _has_tiles(g, BLOCKS):
                form = block_shape(x, BLOCK_LINES, BLOCK_COLUMNS)
                _rows_pass(form, x, w, bias, gate, y, g, BLOCKS, w_row)
        x = advance_vectors(x, g[X_GROUP])
        y = advance_vectors(y, g[Y_GROUP])
        gate = advance_vectors(gate, g[Y_GROUP])
        w = advance(w, g[W_GROUP])
        bias = advance(bias, g[COUNT])


@compiled
def advance_vectors(p, count):
    """The pointer `count` vectors after `p`."""
    return advance(p, count * simd.lanes(p))


# The geometry of `contract_grad_weight`, then its taps as distances in x.
G_COUNT, G_TAPS, G_HEIGHT, G_WIDTH, G_GROUPS, G_X_GROUP, G_Y_GROUP, G_X_LINE, G_X_STEP = range(9)
G_Y_ROW, G_Y_LINE, G_BIAS, G_BAND, G_HEADER = range(9, 14)
SLACK = 12  # a table repeats its last entry this often, so that a last tile may run over
POSITIONS_AT_ONCE = 1024  # in a part of a sum: in one run, a 512x512 image loses 30 times as much


@compiled
def lines_at_once(width):
    """Lines of an image in a part of a sum over its positions."""
    return max(1, POSITIONS_AT_ONCE // max(width, 1))


@compiled
def _gradient_pass(form, x, dy, dweight, dbias, first, last, fresh, g):
    """Rows first..last of the weight gradient, a tile of rows x taps held over a band of the image.

    A single row has registers left for the sum of dy, which is its bias's gradient.
    """
    taps, height, width, band = g[G_TAPS], g[G_HEIGHT], g[G_WIDTH], g[G_BAND]
    x_line, x_step, y_row, y_line = g[G_X_LINE], g[G_X_STEP], g[G_Y_ROW], g[G_Y_LINE]
    tap, single_row = advance(g, G_HEADER), rows(form) == 1
    for row in range(first, last, rows(form)):
        for t in range(0, taps, columns(form)):
            x_at = offsets(form, tap, t)
            start = 0
            while start == 0 or start < height:  # without lines, too, sums are stored: zeros
                acc, total, end = zeros(form), zeros(shape(x, 1, 1)), min(start + band, height)
                for i in range(start, end):
                    x_start, y_start = opaque(i * x_line), opaque(row * y_row + i * y_line)
                    for j in range(width):
                        acc = outer_add(acc, dy, y_start + j, y_row, x, x_start + j * x_step, x_at)
                        if single_row:
                            total = tile_add(total, dy, y_start + j, 0)
                add_totals(acc, dweight, row * taps + t, taps, taps - t, fresh and start == 0)
                if single_row and t == 0 and g[G_BIAS]:
                    add_totals(total, dbias, row, 1, 1, fresh and start == 0)
                start += band


@compiled
def _gradient_rows(count, taps):
    """Where the passes with tiles of 4, 3 and 2 rows end; the last rows are taken one by one."""
    if COLUMNS_4 == 1:  # few registers: 2 x 2 needs the fewest loads for a product
        return 0, 0, count // 2 * 2
    # Tiles of 3 rows read less of dy for a product than those of 4, but 5 columns fit the taps of 5x5.
    one_four = 4 if count % 3 == 1 and count >= 4 else 0
    four = count // 4 * 4 if taps % COLUMNS_4 == 0 else one_four
    three = four + (count - four) // 3 * 3
    return four, three, three + (count - three) // 2 * 2


@operation
def contract_grad_weight(x, dy, dweight, _a, _b, _c, g, s):
    """dweight[row, t] += sum over positions and lanes of dy[row, p] * x[p + tap[t]]; behind it, dbias.

    The first block of a shard starts at 0.
    """
    count, groups, size = g[G_COUNT], g[G_GROUPS], g[G_COUNT] * g[G_TAPS]
    dbias, fresh = advance(dweight, groups * size), s[FRESH] != 0
    four, three, two = _gradient_rows(count, g[G_TAPS])
    for _ in range(groups):
        if four > 0:
            _gradient_pass(shape(x, 4, COLUMNS_4), x, dy, dweight, dbias, 0, four, fresh, g)
        if three > four:
            _gradient_pass(shape(x, 3, COLUMNS_3), x, dy, dweight, dbias, four, three, fresh, g)
        if two > three:
            _gradient_pass(shape(x, 2, COLUMNS_2), x, dy, dweight, dbias, three, two, fresh, g)
        if count > two:
            _gradient_pass(shape(x, 1, TAPS_1), x, dy, dweight, dbias, two, count, fresh, g)
        if g[G_BIAS]:
            fours = two // 4 * 4
            if fours > 0:
                _plane_sums_pass(shape(x, 4, 1), dy, dbias, 0, fours, fresh, g)
            if two > fours:
                _plane_sums_pass(shape(x, 1, 1), dy, dbias, fours, two, fresh, g)
        x = advance_vectors(x, g[G_X_GROUP])
        dy = advance_vectors(dy, g[G_Y_GROUP])
        dweight = advance(dweight, size)
        dbias = advance(dbias, count)


@compiled
def _plane_sums_pass(form, dy, dbias, first, last, fresh, g):
    """dbias[row] += sum of plane `row` of dy over positions and lanes, for the rows first..last."""
    height, band = g[G_HEIGHT], g[G_BAND]
    for row in range(first, last, rows(form)):
        start = 0
        while start == 0 or start < height:
            acc, end = zeros(form), min(start + band, height)
            for i in range(start, end):
                for j in range(g[G_WIDTH]):
                    acc = tile_add(acc, dy, row * g[G_Y_ROW] + i * g[G_Y_LINE] + j, g[G_Y_ROW])
            add_totals(acc, dbias, row, 1, 1, fresh and start == 0)
            start += band


@operation
def add_shards(shards, total_gradient, _a, _b, _c, _d, g, s):
    """total_gradient[k] = shard 0's [k] + shard 1's [k] + ..., in order; each thread takes some of the k."""
    step, shard_count = g[1], s[SHARDS]
    first, last = share(g[0], s)
    for k in range(first, last):
        total_gradient[k] = shards[k]
    for shard in range(1, shard_count):
        source = advance(shards, shard * step)
        for k in range(first, last):
            total_gradient[k] += source[k]
