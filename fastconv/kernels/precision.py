"""How precise the sums of float32 convolutions are: a choice for the whole process."""

import os

PRECISIONS = ("high", "highest")

_precision: str | None = None


def _checked(precision: object, name: str) -> str:
    """The precision, if it is one."""
    if not isinstance(precision, str):
        raise TypeError(f"`{name}` must be 'high' or 'highest', got {precision!r}")
    if precision not in PRECISIONS:
        raise ValueError(f"`{name}` must be 'high' or 'highest', got {precision!r}")
    return precision


def set_precision(precision: str) -> None:
    """Choose how convolutions of float32 networks are summed up from now on.

    Parameters
    ----------
    precision : {'high', 'highest'}
        "high", as it is from the start: where that is faster, convolutions of 3x3 taps and more and their
        gradients are computed by Winograd's products: of 3x3 taps, a quarter as many as the sums have.
        Their rms errors are up to 5 times those of a direct sum in float32, and a number that is not finite
        spreads to the results around it, 5x5 at most.
        "highest": direct sums everywhere, with errors at or below PyTorch's.

    Raises
    ------
    ValueError, TypeError
        If `precision` is neither.

    Notes
    -----
    Networks of float64 use direct sums either way, and so do predictions of fewer samples than a vector has
    lanes: at "high", their last bits may differ from those of the same samples in a larger batch. The
    environment variable FASTCONV_PRECISION says what holds at first.

    Examples
    --------
    >>> import fastconv as fc
    >>> before = fc.get_precision()
    >>> fc.set_precision("highest")
    >>> fc.get_precision()
    'highest'
    >>> fc.set_precision(before)
    """
    global _precision
    _precision = _checked(precision, "precision")


def get_precision() -> str:
    """How convolutions of float32 networks are summed up: what `set_precision` or FASTCONV_PRECISION says.

    Returns
    -------
    {'high', 'highest'}

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.get_precision() in ("high", "highest")
    True
    """
    global _precision
    if _precision is None:
        text = os.environ.get("FASTCONV_PRECISION", "").strip()
        _precision = _checked(text or "high", "FASTCONV_PRECISION")
    return _precision
