"""Data sets as they are published: CIFAR's binary files, tables of Kaggle, folders of torchvision.

train.csv                       Kaggle's digit-recognizer: a line an image, label,pixel0,pixel1,...
cifar-10-batches-bin/           data_batch_1.bin ... test_batch.bin, batches.meta.txt
cifar-100-binary/               train.bin, test.bin, fine_label_names.txt
MNIST/raw/                      IDX files, where torchvision puts them; also EMNIST's gzip/
"""

import csv
import math
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .data_set import DataSet
from .image_arrays import Array, as_images, as_labels, stratified_split
from .loaders import data_set, idx_splits, load_mnist, npz_data_set

# What `EMNIST` calls its labels; letters that look alike in both cases are one class in "balanced".
_DIGITS, _UPPER, _LOWER = "0123456789", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz"
_MERGED = f"{_DIGITS}{_UPPER}abdefghnqrt"
_EMNIST = {"balanced": _MERGED, "bymerge": _MERGED, "byclass": _DIGITS + _UPPER + _LOWER, "letters": _UPPER}
# Files of one record an image: bytes of labels, the last of which counts, then 3 x 32 x 32 of pixels.
_CIFAR = {
    "data_batch_1.bin": ("data_batch_*.bin", "test_batch.bin", "batches.meta.txt", 1),
    "train.bin": ("train.bin", "test.bin", "fine_label_names.txt", 2),
}
_PIXELS = 3 * 32 * 32
MOST_CSV_BYTES = 1_000_000_000


def find_published(folder: str) -> DataSet | None:
    """The data set in a folder, or in one down to the second level in it; None if there is none.

    Raises
    ------
    ValueError
        If there are several, or what is there can't be read or is pickled.

    Examples
    --------
    >>> import tempfile
    >>> find_published(tempfile.mkdtemp()) is None
    True
    """
    found = [path for path in _places(Path(folder)) if _kind(path)]
    if len(found) > 1:
        names = ", ".join(str(path) for path in found)
        raise ValueError(f"{folder} holds several data sets, give the path of one: {names}")
    return _read(found[0]) if found else None


def read_published(path: str) -> DataSet:
    """The data set that a file belongs to: an .npz or .csv file, or the training images of IDX files.

    Raises
    ------
    ValueError
        If it is no such file.

    Notes
    -----
    Limits: a table has up to 1 GB; .npz and IDX files have those of `read_npz` and `read_idx`.

    Examples
    --------
    >>> import tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "train.csv")
    >>> with open(path, "w") as file:
    ...     _ = file.write("label,pixel0,pixel1,pixel2,pixel3\\n" + "0,1,2,3,4\\n1,5,6,7,8\\n" * 5)
    >>> read_published(path).X_train.shape
    (8, 1, 2, 2)
    """
    name = os.path.basename(path)
    if name.lower().endswith(".npy"):
        raise ValueError(
            f"{path} has images or labels only: np.savez('data.npz', X=X, y=y) keeps both in one file"
        )
    if name.lower().endswith(".csv"):
        return _read_csv(Path(path))
    if "train-images" in name and "idx3" in name:
        split = name.partition("-train-")[0].removeprefix("emnist-") if name.startswith("emnist-") else ""
        return _read_idx(Path(path).parent, split)
    return npz_data_set(path)


def _places(folder: Path, levels: int = 2) -> Iterator[Path]:
    yield folder
    if levels:
        for inner in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
            if not inner.name.startswith(".") and os.access(inner, os.R_OK | os.X_OK):
                yield from _places(inner, levels - 1)


def _kind(folder: Path) -> str:
    """Which kind of data set lies in a folder itself; "" for none."""
    names = {entry.name for entry in folder.iterdir() if entry.is_file()}
    for first in _CIFAR:
        if first in names and _CIFAR[first][1] in names:
            return first
    if {"data_batch_1", "batches.meta"} <= names or {"train", "test", "meta"} <= names:
        return "pickles"
    if idx_splits(folder):
        return "idx"
    if any(_is_training_csv(name) for name in names):
        return "csv"
    return "npz" if sum(name.endswith(".npz") and _is_images(folder / name) for name in names) == 1 else ""


def _read(folder: Path) -> DataSet:
    kind = _kind(folder)
    if kind in _CIFAR:
        return _read_cifar(folder, *_CIFAR[kind])
    if kind == "pickles":
        raise ValueError(
            f"{folder} holds CIFAR as pickles of Python, which can run any code and are not read: take the "
            "binary version (data_batch_1.bin or train.bin) of the same pages"
        )
    if kind == "csv":
        return _read_csv(next(entry for entry in sorted(folder.iterdir()) if _is_training_csv(entry.name)))
    if kind == "npz":
        paths = (entry for entry in sorted(folder.iterdir()) if entry.name.endswith(".npz"))
        return npz_data_set(next(path for path in paths if _is_images(path)))
    splits = idx_splits(folder)
    if len(splits) > 1:
        files = ", ".join(f"emnist-{split}-train-images-..." for split in splits)
        raise ValueError(f"{folder} holds several data sets, give the path of the training images: {files}")
    return _read_idx(folder, splits[0])


def _read_idx(folder: Path, split: str) -> DataSet:
    return data_set(load_mnist(folder, split=split), str(folder), classes=list(_EMNIST.get(split, "")))


def _read_cifar(folder: Path, training: str, testing: str, names: str, labels: int) -> DataSet:
    X_train, y_train = _cifar_records(sorted(folder.glob(training)), labels)
    X_test, y_test = _cifar_records([folder / testing], labels)
    text = folder / names
    lines = text.read_text("utf-8", "replace").split() if text.is_file() else []
    return data_set((X_train, y_train, X_test, y_test), str(folder), classes=lines)


def _cifar_records(paths: list[Path], labels: int) -> tuple[Array, Array]:
    parts = []
    for path in paths:
        content = np.fromfile(path, np.uint8)
        if not len(content) or len(content) % (labels + _PIXELS):
            record = labels + _PIXELS
            raise ValueError(
                f"{path} has {len(content)} bytes, expected records of {record} bytes as CIFAR's"
            )
        parts.append(content.reshape(-1, labels + _PIXELS))
    records = np.concatenate(parts)
    images = np.ascontiguousarray(records[:, labels:]).reshape(-1, 3, 32, 32)
    return images, records[:, labels - 1].astype(np.int64)


def _is_training_csv(name: str) -> bool:
    return name.lower().endswith(".csv") and "train" in name.lower()


def _is_images(path: Path) -> bool:
    """Whether an .npz file holds a published data set, by the names in it alone."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.lower() for name in archive.namelist()}
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return False
    return {"x_train.npy", "y_train.npy"} <= names or {"train_images.npy", "train_labels.npy"} <= names


def _read_csv(path: Path) -> DataSet:
    """A table of images; the one called "test" instead of "train" is held out, if it has labels."""
    X, y = _csv_images(path)
    other = path.with_name(path.name.replace("train", "test").replace("Train", "Test"))
    if other != path and other.is_file() and _columns(other)[0] == "label":
        X_test, y_test = _csv_images(other)
        if X_test.shape[1:] != X.shape[1:]:
            raise ValueError(f"{path} has images {X.shape[1:]}, {other} {X_test.shape[1:]}")
        return data_set((X, y, X_test, y_test), str(path))
    return data_set(stratified_split(X, y), str(path))


def _columns(path: Path) -> list[str]:
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        return [name.strip().lower() for name in next(csv.reader([file.readline(1_000_000)]), [])]


def _csv_images(path: Path) -> tuple[Array, Array]:
    names = _columns(path)
    side = math.isqrt(max(0, len(names) - 1))
    if names[:1] != ["label"] or side * side != len(names) - 1 or not side:
        raise ValueError(
            f"{path} must have the columns label, pixel0, pixel1, ... of square images, found {len(names)} "
            f"columns from {names[0] if names else 'nothing'!r}"
        )
    if path.stat().st_size > MOST_CSV_BYTES:
        raise ValueError(f"{path} has {path.stat().st_size} bytes, expected at most {MOST_CSV_BYTES}")
    try:
        rows = np.loadtxt(path, delimiter=",", dtype=np.int32, skiprows=1, ndmin=2, encoding="utf-8")
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path} must hold whole numbers below its names: {error}") from None
    if rows.shape[1] != len(names) or not len(rows):
        raise ValueError(
            f"{path} must hold whole numbers below each of its {len(names)} names, got {rows.shape}"
        )
    X = as_images(rows[:, 1:].reshape(-1, 1, side, side), f"{path}: pixels")
    return X, as_labels(rows[:, 0], len(rows), f"{path}: label")
