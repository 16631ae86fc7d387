"""What commands read: models, and data sets in the model's shape and classes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import datasets
from ..datasets.image_arrays import fit_images, select_classes
from ..inspection.classify import scaled
from ..nn.losses import BCE, LOSSES, BCEWithLogits, CrossEntropy
from . import memory
from .output import note, shape_text, words
from .waiting import waiting

Array = NDArray[Any]


def only(data: datasets.DataSet, wanted: Sequence[Any] | None, source: str) -> datasets.DataSet:
    """A data set with the classes of these names only, in their order; `source` is what messages call it."""
    if wanted is None or [str(name) for name in wanted] == [str(name) for name in data.classes]:
        return data
    numbers = {str(name): number for number, name in enumerate(data.classes)}
    for name in wanted:
        if str(name) not in numbers:
            raise ValueError(f"class {name} has no samples; {source} has {words(data.classes)}")
    chosen = [numbers[str(name)] for name in wanted]
    return datasets.DataSet(*select_classes(data[:4], chosen), [data.classes[number] for number in chosen])


def set_threads(count: int | None) -> None:
    """The number of threads that an option asks for, if it does."""
    import fastconv as fc

    if count is not None:
        fc.set_num_threads(count)


def load_model(path: str) -> tuple[Any, dict[str, Any]]:
    """A classifier of images, and what `train` wrote about it, completed for models saved in other ways."""
    import fastconv as fc

    model = fc.load(path)
    if len(model.input_shape) != 3:
        raise ValueError(f"{path} takes inputs of shape {model.input_shape}, expected images")
    if len(model.output_shape) != 1:
        raise ValueError(f"{path} is no classifier: its outputs have shape {model.output_shape}")
    about = dict(model.metadata) if isinstance(model.metadata, dict) else {}
    outputs = model.output_shape[0]
    loss = LOSSES.get(about["loss"]) if isinstance(about.get("loss"), str) else None
    if loss is None or loss.targets == "numbers":
        loss = CrossEntropy if outputs > 1 else BCE if model.ends_in(fc.Sigmoid) else BCEWithLogits
        about["loss"] = loss.name
    if loss.targets != "labels" and outputs != 1:
        raise ValueError(f"{path} has {outputs} binary outputs, expected one")
    classes = about.get("classes")
    if not isinstance(classes, list) or len(classes) != max(outputs, 2):
        about["classes"] = list(range(max(outputs, 2)))
    return model, about


class Part(NamedTuple):
    """The images of a data set that are looked at: in the model's shape, with their labels.

    `total` is how many the data set has in the model's classes; `trained_on` says for each image whether the
    model saw it in training, None if that is not known.
    """

    source: str
    X: Array
    y: Array
    total: int
    trained_on: NDArray[np.bool_] | None


def part_of(model: Any, about: dict[str, Any], source: str | None, everything: bool = False) -> Part:
    """The held-out images of a data set, or all of them; those of classes that are strange are left out."""
    source = source or about.get("data")
    if not isinstance(source, str):
        raise ValueError("the model does not say what it was trained on: give --data")
    channels, *size = model.input_shape
    with waiting(f"reading {source}"):
        data = datasets.load(source, channels, tuple(size))
    X, y = data.X_test, data.y_test
    labels = _labels_in(about["classes"], data, source)
    total = int(sum((labels[part] >= 0).sum() for part in (data.y_train, data.y_test)))
    if everything:
        X = np.concatenate([fit_images(part, model.input_shape) for part in (data.X_train, X)])
        y = np.concatenate([data.y_train, y])
    chosen = labels[y] >= 0
    if not chosen.any():
        hint = "" if everything else ": --all looks at the others"
        raise ValueError(f"{source} has no held-out images of the model's classes{hint}")
    X, y = X[chosen], labels[y[chosen]]
    if source != about.get("data"):
        note_resizing(data.X_test, model)
    X = fit_images(X, model.input_shape)
    return Part(source, scaled(X, about), y, total, memory.known(about, X))


def _labels_in(classes: Sequence[Any], data: datasets.DataSet, source: str) -> NDArray[np.int64]:
    """The model's number for each class of a data set, -1 for those that it does not know, which are said."""
    numbers = {str(name): number for number, name in enumerate(classes)}
    labels = np.array([numbers.get(str(name), -1) for name in data.classes], dtype=np.int64)
    if (labels < 0).all():
        raise ValueError(f"class {classes[0]} has no samples; {source} has {words(data.classes)}")
    present = np.union1d(data.y_train, data.y_test)
    strange = [data.classes[k] for k in present if labels[k] < 0]
    if strange:
        note(f"images of {words(strange)} are left out: the model knows {words(classes)}")
    return labels


def note_resizing(X: Array, model: Any) -> None:
    """Say that images are scaled, if they must be."""
    if X.shape[1:] != tuple(model.input_shape):
        sizes = f"{shape_text(X.shape[1:])} are made {shape_text(model.input_shape)}"
        note(f"images of {sizes}, the size that the model takes")
