"""Winograd's products for kernels of 3x3 taps and stride 1, for whoever has to decide in compiled code.

The geometries are those of `winograd_geometry.py` and `winograd_weights.py` for this kernel.
"""

import numpy as np
from numba.extending import register_jitable

from .matrix_product import APART, COLUMNS, OUTPUTS_AT_ONCE, rounded
from .winograd_cost import WORTH_IT, sums_cost, weight_gradient_cost
from .winograd_geometry import (
    COLUMNS_AT,
    OUTPUT_PLANE,
    PLANE_TILE,
    TILES_AT,
    WINOGRAD,
    matrix_distance,
    strip_of,
    tile_count,
    tile_starts,
)
from .winograd_weights import PARTS_AT, WEIGHTS

TAPS, RESULTS = 3, 4  # in each direction
ALL_TAPS = TAPS * TAPS
OF_A_KERNEL, OF_A_TILE = (TAPS, TAPS), (RESULTS, RESULTS)


@register_jitable
def _is_worth_it(cost, channels, outputs, size):
    """Whether planes are large enough for a tile, and the cost is below that of the direct sums."""
    direct = size[0] * size[1] * ALL_TAPS * channels * outputs
    return min(size[0], size[1]) >= RESULTS and cost < WORTH_IT * direct


@register_jitable
def forward_pays(channels, outputs, size, lanes):
    """Whether the sums over `channels` that make planes [outputs] of `size` are faster by the products.

    Those are a convolution, or the gradient of its input.
    """
    tiles = tile_count(size, OF_A_TILE)
    cost = sums_cost(channels, outputs, tiles, OF_A_TILE, OF_A_KERNEL, lanes, 0)
    return _is_worth_it(cost, channels, outputs, size)


@register_jitable
def weight_gradient_pays(channels, outputs, size, lanes):
    """Whether the gradient of the weights [outputs][channels] is; `size` is that of a plane of dy."""
    tiles = tile_count(size, OF_A_TILE)
    cost = weight_gradient_cost(channels, outputs, tiles, OF_A_TILE, OF_A_KERNEL, lanes, 0)
    return _is_worth_it(cost, channels, outputs, size)


@register_jitable
def _geometry(channels, outputs, size, padding, x, y, lanes, v_channels):
    """A geometry of planes x [channels] and y [outputs] of `size`, whose windows start in the padding.

    v has `v_channels` vectors for each tile.
    """
    down, across = tile_starts(size[0], RESULTS), tile_starts(size[1], RESULTS)
    tiles = len(down) * len(across)
    strip = strip_of(channels, outputs, tiles)
    planes_at = TILES_AT + tiles * len(PLANE_TILE) + channels
    g = np.zeros(planes_at + outputs * len(OUTPUT_PLANE), np.int64)
    g[WINOGRAD.channels], g[WINOGRAD.outputs] = channels, outputs
    g[WINOGRAD.tiles], g[WINOGRAD.strip] = tiles, strip
    g[WINOGRAD.x_line], g[WINOGRAD.x_column] = x[1], 1
    g[WINOGRAD.y_line], g[WINOGRAD.y_column] = y[1], 1
    g[WINOGRAD.height], g[WINOGRAD.width], g[WINOGRAD.within] = RESULTS, RESULTS, 1
    g[WINOGRAD.u_output] = rounded(channels, lanes)
    g[WINOGRAD.u_matrix] = matrix_distance(outputs, channels, lanes) * lanes
    g[WINOGRAD.v_matrix] = v_channels * strip + APART
    g[WINOGRAD.m_matrix] = rounded(outputs, OUTPUTS_AT_ONCE) * strip + APART
    for column in range(COLUMNS):
        g[COLUMNS_AT + column] = column
    at = TILES_AT
    for i, lines_done in down:
        for j, columns_done in across:
            g[at + PLANE_TILE.x] = (i - padding[0]) * x[1] + j - padding[1]
            g[at + PLANE_TILE.y] = i * y[1] + j
            g[at + PLANE_TILE.line], g[at + PLANE_TILE.column] = i, j
            g[at + PLANE_TILE.lines_done], g[at + PLANE_TILE.columns_done] = lines_done, columns_done
            at += len(PLANE_TILE)
    for c in range(channels):
        g[at + c] = c * x[0]
    for o in range(outputs):
        at = planes_at + o * len(OUTPUT_PLANE)
        g[at + OUTPUT_PLANE.y], g[at + OUTPUT_PLANE.bias] = o * y[0], o
        g[at + OUTPUT_PLANE.last_line], g[at + OUTPUT_PLANE.last_column] = size[0] - 1, size[1] - 1
    return g


@register_jitable
def geometry(channels, outputs, size, padding, x, y, lanes, ending, has_bias):
    """Make the geometry of `winograd`: `x` and `y` are (plane, line), `padding` is (top, left)."""
    g = _geometry(channels, outputs, size, padding, x, y, lanes, channels)
    g[WINOGRAD.ending], g[WINOGRAD.bias] = ending, has_bias
    return g


@register_jitable
def grad_weight_geometry(channels, outputs, size, padding, x, dy, lanes):
    """Make the geometry of `winograd_grad_weight`; `size` is that of dy."""
    return _geometry(channels, outputs, size, padding, x, dy, lanes, rounded(channels, lanes))


@register_jitable
def weights_geometry(out_channels, channels, lanes, turned):
    """Make the geometry of `transform_weights` for a weight [out_channels][channels][3][3].

    Where they are `turned`, outputs and channels change places, as the gradient of the input needs it. The
    geometry of `winograd_weight_sums` is the same, not turned.
    """
    near, far = ALL_TAPS, channels * ALL_TAPS
    outputs, inputs = (channels, out_channels) if turned else (out_channels, channels)
    g = np.zeros(PARTS_AT + ALL_TAPS, np.int64)
    g[WEIGHTS.outputs], g[WEIGHTS.channels] = outputs, inputs
    g[WEIGHTS.output_parts], g[WEIGHTS.channel_parts] = 1, 1
    g[WEIGHTS.w_output], g[WEIGHTS.w_channel] = (near, far) if turned else (far, near)
    g[WEIGHTS.height], g[WEIGHTS.width], g[WEIGHTS.whole] = TAPS, TAPS, 1
    g[WEIGHTS.turned] = 1 if turned else 0
    g[WEIGHTS.u_output] = rounded(inputs, lanes)
    g[WEIGHTS.u_matrix] = matrix_distance(outputs, inputs, lanes) * lanes
    for tap in range(ALL_TAPS):
        g[PARTS_AT + tap] = ALL_TAPS - 1 - tap if turned else tap
    return g
