"""Why a loss is not finite: what was in the data, what in the parameters; and the way back.

Samples are not looked through while all is well: to read each once more would take more than 2 % of an
epoch of a small network. What is looked at are the losses that each call of the engine gives, and the sum of
the parameters once an epoch.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.model import Model

_ROWS = 1024  # looked through at a time, so that the search needs little memory


def first_not_finite(
    values: NDArray[Any],
    name: str,
    rows: NDArray[np.int64] | None = None,
    numbers: NDArray[np.int64] | None = None,
) -> str | None:
    """What is wrong with `values`, in words, or None where all (or all of these rows) are finite.

    `numbers` is what rows are called, if not by their places.
    """
    if values.dtype.kind != "f":
        return None
    count = len(values) if rows is None else len(rows)
    for start in range(0, count, _ROWS):
        some = slice(start, start + _ROWS) if rows is None else rows[start : start + _ROWS]
        bad = ~np.isfinite(values[some])
        if bad.any():
            place = [int(n) for n in np.unravel_index(int(np.argmax(bad)), bad.shape)]
            place[0] = start + place[0] if rows is None else int(rows[start + place[0]])
            called = place[0] if numbers is None else int(numbers[place[0]])
            where = ", ".join(map(str, (called, *place[1:])))
            return f"`{name}` must be finite, got {values[tuple(place)]} at [{where}]"
    return None


def all_finite(values: NDArray[Any]) -> bool:
    """Whether all are finite; their sum, which takes a fraction of the time, mostly tells."""
    with np.errstate(all="ignore"):
        return math.isfinite(values.sum()) or bool(np.isfinite(values).all())


class Snapshot:
    """A copy of all that steps change, to go back to."""

    def __init__(self, model: Model, optimizer_state: list[NDArray[Any]]) -> None:
        self._model = model
        self._live = [model.flat_parameters, model.flat_statistics, *optimizer_state]
        self._kept = [array.copy() for array in self._live]

    def take(self) -> None:
        """Remember what is there now."""
        for kept, live in zip(self._kept, self._live, strict=True):
            np.copyto(kept, live)

    def put_back(self) -> None:
        """Make everything as it was."""
        for kept, live in zip(self._kept, self._live, strict=True):
            np.copyto(live, kept)

    def what_was_not_finite(self) -> str | None:
        """What is wrong with the parameters and statistics that were remembered, in words, or None."""
        for name, array in self._model.state().items():
            found = first_not_finite(array, name)
            if found:
                return f"{found}, before the epoch began: load_state a good state, or build a new network"
        return None
