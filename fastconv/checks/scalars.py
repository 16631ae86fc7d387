"""Checks of a public kernel's arguments, once, at the border; the same code for Python and for @njit callers.

`public` makes one plain function serve both worlds: Python runs it as it stands, Numba compiles it into
the caller. Its body calls the helpers below, which check what is known only at run time (sizes) in code
that runs in both, and what is known by type (dtype, dimensions) at typing time in compiled callers.
"""

import operator
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from .jit import LARGEST, argument_label, checked, printable

# Numbers and texts


def scalar(value: Any, name: str) -> float:
    """A real number as a float.

    Raises
    ------
    TypeError
        If it is not one.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"`{name}` must be a number, got {value!r}")
    return float(value)


@overload(scalar)
def _scalar(value, name):
    kind = types.unliteral(value.value if isinstance(value, types.Omitted) else value)
    if isinstance(value, types.Omitted) or isinstance(kind, (types.Integer, types.Float)):
        return lambda value, name: float(value)
    raise TypeError(f"`{argument_label(name)}` must be a number, got {value}")


def positive_int(value: Any, name: str) -> int:
    """`value` as an int of at least 1.

    Raises
    ------
    TypeError
        If it is not an int.
    ValueError
        If it is less than 1 or too large.
    """
    return _int_from(1, value, name)


def nonnegative_int(value: Any, name: str) -> int:
    """`value` as an int of at least 0; errors as in `positive_int`."""
    return _int_from(0, value, name)


def _int_from(low, value, name):
    kind = "positive" if low > 0 else "non-negative"
    try:
        number = _index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be a {kind} int, got {value!r}") from None
    if not low <= number <= LARGEST:
        raise ValueError(f"`{name}` must be a {kind} int, got {value!r}")
    return number


def _index(value):
    """An int of any kind; TypeError for bools and everything else."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    return operator.index(value)  # every array has __index__, but it works for a single int only


def _overload_int(function, low):
    kind = "positive" if low > 0 else "non-negative"

    @overload(function)
    def typed(value, name):
        if isinstance(value, (types.Integer, types.Omitted)) and not isinstance(value, types.Boolean):
            return lambda value, name: _bounded_int(np.int64(value), name, low)
        raise TypeError(f"`{argument_label(name)}` must be a {kind} int, got {value}")


_overload_int(positive_int, 1)
_overload_int(nonnegative_int, 0)


def flag(value: Any, name: str) -> bool:
    """`value` as a bool.

    Raises
    ------
    TypeError
        If it is neither True nor False.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False, got {value!r}")
    return bool(value)


@overload(flag)
def _flag(value, name):
    if isinstance(value, (types.Boolean, types.Omitted)):
        return lambda value, name: bool(value)
    raise TypeError(f"`{argument_label(name)}` must be True or False, got {value}")


# Ints and pairs


def _as_pair(value, name, what):
    several = isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim > 0)
    pair = value if several else (value, value)
    if len(pair) != 2:
        raise ValueError(f"`{name}` must be {what} int or a pair of them, got {value!r}")
    try:
        return _index(pair[0]), _index(pair[1])
    except TypeError:
        raise TypeError(f"`{name}` must be {what} int or a pair of them, got {value!r}") from None


def positive_pair(value: Any, name: str) -> tuple[int, int]:
    """(height, width) from an int or a pair of ints.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If there are not two, or one is less than 1 or too large for a size.
    """
    pair = _as_pair(value, name, "a positive")
    if not (1 <= pair[0] <= LARGEST and 1 <= pair[1] <= LARGEST):
        raise ValueError(f"`{name}` must be a positive int or a pair of them, got {value!r}")
    return pair


def nonnegative_pair(value: Any, name: str) -> tuple[int, int]:
    """(height, width) from an int or a pair of ints, 0 allowed; errors as in `positive_pair`."""
    pair = _as_pair(value, name, "a non-negative")
    if not (0 <= pair[0] <= LARGEST and 0 <= pair[1] <= LARGEST):
        raise ValueError(f"`{name}` must be a non-negative int or a pair of them, got {value!r}")
    return pair


@checked
def _bounded_pair(height, width, name, low):
    if not (low <= height <= LARGEST and low <= width <= LARGEST):
        kind = "a positive" if low > 0 else "a non-negative"
        raise ValueError(
            f"`{name}` must be {kind} int or a pair of them, got ({printable(height)}, {printable(width)})"
        )
    return height, width


@checked
def _bounded_int(value, name, low):
    if not (low <= value <= LARGEST):
        kind = "positive" if low > 0 else "non-negative"
        raise ValueError(f"`{name}` must be a {kind} int, got {printable(value)}")
    return value


def _overload_pair(function, low):
    what = "a positive" if low else "a non-negative"

    @overload(function)
    def typed(value, name):
        if isinstance(value, types.Integer) and not isinstance(value, types.Boolean):
            return lambda value, name: _bounded_pair(np.int64(value), np.int64(value), name, low)
        if isinstance(value, types.BaseTuple) and all(isinstance(t, types.Integer) for t in value.types):
            if len(value) == 2:
                return lambda value, name: _bounded_pair(np.int64(value[0]), np.int64(value[1]), name, low)
            raise ValueError(f"`{argument_label(name)}` must be {what} int or a pair of them, got {value}")
        raise TypeError(f"`{argument_label(name)}` must be {what} int or a pair of them, got {value}")


_overload_pair(positive_pair, 1)
_overload_pair(nonnegative_pair, 0)


def pair_or(value: Any, default: tuple[int, int], name: str) -> tuple[int, int]:
    """`positive_pair(value)`, or `default` where `value` is None."""
    return default if value is None else positive_pair(value, name)


@overload(pair_or)
def _pair_or(value, default, name):
    if isinstance(value, types.NoneType) or (isinstance(value, types.Omitted) and value.value is None):
        return lambda value, default, name: default
    return lambda value, default, name: positive_pair(value, name)
