"""Windows of convolutions and pools, as ONNX gives them."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ...checks.padding import padding_around
from ...nn.layer import Layer, Shape
from .node import Node
from .value import Value
from .view import Pair


class Windows(NamedTuple):
    """Windows along our positions: lines and columns of images, the length of signals.

    `where` says which of them each axis of the file is, as `View.positions`; `around` is the padding of a
    Pad before, `own` that of the node.
    """

    where: list[int | None]
    size: Shape
    kernel: Shape
    stride: Shape
    dilation: Shape
    around: list[Pair]
    own: list[Pair]

    @property
    def pads(self) -> list[Pair]:
        """All padding."""
        return [(a + c, b + d) for (a, b), (c, d) in zip(self.around, self.own, strict=True)]

    def setting(self, values: Sequence[Any]) -> Any:
        """What a layer is given: a pair for images, one value for signals."""
        return tuple(values) if len(self.size) == 2 else values[0]

    def padding(self, causal: bool = False) -> Any:
        """The padding as one would write it: a text only where the sides differ."""
        pads = self.pads
        if all(before == after for before, after in pads):
            return self.setting([before for before, _ in pads])
        if causal and len(pads) == 1 and pads[0] == (self.dilation[0] * (self.kernel[0] - 1), 0):
            return "causal"
        size, kernel, stride, dilation = (
            (*(1,) * (2 - len(pads)), *values)
            for values in (self.size, self.kernel, self.stride, self.dilation)
        )
        full = (*((0, 0),) * (2 - len(pads)), *pads)
        for text in ("same", "same_lower"):
            if padding_around(text, "padding", size, kernel, stride, dilation) == full:
                return text
        return self.setting(pads)


def windows_of(value: Value, node: Node, kernel: Shape | None, allowed: Callable[[float], bool]) -> Windows:
    """The windows of a node, whose kernel is `kernel` unless it says it itself.

    Raises
    ------
    ValueError
        If they reach along an axis that the network does not have, or stand after a Pad of a value that is
        not `allowed`.
    """
    where = value.positions()
    count = len(where)
    kernel = node.ints("kernel_shape", count, kernel)
    stride, dilation = node.ints("strides", count, (1,) * count), node.ints("dilations", count, (1,) * count)
    own = pads_of(node, value.shape_in_file[1:], kernel, stride, dilation)
    around = value.take_pad(allowed)
    found = Windows(where, value.shape[1:], *((1,) * len(around),) * 3, around, [(0, 0)] * len(around))
    kernels, strides, dilations = (list(values) for values in found[2:5])
    for axis, k in enumerate(where):
        if k is not None:
            kernels[k], strides[k], dilations[k] = kernel[axis], stride[axis], dilation[axis]
            found.own[k] = own[axis]
        elif kernel[axis] != 1 or own[axis] != (0, 0):
            raise ValueError(
                f"signals have no axis {axis + 2} that windows of {list(kernel)} could reach along"
            )
    return found._replace(kernel=tuple(kernels), stride=tuple(strides), dilation=tuple(dilations))


def pads_of(node: Node, size: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> list[Pair]:
    """Padding of a Conv or pooling along each axis, as numbers whichever way it is given."""
    node.must_be("auto_pad", "NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")
    way, count = node.get("auto_pad", "NOTSET"), len(size)
    if way == "NOTSET":
        sides = node.ints("pads", 2 * count, (0,) * (2 * count))
        if min(sides) < 0:
            raise ValueError(f"`pads` must not be negative, got {list(sides)}")
        return list(zip(sides[:count], sides[count:], strict=True))
    if way == "VALID":
        return [(0, 0)] * count
    pads = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max(0, (-(-n // s) - 1) * s + d * (k - 1) + 1 - n)
        less, more = total // 2, total - total // 2
        pads.append((less, more) if way == "SAME_UPPER" else (more, less))
    return pads


def window_count(node: Node, size: int, kernel: int, stride: int, pads: Pair) -> int:
    """How many windows of `kernel` elements in all ONNX makes of one axis."""
    room = size + sum(pads) - kernel
    count = (-(-room // stride) if node.get("ceil_mode", 0) else room // stride) + 1
    if node.get("ceil_mode", 0) and (count - 1) * stride >= size + pads[0]:
        count -= 1  # as PyTorch and, since opset 22, ONNX: not one that begins in the padding at the end
    return count


def makes(layer: Layer, shape: Shape, outputs: Shape) -> bool:
    """Whether a pooling makes images of the size `outputs`."""
    try:
        return layer.output_shape(shape)[1:] == outputs
    except ValueError:  # not one window fits
        return False


def poolings(make: Callable[[Any, bool], Layer], windows: Windows) -> Iterator[Layer]:
    """The poolings that may be a file's: its padding at the beginning on both sides, or as it is.

    There are none where it is more than a pooling here may have.
    """
    for padding in (windows.setting([before for before, _ in windows.pads]), windows.padding()):
        for ceil_mode in (False, True):
            with suppress(ValueError):
                yield make(padding, ceil_mode)
