"""Pools of whole channels and of shares of them, and norms of channels and samples, in words."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..nn import AdaptiveAvgPool2d, GlobalMaxPool2d, InstanceNorm2d, LayerNorm
from .formulas import Formula, few, number, plain

Array = NDArray[Any]


class GlobalMaxPool2dFormula(Formula, layer=GlobalMaxPool2d):
    letter = "G"

    def forward(self, x: Array, y: Array) -> list[str]:
        where = ",".join(map(str, (0, *np.unravel_index(x[0].argmax(), x.shape[1:]))))  # the first, or NaN
        return [
            f"the largest of each channel of {self.x}, {x.shape[1]} x {x.shape[2]} numbers",
            f"{self.y}[0,0,0] = {plain(y[0, 0, 0])}, won by {self.x}[{where}]",
        ]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        return [f"dL/d{self.y}[c] at the position of {self.x} that won channel c, else 0"]


class AdaptiveAvgPool2dFormula(Formula, layer=AdaptiveAvgPool2d):
    letter = "P"

    def forward(self, x: Array, y: Array) -> list[str]:
        ends = [-(-size // count) for size, count in zip(x.shape[1:], y.shape[1:], strict=True)]
        values = list(x[0, : ends[0], : ends[1]].flat)
        (height, width), (rows, columns) = x.shape[1:], y.shape[1:]
        return [
            f"the mean of each of {rows} x {columns} windows of {self.x}",
            f"window [i,j]: rows floor(i*{height}/{rows}) to before ceil((i+1)*{height}/{rows}), "
            f"columns floor(j*{width}/{columns}) to before ceil((j+1)*{width}/{columns})",
            f"{self.y}[0,0,0] = sum of ({few(values)}) / {len(values)} = {plain(y[0, 0, 0])}",
        ]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        return [f"each dL/d{self.y} in equal shares to the elements of its window"]


class _SampleNorm(Formula):
    """Normalisation by a mean and variance of the sample's own."""

    letter = "N"
    own_letters: ClassVar[dict[str, str]] = {"weight": "gamma", "bias": "beta"}
    over: ClassVar[str]  # what the mean is taken over
    positions: ClassVar[str]  # what the gradients of parameters are summed over

    def _first(self, x: Array) -> Array:
        """The numbers that the first mean is taken over."""
        raise NotImplementedError

    def forward(self, x: Array, y: Array) -> list[str]:
        mean, var = self._first(x).mean(), self._first(x).var()
        rule = f"({self.x} - mean) / sqrt(var + {self.layer.eps:g})"
        worked = f"({number(x.flat[0])} - {number(mean)}) / sqrt({plain(var)} + {self.layer.eps:g})"
        if self.own:
            rule = f"{self.own['weight']} * {rule} + {self.own['bias']}"
            gamma, beta = (number(self.arrays[name].flat[0]) for name in ("weight", "bias"))
            worked = f"{gamma} * {worked} + {beta}"
        first = ",".join("0" * x.ndim)
        return [
            rule,
            f"mean and var are those of {self.over}",
            f"{self.y}[{first}] = {worked} = {plain(y.flat[0])}",
        ]

    def parameter(self, name: str, x: Array, dy: Array, gradient: Array) -> list[str]:
        factor = "" if name == "bias" else f" * ({self.x} - mean) / sqrt(var + {self.layer.eps:g})"
        return [f"{self.positions}dL/d{self.y}{factor}"]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        scaled = f" * {self.own['weight']}" if self.own else ""
        return [
            f"(d - mean(d) - xhat * mean(d * xhat)) / sqrt(var + eps), means over {self.over}",
            f"d = dL/d{self.y}{scaled}, and xhat is {self.x} normalised",
        ]


class InstanceNorm2dFormula(_SampleNorm, layer=InstanceNorm2d):
    over, positions = "each channel", "sum over the positions of a channel of "

    def _first(self, x: Array) -> Array:
        return x[0]


class LayerNormFormula(_SampleNorm, layer=LayerNorm):
    over, positions = "the whole sample", ""

    def _first(self, x: Array) -> Array:
        return x
