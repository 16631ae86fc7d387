"""Layers that change nothing but the shape."""

import math
from dataclasses import dataclass

from .layer import Layer, Shape


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
