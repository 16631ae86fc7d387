"""Names of what users wrote, as files keep them: "module:name" of what can be imported."""

import importlib
import sys
from typing import Any


def import_path(thing: Any) -> str:
    """The "module:name" by which another process finds a class or function.

    Raises
    ------
    ValueError
        If it can't be imported: it was made in a script, a notebook or inside a function.

    Examples
    --------
    >>> from collections import OrderedDict
    >>> import_path(OrderedDict)
    'collections:OrderedDict'
    """
    behind = getattr(thing, "py_func", thing)  # of a function that Numba compiles
    module, name = getattr(behind, "__module__", None), getattr(behind, "__qualname__", None)
    if module in (None, "__main__") or name is None or _find(sys.modules.get(str(module)), name) is not thing:
        raise ValueError(
            f"{name or thing!r} of module {module} can't be found again by another process: "
            "define it at the top level of a module that can be imported"
        )
    return f"{module}:{name}"


def imported(path: str) -> Any:
    """What `import_path` gave that path.

    Raises
    ------
    ValueError
        If there is no such module, or nothing of that name in it.

    Examples
    --------
    >>> imported("collections:OrderedDict")().__class__.__name__
    'OrderedDict'
    """
    module_name, _, name = path.partition(":")
    try:
        found = _find(importlib.import_module(module_name), name)
    except (ImportError, ValueError) as error:
        raise ValueError(f"{path} can't be imported: {error}") from None
    if found is None:
        raise ValueError(f"{path} can't be imported: there is no {name!r} in the module")
    return found


def _find(place: Any, name: str) -> Any:
    for part in name.split("."):
        place = getattr(place, part, None)
    return place
