"""Folders of image files: which are classes, which are parts of a split, and which files are held out.

photos/cat/1.jpg                  classes; a part of each is held out, chosen by the files' names
photos/train/cat/1.jpg            a split: Train/Test, training/validation, seg_train/seg_test and so on
photos/test/cat/2.jpg
"""

import hashlib
import os
import re
import unicodedata
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ..formats import image_files

# Words of which folders' names are made that hold a part of the data, and those that say nothing beside them.
_ROLES = {
    "train": "train", "training": "train",
    "test": "test", "testing": "test", "eval": "test", "evaluation": "test", "holdout": "test",
    "val": "val", "valid": "val", "validation": "val",
}  # fmt: skip
_FILLERS = {"seg", "set", "data", "dataset", "image", "images", "img", "imgs", "split", "folder"}


class Layout(NamedTuple):
    """Where the classes' folders lie, and how the classes are called.

    `validation` is there only beside `held_out`.
    """

    train: Path
    held_out: Path | None
    classes: list[str]
    validation: Path | None = None


class Files(NamedTuple):
    """Image files, the number of each one's class, and its place among all files, from 0 to 1."""

    paths: list[str]
    labels: list[int]
    places: list[float]


def split_role(name: str) -> str | None:
    """The part of a split that a folder's name stands for: "train", "test", "val", or None.

    Examples
    --------
    >>> [split_role(name) for name in ("Training", "test_set", "seg_train", "valid", "cat")]
    ['train', 'test', 'train', 'val', None]
    """
    words = [word for word in re.findall("[a-z]+", name.lower()) if word not in _FILLERS]
    return _ROLES.get(re.sub("(set|data)$", "", words[0])) if len(words) == 1 else None


def find_layout(folder: Path) -> Layout:
    """Tell classes from parts of a split; what is left out, or may be a mistake, is a warning.

    Raises
    ------
    FileNotFoundError
        If there are no folders of images, one for each class.
    """
    folder = _unwrapped(folder)
    inner = _subfolders(folder)
    splits = _splits(inner)
    train = splits.get("train")
    if train is None:
        parts = {part for part in inner if split_role(part.name) in splits}
        classes = [part for part in inner if part not in parts]
        if not classes or not all(_is_part(splits[role], classes) for role in splits):
            classes, splits = inner, {}
        train = folder
    else:
        classes = _subfolders(train)
    held_out = splits.get("test") or splits.get("val")
    validation = splits.get("val") if "test" in splits else None
    if not classes:
        raise FileNotFoundError(
            f"{folder} has no folders of images, one for each class: expected {folder}/cat/1.jpg, "
            f"{folder}/dog/1.jpg and so on, or such folders in {folder}/train and {folder}/test"
        )
    _say_what_is_left_out(folder, inner, splits, [train, held_out, validation])
    return Layout(train, held_out, sorted_names([path.name for path in classes]), validation)


def sorted_names(names: list[str]) -> list[str]:
    """Names in order: as numbers if all are."""
    return sorted(names, key=int if all(map(is_int, names)) else None)


def is_int(name: str) -> bool:
    """Whether a class's name is a number, written as Python writes it."""
    return name.isdecimal() and str(int(name)) == name


def files_of(folder: Path, classes: list[str], seed: int, absent: bool = False) -> Files:
    """The image files of all classes; a class may be `absent` among held-out files.

    Raises
    ------
    FileNotFoundError
        If a class has no images.
    """
    paths: list[str] = []
    labels: list[int] = []
    places: list[float] = []
    for number, name in enumerate(classes):
        if absent and not (folder / name).is_dir():
            continue
        found = list(image_files.find_images(folder / name)) if (folder / name).is_dir() else []
        if not found:
            what = f"no images ({', '.join(image_files.SUFFIXES)})"
            raise FileNotFoundError(f"{folder / name} has {what}{_other_files(folder / name)}")
        paths += found
        labels += [number] * len(found)
        places += [_place(name, os.path.relpath(path, folder / name), seed) for path in found]
    return Files(paths, labels, places)


def _other_files(folder: Path) -> str:
    kinds = kinds_of_others([folder]) if folder.is_dir() else ""
    return f", only files of other types: {kinds}" if kinds else ""


def kinds_of_others(folders: "Sequence[str | os.PathLike[str]]") -> str:
    """How many files that are no images, of each suffix, lie in some folders; "" for none.

    Examples
    --------
    >>> kinds_of_others([])
    ''
    """
    kinds = Counter(
        os.path.splitext(path)[1].lower() or "without suffix"
        for folder in folders
        for path in image_files.find_others(folder)
    )
    named = ", ".join(f"{kind} {count}" for kind, count in kinds.most_common(5))
    return f"{named}, {len(kinds) - 5} other types" if len(kinds) > 5 else named


def held_out_by_name(files: Files, test_fraction: float) -> tuple[list[int], list[int]]:
    """The places in `files` of those to train on and of those held out, both in an order without meaning.

    A file's name alone decides, so that files which come or go later move no other one. Only where that
    would leave a class with nothing held out, or nothing to train on, the nearest file changes sides.

    Raises
    ------
    ValueError
        If there is one file only.
    """
    # Places are as good as random numbers for an order too: classes are mixed, and new files move no other.
    order = sorted(range(len(files.paths)), key=lambda k: (files.places[k], files.paths[k]))
    if len(order) < 2:
        raise ValueError(f"`test_fraction` {test_fraction:g} of {len(order)} samples leaves one side empty")
    held_out: set[int] = set()
    by_class: dict[int, list[int]] = {}
    for k in order:
        by_class.setdefault(files.labels[k], []).append(k)
    for members in by_class.values():
        if len(members) > 1:
            count = sum(files.places[k] < test_fraction for k in members)
            held_out.update(members[: min(max(count, 1), len(members) - 1)])
    held_out = held_out or {order[0]}
    return [k for k in order if k not in held_out], [k for k in order if k in held_out]


def _place(class_name: str, name: str, seed: int) -> float:
    """A number from 0 to 1 that follows from class and file name, the same on every machine."""
    text = unicodedata.normalize("NFC", f"{seed}/{class_name}/{name.replace(os.sep, '/')}")
    digest = hashlib.blake2b(text.encode("utf-8", "surrogateescape"), digest_size=6).digest()
    return int.from_bytes(digest, "big") / 2**48


def _subfolders(folder: Path) -> list[Path]:
    return sorted(
        entry
        for entry in folder.iterdir()
        if entry.is_dir()
        and not entry.name.startswith(".")
        and entry.name.lower() not in image_files.LEFTOVER_FOLDERS
    )


def _holds_images(folder: Path) -> bool:
    return any(True for _ in image_files.find_images(folder))


def _unwrapped(folder: Path) -> Path:
    """The folder, or the one in it that archives put around all, as in seg_train/seg_train/cat."""
    inner = _subfolders(folder)
    while len(inner) == 1 and _is_wrapper(inner[0]) and any(map(_holds_images, _subfolders(inner[0]))):
        folder = inner[0]
        inner = _subfolders(folder)
    return folder


def _is_wrapper(folder: Path) -> bool:
    """Whether a folder's name is none that a class would have."""
    name = folder.name.lower()
    return bool(
        split_role(name) or name == folder.parent.name.lower() or (name.isalpha() and name in _FILLERS)
    )


def _splits(inner: list[Path]) -> dict[str, Path]:
    """The folders that are named as a part of a split and hold folders of images, by that part."""
    named: dict[str, list[Path]] = {}
    for path in inner:
        if role := split_role(path.name):
            named.setdefault(role, []).append(path)
    found = {role: _unwrapped(paths[0]) for role, paths in named.items() if len(paths) == 1}
    return {role: path for role, path in found.items() if any(map(_holds_images, _subfolders(path)))}


def _is_part(split: Path, classes: list[Path]) -> bool:
    """Whether all classes of a part are among those beside it: photos/cat and photos/test/cat."""
    return {path.name for path in _subfolders(split)} <= {path.name for path in classes}


def _say_what_is_left_out(
    folder: Path, inner: list[Path], splits: dict[str, Path], used: list[Path | None]
) -> None:
    is_split = used[0] != folder
    for path in inner:
        if is_split and any(path == one or path in one.parents for one in used if one is not None):
            continue
        role = split_role(path.name)
        if is_split:
            _note(f"{path} is left out: it is no part of the split")
        elif role and role not in splits:
            _note(f"{path} is taken as a class, though its name looks like a part of a split")


def _note(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=5)
