"""Scales and shifts by constants, from torch.fx's calls: a convolution of each channel with one weight."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...nn.conv import Conv2d
from ...nn.layer import Shape
from ...nn.signal import Conv1d
from .readers import HINTS, reads
from .wires import Constant, NoCounterpart, Site, Wire

Factors = NDArray[np.float64]


def is_constant(value: Any) -> bool:
    """Whether it is a number, or a tensor that does not depend on the input."""
    return isinstance(value, (int, float, Constant)) and not isinstance(value, bool)


def affine(site: Site, x: Wire, scale: Any = 1, shift: Any = 0) -> Wire:
    """scale * x + shift, of each channel; what follows such a convolution goes into it."""
    factor, offset = _of_channels(scale, x.shape), _of_channels(shift, x.shape)
    if (factor == 1).all() and not offset.any():
        return x
    if len(x.shape) == 1:
        raise NoCounterpart(HINTS["mul"])
    reading = site.reading
    value = reading.value(x, site.scope)
    if value in reading.scaled:
        value, first, then = reading.scaled[value]
        factor, offset = factor * first, factor * then + offset
    channels = x.shape[0]
    layer = (Conv2d if len(x.shape) == 3 else Conv1d)(channels, 1, groups=channels)
    name = reading.unused(site.label)
    weight = factor.reshape(channels, *(1,) * len(x.shape))
    reading.state |= {f"{name}.weight": weight, f"{name}.bias": offset}
    made = reading.add(name, layer, (value,))
    reading.scaled[made] = value, factor, offset
    if site.works_in_place:
        x.cell[0] = made
        return x
    return Wire([made], x.shape)


def _of_channels(constant: Any, shape: Shape) -> Factors:
    """The constant for each channel of samples of this shape."""
    array = np.asarray(
        constant.tensor.detach().cpu().double() if isinstance(constant, Constant) else constant
    )
    alone = (1,) * (len(shape) + 1 - array.ndim) + array.shape
    if array.size != 1 and alone != (1, shape[0], *(1,) * (len(shape) - 1)):
        raise NoCounterpart(f"a constant is a number or has one for each channel, got shape {array.shape}")
    return np.broadcast_to(array.astype(np.float64).ravel(), (shape[0],)).copy()


@reads("sub", "isub", "sub_", "subtract")
def sub(site: Site, x: Any, other: Any, *, alpha: float = 1) -> Wire:
    if alpha != 1:
        raise ValueError(f"`alpha` must be 1, got {alpha}")
    if isinstance(x, Wire) and is_constant(other):
        return affine(site, x, shift=_negative(other))
    if isinstance(other, Wire) and is_constant(x):
        return affine(site, other, scale=-1, shift=x)
    raise NoCounterpart(HINTS["sub"])


def _negative(constant: Any) -> Any:
    return Constant(-constant.tensor) if isinstance(constant, Constant) else -constant


@reads("neg", "neg_", "negative")
def neg(site: Site, x: Wire) -> Wire:
    return affine(site, x, scale=-1)
