"""Dropout."""

from dataclasses import dataclass

from ..checks.settings import real_number
from .layer import Layer, set_fields

__all__ = ["Dropout"]


@dataclass(frozen=True)
class Dropout(Layer):
    """In training, zero for a random share `p` of the elements; the others are divided by 1 - p.

    Parameters
    ----------
    p : float
        From 0 up to, not including, 1.

    Examples
    --------
    >>> import fastconv as fc
    >>> fc.Dropout(0.25)
    Dropout(p=0.25)
    """

    p: float = 0.5

    def __post_init__(self) -> None:
        set_fields(self, p=real_number(self.p, "p", 0.0, 1.0))
