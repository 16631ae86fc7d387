"""The command line: `python -m fastconv train | evaluate | predict | bench | info`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. An error is one line on standard error.
"""

import argparse
import math
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from fastconv import commands as jobs

DEFAULT_OUTPUT = "fastconv-model.npz"


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
    try:
        argv = sys.argv[1:] if argv is None else argv
        args = parser().parse_args(argv)
        args.command = shlex.join(["python", "-m", "fastconv", *argv])
        code = args.run(args)
        sys.stdout.flush()
        return int(code or 0)
    except SystemExit as stop:
        return int(stop.code or 0)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except BrokenPipeError:
        # The reader of a pipe (head, less) has gone; what is left to print must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        name = f"{error.filename}: " if error.filename is not None and error.strerror else ""
        return _fail(f"{name}{error.strerror or error}")
    except (ValueError, ImportError, ArithmeticError, MemoryError) as error:
        return _fail(str(error) or type(error).__name__)


def _fail(message: str, code: int = 1) -> int:
    print(f"fastconv: {'' if code == 130 else 'error: '}{' '.join(message.split())}", file=sys.stderr)
    return code


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The parser of all commands; each sets `run`, the function that runs it."""
    top = _Parser(
        prog="fastconv",
        description="Train and run small convolutional networks on a CPU, fast.",
        epilog="example:\n  python -m fastconv train",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    top.set_defaults(run=lambda args: _version() if args.version else _usage(top))
    commands = top.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    _add_bench(commands)
    _add_info(commands)
    return top


def _usage(top: argparse.ArgumentParser) -> int:
    top.print_help()
    return 2


def _version() -> int:
    from fastconv.info import version_of

    print(f"fastconv {version_of('fastconv')}")
    return 0


def _add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], text: str, examples: str
) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog="examples:\n" + "\n".join(f"  python -m fastconv {line}" for line in examples.splitlines()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run)
    return command


def _number(convert: Callable[[str], Any], low: float, *, above: bool = False) -> Callable[[str], Any]:
    """An argparse type: a finite number of at least (or `above`) `low`."""

    def parse(text: str) -> Any:
        try:
            value = convert(text)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value >= low) or (above and value == low):
            kind = "an int" if convert is int else "a number"
            raise argparse.ArgumentTypeError(f"must be {kind} {'>' if above else '>='} {low:g}, got {text!r}")
        return value

    return parse


_DATA_HELP = "digits, mnist-subset, a folder of IDX files (MNIST's format), or an .npz file"


def _add_train(commands: Any) -> None:
    command = _add_command(
        commands,
        "train",
        jobs.train,
        "train a network on images and save it",
        "train\ntrain --data mnist-subset --epochs 5\ntrain --model reference --digits 3 8 -o three-8.npz\n"
        "train --report report.html",
    )
    add = command.add_argument
    add("--data", default="digits", metavar="DATA", help=f"{_DATA_HELP} (default: digits)")
    add(
        "--model", default="lenet", choices=("lenet", "reference", "vgg"), help="the network (default: lenet)"
    )
    add(
        "--digits",
        type=_number(int, 0),
        nargs="+",
        metavar="N",
        help="train on these classes only; the reference network takes two (default for it: 0 1)",
    )
    add(
        "--epochs",
        type=_number(int, 1),
        metavar="N",
        help="passes over the data (default: by data and model)",
    )
    add(
        "--batch-size",
        type=_number(int, 1),
        metavar="N",
        help="images in a step (default: by data and model)",
    )
    add(
        "--lr",
        type=_number(float, 0, above=True),
        metavar="X",
        help="first learning rate; it falls to 0 along a cosine (default: by data, model and optimizer)",
    )
    add(
        "--optimizer",
        default="adam",
        choices=tuple(jobs.OPTIMIZERS),
        help="(default: adam; sgd has momentum 0.9)",
    )
    add(
        "--seed",
        type=_number(int, 0),
        default=0,
        metavar="N",
        help="of weights and shuffling (default: 0)",
    )
    add(
        "--augment",
        action="store_true",
        help="turn and shift each image a little and add noise, anew in every epoch",
    )
    add("--threads", type=_number(int, 1), metavar="N", help="threads to use (default: all cores)")
    add("--dtype", default="float32", choices=("float32", "float64"), help="(default: float32)")
    add("--output", "-o", default=DEFAULT_OUTPUT, metavar="FILE", help=f"(default: {DEFAULT_OUTPUT})")
    add("--report", metavar="FILE", help="also write a page about the run, as one .html file")
    add("--quiet", "-q", action="store_true", help="print nothing but errors")
    add("--no-progress", action="store_true", help="no moving bar, only a line for each epoch")


def _add_evaluate(commands: Any) -> None:
    command = _add_command(
        commands,
        "evaluate",
        jobs.evaluate,
        "print loss, accuracy and a table per class of a saved model on held-out images",
        f"evaluate {DEFAULT_OUTPUT}\nevaluate {DEFAULT_OUTPUT} --data my-images.npz",
    )
    _add_model_arguments(command)


def _add_model_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="a file that train saved")
    command.add_argument("--data", metavar="DATA", help=f"{_DATA_HELP} (default: what it was trained on)")
    command.add_argument(
        "--threads", type=_number(int, 1), metavar="N", help="threads to use (default: all cores)"
    )


def _add_predict(commands: Any) -> None:
    command = _add_command(
        commands,
        "predict",
        jobs.predict,
        "print what a saved model says about some images",
        f"predict {DEFAULT_OUTPUT}\npredict {DEFAULT_OUTPUT} my-images.npz --count 20",
    )
    _add_model_arguments(command)
    command.add_argument(
        "images", metavar="FILE", nargs="?", help="an .npz file with images X, and labels y if known"
    )
    command.add_argument(
        "--count", type=_number(int, 1), default=10, metavar="N", help="how many (default: 10)"
    )


def _add_bench(commands: Any) -> None:
    command = _add_command(
        commands,
        "bench",
        jobs.bench,
        "measure fastconv against a NumPy im2col baseline, and PyTorch where installed",
        "bench\nbench --quick --compare torch\nbench --threads 1 2 --save table.md --chart ratios.png",
    )
    add = command.add_argument
    add(
        "--compare",
        nargs="+",
        choices=("im2col", "im2col_inside", "torch", "onnxruntime"),
        default=("im2col", "torch", "onnxruntime"),
        help="what to compare with, where it is installed (default: im2col torch onnxruntime)",
    )
    add(
        "--threads",
        type=_number(int, 1),
        nargs="+",
        default=[1, 2],
        metavar="N",
        help="a table for each of these numbers of threads (default: 1 2)",
    )
    add("--quick", action="store_true", help="fewer repetitions: seconds instead of minutes")
    add("--save", metavar="FILE", help="write the table to a Markdown file")
    add("--json", metavar="FILE", help="write the measurements to a JSON file")
    add("--chart", metavar="FILE", help="draw the ratios as bars, in a PNG, SVG or PDF file")
    add("--update-readme", metavar="FILE", help="put the table between the benchmark markers of this page")
    add("--no-goals", action="store_true", help="leave out the table of goals, which starts whole processes")


def _add_info(commands: Any) -> None:
    _add_command(
        commands, "info", jobs.info, "print versions, CPU, vector width, threads and cache folder", "info"
    )
