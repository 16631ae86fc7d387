"""A network as a table: what each layer gives, holds and costs, and who reads what it gives.

layer           output shape  parameters  products  read by
------------------------------------------------------------
input           (1, 6, 6)              0         0
0  Conv2d(...)  (4, 6, 6)             40     1,296  1.layers.0, 1
"""

import html
from typing import TYPE_CHECKING, NamedTuple

from .block import own_arrays
from .layer import Shape

if TYPE_CHECKING:
    from .network import Network

HEAD = ("layer", "output shape", "parameters", "products", "read by")
SHARED = "shared"  # in the place of the parameters that have been counted above


class Row(NamedTuple):
    """An input or a node of a network.

    `parameters` is None where a layer shares those of one above; `readers` is empty where only the next row
    reads the value, and where it is what the network gives.
    """

    name: str
    output_shape: Shape
    parameters: int | None
    products: int
    readers: tuple[str, ...]


def rows(network: "Network") -> list[Row]:
    """What each input and each node of a network is, in the order in which they run.

    Examples
    --------
    >>> import fastconv as fc
    >>> block = fc.Residual([fc.Dense(3)])
    >>> found = rows(fc.Sequential([block, fc.ReLU()], (3,)))
    >>> [row.name.split()[0] for row in found], [row.readers for row in found]
    (['input', '0.layers.0', '0', '1'], [('0.layers.0', '0'), (), (), ()])
    """
    readers = _readers(network)
    width = max(len(node.name) for node in network.nodes)
    found = [
        Row(name, shape, 0, 0, readers[value])
        for value, name, shape in zip(network.inputs, network.input_names, network.input_shapes, strict=True)
    ]
    parameters, known = network.parameters(), set()
    for node in network.nodes:
        own = sum(array.size for array in own_arrays(parameters, node.name).values())
        name = f"{node.name:<{width}}  {node.layer.call()}"
        count = None if own and node.name in known else own
        known.add(node.name)
        products = node.layer.products(node.input_shape)
        found.append(Row(name, node.output_shape, count, products, readers[node.output]))
    return found


def _readers(network: "Network") -> dict[int, tuple[str, ...]]:
    """Value -> the names of what reads it, unless that is obvious."""
    values = [*network.inputs, *(node.output for node in network.nodes)]
    readers: dict[int, list[str]] = {value: [] for value in values}
    for node in network.nodes:
        for value in dict.fromkeys(node.inputs):
            readers[value].append(node.name)
    for value, name in zip(network.outputs, network.output_names, strict=True):
        readers[value].append(name if name.startswith("output") else f"output {name}")
    following = [*(node.name for node in network.nodes), "output"]
    before = len(network.inputs) - 1  # the last of the inputs stands above the first node
    for number, value in enumerate(values[before:]):
        if readers[value] == [following[number]]:
            readers[value] = []
    return {value: tuple(names) for value, names in readers.items()}


def as_text(network: "Network") -> str:
    """The table in columns, and a line below it with the totals."""
    cells = _cells(network)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        texts = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        texts[2:4] = [cell.rjust(width) for cell, width in zip(row[2:4], widths[2:4], strict=True)]
        lines.append("  ".join(texts).rstrip())
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([lines[0], rule, *lines[1:], totals(network)])


def as_html(network: "Network") -> str:
    """The same for a notebook."""
    head, *body = ([html.escape(cell) for cell in row] for row in _cells(network))
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    lines = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in body)
    return f"<table><tr>{cells}</tr>{lines}</table><p>{html.escape(totals(network))}</p>"


def totals(network: "Network") -> str:
    """What the layers come to together."""
    size = f"{network.dtype}, {network.flat_parameters.nbytes:,} bytes"
    return f"parameters: {network.num_parameters:,} ({size}); products of one sample: {network.products():,}"


def _cells(network: "Network") -> list[tuple[str, ...]]:
    """The table as texts; without its last column where no row has something in it."""
    found = [
        (
            row.name,
            str(row.output_shape),
            SHARED if row.parameters is None else f"{row.parameters:,}",
            f"{row.products:,}",
            ", ".join(row.readers),
        )
        for row in rows(network)
    ]
    columns = len(HEAD) if any(row[-1] for row in found) else len(HEAD) - 1
    return [row[:columns] for row in (HEAD, *found)]
