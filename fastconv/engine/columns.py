"""Several arrays with a row for each sample, as networks of several inputs or outputs take and give them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..nn.joint_loss import parts_of
from ..nn.layer import Shape
from ..nn.losses import Loss
from .inputs import samples_as_given, targets_as_given


class Columns:
    """Arrays of one length, which are indexed by sample together."""

    def __init__(self, arrays: "list[NDArray[Any]]", names: tuple[str, ...]) -> None:
        self.arrays, self.names = tuple(arrays), names

    def __len__(self) -> int:
        return len(self.arrays[0])

    def __getitem__(self, rows: Any) -> "Columns":
        return Columns([array[rows] for array in self.arrays], self.names)

    def copy(self) -> "Columns":
        """A copy of all arrays."""
        return Columns([array.copy() for array in self.arrays], self.names)

    def as_given(self, by_name: bool) -> Any:
        """A dict by name, or a list."""
        return dict(zip(self.names, self.arrays, strict=True)) if by_name else list(self.arrays)


def arrays_in(values: Any) -> "tuple[NDArray[Any], ...]":
    """The arrays of some columns, or the only array; none of None."""
    if values is None:
        return ()
    return values.arrays if isinstance(values, Columns) else (values,)


def like(values: Any, arrays: "list[NDArray[Any]]") -> Any:
    """Other arrays in the form of `values`: columns, or the only array."""
    return Columns(arrays, values.names) if isinstance(values, Columns) else arrays[0]


def named(values: Any, name: str) -> "list[tuple[NDArray[Any], str]]":
    """(array, what messages call it) of each."""
    if isinstance(values, Columns):
        return [(array, f"{name}[{key!r}]") for array, key in zip(values.arrays, values.names, strict=True)]
    return [(values, name)]


def inputs_as_given(X: Any, names: tuple[str, ...], shapes: tuple[Shape, ...], name: str = "X") -> Any:
    """`X` for a network with these inputs: see `samples_as_given`; of several inputs, as columns.

    Raises
    ------
    TypeError, ValueError
        If there is not an array for each input, they are not of one length, or one does not fit.
    """
    if len(names) == 1:
        return samples_as_given(_only(X, names, name, "input"), shapes[0], name)
    given = _by_name(X, names, name, "input")
    arrays = [
        samples_as_given(array, shape, f"{name}[{key!r}]")
        for array, key, shape in zip(given, names, shapes, strict=True)
    ]
    _check_lengths(arrays, names, name)
    return Columns(arrays, names)


def outputs_as_given(
    y: Any, count: int, names: tuple[str, ...], shapes: tuple[Shape, ...], loss: Loss, name: str = "y"
) -> Any:
    """Targets for a network with these outputs: see `targets_as_given`; of several outputs, as columns.

    Raises
    ------
    TypeError, ValueError
        If there are not targets for each output, or some do not fit their loss.
    """
    if len(names) == 1:
        return targets_as_given(_only(y, names, name, "output"), count, shapes[0], loss, name)
    given = _by_name(y, names, name, "output")
    arrays = [
        targets_as_given(array, count, shape, part, f"{name}[{key!r}]")
        for array, key, shape, (part, _) in zip(given, names, shapes, parts_of(loss), strict=True)
    ]
    return Columns(arrays, names)


def _only(given: Any, names: tuple[str, ...], name: str, kind: str) -> Any:
    """What is given for the only name: itself, or in a dict."""
    if isinstance(given, np.ndarray):  # the usual case, in a hundredth of the time of the next question
        return given
    return _by_name(given, names, name, kind)[0] if isinstance(given, Mapping) else given


def _by_name(given: Any, names: tuple[str, ...], name: str, kind: str) -> list[Any]:
    """One thing for each name, from a dict or a list."""
    if isinstance(given, Mapping):
        if set(given) != set(names):
            have = ", ".join(map(str, given))
            raise ValueError(f"`{name}` must have the {kind}s' names, {', '.join(names)}, got {have}")
        return [given[key] for key in names]
    if not isinstance(given, (list, tuple)) or len(given) != len(names):
        got = f"{len(given)} things" if isinstance(given, (list, tuple)) else type(given).__name__
        raise ValueError(
            f"`{name}` must be a list of {len(names)} arrays, one for each {kind}, or a dict of them by name "
            f"({', '.join(names)}), got {got}"
        )
    return list(given)


def _check_lengths(arrays: "list[NDArray[Any]]", names: tuple[str, ...], name: str) -> None:
    if len({len(array) for array in arrays}) > 1:
        lengths = ", ".join(f"{key}: {len(array)}" for key, array in zip(names, arrays, strict=True))
        raise ValueError(f"`{name}` must have as many samples for each input, got {lengths}")
