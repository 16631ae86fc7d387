"""A folder with a folder of image files for each class, as a data set."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ..checks.settings import real_number, whole_number
from .data_set import DataSet
from .folders import Files, files_of, find_layout, held_out_by_name, is_int, kinds_of_others
from .image_arrays import Array
from .photos import Reading, read_photos


def load_images(
    folder: "str | os.PathLike[str]",
    channels: int | None = None,
    size: "int | tuple[int, int] | None" = None,
    test_fraction: float = 0.2,
    seed: int = 0,
    *,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> DataSet:
    """Image files that lie in a folder for each class.

    Parameters
    ----------
    folder : str or path
        Holds a folder of images for each class; or a folder `train` of such folders, and perhaps `test` or
        `val` with the images that are held out (also named Training, test_set, seg_test and the like). With
        both, `val` is for validation while training. Files are read by Pillow.
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
    crop_to_aspect_ratio, pad_to_aspect_ratio : bool
        Whether images of other proportions than `size` lose their sides, or get black ones. By default
        their proportions change.
    skip_bad : bool
        Leave out files that can't be read.
    progress : function, optional
        Called with (files read, all files) after each file.

    Returns
    -------
    DataSet
        X_train, y_train, X_test, y_test and classes: images as uint8 of shape (N, channels, H, W), labels as
        int64 of shape (N,), and the name of each class, sorted, as ints if all names are.

    Raises
    ------
    ImportError
        If Pillow is not installed.
    FileNotFoundError
        If there is no such folder, or a class without images.
    ValueError
        If some files are no whole images (the message names the first ten), or there is a class among the
        held-out images only.

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
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("`crop_to_aspect_ratio` and `pad_to_aspect_ratio` exclude each other, got both")
    aspect = "crop" if crop_to_aspect_ratio else "pad" if pad_to_aspect_ratio else "stretch"
    layout = find_layout(folder)
    sides = [files_of(layout.train, layout.classes, seed)]
    sides += [
        _more_files(place, layout.train, layout.classes, seed)
        for place in (layout.held_out, layout.validation)
        if place is not None
    ]
    paths = [path for side in sides for path in side.paths]
    photos = read_photos(paths, Reading(channels, size, aspect, skip_bad, progress))
    kept = np.array(photos.kept)
    side_of = np.repeat(np.arange(len(sides)), [len(side.paths) for side in sides])[kept]
    files = Files(*([whole[k] for k in photos.kept] for whole in map(_chained, zip(*sides, strict=True))))
    parts = [np.flatnonzero(side_of == k).tolist() for k in range(len(sides))]
    if layout.held_out is None:
        parts = list(held_out_by_name(files, test_fraction))
    names, y = layout.classes, np.array(files.labels, dtype=np.int64)
    _check_classes(y[parts[0]], names, layout.train)
    train, test, *validation = ((photos.X[part], y[part]) for part in parts)
    others = kinds_of_others([layout.train / name for name in names])
    X_val, y_val = validation[0] if validation else (None, None)
    return DataSet(
        *train,
        *test,
        [int(name) for name in names] if all(map(is_int, names)) else names,
        X_val=X_val,
        y_val=y_val,
        files_train=[files.paths[k] for k in parts[0]],
        files_test=[files.paths[k] for k in parts[1]],
        notes=[*photos.notes, *([f"files of other types ignored: {others}"] if others else [])],
    )


def _chained(lists: "tuple[list[Any], ...]") -> list[Any]:
    return [item for one in lists for item in one]


def _more_files(folder: Path, train: Path, classes: list[str], seed: int) -> Files:
    """The files of a folder of held-out images, which may lack a class but have no other."""
    inner = [entry.name for entry in folder.iterdir() if entry.is_dir()]
    unknown = sorted(name for name in set(inner) - set(classes) if not name.startswith((".", "__")))
    if unknown:
        raise ValueError(f"{folder} has the class {unknown[0]}, which {train} has not")
    return files_of(folder, classes, seed, absent=True)


def _check_classes(labels: Array, names: list[str], folder: Path) -> None:
    """Every class has images to train on, also after those that can't be read were left out."""
    for number in set(range(len(names))) - set(labels.tolist()):
        raise ValueError(f"{folder / names[number]} has no image to train on that can be read")
