"""The `reduction` of a loss kernel: "none", "mean" or "sum"."""

from typing import Any

import numpy as np
from numba import types
from numba.core import errors
from numba.extending import overload

_REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


def reduction_code(reduction: Any) -> int:
    """The number of a reduction: none 0, mean 1, sum 2.

    Raises
    ------
    ValueError
        If it is not one of these texts.
    """
    if not isinstance(reduction, str) or reduction not in _REDUCTIONS:
        raise ValueError(f'`reduction` must be "mean", "sum" or "none", got {reduction!r}')
    return _REDUCTIONS[reduction]


def _literal_reduction(reduction):
    """The text of a reduction known when its caller is compiled."""
    value = getattr(reduction, "value", getattr(reduction, "literal_value", None))
    if isinstance(reduction, types.UnicodeType) and value is None:
        raise errors.RequireLiteralValue("`reduction` must be a constant text in compiled code")
    reduction_code(value)
    return value


@overload(reduction_code, prefer_literal=True)
def _reduction_code(reduction):
    code = _REDUCTIONS[_literal_reduction(reduction)]
    return lambda reduction: code


def reduce_losses(losses: Any, reduction: str) -> Any:
    """The losses themselves for "none", else their mean or sum, carried in float64."""
    if reduction == "none":
        return losses
    total = losses.sum(dtype=np.float64)
    return float(total / losses.size if reduction == "mean" else total) if losses.size else _empty(reduction)


def _empty(reduction):
    return float("nan") if reduction == "mean" else 0.0


@overload(reduce_losses, prefer_literal=True)
def _reduce_losses(losses, reduction):
    kind = _literal_reduction(reduction)
    if kind == "none":
        return lambda losses, reduction: losses
    mean, empty = kind == "mean", _empty(kind)

    def implementation(losses, reduction):
        if losses.size == 0:
            return empty
        total = 0.0
        for value in losses.flat:
            total += value
        return total / losses.size if mean else total

    return implementation
