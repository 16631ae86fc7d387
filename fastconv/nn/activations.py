"""Activation layers."""

from dataclasses import dataclass
from typing import ClassVar

from .. import kernels
from ..checks.settings import real_number
from .layer import Array, Arrays, Layer, Shape, set_fields

__all__ = ["LeakyReLU", "ReLU", "Sigmoid", "Softmax", "Tanh"]


@dataclass(frozen=True)
class ReLU(Layer):
    """max(x, 0), elementwise.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.ReLU().output_shape((84,))
    (84,)
    """

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.relu(x)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.relu_grad(dy, x), {}


@dataclass(frozen=True)
class LeakyReLU(Layer):
    """x where it is positive, else negative_slope * x.

    Parameters
    ----------
    negative_slope : float
        Not negative.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.LeakyReLU(0.1)
    LeakyReLU(negative_slope=0.1)
    """

    negative_slope: float = 0.01

    def __post_init__(self) -> None:
        set_fields(self, negative_slope=real_number(self.negative_slope, "negative_slope"))

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.leaky_relu(x, self.negative_slope)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.leaky_relu_grad(dy, x, self.negative_slope), {}


@dataclass(frozen=True)
class Sigmoid(Layer):
    """1 / (1 + exp(-x)), elementwise.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Sigmoid()
    Sigmoid()
    """

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.sigmoid(x)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.sigmoid_grad(dy, y), {}


@dataclass(frozen=True)
class Tanh(Layer):
    """The hyperbolic tangent, elementwise.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Tanh()
    Tanh()
    """

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.tanh(x)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.tanh_grad(dy, y), {}


@dataclass(frozen=True)
class Softmax(Layer):
    """exp(x) / sum(exp(x)) over the features of each sample.

    With loss="cross_entropy", a final Softmax and the loss are computed together from the layer's input.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Softmax().output_shape((10,))
    (10,)
    """

    takes: ClassVar[str] = "features"

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        return input_shape

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.softmax(x)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return y * (dy - (dy * y).sum(axis=1, keepdims=True)), {}
