"""What Winograd's products cost, beside direct sums, and whether a pass goes by them.

A pass does where a model of its cost says that it is faster by more than a little, since its rounding errors
are larger. So it is decided, too, how many taps are taken at once. Costs are counted in operations on
vectors, of which a direct sum makes one a product, for a batch of one block: were there more, some shapes
would change sides, and results with the size of the batch.
"""

from typing import NamedTuple

from numba.extending import register_jitable

from .matrix_product import OUTPUTS_AT_ONCE, rounded, rounded_outputs
from .winograd_geometry import tile_count
from .winograd_parts import (
    inputs_of,
    is_whole,
    parts_of,
    places,
    results_of,
    rows_of,
    tap_count,
)
from .winograd_transforms import ALL_TAPS, MATRICES, POINTS

INPUT_LINE = 26  # loads, stores and arithmetic of a line of 6 numbers of an input
# Measured on planes from 4x4 to 32x32 with 3 to 128 channels: what the transforms wait for the cache, and
# what it takes to turn a tile's samples into channels.
TURN = 180
WEIGHTS, WEIGHT_SUMS = 300, 800
WORTH_IT = 0.85  # of the direct sums' cost: the products' rounding errors are larger
DIRECT_GRADIENT = 1.25  # of a direct gradient of the input, for a product: tiles reach past the edges of dy
# Sums of fewer taps are so exact, if made directly, that the products lose more than 5 times as much: 7 times
# with kernels of 2x2, 5 times in the gradient of an input that was read by 3x3 taps with stride 2.
ENOUGH_TAPS, ENOUGH_TAPS_OF_PHASE = 9, 4
DIRECT = 0, 0  # taps at once, of what does not go by the products


class Sums(NamedTuple):
    """The sums of a pass: what their cost depends on."""

    channels: int  # those of dy where the sums go back
    outputs: int
    height: int  # of a plane of results, or of those of a phase of dx
    width: int
    back: int  # whether they are the gradient of the input
    lanes: int
    direct: float  # the cost of the direct sums


@register_jitable
def _inputs(sums, parts):
    """Channels of the products."""
    return sums.channels * inputs_of(parts, sums.back)


@register_jitable
def _tap_moves(sums, parts):
    """What it takes to move a vector of weights tap by tap, where they don't come as squares."""
    return 0 if is_whole(parts) else 3 * sums.lanes * tap_count(parts)


@register_jitable
def _to_points(height, width):
    """The cost of height x width numbers at the points: lines, then columns."""
    return height * (3 * width + 8) + POINTS * (3 * height + 8)


@register_jitable
def _of_points(height, width):
    """The cost of the way back: it adds up lines first, or columns."""
    return POINTS * (3 * width + 12) + width * (3 * height + 12)


@register_jitable
def _sums_cost(sums, parts):
    """The cost of the sums and of the weights' transform."""
    inputs, results = _inputs(sums, parts), results_of(parts)
    outputs, tiles = sums.outputs * rows_of(parts, sums.back), tile_count((sums.height, sums.width), results)
    products = MATRICES * inputs * rounded_outputs(outputs, tiles)
    transforms = 2 * POINTS * INPUT_LINE * inputs + _of_points(results[0], results[1]) * outputs
    weights = WEIGHTS + _to_points(parts.down.taps, parts.across.taps) + _tap_moves(sums, parts)
    return (products + transforms) * tiles + weights * outputs * rounded(inputs, sums.lanes) // sums.lanes


@register_jitable
def _weight_gradient_cost(sums, parts):
    """The cost of the weight's gradient."""
    inputs, results = _inputs(sums, parts), results_of(parts)
    tiles = tile_count((sums.height, sums.width), results)
    products = MATRICES * rounded(inputs, sums.lanes) * rounded(sums.outputs, OUTPUTS_AT_ONCE)
    transforms = (2 * POINTS * INPUT_LINE + TURN) * inputs + _to_points(results[0], results[1]) * sums.outputs
    weights = WEIGHT_SUMS + _of_points(parts.down.taps, parts.across.taps) + _tap_moves(sums, parts)
    return (products + transforms) * tiles + weights * sums.outputs * rounded(
        inputs, sums.lanes
    ) // sums.lanes


@register_jitable
def _best_taps(sums, kernel, stride, of_weights):
    """How many taps at once are the cheapest, (down, across), and their cost; `DIRECT` where none pays."""
    least, best_down, best_across = WORTH_IT * sums.direct, 0, 0
    for down in ALL_TAPS:
        for across in ALL_TAPS:
            parts = parts_of(kernel, stride, (down, across))
            results = results_of(parts)
            if sums.height < results[0] or sums.width < results[1]:
                continue
            cost = _weight_gradient_cost(sums, parts) if of_weights else _sums_cost(sums, parts)
            if cost < least:
                least, best_down, best_across = float(cost), down, across
    return (best_down, best_across), least


@register_jitable
def is_plane(kernel, stride, dilation):
    """Whether a kernel has taps in both directions, in every phase and without gaps."""
    steps = 1 <= stride[0] <= kernel[0] and 1 <= stride[1] <= kernel[1]
    return steps and kernel[0] > 1 and kernel[1] > 1 and dilation[0] == 1 and dilation[1] == 1


@register_jitable
def _forward_sums(channels, outputs, size, kernel, lanes, share):
    """The `Sums` of a convolution, and of its weight's gradient."""
    products = size[0] * size[1] * kernel[0] * kernel[1] * channels * outputs
    return Sums(
        int(channels), int(outputs), int(size[0]), int(size[1]), 0, int(lanes), float(share * products)
    )


@register_jitable
def _gradient_sums(channels, outputs, in_size, dy_size, kernel, stride, padding, lanes, share):
    """The `Sums` of the gradient of an input [channels]."""
    parts = parts_of(kernel, stride, (2, 2))  # of any taps: places are the same
    height = places(parts.down, in_size[0], padding[0])[1]
    width = places(parts.across, in_size[1], padding[1])[1]
    products = dy_size[0] * dy_size[1] * kernel[0] * kernel[1] * channels * outputs
    return Sums(
        int(outputs), int(channels), int(height), int(width), 1, int(lanes),
        float(share * DIRECT_GRADIENT * products),
    )  # fmt: skip


@register_jitable
def forward_taps(channels, outputs, size, kernel, stride, lanes, share):
    """How many taps of a convolution are taken at once, (down, across), or `DIRECT`; and the cost.

    `share` is what is left of the direct sums' cost where images are cut in strips.
    """
    sums = _forward_sums(channels, outputs, size, kernel, lanes, share)
    if kernel[0] * kernel[1] < ENOUGH_TAPS:
        return DIRECT, sums.direct
    return _best_taps(sums, kernel, stride, False)


@register_jitable
def weight_gradient_taps(channels, outputs, size, kernel, stride, lanes, share):
    """The same of the gradient of its weight; `size` is that of a plane of dy."""
    sums = _forward_sums(channels, outputs, size, kernel, lanes, share)
    return _best_taps(sums, kernel, stride, True)


@register_jitable
def input_gradient_taps(channels, outputs, in_size, dy_size, kernel, stride, padding, lanes, share):
    """The same of the gradient of its input."""
    sums = _gradient_sums(channels, outputs, in_size, dy_size, kernel, stride, padding, lanes, share)
    if kernel[0] * kernel[1] < max(ENOUGH_TAPS, ENOUGH_TAPS_OF_PHASE * stride[0] * stride[1]):
        return DIRECT, sums.direct
    return _best_taps(sums, kernel, stride, False)
