"""What elementwise kernels share: their arguments, and the loops over flat arrays.

    | v0 .. v15 | v16 .. v31 | v32 v33          two vectors of 64 bytes (of float32), and two elements left,
                             | v32 v33 0 .. 0 | which a buffer of one vector takes in and gives back,

so that every element is computed by the same instructions.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.extending import register_jitable

from .. import simd
from ..checks.arrays import check_same_shape, float_array, same_dtype
from ..checks.jit import public_with_text
from ..simd import fill, load, pointer, store
from ..simd.compiling import compiled


def elementwise(value: Any, slope: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """(activation, gradient): what a file of such kernels calls, made of two functions of one vector.

    Parameters
    ----------
    value : compiled function
        (kind, v, setting) -> the activation; `kind` is a number of its file's, `setting` one in all lanes.
    slope : compiled function
        (kind, dy, v, setting) -> dy times the derivative, `v` being of the inputs or the outputs.

    Returns
    -------
    activation : function
        (kind, x, setting) -> y.
    gradient : function
        (kind, dy, v, name, setting) -> dx, with `name` that of `v` in messages.
    """

    @compile_with(value)
    def forward(kind, x, setting, y):
        source, target = pointer(x), pointer(y)
        lanes = simd.lanes(source)
        factor = fill(source, setting)
        for k in range(x.size // lanes):
            store(target, k, value(kind, load(source, k), factor))
        done = x.size // lanes * lanes
        if done < x.size:
            rest = np.zeros(lanes, x.dtype)
            rest[: x.size - done] = x[done:]
            last = pointer(rest)
            store(last, 0, value(kind, load(last, 0), factor))
            y[done:] = rest[: x.size - done]

    @compile_with(slope)
    def backward(kind, dy, v, setting, dx):
        first, second, target = pointer(dy), pointer(v), pointer(dx)
        lanes = simd.lanes(first)
        factor = fill(first, setting)
        for k in range(v.size // lanes):
            store(target, k, slope(kind, load(first, k), load(second, k), factor))
        done = v.size // lanes * lanes
        if done < v.size:
            rest = np.zeros((2, lanes), v.dtype)
            rest[0, : v.size - done] = dy[done:]
            rest[1, : v.size - done] = v[done:]
            pair = pointer(rest)
            store(pair, 0, slope(kind, load(pair, 0), load(pair, 1), factor))
            dx[done:] = rest[0, : v.size - done]

    @register_jitable
    def activation(kind, x, setting):
        x = float_array(x, "x", -1)
        y = np.empty(x.shape, x.dtype)
        forward(kind, x.reshape(-1), setting, y.reshape(-1))
        return y

    @public_with_text
    def gradient(kind, dy, v, name, setting):
        dy, v = float_array(dy, "dy", -1), float_array(v, name, -1)
        same_dtype(dy, "dy", v, name)
        check_same_shape(dy.shape, v.shape, "dy", name)
        dx = np.empty(v.shape, v.dtype)
        backward(kind, dy.reshape(-1), v.reshape(-1), setting, dx.reshape(-1))
        return dx

    return activation, gradient


def compile_with(part: Any) -> Callable[[Any], Any]:
    """The decorator of a loop around `part`: in the cache the loop goes by the file that `part` is from."""
    return lambda loop: compiled(loop, fingerprint=part.__module__)
