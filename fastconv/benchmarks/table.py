"""The table of ratios that `python -m fastconv bench` prints."""

import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence

from ..formats.atomic import write_bytes
from ..formats.json_text import to_json
from . import chart as charts
from . import errors, goals, machine, pages
from .choice import EVERYTHING, Choice
from .measuring import measure
from .results import Row
from .timing import QUICK, Effort
from .work import error_line

BEGIN, END = "<!-- benchmark table begin -->", "<!-- benchmark table end -->"

TITLES = {
    "im2col": "im2col",
    "im2col_inside": "im2col, samples innermost",
    "torch": "PyTorch",
    "torch_compile": "torch.compile",
    "onnxruntime": "ONNX Runtime",
    "jax": "JAX",
}

_NEEDED = (
    ("torch", "torch"),
    ("torch_compile", "torch"),
    ("onnxruntime", "onnxruntime"),
    ("onnxruntime", "onnx"),
    ("jax", "jax"),
)


def run(
    compare: Iterable[str] = ("im2col", "torch", "onnxruntime"),
    quick: bool = False,
    save: str | None = None,
    json: str | None = None,
    threads: int | Sequence[int] = 1,
    update_readme: str | None = None,
    chart: str | None = None,
    with_goals: bool = False,
    choice: Choice = EVERYTHING,
    seconds: float | None = None,
) -> int:
    """Measure everything, or what is chosen, and print the table.

    Parameters
    ----------
    compare : iterable of {"im2col", "im2col_inside", "torch", "torch_compile", "onnxruntime", "jax"}
        What to compare fastconv with. What isn't installed is left out.
    quick : bool
        Seconds instead of minutes; good for a look, not for figures to quote.
    save : str, optional
        Markdown file to write the table to.
    json : str, optional
        JSON file to write all timings to, after each work those that there are; "-" prints them instead of
        the table.
    threads : int or sequence of int
        Threads that everybody uses; several numbers give one table each.
    update_readme : str, optional
        File whose text between the markers `BEGIN` and `END` is replaced by the tables of networks and goals.
    chart : str, optional
        Image file to draw the ratios in.
    with_goals : bool
        Whether to print the table of goals, and, where everything is measured, whole processes for it.
    choice : Choice
        Which works are measured.
    seconds : float, optional
        For each contender of a work, more or less; default is 2, or 0.2 where `quick`.

    Returns
    -------
    int
        0, or 1 if a result of fastconv is not what the others get; the table then says so.

    Raises
    ------
    ValueError
        If `compare` names something else, or the file of `update_readme` lacks the markers.
    """
    others = _known(compare)
    counts = [threads] if isinstance(threads, int) else list(threads)
    if update_readme:
        pages.replaced(update_readme, BEGIN, END, "")
    facts = machine.facts()
    effort = QUICK if quick else Effort()
    effort = effort if seconds is None else effort._replace(seconds=seconds)
    found: list[errors.Errors] = []
    kept = None if json in (None, "-") else json

    def keep(rows: list[Row]) -> None:
        if kept:
            write_bytes(kept, f"{to_json(_plain(rows, facts, found), indent=1)}\n".encode())

    rows = measure(others, counts, effort, sys.stderr, choice, keep)
    found = _errors() if "errors" in choice.parts else []
    below = "\n\n" + errors.markdown(found) if found else ""
    reached = goals.measure(rows, effort, choice == EVERYTHING, found) if with_goals else []
    below += "\n\n" + goals.markdown(reached) if reached else ""
    text = markdown(rows, others, facts) + below
    print(to_json(_plain(rows, facts, found)) if json == "-" else text)
    if kept:
        keep(rows)
    if save:
        write_bytes(save, f"{text}\n".encode())
    if update_readme:
        front = markdown([row for row in rows if row.kind == "network"], others, facts) + below
        write_bytes(update_readme, pages.replaced(update_readme, BEGIN, END, front).encode())
    if chart:
        charts.save(chart, rows, TITLES, pages.caption(facts))
    return 0 if all(row.right for row in rows) else 1


def _errors() -> list[errors.Errors]:
    """Rounding errors; a failure of theirs must not cost the table of times."""
    try:
        return errors.measure(told=lambda text: print(text, file=sys.stderr, flush=True))
    except Exception as error:
        print(f"errors failed: {error_line(error)}", file=sys.stderr)
        return []


def _known(compare: Iterable[str]) -> list[str]:
    names = list(dict.fromkeys(compare))
    for name in names:
        if name not in TITLES:
            raise ValueError(f"`compare` must be some of {', '.join(TITLES)}, got {name!r}")
    for name, package in _NEEDED:
        if name in names and not machine.installed(package):
            print(f"{TITLES[name]} is left out: pip install {package}", file=sys.stderr)
            names.remove(name)
    if "torch_compile" in names and not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        print("torch.compile is left out: it needs a C++ compiler", file=sys.stderr)
        names.remove("torch_compile")
    return names


def markdown(rows: Sequence[Row], others: Sequence[str], facts: Mapping[str, str]) -> str:
    """The table, one for each number of threads, under a line that says what it was measured on."""
    blocks = [pages.caption(facts)]
    blocks.append("float32; times are the best of many, all contenders taking turns in one run.")
    for threads in dict.fromkeys(row.threads for row in rows):
        mine = [row for row in rows if row.threads == threads]
        peak = mine[0].peak
        title = f"**{threads} thread{'s' * (threads > 1)}**"
        if peak:
            title += f", measured peak of fused multiply-adds {peak / 1e9:.0f} GFLOP/s"
        blocks.append(title)
        blocks.append(_table(mine, others))
    return "\n\n".join(blocks)


def _table(rows: Sequence[Row], others: Sequence[str]) -> str:
    with_peak = rows[0].peak is not None
    others = [who for who in others if any(who in (*row.timings, *row.failed) for row in rows)]
    heads = ["work", "fastconv", "GFLOP/s", *["of peak"] * with_peak, *(f"x {TITLES[who]}" for who in others)]
    lines = [heads]
    for row in rows:
        speed = row.flops_per_second
        mine = row.timings.get("fastconv")
        cells = [_name(row), pages.duration(mine.best) if mine else "", f"{speed / 1e9:.3g}" if speed else ""]
        if with_peak:
            cells.append(f"{row.share_of_peak:.0%}" if row.share_of_peak else "")
        cells += ["failed" if who in row.failed else pages.ratio(row.ratio(who)) for who in others]
        lines.append(cells)
    return pages.table(lines)


def _name(row: Row) -> str:
    if "fastconv" in row.failed:
        return f"{row.work} (FAILED)"
    return row.work if row.right else f"{row.work} (WRONG RESULT)"


def _plain(
    rows: Sequence[Row], facts: Mapping[str, str], found: Sequence[errors.Errors]
) -> dict[str, object]:
    return {
        "machine": dict(facts),
        "rows": [
            {
                "work": row.work,
                "threads": row.threads,
                "flops": row.flops,
                "peak": row.peak,
                "right": row.right,
                "failed": dict(row.failed),
                "seconds": {name: timing._asdict() for name, timing in row.timings.items()},
            }
            for row in rows
        ],
        "errors": [
            {"layer": str(one.case), "samples": one.samples, "passes": errors.PASSES, "of": one.of}
            for one in found
        ],
    }
