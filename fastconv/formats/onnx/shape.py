"""Operators that only change shapes, from and to ONNX."""

from ...nn.shape import Flatten
from .chain import DTYPES, Chain, Node
from .layout import CHANNELS_FIRST
from .tables import is_one_operator, reads

is_one_operator(Flatten, "Flatten", axis=1)


@reads("Flatten")
def read_flatten(chain: Chain, node: Node) -> None:
    node.must_be("axis", 1, -len(chain.shape))
    chain.append(Flatten())


@reads("Reshape")
def read_reshape(chain: Chain, node: Node) -> None:
    target = [int(n) for n in node.constant(1)]
    if node.get("allowzero", 0) and 0 in target:
        raise ValueError(f"a size of 0 is not supported, got {target}")
    chain.reshape(target)


@reads("Transpose")
def read_transpose(chain: Chain, node: Node) -> None:
    chain.transpose(tuple(node.get("perm", range(len(chain.shape), -1, -1))))


@reads("Cast")
def read_cast(chain: Chain, node: Node) -> None:
    """Between float32 and float64: the network computes in one of them."""
    if node.get("to") not in DTYPES:
        raise ValueError(f"only a Cast to float32 or float64 is supported, got element type {node.get('to')}")


@reads("Squeeze")
def read_squeeze(chain: Chain, node: Node) -> None:
    if sorted(chain.axes[axis % 4] for axis in node.axes()) != [2, 3] or chain.shape[1:] != (1, 1):
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
    if chain.axes != CHANNELS_FIRST and len(sizes) == 8:
        ours = [chain.axes.index(k) for k in range(4)]
        sizes = [sizes[k] for k in ours] + [sizes[k + 4] for k in ours]
    if rank != 4 or len(sizes) != 8 or min(sizes) < 0 or any(sizes[k] for k in (0, 1, 4, 5)):
        raise ValueError(f"it must pad lines and columns of images, got {sizes}")
    chain.hold_pad(((sizes[2], sizes[6]), (sizes[3], sizes[7])), value)
