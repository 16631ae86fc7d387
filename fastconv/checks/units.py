"""Times and speeds as people write them: "2us", "10GB/s", "25 Gbit/s"."""

import math
import re
from typing import Any

from .settings import real_number

A_TIME = "a time with its unit, such as '2us', '0.1 ms' or '1s'"
A_SPEED = "a speed with its unit, such as '10GB/s', '800 MB/s' or '25Gbit/s'"

_NUMBER = r"\s*(\d+\.?\d*(?:e[+-]?\d+)?|\.\d+)\s*"
_TIME = re.compile(_NUMBER + r"(ns|us|µs|μs|ms|s)\s*")
_SPEED = re.compile(_NUMBER + r"([kKMGT]i?)?(B|b|bit|bits)(?:/s|ps)\s*")
_IN_A_SECOND = {"ns": 1e9, "us": 1e6, "µs": 1e6, "μs": 1e6, "ms": 1e3, "s": 1.0}
_POWERS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def seconds_in(text: str) -> float:
    """The seconds of a time.

    Raises
    ------
    ValueError
        If the text is no time.

    Examples
    --------
    >>> seconds_in("2us"), seconds_in("0.5 ms"), seconds_in("1e3ns"), seconds_in("1s")
    (2e-06, 0.0005, 1e-06, 1.0)
    """
    found = _TIME.fullmatch(text)
    seconds = float(found[1]) / _IN_A_SECOND[found[2]] if found else math.inf
    if not math.isfinite(seconds):
        raise ValueError(f"must be {A_TIME}, got {text!r}")
    return seconds


def bytes_per_second_in(text: str) -> float:
    """The bytes a second of a speed: B is a byte, b and bit are the eighth of one.

    Raises
    ------
    ValueError
        If the text is no speed, or nothing moves.

    Examples
    --------
    >>> bytes_per_second_in("10GB/s"), bytes_per_second_in("8 Gbit/s"), bytes_per_second_in("1KiB/s")
    (10000000000.0, 1000000000.0, 1024.0)
    """
    found = _SPEED.fullmatch(text)
    speed = _speed(*found.groups()) if found else 0.0
    if not (speed > 0 and math.isfinite(speed)):
        raise ValueError(f"must be {A_SPEED}, got {text!r}")
    return speed


def _speed(number: str, prefix: str | None, unit: str) -> float:
    letter, binary = (prefix or "")[:1].upper(), (prefix or "").endswith("i")
    return float(number) * (1024 if binary else 1000) ** _POWERS[letter] / (1 if unit == "B" else 8)


def given_seconds(value: Any, name: str) -> float:
    """An argument that is a time: seconds as a number, or a text with a unit."""
    if not isinstance(value, str):
        return real_number(value, name)
    try:
        return seconds_in(value)
    except ValueError as error:
        raise ValueError(f"`{name}` {error}") from None


def given_bytes_per_second(value: Any, name: str) -> float:
    """An argument that is a speed: bytes a second as a number, or a text with a unit."""
    if not isinstance(value, str):
        return real_number(value, name, above=True)
    try:
        return bytes_per_second_in(value)
    except ValueError as error:
        raise ValueError(f"`{name}` {error}") from None
