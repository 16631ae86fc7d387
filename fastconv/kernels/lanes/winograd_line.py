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

from typing import NamedTuple

import numpy as np

from ... import simd
from ...simd import advance
from ...simd.compiling import compiled
from ...simd.transpose import square_part, store_square, transpose
from .conv import GATE, RELU
from .matrix_product import APART, CHANNELS_AT_ONCE, COLUMNS, OUTPUTS_AT_ONCE, product, rounded
from .operation import STATE, offsets_of, operation
from .winograd_line_forms import (
    FORMS,
    MAX_POINTS,
    transform_gradient,
    transform_input,
    transform_products,
)

TILES_AT_ONCE = 8  # of all lanes, in a part of a sum
SCRATCH_BYTES = 3 << 18  # of v and m of a strip: most of a second-level cache of 1 MiB


class WinogradLineGeometry(NamedTuple):
    """What `winograd_line` and `winograd_line_grad_weight` compute; distances in vectors, of u in scalars."""

    form: int  # number of the form in FORMS
    points: int
    results: int  # of a tile
    taps: int  # of a piece
    pieces: int
    stride: int
    channels: int
    outputs: int
    tiles: int
    line: int  # so many tiles are in strips of their own: those of a line where inputs are shared, else all
    strip: int  # tiles at once, at most
    shared: int  # whether pieces share their inputs
    x_channel: int  # from one channel to the next
    x_tap: int  # from what one tap reads to what the next one does
    x_step: int  # from one input of a tile to the next: of a stride, taps of other pieces lie between
    y_output: int  # from one output to the next, in y or dy
    y_step: int
    u_output: int  # from one output to the next
    u_piece: int  # from one piece to the next: the channels, rounded up to whole vectors
    u_matrix: int  # from one point's matrix to the next
    v_row: int  # inputs of a strip
    v_matrix: int
    m_matrix: int  # of m or d
    ending: int = 0  # PLAIN, RELU or GATE, as in `contract`
    bias: int = 0


LINE = offsets_of(WinogradLineGeometry)
# Behind the named numbers: 0, 1, 2, 3, where the columns of a register tile lie, then the plane's tiles.
COLUMNS_AT = len(LINE)
TILES_AT = COLUMNS_AT + COLUMNS


class LineTile(NamedTuple):
    """Where a tile begins, and how many of its results are inside the line."""

    x: int  # vectors
    y: int
    inside: int


LINE_TILE = offsets_of(LineTile)


@compiled
def first_tap(piece, stride, taps):
    """The first tap of a piece of so many taps, each a stride from the next."""
    return piece % stride + piece // stride * stride * taps


class Line(NamedTuple):
    """A convolution along one axis: what is the same for all channels.

    Attributes
    ----------
    form : int
        The number of the form in FORMS.
    kernel, dilation, padding : int
        Along the axis; the padding is that before the first element.
    axis : int
        0 where kernels are K x 1, else 1.
    size : pair of ints
        (height, width) of a plane of results.
    before : int
        Padding before the first element of the other axis.
    stride : int
        Along the axis; 1 where there is a dilation.
    """

    form: int
    kernel: int
    dilation: int
    padding: int
    axis: int
    size: tuple[int, int]
    before: int = 0
    stride: int = 1

    @property
    def pieces(self):
        """Into how many pieces of the form's taps the kernel is cut, as many for each place in a stride."""
        return self.stride * -(-self.kernel // (self.stride * FORMS[self.form].taps))

    @property
    def line_tiles(self):
        """Tiles of one line; of a dilation, every so many places are a line."""
        return -(-self.size[self.axis] // (self.dilation * FORMS[self.form].results))

    @property
    def lines(self):
        """Lines of a plane."""
        return self.size[1 - self.axis] * min(self.dilation, self.size[self.axis])

    @property
    def shared(self):
        """Whether pieces share inputs."""
        form = FORMS[self.form]
        return self.pieces > 1 and form.taps == form.results and self.stride == 1

    @property
    def inputs(self):
        """How many inputs of a channel of a plane are transformed."""
        if self.shared:
            return self.lines * (self.line_tiles + self.pieces - 1)
        return self.lines * self.line_tiles * self.pieces

    @property
    def results_end(self):
        """How many places a line would have that all tiles are inside of."""
        return self.line_tiles * FORMS[self.form].results * self.dilation

    @property
    def inputs_end(self):
        """The same of what the tiles read, counted from the first element: behind it nothing is read."""
        taps, last = FORMS[self.form].taps, first_tap(self.pieces - 1, self.stride, FORMS[self.form].taps)
        rest = last + (taps - 1) * self.stride
        return (self.results_end - 1) * self.stride + 1 + rest * self.dilation - self.padding

    def strip(self, channels, outputs):
        """How many tiles are computed at once: such as stay in cache, and fill register tiles."""
        tiles = self.line_tiles if self.shared else self.lines * self.line_tiles
        more = self.pieces - 1 if self.shared else 0
        each = 1 if self.shared else self.pieces
        vectors = SCRATCH_BYTES // (simd.VECTOR_BYTES * FORMS[self.form].points) - more * channels
        fits = vectors // (each * channels + rounded(outputs, OUTPUTS_AT_ONCE))
        strips = -(-tiles // max(4, fits))
        return min(tiles, rounded(-(-tiles // strips), 4))  # of about the same length


def matrix_distance(line, outputs, channels, lanes):
    """Vectors from one point's matrix of u or du to the next."""
    return rounded(outputs, OUTPUTS_AT_ONCE) * line.pieces * -(-channels // lanes) + APART


def _geometry(line, channels, outputs, x, y, lanes, gradient, **others):
    """A geometry of planes x [channels] and y [outputs]; `x` and `y` are (plane, row)."""
    form, strip = FORMS[line.form], line.strip(channels, outputs)
    row = strip + line.pieces - 1 if line.shared else strip * line.pieces
    x_steps, y_steps = (x[1], 1), (y[1], 1)  # down, across
    along, other, far = line.axis, 1 - line.axis, line.dilation
    tiles = [
        LineTile(
            (start * line.stride - line.padding) * x_steps[along] + (across - line.before) * x_steps[other],
            start * y_steps[along] + across * y_steps[other],
            min(form.results, -(-(line.size[along] - start) // far)),
        )
        for across in range(line.size[other])
        for phase in range(min(far, line.size[along]))
        for start in range(phase, phase + line.results_end, form.results * far)
    ]
    named = WinogradLineGeometry(
        form=line.form,
        points=form.points,
        results=form.results,
        taps=form.taps,
        pieces=line.pieces,
        stride=line.stride,
        channels=channels,
        outputs=outputs,
        tiles=len(tiles),
        line=line.line_tiles if line.shared else len(tiles),
        strip=strip,
        shared=int(line.shared),
        x_channel=x[0],
        x_tap=x_steps[along] * far,
        x_step=x_steps[along] * far * line.stride,
        y_output=y[0],
        y_step=y_steps[along] * far,
        u_output=line.pieces * rounded(channels, lanes),
        u_piece=rounded(channels, lanes),
        u_matrix=matrix_distance(line, outputs, channels, lanes) * lanes,
        v_row=row,
        v_matrix=row * (rounded(channels, lanes) if gradient else channels) + APART,
        m_matrix=rounded(outputs, OUTPUTS_AT_ONCE) * strip + APART,
        **others,
    )
    table = [number for tile in tiles for number in tile]
    return np.array([*named, *range(COLUMNS), *table], np.int64)


def winograd_line_geometry(line, channels, outputs, x, y, lanes, ending, has_bias):
    """Make the geometry of `winograd_line`: `x` and `y` are (plane, row)."""
    return _geometry(line, channels, outputs, x, y, lanes, False, ending=ending, bias=has_bias)


def grad_weight_geometry(line, channels, outputs, x, dy, lanes, has_bias=0):
    """Make the geometry of `winograd_line_grad_weight`."""
    return _geometry(line, channels, outputs, x, dy, lanes, True, bias=has_bias)


def scratch_size(g, lanes):
    """Scalars of scratch that an operation of this geometry works in."""
    matrices = int(g[LINE.v_matrix] + g[LINE.m_matrix] + lanes + APART)
    return (MAX_POINTS + int(g[LINE.points]) * matrices) * lanes


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
def _sum_products(u, v, m, count, g):
    """The products of a strip of `count` tiles, at all points."""
    lanes, strip, row = simd.lanes(u), g[LINE.strip], g[LINE.v_row]
    channels, piece_inputs = g[LINE.channels], 1 if g[LINE.shared] else strip
    for k in range(g[LINE.points]):
        for piece in range(g[LINE.pieces]):
            for c in range(0, channels, CHANNELS_AT_ONCE):
                product(
                    advance(u, k * g[LINE.u_matrix] + piece * g[LINE.u_piece] + c), g[LINE.u_output],
                    advance(v, (k * g[LINE.v_matrix] + c * row + piece * piece_inputs) * lanes), row,
                    min(CHANNELS_AT_ONCE, channels - c),
                    advance(m, k * g[LINE.m_matrix] * lanes), strip, g[LINE.outputs], count,
                    piece == 0 and c == 0, advance(g, COLUMNS_AT),
                )  # fmt: skip


@operation
def winograd_line(x, u, bias, gate, y, scratch, g, s):
    """y = bias + the convolution of x with the transformed weights u; then ReLU, or the gate."""
    lanes, strip, form = simd.lanes(x), g[LINE.strip], g[LINE.form]
    work, v = scratch, advance(scratch, MAX_POINTS * lanes)
    m = advance(v, g[LINE.points] * g[LINE.v_matrix] * lanes)
    start = 0
    while start < g[LINE.tiles]:
        count = min(strip, g[LINE.line] - start % g[LINE.line])
        for i in range(_input_count(count, g)):
            corner, place = _input_at(i, start, count, g)
            for c in range(g[LINE.channels]):
                at = c * g[LINE.x_channel] + corner
                v_at = c * g[LINE.v_row] + place
                transform_input(form, x, at, g[LINE.x_step], v, v_at, g[LINE.v_matrix])
        _sum_products(u, v, m, count, g)
        for o in range(g[LINE.outputs]):
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
def _sum_slopes(d, v, du, count, fresh, g):
    """The products of a strip of `count` tiles for the gradient of the weights, at all points."""
    lanes, vectors, row = simd.lanes(d), g[LINE.u_piece] // simd.lanes(d), g[LINE.strip] * simd.lanes(d)
    piece_inputs = 1 if g[LINE.shared] else g[LINE.strip]
    for k in range(g[LINE.points]):
        for piece in range(g[LINE.pieces]):
            for t in range(0, count, TILES_AT_ONCE):
                input_row = (piece * piece_inputs + t) * lanes * vectors
                product(
                    advance(d, (k * g[LINE.m_matrix] + t) * lanes), row,
                    advance(v, (k * g[LINE.v_matrix] + input_row) * lanes), vectors,
                    min(TILES_AT_ONCE, count - t) * lanes,
                    advance(du, k * g[LINE.u_matrix] + piece * g[LINE.u_piece]), g[LINE.pieces] * vectors,
                    g[LINE.outputs], vectors, fresh and t == 0, advance(g, COLUMNS_AT),
                )  # fmt: skip


@compiled
def _gradient_sum(dy, at, inside, g):
    """The sum of a tile of dy, of its places inside the line."""
    value = simd.fill(dy, 0.0)
    for j in range(inside):
        value = simd.add(value, simd.load(dy, at + j * g[LINE.y_step]))
    return value


@operation
def winograd_line_grad_weight(x, dy, du, scratch, dbias, _, g, s):
    """du += the sums over samples and tiles of d v^T; the first block of a shard starts at 0.

    So does dbias, the sums of dy, which are made while its tiles are in cache.
    """
    lanes, strip, points = simd.lanes(x), g[LINE.strip], g[LINE.points]
    squares = advance(scratch, MAX_POINTS * lanes)
    v = advance(squares, points * (lanes + APART) * lanes)
    d = advance(v, points * g[LINE.v_matrix] * lanes)
    start = 0
    while start < g[LINE.tiles]:
        count = min(strip, g[LINE.line] - start % g[LINE.line])
        _channels_in_lanes(x, start, count, v, squares, g)
        fresh = s[STATE.fresh] != 0 and start == 0
        for o in range(g[LINE.outputs]):
            slopes = simd.fill(dy, 0.0)
            for t in range(count):
                tile = _tile(g, start + t)
                at, d_at = o * g[LINE.y_output] + tile[LINE_TILE.y], o * strip + t
                transform_gradient(g[LINE.form], dy, at, g[LINE.y_step], d, d_at, g[LINE.m_matrix])
                if g[LINE.bias]:
                    slopes = simd.add(slopes, _gradient_sum(dy, at, tile[LINE_TILE.inside], g))
            if g[LINE.bias]:
                dbias[o] = simd.total(slopes) if fresh else dbias[o] + simd.total(slopes)
        _sum_slopes(d, v, du, count, fresh, g)
        start += count
