"""What Winograd's products cost, beside direct sums.

Costs are counted in operations on vectors, of which a direct sum makes one a product, for a batch of one
block: were there more, some shapes would change sides, and results with the size of the batch.
"""

from numba.extending import register_jitable

from .matrix_product import OUTPUTS_AT_ONCE, rounded, rounded_outputs
from .winograd_transforms import MATRICES, POINTS

INPUT_LINE = 26  # loads, stores and arithmetic of a line of 6 numbers of an input
# Measured on planes from 4x4 to 32x32 with 3 to 128 channels: what the transforms wait for the cache, and
# what it takes to turn a tile's samples into channels.
TURN = 180
WEIGHTS, WEIGHT_SUMS = 300, 800
WORTH_IT = 0.85  # of the direct sums' cost: the products' rounding errors are larger


@register_jitable
def _to_points(height, width):
    """The cost of height x width numbers at the points: lines, then columns."""
    return height * (3 * width + 8) + POINTS * (3 * height + 8)


@register_jitable
def _of_points(height, width):
    """The cost of the way back: it adds up lines first, or columns."""
    return POINTS * (3 * width + 12) + width * (3 * height + 12)


@register_jitable
def sums_cost(inputs, outputs, tiles, results, taps, lanes, tap_moves):
    """The cost of sums over `inputs` and of the weights' transform.

    `results` and `taps` are those of a tile (down, across); `tap_moves` is what it takes to collect a vector
    of weights.
    """
    products = MATRICES * inputs * rounded_outputs(outputs, tiles)
    transforms = 2 * POINTS * INPUT_LINE * inputs + _of_points(results[0], results[1]) * outputs
    weights = WEIGHTS + _to_points(taps[0], taps[1]) + tap_moves
    return (products + transforms) * tiles + weights * outputs * rounded(inputs, lanes) // lanes


@register_jitable
def weight_gradient_cost(inputs, outputs, tiles, results, taps, lanes, tap_moves):
    """The cost of the weight's gradient; arguments as in `sums_cost`."""
    products = MATRICES * rounded(inputs, lanes) * rounded(outputs, OUTPUTS_AT_ONCE)
    transforms = (2 * POINTS * INPUT_LINE + TURN) * inputs + _to_points(results[0], results[1]) * outputs
    weights = WEIGHT_SUMS + _of_points(taps[0], taps[1]) + tap_moves
    return (products + transforms) * tiles + weights * outputs * rounded(inputs, lanes) // lanes
