"""Networks read from PyTorch's modules: a Sequential as a row of layers, any other as torch.fx traces it."""

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...checks.extras import require
from ...nn.layer import Arrays, Layer, Shape
from ...nn.outline import Outline, checked_shape
from .checks import arrays_of, check_plain, check_plain_at, evaluating, kind_and_device, kind_of
from .graphs import read_graph
from .modules import LAYERS, check_settings, layer_of

# Class of something that is no module, or what it is a subclass of -> what to give instead.
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
    "ModuleDict": "torch.nn.Sequential(*module.values()) is one",
    "list": "torch.nn.Sequential(*module) is one",
    "tuple": "torch.nn.Sequential(*module) is one",
    "type": "make one of the class",
}


class Found(NamedTuple):
    """What a module holds; where `log_softmax` is true of an output, the module goes on with a LogSoftmax,
    which is no layer here.
    """

    outline: Outline
    dtype: str
    state: Arrays
    log_softmax: tuple[bool, ...]


def read_module(module: Any, input_shape: Any, dtype: str | None = None) -> Found:
    """The network and the arrays of a torch.nn.Module, as it computes in evaluation mode.

    Raises
    ------
    TypeError
        If `module` is no torch.nn.Module.
    ValueError
        If something in it, or a setting, has no counterpart; the message names both.
    ImportError
        If PyTorch is not installed.
    """
    torch = require("torch", "torch", "`from_torch`")
    _check_module(torch, module)
    shapes = _input_shapes(input_shape)
    if len(shapes) == 1 and _is_row(torch, module):
        layers, state, log_softmax = _read_row(torch, module, shapes[0])
        outline = Outline.of_row(layers, shapes[0])
        logs: tuple[bool, ...] = (log_softmax,)
    else:
        with evaluating(torch, module):
            outline, state, logs = read_graph(torch, module, shapes)
    if dtype is None:
        tensors = [t.dtype for t in module.parameters()]
        dtype = "float64" if torch.float64 in tensors else "float32"
    return Found(outline, dtype, state, logs)


def _check_module(torch: Any, module: Any) -> None:
    """Raise TypeError, with what to give instead, if this is not what `from_torch` takes."""
    kinds = {kind.__name__ for kind in type(module).__mro__}
    kinds |= {
        name for name, kind in (("Mapping", Mapping), ("PathLike", os.PathLike)) if isinstance(module, kind)
    }
    hint = next((hint for kind, hint in INSTEAD.items() if kind in kinds), "")
    if not hint and kind_of(torch, module, (*LAYERS, "LogSoftmax")):
        hint = "torch.nn.Sequential(module) is one"  # whose parameters have names
    if hint or not isinstance(module, torch.nn.Module):
        got = f"got {type(module).__name__}" + (f": {hint}" if hint else "")
        raise TypeError(f"`module` must be a torch.nn.Sequential, or a module that torch.fx can trace, {got}")


def _input_shapes(input_shape: Any) -> list[Shape]:
    """The shape of each input: there is one, unless a list of shapes is given."""
    several = isinstance(input_shape, Sequence) and not isinstance(input_shape, str) and len(input_shape)
    if several and all(isinstance(shape, Sequence) for shape in input_shape):
        return [checked_shape(shape) for shape in input_shape]
    return [checked_shape(input_shape)]


def run_module(module: Any, X: Sequence[NDArray[Any]]) -> tuple[list[NDArray[np.float64]], float]:
    """(outputs, precision) of a module in evaluation mode; the precision is the step of its numbers near 1.

    The module's training flags and PyTorch's random numbers are afterwards what they were before.

    Raises
    ------
    ValueError
        If the module can't compute it.
    """
    torch = require("torch", "torch", "`from_torch`")
    kind, device = kind_and_device(torch, module)
    with evaluating(torch, module):
        torch.default_generator.seed()  # what draws random numbers gives others than while it was read
        try:
            output = module(*(torch.tensor(x).to(device, kind) for x in X))
        except Exception as error:  # whatever the user's own code in it raises
            shapes = ", ".join(str(x.shape) for x in X)
            raise ValueError(
                f"`module` itself fails on an input of shape {shapes}: {type(error).__name__}: {error}"
            ) from None
    kinds = {kind, *(t.dtype for t in module.parameters() if t.is_floating_point())}
    precision = max(torch.finfo(kind).eps for kind in kinds)
    outputs = list(output.values()) if isinstance(output, Mapping) else output
    outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    return [y.detach().cpu().to(torch.float64).numpy() for y in outputs], float(precision)


# Rows


def _is_row(torch: Any, module: Any) -> bool:
    """Whether it is a Sequential of layers that are known, perhaps in Sequentials within."""
    if kind_of(torch, module, ("Sequential",)) is None:
        return False
    kinds = [
        (part, kind_of(torch, part, (*LAYERS, "LogSoftmax"))) for _, part in _parts(torch, module, "", ())
    ]
    sized = any(
        kind == "Upsample" and part.size is not None for part, kind in kinds
    )  # only a run says by how much
    return all(kind for _, kind in kinds) and not sized


def _read_row(torch: Any, module: Any, shape: Shape) -> tuple[list[Layer], Arrays, bool]:
    """The layers of a Sequential, their arrays, and whether it ends in a LogSoftmax."""
    layers: list[Layer] = []
    state: Arrays = {}
    log_softmax = False
    for where, part in _parts(torch, module, "", ()):
        try:
            check_plain(part)
            if log_softmax:
                raise ValueError("a LogSoftmax before it is supported at the end only")
            if kind_of(torch, part, ("LogSoftmax",)) and len(shape) == 1:
                check_settings(part, "LogSoftmax")
                log_softmax = True
                continue
            layer = _layer(torch, part)
            if layer is None:
                continue
            with evaluating(torch, part):
                arrays = arrays_of(functools.partial(getattr, part), layer, shape)
            shape = layer.output_shape(shape)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"`module` has at {where!r} {type(part).__name__}: {error}") from None
        state.update({f"{len(layers)}.{name}": array for name, array in arrays.items()})
        layers.append(layer)
    return layers, state, log_softmax


def _layer(torch: Any, module: Any) -> Layer | None:
    kind = kind_of(torch, module, LAYERS)
    if kind is None:
        raise ValueError("a LogSoftmax takes features here: put a Flatten before it")
    return layer_of(module, kind)


def _parts(torch: Any, module: Any, where: str, around: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    """(path, module) of everything in a Sequential that is not one itself, in order.

    A module that stands in several places is run in each of them, `named_children` gives it only once.
    """
    if module in around:
        raise ValueError(f"`module` has at {where.rstrip('.')!r} a Sequential that it is itself a part of")
    check_plain_at(where.rstrip("."), module)
    for name, part in module._modules.items():
        if kind_of(torch, part, ("Sequential",)):
            yield from _parts(torch, part, f"{where}{name}.", (*around, module))
        else:
            yield f"{where}{name}", part
