"""JSON text of results."""

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
