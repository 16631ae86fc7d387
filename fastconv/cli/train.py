"""`fastconv train`."""

import argparse
import contextlib
import math
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from ..checks.extras import require
from ..checks.waiting import FIRST_TIME, waiting
from ..datasets import DataSet
from ..datasets.sources import LOADERS
from ..formats import json_text, model_file
from ..inspection.classify import BYTE_SCALE
from ..nn.losses import LossName
from ..nn.schedules import Warmup
from ..training import callbacks, progress
from . import inputs, kept, launch, looks, memory, options, output, training_data, training_results
from .recipes import IMAGES, NETWORKS, OPTIMIZERS, SCHEDULES, SIGNALS, Recipe, build_model
from .training_plan import Plan, plan_for

EXAMPLES = """\
train
train --data mnist-subset --epochs 5
train --data pets/ --image-size 32 --early-stopping 3 -o pets.npz
train --model reference --digits 3 8 -o three-8.npz
train --augment --report report.html"""


_MODEL_HELP = (
    f"the network: {', '.join((*NETWORKS, *IMAGES))}, or of signals (time series, in an .npz file with X of "
    f"shape (N, L) or (N, C, L)) {', '.join(SIGNALS)} (default: lenet)"
)
_OF_IMAGES = ("image_size", "grey", "crop", "pad", "augment", "flip", "report")  # options


def add_to(commands: Any) -> None:
    """Describe the options."""
    command = options.add_command(commands, "train", run, "train a network on images and save it", EXAMPLES)
    command.set_defaults(on_ranks=True)
    whole, positive = options.number(int, 1), options.number(float, 0, above=True)
    data = command.add_argument_group("data and network")
    add = data.add_argument
    add("--data", default="digits", metavar="DATA", help=f"{options.DATA_HELP} (default: digits)")
    add("--classes", "--digits", nargs="+", metavar="NAME", help="only these; reference takes two")
    add("--image-size", type=whole, metavar="N", help="scale the images to N x N")
    add("--grey", action="store_true", help="turn colours grey")
    sides = data.add_mutually_exclusive_group()
    sides.add_argument("--crop", action="store_true", help="cut off the sides of images that are no squares")
    sides.add_argument("--pad", action="store_true", help="put black at their sides (default: squeeze them)")
    options.add_skip_bad(data)
    add("--model", default="lenet", choices=(*NETWORKS, *IMAGES, *SIGNALS), metavar="NAME", help=_MODEL_HELP)
    add("--dtype", default="float32", choices=("float32", "float64"), help="(default: float32)")
    add(
        "--seed",
        type=options.number(int, 0),
        default=0,
        metavar="N",
        help="of weights and order (default: 0)",
    )
    training = command.add_argument_group("training (defaults by data and network)")
    add = training.add_argument
    add("--epochs", type=whole, metavar="N", help="passes over the data (default: until nothing improves)")
    add("--batch-size", type=whole, metavar="N", help="images in a step")
    add("--lr", type=positive, metavar="X", help="the largest learning rate")
    add(
        "--schedule",
        default="cosine",
        choices=tuple(SCHEDULES),
        help="of the learning rate (default: cosine)",
    )
    add(
        "--optimizer", default="adam", choices=tuple(OPTIMIZERS), help="(default: adam; sgd has momentum 0.9)"
    )
    add("--warmup", type=whole, metavar="N", help="let the learning rate rise over the first N steps")
    add("--accumulate", type=whole, default=1, metavar="N", help="make one step of N batches (default: 1)")
    add(
        "--ema",
        type=options.number(float, 0, 1),
        nargs="?",
        const=0.999,
        metavar="X",
        help="validate and save a running mean of the weights, which keeps the part X (0.999) at each step",
    )
    split = options.number(float, 0, 1)
    add("--validation-split", type=split, metavar="X", help="validate on this part of the training images")
    add("--early-stopping", type=whole, metavar="N", help="stop after N epochs without a better val_loss")
    add("--save-best", action="store_true", help="keep the weights of the epoch with the best val_loss")
    add(
        "--augment",
        action=argparse.BooleanOptionalAction,
        help="turn and shift each image a little and add noise, anew each time (default: for few images)",
    )
    add(
        "--flip",
        action=argparse.BooleanOptionalAction,
        help="exchange left and right of every other image (default: of few photos in colours)",
    )
    options.add_threads(training)
    add = command.add_argument_group("files and output").add_argument
    default = options.DEFAULT_MODEL
    add("--output", "-o", default=default, metavar="FILE", help=f"the model (default: {default})")
    add("--checkpoint", metavar="FILE", help="written after every epoch, for --resume")
    add("--resume", action="store_true", help="go on from the checkpoint, if it is there")
    add("--report", metavar="FILE", help="also a page about the run, as one .html file")
    add("--log", metavar="FILE", help="a CSV file with the figures of every epoch")
    add("--quiet", "-q", action="store_true", help="print nothing but errors")
    add("--no-progress", action="store_true", help="no moving bar, only a line for each epoch")
    add("--json", action="store_true", help="print the results as JSON, all else on standard error")


def run(args: argparse.Namespace) -> int:
    """Train, save, and say how well it went."""
    binary = args.model == "reference"
    if args.resume and args.checkpoint is None:
        args.refuse("--resume needs --checkpoint, the file to go on from")
    if binary and args.classes is not None and len(args.classes) != 2:
        args.refuse(f"--model reference tells two classes apart, got {output.words(args.classes)}")
    if binary and args.image_size is not None:
        args.refuse("--model reference takes 6x6 images, no --image-size")
    if args.model in SIGNALS:
        if args.data in LOADERS:
            args.refuse(f"--model {args.model} takes signals: give --data, an .npz file of them")
        for name in _OF_IMAGES:
            if getattr(args, name):
                args.refuse(f"--model {args.model} takes signals, --{name.replace('_', '-')} is for images")
    launch.by_rank_0(lambda: _check_files(args))
    inputs.set_threads(args.threads)
    aside = args.json and not output.is_silent()
    with contextlib.redirect_stdout(sys.stderr) if aside else contextlib.nullcontext():
        report = _train(args, "bce" if binary else "cross_entropy")
    if args.json:
        print(json_text.to_json(report))
    return 0


def _check_files(args: argparse.Namespace) -> None:
    """Refuse files that can't be written, or that something else is in."""
    output.check_output(args.output, "--output", *model_file.SUFFIXES)
    for path, option in ((args.checkpoint, "--checkpoint"), (args.log, "--log")):
        if path is not None:
            output.check_output(path, option)
    if args.report is not None:
        output.check_output(args.report, "--report", ".html")
        require("matplotlib", "plot", "--report")
    written = {"--output": args.output, "--checkpoint": args.checkpoint}
    written |= {"--log": args.log, "--report": args.report}
    output.check_distinct(written, {"--data": args.data})


def _train(args: argparse.Namespace, loss: LossName) -> dict[str, Any]:
    """Train and save; returns all that is known about the run."""
    import fastconv as fc

    say: Callable[[str], None] = (lambda text: None) if args.quiet else output.say
    data = training_data.load(args)
    shape = data.X_train.shape[1:]
    for line in training_data.lines(args.data, data):
        say(line)
    trained_on = memory.remembered(data.X_train, data.X_val)  # what stops a run early decides too
    pixels = None if args.model in SIGNALS else looks.measured(data.X_train)
    plan = plan_for(args, data, pixels["colour"][0] if pixels else 0.0)
    recipe = plan.recipe
    data, validation = training_data.set_apart(data, plan.split, args.seed)
    rate = SCHEDULES[args.schedule](recipe.lr, recipe.epochs)
    optimizer = OPTIMIZERS[args.optimizer](rate if args.warmup is None else Warmup(rate, args.warmup))
    with waiting(f"looking for a start of the network, {FIRST_TIME}"):
        seed = _live_start(data, recipe, optimizer, args) if args.model == "reference" else args.seed
    model = build_model(args.model, shape, len(data.classes), args.dtype, seed)
    threads = fc.get_num_threads()
    say(f"model  {args.model}: {model.num_parameters} parameters, {args.dtype}, "
        f"{threads} thread{'s' * (threads > 1)}{_on_ranks()}")  # fmt: skip
    say(f"       {loss}, {training_results.steps_text(args, recipe.lr, recipe.batch_size)}")
    for line in plan.lines(len(validation[0])):
        say(f"       {line}")
    launch.by_rank_0(lambda: _try_saving(model, args.output))
    about: dict[str, Any] = {
        "data": args.data,
        "seed": args.seed,
        "classes": data.classes,
        "loss": loss,
        "network": args.model,
        "trained_on": trained_on,
    }
    if pixels is not None:
        about |= {"aspect": training_data.aspect_of(args), "pixels": pixels}
    if data.X_train.dtype == np.uint8:
        about["input_scale"] = BYTE_SCALE
    model.metadata = about  # also in checkpoints
    trainer = fc.Trainer(
        model, loss=loss, optimizer=optimizer, seed=args.seed, accumulate=args.accumulate,
        communicator=launch.ranks(),
    )  # fmt: skip
    history, saved_epoch = _train_and_save(args, trainer, plan, data, validation, about, say)
    say(output.held_out_line(about["held_out"], len(data.X_test)))
    counts = {"training": len(data.X_train), "validation": 0, "held_out": len(data.X_test)}
    if validation[0] is not data.X_test:
        counts["validation"] = len(validation[0])
    run = training_results.facts(args, about, plan, model, history, saved_epoch, counts)
    if args.report is not None:
        launch.by_rank_0(lambda: training_results.write_page(args, run, model, history, data))
    say(f"saved {args.output}{f' and {args.report}' if args.report else ''}; next:")
    say(f"  python -m fastconv evaluate {args.output}")
    say(f"  python -m fastconv predict {args.output}")
    return run


def _on_ranks() -> str:
    """How many ranks have so many threads, if there are several."""
    count = launch.ranks().count
    return f" on each of {count} ranks" if count > 1 else ""


def _train_and_save(
    args: argparse.Namespace,
    trainer: Any,
    plan: Plan,
    data: DataSet,
    validation: tuple[Any, Any],
    about: dict[str, Any],
    say: Callable[[str], None],
) -> tuple[Any, int]:
    """The history of the run, and the epoch whose weights are saved; an interrupt keeps what there is."""
    shown = progress.Silent() if args.quiet else progress.Lines() if args.no_progress else True
    watchers, stopping = _callbacks(args, plan)
    with kept.keeping(args, trainer.model, about) as last:
        history = trainer.fit(
            data.X_train,
            data.y_train,
            epochs=plan.recipe.epochs,
            batch_size=plan.recipe.batch_size,
            validation_data=validation,
            callbacks=[*watchers, last],
            progress=progress.resolve(shown),
            checkpoint=args.checkpoint,
            resume=args.resume,
            augment=plan.augment,
        )
        last.settle(trainer.model)
        saved_epoch = _saved_epoch(stopping, len(history["loss"]), say)
        _measure_and_save(args, trainer, data, about, plan.recipe.lr)
    return history, saved_epoch


def _saved_epoch(stopping: callbacks.EarlyStopping | None, epochs: int, say: Callable[[str], None]) -> int:
    """The epoch, from 1, whose weights the network has after training."""
    if stopping is None or stopping.best_epoch is None or stopping.best_epoch + 1 == epochs:
        return epochs
    early = "stopped early, with" if stopping.stopped_epoch is not None else "done, with"
    say(f"{early} the weights of epoch {stopping.best_epoch + 1}")
    return stopping.best_epoch + 1


def _measure_and_save(
    args: argparse.Namespace, trainer: Any, data: DataSet, about: dict[str, Any], lr: float
) -> None:
    """Put the figures of the held-out images into the metadata, and save the model with them."""
    with waiting(f"measuring {len(data.X_test)} held-out images, {FIRST_TIME}"):
        result = trainer.evaluate(data.X_test, data.y_test)
    if not math.isfinite(result["loss"]):
        raise ArithmeticError(f"training diverged, nothing saved: try --lr {lr / 10:g}")
    about["held_out"] = result
    launch.by_rank_0(lambda: _save(args, trainer.model, about))


def _save(args: argparse.Namespace, model: Any, about: dict[str, Any]) -> None:
    with waiting(f"writing {args.output}"), output.writing(args.output):
        model.save(args.output, metadata=about)


class _Log(callbacks.CSVLogger):
    """A log whose errors, of a full disk for one, name the file."""

    def on_epoch_end(self, trainer: Any, logs: callbacks.Logs) -> None:
        """Write a row."""
        with output.writing(str(self.path)):
            super().on_epoch_end(trainer, logs)


def _callbacks(args: argparse.Namespace, plan: Plan) -> tuple[list[Any], callbacks.EarlyStopping | None]:
    """What is done after each epoch, and the part of it that may stop the run or go back to an epoch."""
    stopping = None if plan.patience is None else callbacks.EarlyStopping(patience=plan.patience)
    log = _Log(args.log, append=args.resume) if args.log else None
    ema = None if args.ema is None else callbacks.EMA(args.ema)  # first: the others see its averages
    return [callback for callback in (ema, stopping, log) if callback is not None], stopping


def _try_saving(model: Any, path: str) -> None:
    """Fail before the training, not after it, if the disk is full or the format needs a missing package."""
    place, suffix = os.path.dirname(path) or ".", os.path.splitext(path)[1]
    with output.writing(path), tempfile.TemporaryDirectory(prefix=".fastconv-", dir=place) as folder:
        model.save(os.path.join(folder, f"model{suffix}"))


def _live_start(data: DataSet, recipe: Recipe, optimizer: Any, args: argparse.Namespace) -> int:
    """The seed, of a few, whose reference network learns fastest.

    Its single filter is dead, and learns nothing, if it starts negative on all images: 3 seeds of 8 on
    digits 0 and 1. Tried for a moment on the training images, 8 starts were enough for each of 5 pairs of
    digits, and take 0.01 s.
    """
    import fastconv as fc

    def loss_after_a_moment(seed: int) -> float:
        model = build_model(args.model, training_data.REFERENCE_SHAPE, 2, args.dtype, seed)
        trainer = fc.Trainer(model, loss="bce", optimizer=optimizer, seed=args.seed)
        history = trainer.fit(
            data.X_train, data.y_train, epochs=3, batch_size=recipe.batch_size, progress=False
        )
        return float(history["loss"][-1])

    return min(range(8 * args.seed, 8 * args.seed + 8), key=loss_after_a_moment)
