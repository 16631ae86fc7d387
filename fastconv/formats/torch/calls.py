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


OTHERWISE = (
    "there are convolutions, pools, upsampling, dense layers, norms, dropout, activations, additions and "
    "concatenations"
)


def check_call(torch: Any, module: Any, name: str) -> None:
    """Raise NoCounterpart if neither the module, nor without one the function `name`, is read at all."""
    if module is None:
        if name not in READERS:
            raise NoCounterpart(_hint(name))
    elif kind_of(torch, module, (*MODULE_READERS, *LAYERS)) is None:
        raise NoCounterpart(_hint(type(module).__name__))


def read_function_call(site: Site, name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """The wire that a function, an operator or a method makes.

    Raises
    ------
    NoCounterpart
        If there is none.
    ValueError, TypeError
        If a setting has no counterpart.
    """
    reader = READERS[name]
    try:
        inspect.signature(reader).bind(site, *args, **kwargs)
    except TypeError as error:
        raise NoCounterpart(f"its arguments are not read, {error}") from None
    return reader(site, *args, **kwargs)


def _hint(name: str) -> str:
    return HINTS.get(name, OTHERWISE)


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
    if kind is None or others or not isinstance(x, Wire):  # with other arguments it computes something else
        raise NoCounterpart(_hint(type(module).__name__))
    if kind in MODULE_READERS:
        return MODULE_READERS[kind](site, module, x)
    layer = layer_of(module, kind)
    if layer is None:
        return x
    return windowed(site, layer, x, functools.partial(getattr, module), getattr(module, "inplace", False))
