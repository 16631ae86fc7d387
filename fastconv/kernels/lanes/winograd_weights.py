"""The weights of Winograd's convolutions: from taps to their 36 numbers, and their gradient's way back.

w  [outputs][channels][taps]                scalars: a square of channels x taps is turned in registers
u  [36][outputs][channels], as in `winograd.py`: vectors of channels, the last of which may be filled up

Where kernels are taken in parts, a table says which tap of the kernel is which of a part.
"""

import itertools
from typing import NamedTuple

from ... import simd
from ...simd import advance
from ...simd.compiling import compiled
from ...simd.transpose import square, square_part, store_square, transpose
from .matrix_product import rounded
from .operation import STATE, offsets_of, operation, share
from .shard_sums import add_rows
from .winograd_geometry import matrix_distance
from .winograd_parts import OF_3X3
from .winograd_transforms import MATRICES, transform_weight_sums
from .winograd_transforms import transform_weights as transform_weights_at


class WeightsGeometry(NamedTuple):
    """The weights of all outputs and channels of the products, parts counted; distances in scalars."""

    outputs: int
    channels: int
    output_parts: int  # of these, so many are parts of one of the layer's
    channel_parts: int
    w_output: int  # from one of the layer's outputs to the next
    w_channel: int
    height: int  # taps of a part
    width: int
    whole: int  # whether a part is the whole kernel, whose taps lie one after the other
    turned: int  # whether it is turned by 180 degrees
    u_output: int
    u_matrix: int
    shard: int = 0  # of the sums of a gradient: from one shard to the next


WEIGHTS = offsets_of(WeightsGeometry)
PARTS_AT = len(WEIGHTS)  # behind them: for each part of an output and of a channel, where its taps are, or -1


def _geometry(outputs, channels, w_output, w_channel, lanes, parts, table, **others):
    """Make a geometry; `table` has the taps of each part: [parts of an output][parts of a channel]."""
    inputs = channels * len(table[0])
    named = WeightsGeometry(
        outputs=outputs * len(table),
        channels=inputs,
        output_parts=len(table),
        channel_parts=len(table[0]),
        w_output=w_output,
        w_channel=w_channel,
        height=parts.taps[0],
        width=parts.taps[1],
        whole=int(parts.whole),
        u_output=rounded(inputs, lanes),
        u_matrix=matrix_distance(outputs * len(table), inputs, lanes) * lanes,
        **others,
    )
    return (*named, *itertools.chain.from_iterable(itertools.chain.from_iterable(table)))


def transform_weights_geometry(out_channels, channels, lanes, turned, parts=OF_3X3):
    """Make the geometry of `transform_weights` for a weight [out_channels][channels][kernel].

    Where they are `turned`, outputs and channels change places, as the gradient of the input needs it.
    """
    near = parts.kernel_size[0] * parts.kernel_size[1]
    far = channels * near
    if not turned:
        table = [[parts.taps_of(start) for start in parts.starts]]
        return _geometry(out_channels, channels, far, near, lanes, parts, table, turned=0)
    table = [[parts.turned_taps_of(phase, piece) for piece in parts.pieces] for phase in parts.phases]
    return _geometry(channels, out_channels, near, far, lanes, parts, table, turned=1)


def weight_sums_geometry(outputs, channels, lanes, shard_distance, parts=OF_3X3):
    """Make the geometry of `winograd_weight_sums` for a weight [outputs][channels][kernel]."""
    near = parts.kernel_size[0] * parts.kernel_size[1]
    table = [[parts.taps_of(start) for start in parts.starts]]
    return _geometry(
        outputs, channels, channels * near, near, lanes, parts, table, turned=0, shard=shard_distance
    )


def matrices_size(g):
    """How many scalars the 36 matrices take of which `transform_weights` makes u."""
    return MATRICES * g[WEIGHTS.u_matrix]


@compiled
def _taps(g, output_part, channel_part):
    """A table: where the taps of a part are."""
    part = output_part * g[WEIGHTS.channel_parts] + channel_part
    return advance(g, PARTS_AT + part * g[WEIGHTS.height] * g[WEIGHTS.width])


@compiled
def _next_part(channel, part, g):
    """(channel, part) of what comes behind a part of a channel."""
    return (channel, part + 1) if part + 1 < g[WEIGHTS.channel_parts] else (channel + 1, 0)


@compiled
def _load_whole(w, o, c, target, g):
    """Load the kernels of output o and a vector of channels from c on: a vector for each tap."""
    lanes, taps = simd.lanes(w), g[WEIGHTS.height] * g[WEIGHTS.width]
    source = o * g[WEIGHTS.w_output] + c * g[WEIGHTS.w_channel]
    for tap in range(0, taps, lanes):
        here = min(lanes, taps - tap)
        weights = transpose(square_part(w, source + tap, g[WEIGHTS.w_channel], g[WEIGHTS.channels] - c, here))
        if g[WEIGHTS.turned]:
            store_square(weights, target, (taps - 1 - tap) * lanes, -lanes, here, lanes)
        else:
            store_square(weights, target, tap * lanes, lanes, here, lanes)


@compiled
def _load_parts(w, o, c, target, g):
    """Load the taps of output o and a vector of channels from c on, where these are parts: one by one."""
    lanes, taps, here = simd.lanes(w), g[WEIGHTS.height] * g[WEIGHTS.width], g[WEIGHTS.channels] - c
    output, output_part = divmod(o, g[WEIGHTS.output_parts])
    channel, part = divmod(c, g[WEIGHTS.channel_parts])
    for lane in range(min(lanes, here)):
        table = _taps(g, output_part, part)
        source = output * g[WEIGHTS.w_output] + channel * g[WEIGHTS.w_channel]
        for tap in range(taps):
            place = table[tap]
            target[tap * lanes + lane] = w[source + place] if place >= 0 else 0.0
        channel, part = _next_part(channel, part, g)
    for lane in range(here, lanes):
        for tap in range(taps):
            target[tap * lanes + lane] = 0.0


@operation
def transform_weights(w, u, _a, _b, _c, _d, g, s):
    """u = G w G^T, for each output and channel; each thread takes some of the outputs."""
    lanes, matrix, taps = simd.lanes(w), g[WEIGHTS.u_matrix], simd.local(w, 36)
    first, last = share(g[WEIGHTS.outputs], s)
    for o in range(first, last):
        for c in range(0, g[WEIGHTS.channels], lanes):
            if g[WEIGHTS.whole]:
                _load_whole(w, o, c, taps, g)
            else:
                _load_parts(w, o, c, taps, g)
            at = (o * g[WEIGHTS.u_output] + c) // lanes
            transform_weights_at(taps, u, at, matrix // lanes, g[WEIGHTS.height], g[WEIGHTS.width])


@compiled
def _store_whole(du, at, dweight, o, c, g):
    """Store the gradients of the kernels of output o and a vector of channels from c on."""
    lanes, taps, matrix = simd.lanes(du), g[WEIGHTS.height] * g[WEIGHTS.width], g[WEIGHTS.u_matrix]
    source = o * g[WEIGHTS.w_output] + c * g[WEIGHTS.w_channel]
    for tap in range(0, taps, lanes):
        weights, here = transpose(square(du, at + tap * matrix, matrix)), min(lanes, taps - tap)
        store_square(weights, dweight, source + tap, taps, min(lanes, g[WEIGHTS.channels] - c), here)


@compiled
def _store_parts(du, at, dweight, o, c, g):
    """Store the gradients of the taps of output o and a vector of channels from c on: one by one."""
    lanes, taps, matrix = simd.lanes(du), g[WEIGHTS.height] * g[WEIGHTS.width], g[WEIGHTS.u_matrix]
    output, output_part = divmod(o, g[WEIGHTS.output_parts])
    channel, part = divmod(c, g[WEIGHTS.channel_parts])
    for lane in range(min(lanes, g[WEIGHTS.channels] - c)):
        table = _taps(g, output_part, part)
        source = output * g[WEIGHTS.w_output] + channel * g[WEIGHTS.w_channel]
        for tap in range(taps):
            if table[tap] >= 0:
                dweight[source + table[tap]] = du[at + tap * matrix + lane]
        channel, part = _next_part(channel, part, g)


@operation
def winograd_weight_sums(du, dweight, _a, _b, _c, _d, g, s):
    """dweight = G^T (the sum of the shards' du) G; each thread takes some of the outputs."""
    lanes, matrix = simd.lanes(du), g[WEIGHTS.u_matrix] // simd.lanes(du)
    height, width, from_shard = g[WEIGHTS.height], g[WEIGHTS.width], g[WEIGHTS.shard] // simd.lanes(du)
    first, last = share(g[WEIGHTS.outputs], s)
    row, end = first * g[WEIGHTS.u_output] // lanes, last * g[WEIGHTS.u_output] // lanes
    for k in range(0, MATRICES * matrix, matrix):
        add_rows(du, from_shard, 0, s[STATE.sums], k + row, k + end)
    for o in range(first, last):
        for c in range(0, g[WEIGHTS.channels], lanes):
            at = o * g[WEIGHTS.u_output] + c
            transform_weight_sums(du, at // lanes, matrix, height, width)
            if g[WEIGHTS.whole]:
                _store_whole(du, at, dweight, o, c, g)
            else:
                _store_parts(du, at, dweight, o, c, g)
