"""Multiplications and sums with constants: of a scale of pixels, of channels, after a layer with weights.

After a dense layer or a convolution they go into its weights; of images they become a convolution of each
channel with one weight. A scale at the very beginning waits for what tells the order of the axes.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...nn.conv import Conv2d
from ...nn.dense import Dense
from .chain import Chain, Node
from .tables import reads

Array = NDArray[Any]


@reads("Mul", "Div")
def read_scale(chain: Chain, node: Node) -> None:
    scale = node.weights(1)
    if node.kind == "Div":
        if not scale.all():
            raise ValueError("it divides by 0")
        scale = (1 / scale).astype(scale.dtype)
    take_affine(chain, node, scale, None)


@reads("Add", "Sub")
def read_shift(chain: Chain, node: Node) -> None:
    shift = node.weights(1)
    shift = -shift if node.kind == "Sub" else shift
    layer = chain.layers[-1] if chain.layers else None
    if isinstance(layer, (Dense, Conv2d)) and not layer.bias:
        chain.add_bias(shift)
    else:
        take_affine(chain, node, None, shift)


def take_affine(chain: Chain, node: Node, scale: Array | None, shift: Array | None) -> None:
    """Multiply with a scale, then add a shift; one of them may be None.

    Raises
    ------
    ValueError
        If there is no place for it.
    """
    chain.no_pad()
    given = scale if scale is not None else shift
    assert given is not None
    layer = chain.layers[-1] if chain.layers else None
    if isinstance(layer, (Dense, Conv2d)):
        _into_weights(chain, layer, scale, shift)
    elif layer is None and given.size == 1:
        chain.start_with(
            None if scale is None else scale.reshape(()), None if shift is None else shift.reshape(())
        )
    elif len(chain.shape) == 3:
        channels = chain.shape[0]
        weight = (
            np.ones(channels, given.dtype) if scale is None else chain.per_channel(scale, "multiplies with")
        )
        bias = None if shift is None else chain.per_channel(shift, "adds")
        chain.append_by_channel(weight, bias)
    else:
        raise ValueError(
            f"a {node.kind} is supported only as the bias of a layer without one, of the channels of images, "
            "or after a layer with weights"
        )


def _into_weights(chain: Chain, layer: Any, scale: Array | None, shift: Array | None) -> None:
    """Change the weights of the last layer so that it does this too."""
    place = len(chain.layers) - 1
    weight = chain.arrays[f"{place}.weight"]
    bias = chain.arrays[f"{place}.bias"] if layer.bias else np.zeros(len(weight), weight.dtype)
    if scale is not None:
        factors = chain.per_channel(scale, "multiplies with")
        chain.arrays[f"{place}.weight"] = weight * factors.reshape(-1, *(1,) * (weight.ndim - 1))
        bias = bias * factors
    if shift is not None:
        bias = bias + chain.per_channel(shift, "adds")
    if layer.bias or shift is not None:
        chain.layers[-1] = replace(layer, bias=True)
        chain.arrays[f"{place}.bias"] = bias
