"""Which of a file's outputs is the network's: exporters of scikit-learn add the label, and name classes."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from ...nn.layer import Arrays
from .chain import DTYPES

LEARN = "ai.onnx.ml"  # the domain of operators that scikit-learn's exporters use
_ONE_ARRAY = 'options={id(model): {"zipmap": False}} of skl2onnx writes probabilities as one array'


class Output(NamedTuple):
    """The value that the network makes, the nodes that it takes, and its classes' names, if known."""

    name: str
    nodes: list[Any]
    classes: list[Any] | None


def find_output(onnx: Any, graph: Any, constants: Arrays) -> Output:
    """The one output of numbers; a label that is made of it is left out.

    Raises
    ------
    ValueError
        If there is more than one, or none.
    """
    makers = {name: node for node in graph.node for name in node.output if name}
    maps = [makers[value.name] for value in graph.output if _is_kind(makers.get(value.name), "ZipMap")]
    numbers = [v.name for v in graph.output if v.type.tensor_type.elem_type in DTYPES]
    found = numbers + [node.input[0] for node in maps]
    if len(graph.output) == 1 and not maps:
        return Output(graph.output[0].name, list(graph.node), None)
    if len(found) != 1:
        hint = f": {_ONE_ARRAY}" if any(node.domain == LEARN for node in graph.node) else ""
        raise ValueError(f"it must have one input and one output, got 1 and {len(graph.output)}{hint}")
    name = found[0]
    others = [value.name for value in graph.output if value.name != name]
    needed, left_out = _ancestors(makers, [name]), _ancestors(makers, others)
    nodes = [n for n in graph.node if id(n) in needed or id(n) not in left_out]
    return Output(name, nodes, _classes(onnx, maps, graph.node, constants))


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
