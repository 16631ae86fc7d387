"""What is known about a training run: as JSON, and as a page."""

import argparse
import os
from collections.abc import Mapping
from typing import Any

from ..checks.waiting import waiting
from ..datasets import DataSet
from . import output
from .training_plan import Plan


def facts(
    args: argparse.Namespace,
    about: Mapping[str, Any],
    plan: Plan,
    model: Any,
    history: Mapping[str, Any],
    saved_epoch: int,
    images: Mapping[str, int],
) -> dict[str, Any]:
    """All settings and figures of a run, as values that JSON has.

    `about` is the model's metadata, `images` how many were for what.
    """
    import fastconv as fc

    recipe = plan.recipe
    return {
        **about,
        "trained_on": about["trained_on"]["images"],
        "images": dict(images),
        "parameters": model.num_parameters,
        "dtype": args.dtype,
        "optimizer": args.optimizer,
        "lr": recipe.lr,
        "schedule": args.schedule,
        "batch_size": recipe.batch_size,
        **_only_where_asked(args),
        "epochs": recipe.epochs,
        "early_stopping": plan.patience,
        "augment": None if plan.augment is None else str(plan.augment),
        "saved_epoch": saved_epoch,
        "threads": fc.get_num_threads(),
        "fastconv": fc.__version__,
        "history": dict(history),
        "output": args.output,
    }


def _only_where_asked(args: argparse.Namespace) -> dict[str, Any]:
    """Settings that pages of earlier versions don't have, without those that change nothing."""
    settings = {"warmup": args.warmup, "accumulate": args.accumulate, "ema": args.ema}
    return {
        name: value
        for name, value in settings.items()
        if value is not None and (name, value) != ("accumulate", 1)
    }


def steps_text(args: argparse.Namespace, lr: float, batch_size: int) -> str:
    """How the steps are made, in words."""
    words = [args.optimizer, f"learning rate {lr:g}", f"batches of {batch_size}"]
    if args.warmup is not None:
        words[1] += f" after a warm-up of {args.warmup} steps"
    if args.accumulate > 1:
        words[2] += f", {args.accumulate} for each step"
    if args.ema is not None:
        words.append(f"weights averaged with {args.ema:g}")
    return ", ".join(words)


def write_page(
    args: argparse.Namespace, run: Mapping[str, Any], model: Any, history: Mapping[str, Any], data: DataSet
) -> None:
    """The page about a run of which `facts` gave all that is known."""
    from .report import write_report

    images = run["images"]
    apart = f", {images['validation']} to validate on" if images["validation"] else ""
    steps = steps_text(args, run["lr"], run["batch_size"])
    about = {
        "data": f"{args.data}, {images['held_out']} held-out images",
        "images": f"{images['training']} to train on{apart}, {images['held_out']} held out",
        **({"done to them": "; ".join(data.notes)} if data.notes else {}),
        "training": f"{run['loss']}, {steps}",
        "schedule of the learning rate": args.schedule,
        "augmentation": run["augment"] or "none",
        "weights": f"of epoch {run['saved_epoch']} of {len(history['loss'])}",
        "seed": args.seed,
        "saved as": args.output,
    }
    with waiting(f"drawing {args.report}"), output.writing(args.report):
        write_report(
            args.report,
            model,
            history,
            data.X_test,
            data.y_test,
            data.classes,
            title=f"{args.model} on {args.data}",
            command=args.command,
            about=about,
            files=[os.path.relpath(path, args.data) for path in data.files_test],
            run=run,
        )
