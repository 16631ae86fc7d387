"""Layers that make images and signals larger, in words."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..kernels.lanes.resize import between
from ..nn import ConvTranspose1d, ConvTranspose2d, Upsample
from .formulas import Formula, number, plain, position, products

Array = NDArray[Any]


class ConvTranspose2dFormula(Formula, layer=ConvTranspose2d):
    letter, weighted, own_letters = "Z", True, {"weight": "W", "bias": "b"}

    def _axes(self) -> list[tuple[str, str, int, int, int]]:
        """(index of x, tap, stride, dilation, what is cut off before) of each axis; a signal has one."""
        layer, shape = self.layer.image_layer(), self.input_shape
        names = (("h", "kh"), ("w", "kw")) if len(shape) == 3 else (("i", "k"),)
        pads = layer.pads(shape if len(shape) == 3 else (shape[0], 1, shape[1]))
        windows = list(zip(layer.stride, layer.dilation, pads, strict=True))[-len(names) :]
        return [(*name, s, d, first) for name, (s, d, (first, _)) in zip(names, windows, strict=True)]

    def _texts(self) -> tuple[str, str, str]:
        """Indices of x, the taps, and where in y they meet: ("h,w", "kh,kw", "2h+kh,2w+kw")."""
        axes = self._axes()
        met = ",".join(position(*axis) for axis in axes)
        return ",".join(axis[0] for axis in axes), ",".join(axis[1] for axis in axes), met

    def _first_sum(self, x: Array) -> Iterator[tuple[Any, Any]]:
        """(element of x, weight) of everything that is added at the first position of the first output."""
        weight = self.arrays["weight"]
        for c in range(len(x) // self.layer.groups):
            for tap in np.ndindex(weight.shape[2:]):
                reach = [first - k * d for k, (_, _, _, d, first) in zip(tap, self._axes(), strict=True)]
                at = [r // s for r, (_, _, s, _, _) in zip(reach, self._axes(), strict=True)]
                whole = all(a * s == r for a, r, (_, _, s, _, _) in zip(at, reach, self._axes(), strict=True))
                if whole and all(0 <= a < n for a, n in zip(at, x.shape[1:], strict=True)):
                    yield x[(c, *at)], weight[(c, 0, *tap)]

    def forward(self, x: Array, y: Array) -> list[str]:
        w, b = self.own["weight"], self.own.get("bias")
        here, taps, met = self._texts()
        lines = [f"transposed convolution of {self.x} with {w}" + (f" + {b}" if b else "")]
        lines += [f"every {self.x}[c,{here}] * {w}[c,o,{taps}] is added at {self.y}[o,{met}]"]
        lines += [f"to {b}[o], which is everywhere"] if b else []
        if any(first for *_, first in self._axes()):
            lines += [f"what falls outside the edges of {self.y} is cut off (padding)"]
        if self.layer.groups > 1:
            lines += [f"{self.layer.groups} groups: c and o count the channels of one"]
        terms = products(self._first_sum(x))
        terms += f" + {number(self.arrays['bias'][0])}" if b else ""
        return [*lines, f"{self.y}[{','.join('0' * y.ndim)}] = {terms} = {plain(y.flat[0])}"]

    def parameter(self, name: str, x: Array, dy: Array, gradient: Array) -> list[str]:
        own, dz = f"dL/d{self.own[name]}", f"dL/d{self.y}"
        here, taps, met = self._texts()
        if name == "bias":
            return [f"sum over all positions of {dz}[o]"]
        pairs = []
        for at in np.ndindex(x.shape[1:]):
            place = tuple(k * s - first for k, (_, _, s, _, first) in zip(at, self._axes(), strict=True))
            if all(0 <= p < n for p, n in zip(place, dy.shape[1:], strict=True)):
                pairs.append((x[(0, *at)], dy[(0, *place)]))
        zeros = ",".join("0" * gradient.ndim)
        return [
            f"correlation of {dz} with {self.x}",
            f"{own}[c,o,{taps}] = sum over {here} of {self.x}[c,{here}] * {dz}[o,{met}]",
            f"{own}[{zeros}] = {products(pairs)} = {plain(gradient.flat[0])}",
        ]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        w, dz = self.own["weight"], f"dL/d{self.y}"
        here, taps, met = self._texts()
        return [
            f"convolution of {dz} with {w}",
            f"dL/d{self.x}[c,{here}] = sum over o,{taps} of {w}[c,o,{taps}] * {dz}[o,{met}]",
        ]


class ConvTranspose1dFormula(ConvTranspose2dFormula, layer=ConvTranspose1d):
    pass


class UpsampleFormula(Formula, layer=Upsample):
    letter = "U"

    def _shares(self, x: Array, y: Array) -> tuple[tuple[int, ...], list[tuple[float, Any]]]:
        """A position in the middle of the first channel of y, and the (share, element of x) in it."""
        at, parts = [0], [(1.0, x[0])]
        for scale, size in zip(self.layer.scales(x.shape), x.shape[1:], strict=True):
            places, fractions = between(size, scale, self.layer.align_corners)
            k = size * scale // 2
            ways = [(1 - fractions[k], places[k, 0]), (fractions[k], places[k, 1])]
            at, parts = [*at, k], [(a * b, part[n]) for a, part in parts for b, n in ways if b]
        return tuple(at), parts

    def forward(self, x: Array, y: Array) -> list[str]:
        scale = self.layer.scales(x.shape)
        times = " x ".join(map(str, scale))
        if self.layer.mode == "nearest":
            indices = ",".join(f"{n}//{k}" if k > 1 else n for n, k in zip("ij", scale, strict=False))
            return [
                f"every element of {self.x}, {times} times",
                f"{self.y}[c,{','.join('ij'[: len(scale)])}] = {self.x}[c,{indices}]",
            ]
        at, parts = self._shares(x, y)
        ends = "from the first to the last" if self.layer.align_corners else "between the middles"
        where = ",".join(map(str, at))
        return [
            f"{self.x} made {times} times as large, on straight lines {ends} of its elements",
            f"{self.y}[{where}] = {products(parts)} = {plain(y[at])}",
        ]

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        if self.layer.mode == "nearest":
            return [f"the sum of dL/d{self.y} over the copies of each element"]
        return [f"each dL/d{self.y}, in the same shares, to the elements of {self.x} around it"]
