"""Operations made around functions that users write: an activation, a loss, an optimizer's update.

The functions take and give single numbers. They are called in loops over memory that is contiguous, which
LLVM turns into vectors; so x and y must not be the same memory.
"""

from collections import namedtuple
from functools import cache

from numba.extending import register_jitable

from ...simd import fill, lane_mask, lanes, load, multiply, select, store, total
from ...simd.compiling import compiled
from ...simd.user_functions import fingerprint, in_loops, python_function
from .losses import CORRECT, LOSS
from .losses import _add_exactly as add_exactly
from .losses import _weights as lane_weights
from .operation import SAMPLES, STEP, UPDATE, VALID, Operation, share

# The geometry of an elementwise operation: C, H, W, plane and row steps of x, y and dy in vectors, and
# whether lanes past the batch are cleared: in training, what a function makes of them must not be infinite.
CHANNELS, HEIGHT, WIDTH, X_PLANE, X_ROW, Y_PLANE, Y_ROW, D_PLANE, D_ROW, CLEARS = range(10)


def _named(kernel, function, *more):
    """An operation that goes by the name of the user's function."""
    key = fingerprint(kernel.__qualname__, function, *more)
    kernel.__name__ = python_function(function).__name__
    kernel.__qualname__ = f"{kernel.__name__}_{key[:16]}"  # two of one name must not meet in a process
    return Operation(kernel, key)


@compiled
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
        for c in range(g[CHANNELS]):
            for h in range(g[HEIGHT]):
                x_at, y_at = c * g[X_PLANE] + h * g[X_ROW], c * g[Y_PLANE] + h * g[Y_ROW]
                for k in range(g[WIDTH] * n):
                    y[y_at * n + k] = scalar(x[x_at * n + k])
                if g[CLEARS] and s[VALID] < n:
                    _clear_padding(y, y_at, g[WIDTH], s[VALID])

    return _named(kernel, function)


@cache
def elementwise_grad(derivative):
    """The operation dx = dy * derivative(x)."""
    scalar = in_loops(derivative)

    def kernel(dy, dx, x, _c, _d, _e, g, s):
        """dx = dy * the derivative at every number of x."""
        n = lanes(x)
        for c in range(g[CHANNELS]):
            for h in range(g[HEIGHT]):
                dy_at, dx_at = c * g[D_PLANE] + h * g[D_ROW], c * g[Y_PLANE] + h * g[Y_ROW]
                x_at = c * g[X_PLANE] + h * g[X_ROW]
                for k in range(g[WIDTH] * n):
                    dx[dx_at * n + k] = dy[dy_at * n + k] * scalar(x[x_at * n + k])
                if g[CLEARS] and s[VALID] < n:
                    _clear_padding(dx, dx_at, g[WIDTH], s[VALID])

    return _named(kernel, derivative)


@cache
def loss(function, gradient):
    """The operation of a loss that is the mean of function(output, target) over the numbers of an output."""
    value_at, slope_at = in_loops(function), in_loops(gradient)

    def kernel(x, target, dx, sums, weight, _e, g, s):
        """The mean of a function of (x, target); dx = its gradient."""
        n, features = lanes(x), g[0]
        zero = fill(x, 0.0)
        valid, weights = lane_mask(x, s[VALID]), lane_weights(x, weight, g)
        portion = multiply(weights, fill(x, 1.0 / (s[SAMPLES] * features)))
        for k in range(features * n):
            dx[k] = value_at(x[k], target[k])
        value, lost = zero, zero
        for k in range(features):
            value, lost = add_exactly(value, lost, load(dx, k))
        for k in range(features * n):
            dx[k] = slope_at(x[k], target[k])
        for k in range(features):
            store(dx, k, select(valid, multiply(load(dx, k), portion), zero))
        sums[LOSS] = total(select(valid, multiply(weights, value), zero)) / features
        sums[CORRECT] = 0.0

    return _named(kernel, function, gradient)


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
        values = Options(*((rates[s[STEP]], s[UPDATE]) + numbers_of(numbers, 0, 1)))  # noqa: RUF005 - Numba has no other
        first, last = share(g[0], s)
        for k in range(first, last):
            new = new_values(*((w[k], gradient[k]) + loaded(state, k, g[1]) + (values,)))  # noqa: RUF005
            stored(new, w, state, k, g[1])

    return _named(kernel, update, options)


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
