"""`fastconv evaluate`."""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.text import printable
from ..checks.waiting import FIRST_TIME, waiting
from ..formats import json_text
from ..training import metrics
from . import inputs, launch, options, output

EXAMPLES = f"""\
evaluate {options.DEFAULT_MODEL}
evaluate {options.DEFAULT_MODEL} --data other-photos/ --all
evaluate {options.DEFAULT_MODEL} --data my-images.npz --json"""


def add_to(commands: Any) -> None:
    """Describe the options."""
    text = "print loss, accuracy and a table per class of a saved model on held-out images"
    command = options.add_command(commands, "evaluate", run, text, EXAMPLES, "MODEL")
    command.set_defaults(on_ranks=True)
    options.add_model(command)
    command.add_argument(
        "--data", metavar="DATA", help=f"{options.DATA_HELP} (default: what it was trained on)"
    )
    command.add_argument("--all", action="store_true", help="on all images of DATA, those trained on too")
    options.add_skip_bad(command)
    options.add_threads(command)
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Measure the model on held-out images."""
    import fastconv as fc

    inputs.set_threads(args.threads)
    model, about = inputs.load_model(args.model)
    part = inputs.part_of(model, about, args.data, args.all, args.skip_bad)
    X, y = part.X, part.y
    with waiting(f"measuring {len(X)} {part.things}, {FIRST_TIME}"):
        trainer = fc.Trainer(model, loss=about["loss"], communicator=launch.ranks())
        result = trainer.evaluate(X, y)
        predicted = metrics.predicted_classes(trainer.predict(X), about["loss"])
    classes = about["classes"]
    confusion = metrics.confusion_matrix(y, predicted, len(classes))
    if args.json:
        seen = None if part.trained_on is None else int(part.trained_on.sum())
        facts = {"model": args.model, "data": part.source, "images": len(X), **result}
        which = {"part": "all" if args.all else "held-out", "of": part.total, "trained_on": seen}
        tables = {"classes": _per_class(confusion, classes), "confusion": confusion}
        print(json_text.to_json({**facts, **which, **tables}))
        return 0
    output.say(f"{args.model} on {part.source}: {_which(part, args.all)}")
    if warning := _too_good(part):
        output.say(warning)
    output.say(output.result_line(result, len(X)) if args.all else output.held_out_line(result, len(X)))
    output.say()
    for line in _class_table(confusion, [printable(str(name)) for name in classes], part.things):
        output.say(line)
    return 0


def _which(part: inputs.Part, everything: bool) -> str:
    """What is measured, in words."""
    if everything:
        return f"all {len(part.X)} {part.things}"
    return f"{len(part.X)} held-out {part.things} of {part.total}, --all measures all"


def _too_good(part: inputs.Part) -> str:
    """A line about images that the model was trained on; nothing where there are none."""
    count = len(part.X)
    if part.trained_on is None:
        return (
            f"the model does not say which {part.things} it was trained on: some of these may be among them"
        )
    seen = int(part.trained_on.sum())
    if not seen:
        return "it was trained on none of them"
    of_them = "all" if seen == count else f"{seen}"
    return f"it was trained on {of_them} of them: new {part.things} will do worse than these figures say"


def _per_class(confusion: NDArray[np.int64], classes: Sequence[Any]) -> list[dict[str, Any]]:
    precision, recall = metrics.precision_recall(confusion)
    counts = confusion.sum(axis=1)
    return [
        {"class": name, "images": counts[i], "recall": recall[i], "precision": precision[i]}
        for i, name in enumerate(classes)
    ]


def _class_table(confusion: NDArray[np.int64], classes: Sequence[str], things: str) -> list[str]:
    """Samples, recall, precision and the most frequent mistake of each class."""
    width = max(5, *map(len, classes))
    lines = [f"{'class':>{width}}  {things}  recall  precision  most often mistaken for"]
    for i, row in enumerate(_per_class(confusion, classes)):
        mistakes = confusion[i].copy()
        mistakes[i] = 0
        worst = int(mistakes.argmax())
        mistake = f"{classes[worst]} ({mistakes[worst]} times)" if mistakes[worst] else "-"
        lines.append(
            f"{row['class']!s:>{width}}  {row['images']:>{len(things)}}  {output.percent(row['recall'])}  "
            f"{output.percent(row['precision']):>9}  {mistake.replace('(1 times)', '(once)')}"
        )
    return lines
