"""PyTorch's modules as layers and back: the same settings, names and numbers."""

import contextlib
import functools
import operator
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..checks.extras import require
from ..nn.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from ..nn.block import Block
from ..nn.conv import Conv2d
from ..nn.dense import Dense
from ..nn.dropout import Dropout
from ..nn.layer import Arrays, Layer, Shape, entry_of
from ..nn.merge import Stack, Sum
from ..nn.network import Network, Node
from ..nn.norm import BatchNorm2d, GroupNorm
from ..nn.outline import checked_shape
from ..nn.pool import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from ..nn.shape import Flatten
from .probabilities import final_layer

# PyTorch's class -> our layer, given the module. Identity is left out of the network.
LAYERS: dict[str, Callable[[Any], Layer | None]] = {
    "Conv2d": lambda m: Conv2d(
        m.out_channels,
        m.kernel_size,
        stride=m.stride,
        padding=m.padding,
        dilation=m.dilation,
        groups=m.groups,
        bias=m.bias is not None,
    ),
    "MaxPool2d": lambda m: MaxPool2d(m.kernel_size, m.stride, m.padding, m.dilation, ceil_mode=m.ceil_mode),
    "AvgPool2d": lambda m: AvgPool2d(m.kernel_size, m.stride, m.padding, m.ceil_mode, m.count_include_pad),
    "AdaptiveAvgPool2d": lambda m: GlobalAvgPool2d(),
    "BatchNorm2d": lambda m: BatchNorm2d(m.momentum, m.eps),
    "GroupNorm": lambda m: GroupNorm(m.num_groups, eps=m.eps),
    "Dropout": lambda m: Dropout(m.p),
    "Flatten": lambda m: Flatten(),
    "Linear": lambda m: Dense(m.out_features, bias=m.bias is not None),
    "ReLU": lambda m: ReLU(),
    "LeakyReLU": lambda m: LeakyReLU(m.negative_slope),
    "Sigmoid": lambda m: Sigmoid(),
    "Tanh": lambda m: Tanh(),
    "Softmax": lambda m: Softmax(),
    "Identity": lambda m: None,
}

# Settings that our layers don't have -> what they must be. Softmax over dimension None of (N, features) is 1.
NEEDED: dict[str, dict[str, tuple[Any, ...]]] = {
    "Conv2d": {"padding_mode": ("zeros",)},
    "MaxPool2d": {"return_indices": (False,)},
    "AvgPool2d": {"divisor_override": (None,)},
    "AdaptiveAvgPool2d": {"output_size": (1, (1, 1))},
    "BatchNorm2d": {"affine": (True,), "track_running_stats": (True,)},
    "GroupNorm": {"affine": (True,)},
    "Flatten": {"start_dim": (1,), "end_dim": (-1, 3)},
    "Softmax": {"dim": (1, -1, None)},
    "LogSoftmax": {"dim": (1, -1, None)},
}


# What PyTorch's modules compute through: who changes one of these computes something else.
METHODS = (
    "forward", "__call__", "_call_impl", "_wrapped_call_impl", "__iter__", "_conv_forward",
    "_check_input_dim", "__getattr__",
)  # fmt: skip
# Attribute that holds hooks -> what they are called.
HOOKS = {"_forward_hooks": "forward hook", "_forward_pre_hooks": "forward pre-hook"}
# Hooks of PyTorch that make a weight anew at each call -> how to make it an ordinary one.
REMEDIES = {
    "WeightNorm": "torch.nn.utils.remove_weight_norm(module)",
    "SpectralNorm": "torch.nn.utils.remove_spectral_norm(module)",
    "BasePruningMethod": 'torch.nn.utils.prune.remove(module, "weight")',
}
# Class of something that is no Sequential, or what it is a subclass of -> what to give instead.
INSTEAD = {
    "OptimizedModule": "give its `_orig_mod`, the module that was compiled",
    "DataParallel": "give its `module`",
    "DistributedDataParallel": "give its `module`",
    "AveragedModel": "give its `module`",
    "ScriptModule": "give the module that it was made of",
    "Mapping": "a state_dict has no layers; make them here and read it with load_weights",
    "str": "torch.load gives the module that a file holds",
    "PathLike": "torch.load gives the module that a file holds",
    "ModuleList": "torch.nn.Sequential(*module) is one",
    "list": "torch.nn.Sequential(*module) is one",
    "tuple": "torch.nn.Sequential(*module) is one",
    "type": "make one of the class",
}


class Found(NamedTuple):
    """What a module holds; with `log_softmax`, it goes on with a LogSoftmax, which is no layer here."""

    layers: list[Layer]
    dtype: str
    state: Arrays
    log_softmax: bool


def read_module(module: Any, input_shape: Shape, dtype: str | None = None) -> Found:
    """The layers and arrays of a torch.nn.Sequential, as it computes in evaluation mode.

    Raises
    ------
    TypeError
        If `module` is not a torch.nn.Sequential.
    ValueError
        If a layer or a setting has no counterpart; the message names both.
    ImportError
        If PyTorch is not installed.
    """
    torch = require("torch", "torch", "`from_torch`")
    if _kind(torch, module, ("Sequential",)) is None:
        raise TypeError(
            f"`module` must be a torch.nn.Sequential, got {type(module).__name__}: {_hint(torch, module)}"
        )
    layers: list[Layer] = []
    state: Arrays = {}
    log_softmax = False
    shape = checked_shape(input_shape)
    for where, part in _parts(torch, module, "", ()):
        try:
            _check_plain(part)
            if log_softmax:
                raise ValueError("a LogSoftmax before it is supported at the end only")
            if _kind(torch, part, ("LogSoftmax",)) and len(shape) == 1:
                _check_settings(part, "LogSoftmax")
                log_softmax = True
                continue
            layer = _layer(torch, part)
            if layer is None:
                continue
            with _evaluating(torch, part):
                arrays = _arrays(torch, part, layer, shape)
            shape = layer.output_shape(shape)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"`module` has at {where!r} {type(part).__name__}: {error}") from None
        state.update({f"{len(layers)}.{name}": array for name, array in arrays.items()})
        layers.append(layer)
    if dtype is None:
        tensors = [t.dtype for t in module.parameters()]
        dtype = "float64" if torch.float64 in tensors else "float32"
    return Found(layers, dtype, state, log_softmax)


def _hint(torch: Any, module: Any) -> str:
    """What to do with something that is no Sequential."""
    kinds = {kind.__name__ for kind in type(module).__mro__}
    kinds |= {
        name for name, kind in (("Mapping", Mapping), ("PathLike", os.PathLike)) if isinstance(module, kind)
    }
    found = next((hint for kind, hint in INSTEAD.items() if kind in kinds), None)
    if found is None and _kind(torch, module, (*LAYERS, "LogSoftmax")):
        return "torch.nn.Sequential(module) is one"
    return found or "what another module does with its parts only its Python code says"


def run_module(module: Any, X: NDArray[Any]) -> tuple[NDArray[np.float64], float]:
    """(outputs, precision) of a module in evaluation mode; the precision is the step of its numbers near 1.

    The module's training flags and PyTorch's random numbers are afterwards what they were before.

    Raises
    ------
    ValueError
        If the module can't compute it.
    """
    torch = require("torch", "torch", "`from_torch`")
    floats = [t for t in module.parameters() if t.is_floating_point()]
    kind, device = (floats[0].dtype, floats[0].device) if floats else (torch.float32, "cpu")
    with _evaluating(torch, module):
        try:
            output = module(torch.tensor(X).to(device, kind))
        except Exception as error:  # whatever the user's own code in it raises
            raise ValueError(
                f"`module` itself fails on an input of shape {X.shape}: {type(error).__name__}: {error}"
            ) from None
    precision = max([torch.finfo(t.dtype).eps for t in floats], default=torch.finfo(kind).eps)
    return output.detach().cpu().to(torch.float64).numpy(), float(precision)


@contextlib.contextmanager
def _evaluating(torch: Any, module: Any) -> Iterator[None]:
    """The module in evaluation mode, without gradients, and as it was afterwards.

    The flags are set one by one, since `eval` and `train` may be methods of the user's.
    """
    flags = {part: part.training for part in module.modules()}
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        try:
            for part in flags:
                part.training = False
            yield
        finally:
            for part, flag in flags.items():
                part.training = flag


def _parts(torch: Any, module: Any, where: str, around: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """(path, module) of everything in a Sequential that is not one itself, in order.

    A module that stands in several places is run in each of them, `named_children` gives it only once.
    """
    if module in around:
        raise ValueError(f"`module` has at {where.rstrip('.')!r} a Sequential that it is itself a part of")
    try:
        _check_plain(module)
    except ValueError as error:
        place = f"has at {where.rstrip('.')!r} {type(module).__name__}" if where else "is not taken"
        raise ValueError(f"`module` {place}: {error}") from None
    for name, part in module._modules.items():
        if _kind(torch, part, ("Sequential",)):
            yield from _parts(torch, part, f"{where}{name}.", (*around, module))
        else:
            yield f"{where}{name}", part


def _check_plain(module: Any) -> None:
    """Raise ValueError if the module is called in another way than its class is."""
    kinds = {kind.__name__ for kind in type(module).__mro__}
    if "LazyModuleMixin" in kinds:
        raise ValueError("its sizes are not known yet: run the module once on an input")
    if "OptimizedModule" in kinds:
        raise ValueError("it was compiled: put its `_orig_mod` in its place")
    for attribute, name in HOOKS.items():
        for hook in getattr(module, attribute, {}).values():
            names = [kind.__name__ for kind in type(hook).__mro__]
            remedy = next((REMEDIES[kind] for kind in names if kind in REMEDIES), "its handle's remove()")
            title = names[0] if names[0] not in ("function", "method") else getattr(hook, "__name__", "")
            raise ValueError(f"it has a {name}, {title}, that is not read: remove it with {remedy}")
    for name in METHODS:
        if name in getattr(module, "__dict__", {}):
            raise ValueError(f"its `{name}` was set on the instance, which only its Python code explains")


def _kind(torch: Any, module: Any, kinds: Any) -> str | None:
    """Which of torch.nn's classes computes this module: its own class, or one whose methods it keeps."""
    for kind in kinds:
        known = getattr(torch.nn, kind)
        if isinstance(module, known) and all(
            getattr(type(module), name, None) is getattr(known, name, None) for name in METHODS
        ):
            return str(kind)
    return None


def _layer(torch: Any, module: Any) -> Layer | None:
    kind = _kind(torch, module, LAYERS)
    if kind is None:
        raise ValueError(f"there is no such layer here, only {', '.join(LAYERS)}")
    _check_settings(module, kind)
    return LAYERS[kind](module)


def _check_settings(module: Any, kind: str) -> None:
    for setting, allowed in NEEDED.get(kind, {}).items():
        value = getattr(module, setting)
        if value not in allowed:
            raise ValueError(f"`{setting}` must be {' or '.join(map(repr, allowed))}, got {value!r}")


def _arrays(torch: Any, module: Any, layer: Layer, input_shape: Shape) -> Arrays:
    """Name -> array of the layer's parameters and statistics."""
    layer.check_input(input_shape)
    shapes = dict(layer.parameter_shapes(input_shape))
    shapes |= {name: array.shape for name, array in layer.initial_statistics(input_shape).items()}
    arrays = {}
    for name, shape in shapes.items():
        tensor = getattr(module, name)
        if tensor is None or not tensor.is_floating_point():
            found = "None" if tensor is None else tensor.dtype
            raise ValueError(f"its {name} must be real floating-point numbers, got {found}")
        if tensor.is_meta:
            raise ValueError(f'its {name} is on the device "meta", which has no numbers')
        tensor = tensor.detach().cpu()
        if tuple(tensor.shape) != shape:
            raise ValueError(
                f"its {name} has shape {tuple(tensor.shape)}, an input of shape {input_shape} needs {shape}"
            )
        arrays[name] = tensor.to(torch.float64).numpy()  # exact; NumPy has no bfloat16
    return arrays


# To PyTorch


# Our layer -> its module, given torch.nn, the layer and the shape of an input sample.
MODULES: dict[type[Layer], Callable[[Any, Any, Shape], Any]] = {
    Conv2d: lambda nn, own, shape: nn.Conv2d(
        shape[0],
        own.out_channels,
        own.kernel_size,
        own.stride,
        own.padding,
        own.dilation,
        own.groups,
        own.bias,
    ),
    MaxPool2d: lambda nn, own, shape: nn.MaxPool2d(
        own.kernel_size, own.stride, own.padding, own.dilation, ceil_mode=own.ceil_mode
    ),
    AvgPool2d: lambda nn, own, shape: nn.AvgPool2d(
        own.kernel_size, own.stride, own.padding, own.ceil_mode, own.count_include_pad
    ),
    GlobalAvgPool2d: lambda nn, own, shape: nn.AdaptiveAvgPool2d(1),
    BatchNorm2d: lambda nn, own, shape: nn.BatchNorm2d(shape[0], own.eps, own.momentum),
    GroupNorm: lambda nn, own, shape: nn.GroupNorm(own.num_groups, shape[0], own.eps),
    Dropout: lambda nn, own, shape: nn.Dropout(own.p),
    Flatten: lambda nn, own, shape: nn.Flatten(),
    Dense: lambda nn, own, shape: nn.Linear(shape[0], own.out_features, own.bias),
    ReLU: lambda nn, own, shape: nn.ReLU(),
    LeakyReLU: lambda nn, own, shape: nn.LeakyReLU(own.negative_slope),
    Sigmoid: lambda nn, own, shape: nn.Sigmoid(),
    Tanh: lambda nn, own, shape: nn.Tanh(),
    Softmax: lambda nn, own, shape: nn.Softmax(1),
}


def write_module(network: Network, softmax: bool = False) -> Any:
    """A torch.nn.Sequential of the network's layers, one module each, with copies of its numbers; of a
    network that branches a torch.fx.GraphModule, whose `state_dict` has the same names.

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
        if any(node.layer.takes_several for node in network.nodes):
            module = _graph(torch, network, ending)
        else:
            module = _sequential(torch.nn, network.layers, "", {node.name: node for node in network.nodes})
            if ending is not None:
                module.append(ending)
    state = {name: torch.from_numpy(array) for name, array in network.state().items()}
    counters = {name for name in module.state_dict() if name not in state}
    module.load_state_dict(state | {name: torch.tensor(0) for name in counters}, assign=True)
    return module.eval()


def _graph(torch: Any, network: Network, ending: Any) -> Any:
    """A torch.fx.GraphModule: a module for each layer, under its name, and a program that calls them."""
    modules = {
        node.name: _module(torch.nn, node.layer, node)
        for node in network.nodes
        if not node.layer.takes_several
    }
    program = torch.fx.Graph()
    values = {0: program.placeholder("x")}
    for node in network.nodes:
        given = [values[value] for value in node.inputs]
        if isinstance(node.layer, Sum):
            made = functools.reduce(lambda a, b: program.call_function(operator.add, (a, b)), given)
        elif isinstance(node.layer, Stack):
            made = program.call_function(torch.cat, (given, 1))
        else:
            made = program.call_module(node.name, (given[0],))
        values[node.output] = made
    output = values[network.nodes[-1].output]
    if ending is not None:
        modules["probabilities"] = ending
        output = program.call_module("probabilities", (output,))
    program.output(output)
    return torch.fx.GraphModule(modules, program)


def _sequential(nn: Any, layers: Sequence[Layer], prefix: str, nodes: Mapping[str, Node]) -> Any:
    modules = []
    for number, layer in enumerate(layers):
        name = f"{prefix}{number}"
        if isinstance(layer, Block):  # others that are made of layers branch
            modules.append(_sequential(nn, layer.layers(), f"{name}.", nodes))
        else:
            modules.append(_module(nn, layer, nodes[name]))
    return nn.Sequential(*modules)


def _module(nn: Any, layer: Layer, node: Node) -> Any:
    module = entry_of(MODULES, layer)
    if module is not None:
        return module(nn, layer, node.input_shape)
    raise ValueError(f"layer {node.name}: {layer.call()} has no counterpart in PyTorch")
