"""HTML for pages that need no other file: a frame, tables, lists of facts and pictures inside the page.

Everything but `page` and `figure` takes plain text and escapes it.
"""

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape, unescape

DATA = "fastconv-run"

# Narrow screens get one column; a table too wide for its place scrolls in its own box.
STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --soft: #5b6675; --line: #e2e6ec; --card: #ffffff;
  --ground: #f5f6f8; --accent: #1d5fbf; }
@media (prefers-color-scheme: dark) { :root { --ink: #d8dee9; --soft: #9aa5b4; --line: #323944;
  --card: #1c2128; --ground: #13161b; --accent: #7fb2ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2rem 1rem 4rem; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 1.5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 1rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem;
  padding: 1.25rem; margin: 0 0 1.25rem; min-width: 0; }
.columns { display: grid; gap: 0 1.25rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); }
.charts { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 22rem), 1fr)); }
.images { display: grid; gap: 1rem .75rem; grid-template-columns: repeat(auto-fill, minmax(6.5rem, 1fr)); }
figure { margin: 0; min-width: 0; }
figcaption { color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
img { display: block; max-width: 100%; height: auto; }
.charts img { margin: 0 auto; }
.images img { width: 100%; image-rendering: pixelated; border-radius: .35rem; margin-bottom: .35rem; }
dl { margin: 0; }
.numbers { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); }
.numbers div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.numbers dd { margin: 0; font-size: 1.35rem; font-weight: 650; line-height: 1.4;
  font-variant-numeric: tabular-nums; }
.numbers dt, .facts dt { color: var(--soft); font-size: .9rem; }
.facts div { display: grid; grid-template-columns: minmax(5.5rem, 1fr) 6fr; gap: 1rem; align-items: baseline;
  padding: .35rem 0; border-top: 1px solid var(--line); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .75rem .35rem 0; border-bottom: 1px solid var(--line); white-space: nowrap;
  text-align: right; }
th { color: var(--soft); font-weight: 500; font-size: .9rem; }
th.left, td.left { text-align: left; }
th:last-child, td:last-child { padding-right: 0; }
tr:last-child td { border-bottom: 0; }
td.left { white-space: normal; overflow-wrap: break-word; }
@media (max-width: 40rem) { table, th { font-size: .85rem; } th, td { padding-right: .5rem; } }
pre { margin: 0 0 1rem; padding: .75rem 1rem; background: var(--ground); border: 1px solid var(--line);
  border-radius: .5rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .9rem; }
p { margin: 0; }
"""


def page(title: str, parts: Iterable[str], data: str | None = None) -> str:
    """A whole page of HTML. It may load nothing from anywhere: the browser is told so too.

    `data` is a text for programs, which `data_in` gives back.

    Examples
    --------
    >>> page("a < b", [section("One", text("1"))]).splitlines()[1]
    '<html lang="en">'
    """
    kept = "" if data is None else f'<meta name="{DATA}" content="{escape(data)}">\n'
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
{kept}<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
{"".join(parts)}</main>
</body>
</html>
"""


def data_in(page: str) -> str | None:
    """The text for programs in a page, if it has one.

    Examples
    --------
    >>> data_in(page("A run", [], '{"lr": 0.1}'))
    '{"lr": 0.1}'
    """
    found = re.search(f'<meta name="{DATA}" content="([^"]*)">', page)
    return unescape(found[1]) if found else None


def section(heading: str, body: str) -> str:
    """A box with a heading, or nothing where it would be empty."""
    return f"<section>\n<h2>{escape(heading)}</h2>\n{body}</section>\n" if body else ""


def columns(parts: Iterable[str], kind: str = "columns") -> str:
    """Parts side by side where there is room: "columns", "charts" or small "images"."""
    inside = "".join(parts)
    return f'<div class="{kind}">\n{inside}</div>\n' if inside else ""


def text(words: str) -> str:
    """A paragraph."""
    return f"<p>{escape(words)}</p>\n"


def code(words: str) -> str:
    """Lines as they were typed."""
    return f"<pre><code>{escape(words)}</code></pre>\n"


def facts(pairs: Iterable[tuple[str, str]], kind: str = "facts") -> str:
    """Names and values, as lines ("facts") or in large figures ("numbers")."""
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>\n" for name, value in pairs)
    return f'<dl class="{kind}">\n{rows}</dl>\n'


def table(name: str, head: Sequence[str], rows: Iterable[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """A table in a box that scrolls sideways, its numbers on the right, the columns `left` on the left."""
    sides = [' class="left"' if k in left else "" for k in range(len(head))]
    heads = "".join(f'<th scope="col"{s}>{escape(h)}</th>' for s, h in zip(sides, head, strict=True))
    lines = "".join(
        "<tr>" + "".join(f"<td{s}>{escape(c)}</td>" for s, c in zip(sides, row, strict=True)) + "</tr>\n"
        for row in rows
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(name)}">\n<table>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}</tbody>\n</table>\n</div>\n"
    )


def figure(
    png: bytes, size: tuple[int, int], alt: str, caption: str = "", dark_png: bytes | None = None
) -> str:
    """A PNG picture inside the page, of (width, height) pixels, and another for a dark page."""
    source = ""
    if dark_png is not None:
        source = f'<source media="(prefers-color-scheme: dark)" srcset="{_data(dark_png)}">'
    width, height = size
    image = f'<img src="{_data(png)}" alt="{escape(alt)}" width="{width}" height="{height}">'
    below = "<br>".join(escape(line) for line in caption.splitlines())
    end = f"<figcaption>{below}</figcaption>" if caption else ""
    return f"<figure><picture>{source}{image}</picture>{end}</figure>\n"


def _data(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
