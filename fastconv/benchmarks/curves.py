"""Training curves at both precisions: whether Winograd's products change how networks learn.

    python -m fastconv.benchmarks.curves                      # ten minutes on a core
    python -m fastconv.benchmarks.curves lenet5 --seeds 2 --chart curves.png

Each network is trained from some seeds, at "high" and at "highest". What differs between the two from one
seed should be less than what differs between two seeds.
"""

import argparse
import itertools
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks.extras import require
from ..formats.atomic import replaced
from ..kernels.precision import PRECISIONS, get_precision, set_precision
from . import machine

Array = NDArray[Any]


class Training(NamedTuple):
    """What is trained: a network for a seed, its data, and how often it sees them."""

    title: str
    make: Callable[[int], Any]
    data: Callable[[], tuple[Array, Array]]
    epochs: int
    lr: float


class Curves(NamedTuple):
    """The losses of each epoch for each seed: (seeds, epochs), by precision."""

    title: str
    losses: Mapping[str, Array]

    @property
    def between_precisions(self) -> float:
        """The mean of how far losses of one seed lie apart, in parts of the loss."""
        high, highest = (self.losses[precision] for precision in PRECISIONS)
        return float(np.mean(_apart(high, highest)))

    @property
    def between_seeds(self) -> float:
        """The same of two seeds at "highest"."""
        pairs = itertools.combinations(self.losses["highest"], 2)
        return float(np.mean([_apart(a, b) for a, b in pairs]))

    @property
    def shift(self) -> float:
        """By how much "high" ends above "highest", the means of all seeds, in parts of the loss."""
        high, highest = (self.losses[precision][:, -1].mean() for precision in PRECISIONS)
        return float((high - highest) / highest)

    def line(self) -> str:
        """The line of the Markdown table."""
        ends = " / ".join(f"{self.losses[precision][:, -1].mean():.4f}" for precision in PRECISIONS)
        apart = f"{self.between_precisions:.2%} | {self.between_seeds:.2%}"
        return f"| {self.title} | {ends} | {apart} | {'yes' if self.agree else 'no'} |"

    @property
    def agree(self) -> bool:
        """Whether the precision matters less than the seed."""
        return self.between_precisions <= self.between_seeds


def _apart(a: Array, b: Array) -> Array:
    return np.asarray(np.abs(a - b) / ((a + b) / 2))


def _mnist() -> tuple[Array, Array]:
    import fastconv as fc

    X, y = fc.datasets.load_mnist_subset()[:2]
    return X, y


def _colours() -> tuple[Array, Array]:
    """Photographs' stand-ins of 3x32x32: in noise, each class has stripes of its own way and width."""
    rng = np.random.default_rng(0)
    y = np.arange(2000) % 10
    rows, columns = np.indices((32, 32))
    ways, widths = np.pi * (y % 5) / 5, np.where(y < 5, 0.5, 1.0)
    at = np.cos(ways)[:, None, None] * rows + np.sin(ways)[:, None, None] * columns
    stripes = np.sin(widths[:, None, None] * at + rng.uniform(0, 2 * np.pi, (2000, 1, 1)))
    colours = rng.normal(size=(2000, 3, 1, 1))
    X = 0.5 * stripes[:, None] * colours + rng.normal(size=(2000, 3, 32, 32))
    return X.astype(np.float32), y


def _lenet(seed: int) -> Any:
    import fastconv as fc

    return fc.models.lenet5(seed=seed)


def _vgg(seed: int) -> Any:
    import fastconv as fc

    layers: list[Any] = []
    for channels in (16, 32):
        layers += [fc.Conv2d(channels, 3, padding=1), fc.ReLU()]
        layers += [fc.Conv2d(channels, 3, padding=1), fc.ReLU(), fc.MaxPool2d(2)]
    return fc.Sequential([*layers, fc.Flatten(), fc.Dense(10)], (1, 28, 28), seed=seed)


def _resnet(seed: int) -> Any:
    import fastconv as fc

    return fc.models.resnet8(seed=seed)


TRAININGS = {
    "lenet5": Training("LeNet-5 on 4,000 digits", _lenet, _mnist, 10, 0.002),
    "vgg": Training("VGG of 16-16-32-32 on 4,000 digits", _vgg, _mnist, 6, 0.001),
    "resnet8": Training("ResNet-8 on 2,000 images of stripes", _resnet, _colours, 5, 0.002),
}


def measure(
    training: Training,
    seeds: Sequence[int],
    epochs: int | None = None,
    told: Callable[[str], None] = lambda text: None,
) -> Curves:
    """Train at both precisions from each seed.

    Parameters
    ----------
    training : Training
    seeds : sequence of int
        Two or more.
    epochs : int, optional
        Instead of the usual number.
    told : callable
        Is given a line for each run.
    """
    X, y = training.data()
    before, losses = get_precision(), {}
    try:
        for precision in PRECISIONS:
            set_precision(precision)
            runs = []
            for seed in seeds:
                runs.append(_run(training, seed, X, y, epochs or training.epochs))
                told(f'{training.title}, "{precision}", seed {seed}: {runs[-1][-1]:.4f}')
            losses[precision] = np.array(runs)
    finally:
        set_precision(before)
    return Curves(training.title, losses)


def _run(training: Training, seed: int, X: Array, y: Array, epochs: int) -> list[float]:
    import fastconv as fc

    model, optimizer = training.make(seed), fc.Adam(lr=training.lr)
    trainer = fc.Trainer(model, optimizer=optimizer, metrics=(), seed=seed)
    return list(trainer.fit(X, y, epochs=epochs, batch_size=64, progress=False)["loss"])


def markdown(found: Sequence[Curves], seeds: Sequence[int]) -> str:
    """The table, with the machine and the seeds."""
    lines = [
        "| training | last loss, high / highest | apart: precisions | apart: seeds | the seed matters more |",
        "|---|---|---|---|---|",
        *(curves.line() for curves in found),
    ]
    facts = ", ".join(f"{name}: {value}" for name, value in machine.facts(("numpy", "numba")).items())
    return "\n".join([*lines, "", f"Seeds {', '.join(map(str, seeds))}. {facts}"])


def chart(path: str, found: Sequence[Curves]) -> None:
    """Draw the curves: a panel for each network, each seed at both precisions.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message names the extra.
    """
    Figure = require("matplotlib.figure", "plot", "a chart").Figure
    figure = Figure(figsize=(4.6 * len(found), 3.6), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False)[0]
    for panel, curves in zip(panels, found, strict=True):
        for precision, style in (("highest", "-"), ("high", ":")):
            for number, losses in enumerate(curves.losses[precision]):
                label = f'"{precision}"' if not number else None
                epochs = range(1, len(losses) + 1)
                width = 1.0 if precision == "highest" else 2.4
                panel.plot(epochs, losses, style, color=f"C{number}", linewidth=width, label=label)
        panel.set_yscale("log")
        panel.set_xticks(range(1, curves.losses["high"].shape[1] + 1))
        panel.set_title(curves.title, size=9)
        panel.set_xlabel("epoch")
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("loss")
    panels[0].legend(fontsize=8, frameon=False)
    with replaced(path) as file:
        figure.savefig(file, dpi=150, format=Path(path).suffix[1:] or "png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and print the table.

    Parameters
    ----------
    arguments : sequence of str, optional
        Of the command line.

    Returns
    -------
    int
        0, or 1 if a precision matters more than a seed.
    """
    parser = argparse.ArgumentParser(
        "python -m fastconv.benchmarks.curves", description="train at both precisions, and compare"
    )
    names = ", ".join(TRAININGS)
    parser.add_argument("trainings", nargs="*", metavar="TRAINING", help=f"{names} (default: all)")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="runs of each (default: 3)")
    parser.add_argument("--epochs", type=int, metavar="N", help="instead of the usual number")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="(default: 1)")
    parser.add_argument("--chart", metavar="FILE", help="draw the curves, in a PNG, SVG or PDF file")
    args = parser.parse_args(arguments)
    unknown = [name for name in args.trainings if name not in TRAININGS]
    if unknown:
        parser.error(f"TRAINING must be one of {names}, got {unknown[0]!r}")
    for name, least in (("seeds", 2), ("epochs", 1), ("threads", 1)):
        if getattr(args, name) is not None and getattr(args, name) < least:
            parser.error(f"--{name} must be an int >= {least}, got {getattr(args, name)}")
    seeds = range(args.seeds)
    try:
        with machine.threads(args.threads):
            chosen = [TRAININGS[name] for name in args.trainings or TRAININGS]
            found = [measure(training, seeds, args.epochs, _tell) for training in chosen]
    except ImportError as error:
        parser.exit(2, f"error: {error}\n")
    print(markdown(found, seeds))
    if args.chart:
        chart(args.chart, found)
    return 0 if all(curves.agree for curves in found) else 1


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
