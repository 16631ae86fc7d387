"""Smooth and bent activation layers."""

from dataclasses import dataclass
from typing import ClassVar

from .. import kernels
from ..checks.settings import real_number
from .layer import Array, Arrays, Layer, set_fields

__all__ = ["ELU", "GELU", "Hardsigmoid", "Hardswish", "ReLU6", "SiLU", "Softplus"]


@dataclass(frozen=True)
class ReLU6(Layer):
    """min(max(x, 0), 6), elementwise.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.ReLU6().output_shape((84,))
    (84,)
    """

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.relu6(x)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.relu6_grad(dy, y), {}


@dataclass(frozen=True)
class SiLU(Layer):
    """x / (1 + exp(-x)), also called swish, elementwise.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.SiLU().output_shape((84,))
    (84,)
    """

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.silu(x)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.silu_grad(dy, x), {}


@dataclass(frozen=True)
class Hardsigmoid(Layer):
    """min(max(x / 6 + 1 / 2, 0), 1), elementwise.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Hardsigmoid().output_shape((84,))
    (84,)
    """

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.hardsigmoid(x)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.hardsigmoid_grad(dy, y), {}


@dataclass(frozen=True)
class Hardswish(Layer):
    """x * min(max(x / 6 + 1 / 2, 0), 1), elementwise.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Hardswish().output_shape((84,))
    (84,)
    """

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.hardswish(x)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.hardswish_grad(dy, x), {}


@dataclass(frozen=True)
class Softplus(Layer):
    """log(1 + exp(x)), elementwise.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Softplus().output_shape((84,))
    (84,)
    """

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.softplus(x)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.softplus_grad(dy, y), {}


@dataclass(frozen=True)
class ELU(Layer):
    """x where it is positive, else alpha * (exp(x) - 1), elementwise.

    Parameters
    ----------
    alpha : float
        Not negative.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.ELU(0.5).output_shape((84,))
    (84,)
    """

    alpha: float = 1.0

    def __post_init__(self) -> None:
        set_fields(self, alpha=real_number(self.alpha, "alpha"))

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.elu(x, self.alpha)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.elu_grad(dy, y, self.alpha), {}


@dataclass(frozen=True)
class GELU(Layer):
    """x times the share of standard normal numbers below x, elementwise.

    Parameters
    ----------
    approximate : {"none", "tanh"}
        "tanh" stands for x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x**3))) / 2.

    Raises
    ------
    ValueError
        If `approximate` is neither.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.GELU().output_shape((84,))
    (84,)
    """

    approximate: str = "none"
    FORMS: ClassVar[tuple[str, ...]] = ("none", "tanh")

    def __post_init__(self) -> None:
        if self.approximate not in self.FORMS:
            raise ValueError(f'`approximate` must be "none" or "tanh", got {self.approximate!r}')

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.gelu(x, self.approximate == "tanh")

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.gelu_grad(dy, x, self.approximate == "tanh"), {}
