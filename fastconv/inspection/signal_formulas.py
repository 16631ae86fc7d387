"""Layers over signals in words: those of the layers over images, of which the rows are left out."""

import re
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from numpy.typing import NDArray

from ..nn import (
    AdaptiveAvgPool1d,
    AvgPool1d,
    BatchNorm1d,
    Conv1d,
    GlobalAvgPool1d,
    GlobalMaxPool1d,
    InstanceNorm1d,
    MaxPool1d,
    SpatialDropout1d,
)
from ..nn.layer import Arrays, Layer
from ..nn.network import Node
from .curve_formulas import SpatialDropout2dFormula
from .formulas import (
    AvgPool2dFormula,
    BatchNorm2dFormula,
    Conv2dFormula,
    Formula,
    GlobalAvgPool2dFormula,
    MaxPool2dFormula,
)
from .sample_formulas import AdaptiveAvgPool2dFormula, GlobalMaxPool2dFormula, InstanceNorm2dFormula

Array = NDArray[Any]

WITHOUT_ROWS = [  # what lines about images say of their rows -> what is left of it
    (r"conv2d\(", "conv1d("),
    (r"over c, kh, kw", "over c, kw"),
    (r"kh = 0\.\.0, ", ""),
    (r"over i, j of", "over j of"),
    (r", 1 x (\d+) numbers", r", \1 numbers"),
    (r"of 1 x (\d+) windows", r"of \1 windows"),
    (r"window \[i,j\]: rows .*, columns", "window [j]: positions"),
    (r"rotated by 180 degrees", "reversed"),
]


def without_rows(line: str, dimensions: int) -> str:
    """A line about an image of one row as one about a signal, or about features of one position.

    Examples
    --------
    >>> without_rows("Z1[o,i,j] = sum over c, kh, kw of W1[o,c,kh,kw] * X[c,i+kh,j+kw]", 2)
    'Z1[o,j] = sum over c, kw of W1[o,c,kw] * X[c,j+kw]'
    """

    def index(found: re.Match[str]) -> str:
        places = found.group(1).split(",")
        return f"[{','.join(places[:-2] + places[-1:][: dimensions - 1])}]"

    for pattern, left in WITHOUT_ROWS:
        line = re.sub(pattern, left, line)
    if dimensions == 1:
        line = line.replace("sum over j of ", "")
    return re.sub(r"\[([^\[\],]+(?:,[^\[\],]+){2,3})\]", index, line)


class _Signal(Formula):
    """A subclass says whose words about images these are."""

    image: ClassVar[type[Formula]]

    def __init_subclass__(cls, layer: type[Layer] | None = None) -> None:
        super().__init_subclass__(layer)
        for name in ("letter", "numbered", "weighted", "own_letters"):
            setattr(cls, name, getattr(cls.image, name))

    def __init__(self, node: Node, xs: list[str], y: str, arrays: Arrays) -> None:
        super().__init__(node, xs, y, arrays)
        shape = node.input_shape
        image = (shape[0], 1, *shape[1:], 1)[:3]
        as_image = SimpleNamespace(name=node.name, layer=node.layer.image_layer(), input_shape=image)
        images = {name: a[:, :, None] if a.ndim == 3 else a for name, a in arrays.items()}
        self._of_image = self.image(cast(Node, as_image), xs, y, images)

    def share(self, own: dict[str, str]) -> None:
        super().share(own)
        self._of_image.share(own)

    def _lines(self, lines: list[str]) -> list[str]:
        return [without_rows(line, len(self.input_shape)) for line in lines]

    def forward(self, x: Array, y: Array) -> list[str]:
        return self._lines(self._of_image.forward(_image(x), _image(y)))

    def parameter(self, name: str, x: Array, dy: Array, gradient: Array) -> list[str]:
        gradient = gradient[:, :, None] if gradient.ndim == 3 else gradient
        return self._lines(self._of_image.parameter(name, _image(x), _image(dy), gradient))

    def backward(self, x: Array, dy: Array, dx: Array) -> list[str]:
        return self._lines(self._of_image.backward(_image(x), _image(dy), _image(dx)))


def _image(x: Array) -> Array:
    """(C, L) as (C, 1, L), features as (F, 1, 1)."""
    return x.reshape((x.shape[0], 1, *x.shape[1:], 1)[:3])


class Conv1dFormula(_Signal, layer=Conv1d):
    image = Conv2dFormula


class MaxPool1dFormula(_Signal, layer=MaxPool1d):
    image = MaxPool2dFormula


class AvgPool1dFormula(_Signal, layer=AvgPool1d):
    image = AvgPool2dFormula


class GlobalAvgPool1dFormula(_Signal, layer=GlobalAvgPool1d):
    image = GlobalAvgPool2dFormula


class GlobalMaxPool1dFormula(_Signal, layer=GlobalMaxPool1d):
    image = GlobalMaxPool2dFormula


class AdaptiveAvgPool1dFormula(_Signal, layer=AdaptiveAvgPool1d):
    image = AdaptiveAvgPool2dFormula


class BatchNorm1dFormula(_Signal, layer=BatchNorm1d):
    image = BatchNorm2dFormula


class InstanceNorm1dFormula(_Signal, layer=InstanceNorm1d):
    image = InstanceNorm2dFormula


class SpatialDropout1dFormula(_Signal, layer=SpatialDropout1d):
    image = SpatialDropout2dFormula
