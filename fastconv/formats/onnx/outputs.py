"""Which of a file's outputs are the network's: exporters of scikit-learn add the label, and name classes."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from ...nn.layer import Arrays
from .node import DTYPES, Node

LEARN = "ai.onnx.ml"  # the domain of operators that scikit-learn's exporters use
_ONE_ARRAY = 'options={id(model): {"zipmap": False}} of skl2onnx writes probabilities as one array'


class Outputs(NamedTuple):
    """The values that the network makes, the nodes that they take, and the classes' names, if known."""

    names: list[str]
    nodes: list[Any]
    classes: list[Any] | None


def find_outputs(onnx: Any, graph: Any, constants: Arrays) -> Outputs:
    """The outputs of numbers; a label that is made of one is left out.

    Raises
    ------
    ValueError
        If there is none, or scikit-learn's exporter has cut one in columns.
    """
    makers = {name: node for node in graph.node for name in node.output if name}
    maps = [makers[value.name] for value in graph.output if _is_kind(makers.get(value.name), "ZipMap")]
    numbers = [v.name for v in graph.output if v.type.tensor_type.elem_type in DTYPES]
    names = numbers + [node.input[0] for node in maps]
    if len(graph.output) == 1 and not maps:
        names = [graph.output[0].name]
    learned = any(node.domain == LEARN for node in graph.node)
    if len(names) != 1 and (learned or not names):
        hint = f": {_ONE_ARRAY}" if learned else ""
        raise ValueError(f"it must have one input and one output, got 1 and {len(graph.output)}{hint}")
    needed = _ancestors(makers, names)
    nodes = [node for node in graph.node if id(node) in needed]
    return Outputs(names, nodes, _classes(onnx, maps, graph.node, constants))


def needed_nodes(nodes: list[Node], names: list[str], constants: Arrays) -> list[Node]:
    """Those of the nodes of which values are made, without what is worked out already."""
    wanted, found = set(names), []
    for node in reversed(nodes):
        if any(name in wanted and name not in constants for name in node.outputs if name):
            wanted.update(node.inputs)
            found.append(node)
    return found[::-1]


def _is_kind(node: Any, kind: str) -> bool:
    return node is not None and node.op_type == kind and node.domain == LEARN


def _ancestors(makers: dict[str, Any], names: Iterable[str]) -> set[int]:
    """The identities of the nodes of which values are made."""
    found: set[int] = set()
    waiting = list(names)
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and id(node) not in found:
            found.add(id(node))
            waiting.extend(node.input)
    return found


def _classes(onnx: Any, maps: list[Any], nodes: Iterable[Any], constants: Arrays) -> list[Any] | None:
    """The names of the classes: keys of a map, or the table in which labels are looked up."""
    for node in maps:
        for attribute in node.attribute:
            if attribute.name.startswith("classlabels"):
                return [_text(name) for name in onnx.helper.get_attribute_value(attribute)]
    for node in nodes:
        if _is_kind(node, "ArrayFeatureExtractor") and node.input[0] in constants:
            return [_text(name) for name in constants[node.input[0]].reshape(-1).tolist()]
    return None


def _text(name: Any) -> Any:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name
