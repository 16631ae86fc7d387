"""What commands read: models, and data sets in the model's shape and classes."""

import sys
from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from .. import datasets
from ..datasets.image_arrays import fit_images, select_classes
from ..nn.losses import BCE, LOSSES, BCEWithLogits, CrossEntropy
from .output import shape_text, words

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


def held_out(model: Any, about: dict[str, Any], source: str | None) -> tuple[str, Array, Array]:
    """The name of a data set, its held-out images in the model's shape, and their labels."""
    source = source or about.get("data")
    if not isinstance(source, str):
        raise ValueError("the model does not say what it was trained on: give --data")
    channels, *size = model.input_shape
    data = only(datasets.load(source, channels, tuple(size)), about["classes"], source)
    if source != about.get("data"):
        note_resizing(data.X_test, model)
    return source, fit_images(data.X_test, model.input_shape), data.y_test


def note_resizing(X: Array, model: Any) -> None:
    """Say that images are scaled, if they must be."""
    if X.shape[1:] != tuple(model.input_shape):
        sizes = f"{shape_text(X.shape[1:])} are made {shape_text(model.input_shape)}"
        print(f"note: images of {sizes}, the size that the model takes", file=sys.stderr)
