"""What `train` trains on: a data set in the network's shape, a part of it set apart to validate on."""

import argparse
from collections.abc import Iterator
from typing import Any

from ..datasets import DataSet
from ..datasets.image_arrays import fit_images, stratified_split
from . import inputs, output
from .recipes import SIGNALS

REFERENCE_SHAPE = (1, 6, 6)


def aspect_of(args: argparse.Namespace) -> str:
    """What becomes of images of other proportions than the network's."""
    return "crop" if args.crop else "pad" if args.pad else "stretch"


def load(args: argparse.Namespace) -> DataSet:
    """The data in the network's shape."""
    if args.model in SIGNALS:
        return _two_or_more(inputs.only(inputs.read_signals(args.data), args.classes, args.data), args.data)
    size = args.image_size and (args.image_size, args.image_size)
    binary = args.model == "reference"
    channels, size = (1, REFERENCE_SHAPE[1:]) if binary else (1 if args.grey else None, size)
    aspect = aspect_of(args)
    data = inputs.read(args.data, channels, size, aspect, args.skip_bad)
    if binary and args.classes is None and len(data.classes) > 2:
        two = output.words(data.classes[:2])
        raise ValueError(
            f"--model reference tells two classes apart, {args.data} has {len(data.classes)}: choose two, "
            f"as --classes {two}"
        )
    data = _two_or_more(inputs.only(data, args.classes, args.data), args.data)
    own_channels, *own_size = data.X_train.shape[1:]
    shape = REFERENCE_SHAPE if binary else (channels or own_channels, *(size or own_size))
    fitted = {
        name: fit_images(X, shape, aspect)
        for name in ("X_train", "X_test", "X_val")
        if (X := getattr(data, name)) is not None
    }
    return data.replaced(**fitted)


def _two_or_more(data: DataSet, source: str) -> DataSet:
    """The data, if there is something to tell apart."""
    if len(data.classes) < 2:
        raise ValueError(f"{source} with one class only: there is nothing to tell apart")
    return data


def lines(source: str, data: DataSet) -> Iterator[str]:
    """What the data are, and what was done to them."""
    shape = output.shape_text(data.X_train.shape[1:])
    things = "signals" if data.X_train.ndim == 3 else "images"
    validating = "" if data.X_val is None else f", {len(data.X_val)} to validate on"
    counts = f"{len(data.X_train)} training and {len(data.X_test)} held-out {things}"
    yield f"data   {source}: {counts} of {shape}{validating}"
    yield f"       classes {output.words(data.classes)}"
    for text in data.notes:
        yield f"       {text}"


def set_apart(data: DataSet, split: float, seed: int) -> tuple[DataSet, tuple[Any, Any]]:
    """The data without the images to validate on, and those: the held-out ones where none are set apart."""
    if not split:
        both = (data.X_test, data.y_test) if data.X_val is None else (data.X_val, data.y_val)
        return data, both
    try:
        X, y, *validation = stratified_split(data.X_train, data.y_train, split, seed)
    except ValueError:
        count = len(data.X_train)
        raise ValueError(f"--validation-split {split:g} of {count} images leaves one side empty") from None
    return data.replaced(X_train=X, y_train=y, files_train=()), (validation[0], validation[1])
