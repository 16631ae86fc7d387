"""Fully connected layers."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar

from .. import kernels
from ..checks.settings import whole_number
from .layer import Array, Arrays, Layer, Shape, set_fields

__all__ = ["Dense"]


@dataclass(frozen=True)
class Dense(Layer):
    """A fully connected layer: y = W x + b.

    Parameters
    ----------
    out_features : int
        Numbers of one output sample.
    bias : bool
        Whether b is there.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Dense(10).output_shape((84,))
    (10,)
    """

    out_features: int
    _: KW_ONLY
    bias: bool = True
    takes: ClassVar[str] = "features"

    def __post_init__(self) -> None:
        set_fields(self, out_features=whole_number(self.out_features, "out_features"), bias=bool(self.bias))

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        return (self.out_features,)

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        weight = (self.out_features, input_shape[0])
        return {"weight": weight} | ({"bias": (self.out_features,)} if self.bias else {})

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.dense(x, arrays["weight"], arrays.get("bias"))

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        gradients = {"weight": kernels.dense_grad_weight(x, dy)}
        if self.bias:
            gradients["bias"] = kernels.dense_grad_bias(dy)
        return kernels.dense_grad_input(dy, arrays["weight"]), gradients
