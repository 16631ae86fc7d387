"""Windows of convolutions and pools, as ONNX gives them."""

from ...nn.layer import Layer, Shape
from .chain import NO_PADS, Node, Pads


def pads_of(node: Node, size: Shape, kernel: Shape, stride: Shape, dilation: Shape) -> Pads:
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


def add_pads(first: Pads, second: Pads) -> Pads:
    (a, b), (c, d) = first
    (e, f), (g, h) = second
    return (a + e, b + f), (c + g, d + h)


def window_count(node: Node, size: int, kernel: int, stride: int, pads: tuple[int, int]) -> int:
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
