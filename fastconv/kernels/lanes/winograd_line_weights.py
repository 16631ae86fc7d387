"""The weights of Winograd's convolutions along a line: from taps to points, and their gradient's way back.

w  [outputs][channels][taps]                scalars: a square of channels x taps is turned in registers
u  [points][outputs][pieces][channels]      vectors of channels, the last of which may be filled up
"""

from typing import NamedTuple

from ... import simd
from ...simd.compiling import compiled
from ...simd.transpose import square_part, store_square, transpose
from .matrix_product import rounded
from .operation import STATE, offsets_of, operation, share
from .winograd_line import matrix_distance
from .winograd_line_forms import FORMS, transform_tap_sums, transform_taps


class LineWeightsGeometry(NamedTuple):
    """Which weights `transform_line_weights` reads, in scalars: taps of an output and channel adjoin."""

    form: int
    taps: int  # of a piece
    pieces: int
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


def line_weights_geometry(line, out_channels, channels, lanes, turned):
    """Make the geometry of `transform_line_weights` for a weight [out_channels][channels][taps].

    Where they are `turned`, outputs and channels change places, as the gradient of the input needs it.
    """
    far, near = channels * line.kernel, line.kernel
    outputs, inputs = (channels, out_channels) if turned else (out_channels, channels)
    return LineWeightsGeometry(
        form=line.form,
        taps=FORMS[line.form].taps,
        pieces=line.pieces,
        kernel=line.kernel,
        outputs=outputs,
        channels=inputs,
        w_output=near if turned else far,
        w_channel=far if turned else near,
        turned=int(turned),
        u_output=line.pieces * rounded(inputs, lanes),
        u_piece=rounded(inputs, lanes),
        u_matrix=matrix_distance(line, outputs, inputs, lanes) * lanes,
    )


@compiled
def _load_piece(w, source, piece, channels, u, at, g):
    """Put the taps of a piece into the first matrices of u, from scalar `at` on; past the last come zeros."""
    lanes, taps, matrix = simd.lanes(w), g[WEIGHTS.taps], g[WEIGHTS.u_matrix]
    here = min(taps, g[WEIGHTS.kernel] - piece * taps)
    first = piece * taps
    if g[WEIGHTS.turned]:
        first = g[WEIGHTS.kernel] - first - here
    weights = transpose(square_part(w, source + first, g[WEIGHTS.w_channel], channels, here))
    if g[WEIGHTS.turned]:
        store_square(weights, u, at + (here - 1) * matrix, -matrix, here, lanes)
    else:
        store_square(weights, u, at, matrix, here, lanes)
    for tap in range(here, taps):
        simd.store(u, (at + tap * matrix) // lanes, simd.fill(u, 0.0))


@operation
def transform_line_weights(w, u, _a, _b, _c, _d, g, s):
    """u = G w, for each output, piece and channel; each thread takes some of the outputs."""
    lanes, channels, matrix = simd.lanes(w), g[WEIGHTS.channels], g[WEIGHTS.u_matrix] // simd.lanes(w)
    first, last = share(g[WEIGHTS.outputs], s)
    for o in range(first, last):
        for piece in range(g[WEIGHTS.pieces]):
            for c in range(0, channels, lanes):
                at = o * g[WEIGHTS.u_output] + piece * g[WEIGHTS.u_piece] + c
                source = o * g[WEIGHTS.w_output] + c * g[WEIGHTS.w_channel]
                _load_piece(w, source, piece, channels - c, u, at, g)
                transform_taps(g[WEIGHTS.form], u, at // lanes, matrix, u, at // lanes, matrix)


class LineWeightSumsGeometry(NamedTuple):
    """What `winograd_line_weight_sums` reads and writes; distances in scalars."""

    form: int
    points: int
    taps: int  # of a piece
    pieces: int
    kernel: int  # taps in all
    outputs: int
    channels: int
    u_output: int
    u_piece: int
    u_matrix: int
    shard: int  # from one shard to the next


SUMS = offsets_of(LineWeightSumsGeometry)


def line_weight_sums_geometry(line, outputs, channels, lanes, shard_distance):
    """Make the geometry of `winograd_line_weight_sums` for a weight [outputs][channels][taps]."""
    form = FORMS[line.form]
    return LineWeightSumsGeometry(
        form=line.form,
        points=form.points,
        taps=form.taps,
        pieces=line.pieces,
        kernel=line.kernel,
        outputs=outputs,
        channels=channels,
        u_output=line.pieces * rounded(channels, lanes),
        u_piece=rounded(channels, lanes),
        u_matrix=matrix_distance(line, outputs, channels, lanes) * lanes,
        shard=shard_distance,
    )


@compiled
def _add_shards(du, at, g, s):
    """Add the vectors of all shards at vector `at` of each matrix, in order, to those of the first."""
    lanes = simd.lanes(du)
    for k in range(g[SUMS.points]):
        place = at + k * g[SUMS.u_matrix] // lanes
        value = simd.load(du, place)
        for shard in range(1, s[STATE.shards]):
            value = simd.add(value, simd.load(du, place + shard * g[SUMS.shard] // lanes))
        simd.store(du, place, value)


@operation
def winograd_line_weight_sums(du, dweight, _a, _b, _c, _d, g, s):
    """dweight = G^T (the sum of the shards' du, in order); each thread takes some of the outputs."""
    lanes, channels, kernel, matrix = simd.lanes(du), g[SUMS.channels], g[SUMS.kernel], g[SUMS.u_matrix]
    first, last = share(g[SUMS.outputs], s)
    for o in range(first, last):
        for piece in range(g[SUMS.pieces]):
            tap = piece * g[SUMS.taps]
            here = min(g[SUMS.taps], kernel - tap)
            for c in range(0, channels, lanes):
                at = o * g[SUMS.u_output] + piece * g[SUMS.u_piece] + c
                _add_shards(du, at // lanes, g, s)
                k, distance = at // lanes, matrix // lanes
                transform_tap_sums(g[SUMS.form], du, k, distance, du, k, distance)
                weights = transpose(square_part(du, at, matrix, here, lanes))
                target = (o * channels + c) * kernel + tap
                store_square(weights, dweight, target, kernel, min(lanes, channels - c), here)
