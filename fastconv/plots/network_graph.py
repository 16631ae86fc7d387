"""A network as a picture: a box for each layer, and arrows for what they read."""

import re
from typing import Any

from ..checks.extras import require
from ..models.model import Model
from ..nn.graph import Node
from ..nn.layer import Layer
from ..nn.merge import Stack
from .panels import literal
from .placing import Placed, Point, place

# Inches of a box's width and of a level, and how much of a level the box takes; the rest is for arrows.
BOX, LEVEL, FILLED = 1.8, 0.62, 0.56
LABEL, STUB = 0.11, 0.2  # levels below a box: the middle of its value's shape, and where arrows may turn
PROPORTION = 1.4  # of a picture's width to its height, where the network allows it
LETTERS = 30  # that a box has room for in a line
INK = "0.25"
# What a layer is for, by the words in the name of its class, and its colour; pale, so that text is read.
COLOURS = (
    (("Conv", "Dense"), "#cfe0f3"),
    (("Norm",), "#d5ecd4"),
    (("Pool", "Upsample"), "#f6d5d3"),
    (("Dropout", "Flatten"), "#e8e8e8"),
    (("Sum", "Stack"), "#e3d7f0"),
    (("",), "#fbe5c8"),  # activations, and layers of users
)


def graph(model: Model, *, ax: Any = None) -> Any:
    """A network as boxes and arrows: its layers from top to bottom, and which of them read what.

    Parameters
    ----------
    model : Model
    ax : Axes, optional
        Default is a new figure, as large as the network needs; a long one goes on in further columns.

    Returns
    -------
    Axes
        A box for each layer with its name and its settings, in the colour of its kind, and ends for inputs
        and outputs. An arrow goes from what makes a value to what reads it; beside its start stands the
        value's shape.

    Raises
    ------
    TypeError
        If `model` is no network.

    Examples
    --------
    >>> import fastconv as fc
    >>> block = fc.Residual([fc.Conv2d(2, 3, padding="same"), fc.ReLU()])
    >>> ax = fc.plots.graph(fc.Sequential([block, fc.Flatten()], (2, 4, 4)))
    >>> [text.get_text() for text in ax.texts][:3]
    ['input', '0.layers.0  Conv2d\\n2, 3, same', '0.layers.1  ReLU']
    """
    if not isinstance(model, Model):
        raise TypeError(f"`model` must be a network, got {type(model).__name__}")
    outline = _Outline(model)
    placed = place(len(outline.texts), outline.edges, outline.straight(), PROPORTION * LEVEL / BOX)
    if ax is None:
        pyplot = require("matplotlib.pyplot", "plot", "fastconv.plots")
        size = BOX * placed.width + 0.1, LEVEL * placed.height + 0.1
        ax = pyplot.figure(figsize=size).add_axes((0, 0, 1, 1))
    ax.set_axis_off()
    ax.set_xlim(-0.03, placed.width + 0.03)
    ax.set_ylim(placed.height + 0.05, -0.05)
    _draw(ax, outline, placed)
    return ax


class _Outline:
    """What is drawn: the inputs, the nodes and the outputs as vertices in that order, and edges between them.

    Attributes
    ----------
    texts, colours : lists of str
        Of each vertex; ends have no colour.
    shapes : list of tuples
        Of the values that inputs and nodes make.
    edges : list of (source, target)
    follows : list of bool
        Whether the target of an edge could be in a line with its source.
    stacks : set of int
        The vertices where branches are stacked.
    """

    def __init__(self, model: Model) -> None:
        self.texts, self.shapes = list(model.input_names), list(model.input_shapes)
        self.colours = [""] * len(model.inputs)
        maker = {value: number for number, value in enumerate(model.inputs)}
        self.edges: list[tuple[int, int]] = []
        self.follows: list[bool] = []
        self.stacks: set[int] = set()
        known: set[str] = set()
        for node in model.nodes:
            number = len(self.texts)
            maker[node.output] = number
            if isinstance(node.layer, Stack):  # its branches are equals; what is added to the first passes by
                self.stacks.add(number)
            self.edges += [(maker[value], number) for value in node.inputs]
            self.follows += [k == 0 and number not in self.stacks for k in range(len(node.inputs))]
            self.texts.append(_text(node, node.name in known and _has_weights(node)))
            self.colours.append(_colour(node.layer))
            self.shapes.append(node.output_shape)
            known.add(node.name)
        for value, name in zip(model.outputs, model.output_names, strict=True):
            self.edges.append((maker[value], len(self.texts)))
            self.follows.append(True)
            self.texts.append(name)
            self.colours.append("")

    def straight(self) -> list[bool]:
        """Of each edge, whether it is drawn straight: the main way through what is added.

        Where branches begin that are stacked, or that never meet, none of them is the main one.
        """
        below: list[set[int]] = [{v} for v in range(len(self.texts))]  # all that each vertex leads to
        for source, target in sorted(self.edges, reverse=True):
            below[source] |= below[target]
        found = [False] * len(self.edges)
        for vertex in range(len(self.texts)):
            leaving = [e for e, (source, _) in enumerate(self.edges) if source == vertex]
            if leaving:
                meeting = set.intersection(*(below[self.edges[e][1]] for e in leaving))
                first = next((e for e in leaving if self.follows[e]), None)
                if first is not None and meeting and (len(leaving) == 1 or min(meeting) not in self.stacks):
                    found[first] = True
        return found


def _has_weights(node: Node) -> bool:
    return bool(node.layer.parameter_shapes(node.input_shape))


def _text(node: Node, again: bool) -> str:
    """A layer's name and class, and below them its settings; as one would write them, in short."""
    kind, _, settings = node.layer.call().partition("(")
    settings = settings[:-1].replace("kernel_size=", "").replace("padding='same'", "same")
    settings = re.sub(r"(\w+)=False", r"no \1", settings).replace("=", " ").replace("'", "")
    name = node.name
    while len(name) + 2 + len(kind) > LETTERS and "." in name.removeprefix("..."):
        name = f"...{name.removeprefix('...').partition('.')[2]}"
    shared = " (shared)" * again
    settings = _short(settings, LETTERS - len(shared)) + shared
    return "\n".join(filter(None, [_short(f"{name}  {kind}", LETTERS), settings.strip()]))


def _short(line: str, letters: int) -> str:
    return line if len(line) <= letters else f"{line[: letters - 3]}..."


def _colour(layer: Layer) -> str:
    kinds = " ".join(kind.__name__ for kind in type(layer).__mro__ if kind is not Layer)
    return next(colour for words, colour in COLOURS if any(word in kinds for word in words))


# Drawing


def _draw(ax: Any, outline: _Outline, placed: Placed) -> None:
    patches = require("matplotlib.patches", "plot", "fastconv.plots")
    points = _font_size(ax, placed)
    written: dict[str, Any] = {"va": "center", "zorder": 4}
    for (x, y), text, colour in zip(placed.boxes, outline.texts, outline.colours, strict=True):
        width, rounded = (1.0, 0.03) if colour else (0.55, 0.09)
        look = {"facecolor": colour or "white", "edgecolor": INK, "linewidth": 0.7, "zorder": 3}
        style = f"round,pad=0,rounding_size={rounded}"
        corner = x - width / 2, y - FILLED / 2
        box = patches.FancyBboxPatch(
            corner, width, FILLED, boxstyle=style, mutation_aspect=BOX / LEVEL, **look
        )
        ax.add_patch(box)
        inside = {"ha": "center", "color": "black", "fontsize": points, "linespacing": 1.15}
        ax.text(x, y, _literal_lines(text), **inside, **written)
    for edge, (start, end) in enumerate(_ports(outline, placed)):
        path = _route(placed, edge, start, end, outline.edges[edge][0])
        arrow = {"arrowstyle": "-|>", "mutation_scale": 0.8 * points, "shrinkA": 0, "shrinkB": 0}
        look = {"facecolor": INK, "edgecolor": INK, "linewidth": 0.8, "zorder": 2}
        ax.add_patch(patches.FancyArrowPatch(path=path, **arrow, **look))
    for (x, y), shape in zip(placed.boxes, outline.shapes, strict=False):
        beside = {"ha": "left", "color": INK, "fontsize": 0.85 * points}
        ax.text(x + 0.03, y + FILLED / 2 + LABEL, " x ".join(map(str, shape)), **beside, **written)


def _literal_lines(text: str) -> str:
    """Lines of unknown origin as matplotlib draws them."""
    return "\n".join(map(literal, text.split("\n")))


def _font_size(ax: Any, placed: Placed) -> float:
    """Points, so that a line of letters fits into a box, and two lines into its height."""
    figure = ax.figure
    box = ax.get_window_extent().transformed(figure.dpi_scale_trans.inverted())
    across, down = 72 * box.width / placed.width, 72 * box.height * FILLED / placed.height
    return float(min(9.0, across / (0.52 * LETTERS), down / 2.6))


def _ports(outline: _Outline, placed: Placed) -> list[tuple[Point, Point]]:
    """Where each edge leaves and enters: arrows into one box side by side, in the order of where they come
    from."""
    entering: dict[int, list[tuple[float, int]]] = {}
    for edge, (source, target) in enumerate(outline.edges):
        way = placed.ways[edge]
        entering.setdefault(target, []).append((way[-1][0] if way else placed.boxes[source][0], edge))
    found: dict[int, tuple[Point, Point]] = {}
    for target, edges in entering.items():
        x, y = placed.boxes[target]
        apart = min(0.12, 0.7 / len(edges))
        for number, (_, edge) in enumerate(sorted(edges)):
            (start, top), shift = placed.boxes[outline.edges[edge][0]], number - (len(edges) - 1) / 2
            found[edge] = (start, top + FILLED / 2), (x + apart * shift, y - FILLED / 2)
    return [found[edge] for edge in range(len(outline.edges))]


def _route(placed: Placed, edge: int, start: Point, end: Point, source: int) -> Any:
    """An edge's path: curves from level to level; into the next column in straight lines."""
    Path = require("matplotlib.path", "plot", "fastconv.plots").Path
    points, codes = [start], [Path.MOVETO]
    if placed.next_column[edge]:
        between = next(x for x in placed.gutters if x > placed.boxes[source][0])
        foot, head = start[1] + STUB, end[1] - STUB / 2
        points += [(start[0], foot), (between, foot), (between, head), (end[0], head), end]
        return Path(points, codes + [Path.LINETO] * 5)
    below = (1 - FILLED) / 2
    for x, y in placed.ways[edge]:
        _turn(points, codes, (x, y - 0.5 + below))
        points.append((x, y + 0.5 - below))
        codes.append(Path.LINETO)
    _turn(points, codes, end)
    return Path(points, codes)


def _turn(points: list[Point], codes: list[Any], end: Point) -> None:
    """Go on to a point: a little straight down, past the shape of the value, then in a curve."""
    x, y = points[-1][0], points[-1][1] + STUB
    middle = (y + end[1]) / 2
    points += [(x, y), (x, middle), (end[0], middle), end]
    codes += [2, 4, 4, 4]  # Path.LINETO, Path.CURVE4
