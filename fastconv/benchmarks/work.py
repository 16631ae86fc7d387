"""A piece of work with its contenders, and what shows that all of them do it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .timing import Contender

CONTENDERS = ("fastconv", "im2col", "im2col_inside", "torch", "onnxruntime")

# Of a result, in parts of its largest number. Sums of float32 differ by 1e-5; where two numbers are nearly a
# tie, max-pooling and ReLU may decide otherwise after other sums, which moves a gradient by a few 1e-3.
TOLERANCE = 0.02


def largest_difference(a: Any, b: Any) -> float:
    """Of two arrays, as a part of the largest number in the second; infinite for NaN and another shape.

    Examples
    --------
    >>> largest_difference(np.array([1.0, 3.0]), np.array([2.0, 4.0]))
    0.25
    """
    return _difference(a, b, np.max)


def mean_difference(a: Any, b: Any) -> float:
    """The same of the roots of the means of squares, which a few numbers that differ hardly move.

    Examples
    --------
    >>> round(mean_difference(np.array([1.0, 3.0]), np.array([1.0, 4.0])), 3)  # 1 / sqrt(17)
    0.243
    """
    return _difference(a, b, lambda sizes: np.sqrt(np.mean(np.square(sizes))))


def _difference(a: Any, b: Any, size: Callable[[NDArray[Any]], Any]) -> float:
    if a.shape != b.shape:
        return float("inf")
    a, b = a.astype(np.float64), b.astype(np.float64)
    difference = float(size(np.abs(a - b)) / max(size(np.abs(b)), 1e-30))
    return difference if difference == difference else float("inf")


class Check(NamedTuple):
    """Something that all contenders must come to.

    Parameters
    ----------
    what : str
    make : callable
        make(who) gives the `Contender` whose result is compared, None if `who` has no such.
    tolerance : float
    difference : callable
        Of two arrays.
    """

    what: str
    make: Callable[[str], Contender | None]
    tolerance: float = TOLERANCE
    difference: Callable[[Any, Any], float] = largest_difference


class Comparison(NamedTuple):
    """What the checks of a work have found.

    Parameters
    ----------
    wrong : list of str
        What fastconv and somebody else do not agree in.
    failed : dict of str to str
        The contenders who could not be asked, with their errors.
    largest : float
        The largest difference.
    """

    wrong: list[str]
    failed: dict[str, str]
    largest: float


@dataclass(frozen=True)
class Work:
    """A piece of work.

    Parameters
    ----------
    name : str
        What it is, on which shapes.
    flops : int
        Floating-point operations, 0 where counting them says nothing (pooling, activations).
    make : callable
        make(who) gives the `Contender`, None if `who` doesn't do this work.
    checks : tuple of Check
        What is compared before anything is timed; nothing stands for the contenders' own results.
    kind : {"kernel", "network"}
        The tables of a front page have networks only.
    """

    name: str
    flops: int
    make: Callable[[str], Contender | None] = field(repr=False)
    checks: tuple[Check, ...] = field(default=(), repr=False)
    kind: str = "kernel"

    def contenders(self, who: Iterable[str] = CONTENDERS) -> dict[str, Contender]:
        """Those of `who` who do this work."""
        made = {name: self.make(name) for name in who}
        return {name: contender for name, contender in made.items() if contender is not None}

    def compare(self, who: Iterable[str] = CONTENDERS) -> Comparison:
        """Ask fastconv and all of `who` for their results.

        Raises
        ------
        Exception
            What fastconv raises; the errors of others are told.
        """
        found = Comparison([], {}, 0.0)
        for check in self.checks or (Check("results", self.make),):
            found = self._checked(check, [name for name in who if name not in found.failed], found)
        return found

    def _checked(self, check: Check, who: Iterable[str], found: Comparison) -> Comparison:
        """What was found, and what one more check finds."""
        mine = check.make("fastconv")
        answer = _answer(mine) if mine else []
        for name in who:
            try:
                other = check.make(name)
                theirs = _answer(other) if other else None
            except Exception as error:  # a contender's failure must not end the measurement
                found.failed[name] = error_line(error)
                continue
            if theirs is None:
                continue
            if self.checks and len(answer) != len(theirs):  # kernels may keep something for their gradients
                found.wrong.append(f"{check.what}: {len(answer)} arrays, and {len(theirs)} of {name}")
                found = found._replace(largest=float("inf"))
                continue
            size = max((check.difference(a, b) for a, b in zip(answer, theirs, strict=False)), default=0.0)
            found = found._replace(largest=max(found.largest, size))
            if not size < check.tolerance:
                found.wrong.append(
                    f"{check.what}: {size:.1e} from those of {name}, at most {check.tolerance:g}"
                )
        return found

    def largest_difference(self, who: Iterable[str] = CONTENDERS) -> float:
        """Between fastconv's results and anybody else's, over all checks.

        Raises
        ------
        RuntimeError
            If somebody failed.
        """
        found = self.compare(who)
        for name, error in found.failed.items():
            raise RuntimeError(f"{name} failed: {error}")
        return found.largest


def error_line(error: BaseException) -> str:
    """An error on one line.

    Examples
    --------
    >>> error_line(ValueError("no\\nsuch thing"))
    'ValueError: no'
    """
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def _answer(contender: Contender) -> list[Any]:
    """The arrays of its result."""
    value: Any = contender.call()
    if contender.result is not None:
        value = contender.result()
    if isinstance(value, dict):
        return [np.array(value[key]) for key in sorted(value)]
    parts = value if isinstance(value, tuple) else (value,)
    return [part.numpy() if hasattr(part, "numpy") else np.asarray(part) for part in parts]
