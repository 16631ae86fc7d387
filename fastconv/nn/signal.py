"""Layers over signals (C, L): they compute what the layers over images compute on images of one line.

`image_layer` is that other layer; a signal (C, L) becomes an image (C, 1, L), a weight (O, C, K) becomes
(O, C, 1, K).
"""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np

from ..checks.padding import along, checked_padding_along
from ..checks.settings import whole_number
from .conv import Conv2d
from .layer import Array, Arrays, Layer, Shape, set_fields
from .norm import BatchNorm2d
from .pool import AvgPool2d, GlobalAvgPool2d, MaxPool2d

__all__ = ["AvgPool1d", "BatchNorm1d", "Conv1d", "GlobalAvgPool1d", "MaxPool1d"]


class _Signal(Layer):
    """A layer over signals; a subclass says which layer over images computes the same."""

    takes: ClassVar[str] = "signal"

    def output_shape(self, input_shape: Shape) -> Shape:
        self.check_input(input_shape)
        made = self.image_layer().output_shape(_as_image(input_shape))
        return made[0], *made[2:][: len(input_shape) - 1]

    def parameter_shapes(self, input_shape: Shape) -> dict[str, Shape]:
        shapes = self.image_layer().parameter_shapes(_as_image(input_shape))
        return {name: shape[:2] + shape[3:] for name, shape in shapes.items()}

    def initial_parameters(self, input_shape: Shape, rng: np.random.Generator) -> Arrays:
        arrays = self.image_layer().initial_parameters(_as_image(input_shape), rng)
        shapes = self.parameter_shapes(input_shape)
        return {name: array.reshape(shapes[name]) for name, array in arrays.items()}

    def initial_statistics(self, input_shape: Shape) -> Arrays:
        return self.image_layer().initial_statistics(_as_image(input_shape))

    def values_per_mean(self, input_shape: Shape, samples: int) -> int | None:
        return self.image_layer().values_per_mean(_as_image(input_shape), samples)

    def forward(self, x: Array, arrays: Arrays) -> Array:
        y = self.image_layer().forward(_images(x), _image_arrays(arrays))
        return y.reshape(*y.shape[:2], *y.shape[3:][: x.ndim - 2])

    def backward(self, x: Array, y: Array, dy: Array, arrays: Arrays) -> tuple[Array, Arrays]:
        dx, gradients = self.image_layer().backward(
            _images(x), _images(y), _images(dy), _image_arrays(arrays)
        )
        shapes = {name: arrays[name].shape for name in gradients}
        return dx.reshape(x.shape), {name: a.reshape(shapes[name]) for name, a in gradients.items()}


def _as_image(shape: Shape) -> Shape:
    """(C, 1, L) of a signal, (F, 1, 1) of features."""
    return (shape[0], 1, *shape[1:]) if len(shape) == 2 else (shape[0], 1, 1)


def _images(x: Array) -> Array:
    return x.reshape(len(x), *_as_image(x.shape[1:]))


def _image_arrays(arrays: Arrays) -> Arrays:
    return {name: a[:, :, None] if a.ndim == 3 else a for name, a in arrays.items()}


@dataclass(frozen=True)
class Conv1d(_Signal):
    """A convolution (cross-correlation) along signals.

    Parameters
    ----------
    out_channels : int
        Channels of one output sample.
    kernel_size, stride, dilation : int
        Length of the kernel, and the steps of its windows and taps.
    padding : int, pair of ints, "same", "same_lower", "valid" or "causal"
        Zeros before and after the signal: the same, or (before, after). "same" gives ceil(L / stride)
        windows, as in Keras; "causal" puts all zeros before, so that no output depends on what comes later.
    groups : int
        Divides the channels into groups which are convolved on their own.
    bias : bool
        Whether one number is added to each output channel.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Conv1d(25, 5, stride=2, padding=1).output_shape((1, 40))
    (25, 19)
    """

    out_channels: int
    kernel_size: int
    _: KW_ONLY
    stride: int = 1
    padding: Any = 0
    dilation: int = 1
    groups: int = 1
    bias: bool = True

    def __post_init__(self) -> None:
        _check_lengths(self, "kernel_size", "stride", "dilation", "groups", "out_channels")
        set_fields(self, padding=checked_padding_along(self.padding), bias=bool(self.bias))
        self.image_layer()  # checks the rest

    def image_layer(self) -> Conv2d:
        kernel, stride, dilation = self.kernel_size, self.stride, self.dilation
        padding: Any = self.padding
        if padding == "causal":
            padding = (dilation * (kernel - 1), 0)
        return Conv2d(
            self.out_channels,
            (1, kernel),
            stride=(1, stride),
            padding=padding if isinstance(padding, str) else along(padding),
            dilation=(1, dilation),
            groups=self.groups,
            bias=self.bias,
        )


@dataclass(frozen=True)
class MaxPool1d(_Signal):
    """The largest element of each window of a signal.

    Parameters
    ----------
    kernel_size, dilation : int
        Length of a window, and the step between its elements.
    stride : int or None
        Step of the windows; None stands for `kernel_size`.
    padding : int, pair of ints, "same", "same_lower" or "valid"
        Elements of -infinity before and after the signal, at most half of `kernel_size`.
    ceil_mode : bool
        Whether a last window that hangs over the end counts.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.MaxPool1d(2).output_shape((6, 24))
    (6, 12)
    """

    kernel_size: int
    stride: Any = None
    padding: Any = 0
    dilation: int = 1
    _: KW_ONLY
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        _check_pool(self)
        _check_lengths(self, "dilation")
        self.image_layer()  # checks the rest

    def image_layer(self) -> MaxPool2d:
        return MaxPool2d(*_pool_windows(self), (1, self.dilation), ceil_mode=self.ceil_mode)


@dataclass(frozen=True)
class AvgPool1d(_Signal):
    """The mean of each window of a signal.

    Parameters
    ----------
    kernel_size, stride, padding, ceil_mode
        As in `MaxPool1d`; the padding is zeros.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.AvgPool1d(3).output_shape((6, 24))
    (6, 8)
    """

    kernel_size: int
    stride: Any = None
    padding: Any = 0
    ceil_mode: bool = False
    count_include_pad: bool = True

    def __post_init__(self) -> None:
        _check_pool(self)
        set_fields(self, count_include_pad=bool(self.count_include_pad))
        self.image_layer()  # checks the rest

    def image_layer(self) -> AvgPool2d:
        return AvgPool2d(*_pool_windows(self), self.ceil_mode, self.count_include_pad)


@dataclass(frozen=True)
class GlobalAvgPool1d(_Signal):
    """The mean of each whole channel of a signal: (C, L) to (C, 1).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.GlobalAvgPool1d().output_shape((64, 50))
    (64, 1)
    """

    def image_layer(self) -> GlobalAvgPool2d:
        return GlobalAvgPool2d()


@dataclass(frozen=True)
class BatchNorm1d(_Signal):
    """Batch normalisation of each channel of a signal, or of each feature, with a learned scale and shift.

    Parameters
    ----------
    momentum : float
        Share of a batch in the running mean and variance, 0 to 1.
    eps : float
        Added to the variance.

    Raises
    ------
    ValueError, TypeError
        If an argument is out of range or of the wrong type.

    Notes
    -----
    As `BatchNorm2d`. Source: Ioffe and Szegedy (2015).

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.BatchNorm1d().output_shape((6, 24)), fc.BatchNorm1d().output_shape((128,))
    ((6, 24), (128,))
    """

    momentum: float = 0.1
    eps: float = 1e-5
    takes: ClassVar[str] = "signal or features"

    def __new__(cls, *args: Any, **kwargs: Any) -> "BatchNorm1d":
        BatchNorm2d.refuse_channels(cls, args)
        made: BatchNorm1d = super().__new__(cls, *args, **kwargs)  # type: ignore[assignment]
        return made

    def __post_init__(self) -> None:
        checked = self.image_layer()
        set_fields(self, momentum=checked.momentum, eps=checked.eps)

    def image_layer(self) -> BatchNorm2d:
        return BatchNorm2d(self.momentum, self.eps)


def _check_lengths(layer: Layer, *names: str) -> None:
    set_fields(layer, **{name: whole_number(getattr(layer, name), name) for name in names})


def _check_pool(layer: Any) -> None:
    _check_lengths(layer, "kernel_size")
    stride = layer.kernel_size if layer.stride is None else whole_number(layer.stride, "stride")
    padding = checked_padding_along(layer.padding)
    if padding == "causal":
        raise ValueError('`padding` of a pool must not be "causal"')
    set_fields(layer, stride=stride, padding=padding, ceil_mode=bool(layer.ceil_mode))


def _pool_windows(layer: Any) -> tuple[Any, Any, Any]:
    """kernel_size, stride and padding of the layer over images."""
    padding = layer.padding
    return (
        (1, layer.kernel_size),
        (1, layer.stride),
        padding if isinstance(padding, str) else along(padding),
    )
