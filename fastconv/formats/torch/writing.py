"""Networks as PyTorch's modules: a Sequential of a row of layers, a program of torch.fx of anything else."""

import functools
import keyword
import math
import operator
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...checks.extras import require
from ...nn.activations import Softmax
from ...nn.block import Block
from ...nn.conv import Conv2d
from ...nn.layer import Layer, Shape
from ...nn.merge import Stack, Sum
from ...nn.network import Network, Node
from ...nn.pool import AvgPool2d
from ..probabilities import final_layer
from .modules import PADDED, POOLS, TRANSPOSED, module_of, own_padding, pads_of


def write_module(network: Network, softmax: bool = False) -> Any:
    """A torch.nn.Sequential of the network's layers, one module each, with copies of its numbers; of a
    network that is no such row a torch.fx.GraphModule, whose `state_dict` has the same names.

    A block becomes a Sequential of its parts, so that the names of its parameters are the same. With
    `softmax` a last module makes probabilities of logits.

    Raises
    ------
    ValueError
        If a layer has no counterpart, or the network's outputs are no logits.
    ImportError
        If PyTorch is not installed.
    """
    torch = require("torch", "torch", "`to_torch`")
    last = final_layer(network) if softmax else None
    with torch.device("meta"):  # without memory, and without drawing from PyTorch's random numbers
        ending = last and (torch.nn.Softmax(1) if isinstance(last, Softmax) else torch.nn.Sigmoid())
        if _is_sequential(network):
            module = _sequential(torch.nn, network.layers, "", {node.name: node for node in network.nodes})
            if ending is not None:
                module.append(ending)
        else:
            module = _graph(torch, network, ending)
    state = {name: torch.from_numpy(array) for name, array in network.state().items()}
    counters = {name for name in module.state_dict() if name not in state}
    module.load_state_dict(state | {name: torch.tensor(0) for name in counters}, assign=True)
    return module.eval()


# Rows


def _is_sequential(network: Network) -> bool:
    """Whether the layers stand in a row, and each is one module."""
    return network.outline.is_row and not any(
        node.layer.takes_several or _pads_outside(node) for node in network.nodes
    )


def _sequential(nn: Any, layers: Sequence[Layer], prefix: str, nodes: Mapping[str, Node]) -> Any:
    modules = []
    for number, layer in enumerate(layers):
        name = f"{prefix}{number}"
        if isinstance(layer, Block):  # others that are made of layers branch
            modules.append(_sequential(nn, layer.layers(), f"{name}.", nodes))
        else:
            modules.append(module_of(nn, name, nodes[name].layer, nodes[name].input_shape))
    return nn.Sequential(*modules)


# Graphs


def _graph(torch: Any, network: Network, ending: Any) -> Any:
    """A torch.fx.GraphModule: a module for each layer, under its name, and a program that calls them."""
    root = torch.nn.Module()
    for name, nodes in _by_name(network.nodes).items():
        layer = nodes[0].layer
        if any(_pads_outside(node) for node in nodes):
            bare = {"ceil_mode": False} if isinstance(layer, POOLS) else {}
            layer = replace(layer, padding=0, **bare)  # type: ignore[type-var]
        if not layer.takes_several:
            _put(torch, root, name, module_of(torch.nn, name, layer, nodes[0].input_shape))
    program = torch.fx.Graph()
    values = [program.placeholder(name) for name in _placeholders(network.input_names)]
    outside = {node.name for node in network.nodes if _pads_outside(node)}
    for node in network.nodes:
        values.append(_call(torch, program, node, [values[k] for k in node.inputs], node.name in outside))
    outputs = [values[k] for k in network.outputs]
    if ending is not None:
        name = _unused("probabilities", {node.name for node in network.nodes})
        _put(torch, root, name, ending)
        outputs = [program.call_module(name, (outputs[0],))]
    program.output(_packed(outputs, network.output_names))
    return torch.fx.GraphModule(root, program)


def _by_name(nodes: Iterable[Node]) -> dict[str, list[Node]]:
    """The nodes of each name; those of one name are one layer that is called several times."""
    found: dict[str, list[Node]] = {}
    for node in nodes:
        found.setdefault(node.name, []).append(node)
    return found


def _put(torch: Any, root: Any, name: str, module: Any) -> None:
    """Make `module` the part `name` of `root`, within parts of parts where the name has dots."""
    *path, last = name.split(".")
    for part in path:
        if part not in root._modules:
            _add(root, part, torch.nn.Module(), name)
        root = root._modules[part]
    for part, within in root._modules[last].named_children() if last in root._modules else ():
        _add(module, part, within, f"{name}.{part}")
    _add(root, last, module, name)


def _add(root: Any, part: str, module: Any, name: str) -> None:
    """Make `module` a part of `root`, if Python code can call it so; `name` is that of the layer."""
    used = part == "self" or keyword.iskeyword(part) or (hasattr(root, part) and part not in root._modules)
    if used or not part.isprintable() or set(part) & set('"\\'):
        raise ValueError(f"layer {name}: in PyTorch no module can be called {part!r}; give it another name")
    root.add_module(part, module)


def _unused(name: str, taken: set[str]) -> str:
    return _unused(f"{name}_", taken) if name in taken else name


def _placeholders(names: Sequence[str]) -> list[str]:
    """Arguments of a Python function for the inputs of these names."""
    if len(names) == 1:
        return ["x"]
    found: list[str] = []
    for name in names:
        plain = re.sub(r"\W|^(?=\d)", "_", name)
        found.append(_unused(plain, {*found, *keyword.kwlist, "self"}))
    return found


def _packed(outputs: list[Any], names: Sequence[str]) -> Any:
    """What the module returns: the only output, a tuple, or where they have names a dictionary."""
    if len(outputs) == 1:
        return outputs[0]
    if list(names) == [f"output_{k}" for k in range(len(names))]:
        return tuple(outputs)
    return dict(zip(names, outputs, strict=True))


def _call(torch: Any, program: Any, node: Node, given: list[Any], outside: bool) -> Any:
    """What the program makes of the values that a node reads."""
    if isinstance(node.layer, Sum):
        return functools.reduce(lambda a, b: program.call_function(operator.add, (a, b)), given)
    if isinstance(node.layer, Stack):
        return program.call_function(torch.cat, (given, 1))
    if outside:
        return _padded_call(torch, program, node, given[0])
    return program.call_module(node.name, (given[0],))


# Padding that PyTorch's modules don't have


def _pads_outside(node: Node) -> bool:
    return (
        isinstance(node.layer, (*PADDED, *TRANSPOSED)) and own_padding(node.layer, node.input_shape) is None
    )


def _padded_call(torch: Any, program: Any, node: Node, x: Any) -> Any:
    """The module without padding and F.pad before it, so that all windows of pools end within the padding;
    after a transposed convolution F.pad cuts off.
    """

    def padded(value: Any, pads: list[tuple[int, int]], fill: float) -> Any:
        sizes = [size for pair in reversed(pads) for size in pair]
        if not any(sizes):
            return value
        return program.call_function(torch.nn.functional.pad, (value, sizes), {"value": fill} if fill else {})

    layer: Any = node.layer
    pads = pads_of(layer, node.input_shape)
    if isinstance(layer, TRANSPOSED):
        return padded(program.call_module(node.name, (x,)), [(-a, -b) for a, b in pads], 0.0)
    image = layer.image_layer()
    if isinstance(image, Conv2d):
        return program.call_module(node.name, (padded(x, pads, 0.0),))
    ends = _ends(image, pads, node.input_shape, node.output_shape)
    around = [(before, end) for (before, _), end in zip(pads, ends, strict=True)]
    if not isinstance(image, AvgPool2d):
        return program.call_module(node.name, (padded(x, around, -math.inf),))
    counted = [(before, min(after, end)) for (before, after), end in zip(pads, ends, strict=True)]
    over = [(0, end - after) for (_, after), end in zip(counted, ends, strict=True)]
    mean = program.call_module(node.name, (padded(x, around, 0.0),))
    if image.count_include_pad and not any(map(any, over)):
        return mean
    ones = program.call_function(torch.ones_like, (x,))
    ones = padded(padded(ones, counted, float(image.count_include_pad)), over, 0.0)
    share = program.call_module(node.name, (ones,))  # of each window, what its mean is taken over
    return program.call_function(operator.truediv, (mean, share))


def _ends(image: Any, pads: list[tuple[int, int]], below: Shape, above: Shape) -> list[int]:
    """How much padding the last windows need at the end of each axis, so that all of them lie inside."""
    dilation = getattr(image, "dilation", (1, 1))
    axes = list(zip(image.kernel_size, image.stride, dilation, strict=True))[-len(pads) :]
    return [
        max((o - 1) * s + d * (k - 1) + 1 - size - before, 0)
        for (k, s, d), (before, _), size, o in zip(axes, pads, below[1:], above[1:], strict=True)
    ]
