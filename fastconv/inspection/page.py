"""A page of text on which arrays are printed: their shapes, their formulas, their numbers."""

import textwrap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .formulas import plain

Array = NDArray[Any]

WHOLE = 64  # numbers of an array are printed, of a larger one only the corners of its first plane
WIDTH = 100


class Page:
    """Lines of text; `in_numbers` tells whether arrays are printed."""

    def __init__(self, in_numbers: bool) -> None:
        self.lines: list[str] = []
        self.in_numbers = in_numbers

    def text(self, *lines: str) -> None:
        self.lines += lines

    def heading(self, text: str) -> None:
        self.lines += ["", text, "-" * len(text)]

    def array(self, title: str, array: Array, more: list[str] | None = None) -> None:
        """A title with the array's shape, further lines, and the numbers."""
        size = f", {_range(array)}" if array.size > WHOLE or not self.in_numbers else ""
        self.lines.append(f"  {title}   shape {array.shape}{size}")
        if self.in_numbers:
            for line in more or []:
                self.lines += textwrap.wrap(line, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8)
            self.lines += [f"      {line}" for line in _numbers(array)]

    def beside(self, columns: dict[str, Array]) -> None:
        """Arrays of one shape, side by side where they fit."""
        if not self.in_numbers:
            ranges = (f"{title} {_range(array)}" for title, array in columns.items())
            self.lines.append(f"    {'; '.join(ranges)}")
            return
        blocks = [[title, *_numbers(array)] for title, array in columns.items()]
        widths = [max(map(len, block)) for block in blocks]
        if sum(widths) + 4 + 3 * len(blocks) <= WIDTH and len({len(block) for block in blocks}) == 1:
            for row in zip(*blocks, strict=True):
                self.lines.append(("    " + "   ".join(map(str.ljust, row, widths))).rstrip())
        else:
            for title, *numbers in blocks:
                self.lines += [f"    {title}", *(f"      {line}" for line in numbers)]


def _range(array: Array) -> str:
    return f"from {plain(array.min())} to {plain(array.max())}"


def _numbers(array: Array) -> list[str]:
    """The numbers of an array; of a large one, the corners of its first plane."""
    first = []
    if array.size > WHOLE and array.ndim > 2:
        first = ["(the first plane)"] if array[(0,) * (array.ndim - 2)].size < array.size else []
        array = array[(0,) * (array.ndim - 2)]
    while array.ndim > 1 and len(array) == 1:
        array = array[0]
    text = np.array2string(
        array + 0.0,  # no -0
        max_line_width=WIDTH, precision=6, suppress_small=False, threshold=WHOLE, edgeitems=3,
        floatmode="maxprec", sign="-",
    )  # fmt: skip
    return first + [line for line in text.splitlines() if line.strip()]
