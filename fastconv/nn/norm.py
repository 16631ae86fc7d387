"""Normalisation layers."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from .. import kernels
from ..checks.settings import real_number
from .layer import Array, Arrays, Layer, Shape, set_fields

__all__ = ["BatchNorm2d"]


@dataclass(frozen=True)
class BatchNorm2d(Layer):
    """Batch normalisation of each channel, with a learned scale and shift.

    Parameters
    ----------
    momentum : float
        Share of a batch in the running mean and variance, 0 to 1.
    eps : float
        Added to the variance.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Notes
    -----
    Training uses the batch's own mean and variance, prediction the running ones, as in PyTorch.
    Source: Ioffe and Szegedy (2015).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.BatchNorm2d().output_shape((6, 24, 24))
    (6, 24, 24)
    """

    momentum: float = 0.1
    eps: float = 1e-5
    takes: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        set_fields(
            self,
            momentum=real_number(self.momentum, "momentum"),
            eps=real_number(self.eps, "eps", above=True),
        )
        if self.momentum > 1:
            raise ValueError(f"`momentum` must be a number from 0 to 1, got {self.momentum!r}")

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        return input_shape

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        return {"weight": (input_shape[0],), "bias": (input_shape[0],)}

    def initial_parameters(self, input_shape: Shape, rng: np.random.Generator) -> Arrays:
        return {"weight": np.ones(input_shape[0]), "bias": np.zeros(input_shape[0])}

    def initial_statistics(self, input_shape: Shape) -> Arrays:
        return {"running_mean": np.zeros(input_shape[0]), "running_var": np.ones(input_shape[0])}

    def _normalised(self, x: Array, arrays: Arrays) -> tuple[Array, Array]:
        gamma, beta, mean, var = (arrays[n] for n in ("weight", "bias", "running_mean", "running_var"))
        return kernels.batch_norm2d(x, gamma, beta, mean, var, training=False, eps=self.eps)

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return self._normalised(x, arrays)[0]

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        # The running mean and variance do not depend on x: dx = gamma / deviation * dy.
        mean, inverse = (row[:, None, None] for row in self._normalised(x, arrays)[1])
        dgamma = (dy * (x - mean) * inverse).sum(axis=(0, 2, 3))
        dx = dy * (arrays["weight"][:, None, None] * inverse)
        return dx, {"weight": dgamma, "bias": dy.sum(axis=(0, 2, 3))}
