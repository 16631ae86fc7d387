"""Checks of a public kernel's arguments, once, at the border; the same code for Python and for @njit callers.

`public` makes one plain function serve both worlds: Python runs it as it stands, Numba compiles it into
the caller. Its body calls the helpers below, which check what is known only at run time (sizes) in code
that runs in both, and what is known by type (dtype, dimensions) at typing time in compiled callers.
"""

from typing import Any

import numpy as np
from numba import njit, types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, overload, register_jitable

LARGEST = 2**31 - 1  # of a size: products of two fit 64 bits

public = register_jitable


def _check(function):
    """Let compiled code call a check that is compiled and cached once, not into every caller."""
    compiled = njit(cache=True)(function)

    @overload(function, strict=False)
    def typed(*args):
        def implementation(*args):
            return compiled(*args)

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


# Ints and pairs


def _as_pair(value, name, what):
    if isinstance(value, (tuple, list, np.ndarray)):
        if len(value) != 2:
            raise ValueError(f"`{name}` must be {what} int or a pair of them, got {value!r}")
        first, second = value
    else:
        first = second = value
    if any(isinstance(v, (bool, np.bool_)) or not hasattr(v, "__index__") for v in (first, second)):
        raise TypeError(f"`{name}` must be {what} int or a pair of them, got {value!r}")
    return int(first), int(second)


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


@_check
def _bounded_pair(height, width, name, low):
    if not (low <= height <= LARGEST and low <= width <= LARGEST):
        kind = "a positive" if low > 0 else "a non-negative"
        raise ValueError(f"`{name}` must be {kind} int or a pair of them, got ({height}, {width})")
    return height, width


def _overload_pair(function, low):
    @overload(function)
    def typed(value, name):
        if isinstance(value, types.Integer) and not isinstance(value, types.Boolean):
            return lambda value, name: _bounded_pair(np.int64(value), np.int64(value), name, low)
        if isinstance(value, types.BaseTuple) and all(isinstance(t, types.Integer) for t in value.types):
            if len(value) == 2:
                return lambda value, name: _bounded_pair(np.int64(value[0]), np.int64(value[1]), name, low)
            raise ValueError(f"an int or a pair of them is wanted, got {value}")
        raise TypeError(f"an int or a pair of them is wanted, got {value}")


_overload_pair(positive_pair, 1)
_overload_pair(nonnegative_pair, 0)


def pair_or(value: Any, default: tuple[int, int], name: str) -> tuple[int, int]:
    """`positive_pair(value)`, or `default` where `value` is None."""
    return default if value is None else positive_pair(value, name)


@overload(pair_or)
def _pair_or(value, default, name):
    if value is None or isinstance(value, (types.NoneType, types.Omitted)) and getattr(value, "value", None) is None:
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
def check_conv(x_shape, weight_shape, stride, padding, dilation, groups):
    """(OH, OW) of a convolution, if its arguments fit each other.

    Raises
    ------
    ValueError
        If the channels, the groups or the sizes do not.
    """
    channels, out_channels = x_shape[1], weight_shape[0]
    if groups < 1:
        raise ValueError(f"`groups` must be a positive int, got {groups}")
    if weight_shape[2] < 1 or weight_shape[3] < 1:
        raise ValueError(f"`kernel_size` must be a positive pair, got ({weight_shape[2]}, {weight_shape[3]})")
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
            f"`kernel_size` must fit the padded image: ({weight_shape[2]}, {weight_shape[3]}) with dilation "
            f"({dilation[0]}, {dilation[1]}) does not fit ({x_shape[2] + 2 * padding[0]}, "
            f"{x_shape[3] + 2 * padding[1]})"
        )
    _check_total(x_shape[0], out_channels, height, width)
    return height, width


@_check
def check_pool(x_shape, kernel, stride, padding, dilation, ceil_mode):
    """(OH, OW) of a pooling, if its arguments fit each other.

    Raises
    ------
    ValueError
        If the padding is more than half the kernel, or no window fits.
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
    _check_total(x_shape[0], x_shape[1], height, width)
    return height, width


@register_jitable
def _check_total(n, channels, height, width):
    """Raise ValueError if an output could not be indexed; computed in floats, which do not overflow."""
    if float(n) * float(channels) * float(height) * float(width) > 2.0**58:
        raise ValueError(f"the output would be too large: ({n}, {channels}, {height}, {width})")


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
