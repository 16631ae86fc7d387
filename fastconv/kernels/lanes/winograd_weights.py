"""The weights of Winograd's convolutions: from taps to their 36 numbers, and their gradient's way back.

w  [outputs][channels][3][3]                scalars: a square of channels x taps is turned in registers
u  [36][outputs][channels], as in `winograd.py`: vectors of channels, the last of which may be filled up
"""

from typing import NamedTuple

from numba.extending import register_jitable

from ... import simd
from ...simd.transpose import square, square_part, store_square, transpose
from .matrix_product import rounded
from .operation import STATE, offsets_of, operation, share
from .winograd import matrix_distance
from .winograd_transforms import TAPS, transform_weight_sums
from .winograd_transforms import transform_weights as transform_weights_at


class TransformWeightsGeometry(NamedTuple):
    """Which weights `transform_weights` reads, in scalars: those of an output and a channel lie together."""

    outputs: int
    channels: int
    w_output: int  # from one output to the next
    w_channel: int
    turned: int  # whether each 3x3 is turned by 180 degrees
    u_output: int
    u_matrix: int


WEIGHTS = offsets_of(TransformWeightsGeometry)


@register_jitable
def transform_weights_geometry(out_channels, channels, lanes, turned):
    """Make the geometry of `transform_weights` for a weight [out_channels][channels][3][3].

    Where they are `turned`, outputs and channels change places, as the gradient of the input needs it.
    """
    taps = TAPS * TAPS
    far, near = channels * taps, taps
    outputs, inputs = (channels, out_channels) if turned else (out_channels, channels)
    return TransformWeightsGeometry(
        outputs=outputs,
        channels=inputs,
        w_output=near if turned else far,
        w_channel=far if turned else near,
        turned=int(turned),
        u_output=rounded(inputs, lanes),
        u_matrix=matrix_distance(outputs, inputs, lanes) * lanes,
    )


@operation
def transform_weights(w, u, _a, _b, _c, _d, g, s):
    """u = G w G^T, for each output and channel; each thread takes some of the outputs."""
    lanes, taps, matrix = simd.lanes(w), TAPS * TAPS, g[WEIGHTS.u_matrix]
    first, last = share(g[WEIGHTS.outputs], s)
    for o in range(first, last):
        for c in range(0, g[WEIGHTS.channels], lanes):
            at = o * g[WEIGHTS.u_output] + c
            source = o * g[WEIGHTS.w_output] + c * g[WEIGHTS.w_channel]
            for tap in range(0, taps, lanes):
                here = min(lanes, taps - tap)
                weights = transpose(
                    square_part(w, source + tap, g[WEIGHTS.w_channel], g[WEIGHTS.channels] - c, here)
                )
                if g[WEIGHTS.turned]:
                    store_square(weights, u, at + (taps - 1 - tap) * matrix, -matrix, here, lanes)
                else:
                    store_square(weights, u, at + tap * matrix, matrix, here, lanes)
            transform_weights_at(u, at // lanes, matrix // lanes)


class WeightSumsGeometry(NamedTuple):
    """What `winograd_weight_sums` reads and writes; distances in scalars."""

    outputs: int
    channels: int
    u_output: int
    u_matrix: int
    shard: int  # from one shard to the next


WEIGHT_SUMS = offsets_of(WeightSumsGeometry)


@register_jitable
def weight_sums_geometry(outputs, channels, lanes, shard_distance):
    """Make the geometry of `winograd_weight_sums` for a weight [outputs][channels][3][3]."""
    return WeightSumsGeometry(
        outputs=outputs,
        channels=channels,
        u_output=rounded(channels, lanes),
        u_matrix=matrix_distance(outputs, channels, lanes) * lanes,
        shard=shard_distance,
    )


@operation
def winograd_weight_sums(du, dweight, _a, _b, _c, _d, g, s):
    """dweight = G^T (the sum of the shards' du, in order) G; each thread takes some of the outputs."""
    lanes, taps, matrix = simd.lanes(du), TAPS * TAPS, g[WEIGHT_SUMS.u_matrix]
    channels = g[WEIGHT_SUMS.channels]
    first, last = share(g[WEIGHT_SUMS.outputs], s)
    for o in range(first, last):
        for c in range(0, channels, lanes):
            at = o * g[WEIGHT_SUMS.u_output] + c
            transform_weight_sums(
                du, at // lanes, matrix // lanes, s[STATE.shards], g[WEIGHT_SUMS.shard] // lanes
            )
            for tap in range(0, taps, lanes):
                weights = transpose(square(du, at + tap * matrix, matrix))
                target, here = (o * channels + c) * taps + tap, min(lanes, taps - tap)
                store_square(weights, dweight, target, taps, min(lanes, channels - c), here)
