"""ONNX's operators as layers: what each one means, and which of its settings a layer can have."""

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np

from ...nn.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from ...nn.conv import Conv2d
from ...nn.dense import Dense
from ...nn.dropout import Dropout
from ...nn.layer import Layer, Shape
from ...nn.norm import BatchNorm2d
from ...nn.pool import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from ...nn.shape import Flatten
from .chain import NO_PADS, Chain, Node, Pads
from .functions import DOMAIN, elements_counted

LARGEST_IMAGE = 2**16  # of a side: no file may ask for memory by sizes that it only claims
LOWEST = float(np.finfo(np.float32).min)  # what padding for a MaxPool may be, beside -infinity


# Windows


def _pads(node: Node, size: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Pads:
    """Padding of a Conv or pooling, as numbers whichever way it is given."""
    node.must_be("auto_pad", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
    way = node.get("auto_pad", "NOTSET")
    if way == "NOTSET":
        top, left, bottom, right = node.get("pads", (0, 0, 0, 0))
        if min(top, left, bottom, right) < 0:
            raise ValueError(f"`pads` must not be negative, got {[top, left, bottom, right]}")
        return (top, bottom), (left, right)
    if way == "VALID":
        return NO_PADS
    pads = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
        less, more = total // 2, total - total // 2
        pads.append((less, more) if way == "SAME_UPPER" else (more, less))
    return pads[0], pads[1]


def _sum(first: Pads, second: Pads) -> Pads:
    (a, b), (c, d) = first
    (e, f), (g, h) = second
    return (a + e, b + f), (c + g, d + h)


def _conv(chain: Chain, node: Node) -> None:
    weight = node.weights(1)
    if weight.ndim != 4 or len(chain.shape) != 3:
        raise ValueError(f"only convolutions over images are supported, got weights of shape {weight.shape}")
    kernel = node.pair("kernel_shape", weight.shape[2:])
    stride, dilation = node.pair("strides", (1, 1)), node.pair("dilations", (1, 1))
    around = chain.take_pad(lambda value: value == 0)
    size = tuple(n + sum(pads) for n, pads in zip(chain.shape[1:], around, strict=True))
    pads = _sum(around, _pads(node, size, kernel, stride, dilation))
    padding: Any = tuple(begin for begin, _ in pads)
    if stride == (1, 1) and any(begin != end for begin, end in pads):
        padding = "same"
    groups = node.get("group", 1)
    bias = node.weights(2) if node.has(2) and node.domain != DOMAIN else None
    layer = Conv2d(weight.shape[0], kernel, stride, padding, dilation, groups, bias is not None)
    if layer.pads() != pads:
        raise ValueError(f"`pads` must be the same on both sides, or keep the image's size, got {pads}")
    chain.append(layer, weight=weight, bias=bias)


def _window_count(node: Node, size: int, kernel: int, stride: int, pads: tuple[int, int]) -> int:
    """How many windows of `kernel` elements in all ONNX makes of one axis."""
    room = size + sum(pads) - kernel
    count = (-(-room // stride) if node.get("ceil_mode", 0) else room // stride) + 1
    if node.get("ceil_mode", 0) and (count - 1) * stride >= size + pads[0]:
        count -= 1  # as PyTorch and, since opset 22, ONNX: not one that begins in the padding at the end
    return count


def _max_pool(chain: Chain, node: Node) -> None:
    node.must_be("storage_order", 0)
    kernel, stride = node.pair("kernel_shape"), node.pair("strides", (1, 1))
    dilation = node.pair("dilations", (1, 1))
    around = chain.take_pad(lambda value: value <= LOWEST)
    size = tuple(n + sum(pads) for n, pads in zip(chain.shape[1:], around, strict=True))
    own = _pads(node, size, kernel, stride, dilation)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    outputs = tuple(_window_count(node, *axis) for axis in zip(size, spans, stride, own, strict=True))
    padding = tuple(begin for begin, _ in _sum(around, own))
    for ceil_mode in (False, True):
        layer = MaxPool2d(kernel, stride, padding, dilation, ceil_mode)
        # Padding never is a maximum: windows that begin and end the same are the same.
        if _makes(layer, chain.shape, outputs):
            chain.append(layer)
            return
    raise ValueError(f"`pads` must be the same on both sides, got {own}")


def _makes(layer: Layer, shape: Shape, outputs: Shape) -> bool:
    """Whether a pooling makes images of the size `outputs`."""
    try:
        return layer.output_shape(shape)[1:] == outputs
    except ValueError:  # not one window fits
        return False


def _avg_pool(chain: Chain, node: Node) -> None:
    kernel, stride = node.pair("kernel_shape"), node.pair("strides", (1, 1))
    if node.pair("dilations", (1, 1)) != (1, 1):
        raise ValueError(f"`dilations` must be 1, got {node.get('dilations')}")
    around = chain.take_pad(lambda value: value == 0)
    shape = chain.shape[1:]
    size = tuple(n + sum(pads) for n, pads in zip(shape, around, strict=True))
    own = _pads(node, size, kernel, stride, (1, 1))
    padding, outputs, counted = [], [], []
    for n, k, s, (before, after), pads in zip(shape, kernel, stride, around, own, strict=True):
        begin, end = pads if node.get("count_include_pad", 0) else (0, 0)
        padding.append(before + pads[0])
        outputs.append(_window_count(node, n + before + after, k, s, pads))
        counted.append((-before - begin, n + after + end))
    if max(outputs) > LARGEST_IMAGE:
        raise ValueError(f"it makes images of {outputs} elements, supported are up to {LARGEST_IMAGE} a side")
    axes = list(zip(outputs, kernel, stride, padding, strict=True))
    wanted = [elements_counted(*axis, *limits) for axis, limits in zip(axes, counted, strict=True)]
    for ceil_mode, count_include_pad in product((False, True), (True, False)):
        layer = AvgPool2d(kernel, stride, tuple(padding), ceil_mode, count_include_pad)
        if not _makes(layer, chain.shape, tuple(outputs)):
            continue
        rims = padding if count_include_pad else (0, 0)
        ours = [elements_counted(*a, -rim, n + rim) for a, rim, n in zip(axes, rims, shape, strict=True)]
        if all(map(np.array_equal, ours, wanted)):  # the same windows, divided by the same numbers
            chain.append(layer)
            return
    raise ValueError(f"`pads` {own} with these settings have no counterpart")


def _pad(chain: Chain, node: Node) -> None:
    node.must_be("mode", "constant")
    rank = len(chain.shape) + 1
    sizes = [int(n) for n in (node.constant(1) if node.has(1) else node.get("pads", ()))]
    value = node.scalar(2) if node.has(2) else float(node.get("value", 0.0))
    if node.has(3):
        axes = [int(axis) % rank for axis in node.constant(3)]
        full = [0] * 2 * rank
        for k, axis in enumerate(axes):
            full[axis], full[axis + rank] = sizes[k], sizes[k + len(axes)]
        sizes = full
    if rank != 4 or len(sizes) != 8 or min(sizes) < 0 or any(sizes[k] for k in (0, 1, 4, 5)):
        raise ValueError(f"it must pad lines and columns of images, got {sizes}")
    chain.hold_pad(((sizes[2], sizes[6]), (sizes[3], sizes[7])), value)


# Layers with weights


def _gemm(chain: Chain, node: Node) -> None:
    node.must_be("transA", 0)
    weight = node.weights(1)
    if weight.ndim != 2:
        raise ValueError(f"its weights must have two axes, got shape {weight.shape}")
    weight = weight if node.get("transB", 0) else weight.T
    weight = weight * weight.dtype.type(node.get("alpha", 1.0))
    chain.append(Dense(weight.shape[0], bias=False), weight=weight)
    beta = node.get("beta", 1.0)
    if node.has(2) and beta != 0:
        chain.add_bias(node.weights(2) * weight.dtype.type(beta))


def _matmul(chain: Chain, node: Node) -> None:
    weight = node.weights(1)
    if weight.ndim != 2:
        raise ValueError(f"its weights must have two axes, got shape {weight.shape}")
    chain.append(Dense(weight.shape[1], bias=False), weight=weight.T)


def _batch_norm(chain: Chain, node: Node) -> None:
    node.must_be("training_mode", 0)
    node.must_be("spatial", 1)
    layer = BatchNorm2d(float(1 - node.decimal("momentum", 0.9)), float(node.decimal("epsilon", 1e-5)))
    names = ("weight", "bias", "running_mean", "running_var")
    chain.append(layer, **{name: node.weights(k) for k, name in enumerate(names, 1)})


def _leaky_relu(chain: Chain, node: Node) -> None:
    chain.append(LeakyReLU(float(node.decimal("alpha", 0.01))))


def _dropout(chain: Chain, node: Node) -> None:
    if node.has(2) and bool(node.constant(2).any()):
        raise ValueError("it is in training mode, expected a network for prediction")
    ratio = node.scalar(1) if node.has(1) else node.get("ratio", 0.5)
    rounded = not node.has(1) or node.weights(1).dtype == np.float32
    chain.append(Dropout(float(str(np.float32(ratio))) if rounded else ratio))


# Shapes


def _flatten(chain: Chain, node: Node) -> None:
    node.must_be("axis", 1, -len(chain.shape))
    chain.append(Flatten())


def _reshape(chain: Chain, node: Node) -> None:
    target = [int(n) for n in node.constant(1)]
    batch = {-1, 0, chain.batch}
    if len(target) != 2 or target[0] not in batch or target[1] not in (-1, math.prod(chain.shape)):
        raise ValueError(f"only a Reshape to (N, features) is supported, got {target}")
    chain.append(Flatten())


def _global_mean(chain: Chain, node: Node) -> None:
    if sorted(axis % 4 for axis in node.axes()) != [2, 3] or len(chain.shape) != 3:
        raise ValueError(f"only the mean over lines and columns is supported, got axes {node.axes()}")
    chain.append(GlobalAvgPool2d())
    if not node.get("keepdims", 1):
        chain.append(Flatten())


def _squeeze(chain: Chain, node: Node) -> None:
    if sorted(axis % 4 for axis in node.axes()) != [2, 3] or chain.shape[1:] != (1, 1):
        raise ValueError(f"only (N, C, 1, 1) to (N, C) is supported, got axes {node.axes()} of {chain.shape}")
    chain.append(Flatten())


def _softmax(chain: Chain, node: Node) -> None:
    default = 1 if node.opset < 13 else -1
    if node.get("axis", default) not in (1, -1):
        raise ValueError(f"`axis` must be 1, got {node.get('axis')}")
    chain.append(Softmax())


def _identity(chain: Chain, node: Node) -> None:
    """Nothing to add: predictions do not change."""


def _plain(layer: Layer) -> Callable[[Chain, Node], None]:
    return lambda chain, node: chain.append(layer)


OPERATORS: dict[str, Callable[[Chain, Node], None]] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Add": lambda chain, node: chain.add_bias(node.weights(1)),
    "MaxPool": _max_pool,
    "AveragePool": _avg_pool,
    "GlobalAveragePool": _plain(GlobalAvgPool2d()),
    "ReduceMean": _global_mean,
    "BatchNormalization": _batch_norm,
    "Pad": _pad,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Relu": _plain(ReLU()),
    "LeakyRelu": _leaky_relu,
    "PRelu": lambda chain, node: chain.append(LeakyReLU(node.scalar(1))),
    "Sigmoid": _plain(Sigmoid()),
    "Tanh": _plain(Tanh()),
    "Softmax": _softmax,
    "Dropout": _dropout,
    "Identity": _identity,
}
