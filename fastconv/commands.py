"""What each command of the command line does. Each takes its parsed arguments and returns an exit code."""

import argparse
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv import datasets, metrics, optimizers, progress
from fastconv.extras import require
from fastconv.files import read_npz
from fastconv.schedules import CosineDecay

REFERENCE_SHAPE = (1, 6, 6)
MOST_CLASSES = 10_000


@dataclass(frozen=True)
class Recipe:
    """How a network is trained unless told otherwise."""

    epochs: int
    batch_size: int
    lr: float


# Chosen among a few dozen by the worst held-out accuracy over 8 seeds; lenet on digits was then tried on
# six other splits (worst 98.1 %, mean 98.9 %).
RECIPES = {
    ("lenet", "digits"): Recipe(epochs=20, batch_size=16, lr=0.005),
    ("lenet", "mnist-subset"): Recipe(epochs=15, batch_size=32, lr=0.003),
    ("vgg", "digits"): Recipe(epochs=10, batch_size=32, lr=0.002),
    ("vgg", "mnist-subset"): Recipe(epochs=4, batch_size=32, lr=0.002),
    ("reference", "digits"): Recipe(epochs=60, batch_size=16, lr=0.03),
    ("reference", "mnist-subset"): Recipe(epochs=30, batch_size=16, lr=0.03),
}
OTHER_DATA = {
    "lenet": Recipe(epochs=10, batch_size=64, lr=0.002),
    "vgg": Recipe(epochs=5, batch_size=64, lr=0.002),
    "reference": Recipe(epochs=10, batch_size=32, lr=0.03),
}
# What is best for SGD with momentum is 8 (digits) to 13 (MNIST) times what is best for Adam; 20 diverges.
SGD_LR_FACTOR = 10
OPTIMIZERS: dict[str, Callable[[Any], optimizers.Optimizer]] = {
    "adam": lambda lr: optimizers.Adam(lr=lr),
    "adamw": lambda lr: optimizers.AdamW(lr=lr),
    "sgd": lambda lr: optimizers.SGD(lr=lr, momentum=0.9),
}


def _load_data(source: str, classes: list[int] | None) -> tuple[datasets.Arrays, list[int]]:
    """The data set, split always alike, and the class numbers that its labels 0, 1, ... stand for."""
    arrays = datasets.load(source)
    if classes is None:
        largest = int(max(arrays[1].max(), arrays[3].max()))
        if largest >= MOST_CLASSES:
            raise ValueError(f"{source} has labels up to {largest}, expected class numbers from 0")
        return arrays, list(range(largest + 1))
    return datasets.select_classes(arrays, classes), classes


def _shape(image_shape: Sequence[int]) -> str:
    return "x".join(str(size) for size in image_shape)


def train(args: argparse.Namespace) -> int:
    """`fastconv train`."""
    import fastconv as fc

    _check_output(args.output)
    if args.report is not None:
        _check_output(args.report, "--report", ".html")
        require("matplotlib", "plot", "--report")
    if args.threads is not None:
        fc.set_num_threads(args.threads)
    say: Callable[[str], None] = (lambda text: None) if args.quiet else print
    binary = args.model == "reference"
    if binary and args.digits is not None and len(args.digits) != 2:
        raise ValueError(f"--model reference tells two classes apart, got --digits {_words(args.digits)}")
    arrays, classes = _load_data(args.data, args.digits or ([0, 1] if binary else None))
    if len(classes) < 2:
        raise ValueError(f"{args.data} with one class only: there is nothing to tell apart")
    shape = REFERENCE_SHAPE if binary else arrays[0].shape[1:]
    X_train, X_test = (datasets.fit_images(X, shape) for X in (arrays[0], arrays[2]))
    y_train, y_test = arrays[1], arrays[3]
    loss = "bce" if binary else "cross_entropy"
    recipe = RECIPES.get((args.model, args.data), OTHER_DATA[args.model])
    epochs, batch_size = args.epochs or recipe.epochs, args.batch_size or recipe.batch_size
    lr = args.lr or recipe.lr * (SGD_LR_FACTOR if args.optimizer == "sgd" else 1)

    say(f"data   {args.data}: {len(X_train)} training and {len(X_test)} held-out images of {_shape(shape)}")
    say(f"       classes {_words(classes)}")
    optimizer = OPTIMIZERS[args.optimizer](CosineDecay(lr))
    seed = _live_start(X_train, y_train, batch_size, optimizer, args) if binary else args.seed
    model = build_model(args.model, shape, len(classes), args.dtype, seed)
    say(f"model  {args.model}: {model.num_parameters} parameters, {args.dtype}, {_threads(fc)}")
    say(f"       {loss}, {args.optimizer}, learning rate {lr:g}, batches of {batch_size}")
    # Held-out errors fall by a third on digits, by a tenth on mnist-subset. A pixel of 8 would be too far.
    augment = fc.Augment(shift=min(shape[1:]) // 14, rotation=10, noise=0.1) if args.augment else None
    if augment is not None:
        say(f"       {augment}")
    trainer = fc.Trainer(model, loss=loss, optimizer=optimizer, seed=args.seed)
    shown = progress.Silent() if args.quiet else progress.Lines() if args.no_progress else True
    history = trainer.fit(
        X_train,
        y_train,
        epochs=epochs,
        batch_size=batch_size,
        validation_data=(X_test, y_test),
        progress=progress.resolve(shown),
        augment=augment,
    )
    result = trainer.evaluate(X_test, y_test)
    if not math.isfinite(result["loss"]):
        raise ArithmeticError(f"training diverged, nothing saved: try --lr {lr / 10:g}")
    metadata = {
        "data": args.data,
        "seed": args.seed,
        "classes": classes,
        "loss": loss,
        "network": args.model,
        "held_out": result,
    }
    model.save(args.output, metadata=metadata)
    say(_held_out_line(result, len(X_test)))
    if args.report is not None:
        _write_report(args, model, history, X_test, y_test, classes, (loss, lr, batch_size))
    say(f"saved {args.output}{f' and {args.report}' if args.report else ''}; next:")
    say(f"  python -m fastconv evaluate {args.output}")
    say(f"  python -m fastconv predict {args.output}")
    return 0


def _live_start(
    X: NDArray[Any],
    y: NDArray[Any],
    batch_size: int,
    optimizer: optimizers.Optimizer,
    args: argparse.Namespace,
) -> int:
    """The seed, of a few, whose reference network learns fastest.

    Its single filter is dead, and learns nothing, if it starts negative on all images: 3 seeds of 8 on
    digits 0 and 1. Tried for a moment on the training images, 8 starts were enough for each of 5 pairs of
    digits, and take 0.01 s.
    """
    import fastconv as fc

    def loss_after_a_moment(seed: int) -> float:
        model = build_model(args.model, REFERENCE_SHAPE, 2, args.dtype, seed)
        trainer = fc.Trainer(model, loss="bce", optimizer=optimizer, seed=args.seed)
        return float(trainer.fit(X, y, epochs=3, batch_size=batch_size, progress=False)["loss"][-1])

    return min(range(8 * args.seed, 8 * args.seed + 8), key=loss_after_a_moment)


def _write_report(
    args: argparse.Namespace,
    model: Any,
    history: Any,
    X: NDArray[Any],
    y: NDArray[Any],
    classes: Sequence[int],
    settings: tuple[str, float, int],
) -> None:
    from fastconv.report import write_report

    loss, lr, batch_size = settings
    about = {
        "data": f"{args.data}, {len(X)} held-out images",
        "training": f"{loss}, {args.optimizer}, learning rate {lr:g}, batches of {batch_size}",
        "seed": args.seed,
        "saved as": args.output,
    }
    write_report(
        args.report, model, history, X, y, classes, f"{args.model} on {args.data}", args.command, about
    )


def build_model(name: str, input_shape: Sequence[int], num_classes: int, dtype: str, seed: int) -> Any:
    """The network that `--model` names, for images of a shape."""
    from fastconv import models

    common: dict[str, Any] = {"dtype": dtype, "seed": seed}
    shape = tuple(input_shape)
    if name == "reference":
        return models.reference_cnn(**common)
    if name == "vgg":
        return models.vgg_small(num_classes, input_shape=shape, **common)
    if min(shape[1:]) < 16:
        return models.lenet_digits(num_classes, input_shape=shape, **common)
    return models.lenet5(num_classes, input_shape=shape, **common)


def _check_output(path: str, option: str = "--output", suffix: str = ".npz") -> None:
    """Refuse, before the work and not after it, a file that cannot be written."""
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise ValueError(f"{option} {path} is a folder, expected a file name")
    if not path.endswith(suffix):
        raise ValueError(f"{option} {path} must end in {suffix}")
    if not os.path.isdir(folder):
        raise ValueError(f"{option} {path}: there is no folder {folder}")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise ValueError(f"{option} {path} cannot be written")


def _words(values: Sequence[Any]) -> str:
    words = [str(value) for value in values]
    return " ".join(words if len(words) <= 20 else [*words[:18], "...", words[-1]])


def _threads(fc: Any) -> str:
    count = fc.get_num_threads()
    return f"{count} thread{'' if count == 1 else 's'}"


def _held_out_line(result: dict[str, float], count: int) -> str:
    right = round(result["accuracy"] * count)
    return f"held-out accuracy {result['accuracy']:.2%} ({right} of {count}), loss {result['loss']:.4f}"


def evaluate(args: argparse.Namespace) -> int:
    """`fastconv evaluate`."""
    import fastconv as fc

    model, about = _load_model(args)
    X, y = _held_out(model, about, args.data)
    result = fc.Trainer(model, loss=about["loss"]).evaluate(X, y)
    print(f"{args.model} on {args.data or about['data']}: {len(X)} held-out images")
    print(_held_out_line(result, len(X)))
    predicted = metrics.predicted_classes(model.predict(X), about["loss"])
    confusion = metrics.confusion_matrix(y, predicted, len(about["classes"]))
    print()
    for line in _class_table(confusion, about["classes"]):
        print(line)
    return 0


def _load_model(args: argparse.Namespace) -> tuple[Any, dict[str, Any]]:
    """The model and what `train` wrote about it, completed for models saved in other ways."""
    import fastconv as fc

    if args.threads is not None:
        fc.set_num_threads(args.threads)
    model = fc.load(args.model)
    about = dict(getattr(model, "metadata", None) or {})
    if len(model.output_shape) != 1:
        raise ValueError(f"{args.model} is no classifier: its outputs have shape {model.output_shape}")
    outputs = model.output_shape[0]
    if about.get("loss") not in ("bce", "bce_with_logits", "cross_entropy"):
        about["loss"] = "cross_entropy" if outputs > 1 else "bce"
    if about["loss"] != "cross_entropy" and outputs != 1:
        raise ValueError(f"{args.model} has {outputs} binary outputs, expected one")
    about.setdefault("classes", list(range(max(outputs, 2))))
    return model, about


def _held_out(model: Any, about: dict[str, Any], source: str | None) -> tuple[NDArray[Any], NDArray[Any]]:
    """Held-out images in the model's shape, and their labels."""
    source = source or about.get("data")
    if source is None:
        raise ValueError("the model does not say what it was trained on: give --data")
    arrays, classes = _load_data(source, None)
    wanted = about["classes"]
    if classes != wanted:
        extra = sorted(set(wanted) - set(classes))
        if extra:
            raise ValueError(f"{source} has no images of class {extra[0]}, which the model knows")
        arrays = datasets.select_classes(arrays, wanted)
    if source != about.get("data"):
        _note_resizing(arrays[2], model)
    return datasets.fit_images(arrays[2], model.input_shape), arrays[3]


def _note_resizing(X: NDArray[Any], model: Any) -> None:
    if X.shape[1:] != tuple(model.input_shape):
        sizes = f"{_shape(X.shape[1:])} are made {_shape(model.input_shape)}"
        print(f"note: images of {sizes}, the size that the model takes", file=sys.stderr)


def _class_table(confusion: NDArray[np.int64], classes: Sequence[Any]) -> list[str]:
    """Images, recall, precision and the most frequent mistake of each class."""
    precision, recall = metrics.precision_recall(confusion)
    width = max(5, *(len(str(name)) for name in classes))
    lines = [f"{'class':>{width}}  images  recall  precision  most often mistaken for"]
    for i, name in enumerate(classes):
        mistakes = confusion[i].copy()
        mistakes[i] = 0
        worst = int(mistakes.argmax())
        mistake = f"{classes[worst]} ({mistakes[worst]} times)" if mistakes[worst] else "-"
        lines.append(
            f"{name!s:>{width}}  {confusion[i].sum():>6}  {_percent(recall[i])}  "
            f"{_percent(precision[i]):>9}  {mistake.replace('(1 times)', '(once)')}"
        )
    return lines


def _percent(value: float) -> str:
    return f"{value:6.1%}" if math.isfinite(value) else "     -"


def predict(args: argparse.Namespace) -> int:
    """`fastconv predict`."""
    if args.images is not None and args.data is not None:
        raise ValueError("give either FILE or --data, not both")
    model, about = _load_model(args)
    y: NDArray[Any] | None
    if args.images is None:
        X, y = _held_out(model, about, args.data)
        names = np.array([str(name) for name in about["classes"]])
        truth = list(names[y[: args.count]])
    else:
        X, y = _images_of_file(args.images)
        _note_resizing(X, model)
        X = datasets.fit_images(X, model.input_shape)
        truth = [] if y is None else [str(label) for label in y[: args.count]]
    X = X[: args.count]
    for line in _prediction_table(model.predict(X), truth, about):
        print(line)
    return 0


def _images_of_file(path: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The images of an .npz file, X or x_test or its only array, and y or y_test if there."""
    arrays = {name.lower(): array for name, array in read_npz(path).items()}
    for images, labels in (("x_test", "y_test"), ("x", "y")):
        if images in arrays:
            y = arrays.get(labels)
            X = datasets.as_images(arrays[images], f"{path}: {images}")
            return X, None if y is None else datasets.as_labels(y, len(X), f"{path}: {labels}")
    if len(arrays) == 1:
        name, X = arrays.popitem()
        return datasets.as_images(X, f"{path}: {name}"), None
    raise ValueError(f"{path}: expected images X, found {', '.join(sorted(arrays)) or 'nothing'}")


def _prediction_table(outputs: NDArray[Any], truth: Sequence[str], about: dict[str, Any]) -> list[str]:
    """One line an image: the truth if known, the predicted class and its probability."""
    predicted = metrics.predicted_classes(outputs, about["loss"])
    chance = probabilities(outputs, about["loss"])[np.arange(len(predicted)), predicted]
    names = [str(about["classes"][i]) for i in predicted]
    lines = [f"image  {'truth  ' if truth else ''}predicted  probability"]
    for i, name in enumerate(names):
        known = f"{truth[i]:>5}  " if truth else ""
        wrong = "  wrong" if truth and truth[i] != name else ""
        lines.append(f"{i:>5}  {known}{name:>9}  {chance[i]:>11.1%}{wrong}")
    if truth:
        lines.append(f"{sum(t == name for t, name in zip(truth, names, strict=True))} of {len(names)} right")
    return lines


def probabilities(outputs: NDArray[Any], loss: str) -> NDArray[np.float64]:
    """Outputs of a classifier as a probability for each class, shape (N, classes)."""
    z = np.asarray(outputs, dtype=np.float64)
    if loss == "cross_entropy":
        powers = np.exp(z - z.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    yes = z.reshape(len(z))
    if loss == "bce_with_logits":
        yes = np.exp(-np.logaddexp(0, -yes))
    return np.stack([1 - yes, yes], axis=1)


def bench(args: argparse.Namespace) -> int:
    """`fastconv bench`."""
    from fastconv.benchmarks import table

    code = table.run(
        compare=tuple(args.compare),
        quick=args.quick,
        save=args.save,
        json=args.json,
        threads=args.threads,
        update_readme=args.update_readme,
        chart=args.chart,
        with_goals=not args.no_goals,
    )
    return int(code)


def info(args: argparse.Namespace) -> int:
    """`fastconv info`."""
    from fastconv.info import lines

    for line in lines():
        print(line)
    return 0
