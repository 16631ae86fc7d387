"""Elementwise functions and softmax over the features of each sample, in the lane layout.

Every operation runs over planes [C][H][W] of vectors (`planes.py`); x and y may be the same memory.
"""

from ...simd import add, divide, fill, fma, greater, lanes, load, multiply, select, store, subtract
from ...simd.vector_math import exp, random_elements, random_lanes, tanh
from .operation import STATE, channel_operation, dividing_operation, operation, random_key, share
from .planes import PLANES, source_at, target_at, y_at


@channel_operation
def relu(x, y, _b, _c, _d, _e, g, s):
    """y = max(x, 0)."""
    zero = fill(x, 0.0)
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                v = load(x, source + w)
                store(y, target + w, select(greater(zero, v), zero, v))


@channel_operation
def relu_grad(dy, dx, y, _c, _d, _e, g, s):
    """dx = dy where y > 0, else 0."""
    zero = fill(dy, 0.0)
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                positive = greater(load(y, own + w), zero)
                store(dx, target + w, select(positive, load(dy, source + w), zero))


@channel_operation
def leaky_relu(x, y, slope, _c, _d, _e, g, s):
    """y = x where x > 0, else slope * x."""
    zero, factor = fill(x, 0.0), fill(x, slope[0])
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                v = load(x, source + w)
                store(y, target + w, select(greater(v, zero), v, multiply(v, factor)))


@channel_operation
def leaky_relu_grad(dy, dx, y, slope, _d, _e, g, s):
    """dx = dy where y > 0, else slope * dy (y has the sign of x, as slope is not negative)."""
    zero, factor = fill(dy, 0.0), fill(dy, slope[0])
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                v = load(dy, source + w)
                positive = greater(load(y, own + w), zero)
                store(dx, target + w, select(positive, v, multiply(v, factor)))


@channel_operation
def sigmoid(x, y, _b, _c, _d, _e, g, s):
    """y = 1 / (1 + exp(-x))."""
    one, zero = fill(x, 1.0), fill(x, 0.0)
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                v = load(x, source + w)
                store(y, target + w, divide(one, add(one, exp(subtract(zero, v)))))


@channel_operation
def sigmoid_grad(dy, dx, y, _c, _d, _e, g, s):
    """dx = dy * y * (1 - y)."""
    one = fill(dy, 1.0)
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                v = load(y, own + w)
                slope = multiply(v, subtract(one, v))
                store(dx, target + w, multiply(load(dy, source + w), slope))


@channel_operation
def hyperbolic_tangent(x, y, _b, _c, _d, _e, g, s):
    """y = tanh(x)."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                store(y, target + w, tanh(load(x, source + w)))


@channel_operation
def hyperbolic_tangent_grad(dy, dx, y, _c, _d, _e, g, s):
    """dx = dy * (1 - y) * (1 + y), which keeps its digits where y is near 1."""
    one = fill(dy, 1.0)
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                v = load(y, own + w)
                slope = multiply(subtract(one, v), add(one, v))
                store(dx, target + w, multiply(load(dy, source + w), slope))


@operation
def softmax(x, y, _b, _c, _d, _e, g, s):
    """y[k] = exp(x[k] - max) / sum, over the features k = 0..g[0] (planes of one vector)."""
    top = load(x, 0)
    for k in range(1, g[PLANES.channels]):
        v = load(x, k)
        top = select(greater(v, top), v, top)
    total = fill(x, 0.0)
    for k in range(g[PLANES.channels]):
        v = exp(subtract(load(x, k), top))
        store(y, k, v)
        total = add(total, v)
    for k in range(g[PLANES.channels]):
        store(y, k, divide(load(y, k), total))


@operation
def softmax_grad(dy, dx, y, _c, _d, _e, g, s):
    """dx[k] = y[k] * (dy[k] - sum over j of dy[j] * y[j])."""
    dot = fill(dy, 0.0)
    for k in range(g[PLANES.channels]):
        dot = fma(load(dy, k), load(y, k), dot)
    for k in range(g[PLANES.channels]):
        store(dx, k, multiply(load(y, k), subtract(load(dy, k), dot)))


@channel_operation
def dropout(x, y, rate, _c, _d, _e, g, s):
    """y = x / (1 - rate) where a random number reaches `rate`, else 0; the same numbers in the gradient.

    The number is a hash of (seed, step, layer, sample in the batch, element), so that it depends neither
    on threads nor on the order of blocks.
    """
    scale = fill(x, 1.0 / (1.0 - rate[0]))
    limit, zero = fill(x, rate[0]), fill(x, 0.0)
    key = random_key(s, g[PLANES.layer])
    first, last = share(g[PLANES.channels], s)
    sample, element = s[STATE.first_sample], first * g[PLANES.height] * g[PLANES.width]
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                number = random_lanes(x, key, sample, element)
                v = multiply(load(x, source + w), scale)
                store(y, target + w, select(greater(limit, number), zero, v))
                element += 1


@channel_operation
def spatial_dropout(x, y, rate, _c, _d, _e, g, s):
    """y = x / (1 - rate) in channels whose random number reaches `rate`, 0 in the others; see `dropout`."""
    scale = fill(x, 1.0 / (1.0 - rate[0]))
    limit, zero = fill(x, rate[0]), fill(x, 0.0)
    key = random_key(s, g[PLANES.layer])
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        dropped = greater(limit, random_lanes(x, key, s[STATE.first_sample], c))
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                v = multiply(load(x, source + w), scale)
                store(y, target + w, select(dropped, zero, v))


@dividing_operation
def dropout_channels(x, y, rate, _c, _d, _e, g, s):
    """`dropout` of few samples, whose channels lie in the lanes: it drops what it would drop of a block."""
    scale = fill(x, 1.0 / (1.0 - rate[0]))
    limit, zero = fill(x, rate[0]), fill(x, 0.0)
    key, size = random_key(s, g[PLANES.layer]), g[PLANES.height] * g[PLANES.width]
    first, last = share(g[PLANES.channels], s)
    for plane in range(first, last):
        sample = s[STATE.first_sample] + plane % g[PLANES.samples]
        element = plane // g[PLANES.samples] * lanes(x) * size
        for h in range(g[PLANES.height]):
            source, target = source_at(g, plane, h), target_at(g, plane, h)
            for w in range(g[PLANES.width]):
                number = random_elements(x, key, sample, element, size)
                v = multiply(load(x, source + w), scale)
                store(y, target + w, select(greater(limit, number), zero, v))
                element += 1


@dividing_operation
def spatial_dropout_channels(x, y, rate, _c, _d, _e, g, s):
    """`spatial_dropout` of few samples, whose channels lie in the lanes."""
    scale = fill(x, 1.0 / (1.0 - rate[0]))
    limit, zero = fill(x, rate[0]), fill(x, 0.0)
    key = random_key(s, g[PLANES.layer])
    first, last = share(g[PLANES.channels], s)
    for plane in range(first, last):
        sample = s[STATE.first_sample] + plane % g[PLANES.samples]
        number = random_elements(x, key, sample, plane // g[PLANES.samples] * lanes(x), 1)
        dropped = greater(limit, number)
        for h in range(g[PLANES.height]):
            source, target = source_at(g, plane, h), target_at(g, plane, h)
            for w in range(g[PLANES.width]):
                v = multiply(load(x, source + w), scale)
                store(y, target + w, select(dropped, zero, v))
