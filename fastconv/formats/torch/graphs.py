"""Any module of PyTorch as a network: torch.fx says what it calls, and a run says how large everything is."""

import inspect
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...nn.layer import Arrays, Shape
from ...nn.outline import Outline
from .calls import CONSTANT, check_call, read_function_call, read_module_call
from .checks import check_plain_at, kind_and_device, kind_of
from .modules import LAYERS
from .wires import SAMPLES, Constant, NoCounterpart, Reading, Site, ValuesAndPlaces, Wire, within

# What fx says of sizes: Python's numbers, not tensors.
SIZES = {"size", "getattr", "dim", "ndimension", "numel", "len", "is_floating_point", "get_device"}


def read_graph(torch: Any, module: Any, shapes: Sequence[Shape]) -> tuple[Outline, Arrays, tuple[bool, ...]]:
    """The network of a module in evaluation mode, its arrays, and which outputs go on with a log_softmax.

    Raises
    ------
    ValueError
        If torch.fx can't trace it, or a call has no counterpart: one line that names it.
    """
    for where, part in module.named_modules():
        check_plain_at(where, part)
    graph = _traced(torch, module, len(shapes))
    return _Run(torch, module, graph, shapes).read()


def _traced(torch: Any, module: Any, count: int) -> Any:
    """The graph of torch.fx; arguments after the first `count` keep their defaults."""
    signature = inspect.signature(module.forward).parameters.values()
    arguments = [p for p in signature if p.kind <= p.POSITIONAL_OR_KEYWORD]
    others = [p for p in signature if p.kind == p.KEYWORD_ONLY and p.default is not p.empty]
    needed = [p.name for p in arguments if p.default is p.empty]
    if not arguments:
        raise ValueError("`module` must have a `forward` that takes its inputs by name, got one without")
    if not len(needed) <= count <= len(arguments):
        names = ", ".join(p.name for p in arguments)
        raise ValueError(
            f"`input_shape` must be a list of {len(needed)} shapes, one for each argument of `module` "
            f"({names}), got {count}"
        )
    tracer = torch.fx.Tracer()
    is_leaf = tracer.is_leaf_module
    tracer.is_leaf_module = lambda part, name: bool(kind_of(torch, part, LAYERS)) or is_leaf(part, name)
    try:
        return tracer.trace(module, {p.name: p.default for p in (*arguments[count:], *others)} or None)
    except Exception as error:  # whatever the user's own code raises on what is no tensor
        said = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ValueError(
            f"`module` can't be traced by torch.fx{_line(torch, error)}: {said}; what is "
            "computed must not depend on the numbers or the shape of the input, as with an `if`"
        ) from None


def _line(torch: Any, error: Exception) -> str:
    """Where in the user's own code an error comes from."""
    others = (Path(torch.__file__).parent, Path(__file__).parent)
    frames = [(Path(f.filename), f.lineno) for f in traceback.extract_tb(error.__traceback__)]
    own = [
        f" ({path.name}, line {line})"
        for path, line in frames
        if not any(path.is_relative_to(other) for other in others)
    ]
    return own[-1] if own else ""


class _Failed(Exception):
    """The user's own code raised something."""


class _Run:
    """A run of a traced module, in which each call is read too."""

    def __init__(self, torch: Any, module: Any, graph: Any, shapes: Sequence[Shape]) -> None:
        self.torch, self.module, self.graph, self.shapes = torch, module, graph, shapes
        self.reading = Reading(list(shapes), {name for name, _ in module.named_modules() if name})
        self.inputs: list[str] = []
        self.made: dict[Any, Any] = {}  # node of fx -> what it gave
        self.known: dict[Any, Any] = {}  # node of fx -> Wire, Constant, or Python's value

    def read(self) -> tuple[Outline, Arrays, tuple[bool, ...]]:
        for node in self.graph.nodes:
            if node.op == "output":
                return self._finished(node)
            if node.op == "placeholder":
                self.made[node], self.known[node] = self._argument(node)
                continue
            try:
                self._check(node)
                self.made[node] = self._computed(node)
                self.known[node] = self._read(node)
            except NoCounterpart as missing:
                raise ValueError(f"{self._place(node)} has no counterpart in fastconv: {missing}") from None
            except _Failed as failed:
                raise ValueError(str(failed)) from None
            except (TypeError, ValueError, ZeroDivisionError) as error:
                raise ValueError(f"`module` has at {self._place(node)}: {error}") from None
        raise AssertionError("a graph of torch.fx ends in an output")

    # The run

    def _argument(self, node: Any) -> tuple[Any, Any]:
        number = len(self.inputs)
        if number == len(self.shapes):  # it keeps its default
            value = node.args[0] if node.args else None
            return value, value
        self.inputs.append(str(node.target))
        kind, device = kind_and_device(self.torch, self.module)
        X = np.random.default_rng(0).standard_normal((SAMPLES, *self.shapes[number]))
        return self.torch.tensor(X).to(device, kind), Wire([number], self.shapes[number])

    def _computed(self, node: Any) -> Any:
        args, kwargs = (self._mapped(given, self.made) for given in (node.args, node.kwargs))
        try:
            if node.op == "get_attr":
                return _attribute(self.module, node.target)
            if node.op == "call_module":
                return self.module.get_submodule(node.target)(*args, **kwargs)
            if node.op == "call_method":
                return getattr(args[0], node.target)(*args[1:], **kwargs)
            return node.target(*args, **kwargs)
        except Exception as error:  # whatever the user's own code in it raises
            shapes = ", ".join(str((SAMPLES, *shape)) for shape in self.shapes)
            raise _Failed(
                f"`module` itself fails on an input of shape {shapes}, at {self._place(node)}: "
                f"{type(error).__name__}: {error}"
            ) from None

    def _mapped(self, given: Any, values: dict[Any, Any]) -> Any:
        return self.torch.fx.node.map_arg(given, values.__getitem__)

    # The reading

    def _read(self, node: Any) -> Any:
        """What is known of the outcome of a call."""
        made = self.made[node]
        if node.op == "get_attr":
            return Constant(made, str(node.target)) if self._is_tensor(made) else made
        args, kwargs = (self._mapped(given, self.known) for given in (node.args, node.kwargs))
        name, given = _name(node), self._given(node)
        if not _depends(given) or name in CONSTANT:
            return Constant(made) if self._is_tensor(made) else made
        if name in SIZES and not self._is_tensor(made):
            return made
        if any(isinstance(value, ValuesAndPlaces) for value in given):
            return _part(name, args)
        site = self._site(node)
        if node.op == "call_module":
            module = self.module.get_submodule(node.target)
            return read_module_call(site, module, *args, **kwargs)
        return read_function_call(site, name, args, kwargs)

    def _check(self, node: Any) -> None:
        """Raise NoCounterpart of what is not read at all, before it is run."""
        name = _name(node)
        if node.op == "get_attr" or name in SIZES or name in CONSTANT or not _depends(self._given(node)):
            return
        if node.op == "call_function" and not _is_library(node.target):
            raise NoCounterpart(
                "torch.fx does not look into it; what it computes must be written out in layers"
            )
        module = self.module.get_submodule(node.target) if node.op == "call_module" else None
        check_call(self.torch, module, name)

    def _given(self, node: Any) -> list[Any]:
        """What is known of each argument that a call made."""
        return [self.known[argument] for argument in node.all_input_nodes]

    def _is_tensor(self, value: Any) -> bool:
        return isinstance(value, self.torch.Tensor)

    def _site(self, node: Any) -> Site:
        scope = _scope(node)
        if node.op == "call_module":
            return Site(self.reading, self.torch, scope, node.target, self.made[node], owner=node.target)
        name = _name(node)
        label = within(scope, name.strip("_"))
        return Site(self.reading, self.torch, scope, label, self.made[node], called=name)

    def _place(self, node: Any) -> str:
        """A call as messages name it: by its name, what it calls, and in which module."""
        if node.op == "call_module":
            return f"`{node.target}` ({type(self.module.get_submodule(node.target)).__name__})"
        scope, title = _scope(node), _title(node)
        kind = type(self.module.get_submodule(scope)).__name__
        return f"`{node.name}` ({title}, in {scope!r} {kind})" if scope else f"`{node.name}` ({title})"

    def _finished(self, node: Any) -> tuple[Outline, Arrays, tuple[bool, ...]]:
        """The network, once the outputs are known: a tensor, several, or a dictionary of them."""
        found = self._mapped(node.args[0], self.known)
        if isinstance(found, Mapping):
            names, wires = [str(name) for name in found], list(found.values())
        else:
            several = isinstance(found, (list, tuple)) and not isinstance(found, (Constant, ValuesAndPlaces))
            wires = list(found) if several else [found]
            names = ["output"] if len(wires) == 1 else [f"output_{k}" for k in range(len(wires))]
        if not wires or not all(isinstance(wire, Wire) for wire in wires):
            titles = {Wire: "a tensor", Constant: "a constant", ValuesAndPlaces: "what x.max(2) gives"}
            got = ", ".join(titles.get(type(wire), type(wire).__name__) for wire in wires)
            raise ValueError(
                "`module` must give a tensor that depends on its input, a tuple or a dictionary of such, got "
                f"({got})"
            )
        try:
            ends = [self.reading.value(replace(wire, log_softmax=False)) for wire in wires]
        except ValueError as error:
            raise ValueError(f"`module` has at its outputs: {error}") from None
        outline = self.reading.finished(self.inputs, ends, names)
        kept = {call.name for call in outline.calls}
        state = {n: a for n, a in self.reading.state.items() if n.rpartition(".")[0] in kept}
        return outline, state, tuple(wire.log_softmax for wire in wires)


def _attribute(module: Any, target: str) -> Any:
    *path, name = target.split(".")
    return getattr(module.get_submodule(".".join(path)), name)


def _depends(given: list[Any]) -> bool:
    """Whether one of the arguments depends on the input."""
    return any(isinstance(value, (Wire, ValuesAndPlaces)) for value in given)


def _part(name: str, args: tuple[Any, ...]) -> Any:
    """The values of what a call gave beside others, x.max(2)[0] or x.max(2).values."""
    if name in ("getitem", "getattr") and args[1] in (0, "values"):
        return args[0][0]
    raise NoCounterpart("of x.max(2) only the values are read, x.max(2)[0]")


def _scope(node: Any) -> str:
    """The path of the module whose forward makes a call."""
    stack = [key.partition("@")[0] for key in node.meta.get("nn_module_stack") or {}]
    if node.op == "call_module":
        stack = stack[:-1]
    return stack[-1] if stack else ""


def _name(node: Any) -> str:
    """The name of a function, an operator or a method; "" of a module."""
    if node.op == "call_module":
        return ""
    return str(node.target if node.op == "call_method" else getattr(node.target, "__name__", node.target))


def _is_library(function: Any) -> bool:
    module = str(getattr(function, "__module__", None) or "torch")
    return module.partition(".")[0] in ("torch", "_operator", "builtins", "math")


def _title(node: Any) -> str:
    if node.op == "get_attr":
        return str(node.target)
    if node.op == "call_method":
        return f"Tensor.{node.target}"
    module = str(getattr(node.target, "__module__", None) or "torch")
    module = {"_operator": "operator", "torch._C._nn": "torch.nn.functional"}.get(module, module)
    return _name(node) if module == "builtins" else f"{module}.{_name(node)}"
