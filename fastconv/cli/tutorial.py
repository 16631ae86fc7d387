"""`fastconv tutorial`: tutorial.md as a notebook."""

import argparse
import json
import os
import re
from importlib import resources
from typing import Any

from ..formats import atomic
from . import options, output

DEFAULT_PATH = "fastconv-tutorial.ipynb"

Cell = dict[str, Any]


def add_to(commands: Any) -> None:
    """Describe the options."""
    text = "write a notebook that leads from the kernels to a network for your own photos"
    examples = "tutorial\ntutorial lessons/first.ipynb --force"
    command = options.add_command(commands, "tutorial", run, text, examples, "[PATH]")
    command.add_argument(
        "path",
        metavar="PATH",
        nargs="?",
        default=DEFAULT_PATH,
        help=f"the notebook (default: {DEFAULT_PATH})",
    )
    command.add_argument("--force", action="store_true", help="replace a notebook that is there")


def run(args: argparse.Namespace) -> int:
    """Write it, and say how it is opened."""
    output.check_output(args.path, "PATH", ".ipynb")
    if os.path.exists(args.path) and not args.force:
        raise FileExistsError(17, "is there already (--force replaces it)", args.path)
    with output.writing(args.path):
        atomic.write_bytes(args.path, notebook().encode())
    print(f"saved {args.path}; open it in Jupyter, VS Code or Colab (jupyter lab: pip install jupyterlab)")
    return 0


def notebook() -> str:
    """The text of the notebook's file.

    Examples
    --------
    >>> json.loads(notebook())["nbformat"]
    4
    """
    content = {
        "cells": cells(),
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1) + "\n"


def cells() -> list[Cell]:
    """Code and text in turns; a heading begins a cell.

    Examples
    --------
    >>> cells()[0]["source"][0]
    '# A small network, from its first sum to your own photos\\n'
    """
    text = resources.files(__package__).joinpath("tutorial.md").read_text(encoding="utf-8")
    found: list[Cell] = []
    for number, part in enumerate(re.split(r"^```(?:python)?\n", text, flags=re.MULTILINE)):
        pieces = [part] if number % 2 else re.split(r"^(?=## )", part, flags=re.MULTILINE)
        kind = "code" if number % 2 else "markdown"
        found += [
            _cell(kind, piece.strip(), len(found) + k) for k, piece in enumerate(filter(str.strip, pieces))
        ]
    return found


def _cell(kind: str, source: str, number: int) -> Cell:
    cell: Cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
    if kind == "code":
        cell |= {"execution_count": None, "outputs": []}
    return cell | {"source": source.splitlines(keepends=True)}
