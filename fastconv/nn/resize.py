"""Layers that make images and signals larger."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from .. import kernels
from ..checks.scalars import positive_pair
from .layer import Array, Arrays, IntOrPair, Layer, Shape, set_fields

__all__ = ["Upsample"]


@dataclass(frozen=True)
class Upsample(Layer):
    """Images (C, H, W) or signals (C, L) made larger by whole factors.

    Parameters
    ----------
    scale_factor : int or pair of ints
        How many times as high and wide images become; of signals an int.
    mode : {"nearest", "bilinear", "linear"}
        Whether each element is repeated, or the new ones lie on straight lines between the old: "bilinear" of
        images, "linear" of signals.
    align_corners : bool
        With straight lines: whether they reach from the first element to the last, so that these stay as they
        are; otherwise half an element at each end is constant.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Upsample(2).output_shape((16, 7, 7)), fc.Upsample(4, "linear").output_shape((8, 10))
    ((16, 14, 14), (8, 40))
    >>> fc.Upsample((2, 2), align_corners=False).call()
    'Upsample(2)'
    """

    scale_factor: IntOrPair = 2
    mode: str = "nearest"
    _: KW_ONLY
    align_corners: bool = False
    MODES: ClassVar[tuple[str, ...]] = ("nearest", "bilinear", "linear")
    spelt_out: ClassVar[tuple[str, ...]] = ("scale_factor",)  # "Upsample()" would not say by how much

    def __post_init__(self) -> None:
        if not isinstance(self.mode, str) or self.mode not in self.MODES:
            raise ValueError(f'`mode` must be "nearest", "bilinear" or "linear", got {self.mode!r}')
        scale, aligned = positive_pair(self.scale_factor, "scale_factor"), bool(self.align_corners)
        if aligned and self.mode == "nearest":
            raise ValueError('`align_corners` must be False where `mode` is "nearest", got True')
        set_fields(self, scale_factor=scale, align_corners=aligned)

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        scale = self.scales(input_shape)
        return input_shape[0], *(n * k for n, k in zip(input_shape[1:], scale, strict=True))

    def scales(self, input_shape: Shape) -> tuple[int, ...]:
        """The factors for samples of this shape: (down, across) of images, one of signals.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W) or (C, L).

        Returns
        -------
        tuple of ints

        Examples
        --------
        >>> Upsample(3).scales((8, 10))
        (3,)
        """
        return self.scale_factor if len(input_shape) == 3 else self.scale_factor[:1]

    def check_input(self, input_shape: Shape) -> None:
        if len(input_shape) not in (2, 3):
            raise ValueError(
                f"{self} takes images (C, H, W) or signals (C, L), got samples of shape {input_shape}"
            )
        signal = len(input_shape) == 2
        if self.mode == ("bilinear" if signal else "linear"):
            kind, mode = ("signals", "linear") if signal else ("images", "bilinear")
            raise ValueError(f'{self}: `mode` of {kind} must be "nearest" or "{mode}", got {self.mode!r}')
        if signal and len(set(self.scale_factor)) > 1:
            raise ValueError(f"{self}: `scale_factor` of signals must be an int, got {self.scale_factor}")

    def _kernels(self, x: Array) -> tuple[Any, Any, tuple[Any, ...]]:
        """The kernel and its gradient for such samples, and their settings."""
        scale: Any = self.scale_factor if x.ndim == 4 else self.scale_factor[0]
        settings = scale, self.mode, self.align_corners
        if x.ndim == 4:
            return kernels.upsample, kernels.upsample_grad, settings
        return kernels.upsample1d, kernels.upsample1d_grad, settings

    def forward(self, x: Array, arrays: Arrays) -> Array:
        function, _, settings = self._kernels(x)
        return function(x, *settings)

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        _, gradient, settings = self._kernels(x)
        return gradient(dy, *settings), {}
