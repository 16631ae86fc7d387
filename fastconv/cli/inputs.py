"""What commands read: models, and data sets in the model's shape and classes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .. import datasets
from ..checks.waiting import waiting
from ..datasets.image_arrays import fit_images, select_classes
from ..datasets.photos import UnreadableImagesError
from ..inspection.classify import aspect_of, scaled
from ..nn.losses import BCE, LOSSES, BCEWithLogits, CrossEntropy
from . import looks, memory
from .output import complain, note, shape_text, words

Array = NDArray[Any]


def read(
    source: str, channels: int | None, size: tuple[int, int] | None, aspect: str, skip_bad: bool
) -> datasets.DataSet:
    """A data set; image files that can't be read are named, a line for each.

    `aspect` ("stretch", "crop", "pad") is what becomes of images of other proportions than `size`.
    """
    with waiting(f"reading {source}") as wait:
        try:
            return datasets.load(
                source,
                channels,
                size,
                crop_to_aspect_ratio=aspect == "crop",
                pad_to_aspect_ratio=aspect == "pad",
                skip_bad=skip_bad,
                progress=wait.count,
            )
        except UnreadableImagesError as error:
            unreadable = error
    for problem in unreadable.named():
        complain(problem)
    count = f"{len(unreadable.problems)} of {unreadable.count} image files"
    way = "" if skip_bad else ": --skip-bad goes on without them"
    raise ValueError(f"{source} has {count} that cannot be read{way}")


def only(data: datasets.DataSet, wanted: Sequence[Any] | None, source: str) -> datasets.DataSet:
    """A data set with the classes of these names only, in their order; `source` is what messages call it."""
    if wanted is None or [str(name) for name in wanted] == [str(name) for name in data.classes]:
        return data
    numbers = {str(name): number for number, name in enumerate(data.classes)}
    for name in wanted:
        if str(name) not in numbers:
            raise ValueError(f"class {name} has no samples; {source} has {words(data.classes)}")
    chosen = [numbers[str(name)] for name in wanted]
    X_train, y_train, X_test, y_test = select_classes(data[:4], chosen)
    files = [
        [file for file, label in zip(names, y, strict=True) if label in chosen] if names else names
        for names, y in ((data.files_train, data.y_train), (data.files_test, data.y_test))
    ]
    names = [data.classes[number] for number in chosen]
    more: dict[str, Any] = {"files_train": files[0], "files_test": files[1], "notes": data.notes}
    if data.X_val is not None and data.y_val is not None and np.isin(data.y_val, chosen).any():
        kept = np.isin(data.y_val, chosen)
        y_val = np.array([chosen.index(label) for label in data.y_val[kept]], dtype=np.int64)
        more |= {"X_val": data.X_val[kept], "y_val": y_val}
    return datasets.DataSet(X_train, y_train, X_test, y_test, names, **more)


def set_threads(count: int | None) -> None:
    """The number of threads that an option asks for, if it does."""
    import fastconv as fc

    if count is not None:
        fc.set_num_threads(count)


def load_model(path: str) -> tuple[Any, dict[str, Any]]:
    """A classifier of images or signals, and what `train` wrote about it, completed for others' models."""
    import fastconv as fc

    with waiting(f"reading {path}"):
        model = fc.load(path)
    if len(model.input_shapes) != 1 or len(model.input_shape) not in (2, 3):
        raise ValueError(f"{path} takes inputs of shape {model.input_shape}, expected images or signals")
    if len(model.output_shapes) != 1 or len(model.output_shape) != 1:
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


def takes_signals(model: Any) -> bool:
    """Whether a model takes signals (C, L), not images."""
    return len(model.input_shape) == 2


def read_signals(source: str, shape: Sequence[int] | None = None) -> datasets.DataSet:
    """A data set of signals, of a shape if one is given."""
    with waiting(f"reading {source}"):
        data = datasets.load_signals(source)
    check_signals(data.X_train, shape, source)
    return data


def check_signals(X: Array, shape: Sequence[int] | None, source: str) -> None:
    """Raise ValueError where signals are not of a model's shape: nothing is made longer or shorter."""
    if shape is not None and X.shape[1:] != tuple(shape):
        raise ValueError(
            f"{source} has signals of shape {X.shape[1:]}, (channels, length), the model takes {tuple(shape)}"
        )


class Part(NamedTuple):
    """The images, or signals, of a data set that are looked at: in the model's shape, with their labels.

    `total` is how many the data set has in the model's classes; `trained_on` says for each image whether the
    model saw it in training, None if that is not known.
    """

    source: str
    X: Array
    y: Array
    total: int
    trained_on: NDArray[np.bool_] | None

    @property
    def things(self) -> str:
        """What its samples are called."""
        return "signals" if self.X.ndim == 3 else "images"


def part_of(
    model: Any,
    about: dict[str, Any],
    source: str | None,
    everything: bool = False,
    skip_bad: bool = False,
) -> Part:
    """The held-out images of a data set, or all of them; those of classes that are strange are left out."""
    source = source or about.get("data")
    if not isinstance(source, str):
        raise ValueError("the model does not say what it was trained on: give --data")
    aspect, signals = aspect_of(about), takes_signals(model)
    if signals:
        data = read_signals(source, model.input_shape)
    else:
        channels, *size = model.input_shape
        data = read(source, channels, (size[0], size[1]), aspect, skip_bad)
    labels = _labels_in(about["classes"], data, source)
    pairs = [(data.X_test, data.y_test), (data.X_train, data.y_train)]
    if data.X_val is not None and data.y_val is not None:
        pairs.append((data.X_val, data.y_val))
    total = int(sum((labels[y] >= 0).sum() for _, y in pairs))
    if everything:
        pairs = [*pairs[1:], pairs[0]]
    else:
        del pairs[1:]
    X = np.concatenate([X if signals else fit_images(X, model.input_shape, aspect) for X, _ in pairs])
    y = np.concatenate([y for _, y in pairs])
    chosen = labels[y] >= 0
    if not chosen.any():
        hint = "" if everything else ": --all looks at the others"
        raise ValueError(
            f"{source} has no held-out {'signals' if signals else 'images'} of the model's classes{hint}"
        )
    X, y = X[chosen], labels[y[chosen]]
    if source != about.get("data") and not signals:
        note_resizing(data.X_test, model)
        for text in [*data.notes, *looks.hints(about, X)]:
            note(text)
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
