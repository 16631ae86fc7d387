"""Convolution of NCHW arrays and its gradients.

    x [N][C][H][W]  --pack-->  blocks [C][H + halo][W + halo][lanes]  --lane kernel-->  unpack  -->  y

A block of samples is laid out with one sample in each lane, the padding as a halo of zeros, and run
through the kernels of `lanes/conv.py` or `lanes/depthwise.py`, which keep a tile of accumulators in
registers. Where there are too few samples for the lanes, images are cut in strips of rows: see
`row_strips.py`.
"""

import numpy as np

from .. import simd
from ..checks.arrays import check_length, check_shape4, float_array, same_dtype
from ..checks.jit import Array, IntOrPair, Padding, public
from ..checks.padding import first_of, padding_around
from ..checks.scalars import positive_int, positive_pair
from ..checks.windows import check_conv, check_total
from ..simd import advance, keep, pointer
from ..simd.compiling import compiled
from .conv_sums import (
    forward_geometry,
    input_geometries,
    make_sums,
    make_weight_sums,
    weight_geometry,
)
from .lanes import conv_geometry, layout
from .lanes.depthwise import takes
from .lanes.depthwise_grad_weight import takes_grad_weight
from .lanes.operation import STATE, STATE_SIZE
from .pointwise import is_pointwise, pointwise, pointwise_grad_input, pointwise_grad_weight
from .row_strips import Cut, gather_strips, scatter_strips, strip_rows

__all__ = ["conv2d", "conv2d_grad_bias", "conv2d_grad_input", "conv2d_grad_weight"]

_gather, _scatter = layout.gather.function, layout.scatter.function


@public
def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Array:
    """Convolution (cross-correlation) of images.

    y[n, o, i, j] = bias[o] + sum over c, kh, kw of
    x[n, c, i * stride - top + kh * dilation, j * stride - left + kw * dilation] * weight[o, c, kh, kw]

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        float32 or float64, any strides.
    weight : ndarray, shape (O, C // groups, KH, KW)
        Of the dtype of `x`.
    bias : ndarray, shape (O,), optional
    stride, dilation : int or pair of ints
        (height, width).
    padding : int, pair of ints, pair of pairs, "same", "same_lower" or "valid"
        Zeros around the images: on all sides, (above and below, left and right), or ((top, bottom), (left,
        right)). "same" gives ceil(H / stride) rows, the odd zero below and right, as in Keras; "same_lower"
        has it above and left. In `@njit` code a text must be a literal.
    groups : int
        Input and output channels are divided into so many groups, each convolved on its own.

    Returns
    -------
    ndarray, shape (N, O, OH, OW)
        With OH = (H + top + bottom - dilation * (KH - 1) - 1) // stride + 1, and OW likewise.

    Raises
    ------
    TypeError
        If an array is not of float32 or float64, or their dtypes differ.
    ValueError
        If shapes do not fit each other.

    Notes
    -----
    The zeros of the padding are multiplied, or left out where that is faster: a weight that is not finite may
    make an output NaN where its tap meets the padding.

    Source: Dumoulin and Visin (2016), A guide to convolution arithmetic for deep learning.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv2d
    >>> x = np.arange(16.0).reshape(1, 1, 4, 4)
    >>> conv2d(x, np.ones((1, 1, 3, 3)))
    array([[[[45., 54.],
             [81., 90.]]]])
    """
    x = float_array(x, "x", 4)
    weight = float_array(weight, "weight", 4)
    same_dtype(weight, "weight", x, "x")
    stride = positive_pair(stride, "stride")
    dilation = positive_pair(dilation, "dilation")
    groups = positive_int(groups, "groups")
    pads = padding_around(padding, "padding", x.shape[2:], weight.shape[2:], stride, dilation)
    height, width = check_conv(x.shape, weight.shape, stride, pads, dilation, groups, "weight")
    y = np.empty((x.shape[0], weight.shape[0], height, width), x.dtype)
    if bias is None:
        convolve(x, weight, weight.reshape(-1)[:0], stride, first_of(pads), dilation, groups, y)
    else:
        bias = float_array(bias, "bias", 1)
        same_dtype(bias, "bias", x, "x")
        check_length(bias.size, weight.shape[0], "bias", "entries, one for each output channel")
        convolve(x, weight, bias, stride, first_of(pads), dilation, groups, y)
    return y


@public
def conv2d_grad_input(
    dy: Array,
    weight: Array,
    input_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Array:
    """Gradient of `conv2d` with respect to its input: the full correlation of dy with the turned weight.

    Parameters
    ----------
    dy : ndarray, shape (N, O, OH, OW)
        Gradient of the loss with respect to the output.
    weight : ndarray, shape (O, C // groups, KH, KW)
    input_size : pair of ints
        (H, W) of the input; several sizes give the same output size.
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    ndarray, shape (N, C, H, W)

    Raises
    ------
    TypeError, ValueError
        As in `conv2d`, and if `dy` has not the shape of the output.

    Notes
    -----
    As in `conv2d`, a weight that is not finite may make a gradient NaN where its tap meets no output.

    Source: Dumoulin and Visin (2016), chapter 4 (transposed convolution).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv2d_grad_input
    >>> conv2d_grad_input(np.ones((1, 1, 1, 1)), np.arange(4.0).reshape(1, 1, 2, 2), (2, 2))
    array([[[[0., 1.],
             [2., 3.]]]])
    """
    dy = float_array(dy, "dy", 4)
    weight = float_array(weight, "weight", 4)
    same_dtype(weight, "weight", dy, "dy")
    size = positive_pair(input_size, "input_size")
    stride = positive_pair(stride, "stride")
    dilation = positive_pair(dilation, "dilation")
    groups = positive_int(groups, "groups")
    pads = padding_around(padding, "padding", size, weight.shape[2:], stride, dilation)
    x_shape = (dy.shape[0], weight.shape[1] * groups, size[0], size[1])
    check_total(x_shape[0], x_shape[1], size[0], size[1], "input_size")
    height, width = check_conv(x_shape, weight.shape, stride, pads, dilation, groups, "weight")
    check_shape4(dy.shape, dy.shape[0], weight.shape[0], height, width, "dy")
    dx = np.empty(x_shape, dy.dtype)
    input_gradient(dy, weight, weight.reshape(-1)[:0], stride, first_of(pads), dilation, groups, dx)
    return dx


@public
def conv2d_grad_weight(
    x: Array,
    dy: Array,
    kernel_size: IntOrPair,
    stride: IntOrPair = 1,
    padding: Padding = 0,
    dilation: IntOrPair = 1,
    groups: int = 1,
) -> Array:
    """Gradient of `conv2d` with respect to its weight: the correlation of x with dy, summed over samples.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
    dy : ndarray, shape (N, O, OH, OW)
        Gradient of the loss with respect to the output.
    kernel_size : int or pair of ints
        (KH, KW).
    stride, padding, dilation, groups
        As in `conv2d`.

    Returns
    -------
    ndarray, shape (O, C // groups, KH, KW)

    Raises
    ------
    TypeError, ValueError
        As in `conv2d`, and if `dy` has not the shape of the output.

    Notes
    -----
    Source: Goodfellow, Bengio and Courville (2016), eq. 9.11.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv2d_grad_weight
    >>> x = np.arange(9.0).reshape(1, 1, 3, 3)
    >>> conv2d_grad_weight(x, np.ones((1, 1, 2, 2)), 2)
    array([[[[ 8., 12.],
             [20., 24.]]]])
    """
    x = float_array(x, "x", 4)
    dy = float_array(dy, "dy", 4)
    same_dtype(dy, "dy", x, "x")
    kernel = positive_pair(kernel_size, "kernel_size")
    stride = positive_pair(stride, "stride")
    dilation = positive_pair(dilation, "dilation")
    groups = positive_int(groups, "groups")
    pads = padding_around(padding, "padding", x.shape[2:], kernel, stride, dilation)
    weight_shape = (dy.shape[1], x.shape[1] // groups, kernel[0], kernel[1])
    height, width = check_conv(x.shape, weight_shape, stride, pads, dilation, groups, "kernel_size")
    check_shape4(dy.shape, x.shape[0], dy.shape[1], height, width, "dy")
    dweight = np.zeros(weight_shape, x.dtype)
    weight_gradient(x, dy, stride, first_of(pads), dilation, groups, dweight)
    return dweight


@public
def conv2d_grad_bias(dy: Array) -> Array:
    """Gradient of `conv2d` with respect to its bias: the sum of dy over samples and positions.

    Parameters
    ----------
    dy : ndarray, shape (N, O, OH, OW)
        float32 or float64, any strides.

    Returns
    -------
    ndarray, shape (O,)

    Raises
    ------
    TypeError, ValueError
        If `dy` is not a 4-D array of float32 or float64.

    Notes
    -----
    The sum is carried in float64, so that large images lose nothing. Source: the chain rule.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv.kernels import conv2d_grad_bias
    >>> conv2d_grad_bias(np.ones((2, 3, 4, 4)))
    array([32., 32., 32.])
    """
    dy = float_array(dy, "dy", 4)
    dbias = np.zeros(dy.shape[1], dy.dtype)
    _conv2d_grad_bias(dy, dbias)
    return dbias


@compiled
def _distances(size, halo):
    """How far planes of this size with a halo are apart, and their lines: (plane, line), in vectors."""
    row = size[1] + halo[2] + halo[3]
    return (size[0] + halo[0] + halo[1]) * row, row


@compiled
def _block(channels, distances, dtype_of):
    """Memory for planes of a block, with room for a square past the last one, and to align the first."""
    lanes = simd.lanes(pointer(dtype_of))
    return np.zeros((channels * distances[0] + lanes + 1) * lanes, dtype_of.dtype)


@compiled
def _first(block):
    """The first whole vector of a block: one that crosses a cache line takes two loads."""
    return advance(pointer(block), -block.ctypes.data % simd.VECTOR_BYTES // block.itemsize)


@compiled
def _inner(block, size, halo):
    """The first element inside the halo of a block."""
    return advance(
        _first(block), (halo[0] * _distances(size, halo)[1] + halo[2]) * simd.lanes(pointer(block))
    )


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
def _output_cuts(x_shape, y_shape, kernel, stride, padding, dilation, lanes):
    """The cuts of x and of y for a convolution, and the padding above x that is left."""
    zero, one = np.int64(0), np.int64(1)  # so that all cuts are of one type
    out_rows, row_vectors = y_shape[2], x_shape[1] * x_shape[3] * stride[0] + y_shape[1] * y_shape[3]
    rows = strip_rows(x_shape[0], out_rows, row_vectors, lanes, 1)
    strips = (out_rows + rows - 1) // rows
    if strips == 1:
        return Cut(one, zero, zero, x_shape[2]), Cut(one, zero, zero, out_rows), padding[0]
    height = (rows - 1) * stride[0] + (kernel[0] - 1) * dilation[0] + 1
    return Cut(strips, -padding[0], rows * stride[0], height), Cut(strips, zero, rows, rows), zero


@compiled
def _input_cuts(dx_shape, dy_shape, kernel, stride, padding, dilation, lanes):
    """The cuts of dy and of dx for the input gradient, and the padding above dx that they amount to."""
    zero, one = np.int64(0), np.int64(1)
    in_rows, out_rows = dx_shape[2], dy_shape[2]
    row_vectors = dx_shape[1] * dx_shape[3] + dy_shape[1] * dy_shape[3]
    rows = strip_rows(dx_shape[0], in_rows, row_vectors, lanes, stride[0])
    strips = (in_rows + rows - 1) // rows
    if strips == 1:
        return Cut(one, zero, zero, out_rows), Cut(one, zero, zero, in_rows), padding[0]
    start = (padding[0] - (kernel[0] - 1) * dilation[0]) // stride[0]
    height = (rows - 1 + padding[0]) // stride[0] - start + 1
    cut = Cut(strips, start, rows // stride[0], height)
    return cut, Cut(strips, zero, rows, rows), padding[0] - start * stride[0]


@compiled
def convolve(x, weight, bias, stride, padding, dilation, groups, y):
    """y of a convolution; an empty bias stands for none."""
    kernel, lanes = weight.shape[2:], simd.lanes(pointer(x))
    depthwise = takes(groups, x.shape[1], y.shape[1])
    if not depthwise and is_pointwise(x, y, kernel, stride):
        pointwise(x, weight, bias, groups, y)
        return
    x_cut, y_cut, top = _output_cuts(x.shape, y.shape, kernel, stride, padding, dilation, lanes)
    size, out_size, padding = (x_cut.height, x.shape[3]), (y_cut.height, y.shape[3]), (top, padding[1])
    halo = conv_geometry.forward_halo(kernel, size, out_size, stride, padding, dilation)
    x_distances, y_distances = _distances(size, halo), (out_size[0] * out_size[1], out_size[1])
    x_block, y_block = _block(x.shape[1], x_distances, x), _block(y.shape[1], y_distances, x)
    g = forward_geometry(
        depthwise, x.shape[1], y.shape[1], kernel, size, out_size, stride, padding, dilation, groups,
        x_distances, y_distances, 1 if bias.size else 0,
    )  # fmt: skip
    from_x, to_y = layout.gather_array(x, x_distances), layout.scatter_array(y, y_distances)
    state = np.zeros(STATE_SIZE, np.int64)
    image, result, count = _inner(x_block, size, halo), _first(y_block), x.shape[0] * x_cut.strips
    for first in range(0, count, lanes):
        _read(x, x_cut, from_x, first, count, state, image, x_distances)
        make_sums(depthwise, image, weight, bias, result, g, state)
        _write(result, y, y_cut, to_y, state, y_distances)
    keep((g, from_x, to_y, state, x_block, y_block))


@compiled
def input_gradient(dy, weight, bias, stride, padding, dilation, groups, dx):
    """dx of a convolution; with a bias, y of the transposed one, whose x is dy."""
    kernel, lanes = weight.shape[2:], simd.lanes(pointer(dy))
    depthwise = takes(groups, dy.shape[1], dx.shape[1])
    if not depthwise and is_pointwise(dx, dy, kernel, stride):
        pointwise_grad_input(dy, weight, bias, groups, dx)
        return
    dy_cut, dx_cut, top = _input_cuts(dx.shape, dy.shape, kernel, stride, padding, dilation, lanes)
    size, out_size, padding = (dx_cut.height, dx.shape[3]), (dy_cut.height, dy.shape[3]), (top, padding[1])
    halo = conv_geometry.grad_input_halo(kernel, size, out_size, stride, padding, dilation)
    dy_distances, dx_distances = _distances(out_size, halo), (size[0] * size[1], size[1])
    dy_block, dx_block = _block(dy.shape[1], dy_distances, dy), _block(dx.shape[1], dx_distances, dy)
    geometries = input_geometries(
        depthwise, dx.shape[1], dy.shape[1], kernel, size, out_size, stride, padding, dilation, groups,
        dx_distances, dy_distances, 1 if bias.size else 0,
    )  # fmt: skip
    from_dy, to_dx = layout.gather_array(dy, dy_distances), layout.scatter_array(dx, dx_distances)
    state = np.zeros(STATE_SIZE, np.int64)
    slope, result, count = _inner(dy_block, out_size, halo), _first(dx_block), dy.shape[0] * dy_cut.strips
    for first in range(0, count, lanes):
        _read(dy, dy_cut, from_dy, first, count, state, slope, dy_distances)
        for g in geometries:
            make_sums(depthwise, slope, weight, bias, result, g, state)
        _write(result, dx, dx_cut, to_dx, state, dx_distances)
    keep((geometries, from_dy, to_dx, state, dy_block, dx_block))


@compiled
def weight_gradient(x, dy, stride, padding, dilation, groups, dweight):
    """Add the gradient of a convolution's weight to dweight."""
    kernel, lanes = dweight.shape[2:], simd.lanes(pointer(x))
    if is_pointwise(x, dy, kernel, stride):
        pointwise_grad_weight(x, dy, groups, dweight)
        return
    x_cut, dy_cut, top = _output_cuts(x.shape, dy.shape, kernel, stride, padding, dilation, lanes)
    size, out_size, padding = (x_cut.height, x.shape[3]), (dy_cut.height, dy.shape[3]), (top, padding[1])
    halo = conv_geometry.forward_halo(kernel, size, out_size, stride, padding, dilation)
    x_distances, dy_distances = _distances(size, halo), (out_size[0] * out_size[1], out_size[1])
    x_block, dy_block = _block(x.shape[1], x_distances, x), _block(dy.shape[1], dy_distances, x)
    depthwise = takes_grad_weight(groups, dy.shape[1], kernel, stride, dilation)
    g = weight_geometry(
        depthwise, x.shape[1], dy.shape[1], kernel, out_size, stride, padding, dilation, groups,
        x_distances, dy_distances,
    )  # fmt: skip
    from_x, from_dy = layout.gather_array(x, x_distances), layout.gather_array(dy, dy_distances)
    state = np.zeros(STATE_SIZE, np.int64)
    count = x.shape[0] * x_cut.strips
    image, slope = _inner(x_block, size, halo), _first(dy_block)
    for first in range(0, count, lanes):
        _read(x, x_cut, from_x, first, count, state, image, x_distances)
        _read(dy, dy_cut, from_dy, first, count, state, slope, dy_distances)
        make_weight_sums(depthwise, image, slope, dweight, g, state)
    keep((g, from_x, from_dy, state, x_block, dy_block))


@compiled
def _conv2d_grad_bias(dy, dbias):
    for c in range(dy.shape[1]):
        total = 0.0
        for n in range(dy.shape[0]):
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    total += dy[n, c, i, j]
        dbias[c] = total
