"""Values as JSON has them: those of results, and those that a file has to give back exactly."""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON, on one line unless `indent` is given. NaN and infinity, which JSON has not, become null.

    Examples
    --------
    >>> to_json({"loss": np.float32("nan"), "classes": (0, 1), "confusion": np.eye(2, dtype=int)})
    '{"loss": null, "classes": [0, 1], "confusion": [[1, 0], [0, 1]]}'
    """
    return json.dumps(_plain(value), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


DEEPEST = 100  # levels of lists and dictionaries; JSON's readers give up somewhere beyond
LONGEST = 4000  # digits of an int; Python reads no more than 4,300 from a text


def exact(value: Any, name: str = "value") -> Any:
    """The value as reading its JSON text gives it back, with which it is replaced.

    Tuples and arrays become lists, numbers of NumPy those of Python, and keys that are no texts become the
    texts that JSON makes of them, such as "0" of 0.

    Raises
    ------
    TypeError
        If there is something in it that JSON lacks; the message says where.
    ValueError
        If two keys become the same text, or it is nested too deeply (or in itself), or an int is too long.

    Examples
    --------
    >>> exact({0: (np.float32(0.5), None), "b": np.arange(2)})
    {'0': [0.5, None], 'b': [0, 1]}
    """
    return _exact(value, name, DEEPEST)


def _exact(value: Any, where: str, levels: int) -> Any:
    if levels == 0:
        raise ValueError(f"`{where[:40]}...` is nested more than {DEEPEST} levels deep, or in itself")
    if isinstance(value, np.ndarray) or (
        isinstance(value, np.generic) and not isinstance(value, np.floating)
    ):
        value = value.tolist()
    if isinstance(value, Mapping):
        keys = [_key(key, where) for key in value]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"`{where}` has two keys that are {twice!r} as texts, and JSON has no others")
        pairs = zip(keys, value.values(), strict=True)
        return {key: _exact(item, f"{where}[{key!r}]", levels - 1) for key, item in pairs}
    if isinstance(value, (list, tuple)):
        return [_exact(item, f"{where}[{k}]", levels - 1) for k, item in enumerate(value)]
    return _scalar(value, where)


def _scalar(value: Any, where: str) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):  # two halves of a character, each of them a surrogate, are one in JSON
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if isinstance(value, (float, np.floating)):
        return float(value)
    if isinstance(value, int):
        if abs(value) >= 10**LONGEST:
            raise ValueError(f"`{where}` has an int of more than {LONGEST} digits")
        return int(value)
    raise TypeError(
        f"`{where}` must be a value that JSON has (text, number, true, false, none, list or dictionary), got "
        f"{type(value).__name__}"
    )


def _key(key: Any, where: str) -> str:
    """A key as JSON writes it."""
    key = _scalar(key.item() if isinstance(key, np.generic) else key, f"a key of {where}")
    return key if isinstance(key, str) else json.dumps(key)
