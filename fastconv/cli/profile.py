"""`fastconv profile`."""

import argparse
from pathlib import Path
from typing import Any

from ..checks.extras import require
from ..checks.waiting import waiting
from ..formats import json_text
from ..formats.atomic import replaced
from . import launch, networks, options, output

EXAMPLES = """\
profile fastconv-model.npz
profile resnet8 --batch-size 128 --threads 1
profile lenet5 --predict --output lenet5.png"""
PICTURES = (".png", ".svg", ".pdf")


def add_to(commands: Any) -> None:
    """Describe the options."""
    text = "measure where the time of a training step goes, layer by layer"
    command = options.add_command(commands, "profile", run, text, EXAMPLES, "MODEL")
    add = command.add_argument
    networks.add_to(command)
    add("--predict", action="store_true", help="measure a prediction instead of a training step")
    add("--batch-size", type=options.number(int, 1), default=32, metavar="N", help="samples (default: 32)")
    add("--optimizer", default="sgd", help="whose step is taken (default: sgd)")
    add("--seconds", type=options.number(float, 0, above=True), default=1.0, help="how long (default: 1)")
    add("-o", "--output", metavar="FILE", help="draw a picture of it, in a PNG, SVG or PDF file")
    options.add_threads(command)
    options.add_json(command)
    command.set_defaults(on_ranks=True)


def run(args: argparse.Namespace) -> int:
    """Measure one step on random numbers."""
    import fastconv as fc

    from ..inspection.random_batch import random_batch

    networks.check(args)
    if args.predict and launch.place()[0]:
        return 0  # predictions are not shared: rank 0 measures one of its own
    if args.output:
        output.check_output(args.output, "--output", *PICTURES)
        output.check_distinct({"--output": args.output}, {"MODEL": args.model})
        require("matplotlib", "plot", "--output")
    if args.threads:
        fc.set_num_threads(args.threads)
    model = networks.named(args.model)
    X, y = random_batch(model, args.batch_size)
    of_training = {"y": y, "optimizer": args.optimizer, "communicator": launch.ranks()}
    if args.predict:
        of_training.clear()
    with waiting("measuring"):
        found = fc.profile(model, X, seconds=args.seconds, **of_training)
    print(json_text.to_json(found.to_dict()) if args.json else found)
    if args.output and not launch.place()[0]:
        axes = fc.plots.profile(found)
        with output.writing(args.output), replaced(args.output) as file:
            axes.figure.savefig(file, dpi=150, format=Path(args.output).suffix[1:])
    return 0
