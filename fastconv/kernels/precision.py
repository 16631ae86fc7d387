"""How precise the sums of float32 convolutions are: a choice for the whole process."""

import os

from ..simd.compiling import compiled
from ..simd.shared_numbers import read_shared, shared_number

PRECISIONS = ("high", "highest")
UNKNOWN, HIGH, HIGHEST = -1, 0, 1

# Compiled kernels read it at each call: what is set holds for all code, that of users' caches too.
_NAME = "fastconv_precision"


def _checked(precision: object, name: str) -> str:
    """The precision, if it is one."""
    if not isinstance(precision, str):
        raise TypeError(f"`{name}` must be 'high' or 'highest', got {precision!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"`{name}` must be 'high' or 'highest', got {precision!r}")
    return precision


def set_precision(precision: str) -> None:
    """Choose how float32 convolutions, those of networks and the kernels alike, are summed up from now on.

    Parameters
    ----------
    precision : {'high', 'highest'}
        "high", as it is from the start: where that is faster, convolutions and their gradients are computed
        by Winograd's products: of 3x3 taps, a quarter as many as the sums have, of 5x5 a third, along a line,
        as in Conv1d, about half. Their rms errors are up to 5 times those of a direct sum in float32, and a
        number that is not finite spreads to the results around it, 5x5 at most.
        "highest": direct sums everywhere, with errors that are below PyTorch's in the mean.

    Raises
    ------
    ValueError, TypeError
        If `precision` is neither.

    Notes
    -----
    Sums of float64 are direct either way. Predictions of fewer samples than a vector has lanes are computed
    in another layout, where other layers may be faster by the products: at "high", their last bits may differ
    from those of the same samples in a larger batch. `@njit` code that calls kernels does as it is told here,
    too, whenever it was compiled. The environment variable FASTCONV_PRECISION says what holds at first.

    Examples
    --------
    >>> import fastconv as fc
    >>> before = fc.get_precision()
    >>> fc.set_precision("highest")
    >>> fc.get_precision()
    'highest'
    >>> fc.set_precision(before)
    """
    chosen.value = PRECISIONS.index(_checked(precision, "precision"))


def get_precision() -> str:
    """How float32 convolutions are summed up: what `set_precision` or FASTCONV_PRECISION says.

    Returns
    -------
    {'high', 'highest'}

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.get_precision() in ("high", "highest")
    True
    """
    number = chosen.value
    if number == UNKNOWN:
        set_precision(_checked(_of_environment(), "FASTCONV_PRECISION"))
        number = chosen.value
    return PRECISIONS[number]


def _of_environment() -> str:
    """What the environment asks for, whether there is such a precision or not."""
    return os.environ.get("FASTCONV_PRECISION", "").strip() or "high"


# A wrong word in the environment is refused when somebody asks: an import that fails would not say why.
_at_first = _of_environment()
chosen = shared_number(_NAME, PRECISIONS.index(_at_first) if _at_first in PRECISIONS else UNKNOWN)


@compiled
def is_high():
    """Whether compiled code may take Winograd's products."""
    precision = read_shared(_NAME)
    if precision == UNKNOWN:
        raise ValueError("`FASTCONV_PRECISION` must be 'high' or 'highest'")
    return precision == HIGH
