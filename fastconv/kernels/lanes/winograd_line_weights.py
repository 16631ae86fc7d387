"""The weights of Winograd's convolutions along a line: from taps to points, and their gradient's way back.

w  [outputs][channels][taps]                scalars
u  [points][outputs][pieces][channels]      vectors of channels, the last of which may be filled up
"""

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from ... import simd
from ...simd.compiling import compiled
from ...simd.transpose import square_part, store_square, transpose
from .matrix_product import rounded
from .operation import STATE, offsets_of, operation, share
from .shard_sums import add_rows
from .winograd_line_forms import POINTS, TAPS, transform_tap_sums, transform_taps
from .winograd_line_geometry import first_tap, matrix_distance, piece_count


class LineWeightsGeometry(NamedTuple):
    """Which weights `transform_line_weights` reads, in scalars: taps of an output and channel adjoin."""

    form: int
    taps: int  # of a piece
    pieces: int
    stride: int  # of the convolution: from one tap of a piece to the next
    kernel: int  # taps in all
    outputs: int
    channels: int
    w_output: int  # from one output to the next
    w_channel: int
    turned: int  # whether the taps are in reverse order
    u_output: int
    u_piece: int
    u_matrix: int


WEIGHTS = offsets_of(LineWeightsGeometry)


@register_jitable
def line_weights_geometry(line, out_channels, channels, lanes, turned):
    """Make the geometry of `transform_line_weights` for a weight [out_channels][channels][taps].

    Where they are `turned`, outputs and channels change places, as the gradient of the input needs it.
    """
    far, near = channels * line.kernel, line.kernel
    outputs, inputs = (channels, out_channels) if turned else (out_channels, channels)
    g = np.zeros(len(WEIGHTS), np.int64)
    g[WEIGHTS.form], g[WEIGHTS.taps], g[WEIGHTS.pieces] = line.form, TAPS[line.form], piece_count(line)
    g[WEIGHTS.stride], g[WEIGHTS.kernel] = line.stride, line.kernel
    g[WEIGHTS.outputs], g[WEIGHTS.channels] = outputs, inputs
    g[WEIGHTS.w_output], g[WEIGHTS.w_channel] = (near, far) if turned else (far, near)
    g[WEIGHTS.turned] = 1 if turned else 0
    g[WEIGHTS.u_output], g[WEIGHTS.u_piece] = (
        piece_count(line) * rounded(inputs, lanes),
        rounded(inputs, lanes),
    )
    g[WEIGHTS.u_matrix] = matrix_distance(line, outputs, inputs, lanes) * lanes
    return g


@register_jitable
def line_matrices_size(line, outputs, channels, lanes):
    """How many scalars the matrices of u or du take, those of all points."""
    return POINTS[line.form] * matrix_distance(line, outputs, channels, lanes) * lanes


@compiled
def _load_pieces(w, source, channels, vectors, u, at, g):
    """Put the taps of all pieces into their first matrices of u, from scalar `at` on; zeros past the last.

    They are those of a vector of channels, of which `channels` are left; `vectors` is room for a square.
    """
    lanes, kernel, stride, taps = simd.lanes(w), g[WEIGHTS.kernel], g[WEIGHTS.stride], g[WEIGHTS.taps]
    for piece in range(g[WEIGHTS.pieces]):
        for k in range(taps):
            if first_tap(piece, stride, taps) + k * stride >= kernel:
                target = at + piece * g[WEIGHTS.u_piece] + k * g[WEIGHTS.u_matrix]
                simd.store(u, target // lanes, simd.fill(u, 0.0))
    for first in range(0, kernel, lanes):
        here = min(lanes, kernel - first)
        weights = transpose(square_part(w, source + first, g[WEIGHTS.w_channel], channels, here))
        store_square(weights, vectors, 0, lanes, here, lanes)
        for k in range(here):
            tap = kernel - 1 - first - k if g[WEIGHTS.turned] else first + k
            step, phase = divmod(tap, stride)
            piece = step // taps * stride + phase
            target = at + piece * g[WEIGHTS.u_piece] + step % taps * g[WEIGHTS.u_matrix]
            simd.store(u, target // lanes, simd.load(vectors, k))


@operation
def transform_line_weights(w, u, _a, _b, _c, _d, g, s):
    """u = G w, for each output, piece and channel; each thread takes some of the outputs."""
    lanes, channels, matrix = simd.lanes(w), g[WEIGHTS.channels], g[WEIGHTS.u_matrix] // simd.lanes(w)
    vectors = simd.local(w, 16)
    first, last = share(g[WEIGHTS.outputs], s)
    for o in range(first, last):
        for c in range(0, channels, lanes):
            source = o * g[WEIGHTS.w_output] + c * g[WEIGHTS.w_channel]
            output = o * g[WEIGHTS.u_output] + c
            _load_pieces(w, source, channels - c, vectors, u, output, g)
            for piece in range(g[WEIGHTS.pieces]):
                at = (output + piece * g[WEIGHTS.u_piece]) // lanes
                transform_taps(g[WEIGHTS.form], u, at, matrix, u, at, matrix)


class LineWeightSumsGeometry(NamedTuple):
    """What `winograd_line_weight_sums` reads and writes; distances in scalars."""

    form: int
    points: int
    taps: int  # of a piece
    pieces: int
    stride: int  # of the convolution: from one tap of a piece to the next
    kernel: int  # taps in all
    outputs: int
    channels: int
    u_output: int
    u_piece: int
    u_matrix: int
    shard: int  # from one shard to the next


SUMS = offsets_of(LineWeightSumsGeometry)


@register_jitable
def whole_sums_geometry(line, outputs, channels, lanes):
    """Make the geometry of `winograd_line_weight_sums` of one shard, w [outputs][channels][taps]."""
    g = np.zeros(len(SUMS), np.int64)
    g[SUMS.form], g[SUMS.points] = line.form, POINTS[line.form]
    g[SUMS.taps], g[SUMS.pieces] = TAPS[line.form], piece_count(line)
    g[SUMS.stride], g[SUMS.kernel] = line.stride, line.kernel
    g[SUMS.outputs], g[SUMS.channels] = outputs, channels
    g[SUMS.u_output] = piece_count(line) * rounded(channels, lanes)
    g[SUMS.u_piece] = rounded(channels, lanes)
    g[SUMS.u_matrix] = matrix_distance(line, outputs, channels, lanes) * lanes
    return g


def line_weight_sums_geometry(line, outputs, channels, lanes, shard_distance):
    """The same of several shards, so far apart."""
    g = [*whole_sums_geometry(line, outputs, channels, lanes)]
    g[SUMS.shard] = shard_distance
    return g


@compiled
def _store_piece(du, at, piece, channels, dweight, target, g):
    """Write the taps of a piece, in the first matrices of du from scalar `at` on, to the channels."""
    first, kernel = first_tap(piece, g[SUMS.stride], g[SUMS.taps]), g[SUMS.kernel]
    for k in range(g[SUMS.taps]):
        tap = first + k * g[SUMS.stride]
        if tap < kernel:
            for lane in range(channels):
                dweight[target + lane * kernel + tap] = du[at + k * g[SUMS.u_matrix] + lane]


@operation
def winograd_line_weight_sums(du, dweight, _a, _b, _c, _d, g, s):
    """dweight = G^T (the sum of the shards' du); each thread takes some of the outputs."""
    lanes, channels, matrix = simd.lanes(du), g[SUMS.channels], g[SUMS.u_matrix] // simd.lanes(du)
    first, last = share(g[SUMS.outputs], s)
    row, end = first * g[SUMS.u_output] // lanes, last * g[SUMS.u_output] // lanes
    for k in range(0, g[SUMS.points] * matrix, matrix):
        add_rows(du, g[SUMS.shard] // lanes, 0, s[STATE.sums], k + row, k + end)
    for o in range(first, last):
        for piece in range(g[SUMS.pieces]):
            for c in range(0, channels, lanes):
                at = o * g[SUMS.u_output] + piece * g[SUMS.u_piece] + c
                transform_tap_sums(g[SUMS.form], du, at // lanes, matrix, du, at // lanes, matrix)
                here = min(lanes, channels - c)
                _store_piece(du, at, piece, here, dweight, (o * channels + c) * g[SUMS.kernel], g)
