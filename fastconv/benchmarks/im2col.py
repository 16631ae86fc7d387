"""The baseline: convolution and friends in NumPy, by sliding windows (im2col) and matrix products.

No straw man. What was measured to be fastest is what it does:

- Windows become columns a part at a time, so that the columns of a part stay in the processor's second
  level of cache: 14 instead of 17 ms for 32 -> 32 channels, 3x3, 64 images of 32x32.
- The channels of the result come first, so that a matrix product writes NCHW directly.
- Memory that is needed again is kept in a `Workspace`: a fresh 10 MB array costs more than filling it.

Functions have the names, arguments and results of `fastconv.kernels`. The work is done on arrays

    x[block][C][H][W][sample of the block]

which is plain NCHW when a block is one sample. A training step may put the whole batch into one block:
see `im2col_nets.py`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]

# Bytes of columns in work at a time. Measured: best for LeNet-5; for the VGG net 1 and 2 MB differ by 5 %.
PART_BYTES = 2 << 20


class Workspace:
    """Arrays by name, allocated once for each shape."""

    def __init__(self) -> None:
        self._arrays: dict[str, Array] = {}

    def __call__(self, name: str, shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> Array:
        """The array of this name; its content is what was left there, zeros at first."""
        array = self._arrays.get(name)
        if array is None or array.shape != shape or array.dtype != dtype:
            array = self._arrays[name] = np.zeros(shape, dtype)
        return array


_shared = Workspace()


def _pair(value: int | tuple[int, int]) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


@dataclass(frozen=True)
class Geometry:
    """Where windows lie."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def output_size(self, size: tuple[int, ...]) -> tuple[int, int]:
        """Windows down and across in an image of `size`, without its padding."""
        high, wide = (
            (edge + 2 * p - d * (k - 1) - 1) // s + 1
            for edge, p, d, k, s in zip(
                size, self.padding, self.dilation, self.kernel, self.stride, strict=True
            )
        )
        return high, wide

    def taps(self, rows: slice, wide: int) -> Iterator[tuple[int, int, slice, slice]]:
        """For each kernel element: kh, kw, and where it meets the padded image, for these rows of windows."""
        (sh, sw), (dh, dw) = self.stride, self.dilation
        for kh in range(self.kernel[0]):
            down = slice(rows.start * sh + kh * dh, (rows.stop - 1) * sh + kh * dh + 1, sh)
            for kw in range(self.kernel[1]):
                yield kh, kw, down, slice(kw * dw, (wide - 1) * sw + kw * dw + 1, sw)


def _geometry(kernel: Any, stride: Any, padding: Any, dilation: Any = 1, groups: int = 1) -> Geometry:
    return Geometry(_pair(kernel), _pair(stride), _pair(padding), _pair(dilation), groups)


def pad(x: Array, g: Geometry, workspace: Workspace, value: float = 0.0) -> Array:
    """`x` (blocks, C, H, W, samples) with its border; `x` itself if it needs none."""
    ph, pw = g.padding
    if ph == pw == 0:
        return x
    blocks, channels, high, wide, samples = x.shape
    padded = workspace("padded", (blocks, channels, high + 2 * ph, wide + 2 * pw, samples), x.dtype)
    inside = padded[:, :, ph : ph + high, pw : pw + wide]
    if value or workspace is _shared:
        padded.fill(value)
    np.copyto(inside, x)
    return padded


def _parts(blocks: int, high: int, row_bytes: int) -> Iterator[tuple[slice, slice]]:
    """Cut windows into parts of `PART_BYTES` of columns: several blocks, or some rows of one block."""
    at_once = max(1, PART_BYTES // (row_bytes * high))
    rows = high if at_once > 1 else min(high, max(1, PART_BYTES // row_bytes))
    for b in range(0, blocks, at_once):
        for r in range(0, high, rows):
            yield slice(b, min(b + at_once, blocks)), slice(r, min(r + rows, high))


def _matrix_parts(x: Array, g: Geometry, out_size: tuple[int, int]) -> Iterator[tuple[slice, slice, int]]:
    channels, samples = x.shape[1], x.shape[4]
    depth = channels * g.kernel[0] * g.kernel[1]
    row_bytes = depth * out_size[1] * samples * x.itemsize
    for b, r in _parts(x.shape[0], out_size[0], row_bytes):
        yield b, r, (r.stop - r.start) * out_size[1] * samples


def _windows(x: Array, g: Geometry) -> Array:
    """A view of padded `x`: (blocks, C, KH, KW, OH, OW, samples)."""
    span = tuple(d * (k - 1) + 1 for d, k in zip(g.dilation, g.kernel, strict=True))
    view = sliding_window_view(x, span, axis=(2, 3))  # type: ignore[call-overload]
    view = view[:, :, :: g.stride[0], :: g.stride[1], :, :: g.dilation[0], :: g.dilation[1]]
    return np.asarray(view.transpose(0, 1, 5, 6, 2, 3, 4))


def _columns(windows: Array, part: tuple[slice, slice], groups: int, workspace: Workspace) -> Array:
    """Copy a part of the windows: (blocks, groups, C/groups * KH * KW, rows * OW * samples)."""
    view = windows[part[0], :, :, :, part[1]]
    memory = workspace("columns", (view.size,), view.dtype)
    np.copyto(memory.reshape(view.shape), view)
    blocks, channels, kh, kw = view.shape[:4]
    return memory.reshape(blocks, groups, channels // groups * kh * kw, -1)


def _rows(y: Array, part: tuple[slice, slice], groups: int, width: int) -> Array:
    """A part of C-contiguous `y` as (blocks, groups, O/groups, rows * OW * samples), a view."""
    assert y.flags.c_contiguous
    view = y[part[0], :, part[1]]
    blocks, channels = view.shape[:2]
    strides = (view.strides[0], view.strides[1] * (channels // groups), view.strides[1], y.itemsize)
    shape = (blocks, groups, channels // groups, width)
    return np.lib.stride_tricks.as_strided(view, shape, strides)


def conv_forward(
    x: Array, weight: Array, bias: Array | None, g: Geometry, y: Array, workspace: Workspace
) -> None:
    """Convolve padded `x` into the C-contiguous `y` (blocks, O, OH, OW, samples)."""
    matrix = weight.reshape(g.groups, len(weight) // g.groups, -1)
    windows = _windows(x, g)
    for b, r, width in _matrix_parts(x, g, (y.shape[2], y.shape[3])):
        out = _rows(y, (b, r), g.groups, width)
        np.matmul(matrix, _columns(windows, (b, r), g.groups, workspace), out=out)
        if bias is not None:
            out += bias.reshape(g.groups, -1, 1)


def conv_grad_weight(x: Array, dy: Array, g: Geometry, dweight: Array, workspace: Workspace) -> None:
    """Gradient of the weight from padded `x` and the C-contiguous `dy`."""
    total = dweight.reshape(g.groups, len(dweight) // g.groups, -1)
    total.fill(0)
    windows = _windows(x, g)
    for b, r, width in _matrix_parts(x, g, (dy.shape[2], dy.shape[3])):
        columns = _columns(windows, (b, r), g.groups, workspace)
        total += np.matmul(_rows(dy, (b, r), g.groups, width), columns.transpose(0, 1, 3, 2)).sum(axis=0)


def conv_grad_input(dy: Array, weight: Array, g: Geometry, dx: Array, workspace: Workspace) -> None:
    """Gradient of the padded input, `dx`: columns of gradients added where their windows lie (col2im)."""
    matrix = weight.reshape(g.groups, len(weight) // g.groups, -1).transpose(0, 2, 1)
    channels = dx.shape[1]
    high, wide = dy.shape[2], dy.shape[3]
    dx.fill(0)
    for b, r, width in _matrix_parts(dx, g, (high, wide)):
        blocks, rows = b.stop - b.start, r.stop - r.start
        shape = (blocks, g.groups, matrix.shape[1], width)
        columns = workspace("columns", (math.prod(shape),), dx.dtype).reshape(shape)
        np.matmul(matrix, _rows(dy, (b, r), g.groups, width), out=columns)
        taps = columns.reshape(blocks, channels, *g.kernel, rows, wide, -1)
        for kh, kw, down, across in g.taps(r, wide):
            dx[b, :, down, across] += taps[:, :, kh, kw]


def max_pool_forward(x: Array, g: Geometry, y: Array, where: Array, workspace: Workspace) -> None:
    """Maxima of the windows of padded `x` and, uint8, which element of its window each was."""
    high, wide = y.shape[2], y.shape[3]
    for kh, kw, down, across in g.taps(slice(0, high), wide):
        values = x[:, :, down, across]
        k = kh * g.kernel[1] + kw
        if k == 0:
            np.copyto(y, values)
            where.fill(0)
            continue
        better = np.greater(values, y, out=workspace("better", y.shape, np.bool_)).view(np.uint8)
        np.maximum(y, values, out=y)
        # The last element that was better is the maximum, so the greatest number wins.
        np.maximum(where, np.multiply(better, k, out=better), out=where)


def max_pool_backward(dy: Array, where: Array, g: Geometry, dx: Array, workspace: Workspace) -> None:
    """Gradient of the padded input of `max_pool_forward`."""
    high, wide = dy.shape[2], dy.shape[3]
    overlap = any(s < d * (k - 1) + 1 for s, d, k in zip(g.stride, g.dilation, g.kernel, strict=True))
    covered = all(s * n == e for s, n, e in zip(g.stride, (high, wide), dx.shape[2:4], strict=True))
    if overlap or not covered or g.stride != g.kernel:
        dx.fill(0)
    here = workspace("better", dy.shape, np.bool_)
    for kh, kw, down, across in g.taps(slice(0, high), wide):
        np.equal(where, kh * g.kernel[1] + kw, out=here)
        if overlap:
            dx[:, :, down, across] += dy * here
        else:
            np.multiply(dy, here, out=dx[:, :, down, across])


# The names of fastconv.kernels


def conv2d(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    """Convolution of NCHW images; see `fastconv.kernels.conv2d`."""
    g = _geometry(weight.shape[2:], stride, padding, dilation, groups)
    y = np.empty((len(x), len(weight), *g.output_size(x.shape[2:]), 1), x.dtype)
    conv_forward(pad(x[..., None], g, _shared), weight, bias, g, y, _shared)
    return y[..., 0]


def conv2d_grad_weight(
    x: Array,
    dy: Array,
    kernel_size: Any,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    """Gradient of the loss with respect to the weight."""
    g = _geometry(kernel_size, stride, padding, dilation, groups)
    dweight = np.empty((dy.shape[1], x.shape[1] // groups, *g.kernel), x.dtype)
    dy = np.ascontiguousarray(dy)
    conv_grad_weight(pad(x[..., None], g, _shared), dy[..., None], g, dweight, _shared)
    return dweight


def conv2d_grad_input(
    dy: Array,
    weight: Array,
    input_size: tuple[int, int],
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Array:
    """Gradient of the loss with respect to the input."""
    g = _geometry(weight.shape[2:], stride, padding, dilation, groups)
    (ph, pw), (high, wide) = g.padding, input_size
    shape = (len(dy), weight.shape[1] * groups, high + 2 * ph, wide + 2 * pw, 1)
    dx = np.empty(shape, dy.dtype)
    conv_grad_input(np.ascontiguousarray(dy)[..., None], weight, g, dx, _shared)
    return np.ascontiguousarray(dx[:, :, ph : ph + high, pw : pw + wide, 0])


def conv2d_grad_bias(dy: Array) -> Array:
    """Gradient of the loss with respect to the bias."""
    return np.asarray(dy.sum(axis=(0, 2, 3)))


def max_pool2d(
    x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1
) -> tuple[Array, Array]:
    """Maxima of windows and their flat indices in the input plane (int64). NaN has no defined index."""
    g = _geometry(kernel_size, kernel_size if stride is None else stride, padding, dilation)
    size = g.output_size(x.shape[2:])
    y = np.empty((*x.shape[:2], *size), x.dtype)
    where = np.empty(y.shape, np.uint8)
    padded = pad(x[..., None], g, _shared, -np.inf)
    max_pool_forward(padded, g, y[..., None], where[..., None], _shared)
    (kh, kw), (sh, sw), (dh, dw) = g.kernel, g.stride, g.dilation
    width = x.shape[3]
    first = (np.arange(size[0])[:, None] * sh - g.padding[0]) * width + np.arange(size[1]) * sw - g.padding[1]
    offset = np.arange(kh)[:, None] * dh * width + np.arange(kw) * dw
    argmax = offset.reshape(-1).take(where)
    argmax += first
    return y, argmax


def max_pool2d_grad(dy: Array, argmax: Array, input_size: tuple[int, int]) -> Array:
    """Gradient of the loss with respect to the input of `max_pool2d`."""
    planes, area = dy.shape[0] * dy.shape[1], input_size[0] * input_size[1]
    dx = np.zeros((*dy.shape[:2], *input_size), dy.dtype)
    index = argmax.reshape(planes, -1) + np.arange(0, planes * area, area)[:, None]
    np.add.at(dx.reshape(-1), index.reshape(-1), dy.reshape(-1))
    return dx


def avg_pool2d(x: Array, kernel_size: Any, stride: Any = None, padding: Any = 0) -> Array:
    """Means of windows, padding counted."""
    g = _geometry(kernel_size, kernel_size if stride is None else stride, padding)
    high, wide = g.output_size(x.shape[2:])
    padded = pad(x[..., None], g, _shared)[..., 0]
    y = np.zeros((*x.shape[:2], high, wide), x.dtype)
    for _, _, down, across in g.taps(slice(0, high), wide):
        y += padded[:, :, down, across]
    y /= g.kernel[0] * g.kernel[1]
    return y


def dense(x: Array, weight: Array, bias: Array | None = None) -> Array:
    """x weight^T + bias."""
    y = x @ weight.T
    if bias is not None:
        y += bias
    return np.asarray(y)


def dense_grad_input(dy: Array, weight: Array) -> Array:
    """Gradient of the loss with respect to the input."""
    return np.asarray(dy @ weight)


def dense_grad_weight(x: Array, dy: Array) -> Array:
    """Gradient of the loss with respect to the weight."""
    return np.asarray(dy.T @ x)


def dense_grad_bias(dy: Array) -> Array:
    """Gradient of the loss with respect to the bias."""
    return np.asarray(dy.sum(axis=0))


def relu(x: Array) -> Array:
    """max(x, 0)."""
    return np.asarray(np.maximum(x, 0))


def relu_grad(dy: Array, x: Array) -> Array:
    """`dy` where x > 0."""
    return np.asarray(dy * (x > 0))


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x)), without overflow."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1, small) / (1 + small))


def softmax(x: Array) -> Array:
    """Along the last axis."""
    y = np.exp(x - x.max(axis=-1, keepdims=True))
    y /= y.sum(axis=-1, keepdims=True)
    return np.asarray(y)


def bce(p: Array, target: Array) -> float:
    """Mean binary cross-entropy; logarithms are clipped at -100 as PyTorch's."""
    with np.errstate(divide="ignore"):
        yes, no = np.maximum(np.log(p), -100), np.maximum(np.log1p(-p), -100)
    return float(-np.mean(target * yes + (1 - target) * no))


def cross_entropy(logits: Array, labels: Array) -> float:
    """Mean of -log softmax(logits)[label]."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    return float(np.mean(log_sums - shifted[np.arange(len(labels)), labels]))


def cross_entropy_grad(logits: Array, labels: Array) -> Array:
    """Gradient of `cross_entropy`: (softmax - one-hot) / N."""
    dz = softmax(logits)
    dz[np.arange(len(labels)), labels] -= 1
    dz /= len(labels)
    return dz


def batch_norm2d(
    x: Array,
    gamma: Array,
    beta: Array,
    running_mean: Array,
    running_var: Array,
    training: bool,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> tuple[Array, tuple[Array, Array]]:
    """Batch normalisation; updates the running statistics in training. Saves mean and 1 / deviation."""
    mean = x.mean(axis=(0, 2, 3)) if training else running_mean
    y = x - mean[:, None, None]
    var = running_var
    if training:
        count = x.shape[0] * x.shape[2] * x.shape[3]
        rows = y.reshape(*y.shape[:2], -1)
        var = np.einsum("ncp,ncp->nc", rows, rows).sum(axis=0) / count
        running_mean += momentum * (mean - running_mean)
        running_var += momentum * (var * (count / max(count - 1, 1)) - running_var)
    scale = 1 / np.sqrt(var + eps)
    y *= (gamma * scale)[:, None, None]
    y += beta[:, None, None]
    return y, (mean, scale)
