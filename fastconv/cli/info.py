"""`fastconv info`."""

import argparse
from typing import Any

from ..formats import json_text
from . import options, output


def add_to(commands: Any) -> None:
    """Describe the options."""
    text = "print versions, CPU, vector width, threads and cache folder"
    command = options.add_command(commands, "info", run, text, "info\ninfo --json")
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Print what is known about this installation."""
    from . import facts as info

    facts = info.facts()
    if args.json:
        print(json_text.to_json(facts))
    else:
        for line in info.lines(facts):
            output.say(line)
    return 0
