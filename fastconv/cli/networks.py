"""The operand MODEL of commands that measure: a file, or a network of `fastconv.models` by its name."""

import argparse
from typing import Any

from ..formats import model_file
from .recipes import SIGNALS


def add_to(command: argparse.ArgumentParser) -> None:
    """Describe it."""
    command.add_argument(
        "model", metavar="MODEL", help="a file that train saved, or a name of fastconv.models, such as lenet5"
    )


def check(args: argparse.Namespace) -> None:
    """Refuse what is neither, and an optimizer that is not known."""
    import fastconv as fc

    from ..nn.optimizers import BY_NAME

    if args.optimizer not in BY_NAME:
        args.refuse(f"--optimizer must be one of {', '.join(BY_NAME)}, got {args.optimizer!r}")
    if args.model not in fc.models.__all__ and not args.model.endswith(model_file.SUFFIXES):
        endings = " or ".join(model_file.SUFFIXES)
        names = ", ".join(fc.models.__all__)
        args.refuse(f"MODEL must be a file that ends in {endings}, or one of {names}, got {args.model!r}")


def named(name: str) -> Any:
    """The network: of time series, one of two classes and 150 values."""
    import fastconv as fc

    if name not in fc.models.__all__:
        return fc.load(name)
    return getattr(fc.models, name)(*((2, (1, 150)) if name in SIGNALS else ()))
