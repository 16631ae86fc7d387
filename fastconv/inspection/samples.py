"""What is given for a network, one thing for each of its inputs or outputs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from ..nn.layer import Shape


def each(
    given: Any, names: Sequence[str], shapes: Sequence[Shape], one: Callable[[Any, Shape], NDArray[Any]]
) -> Any:
    """`one` of what is given for each input or output; what does not fit is left to those who need it.

    Parameters
    ----------
    given : object
        Of several, a list of one for each, or a dict by their names.
    names : sequence of str
    shapes : sequence of tuples
        Of one sample.
    one : function
        (what is given, shape) -> ndarray.

    Returns
    -------
    object
        In the form of `given`.

    Examples
    --------
    >>> each([1, 2], ("a", "b"), ((3,), (4,)), lambda value, shape: (value, *shape))
    [(1, 3), (2, 4)]
    """
    if isinstance(given, Mapping):
        of = dict(zip(names, shapes, strict=True))
        return {name: one(value, of[name]) if name in of else value for name, value in given.items()}
    if len(names) == 1:
        return one(given, shapes[0])
    if isinstance(given, (list, tuple)) and len(given) == len(names):
        return [one(value, shape) for value, shape in zip(given, shapes, strict=True)]
    return given
