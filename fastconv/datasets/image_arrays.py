"""Images and labels as arrays: checked, split in two, cut down to some classes, resized."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.settings import real_number, whole_number

Array = NDArray[Any]
Arrays = tuple[Array, Array, Array, Array]
_AT_ONCE = 2**24  # numbers of an image, or of the weights of its pixels, that are made floats at once


def stratified_split(X: Array, y: Array, test_fraction: float = 0.2, seed: int = 0) -> Arrays:
    """Shuffle, and hold out the same part of every class.

    Parameters
    ----------
    X : ndarray, shape (N, ...)
        Samples.
    y : ndarray of int, shape (N,)
        Class numbers.
    test_fraction : float
        Part that is held out, between 0 and 1: ceil(test_fraction * N) samples, shared among the classes by
        their sizes (scikit-learn's train_test_split counts so too).
    seed : int
        The same seed gives the same split on every machine.

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarray

    Raises
    ------
    ValueError
        If `test_fraction` is out of range, or leaves no sample on one side.

    Examples
    --------
    >>> X_train, y_train, X_test, y_test = stratified_split(np.arange(10.0), np.arange(10) % 2, 0.4)
    >>> np.bincount(y_test)
    array([2, 2])
    """
    test_fraction = real_number(test_fraction, "test_fraction", high=1.0, above=True)
    rng = np.random.default_rng(whole_number(seed, "seed", low=0))
    count = math.ceil(test_fraction * len(y) - 1e-9)
    if not 0 < count < len(y):
        raise ValueError(f"`test_fraction` {test_fraction:g} of {len(y)} samples leaves one side empty")
    y = np.asarray(y).astype(np.int64)
    _, class_of, sizes = np.unique(y, return_inverse=True, return_counts=True)
    # Each class gives its share rounded down; the largest remainders give one more (the first on a tie).
    shares = sizes * (count / len(y))
    quotas = np.floor(shares).astype(np.int64)
    quotas[np.argsort(quotas - shares, kind="stable")[: count - quotas.sum()]] += 1
    order = rng.permutation(len(y))
    by_class = order[np.argsort(class_of[order], kind="stable")]
    rank = np.empty(len(y), dtype=np.int64)
    rank[by_class] = np.arange(len(y)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    held_out = (rank < quotas[class_of])[order]
    train, test = order[~held_out], order[held_out]
    return X[train], y[train], X[test], y[test]


def resize_area(images: Array, size: tuple[int, int]) -> Array:
    """Resize images so that each new pixel is the mean of the area that it covers.

    Parameters
    ----------
    images : ndarray, shape (..., H, W)
        Images of uint8, float32 or float64.
    size : pair of ints
        The new (height, width).

    Returns
    -------
    ndarray of the same dtype, shape (..., height, width)
        Values of uint8 images are rounded.

    Raises
    ------
    ValueError
        If the images have no pixels or `size` is not positive.

    Notes
    -----
    Beside the result it takes up to 256 MB, however large the images are.

    Examples
    --------
    >>> resize_area(np.array([[0.0, 2.0, 4.0, 6.0]]), (1, 2))
    array([[1., 5.]])
    """
    images = np.asarray(images)
    if images.ndim < 2 or 0 in images.shape[-2:]:
        raise ValueError(f"`images` must have shape (..., H, W), got {images.shape}")
    height, width = (whole_number(value, f"size[{i}]") for i, value in enumerate(size))
    dtype = np.float32 if images.dtype == np.uint8 else images.dtype
    old_height, old_width = images.shape[-2:]
    flat = images.reshape(-1, old_height, old_width)
    resized = np.empty((len(flat), height, width), images.dtype)
    largest = max(old_height * max(old_width, height), old_width * max(height, width))
    if largest <= _AT_ONCE:
        rows = _area_weights(old_height, height).astype(dtype)
        columns = _area_weights(old_width, width).astype(dtype)
    step = max(1, _AT_ONCE // largest)
    for first in range(0, len(flat), step):
        part = flat[first : first + step]
        if largest <= _AT_ONCE:
            scaled = rows @ part.astype(dtype) @ columns.T
        else:
            scaled = _scale_rows(_scale_rows(part[0], height, dtype).T, width, dtype).T
        resized[first : first + step] = np.rint(scaled) if images.dtype == np.uint8 else scaled
    return resized.reshape(*images.shape[:-2], height, width)


def _scale_rows(image: Array, new: int, dtype: Any) -> Array:
    """An image (H, W) with `new` rows, some of them at a time: few numbers are floats at once."""
    old, width = image.shape
    scaled = np.empty((new, width), dtype)
    step = max(1, int(_AT_ONCE / (old / new + 1) / max(new, width)))
    for first in range(0, new, step):
        last = min(first + step, new)
        top, end = int(first * (old / new)), min(old, math.ceil(last * (old / new)))
        weights = _area_weights(old, new, (first, last), (top, end)).astype(dtype)
        scaled[first:last] = weights @ image[top:end].astype(dtype)
    return scaled


def _area_weights(
    old: int, new: int, of_new: tuple[int, int] | None = None, of_old: tuple[int, int] | None = None
) -> Array:
    """Row i: how much of new pixel i each old pixel covers, of all or some pixels; rows sum to 1."""
    first, last = of_new or (0, new)
    edges = np.arange(first, last + 1) * (old / new)
    pixels = np.arange(*(of_old or (0, old)))
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.maximum(overlap, 0) * (new / old))


def as_images(X: Array, name: str = "X") -> Array:
    """Images as an NCHW array of uint8, float32 or float64, or a ValueError that starts with `name`.

    Parameters
    ----------
    X : ndarray
        Shape (N, H, W), (N, C, H, W), or (N, H, W, C) if the last size is 1, 3 or 4 and the second is not.
    name : str
        What to call it in messages.
    """
    if X.ndim == 3:
        X = X[:, None]
    if X.ndim != 4 or X.size == 0:
        raise ValueError(f"{name} must be images of shape (N, H, W) or (N, C, H, W), got {X.shape}")
    if _is_channels_last(X.shape):
        X = X.transpose(0, 3, 1, 2)
    if X.dtype.kind == "f":
        if not np.isfinite(X).all():
            raise ValueError(f"{name} holds NaN or infinity")
        return np.ascontiguousarray(X, dtype=np.float64 if X.dtype == np.float64 else np.float32)
    if X.dtype.kind == "b":
        return np.ascontiguousarray(X, dtype=np.float32)
    if X.dtype.kind not in "iu":
        raise ValueError(f"{name} must hold numbers, got {X.dtype}")
    if X.min() < 0 or X.max() > 255:
        raise ValueError(f"{name} must hold ints from 0 to 255 or floats, got ints {X.min()} to {X.max()}")
    return np.ascontiguousarray(X, dtype=np.uint8)


def about_pixels(X: Array) -> list[str]:
    """What is said about the layout and the scale of images from a file, a line for each oddity.

    Parameters
    ----------
    X : ndarray
        As it was stored.

    Returns
    -------
    list of str

    Examples
    --------
    >>> about_pixels(np.zeros((2, 8, 8, 3), np.uint8))
    ['images of shape (2, 8, 8, 3) are taken as (N, H, W, C)']
    >>> about_pixels(np.full((2, 8, 8), 255.0))
    ['pixels are floats up to 255 and are taken as they are: uint8 would be divided by 255']
    """
    said = []
    if _is_channels_last(X.shape):
        said.append(f"images of shape {X.shape} are taken as (N, H, W, C)")
    elif X.ndim == 4 and X.shape[1] == X.shape[2] != X.shape[3]:
        what = f"{X.shape[1]} channels of {X.shape[2]}x{X.shape[3]}"
        said.append(
            f"images of shape {X.shape} are taken as {what}: transpose(0, 3, 1, 2) if these come last"
        )
    largest = X.max() if X.size and X.dtype.kind in "iuf" else 0
    if X.dtype.kind in "iu" and 0 < largest <= 1:
        said.append(f"pixels are {X.dtype} 0 and 1, nearly black after division by 255: save them as bool")
    elif X.dtype.kind in "iu" and X.dtype != np.uint8:
        said.append(f"pixels are {X.dtype} from {X.min()} to {largest} and are divided by 255, as uint8 are")
    elif X.dtype.kind == "f" and 2 < largest <= 255:
        said.append(
            f"pixels are floats up to {largest:g} and are taken as they are: uint8 would be divided by 255"
        )
    return said


def _is_channels_last(shape: tuple[int, ...]) -> bool:
    return len(shape) == 4 and shape[3] in (1, 3, 4) and shape[1] not in (1, 3, 4)


def as_labels(y: Array, count: int, name: str = "y") -> Array:
    """Labels of `count` images as int64 class numbers, or a ValueError that starts with `name`.

    Parameters
    ----------
    y : ndarray
        Shape (N,) or (N, 1): ints, or floats that are whole.
    count : int
        How many there must be.
    name : str
        What to call it in messages.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or y.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be class numbers of shape (N,), got {y.shape} of {y.dtype}")
    if len(y) != count:
        raise ValueError(f"{name} has {len(y)} labels for {count} images")
    if len(y) and not (y.min() >= 0 and y.max() < 2**31 and (y == np.floor(y)).all()):
        raise ValueError(f"{name} must be whole class numbers from 0, got {y.min()} to {y.max()}")
    return y.astype(np.int64)


def select_classes(arrays: Arrays, classes: "list[int]") -> Arrays:
    """Only the samples of some classes, numbered anew from 0 in the order given.

    Raises
    ------
    ValueError
        If a class is named twice or has no training or no test samples.

    Examples
    --------
    >>> y = np.array([3, 5, 8, 3])
    >>> select_classes((y, y, y, y), [3, 8])[1]
    array([0, 1, 0])
    """
    if len(set(classes)) != len(classes):
        raise ValueError(f"classes must differ, got {classes}")
    chosen: list[Array] = []
    for X, y in (arrays[:2], arrays[2:]):
        missing = [wanted for wanted in classes if not (y == wanted).any()]
        if missing:
            raise ValueError(f"class {missing[0]} has no samples; there are {_listed(np.unique(y))}")
        new_number = np.full(int(y.max()) + 1, -1)
        new_number[classes] = np.arange(len(classes))
        kept = new_number[y] >= 0
        chosen += [X[kept], new_number[y[kept]]]
    return chosen[0], chosen[1], chosen[2], chosen[3]


def _listed(values: Array) -> str:
    words = [str(value) for value in values[:12]]
    return ", ".join(words) + (", ..." if len(values) > 12 else "")


ASPECTS = ("stretch", "crop", "pad")


def resize(images: Array, size: tuple[int, int], aspect: str = "stretch") -> Array:
    """Resize images as `resize_area` does, with their proportions kept if wanted.

    Parameters
    ----------
    images : ndarray, shape (..., H, W)
        Images of uint8, float32 or float64.
    size : pair of ints
        The new (height, width).
    aspect : {"stretch", "crop", "pad"}
        What becomes of other proportions than those of `size`: they change; or the middle is cut out first;
        or zeros (black) come to both sides.

    Returns
    -------
    ndarray of the same dtype, shape (..., height, width)

    Examples
    --------
    >>> resize(np.array([[1.0, 2.0, 3.0, 4.0]]), (1, 2), "crop")
    array([[2., 3.]])
    >>> resize(np.array([[1.0, 2.0, 3.0, 4.0]]), (3, 3), "pad")
    array([[0.  , 0.  , 0.  ],
           [1.25, 2.5 , 3.75],
           [0.  , 0.  , 0.  ]])
    """
    (old_height, old_width), (height, width) = images.shape[-2:], size
    if aspect == "stretch" or old_height * width == old_width * height:
        return resize_area(images, size)
    scale = (max if aspect == "crop" else min)(height / old_height, width / old_width)
    if aspect == "crop":
        rows, columns = (
            max(1, min(old, round(new / scale))) for old, new in ((old_height, height), (old_width, width))
        )
        top, left = (old_height - rows) // 2, (old_width - columns) // 2
        return resize_area(images[..., top : top + rows, left : left + columns], size)
    rows, columns = (
        max(1, min(new, round(old * scale))) for old, new in ((old_height, height), (old_width, width))
    )
    padded = np.zeros((*images.shape[:-2], height, width), images.dtype)
    top, left = (height - rows) // 2, (width - columns) // 2
    padded[..., top : top + rows, left : left + columns] = resize_area(images, (rows, columns))
    return padded


def fit_images(X: Array, input_shape: tuple[int, int, int], aspect: str = "stretch") -> Array:
    """Images in the shape that a network takes: colours averaged to grey if it takes grey, sizes by area.

    Parameters
    ----------
    X : ndarray, shape (N, C, H, W)
    input_shape : triple of ints
        (channels, height, width).
    aspect : {"stretch", "crop", "pad"}
        What becomes of other proportions; see `resize`.

    Raises
    ------
    ValueError
        If the network takes another number of channels.

    Examples
    --------
    >>> fit_images(np.ones((2, 3, 8, 8)), (1, 6, 6)).shape
    (2, 1, 6, 6)
    """
    if X.shape[1:] == tuple(input_shape):
        return X
    if X.shape[1] != input_shape[0]:
        if input_shape[0] != 1:
            raise ValueError(f"the network takes images with {input_shape[0]} channels, got {X.shape[1]}")
        grey = X.mean(axis=1, keepdims=True, dtype=np.float32 if X.dtype == np.uint8 else None)
        X = np.rint(grey).astype(np.uint8) if X.dtype == np.uint8 else grey
    return X if X.shape[2:] == tuple(input_shape[1:]) else resize(X, input_shape[1:], aspect)
