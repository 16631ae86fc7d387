"""What every rank has of a batch, or of arrays, brought into one form: dtype, kind of targets, weights."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..engine.columns import Columns, arrays_in, like
from ..engine.ranks.agreement import gathered
from ..engine.ranks.communicator import Alone
from ..engine.ranks.spread import Spread
from ..nn.class_losses import is_labels
from .feeds import Form
from .parts import Part, ScatteredPart


class Kind(NamedTuple):
    """An array of a rank, without its numbers."""

    rows: int
    shape: tuple[int, ...]  # of a sample
    dtype: str


def kinds_of(columns: Any) -> list[Kind]:
    """Those of the arrays in some columns."""
    return [Kind(len(array), array.shape[1:], array.dtype.str) for array in arrays_in(columns)]


def of_one_kind(ranks: Alone, columns: Any, name: str) -> Any:
    """This rank's arrays in the dtype and kind of those of all ranks, which call this together.

    Labels become parts of classes where another rank has such, as they would all be in one array; what has no
    rows becomes what the others have.

    Raises
    ------
    ValueError
        If ranks have different dtypes or shapes.
    """
    return columns if ranks.count == 1 else _alike(ranks.gather(kinds_of(columns)), columns, name)


def _alike(kinds: list[list[Kind]], columns: Any, name: str) -> Any:
    """`of_one_kind` of arrays whose kinds are known, by rank."""
    found = []
    for array, same in zip(arrays_in(columns), zip(*kinds, strict=True), strict=True):
        wanted = max([kind for kind in same if kind.rows] or same, key=lambda kind: len(kind.shape))
        for rank, kind in enumerate(same):
            labels = len(kind.shape) < len(wanted.shape) and np.dtype(kind.dtype).kind == "i"
            if kind.rows and kind[1:] != wanted[1:] and not labels:
                raise ValueError(
                    f"`{name}` must have samples of one shape and dtype on all ranks, got "
                    f"{wanted.shape} of {np.dtype(wanted.dtype)} and, on rank {rank}, {kind.shape} of "
                    f"{np.dtype(kind.dtype)}"
                )
        if not len(array):
            array = np.empty((0, *wanted.shape), wanted.dtype)
        elif array.ndim == len(wanted.shape) and is_labels(array):
            array = _parts_of(array, wanted.shape[0]).astype(wanted.dtype)
        found.append(array)
    return like(columns, found)


def _parts_of(labels: NDArray[Any], classes: int) -> NDArray[Any]:
    """Labels as parts of classes, of which each has one."""
    return np.moveaxis(np.eye(classes)[labels], -1, 1)


class _Batch(NamedTuple):
    """A batch of a rank, without its numbers."""

    X: list[Kind]
    y: list[Kind]
    weighted: bool
    names: tuple[str, str]


def next_of_all(next_here: Callable[[], Part | None], form: Form, name: str) -> Part | None:
    """The next batch of all ranks, or None at the end of all; `next_here` gives that of this rank.

    Where ranks have samples of their own, theirs are one below the other, and those of a rank that is at its
    end are missing; else all must have the same batch.
    """
    own: list[Part | None] = []

    def take() -> _Batch | None:
        own.append(next_here())
        part = own[0]
        if part is None:
            return None
        return _Batch(kinds_of(part.X), kinds_of(part.y), part.weight is not None, part.names)

    found = gathered(form.ranks, take)
    if form.local:
        known = [batch for batch in found if batch is not None]
        return _joined(own[0], found, known, form) if known else None
    for rank, batch in enumerate(found):
        if batch != found[0]:
            first, other = (_in_words(batch) for batch in (found[0], batch))
            raise ValueError(
                f"`{name}` must give the same batches on all ranks, got {first} on rank 0 and {other} on "
                f"rank {rank}"
            )
    return own[0]


def _in_words(batch: _Batch | None) -> str:
    """What a rank has given."""
    if batch is None:
        return "none"
    return f"{batch.X[0].rows} samples of {np.dtype(batch.X[0].dtype)}"


def _joined(own: Part | None, found: list[_Batch | None], known: list[_Batch], form: Form) -> Part:
    """The samples of all ranks, of which `own` are those of this one."""
    X, y, weight = (own.X, own.y, own.weight) if own is not None else (None, None, None)
    network, names = form.network, known[0].names
    nothing = [Kind(0, (), "f8")]
    kinds = [
        [getattr(batch, side) if batch else nothing * len(getattr(known[0], side)) for batch in found]
        for side in ("X", "y")
    ]
    if own is None:
        X, y = _empty(kinds[0][0], network.input_names), _empty(kinds[1][0], network.output_names)
    X, y = _alike(kinds[0], X, names[0]), _alike(kinds[1], y, names[1])
    if weight is None and any(batch.weighted for batch in known):
        weight = np.ones(len(X))
    counts = [batch.X[0].rows if batch else 0 for batch in found]
    spread = Spread(form.ranks, len(X), counts)
    if not spread.total:
        raise ValueError(f"`{names[0]}` must hold at least one sample, got none")
    return ScatteredPart(X, y, weight, spread.total, np.arange(spread.total), names, spread)


def _empty(kinds: list[Kind], names: tuple[str, ...]) -> Any:
    """Arrays without rows, as many as there are kinds."""
    arrays = [np.empty(0) for _ in kinds]
    return Columns(arrays, names) if len(arrays) > 1 else arrays[0]
