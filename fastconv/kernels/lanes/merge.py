"""Where values meet, in the lane layout: sums of two, over planes [C][H][W] of vectors (`planes.py`)."""

from typing import NamedTuple

from ...simd import add, fill, greater, load, multiply, select, store
from .operation import channel_operation, offsets_of, operation, share
from .planes import PLANES, source_at, target_at, y_at


@channel_operation
def add_planes(x, y, z, _c, _d, _e, g, s):
    """y = x + z; y may be the memory of either."""
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                total = add(load(x, source + w), load(z, own + w))
                store(y, target + w, total)


@channel_operation
def add_planes_relu(x, y, z, _c, _d, _e, g, s):
    """y = max(x + z, 0); y may be the memory of either."""
    zero = fill(x, 0.0)
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                total = add(load(x, source + w), load(z, own + w))
                store(y, target + w, select(greater(zero, total), zero, total))


@channel_operation
def add_planes_gated(x, y, z, gate, _d, _e, g, s):
    """y = x + z where `gate` is positive, else 0; x and z lie alike, and y may be the memory of either."""
    zero = fill(x, 0.0)
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target, own = source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                k = source + w
                positive = greater(load(gate, own + w), zero)
                total = select(positive, add(load(x, k), load(z, k)), zero)
                store(y, target + w, total)


@channel_operation
def scale_planes(x, y, factor, _c, _d, _e, g, s):
    """y = factor x; y may be the memory of x."""
    by = fill(x, factor[0])
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                store(y, target + w, multiply(by, load(x, source + w)))


class NumbersGeometry(NamedTuple):
    """What `add_numbers` adds."""

    numbers: int


NUMBERS = offsets_of(NumbersGeometry)


@operation
def add_numbers(part, total, _b, _c, _d, _e, g, s):
    """total[k] += part[k]; each thread takes some of the k."""
    first, last = share(g[NUMBERS.numbers], s)
    for k in range(first, last):
        total[k] += part[k]
