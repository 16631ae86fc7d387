"""The passes of a convolution of NCHW arrays: forward, and to the gradients of its input and weight.

    x [N][C][H][W]  --pack-->  blocks [C][H + halo][W + halo][lanes]  --lane kernel-->  unpack  -->  y

A block of samples is laid out with one sample in each lane, the padding as a halo of zeros, and run through
one of the lane kernels: `conv_sums.py` says which, `conv_work.py` has them. Where samples would leave lanes
empty, images are cut in strips of rows: see `row_strips.py`. Where that is faster, lanes hold positions and
nothing is packed: see `patches.py`.
"""

import numpy as np

from .. import simd
from ..simd import advance, keep, pointer
from ..simd.compiling import compiled
from .conv_sums import (
    NO_HALO,
    forward_method,
    input_halo,
    input_method,
    is_pointwise,
    lines_together,
    of_sizes,
    patches_pay,
    result_halo,
    shape_of,
    slope_halo,
    weight_method,
)
from .conv_work import (
    finish_weights,
    first_vector,
    forward_geometry,
    input_geometries,
    make_sums,
    make_weight_sums,
    scratch_size,
    sums_of_weights,
    weight_geometry,
    weights_of,
)
from .lanes import layout
from .lanes.operation import STATE, STATE_SIZE
from .patches import convolve_patches, weight_gradient_patches
from .row_strips import Cut, gather_strips, row_of, scatter_strips, strip_rows

_gather, _scatter = layout.gather.function, layout.scatter.function


@compiled
def _distances(size, halo):
    """How far planes of this size with a halo are apart, and their lines: (plane, line), in vectors."""
    row = size[1] + halo[2] + halo[3]
    return (size[0] + halo[0] + halo[1]) * row, row


@compiled
def _block_size(channels, distances, lanes):
    """The numbers of the planes of a block, with room for a square past the last one, and to align it."""
    return (channels * distances[0] + lanes + 1) * lanes


@compiled
def _blocks(channels, distances, other_channels, other_distances, method, g, like):
    """Memory for a block, for another, and for what their sums work in.

    It is one array: of several, the C library gives memory back to the system at the end of each call, whose
    pages take longer to get anew than many sums do.
    """
    lanes = simd.lanes(pointer(like))
    first = _block_size(channels, distances, lanes)
    second = first + _block_size(other_channels, other_distances, lanes)
    memory = np.zeros(second + scratch_size(method, g, lanes), like.dtype)
    return memory[:first], memory[first:second], memory[second:]


@compiled
def _inner(block, size, halo):
    """The first element inside the halo of a block."""
    place = halo[0] * _distances(size, halo)[1] + halo[2]
    return advance(first_vector(block), place * simd.lanes(pointer(block)))


@compiled
def _read(x, cut, from_x, first, count, state, block, distances):
    """Fill the lanes of a block with the strips (whole images, where a cut has one) first, first + 1, ..."""
    state[STATE.first_sample], state[STATE.valid] = first, min(simd.lanes(block), count - first)
    if cut.strips == 1:
        _gather(block, block, block, block, block, block, pointer(from_x), pointer(state))
    else:
        gather_strips(x, cut, first, state[STATE.valid], block, distances)


@compiled
def _write(block, y, cut, to_y, state, distances):
    """Copy the lanes of a block to the strips that were read last."""
    if cut.strips == 1:
        _scatter(block, block, block, block, block, block, pointer(to_y), pointer(state))
    else:
        scatter_strips(block, y, cut, state[STATE.first_sample], state[STATE.valid], distances)


@compiled
def _output_cuts(samples, shape, multiple, lanes):
    """The cuts of x and of y for a convolution, and the convolution of a strip.

    Strips have a multiple of so many rows of y.
    """
    zero, one = np.int64(0), np.int64(1)  # so that all cuts are of one type
    (in_rows, in_width), (out_rows, out_width) = shape.size, shape.out_size
    reach = (shape.kernel[0] - 1) * shape.dilation[0] + 1
    products = out_width * shape.out_channels * (shape.channels // shape.groups)
    products *= shape.kernel[0] * shape.kernel[1]
    x, y = (shape.channels, in_width, shape.stride[0]), (shape.out_channels, out_width, one)
    row = row_of(x, y, products, max(0, reach - shape.stride[0]), lanes)
    rows = strip_rows(samples, out_rows, row, lanes, multiple)
    strips = (out_rows + rows - 1) // rows
    if strips == 1:
        return Cut(one, zero, zero, in_rows), Cut(one, zero, zero, out_rows), shape
    height = (rows - 1) * shape.stride[0] + reach
    cut = Cut(strips, -shape.padding[0], rows * shape.stride[0], height)
    part = of_sizes(shape, (height, in_width), (rows, out_width), (zero, shape.padding[1]))
    return cut, Cut(strips, zero, rows, rows), part


@compiled
def _input_cuts(samples, shape, multiple, lanes):
    """The cuts of dy and of dx for the input gradient, and the convolution of a strip."""
    zero, one = np.int64(0), np.int64(1)
    (in_rows, in_width), (out_rows, out_width) = shape.size, shape.out_size
    stride, padding, reach = shape.stride[0], shape.padding[0], (shape.kernel[0] - 1) * shape.dilation[0]
    products = out_width * shape.out_channels * (shape.channels // shape.groups)
    products = products * shape.kernel[0] * shape.kernel[1] // stride
    dy, dx = (shape.out_channels, out_width, one), (shape.channels, in_width, one)
    row = row_of(dy, dx, products, reach // stride, lanes)
    rows = strip_rows(samples, in_rows, row, lanes, multiple * stride)
    strips = (in_rows + rows - 1) // rows
    if strips == 1:
        return Cut(one, zero, zero, out_rows), Cut(one, zero, zero, in_rows), shape
    start = (padding - reach) // stride
    height = (rows - 1 + padding) // stride - start + 1
    cut = Cut(strips, start, rows // stride, height)
    part = of_sizes(
        shape, (rows, in_width), (height, out_width), (padding - start * stride, shape.padding[1])
    )
    return cut, Cut(strips, zero, rows, rows), part


@compiled
def _sum_up(
    method, geometries, weights, bias, source, source_cut, source_size, halo, target, target_cut, size
):
    """Make the target's planes of `size` from the source, block by block."""
    distances, target_distances = _distances(source_size, halo), _distances(size, NO_HALO)
    block, target_block, scratch = _blocks(
        source.shape[1], distances, target.shape[1], target_distances, method, geometries[0], source
    )
    gathered = layout.gather_array(source, distances)
    scattered = layout.scatter_array(target, target_distances)
    state = np.zeros(STATE_SIZE, np.int64)
    x, y = _inner(block, source_size, halo), first_vector(target_block)
    count = source.shape[0] * source_cut.strips
    for first in range(0, count, simd.lanes(x)):
        _read(source, source_cut, gathered, first, count, state, x, distances)
        for g in geometries:
            make_sums(method, x, weights, bias, y, scratch, g, state)
        _write(y, target, target_cut, scattered, state, target_distances)
    keep((geometries, weights, scratch, gathered, scattered, state, block, target_block))


@compiled
def convolve(x, weight, bias, stride, padding, dilation, groups, y):
    """y of a convolution; an empty bias stands for none."""
    kernel, lanes = weight.shape[2:], simd.lanes(pointer(x))
    shape = shape_of(x.shape, y.shape, kernel, stride, padding, dilation, groups)
    method = forward_method(x, shape)
    if patches_pay(shape, method, lanes):
        convolve_patches(x, weight, bias, shape, y, False)
        return
    lines = lines_together(method)
    few = of_sizes(shape, shape.size, (lines, shape.out_size[1]), shape.padding)
    multiple = lines_together(forward_method(x, few))
    x_cut, y_cut, shape = _output_cuts(x.shape[0], shape, multiple, lanes)
    method = forward_method(x, shape)
    halo = input_halo(method, shape)
    g = forward_geometry(
        method, shape, _distances(shape.size, halo), _distances(shape.out_size, NO_HALO),
        1 if bias.size else 0, lanes,
    )  # fmt: skip
    weights = weights_of(method, weight, False)
    _sum_up(method, [g], weights, bias, x, x_cut, shape.size, halo, y, y_cut, shape.out_size)


@compiled
def input_gradient(dy, weight, bias, stride, padding, dilation, groups, dx):
    """dx of a convolution; with a bias, y of the transposed one, whose x is dy."""
    kernel, lanes = weight.shape[2:], simd.lanes(pointer(dy))
    shape = shape_of(dx.shape, dy.shape, kernel, stride, padding, dilation, groups)
    method = input_method(dy, shape)
    if is_pointwise(shape):
        back = shape_of(dy.shape, dx.shape, kernel, stride, padding, dilation, groups)
        if patches_pay(back, method, lanes):
            convolve_patches(dy, weight, bias, back, dx, True)
            return
    lines = lines_together(method)
    few = of_sizes(shape, (lines * stride[0], shape.size[1]), (lines, shape.out_size[1]), shape.padding)
    multiple = lines_together(input_method(dy, few))
    dy_cut, dx_cut, shape = _input_cuts(dx.shape[0], shape, multiple, lanes)
    method = input_method(dy, shape)
    halo = slope_halo(method, shape)
    geometries = input_geometries(
        method, shape, _distances(shape.size, NO_HALO), _distances(shape.out_size, halo),
        1 if bias.size else 0, lanes,
    )  # fmt: skip
    weights = weights_of(method, weight, True)
    _sum_up(method, geometries, weights, bias, dy, dy_cut, shape.out_size, halo, dx, dx_cut, shape.size)


@compiled
def weight_gradient(x, dy, stride, padding, dilation, groups, dweight):
    """The gradient of a convolution's weight, to a dweight of zeros."""
    kernel, lanes = dweight.shape[2:], simd.lanes(pointer(x))
    shape = shape_of(x.shape, dy.shape, kernel, stride, padding, dilation, groups)
    method = weight_method(x, shape)
    if patches_pay(shape, method, lanes):
        weight_gradient_patches(x, dy, shape, dweight)
        return
    lines = lines_together(method)
    few = of_sizes(shape, shape.size, (lines, shape.out_size[1]), shape.padding)
    multiple = lines_together(weight_method(x, few))
    x_cut, dy_cut, shape = _output_cuts(x.shape[0], shape, multiple, lanes)
    method = weight_method(x, shape)
    halo, dy_halo = input_halo(method, shape), result_halo(method)
    x_distances, dy_distances = _distances(shape.size, halo), _distances(shape.out_size, dy_halo)
    g = weight_geometry(method, shape, x_distances, dy_distances, lanes)
    x_block, dy_block, scratch = _blocks(x.shape[1], x_distances, dy.shape[1], dy_distances, method, g, x)
    sums = sums_of_weights(method, dweight)
    from_x, from_dy = layout.gather_array(x, x_distances), layout.gather_array(dy, dy_distances)
    state = np.zeros(STATE_SIZE, np.int64)
    image, slope = _inner(x_block, shape.size, halo), _inner(dy_block, shape.out_size, dy_halo)
    for first in range(0, x.shape[0] * x_cut.strips, lanes):
        _read(x, x_cut, from_x, first, x.shape[0] * x_cut.strips, state, image, x_distances)
        _read(dy, dy_cut, from_dy, first, x.shape[0] * x_cut.strips, state, slope, dy_distances)
        make_weight_sums(method, image, slope, sums, scratch, g, state)
    finish_weights(method, sums, dweight)
    keep((g, sums, scratch, from_x, from_dy, state, x_block, dy_block))
