"""Where the boxes of a graph lie: in levels by their depth, a level in an order in which few edges cross.

    level 0         a               Edges go down. An edge over several levels has a place of its own
    level 1         b ---+          in each of them, where it bends if it must.
    level 2         c    |
    level 3         d ---+

Deep graphs go on in a further column, where a single edge leads on. Source: Sugiyama, Tagawa and Toda (1981),
"Methods for visual understanding of hierarchical system structures".
"""

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

Edge = tuple[int, int]
Point = tuple[float, float]

BOX, BEND = 0.5, 0.05  # half of the width of a box, and of an edge's place
GAP = 0.14  # between two of a level
COLUMN_GAP = 0.35
SWEEPS = 100  # then nothing moves any more
WEAK = 0.1  # how much less an edge that bends pulls at its ends

Vertex = int | Edge  # a box by its number, or the bend of edge e at level l as (e, l)


@dataclass(frozen=True)
class Placed:
    """Where everything lies; x in widths of a box, y in levels, downwards.

    Attributes
    ----------
    boxes : list of points
        The middle of each vertex.
    ways : list of lists of points
        Where each edge bends, from its start to its end.
    next_column : list of bool
        Whether an edge leads from the foot of a column to the head of the next.
    width, height : float
        All lies between (0, 0) and (width, height).
    gutters : list of float
        The x between a column and the next.
    """

    boxes: list[Point]
    ways: list[list[Point]]
    next_column: list[bool]
    width: float
    height: float
    gutters: list[float]


@dataclass
class _Column:
    """The levels of one column, each from left to right; edges between neighbours; and what is in a line."""

    levels: list[list[Vertex]]
    pairs: list[tuple[Vertex, Vertex]] = field(default_factory=list)
    line: dict[Vertex, Vertex] = field(default_factory=dict)  # to one that stands for all of its line
    x: dict[Vertex, float] = field(default_factory=dict)

    def join(self, *vertices: Vertex) -> None:
        """Put vertices into one line, and all that is in a line with one of them."""
        lines = {self.line[vertex] for vertex in vertices}
        first = min(lines, key=str)
        self.line.update({vertex: first for vertex, line in self.line.items() if line in lines})


def place(count: int, edges: Sequence[Edge], straight: Sequence[bool], proportion: float) -> Placed:
    """Where the vertices and edges of a graph lie.

    Parameters
    ----------
    count : int
        Vertices; each has a greater number than those that its edges come from.
    edges : list of (source, target)
    straight : list of bool
        Whether an edge shall be: at most one of those into a vertex, and of those out of it.
    proportion : float
        Width / height that is aimed at, in widths of a box and levels.

    Returns
    -------
    Placed

    Examples
    --------
    >>> placed = place(3, [(0, 1), (1, 2), (0, 2)], [True, True, False], 1.0)
    >>> [y for _, y in placed.boxes], [len(way) for way in placed.ways]
    ([0.5, 1.5, 2.5], [0, 0, 1])
    """
    depth = depths(count, edges)
    starts = _column_starts(depth, edges, proportion)
    column_of = [sum(d >= start for start in starts) - 1 for d in depth]
    crossing = [column_of[s] != column_of[t] for s, t in edges]
    columns = [
        _column(depth, edges, straight, crossing, range(start, end))
        for start, end in pairwise([*starts, max(depth) + 1])
    ]
    left, gutters = 0.0, []
    for column in columns:
        first, last = _spread(column)
        for vertex in column.x:
            column.x[vertex] += left - first
        left += last - first + COLUMN_GAP
        gutters.append(left - COLUMN_GAP / 2)
    boxes = [(columns[c].x[v], depth[v] - starts[c] + 0.5) for v, c in enumerate(column_of)]
    ways = [
        [
            (columns[column_of[s]].x[e, level], level - starts[column_of[s]] + 0.5)
            for level in range(depth[s] + 1, depth[t])
        ]
        for e, (s, t) in enumerate(edges)
    ]
    height = max(len(column.levels) for column in columns)
    return Placed(boxes, ways, crossing, left - COLUMN_GAP, float(height), gutters[:-1])


def depths(count: int, edges: Sequence[Edge]) -> list[int]:
    """The level of each vertex: below all that it comes from; a start stands right above what needs it.

    Examples
    --------
    >>> depths(5, [(0, 2), (2, 3), (3, 4), (1, 4)])
    [0, 2, 1, 2, 3]
    """
    depth = [0] * count
    for source, target in sorted(edges, key=lambda edge: edge[1]):
        depth[target] = max(depth[target], depth[source] + 1)
    for start in set(range(count)) - {target for _, target in edges}:
        below = [depth[target] for source, target in edges if source == start]
        depth[start] = min(below) - 1 if below else 0
    return depth


def _column_starts(depth: list[int], edges: Sequence[Edge], proportion: float) -> list[int]:
    """The first level of each column."""
    levels = max(depth) + 1
    across = [0] * levels  # edges between a level and the one before it
    for source, target in edges:
        for level in range(depth[source] + 1, depth[target] + 1):
            across[level] += 1
    allowed = [level for level in range(1, levels) if across[level] == 1]
    wide = max(across) * (2 * BEND + GAP) + max(np.bincount(depth))

    def of_rows(rows: int) -> list[int]:
        starts, last = [0], 0
        for level in [*allowed, levels]:
            if level - starts[-1] > rows and last > starts[-1]:
                starts.append(last)
            last = level
        return starts

    def misfit(starts: list[int]) -> float:
        rows = max(b - a for a, b in pairwise([*starts, levels]))
        empty = math.log(len(starts) * rows / levels)
        return abs(math.log(len(starts) * (wide + COLUMN_GAP) / rows / proportion)) + 2 * empty

    return min((of_rows(-(-levels // k)) for k in range(1, max(2, levels // 3))), key=misfit)


def _column(
    depth: list[int], edges: Sequence[Edge], straight: Sequence[bool], crossing: list[bool], levels: range
) -> _Column:
    """The vertices of some levels in their order, and which are in a line."""
    column = _Column([[] for _ in levels])
    column.line = {v: v for v, level in enumerate(depth) if level in levels}
    readers = [sum(s == v for s, _ in edges) for v in range(len(depth))]
    for e, (source, target) in enumerate(edges):
        if source not in column.line or crossing[e]:
            continue
        bends: list[Vertex] = [(e, level) for level in range(depth[source] + 1, depth[target])]
        column.line.update({bend: bend for bend in bends})
        way: list[Vertex] = [source, *bends, target]
        column.pairs += pairwise(way)
        if straight[e]:
            column.join(*way)
        elif bends:
            column.join(*bends, *([source] if readers[source] == 1 else []))
    for vertex in _order(depth, edges, column.line):
        level = vertex[1] if isinstance(vertex, tuple) else depth[vertex]
        column.levels[level - levels.start].append(vertex)
    return column


def _order(depth: list[int], edges: Sequence[Edge], here: Container[Vertex]) -> list[Vertex]:
    """Boxes and bends from left to right: each branch to its end, then what is beside it.

    Followed backwards from the ends, branches are found in the order in which they are joined: graphs of
    branches within branches have no edges that cross.
    """
    incoming: dict[int, list[int]] = {}
    for e, (_, target) in enumerate(edges):
        incoming.setdefault(target, []).append(e)
    found: dict[Vertex, None] = {}
    inside: list[Vertex] = [v for v in range(len(depth)) if v in here]
    waiting: list[Vertex] = [v for v in inside if all(s != v or t not in here for s, t in edges)][::-1]
    while waiting:
        vertex = waiting.pop()
        if vertex in found:
            continue
        found[vertex] = None
        if isinstance(vertex, tuple):
            edge, level = vertex
            above = (edge, level - 1) if level - 1 > depth[edges[edge][0]] else edges[edge][0]
            waiting.append(above)
            continue
        for e in reversed(incoming.get(vertex, [])):
            source = edges[e][0]
            above = (e, depth[vertex] - 1) if depth[vertex] - 1 > depth[source] else source
            if above in here:
                waiting.append(above)
    return list(found)


def _spread(column: _Column) -> Point:
    """Find the x of a column's boxes and bends; returns where the leftmost and rightmost of them end."""
    if (x := _lines_apart(column)) is None:  # lines that cross: each for itself
        column.line = {vertex: vertex for vertex in column.line}
        x = _lines_apart(column) or {}
    column.x = {vertex: x[line] for vertex, line in column.line.items()}
    return (
        min(at - _half(vertex) for vertex, at in column.x.items()),
        max(at + _half(vertex) for vertex, at in column.x.items()),
    )


def _half(vertex: Vertex) -> float:
    return BEND if isinstance(vertex, tuple) else BOX


def _lines_apart(column: _Column) -> dict[Vertex, float] | None:
    """The x of each line, near those that its edges lead to; None if two must be left of each other."""
    line = column.line
    apart: dict[tuple[Vertex, Vertex], float] = {}
    for level in column.levels:
        for a, b in pairwise(level):
            pair = line[a], line[b]
            apart[pair] = max(apart.get(pair, 0.0), _half(a) + GAP + _half(b))
    x = dict.fromkeys(line.values(), 0.0)
    for _ in range(len(x) + 1):  # as far left as they can be
        moved = False
        for (a, b), least in apart.items():
            if x[b] < x[a] + least:
                x[b], moved = x[a] + least, True
        if not moved:
            break
    else:
        return None
    _settle(column, apart, x)
    return x


def _settle(column: _Column, apart: dict[tuple[Vertex, Vertex], float], x: dict[Vertex, float]) -> None:
    """Move each line to the mean of those that its edges lead to, as far as its neighbours let it."""
    line = column.line
    pulls: dict[Vertex, list[tuple[Vertex, float]]] = {name: [] for name in x}
    for a, b in column.pairs:
        if line[a] != line[b]:
            pulls[line[a]].append((line[b], WEAK if isinstance(b, tuple) else 1.0))
            pulls[line[b]].append((line[a], WEAK if isinstance(a, tuple) else 1.0))
    left: dict[Vertex, list[tuple[Vertex, float]]] = {name: [] for name in x}
    right: dict[Vertex, list[tuple[Vertex, float]]] = {name: [] for name in x}
    for (a, b), least in apart.items():
        left[b].append((a, least))
        right[a].append((b, least))
    for sweep in range(SWEEPS):
        for name in sorted(x, key=lambda v: x[v], reverse=sweep % 2 == 0):
            if pulls[name]:
                mean = sum(x[other] * pull for other, pull in pulls[name]) / sum(w for _, w in pulls[name])
                low = max((x[other] + least for other, least in left[name]), default=-math.inf)
                high = min((x[other] - least for other, least in right[name]), default=math.inf)
                x[name] = min(max(mean, low), high)
