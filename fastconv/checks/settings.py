"""Checks of the plain numbers that settings are made of: learning rates, counts, fractions."""

import math
import numbers
from typing import Any


def real_number(
    value: Any, name: str, low: float = 0.0, high: float = math.inf, *, above: bool = False
) -> float:
    """`value` as a float, if it is a finite number with low <= value < high (low < value when `above`).

    Raises
    ------
    TypeError
        If `value` is not a number.
    ValueError
        If it is out of range, infinite or not a number.
    """
    wanted = "a number" + (f" {'>' if above else '>='} {low:g}" if low > -math.inf else "")
    wanted += f" and < {high:g}" if high < math.inf else ""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"`{name}` must be {wanted}, got {value!r}")
    number = float(value)
    if not (math.isfinite(number) and low <= number < high) or (above and number == low):
        raise ValueError(f"`{name}` must be {wanted}, got {value!r}")
    return number


def whole_number(value: Any, name: str, low: int = 1) -> int:
    """`value` as an int, if it is a whole number of at least `low`.

    Raises
    ------
    TypeError
        If `value` is not an int.
    ValueError
        If it is less than `low`.
    """
    if type(value) is not int and (isinstance(value, bool) or not isinstance(value, numbers.Integral)):
        raise TypeError(f"`{name}` must be an int >= {low}, got {value!r}")
    if value < low:
        raise ValueError(f"`{name}` must be an int >= {low}, got {value!r}")
    return int(value)
