"""What `winograd_line` and `winograd_line_grad_weight` compute: sizes, distances and tables.

named numbers | 0 1 2 3 | the plane's tiles
"""

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from ... import simd
from .matrix_product import APART, COLUMNS, OUTPUTS_AT_ONCE, rounded
from .operation import offsets_of
from .winograd_line_forms import MAX_POINTS, POINTS, RESULTS, TAPS

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


class Line(NamedTuple):
    """A convolution along one axis: what is the same for all channels."""

    form: int  # number of the form in FORMS
    kernel: int  # taps along the axis
    dilation: int
    padding: int  # before the first element
    axis: int  # 0 where kernels are K x 1, else 1
    height: int  # of a plane of results
    width: int
    before: int  # padding before the first element of the other axis
    stride: int  # along the axis; 1 where there is a dilation


@register_jitable
def line_of(form, kernel, dilation, padding, axis, size, before, stride):
    """A `Line` of int64 in compiled code."""
    return Line(
        int(form), int(kernel), int(dilation), int(padding), int(axis), int(size[0]), int(size[1]),
        int(before), int(stride),
    )  # fmt: skip


@register_jitable
def with_form(line, form):
    """The same line in another form."""
    size = line.height, line.width
    return line_of(form, line.kernel, line.dilation, line.padding, line.axis, size, line.before, line.stride)


@register_jitable
def first_tap(piece, stride, taps):
    """The first tap of a piece of so many taps, each a stride from the next."""
    return piece % stride + piece // stride * stride * taps


@register_jitable
def length_of(line):
    """Places of a line of results."""
    return line.width if line.axis else line.height


@register_jitable
def piece_count(line):
    """Into how many pieces of the form's taps the kernel is cut, as many for each place in a stride."""
    return line.stride * -(-line.kernel // (line.stride * TAPS[line.form]))


@register_jitable
def line_tiles(line):
    """Tiles of one line; of a dilation, every so many places are a line."""
    return -(-length_of(line) // (line.dilation * RESULTS[line.form]))


@register_jitable
def line_count(line):
    """Lines of a plane."""
    return (line.height if line.axis else line.width) * min(line.dilation, length_of(line))


@register_jitable
def is_shared(line):
    """Whether pieces share inputs."""
    return piece_count(line) > 1 and TAPS[line.form] == RESULTS[line.form] and line.stride == 1


@register_jitable
def input_count(line):
    """How many inputs of a channel of a plane are transformed."""
    if is_shared(line):
        return line_count(line) * (line_tiles(line) + piece_count(line) - 1)
    return line_count(line) * line_tiles(line) * piece_count(line)


@register_jitable
def results_end(line):
    """How many places a line would have that all tiles are inside of."""
    return line_tiles(line) * RESULTS[line.form] * line.dilation


@register_jitable
def inputs_end(line):
    """The same of what the tiles read, counted from the first element: behind it nothing is read."""
    taps = TAPS[line.form]
    rest = first_tap(piece_count(line) - 1, line.stride, taps) + (taps - 1) * line.stride
    return (results_end(line) - 1) * line.stride + 1 + rest * line.dilation - line.padding


@register_jitable
def _around(line, start, end, other):
    """Zeros (top, bottom, left, right): before and behind a line, and before and behind all lines."""
    start, end, other = max(0, start), max(0, end), max(0, other)
    return (other, other, start, end) if line.axis else (start, end, other, other)


@register_jitable
def input_halo(line, size):
    """Zeros that tiles read around planes of `size`: (top, bottom, left, right)."""
    return _around(line, line.padding, inputs_end(line) - size[line.axis], line.before)


@register_jitable
def result_halo(line):
    """Those behind planes of results, where tiles read these: the slopes of a gradient of the weights."""
    return _around(line, 0, results_end(line) - length_of(line), 0)


@register_jitable
def strip_of(line, channels, outputs):
    """How many tiles are computed at once: such as stay in cache, and fill register tiles."""
    tiles, more, each = line_count(line) * line_tiles(line), 0, piece_count(line)
    if is_shared(line):
        tiles, more, each = line_tiles(line), piece_count(line) - 1, 1
    vectors = SCRATCH_BYTES // (simd.VECTOR_BYTES * POINTS[line.form]) - more * channels
    fits = vectors // (each * channels + rounded(outputs, OUTPUTS_AT_ONCE))
    strips = -(-tiles // max(4, fits))
    return min(tiles, rounded(-(-tiles // strips), 4))  # of about the same length


@register_jitable
def matrix_distance(line, outputs, channels, lanes):
    """Vectors from one point's matrix of u or du to the next."""
    return rounded(outputs, OUTPUTS_AT_ONCE) * piece_count(line) * -(-channels // lanes) + APART


@register_jitable
def _geometry(line, channels, outputs, x, y, lanes, gradient):
    """A geometry of planes x [channels] and y [outputs]; `x` and `y` are (plane, row)."""
    strip, pieces, far = strip_of(line, channels, outputs), piece_count(line), line.dilation
    row = strip + pieces - 1 if is_shared(line) else strip * pieces
    x_along, x_other = (1, x[1]) if line.axis else (x[1], 1)
    y_along = 1 if line.axis else y[1]
    tiles = line_count(line) * line_tiles(line)
    g = np.zeros(TILES_AT + tiles * len(LINE_TILE), np.int64)
    g[LINE.form], g[LINE.points], g[LINE.results] = line.form, POINTS[line.form], RESULTS[line.form]
    g[LINE.taps], g[LINE.pieces], g[LINE.stride] = TAPS[line.form], pieces, line.stride
    g[LINE.channels], g[LINE.outputs], g[LINE.tiles] = channels, outputs, tiles
    g[LINE.line] = line_tiles(line) if is_shared(line) else tiles
    g[LINE.strip], g[LINE.shared] = strip, 1 if is_shared(line) else 0
    g[LINE.x_channel], g[LINE.x_tap], g[LINE.x_step] = x[0], x_along * far, x_along * far * line.stride
    g[LINE.y_output], g[LINE.y_step] = y[0], y_along * far
    g[LINE.u_output], g[LINE.u_piece] = pieces * rounded(channels, lanes), rounded(channels, lanes)
    g[LINE.u_matrix] = matrix_distance(line, outputs, channels, lanes) * lanes
    g[LINE.v_row], g[LINE.v_matrix] = row, row * (rounded(channels, lanes) if gradient else channels) + APART
    g[LINE.m_matrix] = rounded(outputs, OUTPUTS_AT_ONCE) * strip + APART
    for column in range(COLUMNS):
        g[COLUMNS_AT + column] = column
    _set_tiles(g, line, (x_along, x_other), (y_along, y[1] if line.axis else 1))
    return g


@register_jitable
def _set_tiles(g, line, x, y):
    """Fill in the plane's tiles; `x` and `y` are the distances (along the line, to the next one)."""
    at, length, far, results = TILES_AT, length_of(line), line.dilation, RESULTS[line.form]
    for across in range(line.height if line.axis else line.width):
        for phase in range(min(far, length)):
            for start in range(phase, phase + results_end(line), results * far):
                from_x = start * line.stride - line.padding
                g[at + LINE_TILE.x] = from_x * x[0] + (across - line.before) * x[1]
                g[at + LINE_TILE.y] = start * y[0] + across * y[1]
                g[at + LINE_TILE.inside] = min(results, -(-(length - start) // far))
                at += len(LINE_TILE)


@register_jitable
def winograd_line_geometry(line, channels, outputs, x, y, lanes, ending, has_bias):
    """Make the geometry of `winograd_line`: `x` and `y` are (plane, row)."""
    g = _geometry(line, channels, outputs, x, y, lanes, False)
    g[LINE.ending], g[LINE.bias] = ending, has_bias
    return g


@register_jitable
def grad_weight_geometry(line, channels, outputs, x, dy, lanes, has_bias=0):
    """Make the geometry of `winograd_line_grad_weight`."""
    g = _geometry(line, channels, outputs, x, dy, lanes, True)
    g[LINE.bias] = has_bias
    return g


@register_jitable
def scratch_size(g, lanes):
    """Scalars of scratch that an operation of this geometry works in."""
    matrices = int(g[LINE.v_matrix]) + int(g[LINE.m_matrix]) + lanes + APART
    return (MAX_POINTS + int(g[LINE.points]) * matrices) * lanes
