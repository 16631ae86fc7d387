"""`fastconv predict`."""

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.text import printable
from ..datasets.image_arrays import as_images, as_labels, fit_images
from ..formats import json_text
from ..formats.image_files import SUFFIXES, find_images
from ..formats.npz import read_npz
from ..inspection.classification import class_probabilities
from ..inspection.classify import prepared, scaled
from . import inputs, options, output
from .waiting import FIRST_TIME, waiting

FILES_AT_A_TIME = 256
EXAMPLES = f"""\
predict {options.DEFAULT_MODEL}
predict {options.DEFAULT_MODEL} photo.jpg scans/ --invert --top 3
predict {options.DEFAULT_MODEL} my-images.npz --count 20"""

Row = dict[str, Any]


def add_to(commands: Any) -> None:
    """Describe the options."""
    text = "print what a saved model says about some images"
    command = options.add_command(commands, "predict", run, text, EXAMPLES, "MODEL [FILE ...]")
    options.add_model(command)
    add = command.add_argument
    add(
        "images",
        metavar="FILE",
        nargs="*",
        help="images (PNG, JPEG, BMP, GIF, WebP), folders of them (what lies in folders named as classes is "
        "checked), or .npz files with images X, and labels y if known",
    )
    add(
        "--data",
        metavar="DATA",
        help=f"instead of FILE: {options.DATA_HELP} (default: what it was trained on)",
    )
    add("--count", type=options.number(int, 1), default=10, metavar="N", help="of DATA or .npz (default: 10)")
    add("--top", type=options.number(int, 1), default=1, metavar="K", help="the K most likely classes")
    add("--invert", action="store_true", help="image files are dark on light, the model knows light on dark")
    options.add_threads(command)
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Print a line for each image; those that can't be read are named on standard error."""
    if args.images and args.data is not None:
        args.refuse("give either FILE or --data, not both")
    inputs.set_threads(args.threads)
    model, about = inputs.load_model(args.model)
    rows = list(_rows(args, _Judge(model, about, args.top)))
    known = [row for row in rows if row.get("truth") is not None]
    right = sum(str(row["truth"]) == str(row["predicted"]) for row in known)
    failed = [row for row in rows if "error" in row]
    for row in failed:
        output.complain(row["error"])
    if args.json:
        score = {"right": right, "known": len(known)}
        print(json_text.to_json({"model": args.model, "images": rows, **score}))
    else:
        for line in _table([row for row in rows if "error" not in row], with_truth=bool(known)):
            print(printable(line))
        if known:
            print(f"{right} of {len(known)} right")
    return 1 if failed else 0


class _Judge:
    """A model, the names of its classes, and how many of them are asked for."""

    def __init__(self, model: Any, about: dict[str, Any], top: int) -> None:
        self.model, self.about, self.top = model, about, top
        self.classes: list[Any] = about["classes"]

    def rows(self, names: Sequence[str], X: NDArray[Any], truths: Sequence[Any]) -> Iterator[Row]:
        """What the model says about each image."""
        with waiting(f"looking at {len(X)} images, {FIRST_TIME}"):
            chances = class_probabilities(self.model, X)
        order = np.argsort(-chances, axis=1, kind="stable")[:, : self.top]
        for name, truth, chance, best in zip(names, truths, chances, order, strict=True):
            likely = [{"class": self.classes[k], "probability": chance[k]} for k in best]
            answer = {"predicted": likely[0]["class"], "probability": likely[0]["probability"]}
            yield {"image": name, "truth": truth, **answer, "top": likely}


def _rows(args: argparse.Namespace, judge: _Judge) -> Iterator[Row]:
    if not args.images:
        part = inputs.part_of(judge.model, judge.about, args.data)
        truths = [judge.classes[label] for label in part.y[: args.count]]
        yield from judge.rows(_numbered(part.source, truths), part.X[: args.count], truths)
    files: list[str] = []
    for path in args.images:
        if not path.lower().endswith(".npz"):
            files.append(path)
            continue
        yield from _rows_of_paths(files, judge, args.invert)
        files = []
        try:
            yield from _rows_of_npz(path, judge, args.count)
        except (OSError, ValueError) as error:
            yield {"image": path, "error": output.describe(error)}
    yield from _rows_of_paths(files, judge, args.invert)


def _numbered(source: str, rows: Sequence[Any]) -> list[str]:
    return [f"{source}[{k}]" for k in range(len(rows))]


def _rows_of_npz(path: str, judge: _Judge, count: int) -> Iterator[Row]:
    X, y = _images_of_npz(path)
    inputs.note_resizing(X, judge.model)
    X = scaled(fit_images(X[:count], judge.model.input_shape), judge.about)
    truths: list[Any] = [None] * len(X) if y is None else y[:count].tolist()
    if any(isinstance(name, str) for name in judge.classes):  # labels count them, as in training
        truths = [judge.classes[k] if k is not None and k < len(judge.classes) else k for k in truths]
    yield from judge.rows(_numbered(path, truths), X, truths)


def _images_of_npz(path: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The images of an .npz file, X or x_test or its only array, and y or y_test if there."""
    arrays = {name.lower(): array for name, array in read_npz(path).items()}
    for images, labels in (("x_test", "y_test"), ("x", "y")):
        if images in arrays:
            y = arrays.get(labels)
            X = as_images(arrays[images], f"{path}: {images}")
            return X, None if y is None else as_labels(y, len(X), f"{path}: {labels}")
    if len(arrays) == 1:
        name, X = arrays.popitem()
        return as_images(X, f"{path}: {name}"), None
    raise ValueError(f"{path}: expected images X, found {', '.join(sorted(arrays)) or 'nothing'}")


def _rows_of_paths(paths: Sequence[str], judge: _Judge, invert: bool) -> Iterator[Row]:
    """A row for each image file; what can't be read has an error in it."""
    files = list(_files(paths, judge.classes))
    for start in range(0, len(files), FILES_AT_A_TIME):
        part = files[start : start + FILES_AT_A_TIME]
        pixels: dict[str, NDArray[Any]] = {}
        errors: dict[str, str] = {}
        with waiting(f"reading images {start + 1} to {start + len(part)} of {len(files)}"):
            for file, _ in part:
                try:
                    pixels[file] = _read(file, judge.model, invert)
                except (OSError, ValueError) as error:
                    errors[file] = output.describe(error)
        answers: dict[str, Row] = {}
        if pixels:
            truths = dict(part)
            known = [truths[file] for file in pixels]
            rows = judge.rows(list(pixels), np.stack(list(pixels.values())), known)
            answers = {row["image"]: row for row in rows}
        yield from (answers.get(file) or {"image": file, "error": errors[file]} for file, _ in part)


def _files(paths: Sequence[str], classes: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Each file, those of folders in the order of their names, and the class that its folder is named as."""
    by_name = {str(name): name for name in classes}
    for path in paths:
        found = list(find_images(path)) if os.path.isdir(path) else []
        for file in found:
            inner = os.path.relpath(os.path.dirname(file), path)
            yield file, by_name.get(os.path.basename(inner))
        if not found:
            yield path, None


def _read(path: str, model: Any, invert: bool) -> NDArray[Any]:
    if os.path.isdir(path):
        raise ValueError(f"{path} has no images ({', '.join(SUFFIXES)})")
    return prepared(path, model, invert=invert)


def _table(rows: Sequence[Row], with_truth: bool) -> Iterator[str]:
    """A line for each image: the truth if known, the predicted class, its probability, other classes."""
    if not rows:
        return
    width = max(5, *(len(row["image"]) for row in rows))
    label = max(9, *(len(str(row["predicted"])) for row in rows), *(len(str(row["truth"])) for row in rows))
    truth = f"{'truth':>{label}}  " if with_truth else ""
    then = "  then" if len(rows[0]["top"]) > 1 else ""
    yield f"{'image':<{width}}  {truth}{'predicted':>{label}}  probability{then}"
    for row in rows:
        known = row["truth"] is not None
        truth = f"{row['truth'] if known else '':>{label}}  " if with_truth else ""
        others = "".join(
            f"  {one['class']} {output.percent(one['probability']).strip()}" for one in row["top"][1:]
        )
        wrong = "  wrong" if known and str(row["truth"]) != str(row["predicted"]) else ""
        chance = output.percent(row["probability"])
        yield f"{row['image']:<{width}}  {truth}{row['predicted']!s:>{label}}  {chance:>11}{others}{wrong}"
