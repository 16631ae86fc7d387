"""Layers that change nothing but the shape."""

import math
from dataclasses import dataclass

from .layer import Array, Arrays, Layer, Shape

__all__ = ["Flatten"]


@dataclass(frozen=True)
class Flatten(Layer):
    """(C, H, W) to (C * H * W,), in row-major order.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Flatten().output_shape((16, 4, 4))
    (256,)
    """

    def output_shape(self, input_shape: Shape) -> Shape:
        return (math.prod(input_shape),)

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return x.reshape(len(x), math.prod(x.shape[1:])).copy()
