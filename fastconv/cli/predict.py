"""`fastconv predict`."""

import argparse
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.text import printable
from ..checks.waiting import FIRST_TIME, waiting
from ..datasets.image_arrays import about_pixels, as_images, as_labels, fit_images
from ..datasets.photos import read_in_shape
from ..datasets.signals import as_signals
from ..formats import json_text
from ..formats.image_files import KINDS, SUFFIXES, find_images
from ..formats.npz import read_npy, read_npz
from ..inspection.classification import class_probabilities
from ..inspection.classify import aspect_of, scaled
from . import inputs, launch, looks, options, output

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
    command.set_defaults(on_ranks=True)
    options.add_model(command)
    add = command.add_argument
    add(
        "images",
        metavar="FILE",
        nargs="*",
        help=f"images ({KINDS}), folders of them (what lies in folders named as classes is checked), or .npz "
        "files with images X, and labels y if known, or .npy files",
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
            output.say(line)
        if known:
            output.say(f"{right} of {len(known)} right")
    return 1 if failed else 0


class _Judge:
    """A model, the names of its classes, and how many of them are asked for."""

    def __init__(self, model: Any, about: dict[str, Any], top: int) -> None:
        self.model, self.about, self.top = model, about, top
        self.classes: list[Any] = about["classes"]
        self.aspect = aspect_of(about)

    def rows(self, names: Sequence[str], X: NDArray[Any], truths: Sequence[Any]) -> Iterator[Row]:
        """What the model says about each image."""
        with waiting(f"looking at {len(X)} images, {FIRST_TIME}"):
            chances = class_probabilities(self.model, scaled(X, self.about), launch.ranks())
        order = np.argsort(-chances, axis=1, kind="stable")[:, : self.top]
        for name, truth, chance, best in zip(names, truths, chances, order, strict=True):
            likely = [{"class": self.classes[k], "probability": chance[k]} for k in best]
            answer = {"predicted": likely[0]["class"], "probability": likely[0]["probability"]}
            yield {"image": name, "truth": truth, **answer, "top": likely}


def _rows(args: argparse.Namespace, judge: _Judge) -> Iterator[Row]:
    if not args.images:
        part = inputs.part_of(judge.model, judge.about, args.data, skip_bad=True)
        truths = [judge.classes[label] for label in part.y[: args.count]]
        yield from judge.rows(_numbered(part.source, truths), part.X[: args.count], truths)
    files: list[str] = []
    for path in args.images:
        if not path.lower().endswith((".npz", ".npy")):
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
    signals = inputs.takes_signals(judge.model)
    X, y = _samples_of_npz(path, signals)
    if signals:
        inputs.check_signals(X, judge.model.input_shape, path)
        X = X[:count]
    else:
        inputs.note_resizing(X, judge.model)
        X = fit_images(X[:count], judge.model.input_shape, judge.aspect)
        for text in looks.hints(judge.about, X):
            output.note(text)
    truths: list[Any] = [None] * len(X) if y is None else y[:count].tolist()
    if any(isinstance(name, str) for name in judge.classes):  # labels count them, as in training
        truths = [judge.classes[k] if k is not None and k < len(judge.classes) else k for k in truths]
    yield from judge.rows(_numbered(path, truths), X, truths)


def _samples_of_npz(path: str, signals: bool) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """What an .npz file holds: X or x_test or its only array, and y or y_test if there; or an .npy file."""
    found = {"array": read_npy(path)} if path.lower().endswith(".npy") else read_npz(path)
    arrays = {name.lower(): array for name, array in found.items()}
    for images, labels in (("x_test", "y_test"), ("x", "y")):
        if images in arrays:
            y = arrays.get(labels)
            X = _as_samples(arrays[images], f"{path}: {images}", signals)
            return X, None if y is None else as_labels(y, len(X), f"{path}: {labels}")
    if len(arrays) == 1:
        name, X = arrays.popitem()
        return _as_samples(X, f"{path}: {name}", signals), None
    things, found_names = "signals" if signals else "images", ", ".join(sorted(arrays)) or "nothing"
    raise ValueError(f"{path}: expected {things} X, found {found_names}")


def _as_samples(X: NDArray[Any], name: str, signals: bool) -> NDArray[Any]:
    """Images, or signals, as a network takes them; what may surprise in images is said."""
    if signals:
        return as_signals(X, name)
    for text in about_pixels(X):
        output.note(text)
    return as_images(X, name)


def _rows_of_paths(paths: Sequence[str], judge: _Judge, invert: bool) -> Iterator[Row]:
    """A row for each image file; what can't be read has an error in it."""
    if inputs.takes_signals(judge.model):
        for path in paths:
            yield {"image": path, "error": f"{path} is no .npz or .npy file: the model takes signals"}
        return
    files = list(_files(paths, judge.classes))
    for start in range(0, len(files), FILES_AT_A_TIME):
        part = files[start : start + FILES_AT_A_TIME]
        names = [file for file, _ in part]
        with waiting(f"reading images {start + 1} to {start + len(part)} of {len(files)}") as wait:
            X, problems = read_in_shape(names, judge.model.input_shape, judge.aspect, wait.count)
        for k, name in enumerate(names):
            if os.path.isdir(name):
                problems[k] = f"{name} has no images ({', '.join(SUFFIXES)})"
        good = [k for k in range(len(part)) if k not in problems]
        X = 255 - X[good] if invert else X[good]
        if not start:
            for text in looks.hints(judge.about, X, invertible=not invert):
                output.note(text)
        rows = iter(judge.rows([names[k] for k in good], X, [part[k][1] for k in good]) if good else ())
        for k, name in enumerate(names):
            yield {"image": name, "error": problems[k]} if k in problems else next(rows)


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


def _table(rows: Sequence[Row], with_truth: bool) -> Iterator[str]:
    """A line for each image: the truth if known, the predicted class, its probability, other classes."""
    if not rows:
        return
    rows = [_printable(row) for row in rows]
    width = max(5, *(len(row["image"]) for row in rows))
    label = max(9, *(len(row["predicted"]) for row in rows), *(len(row["truth"]) for row in rows))
    truth = f"{'truth':>{label}}  " if with_truth else ""
    then = "  then" if len(rows[0]["top"]) > 1 else ""
    yield f"{'image':<{width}}  {truth}{'predicted':>{label}}  probability{then}"
    for row in rows:
        truth = f"{row['truth']:>{label}}  " if with_truth else ""
        others = "".join(
            f"  {one['class']} {output.percent(one['probability']).strip()}" for one in row["top"][1:]
        )
        wrong = "  wrong" if row["truth"] not in ("", row["predicted"]) else ""
        chance = output.percent(row["probability"])
        yield f"{row['image']:<{width}}  {truth}{row['predicted']:>{label}}  {chance:>11}{others}{wrong}"


def _printable(row: Row) -> Row:
    """The names in it as a terminal may show them; "" for a truth that is not known."""
    truth = "" if row["truth"] is None else printable(str(row["truth"]))
    top = [{**one, "class": printable(str(one["class"]))} for one in row["top"]]
    return {**row, "image": printable(row["image"]), "truth": truth, "predicted": top[0]["class"], "top": top}
