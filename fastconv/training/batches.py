"""Where samples come from: arrays that are there as a whole, or an iterable of batches.

Either is a feed, which hands out one pass over the data in parts: a single one with the whole arrays, or one
for each batch.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..checks.settings import whole_number
from ..engine.columns import Columns, arrays_in, inputs_as_given, named, outputs_as_given
from ..engine.inputs import check_layout
from ..engine.lowering.strips import samples_of_strip
from ..nn.losses import Loss
from ..nn.network import Network
from .finite import first_not_finite
from .held_out import Chosen, held_out_samples
from .sample_weights import Weights, check_sample_weight, combine

HASHED_AT_ONCE = 4096  # so that a hash needs little memory
EVALUATED_AT_ONCE = 256  # samples in work at a time where nobody says
WANTED = {
    "X": "an array, with y, or an iterable of batches",
    "validation_data": "a pair (X, y), or (X, y, sample_weight), or an iterable of batches",
}


@dataclass(frozen=True)
class Part:
    """Samples to go through in steps of `batch_size`: all as they lie, or those of `order`."""

    X: Any  # an array, or Columns
    y: Any
    weight: Weights | None
    batch_size: int
    order: NDArray[np.int64] | None = None
    names: tuple[str, str] = ("X", "y")  # of X and y, for errors

    @property
    def samples(self) -> int:
        """How many samples there are to go through."""
        return len(self.X) if self.order is None else len(self.order)

    def pieces(self, lanes: int) -> "Iterator[Part]":
        """The same, with a last batch on its own that is computed in another way than the larger ones.

        What becomes of a batch depends on its own size alone: see `samples_of_strip`.
        """
        whole, rest = divmod(self.samples, self.batch_size)
        alike = samples_of_strip(rest, lanes) == samples_of_strip(self.batch_size, lanes)
        if not whole or not rest or alike:
            yield self
            return
        first = whole * self.batch_size
        if self.order is None:
            weight = None if self.weight is None else self.weight[:first]
            yield replace(self, X=self.X[:first], y=self.y[:first], weight=weight)
            yield replace(self, batch_size=rest, order=np.arange(first, self.samples))
        else:
            yield replace(self, order=self.order[:first])
            yield replace(self, batch_size=rest, order=self.order[first:])

    def what_is_not_finite(self, seen: int) -> str | None:
        """What is wrong with the first `seen` samples, in words, or None where all are finite."""
        rows = np.arange(seen) if self.order is None else np.sort(self.order[:seen])
        for columns, what in zip((self.X, self.y), self.names, strict=True):
            for values, name in named(columns, what):
                found = first_not_finite(values, name, rows)
                if found:
                    return found
        return None


class Feed(Protocol):
    """What the trainer needs of a source of samples."""

    steps: int | None  # in one pass, where that is known
    samples: int | None  # the same; of an iterable, an estimate
    batch_size: int  # of the first step
    weighted: bool  # whether the first step has weights
    targets: Any  # those of the first step, and perhaps others
    ended: bool  # whether there was less than was to be

    def parts(self, epoch: int) -> Iterator[Part]:
        """One pass over the data."""

    def fingerprint(self) -> dict[str, Any]:
        """What tells these data from others, as far as that can be had without reading all of them."""


@dataclass(frozen=True)
class Form:
    """What samples and targets must look like for a network and a loss."""

    network: Network
    loss: Loss

    def check(self, X: Any, y: Any, names: tuple[str, str] = ("X", "y")) -> tuple[Any, Any]:
        """X and y as the engine reads them: arrays, or columns where there are several.

        Raises
        ------
        TypeError, ValueError
            If they don't fit, or there are no samples.
        """
        network = self.network
        X = inputs_as_given(X, network.input_names, network.input_shapes, names[0])
        for array, name in named(X, names[0]):
            check_layout(array.shape, name)
        y = outputs_as_given(y, len(X), network.output_names, network.output_shapes, self.loss, names[1])
        if not len(X):
            raise ValueError(f"`{names[0]}` must hold at least one sample, got none")
        return X, y

    def combine(
        self, weight: Weights | None, class_weight: Any, y: NDArray[Any], batch: bool = False
    ) -> Weights | None:
        """The weight of each sample: its own times that of its class."""
        if class_weight is not None and isinstance(y, Columns):
            raise ValueError(
                "`class_weight` is for a network with one output: give `sample_weight`, or `loss_weights`"
            )
        features = 0 if isinstance(y, Columns) else int(np.prod(self.network.output_shape))
        return combine(weight, class_weight, y, self.loss, features, batch)


class ArrayFeed:
    """Samples in arrays, all or those that are `chosen`, every epoch in a new order where there is a seed."""

    def __init__(
        self,
        X: Any,
        y: Any,
        weight: Weights | None,
        batch_size: int,
        shuffle_seed: int | None = None,
        names: tuple[str, str] = ("X", "y"),
        chosen: Chosen | None = None,
    ) -> None:
        self._arrays, self._chosen = (X, y, weight), chosen
        self._names = names
        self._count = len(X) if chosen is None else int(np.count_nonzero(chosen))
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
        yield Part(*self._arrays, self.batch_size, order, self._names)

    def fingerprint(self) -> dict[str, Any]:
        """Shape, first and last samples, all targets and weights, and whether they are shuffled."""
        X, y, weight = self._arrays
        rows = np.arange(self._count) if self._chosen is None else np.flatnonzero(self._chosen)
        return {
            "shape of X": _shape_of(X, self._count),
            "first and last samples of X": _ends(X, rows[[0, -1]]),
            "y": " ".join(_hash(array, rows) for array in arrays_in(y)),
            "weights": None if weight is None else _hash(weight, rows),
            "shuffle": self._seed is not None,
        }


_END = object()  # of an iterator: a batch that is None is a mistake


class BatchFeed:
    """Batches (X, y) or (X, y, sample_weight) of an iterable, each one step.

    Parameters
    ----------
    batches : iterable or callable
        An iterable is begun anew in every epoch, a function is called for a new one. An iterator (such as a
        generator) can be gone through only once.
    form : Form
        What batches must look like.
    epochs : int
        Passes that will be asked for.
    steps : int, optional
        Steps of an epoch: the next epoch then goes on where the last one has stopped, and what ends is begun
        anew, unless it is an iterator.
    class_weight : dict, optional
        Class -> what the weight of its samples is multiplied by.
    name : str
        Of the argument, for errors.

    The first batch is taken at once. `ended` says that the last pass had no batch, or fewer than `steps`.

    Raises
    ------
    TypeError, ValueError
        If it is no iterable of batches, has none, or is an iterator that several epochs would begin anew.
    """

    def __init__(
        self,
        batches: Any,
        form: Form,
        epochs: int = 1,
        steps: int | None = None,
        class_weight: Any = None,
        name: str = "X",
    ) -> None:
        self._begin = _beginning(batches, name)
        self._form, self._class_weight, self._name = form, class_weight, name
        self._once, self._goes_on = hasattr(batches, "__next__"), steps is not None
        if self._once and not self._goes_on and epochs > 1:
            raise ValueError(
                f"`{name}` can be gone through only once, got {batches!r} for {epochs} epochs: "
                "give a function that makes a new one, or `steps_per_epoch`"
            )
        self.steps = _length(batches) if steps is None else whole_number(steps, "steps_per_epoch")
        self._taken = 0  # batches since the iterator was begun
        self._iterator = self._begin()
        first = self._next()
        if first is None:
            raise ValueError(f"`{name}` must give at least one batch, got none")
        self._iterator = itertools.chain([first], self._iterator)
        self.batch_size, self.weighted = first.batch_size, first.weight is not None
        self.targets = first.y
        self.samples = self.steps and self.steps * self.batch_size
        self._untouched, self.ended = True, False

    def parts(self, epoch: int) -> Iterator[Part]:
        """The batches of one epoch; fewer than `steps` where the iterable has come to its end."""
        if not (self._untouched or self._goes_on):
            self._restart()
        self._untouched = False
        for step in itertools.count() if self.steps is None else range(self.steps):
            part = self._next()
            if part is None and self._goes_on and not self._once:
                self._restart()
                part = self._next()
            if part is None:
                self.ended = self._goes_on or step == 0
                return
            yield part

    def fingerprint(self) -> dict[str, Any]:
        """Only that they come in batches: which ones may change from one pass to the next."""
        return {"batches": True, "class_weight": repr(self._class_weight)}

    def _restart(self) -> None:
        self._iterator, self._taken = self._begin(), 0

    def _next(self) -> Part | None:
        """The next batch, checked; None at the end."""
        batch = next(self._iterator, _END)
        if batch is _END:
            return None
        if isinstance(batch, Part):  # the first one was checked before
            return batch
        self._taken += 1
        return self._checked(batch)

    def _checked(self, batch: Any) -> Part:
        where = f"batch {self._taken}" + ("" if self._name == "X" else f" of {self._name}")
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            count = f" of {len(batch)}" if isinstance(batch, (tuple, list)) else ""
            raise TypeError(
                f"`{self._name}` must give batches (X, y) or (X, y, sample_weight), "
                f"got a {type(batch).__name__}{count}"
            )
        names = f"X of {where}", f"y of {where}"
        X, y = self._form.check(batch[0], batch[1], names)
        weight = None
        if len(batch) == 3 and batch[2] is not None:
            name = f"sample_weight of {where}"
            weight = check_sample_weight(batch[2], len(X), name, may_be_zeros=True)
        weight = self._form.combine(weight, self._class_weight, y, batch=True)
        return Part(X, y, weight, len(X), names=names)


def _shape_of(X: Any, count: int) -> list[Any]:
    """The shape of so many samples; of several inputs, all shapes."""
    shapes = [[count, *array.shape[1:]] for array in arrays_in(X)]
    return shapes if isinstance(X, Columns) else shapes[0]


def _ends(X: Any, rows: NDArray[np.int64]) -> str:
    """A hash of some samples, and whether they are scaled."""
    return " ".join(
        _hash(array, rows) + ("/255" if array.dtype == np.uint8 else "") for array in arrays_in(X)
    )


def _hash(values: NDArray[Any], rows: NDArray[np.int64]) -> str:
    """A hash of some rows of numbers, whatever their dtype and strides."""
    digest = hashlib.sha256()
    for start in range(0, len(rows), HASHED_AT_ONCE):
        digest.update(np.asarray(values[rows[start : start + HASHED_AT_ONCE]], np.float64).tobytes())
    return digest.hexdigest()[:16]


def _beginning(batches: Any, name: str) -> Callable[[], Iterator[Any]]:
    """A function that begins to go through the batches."""
    if callable(batches) and not hasattr(batches, "__iter__"):
        return lambda: _begun(batches(), name)
    return lambda: _begun(batches, name)


def _begun(batches: Any, name: str) -> Iterator[Any]:
    try:
        if not hasattr(batches, "__array__") and not isinstance(batches, (str, dict)):
            return iter(batches)
    except TypeError:
        pass
    raise TypeError(f"`{name}` must be {WANTED[name]}, got {type(batches).__name__}")


def _length(batches: Any) -> int | None:
    """How many batches there are, if they say so."""
    try:
        return len(batches) or None
    except TypeError:
        return None


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

    Raises
    ------
    TypeError, ValueError
        If nothing is left on one side, or the weights do not fit.
    """
    if not split:
        return ArrayFeed(X, y, form.combine(weight, class_weight, y), batch_size, shuffle_seed), None
    held_out = held_out_samples(y, split, form.loss)
    rest = ArrayFeed(X, y, weight, EVALUATED_AT_ONCE, chosen=held_out)
    own = form.combine(None if weight is None else weight[~held_out], class_weight, y[~held_out])
    if own is not None:
        weight = np.zeros(len(X))
        weight[~held_out] = own
    return ArrayFeed(X, y, weight, batch_size, shuffle_seed, chosen=~held_out), rest


def _is_batches(values: Any) -> bool:
    """Whether this is a list of tuples, not one of arrays."""
    return isinstance(values, list) and len(values) > 0 and isinstance(values[0], tuple)


def validation_feed(validation_data: Any, form: Form, epochs: int) -> Feed:
    """The feed of `validation_data`: a tuple (or list) of arrays, or an iterable of batches.

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
    names = f"{name}[0]", f"{name}[1]"
    X, y = form.check(given[0], given[1], names)
    weight = None
    if len(given) == 3 and given[2] is not None:
        weight = check_sample_weight(given[2], len(X), f"{name}[2]")
    return ArrayFeed(X, y, weight, EVALUATED_AT_ONCE, names=names)
