"""A call of torch.fx as the network has it: by its name, or the class of its module."""

import functools
import inspect
from collections.abc import Sequence
from typing import Any

from . import layers, shapes, windows  # noqa: F401 - they register their readers
from .checks import kind_of
from .modules import LAYERS, layer_of
from .readers import HINTS, MODULE_READERS, READERS
from .windows import windowed
from .wires import NoCounterpart, Site, Wire

# Calls whose outcome does not depend on the numbers of their argument.
CONSTANT = {"ones_like", "zeros_like", "full_like", "new_ones", "new_zeros", "new_full", "new_tensor"}


def read_function_call(site: Site, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The wire that a function, an operator or a method makes.

    Raises
    ------
    NoCounterpart
        If there is none.
    ValueError, TypeError
        If a setting has no counterpart.
    """
    if name not in READERS:
        raise NoCounterpart(_hint(name))
    reader = READERS[name]
    try:
        inspect.signature(reader).bind(site, *args, **kwargs)
    except TypeError as error:
        raise NoCounterpart(f"its arguments are not read, {error}") from None
    return reader(site, *args, **kwargs)


def _hint(name: str) -> str:
    return HINTS.get(
        name, f"only {', '.join(k for k in LAYERS if k != 'Identity')} and their functions have one"
    )


def read_module_call(site: Site, module: Any, x: Any = None, *others: Any) -> Any:
    """The wire that a module of torch.nn makes.

    Raises
    ------
    NoCounterpart
        If it is no layer.
    ValueError, TypeError
        If a setting has no counterpart.
    """
    kind = kind_of(site.torch, module, (*MODULE_READERS, *LAYERS))
    if kind is None or others or not isinstance(x, Wire):
        raise NoCounterpart(_hint(type(module).__name__))
    if kind in MODULE_READERS:
        return MODULE_READERS[kind](site, module, x)
    layer = layer_of(module, kind)
    if layer is None:
        return x
    return windowed(site, layer, x, functools.partial(getattr, module), getattr(module, "inplace", False))
