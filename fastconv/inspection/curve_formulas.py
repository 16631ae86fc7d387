"""The smooth and bent activations, PReLU and dropout of channels in words."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..nn import (
    ELU,
    GELU,
    Hardsigmoid,
    Hardswish,
    PReLU,
    ReLU6,
    SiLU,
    Softplus,
    SpatialDropout2d,
)
from .formulas import CurveFormula, DropoutFormula, Formula, SmoothFormula, number, plain, products

Array = NDArray[Any]


class ReLU6Formula(SmoothFormula, layer=ReLU6):
    function, slope = "min(max({x}, 0), 6)", "{dy} where 0 < {x} < 6, else 0"


class HardsigmoidFormula(SmoothFormula, layer=Hardsigmoid):
    function, slope = "min(max({x} / 6 + 1 / 2, 0), 1)", "{dy} / 6 where -3 < {x} < 3, else 0"


class HardswishFormula(SmoothFormula, layer=Hardswish):
    function = "{x} * min(max({x} / 6 + 1 / 2, 0), 1)"
    slope = "{dy} * (2 * {x} + 3) / 6 where -3 < {x} < 3, {dy} above and 0 below"


class SiLUFormula(SmoothFormula, layer=SiLU):
    function = "{x} / (1 + exp(-{x}))"
    slope = "{dy} * s * (1 + {x} * (1 - s)), with s = 1 / (1 + exp(-{x}))"


class SoftplusFormula(SmoothFormula, layer=Softplus):
    function, slope = "log(1 + exp({x}))", "{dy} / (1 + exp(-{x}))"


class ELUFormula(CurveFormula, layer=ELU):
    function = "{x} where {x} > 0, else {alpha:g} * (exp({x}) - 1)"
    slope = "{dy} where {x} > 0, else {dy} * {alpha:g} * exp({x})"


class GELUFormula(SmoothFormula, layer=GELU):
    """Of the two forms, the function is the layer's own."""

    slope: ClassVar[str] = "{dy} * (P + {x} * dP/d{x}), with {y} = {x} * P"

    @property
    def function(self) -> str:  # type: ignore[override]
        if self.layer.approximate == "tanh":
            return "{x} * (1 + tanh(sqrt(2 / pi) * ({x} + 0.044715 * {x}**3))) / 2"
        return "{x} * (1 + erf({x} / sqrt(2))) / 2"


class PReLUFormula(Formula, layer=PReLU):
    own_letters: ClassVar[dict[str, str]] = {"weight": "a"}

    def _slope(self) -> str:
        return self.own["weight"] + ("[c]" if self.layer.per_channel else "")

    def forward(self, x: Array, y: Array) -> list[str]:
        lines = [f"{self.x} where {self.x} > 0, else {self._slope()} * {self.x}"]
        below = next((place for place in zip(*np.nonzero(x <= 0), strict=True)), None)
        if below is None:
            return lines
        slope = self.arrays["weight"][below[0] if self.layer.per_channel else 0]
        worked = f"{number(slope)} * {number(x[below])} = {plain(y[below])}"
        return [*lines, f"{self.y}[{','.join(map(str, below))}] = {worked}"]

    def parameter(self, name: str, x: Array, dy: Array, gradient: Array) -> list[str]:
        where = "in channel c, " if self.layer.per_channel else ""
        x, dy = (x[:1], dy[:1]) if self.layer.per_channel else (x, dy)
        terms = products(zip(dy[x <= 0], x[x <= 0], strict=True))
        return [
            f"sum of dL/d{self.y} * {self.x}, {where}where {self.x} is not positive",
            f"dL/d{self.own['weight']}[0] = {terms} = {plain(gradient[0])}",
        ]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        return [f"dL/d{self.y} where {self.x} > 0, else {self._slope()} * dL/d{self.y}"]


class SpatialDropout2dFormula(DropoutFormula, layer=SpatialDropout2d):
    pass
