"""The Axes that pictures are drawn on."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checks.extras import require
from ..checks.text import printable

Array = NDArray[Any]


def literal(name: Any) -> str:
    """A name of unknown origin as matplotlib draws it: on one line, and no formula between dollars.

    Examples
    --------
    >>> print(literal("$x_$"))
    \\$x_\\$
    """
    return printable(str(name)).replace("$", "\\$")


def panels(ax: Any, count: int, columns: int, size: tuple[float, float]) -> Array:
    """`count` Axes: those given, or new ones of `size` inches each, in rows of `columns`."""
    if ax is not None:
        given = np.array(ax, dtype=object).reshape(-1)
        if len(given) < count:
            raise ValueError(f"`ax` must hold {count} Axes, one for each panel, got {len(given)}")
        return given[:count]
    pyplot = require("matplotlib.pyplot", "plot", "fastconv.plots")
    columns = min(columns, count)
    rows = -(-count // columns)
    figure = pyplot.figure(figsize=(size[0] * columns, size[1] * rows), layout="constrained")
    axes: Array = figure.subplots(rows, columns, squeeze=False).reshape(-1)
    for unused in axes[count:]:
        unused.remove()
    return axes[:count]


def panel(ax: Any, size: tuple[float, float]) -> Any:
    """The same of one that has no lines above and at the right."""
    (axes,) = panels(ax, 1, 1, size)
    axes.spines[["top", "right"]].set_visible(False)
    return axes
