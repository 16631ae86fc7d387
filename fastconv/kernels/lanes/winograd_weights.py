"""The weights of Winograd's convolutions: from taps to their 36 numbers, and their gradient's way back.

w  [outputs][channels][taps]                scalars: a square of channels x taps is turned in registers
u  [36][outputs][channels], as in `winograd.py`: vectors of channels, the last of which may be filled up

Where kernels are taken in parts, a table says which tap of the kernel is which of a part.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import register_jitable

from ... import simd
from ...simd import advance
from ...simd.compiling import compiled
from ...simd.transpose import square, square_part, store_square, transpose
from .matrix_product import rounded
from .operation import STATE, offsets_of, operation, share
from .shard_sums import add_rows
from .winograd_geometry import matrix_distance
from .winograd_parts import (
    OF_3X3,
    inputs_of,
    is_whole,
    part_count,
    part_start,
    piece_count,
    rows_of,
    tap_count,
    tap_place,
)
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


@register_jitable
def _geometry(outputs, channels, w_output, w_channel, lanes, parts, turned):
    """Make a geometry of the weights that `outputs` have for each of the `channels`."""
    output_parts, channel_parts = rows_of(parts, turned), inputs_of(parts, turned)
    rows, inputs = outputs * output_parts, channels * channel_parts
    g = np.zeros(PARTS_AT + output_parts * channel_parts * tap_count(parts), np.int64)
    g[WEIGHTS.outputs], g[WEIGHTS.channels] = rows, inputs
    g[WEIGHTS.output_parts], g[WEIGHTS.channel_parts] = output_parts, channel_parts
    g[WEIGHTS.w_output], g[WEIGHTS.w_channel] = w_output, w_channel
    g[WEIGHTS.height], g[WEIGHTS.width] = parts.down.taps, parts.across.taps
    g[WEIGHTS.whole], g[WEIGHTS.turned] = 1 if is_whole(parts) else 0, 1 if turned else 0
    g[WEIGHTS.u_output] = rounded(inputs, lanes)
    g[WEIGHTS.u_matrix] = matrix_distance(rows, inputs, lanes) * lanes
    for a in range(part_count(parts.down)):
        for b in range(part_count(parts.across)):
            _set_taps(g, a, b, parts, turned)
    return g


@register_jitable
def _set_taps(g, a, b, parts, turned):
    """Fill in where the taps are of the part that is number a down and b across.

    In the gradient of x, taps come the other way round, and the phases have parts of their own.
    """
    down, across = parts
    number = a * part_count(across) + b
    if turned:
        phase = a // piece_count(down) * across.stride + b // piece_count(across)
        piece = a % piece_count(down) * piece_count(across) + b % piece_count(across)
        number = phase * inputs_of(parts, True) + piece
    taps, first_i, first_j = tap_count(parts), part_start(down, a), part_start(across, b)
    for i in range(down.taps):
        for j in range(across.taps):
            tap = i * across.taps + j
            place = tap_place(parts, first_i + i * down.stride, first_j + j * across.stride)
            g[PARTS_AT + number * taps + (taps - 1 - tap if turned else tap)] = place


@register_jitable
def transform_weights_geometry(out_channels, channels, lanes, turned, parts=OF_3X3):
    """Make the geometry of `transform_weights` for a weight [out_channels][channels][kernel].

    Where they are `turned`, outputs and channels change places, as the gradient of the input needs it. That
    of `winograd_weight_sums` is the same, not turned, but for its shards.
    """
    near = parts.down.kernel * parts.across.kernel
    far = channels * near
    if turned:
        return _geometry(channels, out_channels, near, far, lanes, parts, True)
    return _geometry(out_channels, channels, far, near, lanes, parts, False)


def weight_sums_geometry(outputs, channels, lanes, shard_distance, parts=OF_3X3):
    """Make the geometry of `winograd_weight_sums` for a weight [outputs][channels][kernel]."""
    g = [*transform_weights_geometry(outputs, channels, lanes, False, parts)]
    g[WEIGHTS.shard] = shard_distance
    return g


@register_jitable
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
