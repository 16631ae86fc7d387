"""Whether Winograd's products are faster than direct sums, by a model of what both cost.

Costs are counted in products of vectors, as many as a direct sum makes in the same time, for a batch of one
block: were there more, some shapes would change sides, and results with the size of the batch. It must be by
more than a little, since the products' rounding errors are larger.
"""

from numba.extending import register_jitable

from .matrix_product import OUTPUTS_AT_ONCE, rounded
from .winograd import rounded_outputs, tile_count
from .winograd_transforms import MATRICES, RESULTS, TAPS

# Measured on Zen 5, of planes from 4x4 to 32x32 with 3 to 128 channels: what the transforms of a tile of one
# channel or output cost, there and back, and those of a vector of weights, with what they miss in the cache.
TILE_COST, GRADIENT_TILE_COST = 250, 350
WEIGHTS_COST, WEIGHT_SUMS_COST = 450, 950
WORTH_IT = 0.85  # of the direct sums' cost


@register_jitable
def _is_worth_it(cost, channels, outputs, size, share):
    """Whether planes are large enough for a tile, and the cost is below that of the direct sums.

    `share` of theirs is left where images are cut in strips for them alone.
    """
    direct = size[0] * size[1] * TAPS * TAPS * channels * outputs
    return min(size[0], size[1]) >= RESULTS and cost < WORTH_IT * share * direct


@register_jitable
def forward_pays(channels, outputs, size, lanes, share=1.0):
    """Whether the sums over `channels` that make planes [outputs] of `size`, are faster by the products.

    Those are a convolution, or the gradient of its input.
    """
    tiles, weight_vectors = tile_count(size[0], size[1]), outputs * rounded(channels, lanes) // lanes
    products = MATRICES * channels * rounded_outputs(outputs, size) * tiles
    transforms = TILE_COST * (channels + outputs) * tiles + WEIGHTS_COST * weight_vectors
    return _is_worth_it(products + transforms, channels, outputs, size, share)


@register_jitable
def weight_gradient_pays(channels, outputs, size, lanes, share=1.0):
    """Whether the gradient of the weights [outputs][channels] is; `size` is that of a plane of dy."""
    tiles, weight_vectors = tile_count(size[0], size[1]), outputs * rounded(channels, lanes) // lanes
    products = MATRICES * rounded(channels, lanes) * rounded(outputs, OUTPUTS_AT_ONCE) * tiles
    transforms = GRADIENT_TILE_COST * (channels + outputs) * tiles + WEIGHT_SUMS_COST * weight_vectors
    return _is_worth_it(products + transforms, channels, outputs, size, share)
