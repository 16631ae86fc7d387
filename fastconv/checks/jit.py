"""What checks share that run both in Python and inside @njit code, and the decorator of public kernels."""

from collections.abc import Callable
from typing import Any, TypeVar

from numba.core import errors
from numba.extending import overload, register_jitable
from numpy.typing import NDArray

from ..simd.compiling import compiled

LARGEST = 2**31 - 1  # of a size: products of two fit 64 bits
LARGEST_TOTAL = 2.0**48  # of an array's elements: more than memory holds, and bytes of its blocks fit 64 bits

Array = NDArray[Any]
IntOrPair = int | tuple[int, int]
Padding = int | tuple[int, int] | tuple[tuple[int, int], tuple[int, int]] | str
Function = TypeVar("Function", bound=Callable[..., Any])


def public(function: Function) -> Function:
    """Let `@njit` code call a plain function; Python runs it as it stands."""
    register_jitable(function)
    return function


def public_with_text(function: Function) -> Function:
    """As `public`, for functions whose result type depends on the value of a text argument."""

    @overload(function, prefer_literal=True, strict=False)
    def typed(*args, **kwargs):
        return function

    return function


def checked(function):
    """Let compiled code call a check that is compiled and cached once, not into every caller."""
    once = compiled(function)

    @overload(function, strict=False)
    def typed(*args):
        def implementation(*args):
            return once(*args)

        return implementation

    return function


# Arrays


def wanted_array(ndim):
    return "an array" if ndim < 0 else f"a {ndim}-D array"


@register_jitable
def printable(value):
    """The smallest int64 has no text in Numba, which asks for endless memory; its neighbour has one."""
    return max(value, -(2**63 - 1))


def argument_label(name):
    """The name of an argument while its caller is compiled.

    Overloads are tried first with types alone; refusing then makes Numba come back with the literals.
    """
    if not hasattr(name, "literal_value"):
        raise errors.RequireLiteralValue("the name of an argument")
    return name.literal_value


@register_jitable
def shape_text(shape):
    """A shape as Python writes it."""
    text = ""
    for size in shape:
        text += ", " + str(size)
    return "(" + text[2:] + (",)" if len(shape) == 1 else ")")
