"""Numbers that users may change at any time, and how a network sees that they have.

    flat                       the memory; only the network and compiled code use it under this name
    handed                     the same memory as another array: the base of every view that users get

NumPy gives a view of a view the first one's base. So whoever holds a view of `handed`, or something made of
it (a slice, a memoryview, a tensor of torch.from_numpy), holds a reference to `handed`, which is counted.
"""

import itertools
import math
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Shape = tuple[int, ...]
_stamps = itertools.count(1)  # next() is one operation, which no thread can interrupt


class LiveArrays:
    """Named arrays in one flat vector, live for users, and a stamp that is another one once they changed.

    Parameters
    ----------
    flat : ndarray of one dimension
    shapes : dict
        Name -> shape, in the order in which they lie in `flat`.

    Notes
    -----
    Numbers change in three ways. Code of this package that writes them says so: `note_change`. Users write
    through views: `hand_out` counts the times that they were given some, and references to `handed` tell
    whether one is still there. After the first and as long as the second, `stamp` compares the numbers
    themselves with a copy, bit by bit. Not seen is who writes to an address after its array has gone.
    """

    def __init__(self, flat: NDArray[Any], shapes: Mapping[str, Shape]) -> None:
        self.flat = np.require(flat, requirements=["W"])  # joblib may map it from a file, read-only
        self.handed = np.asarray(self.flat.data)
        self.views: dict[str, NDArray[Any]] = {}
        start = 0
        for name, shape in shapes.items():
            end = start + math.prod(shape)
            self.views[name] = self.handed[start:end].reshape(shape)
            start = end
        self._given = itertools.count(1)
        self._times_given = 0
        self._stamp = next(_stamps)
        self._compared = 0  # how often views had been given then; less than 0 if one was still there
        self._before: NDArray[Any] | None = None  # the numbers at the last comparison
        self._own_references = sys.getrefcount(self.handed)

    def __reduce__(self) -> tuple[Any, ...]:
        return LiveArrays, (self.flat, {name: view.shape for name, view in self.views.items()})

    def hand_out(self) -> dict[str, NDArray[Any]]:
        """Name -> view, for users."""
        views = {name: view.view() for name, view in self.views.items()}
        self._times_given = next(self._given)  # after the views are made: see `stamp`
        return views

    def hand_out_flat(self) -> NDArray[Any]:
        """All numbers as one view, for users."""
        view = self.handed[:]
        self._times_given = next(self._given)
        return view

    def note_change(self) -> None:
        """Say that the numbers have been written to."""
        self._before = None
        self._stamp = next(_stamps)

    def stamp(self) -> int:
        """A number that is another one if the numbers may have changed since it was asked for last.

        Views may be given by other threads meanwhile. They are counted after they are made, and counted here
        before references are: a view that is missed here is new to the next call.
        """
        given = self._times_given
        held = sys.getrefcount(self.handed) > self._own_references
        if held or given != self._compared:
            if self._before is None or self._before.tobytes() != self.flat.tobytes():
                self._stamp = next(_stamps)  # before the copy: who finds it equal must find the new stamp
                self._before = self.flat.copy()
            self._compared = -1 if held else given  # only now: another thread must not pass by before
        return self._stamp
