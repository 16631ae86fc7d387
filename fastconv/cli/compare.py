"""`fastconv compare`."""

import argparse
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ..checks.text import printable
from ..formats import json_text
from ..training.progress import format_seconds
from . import html, options, output

EXAMPLES = """\
compare first.html second.html
compare first.json second.json third.html --json"""

MOST_BYTES = 200_000_000
WIDEST = 40  # characters of a value
# What differs without being a setting.
_RESULTS = {"history", "held_out", "output", "saved_epoch", "pixels", "trained_on", "images"}


def add_to(commands: Any) -> None:
    """Describe the options."""
    text = "put training runs side by side: settings that differ, and results"
    command = options.add_command(commands, "compare", run, text, EXAMPLES, "RUN RUN ...")
    command.add_argument(
        "runs",
        metavar="RUN",
        nargs="+",
        help="a page of train --report, or a file with what train --json printed",
    )
    options.add_json(command)


def run(args: argparse.Namespace) -> int:
    """Read the runs and print a table."""
    if len(args.runs) < 2:
        args.refuse("give two runs or more")
    found = [_read(path) for path in args.runs]
    settings, results = _differing(found), [_results(one) for one in found]
    if args.json:
        named = [{"run": path, **one} for path, one in zip(args.runs, results, strict=True)]
        print(json_text.to_json({"differ": settings, "runs": named}))
        return 0
    names = [printable(path) for path in args.runs]
    rows = [(name, [_shown(value) for value in values]) for name, values in settings.items()]
    rows = rows or [("(all settings are the same)", [""] * len(names))]
    rows += [("", [""] * len(names)), *_result_rows(results)]
    for line in _table(names, rows):
        output.say(line)
    return 0


def _read(path: str) -> dict[str, Any]:
    """The facts of a run, from a page or from JSON."""
    size = os.path.getsize(path)
    if size > MOST_BYTES:
        raise ValueError(f"{path} has {size} bytes, expected at most {MOST_BYTES}")
    with open(path, encoding="utf-8", errors="replace") as file:
        text: str | None = file.read()
    if path.lower().endswith((".html", ".htm")):
        text = html.data_in(text or "")
        if text is None:
            raise ValueError(f"{path} is no page that train --report wrote, or one of an older version")
    try:
        found = json.loads(text or "")
    except (ValueError, RecursionError):
        raise ValueError(f"{path} is neither a page of train --report nor what train --json prints") from None
    history = found.get("history") if isinstance(found, dict) else None
    if not isinstance(history, dict) or not all(isinstance(values, list) for values in history.values()):
        raise ValueError(f"{path} is about no training run: it has no history")
    return dict(found)


def _differing(runs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Name of a setting -> its value in each run, for those that are not the same in all."""
    names = dict.fromkeys(name for one in runs for name in one if name not in _RESULTS)
    values = {name: [one.get(name) for one in runs] for name in names}
    return {name: each for name, each in values.items() if any(value != each[0] for value in each)}


def _results(found: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a run: of held-out images, of the saved epoch, and what they took."""
    history, held_out = found["history"], found.get("held_out")
    saved = found.get("saved_epoch")
    figures: dict[str, Any] = {}
    if isinstance(held_out, dict):
        figures |= {f"held-out {name}": _number(value) for name, value in held_out.items()}
    lengths = [len(values) for values in history.values()]
    figures["epochs run"] = max(lengths, default=0)
    figures["saved epoch"] = saved
    place = saved - 1 if isinstance(saved, int) and 0 < saved <= min(lengths, default=0) else -1
    for name, values in history.items():
        if name not in ("seconds", "learning_rate") and values:
            figures[name] = _number(values[place])
    seconds = [value for value in history.get("seconds", []) if isinstance(value, (int, float))]
    figures["seconds"] = sum(seconds)
    return figures


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) else None


def _result_rows(results: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    for name in dict.fromkeys(name for one in results for name in one):
        values = [one.get(name) for one in results]
        if name == "seconds":
            yield "training time", [format_seconds(value or 0.0).strip() for value in values]
        elif name.endswith(("accuracy", "f1", "auc", "precision", "recall")):
            yield name, ["-" if value is None else f"{value:.2%}" for value in values]
        else:
            yield name, [_shown(value) for value in values]


def _shown(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else "-" if value is None else str(value)
    if isinstance(value, list):
        text = output.words(value)
    return printable(text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}...")


def _table(names: Sequence[str], rows: Sequence[tuple[str, Sequence[str]]]) -> Iterator[str]:
    """Lines of equal columns, a run each."""
    first = max(len(name) for name, _ in rows)
    widths = [max(len(name), *(len(values[k]) for _, values in rows)) for k, name in enumerate(names)]
    for name, values in [("", names), *rows]:
        cells = (f"{value:>{width}}" for value, width in zip(values, widths, strict=True))
        yield f"{name:<{first}}  {'  '.join(cells)}".rstrip()
