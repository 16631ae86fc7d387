"""What tells data from others, as far as that can be had without reading all of them."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..engine.columns import Columns, arrays_in
from ..engine.ranks.spread import Rows, Spread

HASHED_AT_ONCE = 4096  # so that a hash needs little memory


def shape_of(X: Any, count: int) -> list[Any]:
    """The shape of so many samples; of several inputs, all shapes."""
    shapes = [[count, *array.shape[1:]] for array in arrays_in(X)]
    return shapes if isinstance(X, Columns) else shapes[0]


def ends_of(spread: Spread, X: Any, rows: Rows) -> str:
    """A hash of the first and the last of some samples, and whether they are scaled."""
    return " ".join(
        _hash(spread, array, rows[[0, -1]]) + ("/255" if array.dtype == np.uint8 else "")
        for array in arrays_in(X)
    )


def hash_of(spread: Spread, columns: Any, rows: Rows) -> str:
    """A hash of some rows of numbers, whatever their dtype and strides, and on whichever ranks they lie."""
    return " ".join(_hash(spread, array, rows) for array in arrays_in(columns))


def _hash(spread: Spread, values: NDArray[Any], rows: Rows) -> str:
    digest = hashlib.sha256()
    for start in range(0, len(rows), HASHED_AT_ONCE):
        some = spread.rows(values, rows[start : start + HASHED_AT_ONCE])
        digest.update(np.asarray(some, np.float64).tobytes())
    return digest.hexdigest()[:16]
