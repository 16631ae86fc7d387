"""Checks of a public kernel's arguments, once, at the border; the same code for Python and for @njit callers.

`public` makes one plain function serve both worlds: Python runs it as it stands, Numba compiles it into
the caller. Its body calls the helpers below, which check what is known only at run time (sizes) in code
that runs in both, and what is known by type (dtype, dimensions) at typing time in compiled callers.
"""

import operator
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numba import types
from numba.core import errors
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, overload, register_jitable
from numpy.typing import NDArray

from .compiling import compiled

LARGEST = 2**31 - 1  # of a size: products of two fit 64 bits
LARGEST_TOTAL = 2.0**48  # of an array's elements: more than memory holds, and bytes of its blocks fit 64 bits

Array = NDArray[Any]
IntOrPair = int | tuple[int, int]
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


def _check(function):
    """Let compiled code call a check that is compiled and cached once, not into every caller."""
    once = compiled(function)

    @overload(function, strict=False)
    def typed(*args):
        def implementation(*args):
            return once(*args)

        return implementation

    return function


# Arrays


def _wanted(ndim):
    return "an array" if ndim < 0 else f"a {ndim}-D array"


def float_array(x: Any, name: str, ndim: int) -> Any:
    """`x` as the kernels take it: C-ordered, aligned float32 or float64; `ndim` -1 stands for any.

    A copy is made only of what lies otherwise. A read-only array is passed on as a writable view, which
    saves a second compilation; kernels never write to it.

    Raises
    ------
    TypeError
        If it is not an array of float32 or float64.
    ValueError
        If it has another number of dimensions.
    """
    if not isinstance(x, np.ndarray) or x.dtype.type not in (np.float32, np.float64):
        what = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"`{name}` must be {_wanted(ndim)} of float32 or float64, got {what}")
    if ndim >= 0 and x.ndim != ndim:
        raise ValueError(f"`{name}` must be {_wanted(ndim)} of float32 or float64, got shape {x.shape}")
    return _plain(x)


def _plain(x):
    x = np.asarray(x)  # no subclass: a matrix or masked array would change what indexing means
    if not (x.flags.c_contiguous and x.flags.aligned and x.dtype.isnative):
        return np.array(x, dtype=x.dtype.newbyteorder("="), order="C")
    return x if x.flags.writeable else _writable_view(x)


def _writable_view(x):
    """The same memory, which NumPy lets us write to. Nobody does."""
    if x.size == 0:
        return x.copy()
    interface = dict(x.__array_interface__)
    interface["data"] = (interface["data"][0], False)
    return np.asarray(_Memory(interface, x))


class _Memory:
    def __init__(self, interface, owner):
        self.__array_interface__ = interface
        self.owner = owner


@overload(float_array, prefer_literal=True)
def _float_array(x, name, ndim):
    count, label = ndim.literal_value, name.literal_value
    if not isinstance(x, types.Array) or x.dtype not in (types.float32, types.float64):
        raise TypeError(f"`{label}` must be {_wanted(count)} of float32 or float64, got {x}")
    if count >= 0 and x.ndim != count:
        raise ValueError(f"`{label}` must be {_wanted(count)} of float32 or float64, got {x}")
    if x.layout == "C" and x.aligned:
        return lambda x, name, ndim: _mutable(x)
    return lambda x, name, ndim: np.ascontiguousarray(x)


@intrinsic
def _mutable(typingctx, x):
    """The array typed as writable: same memory, same representation."""

    def codegen(context, builder, sig, args):
        return impl_ret_borrowed(context, builder, sig.return_type, args[0])

    return x.copy(readonly=False)(x), codegen


def int_array(x: Any, name: str, ndim: int) -> Any:
    """`x` as a C-ordered int64 array with `ndim` dimensions.

    Raises
    ------
    TypeError
        If it is not an array of ints.
    ValueError
        If it has another number of dimensions.
    """
    if not isinstance(x, np.ndarray) or x.dtype.kind not in "iu":
        what = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__
        raise TypeError(f"`{name}` must be {_wanted(ndim)} of ints, got {what}")
    if ndim >= 0 and x.ndim != ndim:
        raise ValueError(f"`{name}` must be {_wanted(ndim)} of ints, got shape {x.shape}")
    return _plain(x.astype(np.int64, copy=False))


@overload(int_array, prefer_literal=True)
def _int_array(x, name, ndim):
    count, label = ndim.literal_value, name.literal_value
    if not isinstance(x, types.Array) or not isinstance(x.dtype, types.Integer):
        raise TypeError(f"`{label}` must be {_wanted(count)} of ints, got {x}")
    if count >= 0 and x.ndim != count:
        raise ValueError(f"`{label}` must be {_wanted(count)} of ints, got {x}")
    if x.dtype == types.int64 and x.layout == "C" and x.aligned:
        return lambda x, name, ndim: _mutable(x)
    return lambda x, name, ndim: np.ascontiguousarray(x).astype(np.int64)


def same_dtype(x: Any, name: str, like: Any, like_name: str) -> None:
    """Raise TypeError unless both arrays have the same dtype."""
    if x.dtype != like.dtype:
        raise TypeError(f"`{name}` must have the dtype of `{like_name}`, {like.dtype}, got {x.dtype}")


@overload(same_dtype, prefer_literal=True)
def _same_dtype(x, name, like, like_name):
    if x.dtype != like.dtype:
        raise TypeError(
            f"`{name.literal_value}` must have the dtype of `{like_name.literal_value}`, {like.dtype}, "
            f"got {x.dtype}"
        )
    return lambda x, name, like, like_name: None


def output_array(x: Any, name: str, ndim: int) -> None:
    """Raise TypeError or ValueError unless the kernel can write to `x` in place."""
    if not isinstance(x, np.ndarray) or x.dtype.type not in (np.float32, np.float64):
        raise TypeError(f"`{name}` must be {_wanted(ndim)} of float32 or float64, got {type(x).__name__}")
    if x.ndim != ndim:
        raise ValueError(f"`{name}` must be {_wanted(ndim)} of float32 or float64, got shape {x.shape}")
    if not (x.flags.writeable and x.dtype.isnative and x.flags.aligned):
        raise ValueError(f"`{name}` must be an array to write to: native, aligned and not read-only")


@overload(output_array, prefer_literal=True)
def _output_array(x, name, ndim):
    label = name.literal_value
    if not isinstance(x, types.Array) or x.dtype not in (types.float32, types.float64):
        raise TypeError(f"`{label}` must be {_wanted(ndim.literal_value)} of float32 or float64, got {x}")
    if x.ndim != ndim.literal_value:
        raise ValueError(f"`{label}` must be {_wanted(ndim.literal_value)} of float32 or float64, got {x}")
    if not x.mutable:
        raise ValueError(f"`{label}` must be an array to write to, got {x}")
    return lambda x, name, ndim: None


# Numbers and texts


def scalar(value: Any, name: str) -> float:
    """A real number as a float.

    Raises
    ------
    TypeError
        If it is not one.
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError(f"`{name}` must be a number, got {value!r}")
    return float(value)


@overload(scalar)
def _scalar(value, name):
    kind = types.unliteral(value.value if isinstance(value, types.Omitted) else value)
    if isinstance(value, types.Omitted) or isinstance(kind, (types.Integer, types.Float)):
        return lambda value, name: float(value)
    raise TypeError(f"`{_label(name)}` must be a number, got {value}")


def positive_int(value: Any, name: str) -> int:
    """`value` as an int of at least 1.

    Raises
    ------
    TypeError
        If it is not an int.
    ValueError
        If it is less than 1 or too large.
    """
    try:
        number = _index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be a positive int, got {value!r}") from None
    if not 1 <= number <= LARGEST:
        raise ValueError(f"`{name}` must be a positive int, got {value!r}")
    return number


def _index(value):
    """An int of any kind; TypeError for bools and everything else."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError
    return operator.index(value)  # every array has __index__, but it works for a single int only


@overload(positive_int)
def _positive_int(value, name):
    if isinstance(value, (types.Integer, types.Omitted)) and not isinstance(value, types.Boolean):
        return lambda value, name: _bounded_int(np.int64(value), name)
    raise TypeError(f"`{_label(name)}` must be a positive int, got {value}")


def flag(value: Any, name: str) -> bool:
    """`value` as a bool.

    Raises
    ------
    TypeError
        If it is neither True nor False.
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}` must be True or False, got {value!r}")
    return bool(value)


@overload(flag)
def _flag(value, name):
    if isinstance(value, (types.Boolean, types.Omitted)):
        return lambda value, name: bool(value)
    raise TypeError(f"`{_label(name)}` must be True or False, got {value}")


_REDUCTIONS = {"none": 0, "mean": 1, "sum": 2}


def reduction_code(reduction: Any) -> int:
    """The number of a reduction: none 0, mean 1, sum 2.

    Raises
    ------
    ValueError
        If it is not one of these texts.
    """
    if not isinstance(reduction, str) or reduction not in _REDUCTIONS:
        raise ValueError(f'`reduction` must be "mean", "sum" or "none", got {reduction!r}')
    return _REDUCTIONS[reduction]


def _literal_reduction(reduction):
    """The text of a reduction known when its caller is compiled."""
    value = getattr(reduction, "value", getattr(reduction, "literal_value", None))
    if isinstance(reduction, types.UnicodeType) and value is None:
        raise errors.RequireLiteralValue("`reduction` must be a constant text in compiled code")
    reduction_code(value)
    return value


@overload(reduction_code, prefer_literal=True)
def _reduction_code(reduction):
    code = _REDUCTIONS[_literal_reduction(reduction)]
    return lambda reduction: code


def reduce_losses(losses: Any, reduction: str) -> Any:
    """The losses themselves for "none", else their mean or sum, carried in float64."""
    if reduction == "none":
        return losses
    total = losses.sum(dtype=np.float64)
    return float(total / losses.size if reduction == "mean" else total) if losses.size else _empty(reduction)


def _empty(reduction):
    return float("nan") if reduction == "mean" else 0.0


@overload(reduce_losses, prefer_literal=True)
def _reduce_losses(losses, reduction):
    kind = _literal_reduction(reduction)
    if kind == "none":
        return lambda losses, reduction: losses
    mean, empty = kind == "mean", _empty(kind)

    def implementation(losses, reduction):
        if losses.size == 0:
            return empty
        total = 0.0
        for value in losses.flat:
            total += value
        return total / losses.size if mean else total

    return implementation


# Ints and pairs


def _as_pair(value, name, what):
    several = isinstance(value, (tuple, list)) or (isinstance(value, np.ndarray) and value.ndim > 0)
    pair = value if several else (value, value)
    if len(pair) != 2:
        raise ValueError(f"`{name}` must be {what} int or a pair of them, got {value!r}")
    try:
        return _index(pair[0]), _index(pair[1])
    except TypeError:
        raise TypeError(f"`{name}` must be {what} int or a pair of them, got {value!r}") from None


def positive_pair(value: Any, name: str) -> tuple[int, int]:
    """(height, width) from an int or a pair of ints.

    Raises
    ------
    TypeError
        If it is neither.
    ValueError
        If there are not two, or one is less than 1 or too large for a size.
    """
    pair = _as_pair(value, name, "a positive")
    if not (1 <= pair[0] <= LARGEST and 1 <= pair[1] <= LARGEST):
        raise ValueError(f"`{name}` must be a positive int or a pair of them, got {value!r}")
    return pair


def nonnegative_pair(value: Any, name: str) -> tuple[int, int]:
    """(height, width) from an int or a pair of ints, 0 allowed; errors as in `positive_pair`."""
    pair = _as_pair(value, name, "a non-negative")
    if not (0 <= pair[0] <= LARGEST and 0 <= pair[1] <= LARGEST):
        raise ValueError(f"`{name}` must be a non-negative int or a pair of them, got {value!r}")
    return pair


@register_jitable
def _printable(value):
    """The smallest int64 has no text in Numba, which asks for endless memory; its neighbour has one."""
    return max(value, -(2**63 - 1))


@_check
def _bounded_pair(height, width, name, low):
    if not (low <= height <= LARGEST and low <= width <= LARGEST):
        kind = "a positive" if low > 0 else "a non-negative"
        raise ValueError(
            f"`{name}` must be {kind} int or a pair of them, got ({_printable(height)}, {_printable(width)})"
        )
    return height, width


@_check
def _bounded_int(value, name):
    if not (1 <= value <= LARGEST):
        raise ValueError(f"`{name}` must be a positive int, got {_printable(value)}")
    return value


def _label(name):
    """The name of an argument while its caller is compiled.

    Overloads are tried first with types alone; refusing then makes Numba come back with the literals.
    """
    if not hasattr(name, "literal_value"):
        raise errors.RequireLiteralValue("the name of an argument")
    return name.literal_value


def _overload_pair(function, low):
    what = "a positive" if low else "a non-negative"

    @overload(function)
    def typed(value, name):
        if isinstance(value, types.Integer) and not isinstance(value, types.Boolean):
            return lambda value, name: _bounded_pair(np.int64(value), np.int64(value), name, low)
        if isinstance(value, types.BaseTuple) and all(isinstance(t, types.Integer) for t in value.types):
            if len(value) == 2:
                return lambda value, name: _bounded_pair(np.int64(value[0]), np.int64(value[1]), name, low)
            raise ValueError(f"`{_label(name)}` must be {what} int or a pair of them, got {value}")
        raise TypeError(f"`{_label(name)}` must be {what} int or a pair of them, got {value}")


_overload_pair(positive_pair, 1)
_overload_pair(nonnegative_pair, 0)


def pair_or(value: Any, default: tuple[int, int], name: str) -> tuple[int, int]:
    """`positive_pair(value)`, or `default` where `value` is None."""
    return default if value is None else positive_pair(value, name)


@overload(pair_or)
def _pair_or(value, default, name):
    if isinstance(value, types.NoneType) or (isinstance(value, types.Omitted) and value.value is None):
        return lambda value, default, name: default
    return lambda value, default, name: positive_pair(value, name)


# Sizes


@register_jitable
def conv_output_size(size, kernel, stride, padding, dilation):
    """How many windows fit; less than 1 where the kernel is larger than the padded image."""
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


@register_jitable
def pool_output_size(size, kernel, stride, padding, dilation, ceil_mode):
    """How many windows there are; with `ceil_mode`, also one that starts inside and hangs over the end."""
    room = size + 2 * padding - dilation * (kernel - 1) - 1
    if room < 0 and not ceil_mode:
        return 0
    count = (room + (stride - 1 if ceil_mode else 0)) // stride + 1
    if ceil_mode and (count - 1) * stride >= size + padding:
        count -= 1
    return count


@_check
def check_conv(x_shape, weight_shape, stride, padding, dilation, groups, kernel_name):
    """(OH, OW) of a convolution, if its arguments fit each other; `kernel_name` is the one with the kernel.

    Raises
    ------
    ValueError
        If the channels, the groups or the sizes do not.
    """
    channels, out_channels = x_shape[1], weight_shape[0]
    if weight_shape[2] < 1 or weight_shape[3] < 1:
        raise ValueError(
            f"`{kernel_name}` must have a kernel of at least (1, 1), "
            f"got ({weight_shape[2]}, {weight_shape[3]})"
        )
    if channels % groups != 0:
        raise ValueError(f"`groups` must divide the {channels} input channels, got {groups}")
    if out_channels % groups != 0:
        raise ValueError(f"`groups` must divide the {out_channels} output channels, got {groups}")
    if weight_shape[1] * groups != channels:
        raise ValueError(
            f"`weight` must have {channels // groups} input channels ({channels} in {groups} groups), "
            f"got {weight_shape[1]}"
        )
    height = conv_output_size(x_shape[2], weight_shape[2], stride[0], padding[0], dilation[0])
    width = conv_output_size(x_shape[3], weight_shape[3], stride[1], padding[1], dilation[1])
    if height < 1 or width < 1:
        raise ValueError(
            f"`{kernel_name}` must fit the padded image: ({weight_shape[2]}, {weight_shape[3]}) with "
            f"dilation ({dilation[0]}, {dilation[1]}) does not fit ({x_shape[2] + 2 * padding[0]}, "
            f"{x_shape[3] + 2 * padding[1]})"
        )
    check_total(
        x_shape[0],
        max(channels, out_channels),
        x_shape[2] + 2 * padding[0],
        x_shape[3] + 2 * padding[1],
        "padding",
    )
    return height, width


@_check
def check_pool(x_shape, kernel, stride, padding, dilation, ceil_mode):
    """(OH, OW) of a pooling, if its arguments fit each other.

    Raises
    ------
    ValueError
        If the padding is more than half the kernel, no window fits, or the images have no elements.
    """
    if 2 * padding[0] > kernel[0] or 2 * padding[1] > kernel[1]:
        raise ValueError(
            f"`padding` must be at most half of `kernel_size` ({kernel[0]}, {kernel[1]}), "
            f"got ({padding[0]}, {padding[1]})"
        )
    height = pool_output_size(x_shape[2], kernel[0], stride[0], padding[0], dilation[0], ceil_mode)
    width = pool_output_size(x_shape[3], kernel[1], stride[1], padding[1], dilation[1], ceil_mode)
    if height < 1 or width < 1:
        raise ValueError(
            f"`kernel_size` must fit the padded image: ({kernel[0]}, {kernel[1]}) with dilation "
            f"({dilation[0]}, {dilation[1]}) does not fit ({x_shape[2] + 2 * padding[0]}, "
            f"{x_shape[3] + 2 * padding[1]})"
        )
    if x_shape[2] < 1 or x_shape[3] < 1:
        raise ValueError(f"`x` must have images of at least (1, 1), got ({x_shape[2]}, {x_shape[3]})")
    return height, width


@_check
def check_total(n, channels, height, width, name):
    """Raise ValueError where an array of this shape could not be counted; floats do not overflow.

    Neither could a single sample or channel of it: blocks of samples are laid out for empty batches too.
    """
    if float(max(n, 1)) * float(max(channels, 1)) * float(height) * float(width) > LARGEST_TOTAL:
        raise ValueError(
            f"`{name}` must make arrays that memory can hold, got shape ({n}, {channels}, {height}, {width})"
        )


@_check
def check_shape4(shape, n, channels, height, width, name):
    """Raise ValueError unless a 4-D array has this shape."""
    if shape[0] != n or shape[1] != channels or shape[2] != height or shape[3] != width:
        raise ValueError(
            f"`{name}` must have shape ({n}, {channels}, {height}, {width}), "
            f"got ({shape[0]}, {shape[1]}, {shape[2]}, {shape[3]})"
        )


@_check
def check_length(got, wanted, name, what):
    """Raise ValueError unless a count is as expected."""
    if got != wanted:
        raise ValueError(f"`{name}` must have {wanted} {what}, got {got}")


def check_same_shape(shape: Any, other: Any, name: str, other_name: str) -> None:
    """Raise ValueError unless two arrays of any dimensions have the same shape."""
    if shape != other:
        raise ValueError(f"`{name}` must have the shape of `{other_name}`, {other}, got {shape}")


@overload(check_same_shape)
def _check_same_shape(shape, other, name, other_name):
    if len(shape) != len(other):
        raise ValueError(
            f"`{_label(name)}` must have the shape of `{_label(other_name)}`, a {len(other)}-D array, "
            f"got a {len(shape)}-D one"
        )

    if len(shape) == 0:
        return lambda shape, other, name, other_name: None
    return lambda shape, other, name, other_name: _equal_shapes(shape, other, name, other_name)


@compiled
def _equal_shapes(shape, other, name, other_name):
    if shape != other:
        raise ValueError(
            f"`{name}` must have the shape of `{other_name}`, {_text(other)}, got {_text(shape)}"
        )


@register_jitable
def _text(shape):
    """A shape as Python writes it."""
    text = ""
    for size in shape:
        text += ", " + str(size)
    return "(" + text[2:] + (",)" if len(shape) == 1 else ")")


@_check
def check_some(size, name):
    """Raise ValueError where an array has no elements."""
    if size == 0:
        raise ValueError(f"`{name}` must have at least one element, got none")


def check_indices(indices: Any, limit: int, name: str) -> None:
    """Raise ValueError unless all entries of an int array are from 0 to limit - 1."""
    _indices_within(indices.reshape(-1), limit, name)


@overload(check_indices)
def _check_indices(indices, limit, name):
    return lambda indices, limit, name: _indices_within(indices.reshape(-1), limit, name)


@compiled
def _indices_within(indices, limit, name):
    low, high = 0, -1
    for index in indices:  # without a way out, so that it is vectors
        low, high = min(low, index), max(high, index)
    if low < 0 or high >= limit:
        wrong = _printable(low if low < 0 else high)
        raise ValueError(f"`{name}` must be from 0 to {limit - 1}, got {wrong}")
