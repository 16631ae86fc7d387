"""Arrays that come in: dtype, shape and memory, checked by one code in Python and in @njit code."""

from typing import Any

import numpy as np
from numba import types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, overload

from ..simd.compiling import compiled
from .jit import argument_label, checked, printable, shape_text, wanted_array


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
        raise TypeError(f"`{name}` must be {wanted_array(ndim)} of float32 or float64, got {what}")
    if ndim >= 0 and x.ndim != ndim:
        raise ValueError(f"`{name}` must be {wanted_array(ndim)} of float32 or float64, got shape {x.shape}")
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
        raise TypeError(f"`{label}` must be {wanted_array(count)} of float32 or float64, got {x}")
    if count >= 0 and x.ndim != count:
        raise ValueError(f"`{label}` must be {wanted_array(count)} of float32 or float64, got {x}")
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
        raise TypeError(f"`{name}` must be {wanted_array(ndim)} of ints, got {what}")
    if ndim >= 0 and x.ndim != ndim:
        raise ValueError(f"`{name}` must be {wanted_array(ndim)} of ints, got shape {x.shape}")
    return _plain(x.astype(np.int64, copy=False))


@overload(int_array, prefer_literal=True)
def _int_array(x, name, ndim):
    count, label = ndim.literal_value, name.literal_value
    if not isinstance(x, types.Array) or not isinstance(x.dtype, types.Integer):
        raise TypeError(f"`{label}` must be {wanted_array(count)} of ints, got {x}")
    if count >= 0 and x.ndim != count:
        raise ValueError(f"`{label}` must be {wanted_array(count)} of ints, got {x}")
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
        raise TypeError(
            f"`{name}` must be {wanted_array(ndim)} of float32 or float64, got {type(x).__name__}"
        )
    if x.ndim != ndim:
        raise ValueError(f"`{name}` must be {wanted_array(ndim)} of float32 or float64, got shape {x.shape}")
    if not (x.flags.writeable and x.dtype.isnative and x.flags.aligned):
        raise ValueError(f"`{name}` must be an array to write to: native, aligned and not read-only")


@overload(output_array, prefer_literal=True)
def _output_array(x, name, ndim):
    label = name.literal_value
    if not isinstance(x, types.Array) or x.dtype not in (types.float32, types.float64):
        raise TypeError(
            f"`{label}` must be {wanted_array(ndim.literal_value)} of float32 or float64, got {x}"
        )
    if x.ndim != ndim.literal_value:
        raise ValueError(
            f"`{label}` must be {wanted_array(ndim.literal_value)} of float32 or float64, got {x}"
        )
    if not x.mutable:
        raise ValueError(f"`{label}` must be an array to write to, got {x}")
    return lambda x, name, ndim: None


@checked
def check_shape4(shape, n, channels, height, width, name):
    """Raise ValueError unless a 4-D array has this shape."""
    if shape[0] != n or shape[1] != channels or shape[2] != height or shape[3] != width:
        raise ValueError(
            f"`{name}` must have shape ({n}, {channels}, {height}, {width}), "
            f"got ({shape[0]}, {shape[1]}, {shape[2]}, {shape[3]})"
        )


@checked
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
            f"`{argument_label(name)}` must have the shape of `{argument_label(other_name)}`, "
            f"a {len(other)}-D array, got a {len(shape)}-D one"
        )

    if len(shape) == 0:
        return lambda shape, other, name, other_name: None
    return lambda shape, other, name, other_name: _equal_shapes(shape, other, name, other_name)


@compiled
def _equal_shapes(shape, other, name, other_name):
    if shape != other:
        raise ValueError(
            f"`{name}` must have the shape of `{other_name}`, {shape_text(other)}, got {shape_text(shape)}"
        )


@checked
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
        wrong = printable(low if low < 0 else high)
        raise ValueError(f"`{name}` must be from 0 to {limit - 1}, got {wrong}")
