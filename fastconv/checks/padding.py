"""Padding as people write it: a number, a pair, a pair of pairs, or "same" and its like.

2                      2 on all four sides
(2, 1)                 2 above and below, 1 left and right
((0, 1), (2, 3))       0 above, 1 below, 2 left, 3 right
"same"                 as much as gives ceil(size / stride) windows, the odd one below and right:
                       "same" in Keras, SAME_UPPER in ONNX
"same_lower"           likewise, the odd one above and left: SAME_LOWER in ONNX
"valid"                none
"""

from typing import Any

import numpy as np
from numba import types
from numba.core import errors
from numba.extending import overload, register_jitable

from .jit import LARGEST, checked, printable
from .scalars import _as_pair

TEXTS = ("same", "same_lower", "valid")
_WANTED = (
    "must be a non-negative int, a pair of them, a pair of pairs ((top, bottom), (left, right)), "
    '"same", "same_lower" or "valid"'
)
_WANTED_ALONG = (
    'must be a non-negative int, a pair (before, after), "same", "same_lower", "valid" or "causal"'
)

Pads = tuple[tuple[int, int], tuple[int, int]]


def checked_padding(value: Any, name: str = "padding") -> Any:
    """The padding of a record: one of `TEXTS`, a pair of ints, or a pair of pairs where the sides differ.

    Raises
    ------
    TypeError, ValueError
        If it is nothing of the kind, or a number is negative or too large.
    """
    if isinstance(value, str):
        if value not in TEXTS:
            raise ValueError(f"`{name}` {_WANTED}, got {value!r}")
        return value
    pads = _written(value, name)
    return tuple(first for first, _ in pads) if all(a == b for a, b in pads) else pads


def along(pads: Any) -> Pads:
    """The padding of an image of one line, from that of a signal: a number, or (before, after)."""
    before, after = pads if _is_several(pads) else (pads, pads)
    return (0, 0), (before, after)


def checked_padding_along(value: Any, name: str = "padding") -> Any:
    """The padding of a record over signals: a text, a number, or (before, after) where these differ.

    Raises
    ------
    TypeError, ValueError
        If it is nothing of the kind, or a number is negative or too large.
    """
    refused = f"`{name}` {_WANTED_ALONG}, got {value!r}"
    if isinstance(value, str):
        if value not in (*TEXTS, "causal"):
            raise ValueError(refused)
        return value
    try:
        before, after = _as_pair(value, name, "a non-negative")
    except (TypeError, ValueError) as error:
        raise type(error)(refused) from None
    if not (0 <= before <= LARGEST and 0 <= after <= LARGEST):
        raise ValueError(refused)
    return before if before == after else (before, after)


def padding_along(value: Any, name: str, size: int, kernel: int, stride: int, dilation: int) -> Pads:
    """((0, 0), (before, after)) of a padding, for signals of length `size`.

    Raises
    ------
    TypeError, ValueError
        As `checked_padding_along`.
    """
    padding = checked_padding_along(value, name)
    if padding == "causal":
        return (0, 0), (dilation * (kernel - 1), 0)
    if isinstance(padding, str):
        return padding_around(padding, name, (1, size), (1, kernel), (1, stride), (1, dilation))
    return along(padding)


@overload(padding_along)
def _padding_along(value, name, size, kernel, stride, dilation):
    value = types.literal(value.value) if isinstance(value, types.Omitted) else value
    if isinstance(value, types.StringLiteral) and value.literal_value == "causal":
        return lambda value, name, size, kernel, stride, dilation: ((0, 0), (dilation * (kernel - 1), 0))
    if isinstance(value, (types.StringLiteral, types.UnicodeType)):
        return lambda value, name, size, kernel, stride, dilation: padding_around(
            value, name, (1, size), (1, kernel), (1, stride), (1, dilation)
        )
    if _is_int(value):
        return lambda value, name, size, kernel, stride, dilation: _bounded_pads(
            0, 0, np.int64(value), np.int64(value), name
        )
    if isinstance(value, types.BaseTuple) and len(value) == 2 and all(map(_is_int, value.types)):
        return lambda value, name, size, kernel, stride, dilation: _bounded_pads(
            0, 0, np.int64(value[0]), np.int64(value[1]), name
        )
    raise TypeError(f"`padding` {_WANTED_ALONG}, got {value}")


def padding_around(value: Any, name: str, size: Any, kernel: Any, stride: Any, dilation: Any) -> Pads:
    """((top, bottom), (left, right)) of a padding, for images of `size`; all others are pairs too.

    Raises
    ------
    TypeError, ValueError
        As `checked_padding`.
    """
    if not isinstance(value, str):
        return _written(value, name)
    if value not in TEXTS:
        raise ValueError(f"`{name}` {_WANTED}, got {value!r}")
    if value == "valid":
        return (0, 0), (0, 0)
    lower = value == "same_lower"
    return (
        _same(size[0], kernel[0], stride[0], dilation[0], lower),
        _same(size[1], kernel[1], stride[1], dilation[1], lower),
    )


@register_jitable
def first_of(pads):
    """(top, left) of pads."""
    return pads[0][0], pads[1][0]


def _written(value: Any, name: str) -> Pads:
    refused = f"`{name}` {_WANTED}, got {value!r}"
    sides = tuple(value) if _is_several(value) else (value, value)
    if len(sides) != 2 or _is_several(sides[0]) != _is_several(sides[1]):
        raise ValueError(refused)
    try:
        down, across = (_as_pair(side, name, "a non-negative") for side in sides)
    except (TypeError, ValueError) as error:
        raise type(error)(refused) from None
    if not all(0 <= n <= LARGEST for n in (*down, *across)):
        raise ValueError(refused)
    return down, across


def _is_several(value: Any) -> bool:
    return isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim > 0)


@register_jitable
def _same(size, kernel, stride, dilation, lower):
    """(before, after) along one axis, so that there are ceil(size / stride) windows."""
    windows = (size + stride - 1) // stride
    total = max((windows - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
    before = (total + 1) // 2 if lower else total // 2
    return before, total - before


@checked
def _bounded_pads(top, bottom, left, right, name):
    if min(top, bottom, left, right) < 0 or max(top, bottom, left, right) > LARGEST:
        raise ValueError(
            f"`{name}` must be a non-negative int, or such, got (({printable(top)}, {printable(bottom)}), "
            f"({printable(left)}, {printable(right)}))"
        )
    return (top, bottom), (left, right)


@overload(padding_around)
def _padding_around(value, name, size, kernel, stride, dilation):
    value = types.literal(value.value) if isinstance(value, types.Omitted) else value
    if isinstance(value, types.StringLiteral):
        text = value.literal_value
        if text not in TEXTS:
            raise ValueError(f"`padding` {_WANTED}, got {text!r}")
        if text == "valid":
            return lambda value, name, size, kernel, stride, dilation: ((0, 0), (0, 0))
        lower = text == "same_lower"

        def same(value, name, size, kernel, stride, dilation):
            return (
                _same(size[0], kernel[0], stride[0], dilation[0], lower),
                _same(size[1], kernel[1], stride[1], dilation[1], lower),
            )

        return same
    if isinstance(value, types.UnicodeType):
        raise errors.RequireLiteralValue(
            "`padding` must be ints or a constant text in compiled code, got a variable text"
        )
    if _is_int(value):

        def number(value, name, size, kernel, stride, dilation):
            return _bounded_pads(np.int64(value), np.int64(value), np.int64(value), np.int64(value), name)

        return number
    if isinstance(value, types.BaseTuple) and len(value) == 2:
        if all(_is_int(kind) for kind in value.types):

            def pair(value, name, size, kernel, stride, dilation):
                down, across = np.int64(value[0]), np.int64(value[1])
                return _bounded_pads(down, down, across, across, name)

            return pair
        if all(
            isinstance(k, types.BaseTuple) and len(k) == 2 and all(map(_is_int, k.types)) for k in value.types
        ):

            def pairs(value, name, size, kernel, stride, dilation):
                (top, bottom), (left, right) = value
                return _bounded_pads(np.int64(top), np.int64(bottom), np.int64(left), np.int64(right), name)

            return pairs
    raise TypeError(f"`padding` {_WANTED}, got {value}")


def _is_int(kind):
    return isinstance(kind, types.Integer) and not isinstance(kind, types.Boolean)
