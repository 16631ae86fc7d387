"""Proofs on real work: networks are trained as their authors did, and come to what these published.

    python -m fastconv.benchmarks.proofs                  # everything: half an hour on a core
    python -m fastconv.benchmarks.proofs mnist1d --seeds 1

The data come with packages: mnist1d makes its own, sktime ships some series of the UCR archive; the extra
"proofs" installs both. Shapes to segment, and a game of two answers, are drawn here.
"""

import argparse
import functools
import importlib.util
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks.extras import missing, require
from ..formats.atomic import write_bytes
from . import machine

Array = NDArray[Any]


class Proof(NamedTuple):
    """One line of the table: what came out for each seed, and what was to be reached."""

    work: str
    scores: list[float]  # in percent
    goal: str
    reached: bool
    seconds: float  # of the training, all seeds

    def line(self) -> str:
        """The line of the Markdown table."""
        mean, each = np.mean(self.scores), ", ".join(f"{score:.1f}" for score in self.scores)
        mark = "yes" if self.reached else "no"
        return f"| {self.work} | {self.goal} | {mean:.1f} ({each}) | {mark} | {self.seconds:.0f} s |"


class Effort(NamedTuple):
    """How much is trained: as published, or less for a look."""

    seeds: Sequence[int] = (0, 1, 2)
    epochs: int | None = None  # at most


def _proof(work: str, goal: str, good: Callable[[float], bool], of_seed: Any, effort: Effort) -> Proof:
    start = time.perf_counter()
    scores = []
    for seed in effort.seeds:
        scores.append(100 * of_seed(seed))
        print(f"{work}, seed {seed}: {scores[-1]:.1f} %", file=sys.stderr, flush=True)
    return Proof(work, scores, goal, good(float(np.mean(scores))), time.perf_counter() - start)


def _epochs(published: int, effort: Effort) -> int:
    return published if effort.epochs is None else min(published, effort.epochs)


# MNIST-1D


def mnist1d(effort: Effort) -> Iterator[Proof]:
    """The convolutional network of MNIST-1D: Adam at 0.01, batches of 100, 6,000 steps."""
    import fastconv as fc

    data = require("mnist1d.data", "proofs", "MNIST-1D")
    made = data.make_dataset(data.get_dataset_args())
    X, y, X_test, y_test = (made[name] for name in ("x", "y", "x_test", "y_test"))

    def accuracy(seed: int) -> float:
        model = fc.models.mnist1d_cnn(seed=seed)
        trainer = fc.Trainer(model, optimizer=fc.Adam(lr=0.01), seed=seed)
        trainer.fit(X[:, None], y, epochs=_epochs(150, effort), batch_size=100, progress=False)
        return float(trainer.evaluate(X_test[:, None], y_test)["accuracy"])

    yield _proof("MNIST-1D, mnist1d_cnn", "94 ± 1", lambda mean: 93 <= mean <= 95, accuracy, effort)


# Time series of the UCR archive

# Data set -> mean accuracy of ten runs, in percent, that hfawaz/dl-4-tsc publishes.
PUBLISHED = {
    "fcn": {"GunPoint": 100.0, "ItalyPowerDemand": 96.1, "ArrowHead": 84.3},
    "resnet1d": {"GunPoint": 99.1, "ItalyPowerDemand": 96.3, "ArrowHead": 84.5},
}
EPOCHS = {"fcn": 400, "resnet1d": 250}
BATCH_SIZE = 16  # at most


def series(name: str, effort: Effort) -> Iterator[Proof]:
    """FCN and ResNet on a data set, as dl-4-tsc trains them, but for 250 or 400 epochs instead of 2,000.

    Series of mean 0 and deviation 1; Adam at 0.001, halved when the loss has not fallen for 20 epochs (there
    50); the weights of the epoch of least training loss. Batches are of one size as far as that goes: batch
    normalisation learns little good from the two samples that others leave over.
    """
    for network, published in PUBLISHED.items():
        wanted = published[name]
        yield _proof(
            f"{name}, {network}",
            f"{wanted:.1f} ± 1.5",
            lambda mean, wanted=wanted: abs(mean - wanted) <= 1.5,  # type: ignore[misc]
            lambda seed, network=network: _of_series(name, network, seed, effort),
            effort,
        )


def _of_series(name: str, network: str, seed: int, effort: Effort) -> float:
    import fastconv as fc

    (X, y), (X_test, y_test) = (read_series(name, part) for part in ("TRAIN", "TEST"))
    model = getattr(fc.models, network)(len(set(y)), X.shape[1:], seed=seed)
    trainer = fc.Trainer(model, optimizer=fc.Adam(lr=0.001), seed=seed)
    epochs = _epochs(EPOCHS[network], effort)
    callbacks = [
        fc.ReduceLROnPlateau("loss", factor=0.5, patience=20, min_lr=1e-4),
        fc.EarlyStopping("loss", patience=epochs),  # never stops: it puts the best weights back
    ]
    batch_size = math.ceil(len(X) / math.ceil(len(X) / BATCH_SIZE))
    trainer.fit(X, y, epochs=epochs, batch_size=batch_size, callbacks=callbacks, progress=False)
    return float(trainer.evaluate(X_test, y_test)["accuracy"])


def read_series(name: str, part: str) -> tuple[Array, Array]:
    """Series (N, 1, length) of mean 0 and deviation 1, and class numbers, of a data set of the UCR archive.

    Raises
    ------
    ImportError, FileNotFoundError
        If sktime is not installed, or does not ship it.
    """
    found = importlib.util.find_spec("sktime")  # which takes seconds to import
    if found is None or not found.submodule_search_locations:
        raise ImportError(missing("sktime", "proofs", f"the data set {name}"))
    path = Path(found.submodule_search_locations[0], "datasets", "data", name, f"{name}_{part}.ts")
    if not path.is_file():
        raise FileNotFoundError(f"sktime is installed but does not ship {name}")
    text = path.read_text(encoding="utf-8").lower()
    rows = [line.split(":") for line in text.partition("@data")[2].split()]
    X = np.array([row[0].split(",") for row in rows], np.float64)
    X = (X - X.mean(axis=1, keepdims=True)) / X.std(axis=1, keepdims=True)
    classes = text.partition("@classlabel true")[2].splitlines()[0].split()
    return X[:, None].astype(np.float32), np.array([classes.index(row[-1]) for row in rows])


# Shapes to segment


def segmentation(effort: Effort) -> Iterator[Proof]:
    """A small U-Net tells discs from boxes, pixel by pixel, in noisy images of 32x32."""
    import fastconv as fc

    X, y = draw_shapes(6144, np.random.default_rng(0))
    X_test, y_test = draw_shapes(256, np.random.default_rng(1))

    def overlap(seed: int) -> float:
        model = fc.models.unet(3, X.shape[1:], seed=seed, depth=2, width=8)
        epochs = _epochs(10, effort)
        trainer = fc.Trainer(model, optimizer=fc.Adam(lr=fc.CosineDecay(0.005)), seed=seed)
        trainer.fit(X, y, epochs=epochs, batch_size=32, progress=False)
        return intersection_over_union(model.predict(X_test).argmax(axis=1), y_test)

    yield _proof("discs and boxes, unet: IoU", "at least 95", lambda mean: mean >= 95, overlap, effort)


def draw_shapes(count: int, rng: np.random.Generator, side: int = 32) -> tuple[Array, Array]:
    """Images (N, 1, side, side) of bright shapes on a dark ground, and the class of each pixel.

    Classes are 0 of the ground, 1 of discs and 2 of boxes; of shapes that overlap, the later one is seen.
    """
    rows, columns = np.indices((side, side))
    images = rng.uniform(0.0, 0.3, (count, 1, 1)) + np.zeros((side, side))
    classes = np.zeros((count, side, side), np.int64)
    for image, classes_of_image in zip(images, classes, strict=True):
        for kind in rng.integers(1, 3, rng.integers(1, 4)):
            centre, radius = rng.uniform(6, side - 6, 2), rng.uniform(4, 9, 2)
            away = np.abs(rows - centre[0]), np.abs(columns - centre[1])
            disc = np.hypot(*away) <= radius[0]
            box = (away[0] <= radius[0]) & (away[1] <= radius[1])
            seen = disc if kind == 1 else box
            image[seen], classes_of_image[seen] = rng.uniform(0.6, 1.0), kind
    images += 0.05 * rng.standard_normal(images.shape)
    return images[:, None].astype(np.float32), classes


def intersection_over_union(found: Array, wanted: Array) -> float:
    """The pixels that are of a class and found so, as a part of those that are either: the classes' mean.

    Examples
    --------
    >>> round(intersection_over_union(np.array([0, 1, 1, 1]), np.array([0, 0, 1, 1])), 3)  # 1 / 2, 2 / 3
    0.583
    """
    parts = []
    for kind in np.unique(wanted):
        both, either = (found == kind) & (wanted == kind), (found == kind) | (wanted == kind)
        parts.append(both.sum() / either.sum())
    return float(np.mean(parts))


# Two heads


def heads(effort: Effort) -> Iterator[Proof]:
    """The network for Atari learns where to go, and how good its place is, from pictures of a game."""
    import fastconv as fc

    pictures, moves, values = draw_game(512, np.random.default_rng(0))

    def largest_part_left(seed: int) -> float:
        model = fc.models.atari_cnn(3, pictures.shape[1:], seed=seed)
        losses = {"policy": "cross_entropy", "value": "mse"}
        trainer = fc.Trainer(model, losses, fc.Adam(lr=0.0005), metrics=(), seed=seed)
        targets = {"policy": moves, "value": values}
        history = trainer.fit(pictures, targets, epochs=_epochs(20, effort), batch_size=32, progress=False)
        kept = [history[f"{name}_loss"] for name in losses]
        return float(max(values[-1] / values[0] for values in kept))

    work = "two heads, atari_cnn: of the first epoch's losses, the last one's, the larger of both"
    yield _proof(work, "less than 50", lambda mean: mean < 50, largest_part_left, effort)


def draw_game(count: int, rng: np.random.Generator, side: int = 44) -> tuple[Array, Array, Array]:
    """Pictures of a falling ball and a paddle, one after the other: which way to go, and how near it is.

    Moves are 0 for left, 1 for staying and 2 for right; values are 1 below the ball, and less beside it.
    """
    pictures = np.zeros((count, 2, side, side), np.float32)
    balls, paddles = rng.integers(4, side - 4, (2, count))
    heights = rng.integers(2, side - 8, count)
    for picture, ball, paddle, height in zip(pictures, balls, paddles, heights, strict=True):
        for time_step, lower in enumerate((0, 2)):
            picture[time_step, height + lower : height + lower + 2, ball - 1 : ball + 1] = 1
            picture[time_step, -2:, paddle - 4 : paddle + 4] = 1
    away = balls - paddles
    moves = np.where(np.abs(away) <= 2, 1, np.where(away < 0, 0, 2))
    return pictures, moves, 1.0 - np.abs(away)[:, None] / side


PROOFS: dict[str, Callable[[Effort], Iterator[Proof]]] = {
    "heads": heads, "segmentation": segmentation, "mnist1d": mnist1d,
    **{name: functools.partial(series, name) for name in PUBLISHED["fcn"]},
}  # fmt: skip


# The table


def markdown(proofs: Sequence[Proof], effort: Effort) -> str:
    """The table, with the machine and the seeds."""
    facts = ", ".join(f"{name}: {value}" for name, value in machine.facts(("numpy", "numba")).items())
    lines = [
        "| work | to be reached, % | reached: mean (each seed) | goal met | training |",
        "|---|---|---|---|---|",
    ]
    limit = "" if effort.epochs is None else f"; at most {effort.epochs} epochs"
    seeds = ", ".join(map(str, effort.seeds))
    return "\n".join([*lines, *(proof.line() for proof in proofs), "", f"Seeds {seeds}{limit}. {facts}"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and print the table.

    Parameters
    ----------
    arguments : sequence of str, optional
        Of the command line.

    Returns
    -------
    int
        0, or 1 if a goal is not met.
    """
    parser = argparse.ArgumentParser(
        "python -m fastconv.benchmarks.proofs", description="train to what is published, and compare"
    )
    parser.add_argument("proofs", nargs="*", metavar="PROOF", help=f"{', '.join(PROOFS)} (default: all)")
    parser.add_argument(
        "--seeds", type=int, default=3, metavar="N", help="runs of each, from seed 0 (default: 3)"
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="at most so many, for a look")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="(default: 1)")
    parser.add_argument("--save", metavar="FILE", help="write the table to a Markdown file")
    args = parser.parse_args(arguments)
    unknown = [name for name in args.proofs if name not in PROOFS]
    if unknown:
        parser.error(f"PROOF must be one of {', '.join(PROOFS)}, got {unknown[0]!r}")
    for name in ("seeds", "epochs", "threads"):
        if getattr(args, name) is not None and getattr(args, name) < 1:
            parser.error(f"--{name} must be an int >= 1, got {getattr(args, name)}")
    effort = Effort(range(args.seeds), args.epochs)
    try:
        with machine.threads(args.threads):
            proofs = [proof for name in args.proofs or PROOFS for proof in PROOFS[name](effort)]
    except ImportError as error:
        parser.exit(2, f"error: {error}\n")
    text = markdown(proofs, effort)
    print(text)
    if args.save:
        write_bytes(args.save, f"{text}\n".encode())
    return 0 if all(proof.reached for proof in proofs) else 1


if __name__ == "__main__":
    sys.exit(main())
