"""Each layer in words: its formula, and one number of it worked out.

One class a layer; one without a class of its own is told in general words. Arrays are those of a single
sample, as they have been computed; here nothing is computed but the terms that are written out.
"""

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, ClassVar, cast

import numpy as np
from numpy.typing import NDArray

from ..nn import (
    AvgPool2d,
    BatchNorm2d,
    Conv2d,
    Dense,
    Dropout,
    Elementwise,
    Flatten,
    GlobalAvgPool2d,
    GroupNorm,
    LeakyReLU,
    MaxPool2d,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)
from ..nn.layer import Arrays, Layer, entry_of
from ..nn.merge import Stack, Sum
from ..nn.network import Node
from ..simd.user_functions import python_function

Array = NDArray[Any]
TERMS = 9  # of a sum are written out: all of a 3x3 window
WINDOWS, SOME_WINDOWS = 16, 4  # so many of a max-pool are listed; of more than that, some

FORMULAS: dict[type[Layer], type["Formula"]] = {}


def plain(value: Any) -> str:
    """A number as text."""
    return f"{float(value) + 0.0:.6g}"  # no -0


def number(value: Any) -> str:
    """A number as part of a formula: in parentheses where it is negative."""
    text = plain(value)
    return f"({text})" if text.startswith("-") else text


def products(pairs: Iterable[tuple[Any, Any]]) -> str:
    """a*b + a*b + ..., cut off after some terms."""
    terms = [f"{number(a)}*{number(b)}" for a, b in pairs]
    rest = len(terms) - TERMS
    return " + ".join(terms[:TERMS] or ["0"]) + (f" + ... ({rest:,} more)" if rest > 0 else "")


def position(index: str, tap: str, stride: int, dilation: int, padding: int) -> str:
    """A row or column of the input as written: 2i + kh - 1."""
    first = index if stride == 1 else f"{stride}{index}"
    step = tap if dilation == 1 else f"{dilation}{tap}"
    return f"{first}+{step}" + (f"-{padding}" if padding else "")


def inside(start: int, step: int, taps: int, size: int) -> Iterator[tuple[int, int]]:
    """(tap, row) of the taps of a window that lie in the image."""
    return ((k, start + k * step) for k in range(taps) if 0 <= start + k * step < size)


class Formula:
    """A layer in words. `xs` and `y` are the names of its inputs and output, `x` is the first of these, `own`
    are those of its arrays.

    The defaults serve a layer that has no words of its own. Where a layer takes several values, `x` and `dx`
    below are lists.
    """

    letter: ClassVar[str] = "A"  # of the output's name
    numbered: ClassVar[bool] = True  # whether a number follows
    weighted: ClassVar[bool] = False  # whether that number counts on here
    own_letters: ClassVar[dict[str, str]] = {}  # array -> letter of its name

    def __init_subclass__(cls, layer: type[Layer] | None = None) -> None:
        if layer is not None:
            FORMULAS[layer] = cls

    def __init__(self, node: Node, xs: list[str], y: str, arrays: Arrays) -> None:
        self.place, self.layer, self.input_shape = node.name, cast(Any, node.layer), node.input_shape
        self.xs, self.x, self.y, self.arrays = xs, xs[0], y, arrays
        self.own = {name: self.own_letters.get(name, name) + y[1:] for name in arrays}

    def share(self, own: dict[str, str]) -> None:
        """Call the arrays by the names that they have at another place of the same layer."""
        self.own = own

    def forward(self, x: Array, y: Array) -> list[str]:
        """What y is, and further lines about it."""
        return [f"{self.layer.call()} of {self.x}"]

    def parameter(self, name: str, x: Array, dy: Array, gradient: Array) -> list[str]:
        """The right side of dL/d(parameter), and further lines."""
        return [f"by the chain rule through {self.layer.call()}"]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        """The right side of dL/dx, and further lines."""
        return [f"dL/d{self.y} through the derivative of {self.layer.call()}"]


def formula_of(layer: Layer) -> type[Formula]:
    """The class that puts a layer in words: its own, that of the record it is made from, or the default."""
    return entry_of(FORMULAS, layer) or Formula


class SumFormula(Formula, layer=Sum):
    letter = "S"

    def forward(self, x: Any, y: Array) -> list[str]:
        terms = " + ".join(number(value.flat[0]) for value in x)
        return [" + ".join(self.xs), f"{self.y}[{','.join('0' * y.ndim)}] = {terms} = {plain(y.flat[0])}"]

    def backward(self, x: Any, dy: Array, dx: Any) -> list[str]:
        return [f"dL/d{self.y}"]


class StackFormula(Formula, layer=Stack):
    letter = "C"

    @property
    def _parts(self) -> str:
        return "channels" if len(self.input_shape) > 1 else "features"

    def forward(self, x: Any, y: Array) -> list[str]:
        return [f"the {self._parts} of {', '.join(self.xs)}, one after the other"]

    def backward(self, x: Any, dy: Array, dx: Any) -> list[str]:
        return [f"its own {self._parts} of dL/d{self.y}"]


class CurveFormula(Formula):
    """A function of each number."""

    function: ClassVar[str]  # of {x}
    slope: ClassVar[str]  # of {x}, {y} and {dy}

    def forward(self, x: Array, y: Array) -> list[str]:
        return [self.function.format(x=self.x, **self.layer.settings())]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        return [self.slope.format(x=self.x, y=self.y, dy=f"dL/d{self.y}", **self.layer.settings())]


class ReLUFormula(CurveFormula, layer=ReLU):
    function, slope = "max({x}, 0)", "{dy} where {x} > 0, else 0"


class LeakyReLUFormula(CurveFormula, layer=LeakyReLU):
    function = "{x} where {x} > 0, else {negative_slope:g} * {x}"
    slope = "{dy} where {x} > 0, else {negative_slope:g} * {dy}"


class SmoothFormula(CurveFormula):
    """One whose formula can be written with the first number in it."""

    def forward(self, x: Array, y: Array) -> list[str]:
        worked = self.function.format(x=number(x.flat[0]))
        return [*super().forward(x, y), f"{self.y}[{','.join('0' * y.ndim)}] = {worked} = {plain(y.flat[0])}"]


class SigmoidFormula(SmoothFormula, layer=Sigmoid):
    function, slope = "1 / (1 + exp(-{x}))", "{dy} * {y} * (1 - {y})"


class TanhFormula(SmoothFormula, layer=Tanh):
    function, slope = "tanh {x}", "{dy} * (1 - {y}^2)"


class SoftmaxFormula(CurveFormula, layer=Softmax):
    function = "softmax({x}): exp({x}[k]) / sum over j of exp({x}[j])"
    slope = "{y}[k] * ({dy}[k] - sum over j of {dy}[j] * {y}[j])"


class ElementwiseFormula(Formula, layer=Elementwise):
    def _names(self) -> tuple[str, str]:
        function, derivative = (python_function(f) for f in (self.layer.function, self.layer.derivative))
        return function.__name__, derivative.__name__

    def forward(self, x: Array, y: Array) -> list[str]:
        name, first = self._names()[0], f"{self.y}[{','.join('0' * y.ndim)}]"
        return [f"{name}({self.x})", f"{first} = {name}({number(x.flat[0])}) = {plain(y.flat[0])}"]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        return [f"dL/d{self.y} * {self._names()[1]}({self.x})"]


class DropoutFormula(CurveFormula, layer=Dropout):
    letter = "D"
    function, slope = "{x}: dropout lets everything pass, except in training", "{dy}"


class FlattenFormula(CurveFormula, layer=Flatten):
    letter, numbered = "F", False
    function, slope = "{x} as one row, channel by channel, row by row", "{dy} in the shape of {x}"


class Conv2dFormula(Formula, layer=Conv2d):
    letter, weighted, own_letters = "Z", True, {"weight": "W", "bias": "b"}

    def _at(self) -> str:
        """Which element of x meets tap (kh, kw) at output position (i, j)."""
        layer, pads = self.layer, [first for first, _ in self.layer.pads(self.input_shape)]
        row = position("i", "kh", layer.stride[0], layer.dilation[0], pads[0])
        column = position("j", "kw", layer.stride[1], layer.dilation[1], pads[1])
        return f"{self.x}[c,{row},{column}]"

    def _taps(self, x: Array) -> Iterator[tuple[tuple[int, int, int], Any]]:
        """((c, kh, kw), element of x) of the first output position."""
        layer, ((top, _), (left, _)) = self.layer, self.layer.pads(self.input_shape)
        for c in range(self.arrays["weight"].shape[1]):
            for kh, h in inside(-top, layer.dilation[0], layer.kernel_size[0], x.shape[1]):
                for kw, w in inside(-left, layer.dilation[1], layer.kernel_size[1], x.shape[2]):
                    yield (c, kh, kw), x[c, h, w]

    def forward(self, x: Array, y: Array) -> list[str]:
        weight, w, b = self.arrays["weight"], self.own["weight"], self.own.get("bias")
        start = f"{b}[o] + " if b else ""
        lines = [f"conv2d({self.x}, {w})" + (f" + {b}" if b else "")]
        lines += [f"{self.y}[o,i,j] = {start}sum over c, kh, kw of {w}[o,c,kh,kw] * {self._at()}"]
        if any(sum(self.layer.pads(self.input_shape), ())):
            lines += [f"{self.x} is 0 outside its edges (padding)"]
        if self.layer.groups > 1:
            lines += [f"{self.layer.groups} groups: c counts the {weight.shape[1]} channels of o's group"]
        terms = products((value, weight[0, c, kh, kw]) for (c, kh, kw), value in self._taps(x))
        terms += f" + {number(self.arrays['bias'][0])}" if b else ""
        return [*lines, f"{self.y}[0,0,0] = {terms} = {plain(y[0, 0, 0])}"]

    def parameter(self, name: str, x: Array, dy: Array, gradient: Array) -> list[str]:
        own, dz = f"dL/d{self.own[name]}", f"dL/d{self.y}"
        if name == "bias":
            return [f"sum over i, j of {dz}[o,i,j]"]
        (sh, sw), ((top, _), (left, _)) = self.layer.stride, self.layer.pads(self.input_shape)
        pairs = (
            (dy[0, i, j], x[0, i * sh - top, j * sw - left])
            for i, j in np.argwhere(dy[0])
            if 0 <= i * sh - top < x.shape[1] and 0 <= j * sw - left < x.shape[2]
        )
        return [
            f"correlation of {self.x} with {dz}",
            f"{own}[o,c,kh,kw] = sum over i, j of {dz}[o,i,j] * {self._at()}",
            f"{own}[0,0,0,0] = {products(pairs)} = {plain(gradient[0, 0, 0, 0])}   (terms of 0 left out)",
        ]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        w, dz = self.own["weight"], f"dL/d{self.y}"
        rule = f"every {dz}[o,i,j] * {w}[o,c,kh,kw] is added at {self._at()}"
        if self.layer.stride == (1, 1) and self.layer.groups == 1:
            return [f"full correlation of {dz} with {w} rotated by 180 degrees", rule]
        return [rule]


class DenseFormula(Formula, layer=Dense):
    letter, weighted, own_letters = "Z", True, {"weight": "W", "bias": "b"}

    def forward(self, x: Array, y: Array) -> list[str]:
        w, b = self.own["weight"], self.own.get("bias")
        start = f"{b}[k] + " if b else ""
        terms = products(zip(self.arrays["weight"][0], x, strict=True))
        terms += f" + {number(self.arrays['bias'][0])}" if b else ""
        return [
            f"{w} {self.x}" + (f" + {b}" if b else ""),
            f"{self.y}[k] = {start}sum over i of {w}[k,i] * {self.x}[i]",
            f"{self.y}[0] = {terms} = {plain(y[0])}",
        ]

    def parameter(self, name: str, x: Array, dy: Array, gradient: Array) -> list[str]:
        own, dz = f"dL/d{self.own[name]}", f"dL/d{self.y}"
        if name == "bias":
            return [dz]
        return [
            f"{dz} {self.x}^T",
            f"{own}[k,i] = {dz}[k] * {self.x}[i]",
            f"{own}[0,0] = {products([(dy[0], x[0])])} = {plain(gradient[0, 0])}",
        ]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        w, dz = self.own["weight"], f"dL/d{self.y}"
        terms = products(zip(self.arrays["weight"][:, 0], dy, strict=True))
        return [
            f"{w}^T {dz}",
            f"dL/d{self.x}[i] = sum over k of {w}[k,i] * {dz}[k]",
            f"dL/d{self.x}[0] = {terms} = {plain(dx[0])}",
        ]


class _Pool(Formula):
    letter = "P"

    def _dilation(self) -> tuple[int, int]:
        return getattr(self.layer, "dilation", (1, 1))

    def _at(self) -> str:
        layer, dilation = self.layer, self._dilation()
        top, left = (first for first, _ in layer.pads(self.input_shape))
        row = position("i", "kh", layer.stride[0], dilation[0], top)
        column = position("j", "kw", layer.stride[1], dilation[1], left)
        kernel = layer.kernel_size
        return f"{self.x}[c,{row},{column}], kh = 0..{kernel[0] - 1}, kw = 0..{kernel[1] - 1}"

    def _window(self, x: Array, c: int, i: int, j: int) -> list[tuple[tuple[int, int, int], Any]]:
        """(position, element) of the window of output [c,i,j], as far as it lies in the image."""
        layer, dilation, pads = self.layer, self._dilation(), self.layer.pads(self.input_shape)
        top, left = (n * s - first for n, s, (first, _) in zip((i, j), layer.stride, pads, strict=True))
        return [
            ((c, h, w), x[c, h, w])
            for _, h in inside(top, dilation[0], layer.kernel_size[0], x.shape[1])
            for _, w in inside(left, dilation[1], layer.kernel_size[1], x.shape[2])
        ]


def few(values: list[Any]) -> str:
    """Some numbers as text."""
    return ", ".join(map(plain, values[:TERMS])) + (", ..." if len(values) > TERMS else "")


class MaxPool2dFormula(_Pool, layer=MaxPool2d):
    def forward(self, x: Array, y: Array) -> list[str]:
        listed = y.size if y.size <= WINDOWS else SOME_WINDOWS
        lines = [f"the largest of each window of {self.x}", f"{self.y}[c,i,j] = max over {self._at()}"]
        for c, i, j in islice(np.ndindex(*y.shape), listed):
            window = self._window(x, c, i, j)
            if not window:  # nothing but padding
                continue
            where = window[int(np.argmax([value for _, value in window]))][0]  # the first of equals, or NaN
            values = few([value for _, value in window])
            winner = f"{self.x}[{','.join(map(str, where))}]"
            lines += [f"{self.y}[{c},{i},{j}] = max({values}) = {plain(y[c, i, j])}, won by {winner}"]
        return lines + ([f"... and {y.size - listed:,} windows more"] if y.size > listed else [])

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        return [f"each dL/d{self.y} at the position of {self.x} that won its window, else 0"]


class AvgPool2dFormula(_Pool, layer=AvgPool2d):
    def forward(self, x: Array, y: Array) -> list[str]:
        window = self._window(x, 0, 0, 0)
        lines = [f"the mean of each window of {self.x}", f"{self.y}[c,i,j] = mean of {self._at()}"]
        pads = self.layer.pads(self.input_shape)
        if any(sum(pads, ())):
            kind = "counts as zeros" if self.layer.count_include_pad else "does not count"
            lines += [f"the padding {kind}"]
        values = [value for _, value in window]
        if self.layer.count_include_pad:  # a window ends where the padding does
            sides = (size + sum(pad) for size, pad in zip(x.shape[1:], pads, strict=True))
            count = math.prod(map(min, self.layer.kernel_size, sides))
        else:
            count = len(values)
        return [*lines, f"{self.y}[0,0,0] = sum of ({few(values)}) / {count} = {plain(y[0, 0, 0])}"]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        return [f"each dL/d{self.y} in equal shares to the elements of its window"]


class GlobalAvgPool2dFormula(Formula, layer=GlobalAvgPool2d):
    letter = "G"

    def forward(self, x: Array, y: Array) -> list[str]:
        return [f"the mean of each channel of {self.x}, {x.shape[1]} x {x.shape[2]} numbers"]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        return [f"dL/d{self.y}[c] / {x.shape[1] * x.shape[2]}, at every position of channel c"]


class BatchNorm2dFormula(Formula, layer=BatchNorm2d):
    letter = "N"
    own_letters: ClassVar = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "var"}

    def _deviation(self) -> str:
        return f"sqrt({self.own['running_var']} + {self.layer.eps:g})"

    def _normalised(self) -> str:
        return f"({self.x} - {self.own['running_mean']}) / {self._deviation()}"

    def forward(self, x: Array, y: Array) -> list[str]:
        gamma, beta, mean, var = (
            number(self.arrays[name][0]) for name in ("weight", "bias", "running_mean", "running_var")
        )
        worked = f"{gamma} * ({number(x[0, 0, 0])} - {mean}) / sqrt({var} + {self.layer.eps:g}) + {beta}"
        return [
            f"{self.own['weight']} * {self._normalised()} + {self.own['bias']}, channel by channel",
            "with the running mean and variance, as in a prediction; training takes those of the batch",
            f"{self.y}[0,0,0] = {worked} = {plain(y[0, 0, 0])}",
        ]

    def parameter(self, name: str, x: Array, dy: Array, gradient: Array) -> list[str]:
        factor = "" if name == "bias" else f" * {self._normalised()}"
        return [f"sum over i, j of dL/d{self.y}{factor}"]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        return [f"dL/d{self.y} * {self.own['weight']} / {self._deviation()}"]


class GroupNormFormula(Formula, layer=GroupNorm):
    letter = "N"
    own_letters: ClassVar = {"weight": "gamma", "bias": "beta"}

    def _group(self, x: Array) -> Array:
        """The first group's numbers."""
        return x[: len(x) // self.layer.num_groups]

    def forward(self, x: Array, y: Array) -> list[str]:
        gamma, beta = (number(self.arrays[name][0]) for name in ("weight", "bias"))
        group, first = self._group(x), ",".join("0" * x.ndim)
        mean, var = group.mean(), group.var()
        worked = f"{gamma} * ({number(x.flat[0])} - {number(mean)}) / sqrt({plain(var)} + {self.layer.eps:g})"
        return [
            f"{self.own['weight']} * ({self.x} - mean) / sqrt(var + {self.layer.eps:g}) + {self.own['bias']}",
            f"mean and var are those of each of {self.layer.num_groups} groups of {len(group)} channels",
            f"{self.y}[{first}] = {worked} + {beta} = {plain(y.flat[0])}",
        ]

    def parameter(self, name: str, x: Array, dy: Array, gradient: Array) -> list[str]:
        factor = "" if name == "bias" else f" * ({self.x} - mean) / sqrt(var + {self.layer.eps:g})"
        return [f"sum over the positions of a channel of dL/d{self.y}{factor}"]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        return [
            "(d - mean(d) - xhat * mean(d * xhat)) / sqrt(var + eps), means over a group",
            f"d = dL/d{self.y} * {self.own['weight']}, and xhat is {self.x} normalised",
        ]
