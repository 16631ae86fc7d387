"""`fastconv scale`."""

import argparse
from collections.abc import Callable
from typing import Any

from ..checks.units import bytes_per_second_in, seconds_in
from ..checks.waiting import waiting
from ..formats import json_text
from . import networks, options

EXAMPLES = """\
scale resnet8 --ranks 64 --latency 2us --bandwidth 10GB/s
scale fastconv-model.npz --batch-size 1024 --threads 8 --latency 50us --bandwidth 10Gbit/s"""


def add_to(commands: Any) -> None:
    """Describe the options."""
    text = "foretell how training scales over many ranks, from what steps take here"
    command = options.add_command(commands, "scale", run, text, EXAMPLES, "MODEL")
    add = command.add_argument
    networks.add_to(command)
    add(
        "--ranks", type=options.number(int, 1, 1025), default=64, metavar="N", help="up to 1024 (default: 64)"
    )
    time, speed = _in_units(seconds_in), _in_units(bytes_per_second_in)
    add("--latency", type=time, default="2us", metavar="TIME", help="of a message (default: 2us)")
    add("--bandwidth", type=speed, default="10GB/s", metavar="SPEED", help="between ranks (default: 10GB/s)")
    add(
        "--batch-size",
        type=options.number(int, 1),
        default=128,
        metavar="N",
        help="samples of all ranks together (default: 128)",
    )
    add("--optimizer", default="sgd", help="whose step is taken (default: sgd)")
    add("--seconds", type=options.number(float, 0, above=True), default=1.0, help="how long (default: 1)")
    options.add_threads(command)
    options.add_json(command)


def _in_units(read: Callable[[str], float]) -> Callable[[str], float]:
    """An argparse type of a number with a unit."""

    def parse(text: str) -> float:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def run(args: argparse.Namespace) -> int:
    """Measure steps of a few sizes, and say what follows."""
    import fastconv as fc

    networks.check(args)
    if args.threads:
        fc.set_num_threads(args.threads)
    model = networks.named(args.model)
    with waiting("measuring"):
        found = fc.scale(
            model,
            batch_size=args.batch_size,
            ranks=args.ranks,
            latency=args.latency,
            bandwidth=args.bandwidth,
            optimizer=args.optimizer,
            seconds=args.seconds,
        )
    print(json_text.to_json(found.to_dict()) if args.json else found)
    return 0
