"""The command line, `python -m fastconv COMMAND`: see `parser` for the commands.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. An error is one line on standard error; with
FASTCONV_DEBUG=1 in the environment its traceback comes before it.
"""

import argparse
import contextlib
import os
import shlex
import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Any

from ..checks import interrupts
from ..engine.ranks.errors import RankError
from . import (
    bench,
    compare,
    evaluate,
    export,
    info,
    launch,
    output,
    predict,
    profile,
    scale,
    train,
    tutorial,
    warm,
)
from .options import Parser
from .output import complain, describe

# What users meet with files and options that can't work; anything else is a mistake of ours.
EXPECTED = (OSError, ValueError, ImportError, ArithmeticError, MemoryError, RankError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; by default those of this process.

    Returns
    -------
    int
        The exit code.

    Examples
    --------
    >>> main(["evaluate", "no-such-model.npz"])
    1
    """
    _print_any_name()
    with launch.only_rank_0_prints():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("always", UserWarning)
                warnings.showwarning = _show_warning
                code = _run(argv)
            if interrupts.came():
                raise KeyboardInterrupt
            if sys.stdout is not None:
                sys.stdout.flush()
            return code
        except BaseException as error:
            interrupts.settle()
            _let_go_of_stdout()
            return _exit_code(error)


def _run(argv: Sequence[str] | None) -> int:
    try:
        return launch.run(_parse(argv))
    except SystemExit as stop:
        return int(stop.code or 0)


def _show_warning(message: Warning | str, category: type[Warning], *place: Any, **options: Any) -> None:
    """What the package warns of is a note of one line; other warnings are for those who wrote the code."""
    if category is UserWarning:
        output.note(str(message))


def _exit_code(error: BaseException) -> int:
    """What the exit code is after an error, said on standard error unless nobody would read it."""
    if isinstance(error, KeyboardInterrupt) or interrupts.came():
        interrupts.finish()
        return interrupts.EXIT_CODE
    if isinstance(error, BrokenPipeError):
        return 1
    if os.environ.get("FASTCONV_DEBUG"):
        traceback.print_exception(error)
    if isinstance(error, EXPECTED):
        complain(describe(error))
    else:
        hint = "FASTCONV_DEBUG=1 in the environment shows where"
        complain(f"{type(error).__name__}: {error} ({hint})", kind="internal error: ")
    return 1


def _print_any_name() -> None:
    """Names of files and classes that the terminal's encoding has not are printed with escapes."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def _let_go_of_stdout() -> None:
    """What is left to print must not fail again at exit, if the reader has gone or the disk is full."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments. Files may follow after options too, which argparse alone takes from Python 3.12 on."""
    argv = sys.argv[1:] if argv is None else argv
    args, rest = parser().parse_known_args(argv)
    args.command = shlex.join(["python", "-m", "fastconv", *argv])
    if rest:
        if not hasattr(args, "images") or any(word.startswith("-") for word in rest):
            getattr(args, "refuse", parser().error)(f"unrecognized arguments: {' '.join(rest)}")
        args.images += rest
    return args


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `run`, the function that runs it."""
    top = Parser(
        prog="fastconv",
        description="Train and run small convolutional networks on a CPU, fast.",
        epilog="example:\n  python -m fastconv train",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    top.set_defaults(run=lambda args: _version() if args.version else _usage(top))
    commands = top.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    for command in (train, evaluate, predict, compare, export, warm, bench, profile, scale, info, tutorial):
        command.add_to(commands)
    return top


def _usage(top: argparse.ArgumentParser) -> int:
    top.print_help()
    return 2


def _version() -> int:
    from ..checks.environment import version_of

    print(f"fastconv {version_of('fastconv')}")
    return 0
