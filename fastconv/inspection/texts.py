"""Tables of figures, for a terminal and a notebook."""

import html
from collections.abc import Sequence


def time_text(seconds: float) -> str:
    """A time with a fitting unit.

    Examples
    --------
    >>> time_text(1.234e-6), time_text(0.0123), time_text(0.0)
    ('1.23 us', '12.30 ms', '0.00 us')
    """
    return f"{seconds * 1e6:.2f} us" if seconds < 1e-3 else f"{seconds * 1e3:.2f} ms"


def bytes_text(count: float) -> str:
    """A number of bytes with a fitting unit; "" for none.

    Examples
    --------
    >>> bytes_text(0), bytes_text(640), bytes_text(20_480), bytes_text(3_500_000), bytes_text(12.5e9)
    ('', '640 B', '20.5 kB', '3.5 MB', '12.5 GB')
    """
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count:.0f} B" if count else ""


def count_text(number: int, what: str) -> str:
    """So many things.

    Examples
    --------
    >>> count_text(1, "thread"), count_text(4096, "sample")
    ('1 thread', '4,096 samples')
    """
    return f"{number:,} {what}{'s' * (number != 1)}"


def aligned(cells: Sequence[Sequence[str]], left: int, sums: int = 0) -> list[str]:
    """The lines of a table: its first `left` columns begin at the left, its last `sums` rows stand apart.

    Examples
    --------
    >>> print(*aligned([("of", "time"), ("a", "1"), ("all", "10")], left=1, sums=1), sep="\\n")
    of   time
    ---------
    a       1
    ---------
    all    10
    """
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        texts = [
            text.ljust(width) if k < left else text.rjust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(texts).rstrip())
    rule, last = "-" * (sum(widths) + 2 * (len(widths) - 1)), len(lines) - sums
    return [lines[0], rule, *lines[1:last], *([rule] if sums else []), *lines[last:]]


def html_table(cells: Sequence[Sequence[str]], notes: Sequence[str]) -> str:
    """The same for a notebook, with notes below it.

    Examples
    --------
    >>> html_table([("of", "time"), ("a<b", "1")], ["measured"])
    '<table><tr><th>of</th><th>time</th></tr><tr><td>a&lt;b</td><td>1</td></tr></table><p>measured</p>'
    """
    head, *body = ([html.escape(cell) for cell in row] for row in cells)
    titles = "".join(f"<th>{cell}</th>" for cell in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in body)
    return f"<table><tr>{titles}</tr>{lines}</table><p>{html.escape(' '.join(notes))}</p>"
