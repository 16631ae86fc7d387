"""MobileNet V2."""

from typing import Any

from ...checks.settings import real_number
from ...nn.conv import Conv2d
from ...nn.curves import ReLU6
from ...nn.dense import Dense
from ...nn.dropout import Dropout
from ...nn.layer import Layer, Shape
from ...nn.merge import Residual
from ...nn.norm import BatchNorm2d
from ...nn.pool import GlobalAvgPool2d
from ...nn.shape import Flatten
from ..sequential import Sequential

# Expansion, channels, how many blocks, and the stride of the first: table 2 of the paper.
STAGES = [
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
]  # fmt: skip


def mobilenet_v2(
    num_classes: int = 1000,
    input_shape: Shape = (3, 224, 224),
    dtype: str = "float32",
    seed: int = 0,
    *,
    width: float = 1.0,
) -> Sequential:
    """MobileNet V2: inverted residuals of depthwise convolutions, with ReLU6; its output is logits.

    Source: Sandler et al. (2018); layers and paddings are those of torchvision, whose weights fit.

    Parameters
    ----------
    num_classes : int
        Logits of one sample.
    input_shape : tuple
        (C, H, W) of an image; it is halved five times.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.
    width : float
        What all numbers of channels are multiplied by, and rounded to multiples of 8: the paper has 0.35,
        0.5, 0.75, 1.0, 1.3 and 1.4.

    Returns
    -------
    Sequential

    Raises
    ------
    ValueError, TypeError
        If `width` is no number above 0, or an argument does not fit.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.mobilenet_v2(10, (3, 96, 96), width=0.35).num_parameters
    408938
    """
    width = real_number(width, "width", above=True)
    channels = _rounded(32 * width)
    layers = _conv(channels, 3, stride=2)
    for expansion, wide, count, stride in STAGES:
        for number in range(count):
            made = _rounded(wide * width)
            layers += _inverted(channels, made, expansion, 1 if number else stride)
            channels = made
    layers += _conv(_rounded(1280 * max(1.0, width)), 1)
    layers += [GlobalAvgPool2d(), Flatten(), Dropout(0.2), Dense(num_classes)]
    return Sequential(layers, input_shape, dtype, seed)


def _conv(channels: int, kernel_size: int, **settings: int) -> list[Layer]:
    convolution = Conv2d(channels, kernel_size, padding=kernel_size // 2, bias=False, **settings)
    return [convolution, BatchNorm2d(), ReLU6()]


def _inverted(channels: int, out_channels: int, expansion: int, stride: int) -> list[Layer]:
    """A block that is wide inside and narrow at its ends, where the shortcut is, if nothing changes shape."""
    inside = channels * expansion
    layers: list[Any] = _conv(inside, 1) if expansion > 1 else []
    layers += _conv(inside, 3, stride=stride, groups=inside)
    layers += _conv(out_channels, 1)[:-1]
    return [Residual(layers)] if stride == 1 and channels == out_channels else layers


def _rounded(channels: float) -> int:
    """The nearest multiple of 8, but never less than nine tenths of it."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
