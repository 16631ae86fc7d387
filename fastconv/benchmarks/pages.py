"""What the tables of the benchmarks are made of, and how they come into a page."""

from collections.abc import Mapping, Sequence
from pathlib import Path


def caption(facts: Mapping[str, str]) -> str:
    """What was measured on and with.

    Examples
    --------
    >>> caption({"CPU": "abacus", "cores": "2"})
    'CPU abacus, cores 2.'
    """
    return ", ".join(f"{name} {value}" for name, value in facts.items()) + "."


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown: a first column of names, figures in the others.

    Examples
    --------
    >>> print(table([("work", "seconds"), ("conv", "3")]))
    | work | seconds |
    | --- | ---: |
    | conv | 3 |
    """
    head, *body = rows
    return "\n".join(
        f"| {' | '.join(cells)} |" for cells in (head, ["---", *["---:"] * (len(head) - 1)], *body)
    )


def duration(seconds: float) -> str:
    """Seconds with a fitting unit and three digits.

    Examples
    --------
    >>> duration(1.5e-8), duration(2.719e-6), duration(0.012345), duration(9.9999e-4), duration(12.0)
    ('15.0 ns', '2.72 us', '12.3 ms', '1.00 ms', '12.0 s')
    """
    for unit, size in (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3)):
        if seconds < 0.9995e3 * size:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds)} s"


def _three_digits(value: float) -> str:
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def ratio(value: float | None) -> str:
    """A ratio with three digits, none of them behind the point from 100 on; "" for None.

    Examples
    --------
    >>> ratio(0.94), ratio(1.256), ratio(12.6), ratio(2813.4), ratio(None)
    ('0.94', '1.26', '12.6', '2,813', '')
    """
    if value is None:
        return ""
    return f"{value:.2f}" if value < 9.995 else f"{value:.1f}" if value < 99.95 else f"{value:,.0f}"


def replaced(path: str, begin: str, end: str, text: str) -> str:
    """A page with another text between two lines that mark it.

    Raises
    ------
    ValueError
        If these are not there.
    """
    before, found, rest = Path(path).read_text(encoding="utf-8").partition(begin)
    _, found_end, after = rest.partition(end)
    if not found or not found_end:
        raise ValueError(f"`update_readme` must name a file with the lines {begin} and {end}")
    return f"{before}{begin}\n{text}\n{end}{after}"
