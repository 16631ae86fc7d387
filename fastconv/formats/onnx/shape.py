"""Operators that only change shapes, from and to ONNX."""

import math

from ...nn.shape import Flatten
from .chain import Chain, Node
from .tables import is_one_operator, reads

is_one_operator(Flatten, "Flatten", axis=1)


@reads("Flatten")
def read_flatten(chain: Chain, node: Node) -> None:
    node.must_be("axis", 1, -len(chain.shape))
    chain.append(Flatten())


@reads("Reshape")
def read_reshape(chain: Chain, node: Node) -> None:
    target = [int(n) for n in node.constant(1)]
    batch = {-1, 0, chain.batch}
    if len(target) != 2 or target[0] not in batch or target[1] not in (-1, math.prod(chain.shape)):
        raise ValueError(f"only a Reshape to (N, features) is supported, got {target}")
    chain.append(Flatten())


@reads("Squeeze")
def read_squeeze(chain: Chain, node: Node) -> None:
    if sorted(axis % 4 for axis in node.axes()) != [2, 3] or chain.shape[1:] != (1, 1):
        raise ValueError(f"only (N, C, 1, 1) to (N, C) is supported, got axes {node.axes()} of {chain.shape}")
    chain.append(Flatten())


@reads("Pad")
def read_pad(chain: Chain, node: Node) -> None:
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
