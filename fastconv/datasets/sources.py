"""Any data set by its name or path."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..formats import image_files
from .data_set import DataSet
from .image_arrays import Arrays
from .image_folders import load_images
from .loaders import data_set, load_digits, load_mnist_subset
from .published import find_published, read_published

LOADERS: dict[str, Callable[..., Arrays]] = {"digits": load_digits, "mnist-subset": load_mnist_subset}


def load(
    source: str, channels: int | None = None, size: "int | tuple[int, int] | None" = None, **reading: Any
) -> DataSet:
    """The data set that a name ("digits", "mnist-subset"), a folder or a file stands for.

    Parameters
    ----------
    source : str
        The name or path. A folder holds a folder of image files for each class, or the files of a published
        data set: the IDX files of MNIST and EMNIST, the binary files of CIFAR, a table train.csv with the
        columns label, pixel0, pixel1, ..., or one .npz file; also in folders of it, as torchvision has them.
        A file is an .npz file, such a table, or the training images of a set of IDX files.
    channels, size
        How image files are read; see `load_images`.
    **reading
        The same: `crop_to_aspect_ratio`, `pad_to_aspect_ratio`, `skip_bad`, `progress`.

    Returns
    -------
    DataSet

    Raises
    ------
    FileNotFoundError
        If it is none of them; the message says what was expected and what is there.
    ValueError
        If it holds no such images, or labels that are no class numbers.

    Examples
    --------
    >>> load("digits").X_train.shape
    (1437, 1, 8, 8)
    """
    if source in LOADERS:
        return data_set(LOADERS[source](), source)
    if os.path.isdir(source):
        if _holds_classes(source):
            return load_images(source, channels, size, **reading)
        found = find_published(source)
        if found is None:
            raise FileNotFoundError(
                f"{source} is no data set: expected a folder of images for each class ({source}/cat/1.jpg, "
                f"{source}/dog/1.jpg), or IDX files (train-images-idx3-ubyte), data_batch_1.bin, train.csv; "
                f"{_what_is_there(source)}"
            )
        return found
    if os.path.isfile(source):
        return read_published(source)
    kinds = "folder of IDX files or images, or .npz file"
    raise FileNotFoundError(f"{source!r} is no data set ({', '.join(LOADERS)}), {kinds}")


def _holds_classes(folder: str) -> bool:
    """Whether some folder in it holds images."""
    inner = (entry.path for entry in os.scandir(folder) if entry.is_dir())
    return any(True for path in inner for _ in image_files.find_images(path))


def _what_is_there(folder: str) -> str:
    """What a folder without folders of images holds instead."""
    images = sum(1 for _ in image_files.find_images(folder))
    if images:
        return f"the {images} images in it lie in no folder of a class"
    names = sorted(entry.name for entry in Path(folder).iterdir() if not entry.name.startswith("."))
    return f"in it {'are' if len(names) > 1 else 'is'} {', '.join(names[:5]) or 'nothing'}" + (
        f" and {len(names) - 5} more" if len(names) > 5 else ""
    )
