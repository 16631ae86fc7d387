"""The order of a value's axes in a file: that of fastconv, or with the channels last, as in TensorFlow.

    (N, H, W, C)  -Transpose->  (N, C, H, W)  -layers->  (N, C, H, W)  -Transpose->  (N, H, W, C)  -Reshape->

A file that begins so takes images with the channels last; the network read from it takes them as all networks
here do. What is flattened with the channels last has its features in another order than here, so that the
weights that follow are put in the order of ours.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ...nn.layer import Shape

# Axis in the file -> axis here.
CHANNELS_FIRST: Shape = (0, 1, 2, 3)
CHANNELS_LAST: Shape = (0, 2, 3, 1)


def transposed(axes: Shape, perm: Shape) -> Shape:
    """The axes after a Transpose.

    Examples
    --------
    >>> transposed(CHANNELS_LAST, (0, 3, 1, 2)) == CHANNELS_FIRST
    True
    """
    if sorted(perm) != list(range(len(axes))):
        raise ValueError(f"`perm` must be a permutation of {len(axes)} axes, got {list(perm)}")
    return tuple(axes[k] for k in perm)


def in_file(shape: Shape, axes: Shape) -> Shape:
    """The shape (C, H, W) of a sample as the file has it.

    Examples
    --------
    >>> in_file((3, 8, 9), CHANNELS_LAST)
    (8, 9, 3)
    """
    return tuple(shape[k - 1] for k in axes[1 : len(shape) + 1])


def here(shape: Shape, axes: Shape) -> Shape:
    """The shape (C, H, W) of a sample that the file has in the order `axes`.

    Examples
    --------
    >>> here((8, 9, 3), CHANNELS_LAST)
    (3, 8, 9)
    """
    return tuple(size for _, size in sorted(zip(axes[1:], shape, strict=True)))


def feature_order(shape: Shape, axes: Shape) -> NDArray[np.int64] | None:
    """Feature of the file -> feature here, for flattened images (C, H, W); None if they are the same.

    Examples
    --------
    >>> feature_order((2, 1, 2), CHANNELS_LAST)
    array([0, 2, 1, 3])
    """
    if axes == CHANNELS_FIRST or shape[0] == 1 or shape[1:] == (1, 1):
        return None
    numbers = np.arange(math.prod(shape)).reshape(shape)
    return numbers.transpose([k - 1 for k in axes[1:]]).reshape(-1)
