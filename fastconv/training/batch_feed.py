"""Batches that come one by one, from an iterable."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

from ..checks.settings import whole_number
from .feeds import WANTED, Form
from .joining import next_of_all
from .parts import Part
from .sample_weights import check_sample_weight

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
        self._form, self._class_weight, self._name = form, class_weight, name
        self._begin = _beginning(batches, name)
        once, lengths = self._kinds(hasattr(batches, "__next__"), _length(batches))
        self._once, self._goes_on = once, steps is not None
        if self._once and not self._goes_on and epochs > 1:
            raise ValueError(
                f"`{name}` can be gone through only once, got {batches!r} for {epochs} epochs: "
                "give a function that makes a new one, or `steps_per_epoch`"
            )
        self.steps = lengths if steps is None else whole_number(steps, "steps_per_epoch")
        self._taken = 0  # batches since the iterator was begun
        self._waiting: Part | None = None
        self._at_end = False
        self._iterator = self._begin()
        self._waiting = first = self._next()
        if first is None:
            raise ValueError(f"`{name}` must give at least one batch, got none")
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

    def _kinds(self, once: bool, length: int | None) -> tuple[bool, int | None]:
        """Whether what a rank has can be gone through only once, and the length of the longest of all."""
        kinds = self._form.ranks.gather((once, length))
        lengths = [count for _, count in kinds if count is not None]
        return any(once for once, _ in kinds), max(lengths) if len(lengths) == len(kinds) else None

    def _restart(self) -> None:
        self._iterator, self._taken, self._at_end = self._begin(), 0, False

    def _next(self) -> Part | None:
        """The next batch, of all ranks; None at the end."""
        if self._waiting is not None:  # the first one was taken before
            part, self._waiting = self._waiting, None
            return part
        if self._form.ranks.count == 1:
            return self._next_here()
        return next_of_all(self._next_here, self._form, self._name)

    def _next_here(self) -> Part | None:
        """The next batch of this rank, checked; None at its end."""
        batch = _END if self._at_end else next(self._iterator, _END)
        if batch is _END:
            self._at_end = True
            return None
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
