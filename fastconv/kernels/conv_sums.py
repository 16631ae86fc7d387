"""By which method the sums of a convolution of blocks are made, and what surrounds them.

A pass has a method: the sums as they are written, those of a depthwise convolution, which have kernels of
their own, or Winograd's products, where they may be taken and are faster: of tiles of a plane, or along a
line. `conv_work.py` runs it.
"""

from typing import NamedTuple

from .. import simd
from ..simd import pointer
from ..simd.compiling import compiled
from .lanes import conv_geometry, winograd_cost, winograd_line_cost, winograd_line_geometry, winograd_parts
from .lanes.depthwise import takes
from .lanes.depthwise_grad_weight import takes_grad_weight
from .lanes.winograd_line_forms import RESULTS
from .lanes.winograd_line_geometry import Line, line_of
from .lanes.winograd_parts import Parts, parts_of
from .precision import is_high

DIRECT, DEPTHWISE, TILES, LINES = 0, 1, 2, 3
NO_HALO = 0, 0, 0, 0


class Shape(NamedTuple):
    """The numbers of a convolution; pairs are (down, across), `padding` is what lies before x."""

    channels: int
    out_channels: int
    kernel: tuple[int, int]
    size: tuple[int, int]  # of x
    out_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


class Method(NamedTuple):
    """How the sums of a pass are made."""

    kind: int  # DIRECT, DEPTHWISE, TILES or LINES
    parts: Parts  # of TILES
    line: Line  # of LINES
    cost: float  # what a block costs, in products of vectors


@compiled
def _pair(values):
    """A pair of int64: Numba compiles a function anew for each constant in a tuple that it gets."""
    return int(values[0]), int(values[1])


@compiled
def shape_of(x_shape, y_shape, kernel, stride, padding, dilation, groups):
    """The `Shape` of a convolution from an x to a y of these shapes."""
    return Shape(
        int(x_shape[1]), int(y_shape[1]), _pair(kernel), _pair(x_shape[2:]), _pair(y_shape[2:]),
        _pair(stride), _pair(padding), _pair(dilation), int(groups),
    )  # fmt: skip


@compiled
def of_sizes(shape, size, out_size, padding):
    """The same convolution of other sizes."""
    return Shape(
        shape.channels, shape.out_channels, shape.kernel, _pair(size), _pair(out_size),
        shape.stride, _pair(padding), shape.dilation, shape.groups,
    )  # fmt: skip


@compiled
def _without_products(kind, shape):
    """A method that is neither of tiles nor of lines."""
    parts, line = parts_of((1, 1), (1, 1), (2, 2)), line_of(0, 1, 1, 0, 1, (1, 1), 0, 1)
    positions, taps = shape.out_size[0] * shape.out_size[1], shape.kernel[0] * shape.kernel[1]
    products = positions * shape.out_channels * (shape.channels // shape.groups) * taps
    return Method(int(kind), parts, line, float(products))


@compiled
def _of_tiles(shape, chosen):
    """The method of so many taps at once: DIRECT where there are none."""
    taps, cost = chosen
    direct = _without_products(DIRECT, shape)
    if taps[0] == 0:
        return direct
    return Method(TILES, parts_of(shape.kernel, shape.stride, taps), direct.line, cost)


@compiled
def _of_line(shape, chosen):
    """The method of a line: DIRECT where none of its forms pays."""
    line, cost = chosen
    direct = _without_products(DIRECT, shape)
    if line.form == winograd_line_cost.NO_FORM:
        return direct
    return Method(LINES, direct.parts, line, cost)


@compiled
def _may_be_products(like, shape):
    """Whether sums may be made by Winograd's products; who asks for float64 wants its precision."""
    return shape.groups == 1 and like.itemsize == 4 and is_high()


@compiled
def _is_plane(shape):
    return winograd_cost.is_plane(shape.kernel, shape.stride, shape.dilation)


@compiled
def _is_line(shape):
    return winograd_line_cost.is_line(shape.kernel, shape.stride, shape.dilation)


@compiled
def _line(shape):
    return winograd_line_cost.forward_line(
        shape.kernel, shape.out_size, shape.stride, shape.padding, shape.dilation
    )


@compiled
def forward_method(like, shape):
    """The method of a convolution."""
    channels, outputs = shape.channels, shape.out_channels
    if takes(shape.groups, channels, outputs):
        return _without_products(DEPTHWISE, shape)
    lanes = simd.lanes(pointer(like))
    if _may_be_products(like, shape) and _is_plane(shape):
        return _of_tiles(
            shape,
            winograd_cost.forward_taps(
                channels, outputs, shape.out_size, shape.kernel, shape.stride, lanes, 1.0
            ),
        )
    if _may_be_products(like, shape) and _is_line(shape):
        return _of_line(
            shape, winograd_line_cost.best_form(_line(shape), channels, outputs, lanes, 1.0, False)
        )
    return _without_products(DIRECT, shape)


@compiled
def input_method(like, shape):
    """The method of the gradient of an input."""
    channels, outputs = shape.channels, shape.out_channels
    if takes(shape.groups, outputs, channels):
        return _without_products(DEPTHWISE, shape)
    lanes = simd.lanes(pointer(like))
    if _may_be_products(like, shape) and _is_plane(shape):
        return _of_tiles(
            shape,
            winograd_cost.input_gradient_taps(
                channels, outputs, shape.size, shape.out_size, shape.kernel, shape.stride, shape.padding,
                lanes, 1.0,
            ),
        )  # fmt: skip
    # Where there is a stride, dx is several convolutions of few taps: direct sums.
    if _may_be_products(like, shape) and _is_line(shape) and shape.stride == (1, 1):
        line = winograd_line_cost.input_gradient_line(shape.kernel, shape.size, shape.padding, shape.dilation)
        return _of_line(shape, winograd_line_cost.best_form(line, outputs, channels, lanes, 1.0, False))
    return _without_products(DIRECT, shape)


@compiled
def weight_method(like, shape):
    """The method of a weight gradient."""
    channels, outputs = shape.channels, shape.out_channels
    if takes_grad_weight(shape.groups, outputs, shape.kernel, shape.stride, shape.dilation):
        return _without_products(DEPTHWISE, shape)
    lanes = simd.lanes(pointer(like))
    if _may_be_products(like, shape) and _is_plane(shape):
        return _of_tiles(
            shape,
            winograd_cost.weight_gradient_taps(
                channels, outputs, shape.out_size, shape.kernel, shape.stride, lanes, 1.0
            ),
        )
    if _may_be_products(like, shape) and _is_line(shape):
        return _of_line(
            shape, winograd_line_cost.best_form(_line(shape), channels, outputs, lanes, 1.0, True)
        )
    return _without_products(DIRECT, shape)


@compiled
def lines_together(method):
    """How many lines of results, of a phase, are made together: strips should have a multiple of them."""
    if method.kind == TILES:
        return winograd_parts.results_of(method.parts)[0]
    if method.kind == LINES and method.line.axis == 0 and method.line.dilation == 1:
        return RESULTS[method.line.form]
    return 1


@compiled
def is_pointwise(shape):
    """Whether each position has sums of its own."""
    return shape.kernel == (1, 1) and shape.stride == (1, 1) and shape.size == shape.out_size


# Measured on Zen 4, in products: a vector that is turned from positions to samples, or back; a vector of a
# row of patches, and of sums, that is copied; a line that is padded. Sums of patches take more for a product
# than those of a block, whose taps share their vectors: most where a tile's patches do not stay in L1.
TURN, COPY, SUM_COPY, PAD_LINE = 19, 5, 4, 25
PATCH_PRODUCT, FAR_PATCH_PRODUCT = 1.15, 1.35
NEAR_ROWS = 80


@compiled
def patches_pay(shape, method, lanes):
    """Whether sums of patches are faster than a method of blocks, what is moved for either included."""
    if method.kind == DEPTHWISE or shape.channels == 0 or shape.out_channels == 0:
        return False
    outputs, (height, width) = shape.out_channels, shape.out_size
    rows = shape.channels * shape.kernel[0] * shape.kernel[1]
    turned = shape.channels * shape.size[0] * shape.size[1] + outputs * height * width
    copied, padded = height * width, 0
    if not is_pointwise(shape):
        copied = height * ((width + lanes - 1) // lanes * lanes)
        phases = min(shape.kernel[0], shape.stride[0]) * min(shape.kernel[1], shape.stride[1])
        padded = shape.channels * phases * (height + shape.kernel[0]) * lanes
    product = PATCH_PRODUCT if rows // shape.groups <= NEAR_ROWS else FAR_PATCH_PRODUCT
    sums = product * _without_products(DIRECT, shape).cost + SUM_COPY * outputs * height * width
    return sums + COPY * rows * copied + PAD_LINE * padded < method.cost + TURN * turned


# What the passes read around planes


@compiled
def _larger(a, b):
    """Zeros that are enough for both: (top, bottom, left, right)."""
    return max(a[0], b[0]), max(a[1], b[1]), max(a[2], b[2]), max(a[3], b[3])


@compiled
def input_halo(method, shape):
    """Zeros around x for a convolution, or the gradient of its weight."""
    direct = conv_geometry.forward_halo(
        shape.kernel, shape.size, shape.out_size, shape.stride, shape.padding, shape.dilation
    )
    if method.kind == TILES:
        sizes = shape.size, shape.out_size, shape.padding
        return _larger(direct, winograd_parts.input_halo(method.parts, sizes[0], sizes[1], sizes[2]))
    if method.kind == LINES:
        return _larger(direct, winograd_line_geometry.input_halo(method.line, shape.size))
    return direct


@compiled
def slope_halo(method, shape):
    """Zeros around dy for the gradient of x."""
    direct = conv_geometry.grad_input_halo(
        shape.kernel, shape.size, shape.out_size, shape.stride, shape.padding, shape.dilation
    )
    if method.kind == TILES:
        sizes = shape.size, shape.out_size, shape.padding
        return _larger(direct, winograd_parts.slope_halo(method.parts, sizes[0], sizes[1], sizes[2]))
    if method.kind == LINES:
        return _larger(direct, winograd_line_geometry.input_halo(method.line, shape.out_size))
    return direct


@compiled
def result_halo(method):
    """Zeros around dy for the gradient of the weight."""
    return winograd_line_geometry.result_halo(method.line) if method.kind == LINES else NO_HALO
