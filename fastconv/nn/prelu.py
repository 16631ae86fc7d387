"""PReLU."""

import math
from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..checks.settings import real_number
from .layer import Array, Arrays, Layer, Shape, set_fields

__all__ = ["PReLU"]


@dataclass(frozen=True)
class PReLU(Layer):
    """x where it is positive, else a slope times x that is learned.

    Parameters
    ----------
    per_channel : bool
        Whether each channel (or feature) has a slope of its own; otherwise there is one for all.
    init : float
        The slopes before training.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Notes
    -----
    Weight decay pulls the slopes towards ReLU's; decay="weights" of an optimizer spares them.
    Source: He et al. (2015), Delving deep into rectifiers.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.PReLU().parameter_shapes((6, 24, 24)), fc.PReLU(per_channel=True).parameter_shapes((6, 24, 24))
    ({'weight': (1,)}, {'weight': (6,)})
    """

    per_channel: bool = False
    _: KW_ONLY
    init: float = 0.25
    decayed: ClassVar[tuple[str, ...]] = ()  # a slope that decays becomes another activation

    def __post_init__(self) -> None:
        if not isinstance(self.per_channel, (bool, np.bool_)):
            raise TypeError(
                f"`per_channel` must be True or False, got {self.per_channel!r}; the number of channels is "
                "left out: it follows from the input"
            )
        init = real_number(self.init, "init", -math.inf)
        set_fields(self, per_channel=bool(self.per_channel), init=init)

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"weight": (input_shape[0] if self.per_channel else 1,)}

    def initial_parameters(self, input_shape: Shape, rng: np.random.Generator) -> Arrays:
        return {"weight": np.full(self.parameter_shapes(input_shape)["weight"], self.init)}

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.prelu(x, arrays["weight"])

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        dx, dweight = kernels.prelu_grad(dy, x, arrays["weight"])
        return dx, {"weight": dweight}
