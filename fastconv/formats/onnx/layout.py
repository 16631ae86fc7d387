"""How a value lies in a file: which axes of the network's value each axis of the file is.

    (N, H, W, C)  -Transpose->  (N, C, H, W)  -layers->  (N, C, H, W)  -Transpose->  (N, H, W, C)  -Reshape->
    ((0,), (2,), (3,), (1,))    ((0,), (1,), (2,), (3,))

Axis 0 is the batch, 1 the channels. A file may move axes, add axes of one element, which are (), leave out
such of ours, or merge some: (N, C, H * W) is ((0,), (1,), (2, 3)). A file that begins with the channels last
takes images (N, H, W, C); the network read from it takes them as all networks here do. What is flattened with
the channels last has its features in another order than here, so that the weights that follow are put in the
order of ours.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...nn.layer import Shape

Axes = tuple[tuple[int, ...], ...]


def channels_first(rank: int) -> Axes:
    """The axes of a value that lies in the file as it does here.

    Examples
    --------
    >>> channels_first(3)
    ((0,), (1,), (2,))
    """
    return tuple((k,) for k in range(rank))


def channels_last(rank: int) -> Axes:
    """The axes of a value whose channels are the last axis.

    Examples
    --------
    >>> channels_last(4)
    ((0,), (2,), (3,), (1,))
    """
    return ((0,), *((k,) for k in range(2, rank)), (1,))[:rank]


def in_file(shape: Shape, axes: Axes) -> Shape:
    """The shape of a sample as the file has it.

    Examples
    --------
    >>> in_file((3, 8, 9), channels_last(4)), in_file((3, 8, 9), ((0,), (1,), (), (2, 3)))
    ((8, 9, 3), (3, 1, 72))
    """
    return tuple(math.prod(shape[k - 1] for k in axis) for axis in axes[1:])


def renamed(axes: Axes, names: Axes) -> Axes:
    """The axes with each number k as `names[k]`.

    Examples
    --------
    >>> renamed(((0,), (3,), (1, 2)), channels_last(4))
    ((0,), (1,), (2, 3))
    """
    return tuple(tuple(one for k in axis for one in names[k]) for axis in axes)


def transposed(axes: Axes, perm: Sequence[int]) -> Axes:
    """The axes after a Transpose.

    Examples
    --------
    >>> transposed(channels_last(4), (0, 3, 1, 2)) == channels_first(4)
    True
    """
    if sorted(perm) != list(range(len(axes))):
        raise ValueError(f"`perm` must be a permutation of {len(axes)} axes, got {list(perm)}")
    return tuple(axes[k] for k in perm)


def regrouped(axes: Axes, shape: Shape, target: Sequence[int]) -> Axes | None:
    """The axes after a Reshape of samples of `shape` (here) to `target`; None if it would cut one in two.

    Examples
    --------
    >>> regrouped(channels_first(4), (3, 8, 9), (3, 72))
    ((0,), (1,), (2, 3))
    >>> regrouped(channels_first(4), (3, 8, 9), (8, 27)) is None
    True
    """
    left = [k for axis in axes[1:] for k in axis if shape[k - 1] != 1]
    made: list[tuple[int, ...]] = [axes[0]]
    for size in target:
        count = next(
            (c for c in range(len(left) + 1) if math.prod(shape[k - 1] for k in left[:c]) == size), None
        )
        if count is None:
            return None
        made.append(tuple(left[:count]))
        left = left[count:]
    return None if left else tuple(made)


def order_of(axes: Axes, shape: Shape) -> list[int]:
    """Our axes of more than one element, in the order in which the file has them."""
    return [k for axis in axes[1:] for k in axis if shape[k - 1] != 1]


def feature_order(shape: Shape, axes: Axes) -> NDArray[np.int64] | None:
    """Feature of the file -> feature here, for flattened samples; None if they are the same.

    Examples
    --------
    >>> feature_order((2, 1, 2), channels_last(4))
    array([0, 2, 1, 3])
    """
    order = order_of(axes, shape)
    if order == sorted(order):
        return None
    numbers = np.arange(math.prod(shape)).reshape([n for n in shape if n != 1])
    ranks = {k: place for place, k in enumerate(sorted(order))}
    return numbers.transpose([ranks[k] for k in order]).reshape(-1)
