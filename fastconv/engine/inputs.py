"""Users' arrays on their way into the engine: checked once, converted only where it can't read them."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kernels.lanes.layout import DTYPE_CODES
from ..nn.losses import Loss


def check_samples(X: ArrayLike, input_shape: tuple[int, ...], name: str = "X") -> NDArray[Any]:
    """`X` as an array (N, *input_shape) that the engine reads where it lies.

    float32, float64 and uint8 arrays of any strides are taken as they are; other real numbers are
    converted to float64. Grey images may leave out their single channel, and a one-feature sample its axis.

    Raises
    ------
    TypeError
        If `X` is not an array of real numbers.
    ValueError
        If its samples have another shape.
    """
    X = _real_array(X, name)
    if X.ndim == len(input_shape) and input_shape[0] == 1 and X.shape[1:] == tuple(input_shape[1:]):
        X = X[:, None]
    if X.shape[1:] != tuple(input_shape) or X.ndim == 0:
        raise ValueError(f"`{name}` must have shape (N, {', '.join(map(str, input_shape))}), got {X.shape}")
    return _readable(X)


def check_targets(
    y: ArrayLike, count: int, output_shape: tuple[int, ...], loss: Loss, name: str = "y"
) -> NDArray[Any]:
    """`y` as the engine reads it for `loss`: int64 labels (N,), or numbers (N, features).

    Raises
    ------
    TypeError
        If labels are not ints, or targets not real numbers.
    ValueError
        If the number of targets, their shape or their range does not fit.
    """
    features = int(np.prod(output_shape))
    y = _real_array(y, name)
    if loss.targets == "labels":
        if y.dtype.kind not in "iub":
            raise TypeError(f"`{name}` must be int labels for {loss}, got {y.dtype}")
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        if y.shape != (count,):
            raise ValueError(f"`{name}` must have shape ({count},), one label a sample, got {y.shape}")
        if count and (y.min() < 0 or y.max() >= features):
            raise ValueError(f"`{name}` must be labels 0 to {features - 1}, got {y.min()} to {y.max()}")
        return y.astype(np.int64)  # a copy: a label that changed later might be no class any more
    shapes = {(count, *output_shape), (count, features)} | ({(count,)} if features == 1 else set())
    if y.shape not in shapes:
        raise ValueError(f"`{name}` must have shape {(count, *output_shape)}, got {y.shape}")
    y = y.reshape(count, features)
    if y.dtype == np.uint8:
        y = y.astype(np.int64)
    if loss.targets == "probabilities" and count and not (y.min() >= 0 and y.max() <= 1):
        raise ValueError(f"`{name}` must be between 0 and 1 for {loss}, got {y.min()} to {y.max()}")
    return _readable(y)


def _real_array(values: ArrayLike, name: str) -> NDArray[Any]:
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"`{name}` must be an array of real numbers, got {array.dtype}")
    if array.ndim == 0:
        raise ValueError(f"`{name}` must be an array of samples, got a single number")
    return array


def _readable(array: NDArray[Any]) -> NDArray[Any]:
    """A view of the array, whose shape and dtype nobody changes in place, or a copy in float64."""
    return array[...] if array.dtype in DTYPE_CODES else array.astype(np.float64)
