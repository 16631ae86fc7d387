"""One page about a training run, with everything in it: no file, script or font from elsewhere."""

import io
import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import plots, simd
from ..checks.environment import cpu_name, version_of
from ..checks.extras import require
from ..checks.text import printable
from ..engine.inputs import samples_as_given
from ..engine.threads import get_num_threads
from ..formats import json_text
from ..formats.atomic import replaced
from ..inspection.classification import class_labels, class_probabilities, worst
from ..models.model import Model
from ..nn import summary
from ..nn.conv import Conv2d
from ..plots.results import picture
from ..training import metrics
from ..training.progress import format_seconds
from .html import code, columns, facts, figure, page, section, table, text

Array = NDArray[Any]
Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]
MOST_FILTERS = 4  # convolutions whose filters are drawn
MOST_MISTAKES = 18

# Text and lines of the charts on a light and on a dark page.
INKS = ("#1f2937", "#d8dee9")


def write_report(
    path: str | os.PathLike[str],
    model: Model,
    history: Mapping[str, Sequence[float]],
    X: ArrayLike,
    y: ArrayLike,
    classes: Sequence[Any] | None = None,
    title: str = "Training report",
    command: str = "",
    about: Mapping[str, Any] | None = None,
    files: Sequence[str] = (),
    run: Mapping[str, Any] | None = None,
) -> None:
    """Write a page of HTML: figures, curves, layers, confusions, filters, and the worst mistakes.

    Parameters
    ----------
    path : str or Path
        The file; it is replaced only once the new one is complete.
    model : Model
        A trained classifier.
    history : dict
        What `Trainer.fit` returned; without "val_" figures the curves are those of training alone.
    X, y : ndarrays
        Samples that it was not trained on, and their class numbers.
    classes : list, optional
        The classes' names.
    title, command : str
        The heading, and the command line that made the run.
    about : dict, optional
        Further facts, name -> value: data, optimizer, learning rate.
    files : sequence of str, optional
        The path of each image, to stand below those that are shown.
    run : dict, optional
        Settings and figures, which `compare` reads from the page.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If `X` or `y` does not fit the network, or it is no classifier.
    OSError
        If the file can't be written.

    Examples
    --------
    >>> import fastconv as fc, tempfile, os
    >>> from fastconv.cli.report import write_report
    >>> X, y = fc.datasets.load_digits()[2:]
    >>> path = os.path.join(tempfile.mkdtemp(), "report.html")
    >>> write_report(path, fc.models.lenet_digits(), {"loss": [2.3]}, X, y)
    >>> os.path.getsize(path) > 10_000
    True
    """
    X = samples_as_given(X, model.input_shape)
    probabilities = class_probabilities(model, X)
    labels = class_labels(y, probabilities)
    if not len(labels):
        raise ValueError("`X` must hold at least one sample, got none")
    names = [printable(str(name)) for name in (range(probabilities.shape[1]) if classes is None else classes)]
    if len(names) != probabilities.shape[1]:
        raise ValueError(f"`classes` must have {probabilities.shape[1]} names, got {len(names)}")
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(axis=1), len(names))
    results = columns(
        [
            section("Confusion matrix", _confusion(confusion, labels, probabilities, names)),
            section("Classes", _classes(confusion, names)),
        ]
    )
    parts = [
        code(command) if command else "",
        section("Results", _results(model, history, probabilities, labels)),
        section("Learning curves", _curves(history)),
        results,
        section("Worst mistakes", _mistakes(X, labels, probabilities, names, files)),
        section("Filters", _filters(model)),
        section("Network", _network(model)),
        section("How it was made", _origin(about or {})),
    ]
    with replaced(Path(path)) as file:
        file.write(page(title, parts, None if run is None else json_text.to_json(run)).encode())


def _results(
    model: Model, history: Mapping[str, Sequence[float]], probabilities: Probabilities, labels: Labels
) -> str:
    right = int((probabilities.argmax(axis=1) == labels).sum())
    truth = np.maximum(probabilities[np.arange(len(labels)), labels], np.finfo(float).tiny)
    figures = [
        ("held-out accuracy", f"{right / len(labels):.2%}"),
        ("right answers", f"{right:,} of {len(labels):,}"),
        ("held-out loss", f"{-np.log(truth).mean():.4f}"),
        ("parameters", f"{model.num_parameters:,}"),
        ("epochs", f"{len(history['loss'])}" if history.get("loss") else "0"),
    ]
    if history.get("seconds"):
        figures.append(("training time", format_seconds(sum(history["seconds"]))))
    return facts(figures, "numbers")


def _curves(history: Mapping[str, Sequence[float]]) -> str:
    charts = []
    for name in plots.results.curve_names(history):
        said = f"{name.replace('_', ' ')} by epoch: training {_ends(history[name])}"
        if history.get(f"val_{name}"):
            said += f", validation {_ends(history[f'val_{name}'])}"
        charts.append(_chart(partial(plots.history, history, names=name), (4.6, 3.1), said))
    rates = history.get("learning_rate", ())
    if len(set(rates)) > 1:
        draw = partial(plots.history, history, names="learning_rate")
        charts.append(_chart(draw, (4.6, 3.1), f"learning rate by epoch: {_ends(rates)}"))
    return columns(charts, "charts")


def _ends(values: Sequence[float]) -> str:
    return f"from {values[0]:.4g} to {values[-1]:.4g}"


def _confusion(
    confusion: NDArray[np.int64], labels: Labels, probabilities: Probabilities, names: Sequence[str]
) -> str:
    wrong = int(confusion.sum() - confusion.trace())
    said = f"confusion matrix of {len(names)} classes: {wrong} of {confusion.sum()} images off the diagonal"
    predicted = probabilities.argmax(axis=1)
    draw = partial(plots.confusion_matrix, labels, predicted, classes=names)
    side = min(2.0 + 0.35 * len(names), 4.6)
    return columns([_chart(draw, (side + 0.2, side - 0.2), said)], "charts")


def _classes(confusion: NDArray[np.int64], names: Sequence[str]) -> str:
    precision, recall = metrics.precision_recall(confusion)
    rows = [
        (name, f"{count:,}", _percent(p), _percent(r), _percent(2 * p * r / (p + r) if p + r else 0.0))
        for name, count, p, r in zip(names, confusion.sum(axis=1), precision, recall, strict=True)
    ]
    return table("Classes", ("class", "images", "precision", "recall", "F1"), rows)


def _percent(value: float) -> str:
    return f"{value:.1%}" if np.isfinite(value) else "-"


def _mistakes(
    X: Array, labels: Labels, probabilities: Probabilities, names: Sequence[str], files: Sequence[str]
) -> str:
    if X.ndim != 4:
        return ""
    chosen = worst(probabilities, labels, MOST_MISTAKES)
    images = []
    for k in chosen:
        said = int(probabilities[k].argmax())
        caption = f"true {names[labels[k]]}\nsaid {names[said]}, {probabilities[k, said]:.0%}"
        if len(files):
            caption += f"\n{printable(str(files[k]))}"
        alt = f"image {k} of class {names[labels[k]]}, taken for {names[said]}"
        images.append(figure(_image(X[k]), (X.shape[3], X.shape[2]), alt, caption))
    return columns(images, "images") or text(f"None in {len(labels):,} images.")


def _filters(model: Model) -> str:
    convolutions = [node for node in model.nodes if isinstance(node.layer, Conv2d)]
    charts = [
        _chart(
            partial(plots.filters, model, node.name),
            (4.8, 3.9),
            f"filters of layer {node.name}, {node.layer.call()}",
        )
        for node in convolutions[:MOST_FILTERS]
    ]
    return columns(charts, "charts")


def _network(model: Model) -> str:
    rows = [
        (
            row.name,
            _shape(row.output_shape),
            f"{row.parameters or 0:,}",
            f"{row.products:,}",
            ", ".join(row.readers),
        )
        for row in summary.rows(model)
    ]
    rows.append(("total", "", f"{model.num_parameters:,}", f"{model.products():,}", ""))
    columns = 5 if any(row[-1] for row in rows) else 4
    return table("Network", summary.HEAD[:columns], [row[:columns] for row in rows], left=(0, 1, 4))


def _shape(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))


def _origin(about: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version_of(name)}" for name in ("fastconv", "numpy", "numba"))
    threads = get_num_threads()
    lines = [
        *((str(name), str(value)) for name, value in about.items()),
        ("date", time.strftime("%Y-%m-%d %H:%M")),
        ("versions", f"{versions}, python {platform.python_version()}"),
        ("machine", f"{cpu_name()}, {os.cpu_count()} cores, {simd.HOST.name}, {platform.system()}"),
        ("threads", str(threads)),
    ]
    return facts(lines)


def _chart(draw: Callable[..., Any], size: tuple[float, float], alt: str) -> str:
    """What `draw(ax=...)` draws, for a light and for a dark page."""
    light, dark = (_drawn(draw, size, ink) for ink in INKS)
    pixels = (round(96 * size[0]), round(96 * size[1]))
    return figure(light, pixels, alt, dark_png=dark)


def _drawn(draw: Callable[..., Any], size: tuple[float, float], ink: str) -> bytes:
    matplotlib = require("matplotlib", "plot", "a report")
    figures = require("matplotlib.figure", "plot", "a report")
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    file = io.BytesIO()
    with matplotlib.rc_context({"font.size": 10, **dict.fromkeys(inked, ink)}):
        drawing = figures.Figure(figsize=size, layout="constrained")
        draw(ax=drawing.subplots())
        drawing.savefig(file, format="png", dpi=192, transparent=True)
    return file.getvalue()


def _image(image: Array) -> bytes:
    images = require("matplotlib.image", "plot", "a report")
    file = io.BytesIO()
    images.imsave(file, picture(image), cmap="gray", vmin=0, vmax=1, format="png")
    return file.getvalue()
