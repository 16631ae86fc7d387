"""Layers over signals (C, L) that take a channel as a whole: global and adaptive pools, and others.

As in `signal.py`, each computes what a layer over images computes on images of one line.
"""

from dataclasses import KW_ONLY, dataclass

from ..checks.settings import whole_number
from .dropout import SpatialDropout2d
from .layer import set_fields
from .norm import InstanceNorm2d
from .pool import AdaptiveAvgPool2d, GlobalMaxPool2d
from .signal import _Signal

__all__ = ["AdaptiveAvgPool1d", "GlobalMaxPool1d", "InstanceNorm1d", "SpatialDropout1d"]


@dataclass(frozen=True)
class GlobalMaxPool1d(_Signal):
    """The largest element of each whole channel of a signal: (C, L) to (C, 1).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.GlobalMaxPool1d().output_shape((64, 50))
    (64, 1)
    """

    def image_layer(self) -> GlobalMaxPool2d:
        return GlobalMaxPool2d()


@dataclass(frozen=True)
class AdaptiveAvgPool1d(_Signal):
    """The mean of each of `output_size` windows, which share out a signal of any length evenly.

    Parameters
    ----------
    output_size : int
        Length of the output, shorter or longer than the input.

    Notes
    -----
    Windows are those of `AdaptiveAvgPool2d`.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.AdaptiveAvgPool1d(8).output_shape((64, 50))
    (64, 8)
    """

    output_size: int

    def __post_init__(self) -> None:
        set_fields(self, output_size=whole_number(self.output_size, "output_size"))

    def image_layer(self) -> AdaptiveAvgPool2d:
        return AdaptiveAvgPool2d((1, self.output_size))


@dataclass(frozen=True)
class SpatialDropout1d(_Signal):
    """In training, zero for whole channels, a random share `p` of each signal's; the others divided by 1 - p.

    Parameters
    ----------
    p : float
        From 0 up to, not including, 1.

    Notes
    -----
    As `SpatialDropout2d`; PyTorch calls it Dropout1d.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.SpatialDropout1d(0.25).output_shape((16, 50))
    (16, 50)
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        set_fields(self, p=self.image_layer().p)

    def image_layer(self) -> SpatialDropout2d:
        return SpatialDropout2d(self.p)


@dataclass(frozen=True)
class InstanceNorm1d(_Signal):
    """Normalisation of each channel of each signal, as GroupNorm with as many groups as channels.

    Parameters
    ----------
    eps : float
        Added to the variance.
    affine : bool
        Whether each channel has a learned scale and shift.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Notes
    -----
    As `InstanceNorm2d`. Source: Ulyanov, Vedaldi and Lempitsky (2016).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.InstanceNorm1d().output_shape((6, 24))
    (6, 24)
    """

    _: KW_ONLY  # PyTorch's first argument is the number of channels
    eps: float = 1e-5
    affine: bool = False

    def __post_init__(self) -> None:
        checked = self.image_layer()
        set_fields(self, eps=checked.eps, affine=checked.affine)

    def image_layer(self) -> InstanceNorm2d:
        return InstanceNorm2d(eps=self.eps, affine=self.affine)
