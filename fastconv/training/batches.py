"""Where samples come from: arrays that are there as a whole, or an iterable of batches.

Either is a feed, which hands out one pass over the data in parts: a single one with the whole arrays, or one
for each batch.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ..engine.ranks.agreement import on_all
from ..engine.ranks.communicator import ALONE
from ..engine.ranks.spread import Spread
from . import fingerprints
from .batch_feed import BatchFeed
from .feeds import EVALUATED_AT_ONCE, WANTED, Feed, Form
from .held_out import Chosen, held_out_samples
from .joining import of_one_kind
from .parts import Part, ScatteredPart
from .sample_weights import Weights, check_above_zero, check_sample_weight


class ArrayFeed:
    """Samples in arrays, all or those that are `chosen`, every epoch in a new order where there is a seed.

    The arrays are those of this rank; where `spread` says that others have samples too, all else, `chosen`
    and `batch_size`, is of the samples of all.
    """

    def __init__(
        self,
        X: Any,
        y: Any,
        weight: Weights | None,
        batch_size: int,
        shuffle_seed: int | None = None,
        names: tuple[str, str] = ("X", "y"),
        chosen: Chosen | None = None,
        spread: Spread | None = None,
    ) -> None:
        self._arrays, self._chosen = (X, y, weight), chosen
        self._names = names
        self._spread = Spread(ALONE, len(X)) if spread is None else spread
        self._count = self._spread.total if chosen is None else int(np.count_nonzero(chosen))
        if not self._count:
            raise ValueError(f"`{names[0]}` must hold at least one sample, got none")
        self.samples: int | None = self._count
        self.batch_size = min(batch_size, self._count)
        self.weighted, self.targets = weight is not None, y
        self.steps: int | None = -(-self._count // self.batch_size)
        self._seed, self.ended = shuffle_seed, False

    def parts(self, epoch: int) -> Iterator[Part]:
        """All samples."""
        order = None if self._chosen is None else np.flatnonzero(self._chosen)
        if self._seed is not None:
            order = np.arange(self._count) if order is None else order
            np.random.default_rng((self._seed, epoch)).shuffle(order)
        if self._spread.ranks.count == 1:
            yield Part(*self._arrays, self.batch_size, order, self._names)
            return
        order = np.arange(self._count) if order is None else order
        yield ScatteredPart(*self._arrays, self.batch_size, order, self._names, self._spread)

    def fingerprint(self) -> dict[str, Any]:
        """Shape, first and last samples, all targets and weights, and whether they are shuffled."""
        X, y, weight = self._arrays
        rows = np.arange(self._count) if self._chosen is None else np.flatnonzero(self._chosen)
        return {
            "shape of X": fingerprints.shape_of(X, self._count),
            "first and last samples of X": fingerprints.ends_of(self._spread, X, rows),
            "y": fingerprints.hash_of(self._spread, y, rows),
            "weights": None if weight is None else fingerprints.hash_of(self._spread, weight, rows),
            "shuffle": self._seed is not None,
        }


def array_feeds(
    X: Any,
    y: Any,
    weight: Weights | None,
    split: float,
    class_weight: Any,
    form: Form,
    batch_size: int,
    shuffle_seed: int | None,
) -> tuple[Feed, Feed | None]:
    """The feed of arrays, and one of `split` of them, if that is to be held out: see `held_out_samples`.

    All ranks call it together, each with its own samples where they differ.

    Raises
    ------
    TypeError, ValueError
        If nothing is left on one side, or the weights do not fit.
    """
    X, y, spread = _of_all(X, y, form)
    if not split:
        weight = form.combine(weight, class_weight, y)
        return ArrayFeed(X, y, weight, batch_size, shuffle_seed, spread=spread), None
    held_out = held_out_samples(y, split, form.loss, spread)
    rest = ArrayFeed(X, y, weight, EVALUATED_AT_ONCE, chosen=held_out, spread=spread)
    trained = ~spread.here(held_out)
    own = form.combine(None if weight is None else weight[trained], class_weight, y[trained])
    if own is not None:
        weight = np.zeros(len(X))
        weight[trained] = own
    return ArrayFeed(X, y, weight, batch_size, shuffle_seed, chosen=~held_out, spread=spread), rest


def array_feed(
    X: Any,
    y: Any,
    weight: Weights | None,
    batch_size: int | None,
    form: Form,
    names: tuple[str, str, str] = ("X", "y", "sample_weight"),
    may_be_zeros: bool = False,
) -> ArrayFeed:
    """The feed of arrays as they lie, in steps of `batch_size`, or all at once; all ranks call it together.

    Raises
    ------
    ValueError
        If there are no samples, or all weights are 0 and may not be.
    """
    X, y, spread = _of_all(X, y, form, names[:2])
    if weight is not None and not may_be_zeros:
        check_above_zero(weight, names[2], spread)
    return ArrayFeed(X, y, weight, batch_size or max(1, spread.total), names=names[:2], spread=spread)


def _of_all(X: Any, y: Any, form: Form, names: tuple[str, str] = ("X", "y")) -> tuple[Any, Any, Spread]:
    """Arrays as every rank has them, and how the samples lie with the ranks."""
    spread = form.spread(len(X))
    return of_one_kind(spread.ranks, X, names[0]), of_one_kind(spread.ranks, y, names[1]), spread


def _is_batches(values: Any) -> bool:
    """Whether this is a list of tuples, not one of arrays."""
    return isinstance(values, list) and len(values) > 0 and isinstance(values[0], tuple)


def validation_feed(validation_data: Any, form: Form, epochs: int) -> Feed:
    """The feed of `validation_data`: a tuple (or list) of arrays, or an iterable of batches.

    All ranks call it together.

    Raises
    ------
    TypeError, ValueError
        If it is neither, or does not fit.
    """
    name, given = "validation_data", validation_data
    if not isinstance(given, (tuple, list)) or _is_batches(given):
        return BatchFeed(given, form, epochs, name=name)
    if len(given) not in (2, 3):
        raise TypeError(f"`{name}` must be {WANTED[name]}, got {len(given)} things")
    names = f"{name}[0]", f"{name}[1]", f"{name}[2]"

    def checked() -> tuple[Any, Any, Weights | None]:
        X, y = form.check(given[0], given[1], names[:2])
        if len(given) == 2 or given[2] is None:
            return X, y, None
        return X, y, check_sample_weight(given[2], len(X), names[2], may_be_zeros=True)

    X, y, weight = on_all(form.ranks, checked)
    return array_feed(X, y, weight, EVALUATED_AT_ONCE, form, names)
