"""Smooth and bent activations in the lane layout, elementwise over planes [C][H][W] of vectors (`planes.py`).

What they compute of a vector is in `simd/curves.py`. x and y may be the same memory, and so may dy and dx.
"""

from ...simd import curves, fill, load, store
from .operation import channel_operation, share
from .planes import PLANES, source_at, target_at, y_at


@channel_operation
def relu6(x, y, _b, _c, _d, _e, g, s):
    """y = min(max(x, 0), 6)."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                store(y, target + w, curves.relu6(load(x, source + w)))


@channel_operation
def relu6_grad(dy, dx, y, _c, _d, _e, g, s):
    """dx = dy where 0 < y < 6, else 0."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                slope = curves.relu6_slope(load(dy, source + w), load(y, own + w))
                store(dx, target + w, slope)


@channel_operation
def hardsigmoid(x, y, _b, _c, _d, _e, g, s):
    """y = min(max(x / 6 + 1 / 2, 0), 1)."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                store(y, target + w, curves.hardsigmoid(load(x, source + w)))


@channel_operation
def hardsigmoid_grad(dy, dx, y, _c, _d, _e, g, s):
    """dx = dy / 6 where 0 < y < 1, else 0."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                slope = curves.hardsigmoid_slope(load(dy, source + w), load(y, own + w))
                store(dx, target + w, slope)


@channel_operation
def softplus(x, y, _b, _c, _d, _e, g, s):
    """y = log(1 + exp(x))."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                store(y, target + w, curves.softplus(load(x, source + w)))


@channel_operation
def softplus_grad(dy, dx, y, _c, _d, _e, g, s):
    """dx = dy * (1 - exp(-y))."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                slope = curves.softplus_slope(load(dy, source + w), load(y, own + w))
                store(dx, target + w, slope)


@channel_operation
def silu(x, y, _b, _c, _d, _e, g, s):
    """y = x * sigmoid(x)."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                store(y, target + w, curves.silu(load(x, source + w)))


@channel_operation
def silu_grad(dy, dx, x, _c, _d, _e, g, s):
    """dx = dy * s * (1 + x * (1 - s)) with s = sigmoid(x)."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                slope = curves.silu_slope(load(dy, source + w), load(x, own + w))
                store(dx, target + w, slope)


@channel_operation
def gelu(x, y, _b, _c, _d, _e, g, s):
    """y = x * the share of standard normal numbers below x."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                store(y, target + w, curves.gelu(load(x, source + w)))


@channel_operation
def gelu_grad(dy, dx, x, _c, _d, _e, g, s):
    """dx = dy * (share + x * density)."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                slope = curves.gelu_slope(load(dy, source + w), load(x, own + w))
                store(dx, target + w, slope)


@channel_operation
def gelu_tanh(x, y, _b, _c, _d, _e, g, s):
    """y = x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x**3))) / 2."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                store(y, target + w, curves.gelu_tanh(load(x, source + w)))


@channel_operation
def gelu_tanh_grad(dy, dx, x, _c, _d, _e, g, s):
    """dx = dy times the derivative of `gelu_tanh`."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                slope = curves.gelu_tanh_slope(load(dy, source + w), load(x, own + w))
                store(dx, target + w, slope)


@channel_operation
def hardswish(x, y, _b, _c, _d, _e, g, s):
    """y = x * min(max(x / 6 + 1 / 2, 0), 1)."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                store(y, target + w, curves.hardswish(load(x, source + w)))


@channel_operation
def hardswish_grad(dy, dx, x, _c, _d, _e, g, s):
    """dx = dy * (x / 3 + 1 / 2) where -3 < x < 3, 0 below, dy above."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                slope = curves.hardswish_slope(load(dy, source + w), load(x, own + w))
                store(dx, target + w, slope)


@channel_operation
def elu(x, y, alpha, _c, _d, _e, g, s):
    """y = x where it is positive, else alpha * (exp(x) - 1)."""
    factor = fill(x, alpha[0])
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                store(y, target + w, curves.elu(load(x, source + w), factor))


@channel_operation
def elu_grad(dy, dx, y, alpha, _d, _e, g, s):
    """dx = dy where y is positive, else dy * (y + alpha)."""
    factor = fill(dy, alpha[0])
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                slope = curves.elu_slope(load(dy, source + w), load(y, own + w), factor)
                store(dx, target + w, slope)
