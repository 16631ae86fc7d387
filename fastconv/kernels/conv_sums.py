"""Which kernel makes the sums of a convolution of blocks, and on which geometry.

A pass has a method: the sums as they are written, those of a depthwise convolution, which have kernels of
their own, or Winograd's products, where they may be taken and are faster.
"""

import numpy as np
from numba import types
from numba.extending import overload

from .. import simd
from ..simd import advance, keep, pointer
from ..simd.compiling import compiled
from .lanes import conv_geometry, depthwise_geometry, winograd_3x3, winograd_weights
from .lanes import winograd as products
from .lanes.conv import PLAIN, contract
from .lanes.conv_grad_weight import contract_grad_weight
from .lanes.depthwise import depthwise as depthwise_operation
from .lanes.depthwise import takes
from .lanes.depthwise_grad_weight import (
    depthwise_grad_weight,
    depthwise_weight_geometry,
    takes_grad_weight,
)
from .lanes.operation import STATE, STATE_SIZE
from .lanes.winograd_3x3 import RESULTS, TAPS
from .lanes.winograd_transforms import MATRICES
from .precision import is_high

DIRECT, DEPTHWISE, WINOGRAD = 0, 1, 2
LINES = RESULTS  # of a strip, the fewest of which products may be made

_contract, _depthwise = contract.function, depthwise_operation.function
_contract_grad_weight = contract_grad_weight.function
_depthwise_grad_weight = depthwise_grad_weight.function
_winograd, _winograd_grad_weight = products.winograd.function, products.winograd_grad_weight.function
_transform_weights = winograd_weights.transform_weights.function
_weight_sums = winograd_weights.winograd_weight_sums.function


@compiled
def forward_method(like, channels, outputs, kernel, size, stride, dilation, groups):
    """The method of sums over `channels` that make planes [outputs] of `size`, or the reverse of such."""
    if takes(groups, channels, outputs):
        return DEPTHWISE
    lanes = simd.lanes(pointer(like))
    possible = _may_be_products(like, kernel, stride, dilation, groups)
    if possible and winograd_3x3.forward_pays(channels, outputs, size, lanes):
        return WINOGRAD
    return DIRECT


@compiled
def weight_method(like, channels, outputs, kernel, size, stride, dilation, groups):
    """The method of the sums of a weight gradient; `size` is that of a plane of dy."""
    if takes_grad_weight(groups, outputs, kernel, stride, dilation):
        return DEPTHWISE
    lanes = simd.lanes(pointer(like))
    possible = _may_be_products(like, kernel, stride, dilation, groups)
    if possible and winograd_3x3.weight_gradient_pays(channels, outputs, size, lanes):
        return WINOGRAD
    return DIRECT


@compiled
def lines_together(method):
    """Of what number the lines of a strip should be a multiple, where one of `LINES` has this method."""
    return LINES if method == WINOGRAD else 1


@compiled
def _may_be_products(like, kernel, stride, dilation, groups):
    """Whether sums may be made by Winograd's products; who asks for float64 wants its precision."""
    taps = kernel == (TAPS, TAPS) and stride == (1, 1) and dilation == (1, 1) and groups == 1
    return taps and like.itemsize == 4 and is_high()


@compiled
def forward_geometry(
    method, channels, out_channels, kernel, size, out_size, stride, padding, dilation, groups,
    x_distances, y_distances, has_bias, lanes,
):  # fmt: skip
    """The geometry of a convolution."""
    if method == DEPTHWISE:
        return depthwise_geometry.depthwise_forward(
            channels, out_channels, kernel, size, out_size, stride, padding, dilation, groups,
            x_distances, y_distances, has_bias, PLAIN,
        )  # fmt: skip
    if method == WINOGRAD:
        return winograd_3x3.geometry(
            channels, out_channels, out_size, padding, x_distances, y_distances, lanes, PLAIN, has_bias
        )
    return conv_geometry.conv_forward(
        channels, out_channels, kernel, size, out_size, stride, padding, dilation, groups,
        x_distances, y_distances, has_bias, PLAIN,
    )  # fmt: skip


@compiled
def input_geometries(
    method, channels, out_channels, kernel, size, out_size, stride, padding, dilation, groups,
    dx_distances, dy_distances, has_bias, lanes,
):  # fmt: skip
    """The geometries of an input gradient: `make_sums` runs one after the other."""
    if method == DEPTHWISE:
        return [
            depthwise_geometry.depthwise_grad_input(
                channels, out_channels, kernel, size, out_size, stride, padding, dilation, groups,
                dx_distances, dy_distances, has_bias, PLAIN,
            )
        ]  # fmt: skip
    if method == WINOGRAD:
        full = TAPS - 1 - padding[0], TAPS - 1 - padding[1]
        return [
            winograd_3x3.geometry(
                out_channels, channels, size, full, dy_distances, dx_distances, lanes, PLAIN, has_bias
            )
        ]
    return [
        conv_geometry.conv_grad_input(
            channels, out_channels, kernel, size, out_size, stride, padding, dilation, groups,
            dx_distances, dy_distances, (row, column), has_bias, PLAIN,
        )
        for row in range(min(stride[0], size[0]))
        for column in range(min(stride[1], size[1]))
    ]  # fmt: skip


@compiled
def weight_geometry(
    method, channels, out_channels, kernel, out_size, stride, padding, dilation, groups,
    x_distances, dy_distances, lanes,
):  # fmt: skip
    """The geometry of a weight gradient."""
    if method == DEPTHWISE:
        return depthwise_weight_geometry(
            channels, out_channels, kernel, out_size, stride, padding, dilation, groups,
            x_distances, dy_distances, 0,
        )  # fmt: skip
    if method == WINOGRAD:
        return winograd_3x3.grad_weight_geometry(
            channels, out_channels, out_size, padding, x_distances, dy_distances, lanes
        )
    return conv_geometry.conv_grad_weight(
        channels, out_channels, kernel, out_size, stride, padding, dilation, groups,
        x_distances, dy_distances, 0,
    )  # fmt: skip


@compiled
def _vectors(count, like):
    """Memory for `count` numbers that `first_vector` may align; it holds zeros."""
    return np.zeros(count + simd.lanes(pointer(like)), like.dtype)


@compiled
def first_vector(block):
    """The first whole vector of a block: one that crosses a cache line takes two loads."""
    return advance(pointer(block), -block.ctypes.data % simd.VECTOR_BYTES // block.itemsize)


@compiled
def scratch_size(method, g, lanes):
    """How many numbers the sums of a block work in, with room to align them."""
    return lanes + (products.scratch_size(g, lanes) if method == WINOGRAD else 0)


@compiled
def weights_of(method, weight, turned):
    """The numbers that are multiplied with an input, or `turned` with dy: the weights or their transforms."""
    if method != WINOGRAD:
        return weight.reshape(-1)
    lanes, out_channels, channels = simd.lanes(pointer(weight)), weight.shape[0], weight.shape[1]
    outputs, inputs = (channels, out_channels) if turned else (out_channels, channels)
    u = _vectors(MATRICES * products.matrix_distance(outputs, inputs, lanes) * lanes, weight)
    g = winograd_3x3.weights_geometry(out_channels, channels, lanes, turned)
    state = _whole_work()
    _transform(pointer(weight), u, g, state)
    keep((weight, g, state))
    return u


@compiled
def sums_of_weights(method, dweight):
    """Where the sums of a weight gradient are made: in place, or as the products' sums, from 0 on."""
    if method != WINOGRAD:
        return dweight.reshape(-1)
    lanes, outputs, channels = simd.lanes(pointer(dweight)), dweight.shape[0], dweight.shape[1]
    return _vectors(MATRICES * products.matrix_distance(outputs, channels, lanes) * lanes, dweight)


@compiled
def finish_weights(method, sums, dweight):
    """Write to dweight what `make_weight_sums` has made of all blocks."""
    if method == WINOGRAD:
        outputs, channels, lanes = dweight.shape[0], dweight.shape[1], simd.lanes(pointer(dweight))
        g = winograd_3x3.weights_geometry(outputs, channels, lanes, False)
        state = _whole_work()
        _transform_back(pointer(dweight), sums, g, state)
        keep((sums, dweight, g, state))


@compiled
def _whole_work():
    """The step state of one thread that does all the work."""
    state = np.zeros(STATE_SIZE, np.int64)
    state[STATE.parts], state[STATE.sums] = 1, 1
    return state


@compiled
def make_sums(method, x, weights, bias, y, scratch, g, state):
    """Run a convolution or a part of an input gradient on a block."""
    w, b = pointer(weights), pointer(bias)
    if method == DEPTHWISE:
        _depthwise(x, w, b, x, y, x, pointer(g), pointer(state))
    elif method == WINOGRAD:
        _multiply(x, weights, b, y, scratch, g, state)
    else:
        _contract(x, w, b, x, y, x, pointer(g), pointer(state))


@compiled
def make_weight_sums(method, x, dy, sums, scratch, g, state):
    """Add the weight gradient of a block to the sums."""
    total = pointer(sums)
    if method == DEPTHWISE:
        _depthwise_grad_weight(x, dy, total, total, total, total, pointer(g), pointer(state))
    elif method == WINOGRAD:
        _multiply_gradients(x, dy, sums, scratch, g, state)
    else:
        _contract_grad_weight(x, dy, total, total, total, total, pointer(g), pointer(state))


# The products' operations. They are compiled for float32 only: of float64, these functions do nothing.


def _of_float32(function):
    """Let compiled code call a function that does nothing unless its first argument points to float32."""

    @overload(function, strict=False)
    def typed(p, *args):
        return function if p.dtype == types.float32 else lambda p, *args: None

    return function


@_of_float32
def _multiply(x, weights, bias, y, scratch, g, state):
    _winograd(x, first_vector(weights), bias, x, y, first_vector(scratch), pointer(g), pointer(state))


@_of_float32
def _multiply_gradients(x, dy, sums, scratch, g, state):
    s = first_vector(scratch)
    _winograd_grad_weight(x, dy, first_vector(sums), s, s, s, pointer(g), pointer(state))


@_of_float32
def _transform(weight, u, g, state):
    _transform_weights(weight, first_vector(u), weight, weight, weight, weight, pointer(g), pointer(state))


@_of_float32
def _transform_back(dweight, sums, g, state):
    s = first_vector(sums)
    _weight_sums(s, dweight, s, s, s, s, pointer(g), pointer(state))
