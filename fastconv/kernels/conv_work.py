"""What the methods of `conv_sums.py` run on blocks: geometries, weights, and the lane kernels themselves."""

import numpy as np
from numba import types
from numba.extending import overload

from .. import simd
from ..simd import advance, keep, pointer
from ..simd.compiling import compiled
from .conv_sums import DEPTHWISE, DIRECT, LINES, TILES
from .lanes import (
    conv_geometry,
    depthwise_geometry,
    winograd_geometry,
    winograd_line_geometry,
    winograd_line_weights,
    winograd_weights,
)
from .lanes import winograd as tiles
from .lanes import winograd_line as lines
from .lanes.conv import PLAIN, contract
from .lanes.conv_grad_weight import contract_grad_weight
from .lanes.depthwise import depthwise as depthwise_operation
from .lanes.depthwise_grad_weight import depthwise_grad_weight, depthwise_weight_geometry
from .lanes.operation import STATE, STATE_SIZE

_contract, _depthwise = contract.function, depthwise_operation.function
_contract_grad_weight = contract_grad_weight.function
_depthwise_grad_weight = depthwise_grad_weight.function
_tiles, _tiles_grad_weight = tiles.winograd.function, tiles.winograd_grad_weight.function
_tile_weights = winograd_weights.transform_weights.function
_tile_weight_sums = winograd_weights.winograd_weight_sums.function
_lines, _lines_grad_weight = lines.winograd_line.function, lines.winograd_line_grad_weight.function
_line_weights = winograd_line_weights.transform_line_weights.function
_line_weight_sums = winograd_line_weights.winograd_line_weight_sums.function


# Geometries; distances are (plane, line) in vectors


@compiled
def forward_geometry(method, shape, x, y, has_bias, lanes):
    """The geometry of a convolution."""
    channels, outputs, size, padding = shape.channels, shape.out_channels, shape.out_size, shape.padding
    if method.kind == TILES:
        return winograd_geometry.winograd_geometry(
            channels, outputs, size, padding, x, y, lanes, PLAIN, has_bias, method.parts
        )
    if method.kind == LINES:
        return winograd_line_geometry.winograd_line_geometry(
            method.line, channels, outputs, x, y, lanes, PLAIN, has_bias
        )
    if method.kind == DEPTHWISE:
        return depthwise_geometry.depthwise_forward(
            channels, outputs, shape.kernel, shape.size, size, shape.stride, padding, shape.dilation,
            shape.groups, x, y, has_bias, PLAIN,
        )  # fmt: skip
    return conv_geometry.conv_forward(
        channels, outputs, shape.kernel, shape.size, size, shape.stride, padding, shape.dilation,
        shape.groups, x, y, has_bias, PLAIN,
    )  # fmt: skip


@compiled
def _direct_input_geometries(shape, dx, dy, has_bias):
    """Those of the direct sums of an input gradient, a phase each."""
    size, stride = shape.size, shape.stride
    return [
        conv_geometry.conv_grad_input(
            shape.channels, shape.out_channels, shape.kernel, size, shape.out_size, stride, shape.padding,
            shape.dilation, shape.groups, dx, dy, (row, column), has_bias, PLAIN,
        )
        for row in range(min(stride[0], size[0]))
        for column in range(min(stride[1], size[1]))
    ]  # fmt: skip


@compiled
def input_geometries(method, shape, dx, dy, has_bias, lanes):
    """The geometries of an input gradient: `make_sums` runs one after the other."""
    channels, outputs, size, padding = shape.channels, shape.out_channels, shape.size, shape.padding
    if method.kind == DIRECT:
        return _direct_input_geometries(shape, dx, dy, has_bias)
    if method.kind == TILES:
        return [
            winograd_geometry.grad_input_geometry(
                channels, outputs, size, padding, dy, dx, lanes, PLAIN, method.parts, has_bias
            )
        ]
    if method.kind == LINES:
        return [
            winograd_line_geometry.winograd_line_geometry(
                method.line, outputs, channels, dy, dx, lanes, PLAIN, has_bias
            )
        ]
    return [
        depthwise_geometry.depthwise_grad_input(
            channels, outputs, shape.kernel, size, shape.out_size, shape.stride, padding, shape.dilation,
            shape.groups, dx, dy, has_bias, PLAIN,
        )
    ]  # fmt: skip


@compiled
def weight_geometry(method, shape, x, dy, lanes):
    """The geometry of a weight gradient."""
    channels, outputs, size, padding = shape.channels, shape.out_channels, shape.out_size, shape.padding
    if method.kind == TILES:
        return winograd_geometry.grad_weight_geometry(
            channels, outputs, size, padding, x, dy, lanes, method.parts
        )
    if method.kind == LINES:
        return winograd_line_geometry.grad_weight_geometry(method.line, channels, outputs, x, dy, lanes)
    if method.kind == DEPTHWISE:
        return depthwise_weight_geometry(
            channels, outputs, shape.kernel, size, shape.stride, padding, shape.dilation, shape.groups,
            x, dy, 0,
        )  # fmt: skip
    return conv_geometry.conv_grad_weight(
        channels, outputs, shape.kernel, size, shape.stride, padding, shape.dilation, shape.groups, x, dy, 0
    )


# Memory


@compiled
def first_vector(block):
    """The first whole vector of a block: one that crosses a cache line takes two loads."""
    return advance(pointer(block), -block.ctypes.data % simd.VECTOR_BYTES // block.itemsize)


@compiled
def _vectors(count, like):
    """Memory for `count` numbers that `first_vector` may align; it holds zeros."""
    return np.zeros(count + simd.lanes(pointer(like)), like.dtype)


@compiled
def scratch_size(method, g, lanes):
    """How many numbers the sums of a block work in, with room to align them."""
    if method.kind == TILES:
        return lanes + winograd_geometry.scratch_size(g, lanes)
    if method.kind == LINES:
        return lanes + winograd_line_geometry.scratch_size(g, lanes)
    return lanes


@compiled
def _whole_work():
    """The step state of one thread that does all the work."""
    state = np.zeros(STATE_SIZE, np.int64)
    state[STATE.parts], state[STATE.sums] = 1, 1
    return state


# Weights


@compiled
def _weights_geometry(method, out_channels, channels, lanes, turned):
    """The geometry that the weights are transformed by, and how many numbers that makes."""
    if method.kind == TILES:
        g = winograd_weights.transform_weights_geometry(out_channels, channels, lanes, turned, method.parts)
        return g, winograd_weights.matrices_size(g)
    outputs, inputs = (channels, out_channels) if turned else (out_channels, channels)
    g = winograd_line_weights.line_weights_geometry(method.line, out_channels, channels, lanes, turned)
    return g, winograd_line_weights.line_matrices_size(method.line, outputs, inputs, lanes)


@compiled
def weights_of(method, weight, turned):
    """The numbers that are multiplied with an input, or `turned` with dy: the weights or their transforms."""
    if method.kind == DIRECT or method.kind == DEPTHWISE:
        return weight.reshape(-1)
    lanes = simd.lanes(pointer(weight))
    g, size = _weights_geometry(method, weight.shape[0], weight.shape[1], lanes, turned)
    u, state = _vectors(size, weight), _whole_work()
    _transform(pointer(weight), method.kind, u, g, state)
    keep((weight, g, state))
    return u


@compiled
def sums_of_weights(method, dweight):
    """Where the sums of a weight gradient are made: in place, or as the products' sums, from 0 on."""
    if method.kind == DIRECT or method.kind == DEPTHWISE:
        return dweight.reshape(-1)
    lanes = simd.lanes(pointer(dweight))
    _, size = _weights_geometry(method, dweight.shape[0], dweight.shape[1], lanes, False)
    return _vectors(size, dweight)


@compiled
def finish_weights(method, sums, dweight):
    """Write to dweight what `make_weight_sums` has made of all blocks."""
    outputs, channels, lanes = dweight.shape[0], dweight.shape[1], simd.lanes(pointer(dweight))
    state = _whole_work()
    if method.kind == TILES:
        g = winograd_weights.transform_weights_geometry(outputs, channels, lanes, False, method.parts)
        _transform_back(pointer(dweight), method.kind, sums, g, state)
        keep(g)
    elif method.kind == LINES:
        g = winograd_line_weights.whole_sums_geometry(method.line, outputs, channels, lanes)
        _transform_back(pointer(dweight), method.kind, sums, g, state)
        keep(g)
    keep((sums, dweight, state))


# Sums


@compiled
def make_sums(method, x, weights, bias, y, scratch, g, state):
    """Run a convolution or a part of an input gradient on a block."""
    w, b = pointer(weights), pointer(bias)
    if method.kind == DEPTHWISE:
        _depthwise(x, w, b, x, y, x, pointer(g), pointer(state))
    elif method.kind == DIRECT:
        _contract(x, w, b, x, y, x, pointer(g), pointer(state))
    else:
        _multiply(x, method.kind, weights, b, y, scratch, g, state)


@compiled
def make_weight_sums(method, x, dy, sums, scratch, g, state):
    """Add the weight gradient of a block to the sums."""
    total = pointer(sums)
    if method.kind == DEPTHWISE:
        _depthwise_grad_weight(x, dy, total, total, total, total, pointer(g), pointer(state))
    elif method.kind == DIRECT:
        _contract_grad_weight(x, dy, total, total, total, total, pointer(g), pointer(state))
    else:
        _multiply_gradients(x, method.kind, dy, sums, scratch, g, state)


# The products' operations. They are compiled for float32 only: of float64, these functions do nothing.


def _of_float32(function):
    """Let compiled code call a function that does nothing unless its first argument points to float32."""

    @overload(function, strict=False)
    def typed(p, *args):
        return function if p.dtype == types.float32 else lambda p, *args: None

    return function


@_of_float32
def _multiply(x, kind, weights, bias, y, scratch, g, state):
    u, s = first_vector(weights), first_vector(scratch)
    if kind == TILES:
        _tiles(x, u, bias, x, y, s, pointer(g), pointer(state))
    else:
        _lines(x, u, bias, x, y, s, pointer(g), pointer(state))


@_of_float32
def _multiply_gradients(x, kind, dy, sums, scratch, g, state):
    du, s = first_vector(sums), first_vector(scratch)
    if kind == TILES:
        _tiles_grad_weight(x, dy, du, s, s, s, pointer(g), pointer(state))
    else:
        _lines_grad_weight(x, dy, du, s, s, s, pointer(g), pointer(state))


@_of_float32
def _transform(weight, kind, weights, g, state):
    u = first_vector(weights)
    if kind == TILES:
        _tile_weights(weight, u, weight, weight, weight, weight, pointer(g), pointer(state))
    else:
        _line_weights(weight, u, weight, weight, weight, weight, pointer(g), pointer(state))


@_of_float32
def _transform_back(dweight, kind, sums, g, state):
    s = first_vector(sums)
    if kind == TILES:
        _tile_weight_sums(s, dweight, s, s, s, s, pointer(g), pointer(state))
    else:
        _line_weight_sums(s, dweight, s, s, s, s, pointer(g), pointer(state))
