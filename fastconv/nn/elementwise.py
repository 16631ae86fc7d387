"""Activations that users write."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..checks.import_path import import_path, imported
from ..simd.user_functions import arguments_of, check_function, python_function
from .layer import Array, Arrays, Layer, set_fields

__all__ = ["Elementwise"]


@dataclass(frozen=True)
class Elementwise(Layer):
    """An activation of your own: a function of every number, and its derivative.

    It runs inside the compiled step, on all threads, with the same bits on any number of them.

    Parameters
    ----------
    function : function
        x -> y, of a single number, best decorated with `numba.njit`. Numbers that it names take the dtype of
        the network.
    derivative : function
        x -> dy / dx, or (x, y) -> dy / dx where the result y makes it easier.

    Raises
    ------
    TypeError
        If one is no function of so many arguments.

    Notes
    -----
    `fastconv.check_gradients` tells whether the two fit each other. Files hold their import paths.

    Examples
    --------
    >>> import fastconv as fc, numba, numpy as np
    >>> @numba.njit
    ... def softsign(x):
    ...     return x / (1 + abs(x))
    >>> @numba.njit
    ... def softsign_grad(x):
    ...     return 1 / (1 + abs(x)) ** 2
    >>> layers = [fc.Dense(3), fc.Elementwise(softsign, softsign_grad), fc.Dense(1)]
    >>> model = fc.Sequential(layers, input_shape=(2,))
    >>> fc.check_gradients(model, np.ones((4, 2)), np.zeros((4, 1)), loss="mse") < 1e-5
    True
    """

    function: Any
    derivative: Any

    def __post_init__(self) -> None:
        set_fields(
            self,
            function=check_function(_function(self.function), "function", 1),
            derivative=check_function(_function(self.derivative), "derivative", 1, 2),
        )

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return np.vectorize(python_function(self.function), otypes=[x.dtype])(x)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        given = (x, y)[: arguments_of(self.derivative)]
        return dy * np.vectorize(python_function(self.derivative), otypes=[x.dtype])(*given), {}

    def call(self) -> str:
        return f"Elementwise({python_function(self.function).__name__})"

    def settings(self) -> dict[str, Any]:
        return {name: import_path(getattr(self, name)) for name in ("function", "derivative")}


def _function(value: Any) -> Any:
    """A function, also by its import path, as files hold it."""
    return imported(value) if isinstance(value, str) else value
