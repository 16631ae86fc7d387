"""Pooling layers."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from .. import kernels
from ..checks.padding import Pads, checked_padding, padding_around
from ..checks.scalars import positive_pair
from ..checks.windows import pool_output_size
from .layer import Array, Arrays, IntOrPair, Layer, Shape, set_fields

__all__ = ["AdaptiveAvgPool2d", "AvgPool2d", "GlobalAvgPool2d", "GlobalMaxPool2d", "MaxPool2d"]


class _Pool(Layer):
    """What both poolings share: windows of `kernel_size` at every `stride`."""

    takes: ClassVar[str] = "image"
    kernel_size: IntOrPair
    stride: IntOrPair
    padding: IntOrPair
    ceil_mode: bool

    def _check_windows(self) -> None:
        kernel = positive_pair(self.kernel_size, "kernel_size")
        stride = kernel if self.stride is None else positive_pair(self.stride, "stride")
        padding = checked_padding(self.padding)
        if not isinstance(padding, str):
            pads = padding_around(padding, "padding", kernel, kernel, stride, (1, 1))
            if any(2 * max(sides) > k for sides, k in zip(pads, kernel, strict=True)):
                raise ValueError(f"`padding` must be at most half of kernel_size = {kernel}, got {padding}")
        set_fields(self, kernel_size=kernel, stride=stride, padding=padding, ceil_mode=bool(self.ceil_mode))

    def pads(self, input_shape: Shape) -> Pads:
        """((top, bottom), (left, right)), for images of this shape.

        Parameters
        ----------
        input_shape : tuple
            (C, H, W).

        Returns
        -------
        tuple of two pairs

        Examples
        --------
        >>> MaxPool2d(2, padding="same").pads((1, 5, 4))
        ((0, 1), (0, 0))
        """
        dilation = getattr(self, "dilation", (1, 1))
        return padding_around(
            self.padding, "padding", input_shape[1:], self.kernel_size, self.stride, dilation
        )

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        dilation, pads = getattr(self, "dilation", (1, 1)), self.pads(input_shape)
        sizes = [
            pool_output_size(*s, self.ceil_mode)
            for s in zip(input_shape[1:], self.kernel_size, self.stride, pads, dilation, strict=True)
        ]
        if min(sizes) < 1:
            raise ValueError(f"{self}: the window is larger than the padded image {input_shape[1:]}")
        return input_shape[0], *sizes


@dataclass(frozen=True)
class MaxPool2d(_Pool):
    """The largest element of each window.

    Parameters
    ----------
    kernel_size, dilation : int or pair of ints
        Size of a window, and the step between its elements.
    stride : int, pair of ints or None
        Step of the windows; None stands for `kernel_size`.
    padding : int, pair of ints, pair of pairs, "same", "same_lower" or "valid"
        Elements of -infinity around the image, as zeros in `Conv2d`; at most half of `kernel_size` on a side.
    ceil_mode : bool
        Whether a last window that hangs over the edge counts.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.MaxPool2d(2).output_shape((6, 24, 24))
    (6, 12, 12)
    """

    kernel_size: IntOrPair
    stride: IntOrPair = None
    padding: IntOrPair = 0
    dilation: IntOrPair = 1
    _: KW_ONLY
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        self._check_windows()
        set_fields(self, dilation=positive_pair(self.dilation, "dilation"))

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.max_pool2d(x, **self.settings())[0]

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.max_pool2d_grad(dy, kernels.max_pool2d(x, **self.settings())[1], x.shape[2:]), {}


@dataclass(frozen=True)
class AvgPool2d(_Pool):
    """The mean of each window.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As in `MaxPool2d`; the padding is zeros.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.AvgPool2d(3, stride=2, padding=1).output_shape((8, 7, 7))
    (8, 4, 4)
    """

    kernel_size: IntOrPair
    stride: IntOrPair = None
    padding: IntOrPair = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    def __post_init__(self) -> None:
        self._check_windows()
        set_fields(self, count_include_pad=bool(self.count_include_pad))

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.avg_pool2d(x, **self.settings())

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.avg_pool2d_grad(dy, x.shape[2:], **self.settings()), {}


@dataclass(frozen=True)
class GlobalAvgPool2d(Layer):
    """The mean of each whole channel: (C, H, W) to (C, 1, 1).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.GlobalAvgPool2d().output_shape((64, 7, 7))
    (64, 1, 1)
    """

    takes: ClassVar[str] = "image"

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        return input_shape[0], 1, 1

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.avg_pool2d(x, x.shape[2:])

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.avg_pool2d_grad(dy, x.shape[2:], x.shape[2:]), {}


@dataclass(frozen=True)
class GlobalMaxPool2d(Layer):
    """The largest element of each whole channel: (C, H, W) to (C, 1, 1).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.GlobalMaxPool2d().output_shape((64, 7, 7))
    (64, 1, 1)
    """

    takes: ClassVar[str] = "image"

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        return input_shape[0], 1, 1

    def forward(self, x: Array, arrays: Arrays) -> Array:
        return kernels.max_pool2d(x, x.shape[2:])[0]

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.max_pool2d_grad(dy, kernels.max_pool2d(x, x.shape[2:])[1], x.shape[2:]), {}


@dataclass(frozen=True)
class AdaptiveAvgPool2d(Layer):
    """The mean of each of `output_size` windows, which share out an image of any size evenly.

    Parameters
    ----------
    output_size : int, pair of ints or None
        Height and width of the output, smaller or larger than the input's; None, for one of them or both,
        stands for the input's own.

    Notes
    -----
    Of O windows along H pixels, window i goes from floor(i * H / O) to before ceil((i + 1) * H / O), as in
    PyTorch: they overlap where H is no multiple of O.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.AdaptiveAvgPool2d((7, None)).output_shape((64, 10, 12))
    (64, 7, 12)
    """

    output_size: Any
    takes: ClassVar[str] = "image"

    def __post_init__(self) -> None:
        size = self.output_size
        sizes = size if isinstance(size, (tuple, list)) else (size, size)
        given = positive_pair([1 if one is None else one for one in sizes], "output_size")
        pairs = zip(sizes, given, strict=True)
        set_fields(self, output_size=tuple(None if one is None else n for one, n in pairs))

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        height, width = self.output_size
        return input_shape[0], height or input_shape[1], width or input_shape[2]

    def forward(self, x: Array, arrays: Arrays) -> Array:
        _, height, width = self.output_shape(x.shape[1:])
        return kernels.adaptive_avg_pool2d(x, (height, width))

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        return kernels.adaptive_avg_pool2d_grad(dy, x.shape[2:]), {}
