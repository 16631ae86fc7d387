"""Operations made around functions that users write: an activation, a loss, an optimizer's update.

The functions take and give single numbers. They are called in loops over memory that is contiguous, which
LLVM turns into vectors; so x and y must not be the same memory.
"""

from collections import namedtuple
from functools import cache
from typing import NamedTuple

from numba.core.errors import NumbaError
from numba.extending import register_jitable

from ...simd import convert, fill, lane_mask, lanes, load, multiply, select, store, total
from ...simd.compiling import internal
from ...simd.user_functions import arguments_of, fingerprint, in_loops, python_function
from .losses import LOSS, SUMS, add_exactly, lane_weights
from .operation import STATE, Operation, offsets_of, share
from .optimizers import UPDATE, my_part


class ElementwiseGeometry(NamedTuple):
    """Sizes, and the distances in vectors from plane to plane and from line to line of each buffer."""

    channels: int
    height: int
    width: int
    clears: int  # whether lanes past the batch are cleared: in training, results there must not be infinite
    x_plane: int
    x_line: int
    y_plane: int
    y_line: int
    dx_plane: int = 0
    dx_line: int = 0
    dy_plane: int = 0
    dy_line: int = 0


ELEMENTWISE = offsets_of(ElementwiseGeometry)


def elementwise_geometry(clears, x, y, dx=None, dy=None):
    """Make the geometry of an operation from planes x to y, or from planes dy to dx."""
    distances = [n for planes in (x, y, dx, dy) if planes is not None for n in (planes.plane, planes.row)]
    return ElementwiseGeometry(x.channels, x.height, x.width, int(clears), *distances)


class UserOperation(Operation):
    """An operation around a user's functions, by the name of the first."""

    def __init__(self, kernel, function, *more, divides=False):
        key = fingerprint(kernel.__qualname__, function, *more)
        kernel.__name__ = python_function(function).__name__
        kernel.__qualname__ = f"{kernel.__name__}_{key[:16]}"  # two of one name must not meet in a process
        super().__init__(kernel, key, divides)

    def address(self, dtype):
        """As of any operation.

        Raises
        ------
        TypeError
            If Numba can't compile what the user wrote; the message has the reason in a line.
        """
        try:
            return super().address(dtype)
        except NumbaError as error:
            lines = [line.strip() for line in str(error).splitlines()]
            reason = next((line for line in lines[1:] if line), lines[0])
            raise TypeError(f"Numba can't compile {self.name}: {reason}") from error


@internal
def _clear_padding(y, first, vectors, valid):
    """Zeros in the lanes past the batch of some vectors."""
    zero = fill(y, 0.0)
    mask = lane_mask(y, valid)
    for v in range(first, first + vectors):
        store(y, v, select(mask, load(y, v), zero))


@cache
def elementwise(function):
    """The operation y = function(x)."""
    scalar = in_loops(function)

    def kernel(x, y, _b, _c, _d, _e, g, s):
        """y = the function of every number of x."""
        n = lanes(x)
        first, last = share(g[ELEMENTWISE.channels], s)
        for c in range(first, last):
            for h in range(g[ELEMENTWISE.height]):
                x_at = (c * g[ELEMENTWISE.x_plane] + h * g[ELEMENTWISE.x_line]) * n
                y_at = (c * g[ELEMENTWISE.y_plane] + h * g[ELEMENTWISE.y_line]) * n
                for k in range(g[ELEMENTWISE.width] * n):
                    y[y_at + k] = scalar(x[x_at + k])
                if g[ELEMENTWISE.clears] and s[STATE.valid] < n:
                    _clear_padding(y, y_at // n, g[ELEMENTWISE.width], s[STATE.valid])

    return UserOperation(kernel, function, divides=True)


@cache
def elementwise_grad(derivative):
    """The operation dx = dy * derivative(x), or dy * derivative(x, y) of a function of two arguments."""
    scalar, of_both = in_loops(derivative), arguments_of(derivative) == 2

    def kernel(dy, dx, x, y, _d, _e, g, s):
        """dx = dy * the derivative at every number of x."""
        n = lanes(x)
        first, last = share(g[ELEMENTWISE.channels], s)
        for c in range(first, last):
            for h in range(g[ELEMENTWISE.height]):
                x_at = (c * g[ELEMENTWISE.x_plane] + h * g[ELEMENTWISE.x_line]) * n
                y_at = (c * g[ELEMENTWISE.y_plane] + h * g[ELEMENTWISE.y_line]) * n
                dx_at = (c * g[ELEMENTWISE.dx_plane] + h * g[ELEMENTWISE.dx_line]) * n
                dy_at = (c * g[ELEMENTWISE.dy_plane] + h * g[ELEMENTWISE.dy_line]) * n
                for k in range(g[ELEMENTWISE.width] * n):
                    slope = scalar(x[x_at + k], y[y_at + k]) if of_both else scalar(x[x_at + k])
                    dx[dx_at + k] = dy[dy_at + k] * slope
                if g[ELEMENTWISE.clears] and s[STATE.valid] < n:
                    _clear_padding(dx, dx_at // n, g[ELEMENTWISE.width], s[STATE.valid])

    return UserOperation(kernel, derivative, divides=True)


@cache
def loss(function, gradient):
    """The operation of a loss that is the mean of function(output, target) over the numbers of an output."""
    value_at, slope_at = in_loops(function), in_loops(gradient)

    def kernel(x, target, dx, sums, weight, _e, g, s):
        """The mean of a function of (x, target); dx = its gradient."""
        n, features = lanes(x), g[LOSS.features]
        zero = fill(x, 0.0)
        valid, weights = lane_mask(x, s[STATE.valid]), lane_weights(x, weight, g)
        portion = multiply(weights, fill(x, 1.0 / (s[STATE.samples] * features)))
        for k in range(features * n):
            dx[k] = value_at(x[k], target[k])
        value, lost = zero, zero
        for k in range(features):
            value, lost = add_exactly(value, lost, load(dx, k))
        for k in range(features * n):
            dx[k] = slope_at(x[k], target[k])
        for k in range(features):
            store(dx, k, select(valid, multiply(load(dx, k), portion), zero))
        sums[SUMS.loss] = total(select(valid, multiply(weights, value), zero)) / features
        sums[SUMS.correct] = 0.0

    return UserOperation(kernel, function, gradient)


@cache
def optimizer(update, options, states):
    """The operation (w, state...) = update(w, gradient, state..., options) for every parameter.

    `options` are the names of the optimizer's own numbers; the function reads them, the learning rate `lr`
    and the number of this step, `step` (1, 2, ...), as attributes. The state vectors lie one after the other.
    """
    new_values, loaded, stored = in_loops(update), _load(states, 0), _store(states)
    numbers_of = _load(len(options), 0)
    Options = namedtuple("Options", ("lr", "step", *options))

    def kernel(w, gradient, state, numbers, rates, _e, g, s):
        """The parameters and the optimizer's state after a step of the function."""
        values = Options(*((rates[s[STATE.step]], convert(s[STATE.update], w)) + numbers_of(numbers, 0, 1)))  # noqa: RUF005 - Numba has no other
        distance = g[UPDATE.state_distance]  # read once: what is stored might be the geometry
        for run in range(g[UPDATE.runs]):
            first, last = my_part(g, run, s)
            for k in range(first, last):
                new = new_values(*((w[k], gradient[k]) + loaded(state, k, distance) + (values,)))  # noqa: RUF005
                stored(new, w, state, k, distance)

    return UserOperation(kernel, update, options)


def _load(count, first):
    """A function (p, k, distance) -> (p[k], p[k + distance], ...), of `count` numbers."""
    if first == count:
        return register_jitable(lambda p, k, distance: ())
    rest = _load(count, first + 1)
    return register_jitable(lambda p, k, distance: (p[k + first * distance],) + rest(p, k, distance))  # noqa: RUF005


def _store(states, number=0):
    """A function that writes what an update gave: the parameter to w, then each number of the state."""
    if states == 0:

        @register_jitable
        def store_parameter(new, w, state, k, distance):
            w[k] = new

        return store_parameter
    if number == 0:
        rest = _store(states, 1)

        @register_jitable
        def store_all(new, w, state, k, distance):
            w[k] = new[0]
            rest(new, w, state, k, distance)

        return store_all
    rest = _store(states, number + 1) if number < states else None
    at = number - 1

    @register_jitable
    def store_state(new, w, state, k, distance):
        state[k + at * distance] = new[number]
        if rest is not None:
            rest(new, w, state, k, distance)

    return store_state
