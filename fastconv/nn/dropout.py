"""Dropout."""

from dataclasses import dataclass
from typing import ClassVar

from ..checks.settings import real_number
from .layer import Layer, Shape, set_fields

__all__ = ["Dropout", "SpatialDropout2d"]


@dataclass(frozen=True)
class Dropout(Layer):
    """In training, zero for a random share `p` of the elements; the others are divided by 1 - p.

    Parameters
    ----------
    p : float
        From 0 up to, not including, 1.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Dropout(0.25)
    Dropout(p=0.25)
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        set_fields(self, p=real_number(self.p, "p", 0.0, 1.0))


@dataclass(frozen=True)
class SpatialDropout2d(Layer):
    """In training, zero for whole channels, a random share `p` of each image's; the others divided by 1 - p.

    Neighbouring pixels are much alike: single ones that are left out are hardly missed. It is what PyTorch
    calls Dropout2d.

    Parameters
    ----------
    p : float
        From 0 up to, not including, 1.

    Notes
    -----
    Source: Tompson et al. (2015), Efficient object localization using convolutional networks, section 3.2.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.SpatialDropout2d(0.25).output_shape((16, 7, 7))
    (16, 7, 7)
    """

    p: float = 0.5
    takes: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        set_fields(self, p=real_number(self.p, "p", 0.0, 1.0))

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        return input_shape
