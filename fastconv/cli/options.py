"""Pieces of the parsers of all commands."""

import argparse
import math
from collections.abc import Callable
from typing import Any, NoReturn

from .output import is_silent

DEFAULT_MODEL = "fastconv-model.npz"
DATA_HELP = "digits, mnist-subset, a folder of images or IDX files, or an .npz or .csv file"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")

    def _print_message(self, message: str, file: Any = None) -> None:
        if not is_silent():
            super()._print_message(message, file)


def add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    text: str,
    examples: str,
    operands: str = "",
) -> argparse.ArgumentParser:
    """A parser that sets `run`, what runs the command, and `refuse`, which says that its usage is wrong."""
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        usage=f"%(prog)s [options] {operands}".rstrip(),
        description=text[0].upper() + text[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  python -m fastconv {line}" for line in examples.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run, refuse=command.error)
    return command


def add_model(command: argparse.ArgumentParser) -> None:
    """The model that a command works with."""
    command.add_argument("model", metavar="MODEL", help="a file that train saved (.npz or .safetensors)")


def add_json(command: argparse.ArgumentParser) -> None:
    """The option for output that programs read."""
    command.add_argument("--json", action="store_true", help="print the results as one JSON object")


def add_threads(command: argparse._ActionsContainer) -> None:
    """The number of threads."""
    command.add_argument("--threads", type=number(int, 1), metavar="N", help="threads (default: all cores)")


def add_skip_bad(command: argparse._ActionsContainer) -> None:
    """What becomes of image files that can't be read."""
    command.add_argument("--skip-bad", action="store_true", help="leave out image files that can't be read")


def number(
    convert: Callable[[str], Any], low: float, high: float = math.inf, *, above: bool = False
) -> Callable[[str], Any]:
    """An argparse type: a finite number of at least (or `above`) `low`, and below `high`."""
    kind = "an int" if convert is int else "a number"
    wanted = f"{kind} {'>' if above else '>='} {low:g}" + (f" and < {high:g}" if high < math.inf else "")

    def parse(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and low <= value < high) or (above and value == low):
            raise argparse.ArgumentTypeError(f"must be {wanted}, got {text!r}")
        return value

    return parse
