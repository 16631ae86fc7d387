"""What Winograd's products along a line cost, beside direct sums, and whether a pass goes by them.

As in `winograd_cost.py`, a model of the cost decides, of each pass and of the form that it goes by.
"""

from numba.extending import register_jitable

from .matrix_product import OUTPUTS_AT_ONCE, rounded, rounded_outputs
from .winograd_cost import WORTH_IT
from .winograd_line_forms import POINTS
from .winograd_line_geometry import (
    input_count,
    line_count,
    line_of,
    line_tiles,
    piece_count,
    strip_of,
    with_form,
)

# Measured on Zen 4, with 16 to 128 channels and lines of 25 to 150: what a product costs, as one of those in
# the transformed domain needs no addresses of taps; the transform of a tile of one channel or output; and
# those of a vector of weights for a piece, with what they miss in the cache.
PRODUCT_COST = 0.9
INPUT_COST, RESULT_COST = 30, 42
TURNED_INPUT_COST, GRADIENT_COST = 57, 22
WEIGHTS_COST, SUMS_COST = 140, 200
NO_FORM = -1  # of what does not go by the products


@register_jitable
def _tiles(line):
    """Tiles of a plane."""
    return line_count(line) * line_tiles(line)


@register_jitable
def _products(line, channels, outputs):
    """What the products cost."""
    return PRODUCT_COST * POINTS[line.form] * piece_count(line) * channels * outputs * _tiles(line)


@register_jitable
def _weight_vectors(line, channels, outputs, lanes):
    """Vectors that hold the weights of a piece for each output and channel."""
    return piece_count(line) * outputs * -(-channels // lanes)


@register_jitable
def _sums_cost(line, channels, outputs, lanes):
    """The cost of the convolution, or of the gradient of its input."""
    rows = rounded_outputs(outputs, strip_of(line, channels, outputs))
    products = _products(line, channels, rows)
    transforms = INPUT_COST * channels * input_count(line) + RESULT_COST * outputs * _tiles(line)
    return products + transforms + WEIGHTS_COST * _weight_vectors(line, channels, outputs, lanes)


@register_jitable
def _weight_gradient_cost(line, channels, outputs, lanes):
    """The cost of the gradient of the weights."""
    whole = rounded(channels, lanes)
    products = _products(line, whole, rounded(outputs, OUTPUTS_AT_ONCE))
    transforms = TURNED_INPUT_COST * whole * input_count(line) + GRADIENT_COST * outputs * _tiles(line)
    return products + transforms + SUMS_COST * _weight_vectors(line, channels, outputs, lanes)


@register_jitable
def best_form(line, channels, outputs, lanes, share, of_weights):
    """The line in its cheapest form, or in `NO_FORM` where direct sums are cheaper; and the cost.

    `share` is what is left of the direct sums' cost where images are cut in strips.
    """
    direct = line.height * line.width * line.kernel * channels * outputs
    least, best = WORTH_IT * share * direct, NO_FORM
    for form in range(len(POINTS)):
        one = with_form(line, form)
        cost = (
            _weight_gradient_cost(one, channels, outputs, lanes)
            if of_weights
            else _sums_cost(one, channels, outputs, lanes)
        )
        if cost < least:
            least, best = float(cost), form
    return with_form(line, best), least


@register_jitable
def forward_line(kernel, out_size, stride, padding, dilation):
    """A convolution of a kernel of one line; its form is not chosen yet. Pairs are (down, across)."""
    along = 0 if kernel[1] == 1 else 1
    return line_of(
        0, kernel[along], dilation[along], padding[along], along, out_size, padding[1 - along], stride[along]
    )


@register_jitable
def input_gradient_line(kernel, in_size, padding, dilation):
    """The gradient of its input, where its stride is 1: a convolution of dy with the kernel turned round."""
    along = 0 if kernel[1] == 1 else 1
    first = (kernel[along] - 1) * dilation[along] - padding[along]
    return line_of(0, kernel[along], dilation[along], first, along, in_size, -padding[1 - along], 1)


@register_jitable
def is_line(kernel, stride, dilation):
    """Whether a kernel is one line, of a stride and a dilation that a `Line` has, and taps in every phase."""
    along = 0 if kernel[1] == 1 else 1
    one_line = kernel[1 - along] == 1 and kernel[along] > 1 and stride[1 - along] == 1
    return one_line and stride[along] <= kernel[along] and (stride[along] == 1 or dilation[along] == 1)
