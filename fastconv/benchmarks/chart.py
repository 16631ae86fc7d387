"""A bar chart of the ratios, one panel for each number of threads."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..checks.extras import require
from ..formats.atomic import replaced
from .results import Row


def save(path: str | os.PathLike[str], rows: Sequence[Row], titles: Mapping[str, str], caption: str) -> None:
    """Write the chart to an image file; its suffix says of which kind.

    Raises
    ------
    ImportError
        If matplotlib is not installed; the message names the extra.
    """
    Figure = require("matplotlib.figure", "plot", "a chart").Figure
    rows = [row for row in rows if len(row.timings) > 1]
    counts = list(dict.fromkeys(row.threads for row in rows))
    names = list(dict.fromkeys(name for row in rows for name in row.timings if name != "fastconv"))
    tallest = max(len([row for row in rows if row.threads == count]) for count in counts)
    figure = Figure(
        figsize=(6.5 * len(counts) + 2.5, 0.28 * tallest * len(names) / 2 + 1.8), layout="constrained"
    )
    panels = figure.subplots(1, len(counts), squeeze=False)[0]
    for panel, count in zip(panels, counts, strict=True):
        mine = [row for row in rows if row.threads == count]
        height = 0.8 / len(names)
        for k, name in enumerate(names):
            places = [place + (k - (len(names) - 1) / 2) * height for place in range(len(mine))]
            found = [(place, row.ratio(name)) for place, row in zip(places, mine, strict=True)]
            bars = [(place, ratio) for place, ratio in found if ratio]
            panel.barh([p for p, _ in bars], [r for _, r in bars], height, label=f"against {titles[name]}")
            for place, ratio in bars:
                panel.annotate(
                    f"{ratio:.3g}",
                    (ratio, place),
                    (2, 0),
                    textcoords="offset points",
                    va="center",
                    fontsize=6,
                )
        panel.set_xscale("log")
        panel.axvline(1, color="black", linewidth=0.8)
        panel.set_yticks(range(len(mine)), [row.work for row in mine], fontsize=7)
        panel.invert_yaxis()
        panel.margins(y=0.01)
        panel.set_xlabel("times as fast (logarithmic)")
        panel.set_title(f"{count} thread{'s' * (count > 1)}")
    panels[0].legend(fontsize=7, loc="lower right")
    figure.suptitle(caption, fontsize=8)
    with replaced(path) as file:
        figure.savefig(file, dpi=150, format=Path(path).suffix[1:] or "png")
