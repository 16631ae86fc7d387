"""The weight gradient of depthwise convolutions: sums over positions, for one output of a group.

    dweight[c, kh, kw] = sum over positions p and lanes of dy[p] * x[c, p + tap]

    block of taps      positions of a line, 4 at once     The sums of a block stay in registers over a band of
    +--+--+--+         dy  p0  p1  p2  p3                 the plane. 3 x 3 taps at 4 positions load 4 vectors
    |  |  |  |         x   x0  x1  x2  x3  x4  x5         of dy and 3 x 6 of x, for 36 products; one position
    +--+--+--+             (on each line of taps)         at a time, `contract_grad_weight` loads 10 for 9.

Kernels other than 3 x 3 are cut in lines of 5, 4 and 3 taps. Of each there are two sums, of every other
position: 5 sums alone would wait for each other.
"""

from typing import NamedTuple

import numpy as np

from ...simd import advance, opaque
from ...simd.compiling import compiled, inlined, internal
from ...simd.taps import sum_blocks, window_add
from ...simd.tiles import add_totals, columns, rows, shape, tile_add, tile_sum, zeros
from .conv_grad_weight import lines_at_once
from .depthwise import EDGE
from .operation import STATE, offsets_of, operation_in_parts, share


class DepthwiseGradWeightGeometry(NamedTuple):
    """The sums over positions that `depthwise_grad_weight` makes; distances in vectors, of w in scalars."""

    groups: int
    inputs: int  # in a group
    height: int  # of dy
    width: int
    x_plane: int  # from one plane to the next
    y_plane: int
    x_window_h: int  # from one window to the one below
    stride: int  # from one window to the one at its right
    x_tap_h: int  # from one tap to the one below
    y_line: int  # from one line of dy to the next
    w_line: int  # taps in a line of the kernel
    w_plane: int  # taps of a plane
    bias: int  # whether there is one
    band: int  # lines of dy in a part of a sum
    squares: int  # blocks of 3 x 3 taps
    fives: int  # of a line of 5
    fours: int
    threes: int


class BlockGeometry(NamedTuple):
    """A block of taps: where the first of them lies in a plane of x, and in the kernel."""

    x_at: int
    w_at: int


GRAD, BLOCK = offsets_of(DepthwiseGradWeightGeometry), offsets_of(BlockGeometry)
BLOCKS_AT = len(GRAD)  # squares come first, then fives, fours and threes


@compiled
def takes_grad_weight(groups, out_channels, kernel, stride, dilation):
    """Whether `depthwise_grad_weight` makes these sums: it has blocks for them, and 32 registers.

    Of several outputs in a group, `contract_grad_weight` loads x once for all.
    """
    square = kernel[0] % 3 == 0 and kernel[1] == 3 and stride[1] <= 2
    line = kernel[1] >= 3 and stride[1] == 1  # at stride 2, lines of taps share too few loads
    one_output = groups > 1 and out_channels == groups
    return EDGE == 4 and one_output and dilation[1] == 1 and (square or line)


@inlined
def _window_sums(form, block, x, dy, x_at, y_at, start, end, g):
    """Sum up the products of a block of taps over the lines `start` to before `end` of a plane.

    Returns their sums, and the sum of dy, which costs little where dy is loaded anyway.
    """
    acc, x_tap_h, stride = zeros(form), g[GRAD.x_tap_h], g[GRAD.stride]
    total, rest = zeros(shape(dy, 4, 1)), zeros(shape(dy, 1, 1))
    fours, ones = g[GRAD.width] // 4, g[GRAD.width] % 4
    for i in range(start, end):
        x_place, y_place = opaque(x_at + i * g[GRAD.x_window_h]), opaque(y_at + i * g[GRAD.y_line])
        if stride == 1:
            for _ in range(fours):
                acc = window_add(acc, block, dy, y_place, x, x_place, x_tap_h, 4, 1)
                total = tile_add(total, dy, y_place, 1)
                x_place += 4
                y_place += 4
        elif rows(block) > 1:  # see `takes_grad_weight`
            for _ in range(fours):
                acc = window_add(acc, block, dy, y_place, x, x_place, x_tap_h, 4, 2)
                total = tile_add(total, dy, y_place, 1)
                x_place += 8
                y_place += 4
        for _ in range(ones):
            acc = window_add(acc, block, dy, y_place, x, x_place, x_tap_h, 1, 1)
            rest = tile_add(rest, dy, y_place, 0)
            x_place += stride
            y_place += 1
    return sum_blocks(acc, block), tile_sum(rest, sum_blocks(total, shape(dy, 1, 1)))


@internal
def _blocks(form, block, x, dy, dweight, first, last, fresh, g, s):
    """Make the sums of the blocks `first` to before `last` of all planes, or a share, whose shape is `block`.

    They are made in tiles of the shape `form`, of one or two blocks. The very first block of a group brings
    the bias's gradient, too.
    """
    inputs, height, band = g[GRAD.inputs], g[GRAD.height], g[GRAD.band]
    dbias = advance(dweight, g[GRAD.groups] * inputs * g[GRAD.w_plane])
    first_group, end_group = share(g[GRAD.groups], s)
    for plane in range(first_group * inputs, end_group * inputs):
        group = plane // inputs
        for k in range(first, last):
            place, start = advance(g, BLOCKS_AT + k * len(BLOCK)), 0
            x_at, y_at = plane * g[GRAD.x_plane] + place[BLOCK.x_at], group * g[GRAD.y_plane]
            at, with_bias = plane * g[GRAD.w_plane] + place[BLOCK.w_at], k == 0 and plane == group * inputs
            while start == 0 or start < height:  # without lines, too, sums are stored: zeros
                end, anew = min(start + band, height), fresh and start == 0
                acc, total = _window_sums(form, block, x, dy, x_at, y_at, start, end, g)
                # The taps of a square lie together: its lines are all that the kernel has.
                add_totals(acc, dweight, at, 0, rows(block) * columns(block), anew)
                if with_bias and g[GRAD.bias]:
                    add_totals(total, dbias, group, 1, 1, anew)
                start += band


SQUARES, FIVES, FOURS, THREES = True, True, True, True  # parts of `depthwise_grad_weight`: its blocks


@operation_in_parts(
    ("SQUARES", "FIVES", "FOURS", "THREES"), lambda g: g[GRAD.squares : GRAD.threes + 1] > 0, by_channel=True
)
def depthwise_grad_weight(x, dy, dweight, _a, _b, _c, g, s):
    """dweight[c, t] += sum over positions and lanes of dy[p] * x[c, p + tap t]; behind it, dbias.

    The first block of a shard starts at 0.
    """
    fresh = s[STATE.fresh] != 0
    fives = g[GRAD.squares]
    fours = fives + g[GRAD.fives]
    threes = fours + g[GRAD.fours]
    if SQUARES and fives > 0:
        _blocks(shape(x, 3, 3), shape(x, 3, 3), x, dy, dweight, 0, fives, fresh, g, s)
    if FIVES and fours > fives:
        _blocks(shape(x, 2, 5), shape(x, 1, 5), x, dy, dweight, fives, fours, fresh, g, s)
    if FOURS and threes > fours:
        _blocks(shape(x, 2, 4), shape(x, 1, 4), x, dy, dweight, fours, threes, fresh, g, s)
    if THREES and g[GRAD.threes] > 0:
        last = threes + g[GRAD.threes]
        _blocks(shape(x, 2, 3), shape(x, 1, 3), x, dy, dweight, threes, last, fresh, g, s)


@compiled
def depthwise_weight_geometry(
    channels, out_channels, kernel, out_size, stride, padding, dilation, groups,
    x_distances, y_distances, has_bias,
):  # fmt: skip
    """Make the geometry of `depthwise_grad_weight`; arguments as of `conv_grad_weight`."""
    height, width = kernel
    squares = height // 3 if width == 3 and height % 3 == 0 else 0
    left = 0 if squares > 0 else width
    # Every number from 3 on is a sum of fives, fours and threes with few of the latter.
    threes = (0, 2, 1, 1, 0)[left % 5] if left > 0 else 0
    fours = (0, 0, 1, 0, 1)[left % 5] if left > 0 else 0
    fives = (left - 3 * threes - 4 * fours) // 5
    lines = height if squares == 0 else 0
    blocks = squares + lines * (fives + fours + threes)
    g = np.zeros(BLOCKS_AT + blocks * len(BLOCK), np.int64)
    g[GRAD.groups], g[GRAD.inputs], g[GRAD.bias] = groups, channels // groups, has_bias
    g[GRAD.height], g[GRAD.width] = out_size
    g[GRAD.x_plane], g[GRAD.y_plane], g[GRAD.y_line] = x_distances[0], y_distances[0], y_distances[1]
    g[GRAD.x_window_h], g[GRAD.stride] = stride[0] * x_distances[1], stride[1]
    g[GRAD.x_tap_h], g[GRAD.w_line], g[GRAD.w_plane] = dilation[0] * x_distances[1], width, height * width
    g[GRAD.band] = lines_at_once(out_size[1])
    g[GRAD.squares], g[GRAD.fives] = squares, lines * fives
    g[GRAD.fours], g[GRAD.threes] = lines * fours, lines * threes
    at, first_tap = BLOCKS_AT, -padding[0] * x_distances[1] - padding[1]
    at = _write_blocks(g, at, first_tap, squares, 3, 0, 1, 3)
    at = _write_blocks(g, at, first_tap, lines, 1, 0, fives, 5)
    at = _write_blocks(g, at, first_tap, lines, 1, 5 * fives, fours, 4)
    _write_blocks(g, at, first_tap, lines, 1, 5 * fives + 4 * fours, threes, 3)
    return g


@compiled
def _write_blocks(g, at, first_tap, lines, lines_apart, tap, count, taps):
    """Write `count` blocks of so many taps for each line, from `tap` on, to g[at] and on; returns the end."""
    for i in range(lines):
        for k in range(count):
            line, place = i * lines_apart, tap + k * taps
            g[at + BLOCK.x_at] = first_tap + line * g[GRAD.x_tap_h] + place
            g[at + BLOCK.w_at] = line * g[GRAD.w_line] + place
            at += len(BLOCK)
    return at
