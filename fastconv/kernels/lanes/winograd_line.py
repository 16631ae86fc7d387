"""Convolutions along one direction by Winograd's products: 1 x K or K x 1 taps, dilated or strided.

    x   |--tile 0--|           a tile is n inputs, which give m results; tiles are m apart. The last one of a
            |--tile 1--|       line may reach over its end, where there are zeros.
    y   |--m--||--m--|

Long kernels are pieces of r taps, whose products are added up before they are transformed back: so many
more channels, whose inputs begin r further. If r = m, the inputs of a piece's tile are those of the next
tile for the piece before, and the pieces share them. Of a stride s, every s-th tap belongs to one piece:
tile and taps are s apart, and a piece's inputs begin at its first tap.

    v   [n][channels][inputs of a strip]                                  vectors of samples
    u   [n][outputs][pieces][channels]                                    scalars
    m   [n][outputs][tiles of a strip]                                    vectors of samples

    inputs that are shared       piece p of tile t reads input t + p
    inputs of their own                                        p * strip + t

For each of the n points, m = u v is a matrix product. The gradient of x is the same of dy, with the weights
turned round. For the gradient of the weights, du = d v^T, lanes are turned into channels as in `winograd.py`:

    d   [n][outputs][tiles of a strip][samples]                           scalars
    v^T [n][inputs of a strip][samples][channels]                         vectors of channels
    du  [n][outputs][pieces][channels]                                    vectors of channels
"""

from ... import simd
from ...simd import advance
from ...simd.compiling import compiled
from ...simd.transpose import square_part, store_square, transpose
from .conv import GATE, RELU
from .matrix_product import APART, CHANNELS_AT_ONCE, OUTPUTS_AT_ONCE, product
from .operation import STATE, dividing_operation, share_of_tiles
from .winograd_line_forms import (
    MAX_POINTS,
    transform_gradient,
    transform_input,
    transform_products,
)
from .winograd_line_geometry import COLUMNS_AT, LINE, LINE_TILE, TILES_AT, first_tap

TILES_AT_ONCE = 8  # of all lanes, in a part of a sum


@compiled
def _tile(g, number):
    """The numbers of one of the plane's tiles."""
    return advance(g, TILES_AT + number * len(LINE_TILE))


@compiled
def _input_count(count, g):
    """How many inputs the pieces of a strip of `count` tiles have."""
    return count + g[LINE.pieces] - 1 if g[LINE.shared] else count * g[LINE.pieces]


@compiled
def _input_at(number, start, count, g):
    """Where an input of a strip begins in x, and its place in v."""
    if g[LINE.shared]:
        return _tile(g, start)[LINE_TILE.x] + number * g[LINE.results] * g[LINE.x_step], number
    piece, tile = number // count, number % count
    first = first_tap(piece, g[LINE.stride], g[LINE.taps]) * g[LINE.x_tap]
    return _tile(g, start + tile)[LINE_TILE.x] + first, piece * g[LINE.strip] + tile


@compiled
def _finish(work, bias, gate, y, at, inside, g, o):
    """Write the results of a tile of output o to y from vector `at` on, with bias and ending."""
    ending, zero = g[LINE.ending], simd.fill(y, 0.0)
    b = simd.splat(bias, o) if g[LINE.bias] else zero
    for j in range(inside):
        k = at + j * g[LINE.y_step]
        value = simd.add(simd.load(work, j), b)
        if ending == RELU:
            value = simd.select(simd.less(value, zero), zero, value)  # NaN stays
        elif ending == GATE:
            value = simd.select(simd.greater(simd.load(gate, k), zero), value, zero)
        simd.store(y, k, value)


@compiled
def _sum_products(u, v, m, count, outputs, g):
    """The products of a strip of `count` tiles for some outputs, (first, end), at all points."""
    first, end = outputs
    lanes, strip, row = simd.lanes(u), g[LINE.strip], g[LINE.v_row]
    channels, piece_inputs = g[LINE.channels], 1 if g[LINE.shared] else strip
    for k in range(g[LINE.points]):
        for piece in range(g[LINE.pieces]):
            for c in range(0, channels, CHANNELS_AT_ONCE):
                product(
                    advance(u, k * g[LINE.u_matrix] + first * g[LINE.u_output] + piece * g[LINE.u_piece] + c),
                    g[LINE.u_output],
                    advance(v, (k * g[LINE.v_matrix] + c * row + piece * piece_inputs) * lanes), row,
                    min(CHANNELS_AT_ONCE, channels - c),
                    advance(m, (k * g[LINE.m_matrix] + first * strip) * lanes), strip, end - first, count,
                    piece == 0 and c == 0, advance(g, COLUMNS_AT),
                )  # fmt: skip


@dividing_operation
def winograd_line(x, u, bias, gate, y, scratch, g, s):
    """y = bias + the convolution of x with the transformed weights u; then ReLU, or the gate."""
    lanes, strip, form = simd.lanes(x), g[LINE.strip], g[LINE.form]
    work, v = scratch, advance(scratch, MAX_POINTS * lanes)
    m = advance(v, g[LINE.points] * g[LINE.v_matrix] * lanes)
    start, outputs = 0, share_of_tiles(0, g[LINE.outputs], OUTPUTS_AT_ONCE, s)
    while start < g[LINE.tiles] and outputs[0] < outputs[1]:
        count = min(strip, g[LINE.line] - start % g[LINE.line])
        for i in range(_input_count(count, g)):
            corner, place = _input_at(i, start, count, g)
            for c in range(g[LINE.channels]):
                at = c * g[LINE.x_channel] + corner
                v_at = c * g[LINE.v_row] + place
                transform_input(form, x, at, g[LINE.x_step], v, v_at, g[LINE.v_matrix])
        _sum_products(u, v, m, count, outputs, g)
        for o in range(outputs[0], outputs[1]):
            for t in range(count):
                tile = _tile(g, start + t)
                transform_products(form, m, o * strip + t, g[LINE.m_matrix], work, 0, 1)
                at = o * g[LINE.y_output] + tile[LINE_TILE.y]
                _finish(work, bias, gate, y, at, tile[LINE_TILE.inside], g, o)
        start += count


@compiled
def _channels_in_lanes(x, start, count, v, squares, g):
    """v^T of a strip of `count` tiles from tile `start` on; `squares` is memory for a square a point."""
    lanes, channels, vectors = simd.lanes(x), g[LINE.channels], g[LINE.u_piece] // simd.lanes(x)
    distance = lanes + APART
    for i in range(_input_count(count, g)):
        corner, place = _input_at(i, start, count, g)
        for c in range(0, channels, lanes):
            here = min(lanes, channels - c)
            for k in range(here):
                at = (c + k) * g[LINE.x_channel] + corner
                transform_input(g[LINE.form], x, at, g[LINE.x_step], squares, k, distance)
            for k in range(g[LINE.points]):
                samples = square_part(squares, k * distance * lanes, lanes, here, lanes)
                at = k * g[LINE.v_matrix] + place * lanes * vectors + c // lanes
                store_square(transpose(samples), v, at * lanes, vectors * lanes, lanes, lanes)


@compiled
def _sum_slopes(d, v, du, count, outputs, fresh, g):
    """As `_sum_products`, for the gradient of the weights."""
    first, end = outputs
    lanes, vectors, strip = simd.lanes(d), g[LINE.u_piece] // simd.lanes(d), g[LINE.strip]
    row = strip * lanes
    piece_inputs = 1 if g[LINE.shared] else g[LINE.strip]
    for k in range(g[LINE.points]):
        for piece in range(g[LINE.pieces]):
            for t in range(0, count, TILES_AT_ONCE):
                input_row = (piece * piece_inputs + t) * lanes * vectors
                product(
                    advance(d, (k * g[LINE.m_matrix] + first * strip + t) * lanes), row,
                    advance(v, (k * g[LINE.v_matrix] + input_row) * lanes), vectors,
                    min(TILES_AT_ONCE, count - t) * lanes,
                    advance(du, k * g[LINE.u_matrix] + first * g[LINE.u_output] + piece * g[LINE.u_piece]),
                    g[LINE.pieces] * vectors, end - first, vectors, fresh and t == 0, advance(g, COLUMNS_AT),
                )  # fmt: skip


@compiled
def _gradient_sum(dy, at, inside, g):
    """The sum of a tile of dy, of its places inside the line."""
    value = simd.fill(dy, 0.0)
    for j in range(inside):
        value = simd.add(value, simd.load(dy, at + j * g[LINE.y_step]))
    return value


@dividing_operation
def winograd_line_grad_weight(x, dy, du, scratch, dbias, _, g, s):
    """du += the sums over samples and tiles of d v^T; the first block of a shard starts at 0.

    So does dbias, the sums of dy, which are made while its tiles are in cache.
    """
    lanes, strip, points = simd.lanes(x), g[LINE.strip], g[LINE.points]
    squares = advance(scratch, MAX_POINTS * lanes)
    v = advance(squares, points * (lanes + APART) * lanes)
    d = advance(v, points * g[LINE.v_matrix] * lanes)
    start, outputs = 0, share_of_tiles(0, g[LINE.outputs], OUTPUTS_AT_ONCE, s)
    while start < g[LINE.tiles] and outputs[0] < outputs[1]:
        count = min(strip, g[LINE.line] - start % g[LINE.line])
        _channels_in_lanes(x, start, count, v, squares, g)
        fresh = s[STATE.fresh] != 0 and start == 0
        for o in range(outputs[0], outputs[1]):
            slopes = simd.fill(dy, 0.0)
            for t in range(count):
                tile = _tile(g, start + t)
                at, d_at = o * g[LINE.y_output] + tile[LINE_TILE.y], o * strip + t
                transform_gradient(g[LINE.form], dy, at, g[LINE.y_step], d, d_at, g[LINE.m_matrix])
                if g[LINE.bias]:
                    slopes = simd.add(slopes, _gradient_sum(dy, at, tile[LINE_TILE.inside], g))
            if g[LINE.bias]:
                dbias[o] = simd.total(slopes) if fresh else dbias[o] + simd.total(slopes)
        _sum_slopes(d, v, du, count, outputs, fresh, g)
        start += count
