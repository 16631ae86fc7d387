"""U-Net, which gives each pixel of an image its class."""

from ...checks.settings import whole_number
from ...nn.activations import ReLU
from ...nn.conv import Conv2d
from ...nn.conv_transpose import ConvTranspose2d
from ...nn.layer import Layer, Shape
from ...nn.merge import Concatenate
from ...nn.norm import BatchNorm2d
from ...nn.pool import MaxPool2d
from ..sequential import Sequential


def unet(
    num_classes: int = 1,
    input_shape: Shape = (1, 64, 64),
    dtype: str = "float32",
    seed: int = 0,
    *,
    depth: int = 3,
    width: int = 16,
) -> Sequential:
    """U-Net: down to small images of many channels, and up again beside them; its output is logits of pixels.

    Source: Ronneberger, Fischer and Brox (2015), with padding, so that sizes are kept, and batch
    normalisation, as it is built today.

    Parameters
    ----------
    num_classes : int
        Logits of each pixel; one for "is it part of something?", to be trained by "bce_with_logits".
    input_shape : tuple
        (C, H, W) of an image; H and W are multiples of 2 to the power of `depth`.
    dtype : {"float32", "float64"}
        Of parameters, activations and predictions.
    seed : int
        Of the initial parameters.
    depth : int
        How often images are halved; the paper has 4.
    width : int
        Channels before the first halving, which doubles them; the paper has 64.

    Returns
    -------
    Sequential
        Its output has the shape (num_classes, H, W).

    Raises
    ------
    ValueError, TypeError
        If images can't be halved so often, or an argument does not fit.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.models.unet(3, (1, 32, 32), depth=2, width=8).output_shape
    (3, 32, 32)
    """
    depth, width = whole_number(depth, "depth"), whole_number(width, "width")
    if any(side % 2**depth for side in input_shape[1:]):
        raise ValueError(
            f"`input_shape` must have sides that are multiples of {2**depth} for `depth` {depth}, got "
            f"{input_shape}"
        )
    return Sequential([*_level(depth, width), Conv2d(num_classes, 1)], input_shape, dtype, seed)


def _level(depth: int, channels: int) -> list[Layer]:
    """The part of a U-Net that begins with images of so many channels and halves them `depth` times."""
    if not depth:
        return _twice(channels)
    below = [MaxPool2d(2), *_level(depth - 1, 2 * channels), ConvTranspose2d(channels, 2, stride=2)]
    return [*_twice(channels), Concatenate([], below), *_twice(channels)]


def _twice(channels: int) -> list[Layer]:
    return [Conv2d(channels, 3, padding="same"), BatchNorm2d(), ReLU()] * 2
