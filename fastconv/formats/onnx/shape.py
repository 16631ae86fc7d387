"""Operators that only change shapes, from and to ONNX."""

import math

from ...nn.shape import Flatten
from .node import DTYPES, Node
from .tables import is_one_operator, reads
from .value import Value

is_one_operator(Flatten, "Flatten", axis=1)


@reads("Flatten")
def read_flatten(value: Value, node: Node) -> None:
    """Also where nothing but axes of one element lies between the samples and the axis given."""
    rank = len(value.shape_in_file) + 1
    axis = node.get("axis", 1)
    axis += rank * (axis < 0)
    if not 1 <= axis <= rank or math.prod(value.shape_in_file[: axis - 1]) != 1:
        raise ValueError(f"`axis` must be 1, got {node.get('axis')}")
    value.flatten()


@reads("Reshape")
def read_reshape(value: Value, node: Node) -> None:
    target = [int(n) for n in node.constant(1)]
    if node.get("allowzero", 0) and 0 in target:
        raise ValueError(f"a size of 0 is not supported, got {target}")
    value.reshape(target)


@reads("Transpose")
def read_transpose(value: Value, node: Node) -> None:
    value.transpose(node.get("perm", range(len(value.shape_in_file), -1, -1)))


@reads("Cast")
def read_cast(value: Value, node: Node) -> None:
    """Between float32 and float64: the network computes in one of them."""
    if node.get("to") not in DTYPES:
        raise ValueError(f"only a Cast to float32 or float64 is supported, got element type {node.get('to')}")


@reads("Squeeze")
def read_squeeze(value: Value, node: Node) -> None:
    axes = node.axes(len(value.shape_in_file) + 1)
    value.squeeze(axes or [k for k, n in enumerate(value.shape_in_file, 1) if n == 1])


@reads("Unsqueeze")
def read_unsqueeze(value: Value, node: Node) -> None:
    count = len(node.constant(1) if node.has(1) else node.get("axes", []))
    value.unsqueeze(node.axes(len(value.shape_in_file) + 1 + count))


@reads("Pad")
def read_pad(value: Value, node: Node) -> None:
    node.must_be("mode", "constant")
    rank = len(value.shape_in_file) + 1
    sizes = [int(n) for n in (node.constant(1) if node.has(1) else node.get("pads", ()))]
    number = node.scalar(2) if node.has(2) else float(node.get("value", 0.0))
    axes = [int(axis) % rank for axis in node.constant(3)] if node.has(3) else list(range(rank))
    if len(sizes) != 2 * len(axes) or min(sizes, default=0) < 0:
        raise ValueError(f"it must pad lines and columns of images, got {sizes}")
    pairs = dict(zip(axes, zip(sizes, sizes[len(axes) :], strict=False), strict=True))
    value.hold_pad({axis: pair for axis, pair in pairs.items() if pair != (0, 0)}, number)
