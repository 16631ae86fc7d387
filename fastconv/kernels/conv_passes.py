"""The passes of a convolution of NCHW arrays: forward, and to the gradients of its input and weight.

    x [N][C][H][W]  --pack-->  blocks [C][H + halo][W + halo][lanes]  --lane kernel-->  unpack  -->  y

A block of samples is laid out with one sample in each lane, the padding as a halo of zeros, and run
through the kernels of `lanes/conv.py`, `lanes/depthwise.py` or `lanes/winograd.py`: `conv_sums.py` says
which. Where samples would leave lanes empty, images are cut in strips of rows: see `row_strips.py`.
"""

import numpy as np

from .. import simd
from ..simd import advance, keep, pointer
from ..simd.compiling import compiled
from .conv_sums import (
    LINES,
    finish_weights,
    first_vector,
    forward_geometry,
    forward_method,
    input_geometries,
    lines_together,
    make_sums,
    make_weight_sums,
    scratch_size,
    sums_of_weights,
    weight_geometry,
    weight_method,
    weights_of,
)
from .lanes import conv_geometry, layout
from .lanes.depthwise import takes
from .lanes.operation import STATE, STATE_SIZE
from .pointwise import is_pointwise, pointwise, pointwise_grad_weight
from .row_strips import Cut, gather_strips, row_of, scatter_strips, strip_rows

_gather, _scatter = layout.gather.function, layout.scatter.function

NO_HALO = 0, 0, 0, 0


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
def _output_cuts(x_shape, y_shape, kernel, stride, padding, dilation, groups, few, lanes):
    """The cuts of x and of y for a convolution, and the padding above x that is left.

    `few` is the method by which a few lines would be made.
    """
    zero, one = np.int64(0), np.int64(1)  # so that all cuts are of one type
    out_rows, seam = y_shape[2], max(0, (kernel[0] - 1) * dilation[0] + 1 - stride[0])
    products = y_shape[3] * y_shape[1] * (x_shape[1] // groups) * kernel[0] * kernel[1]
    x, y = (x_shape[1], x_shape[3], stride[0]), (y_shape[1], y_shape[3], one)
    row = row_of(x, y, products, seam, lanes)
    rows = strip_rows(x_shape[0], out_rows, row, lanes, lines_together(few))
    strips = (out_rows + rows - 1) // rows
    if strips == 1:
        return Cut(one, zero, zero, x_shape[2]), Cut(one, zero, zero, out_rows), padding[0]
    height = (rows - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1
    return Cut(strips, -padding[0], rows * stride[0], height), Cut(strips, zero, rows, rows), zero


@compiled
def _input_cuts(dx_shape, dy_shape, kernel, stride, padding, dilation, groups, few, lanes):
    """The cuts of dy and of dx for the input gradient, and the padding above dx that they amount to."""
    zero, one = np.int64(0), np.int64(1)
    in_rows, out_rows = dx_shape[2], dy_shape[2]
    products = dy_shape[3] * dy_shape[1] * (dx_shape[1] // groups) * kernel[0] * kernel[1] // stride[0]
    dy, dx = (dy_shape[1], dy_shape[3], one), (dx_shape[1], dx_shape[3], one)
    row = row_of(dy, dx, products, (kernel[0] - 1) * dilation[0] // stride[0], lanes)
    rows = strip_rows(dx_shape[0], in_rows, row, lanes, max(lines_together(few), stride[0]))
    strips = (in_rows + rows - 1) // rows
    if strips == 1:
        return Cut(one, zero, zero, out_rows), Cut(one, zero, zero, in_rows), padding[0]
    start = (padding[0] - (kernel[0] - 1) * dilation[0]) // stride[0]
    height = (rows - 1 + padding[0]) // stride[0] - start + 1
    cut = Cut(strips, start, rows // stride[0], height)
    return cut, Cut(strips, zero, rows, rows), padding[0] - start * stride[0]


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
    if is_pointwise(x, y, kernel, stride) and not takes(groups, x.shape[1], y.shape[1]):
        pointwise(x, weight, bias, groups, y, False)
        return
    few = forward_method(x, x.shape[1], y.shape[1], kernel, (LINES, y.shape[3]), stride, dilation, groups)
    x_cut, y_cut, top = _output_cuts(x.shape, y.shape, kernel, stride, padding, dilation, groups, few, lanes)
    size, out_size, padding = (x_cut.height, x.shape[3]), (y_cut.height, y.shape[3]), (top, padding[1])
    halo = conv_geometry.forward_halo(kernel, size, out_size, stride, padding, dilation)
    method = forward_method(x, x.shape[1], y.shape[1], kernel, out_size, stride, dilation, groups)
    g = forward_geometry(
        method, x.shape[1], y.shape[1], kernel, size, out_size, stride, padding, dilation, groups,
        _distances(size, halo), _distances(out_size, NO_HALO), 1 if bias.size else 0, lanes,
    )  # fmt: skip
    weights = weights_of(method, weight, False)
    _sum_up(method, [g], weights, bias, x, x_cut, size, halo, y, y_cut, out_size)


@compiled
def input_gradient(dy, weight, bias, stride, padding, dilation, groups, dx):
    """dx of a convolution; with a bias, y of the transposed one, whose x is dy."""
    kernel, lanes = weight.shape[2:], simd.lanes(pointer(dy))
    if is_pointwise(dx, dy, kernel, stride) and not takes(groups, dy.shape[1], dx.shape[1]):
        pointwise(dy, weight, bias, groups, dx, True)
        return
    few = forward_method(dy, dy.shape[1], dx.shape[1], kernel, (LINES, dx.shape[3]), stride, dilation, groups)
    dy_cut, dx_cut, top = _input_cuts(
        dx.shape, dy.shape, kernel, stride, padding, dilation, groups, few, lanes
    )
    size, out_size, padding = (dx_cut.height, dx.shape[3]), (dy_cut.height, dy.shape[3]), (top, padding[1])
    halo = conv_geometry.grad_input_halo(kernel, size, out_size, stride, padding, dilation)
    method = forward_method(dy, dy.shape[1], dx.shape[1], kernel, size, stride, dilation, groups)
    geometries = input_geometries(
        method, dx.shape[1], dy.shape[1], kernel, size, out_size, stride, padding, dilation, groups,
        _distances(size, NO_HALO), _distances(out_size, halo), 1 if bias.size else 0, lanes,
    )  # fmt: skip
    weights = weights_of(method, weight, True)
    _sum_up(method, geometries, weights, bias, dy, dy_cut, out_size, halo, dx, dx_cut, size)


@compiled
def weight_gradient(x, dy, stride, padding, dilation, groups, dweight):
    """The gradient of a convolution's weight, to a dweight of zeros."""
    kernel, lanes = dweight.shape[2:], simd.lanes(pointer(x))
    if is_pointwise(x, dy, kernel, stride):
        pointwise_grad_weight(x, dy, groups, dweight)
        return
    few = weight_method(x, x.shape[1], dy.shape[1], kernel, (LINES, dy.shape[3]), stride, dilation, groups)
    x_cut, dy_cut, top = _output_cuts(
        x.shape, dy.shape, kernel, stride, padding, dilation, groups, few, lanes
    )
    size, out_size, padding = (x_cut.height, x.shape[3]), (dy_cut.height, dy.shape[3]), (top, padding[1])
    halo = conv_geometry.forward_halo(kernel, size, out_size, stride, padding, dilation)
    x_distances, dy_distances = _distances(size, halo), _distances(out_size, NO_HALO)
    method = weight_method(x, x.shape[1], dy.shape[1], kernel, out_size, stride, dilation, groups)
    g = weight_geometry(
        method, x.shape[1], dy.shape[1], kernel, out_size, stride, padding, dilation, groups,
        x_distances, dy_distances, lanes,
    )  # fmt: skip
    x_block, dy_block, scratch = _blocks(x.shape[1], x_distances, dy.shape[1], dy_distances, method, g, x)
    sums = sums_of_weights(method, dweight)
    from_x, from_dy = layout.gather_array(x, x_distances), layout.gather_array(dy, dy_distances)
    state = np.zeros(STATE_SIZE, np.int64)
    count = x.shape[0] * x_cut.strips
    image, slope = _inner(x_block, size, halo), first_vector(dy_block)
    for first in range(0, count, lanes):
        _read(x, x_cut, from_x, first, count, state, image, x_distances)
        _read(dy, dy_cut, from_dy, first, count, state, slope, dy_distances)
        make_weight_sums(method, image, slope, sums, scratch, g, state)
    finish_weights(method, sums, dweight)
    keep((g, sums, scratch, from_x, from_dy, state, x_block, dy_block))
