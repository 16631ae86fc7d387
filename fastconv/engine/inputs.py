"""Users' arrays on their way into the engine: checked once, and read where they lie.

What the kernels can't read (float16, int32, other byte orders, ...) the engine converts in pieces, as it
comes to them.
"""

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..kernels.lanes.layout import DTYPE_CODES
from ..nn.class_losses import CrossEntropy, is_labels
from ..nn.losses import Loss

SUM_TO_1 = 1e-2  # how far parts may be from it, which are rounded to float16, or to three digits
OF_NAMES = (
    ": classes, labels = np.unique(y, return_inverse=True) makes labels of names, and "
    "fc.estimators.ConvClassifier takes names"
)
UNSCALED_TO = 32  # images of ints up to this are taken for what they are, such as the digits' 0 to 16


def samples_as_given(X: ArrayLike, input_shape: tuple[int, ...], name: str = "X") -> NDArray[Any]:
    """`X` as an array (N, *input_shape) of real numbers, never copied.

    Grey images may leave out their single channel, and a one-feature sample its axis.

    Raises
    ------
    TypeError
        If `X` is not an array of real numbers.
    ValueError
        If its samples have another shape.
    """
    X = _real_array(X, name)
    if X.shape[1:] != input_shape:
        X = _in_shape(X, tuple(input_shape), name)
    if X.dtype.kind != "f" and len(input_shape) == 3:
        warn_of_unscaled(X)
    return X[...]  # a view, whose shape and dtype nobody changes in place


def _in_shape(X: NDArray[Any], input_shape: tuple[int, ...], name: str) -> NDArray[Any]:
    """`X` with the axis of a single channel that may have been left out, if it has the shape then."""
    if X.ndim == len(input_shape) and input_shape[0] == 1 and X.shape[1:] == input_shape[1:]:
        X = X[:, None]
    if X.shape[1:] != input_shape:
        wanted = ", ".join(map(str, input_shape))
        hint = layout_hint(X.shape, input_shape)
        raise ValueError(f"`{name}` must have shape (N, {wanted}), got {X.shape}{hint}")
    return X


def check_samples(X: ArrayLike, input_shape: tuple[int, ...], name: str = "X") -> NDArray[Any]:
    """The same as float32, float64, uint8 or int64: other numbers are converted to float64."""
    return readable(samples_as_given(X, input_shape, name))


def layout_hint(shape: tuple[int, ...], input_shape: tuple[int, ...]) -> str:
    """What to do about an `X` of a shape that does not fit, where that is plain; empty where it is not."""
    if len(shape) == 4 and len(input_shape) == 3 and (shape[3], *shape[1:3]) == tuple(input_shape):
        return ": channels come first, so give X.transpose(0, 3, 1, 2)"
    if shape == tuple(input_shape):
        return ": of a single sample, give X[None]"
    return ""


def check_layout(shape: tuple[int, ...], name: str = "X") -> None:
    """Raise ValueError where images (N, height, width, channels) would be taken for (N, C, H, W).

    These are images of 1, 3 or 4 channels that are square, or of 3 or 4 that are not small: as (C, H, W)
    they would be so many channels of a line.
    """
    if len(shape) != 4 or shape[3] not in (1, 3, 4):
        return
    height, width, channels = shape[1:]
    if (height == width > 4) or (channels > 1 and min(height, width) >= 16):
        hint = layout_hint(shape, (channels, height, width))
        raise ValueError(
            f"`{name}` must have shape (N, channels, height, width), got {shape}{hint}, "
            f"to a network of `input_shape` {(channels, height, width)}"
        )


def warn_of_unscaled(X: NDArray[Any]) -> None:
    """Warn, once a process, of images of ints that look like bytes but are not scaled as those are."""
    if X.dtype.kind in "iu" and X.dtype != np.uint8 and X.size:
        top = X.max()
        if top > UNSCALED_TO and X.min() >= 0:
            bytes_too = "X.astype(np.uint8) is, or " if top <= 255 else ""
            warnings.warn(
                f"images of {X.dtype} are not divided by 255, as those of uint8 are: {bytes_too}divide them",
                stacklevel=2,
            )


def targets_as_given(
    y: ArrayLike, count: int, output_shape: tuple[int, ...], loss: Loss, name: str = "y"
) -> NDArray[Any]:
    """`y` for `loss`: int64 labels (N,), or numbers (N, features) of any dtype, which are not copied.

    For cross-entropy, rows that have a single 1 become labels; others must sum to 1. Of outputs that have
    classes at many places, labels are (N, H, W) or (N, L), and parts of classes have the output's shape.

    Raises
    ------
    TypeError
        If labels are not ints, or targets not real numbers.
    ValueError
        If the number of targets, their shape or their range does not fit.
    """
    features = math.prod(output_shape)
    y = _real_array(y, name, OF_NAMES)
    if loss.targets == "labels":
        return _labels(y, count, output_shape, loss, name)
    shapes = {(count, *output_shape), (count, features)} | ({(count,)} if features == 1 else set())
    if y.shape not in shapes:
        raise ValueError(f"`{name}` must have shape {(count, *output_shape)}, got {y.shape}")
    y = y.reshape(count, features)
    if loss.targets == "probabilities" and count and not (y.min() >= 0 and y.max() <= 1):
        raise ValueError(f"`{name}` must be between 0 and 1 for {loss}, got {y.min()} to {y.max()}")
    return y[...]


def _labels(
    y: NDArray[Any], count: int, output_shape: tuple[int, ...], loss: Loss, name: str
) -> NDArray[Any]:
    """The class of each sample, or of each place of its output; or the parts of the classes there."""
    classes, places = output_shape[0], output_shape[1:]
    if y.shape == (count, *output_shape):
        return _parts_of_classes(y, name, loss)
    if y.dtype.kind not in "iub":
        raise TypeError(f"`{name}` must be int labels for {loss}, got {y.dtype}")
    if y.shape == (count, 1, *places):
        y = y[:, 0]
    if y.shape != (count, *places):
        one = "one label a sample" if not places else f"a label at each place of an output {output_shape}"
        raise ValueError(f"`{name}` must have shape {(count, *places)}, {one}, got {y.shape}")
    if y.size and (y.min() < 0 or y.max() >= classes):
        raise ValueError(f"`{name}` must be labels 0 to {classes - 1}, got {y.min()} to {y.max()}")
    return y.astype(np.int64)  # a copy: a label that changed later might be no class any more


def check_targets(
    y: ArrayLike, count: int, output_shape: tuple[int, ...], loss: Loss, name: str = "y"
) -> NDArray[Any]:
    """The same as int64, float32 or float64: other numbers are converted, those of uint8 not scaled."""
    y = targets_as_given(y, count, output_shape, loss, name)
    return y.astype(np.int64) if y.dtype == np.uint8 else readable(y)


def class_numbers(targets: NDArray[Any]) -> NDArray[np.int64]:
    """The class of each sample or place, from labels or from parts of classes: then the largest decides."""
    return targets if is_labels(targets) else targets.argmax(axis=1)


def classes_of(targets: NDArray[Any], loss: Loss) -> NDArray[np.int64] | None:
    """The class of each sample, or None where checked targets are no classes: a yes or no is one of two.

    Samples that have a class at each of many places have none of their own.
    """
    if loss.targets == "labels":
        labels = class_numbers(targets)
        return labels if labels.ndim == 1 else None
    if loss.targets == "probabilities" and targets.shape[1] == 1 and ((targets == 0) | (targets == 1)).all():
        return targets[:, 0].astype(np.int64)
    return None


def _parts_of_classes(y: NDArray[Any], name: str, loss: Loss) -> NDArray[Any]:
    """A part for each class, along axis 1: as labels where each place has a single 1, else as they are."""
    yes_or_no = bool(((y == 0) | (y == 1)).all())
    if yes_or_no and (np.count_nonzero(y, axis=1) == 1).all():
        return y.argmax(axis=1).astype(np.int64)
    sums = y.sum(axis=1, dtype=np.float64)
    wrong = (y < 0).any(axis=1) | ~(np.abs(sums - 1) <= SUM_TO_1)
    if wrong.any():
        row = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
        where = ", ".join(map(str, (row[0], *[":"] * (wrong.ndim > 1), *row[1:])))
        raise ValueError(
            f"`{name}` must be labels, or rows of numbers >= 0 that sum to 1, got a sum of {sums[row]:g} at "
            f"[{where}]" + (": several labels a sample need the loss bce_with_logits" if yes_or_no else "")
        )
    if not isinstance(loss, CrossEntropy):
        raise ValueError(
            f"`{name}` must be labels for {loss}, got parts of classes: cross_entropy takes them"
        )
    return y[...]


def _real_array(values: ArrayLike, name: str, of_texts: str = "") -> NDArray[Any]:
    """An array of real numbers; `of_texts` is what the message for texts ends in."""
    if type(values) is np.ndarray:  # mostly, and in half of the time of what follows
        array: NDArray[Any] = values
    elif np.ma.is_masked(values):
        raise ValueError(
            f"`{name}` must have no masked values: fill them, {name}.filled(...), or leave them out"
        )
    else:
        array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        hint = of_texts if array.dtype.kind in "USTO" else ""  # pandas has objects
        raise TypeError(f"`{name}` must be an array of real numbers, got {array.dtype}{hint}")
    if array.ndim == 0:
        raise ValueError(f"`{name}` must be an array of samples, got a single number")
    return array


def readable(array: NDArray[Any]) -> NDArray[Any]:
    """The array, or a copy in float64 where the kernels can't read it."""
    return array if array.dtype in DTYPE_CODES else array.astype(np.float64)
