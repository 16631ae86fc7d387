"""ReLU with a learned slope for what is negative, in the lane layout, over planes [C][H][W] of vectors.

Behind the geometry of planes: from one channel's slope to the next, 0 where they share one; and whether
anybody needs the input gradient.
"""

from ...simd import add, fill, fma, greater, lane_mask, load, multiply, select, splat, store
from .operation import STATE, channel_operation, dividing_operation, operation, share
from .planes import PLANES, add_lane_sum, plane_geometry, source_at, target_at, y_at

SLOPE_STEP, DX_WANTED = len(PLANES), len(PLANES) + 1


def prelu_geometry(x, y, slope_step):
    """Make the geometry of `prelu`, or `prelu_channels`, from planes x to planes y."""
    return (*plane_geometry(x, y), int(slope_step), 0)


def prelu_grad_geometry(dy, dx, x, per_channel):
    """Make the geometry of `prelu_grad`; dx is None where nobody needs it."""
    return (*plane_geometry(dy, dy if dx is None else dx, x), int(per_channel), int(dx is not None))


@channel_operation
def prelu(x, y, weight, _c, _d, _e, g, s):
    """y = x where x > 0, else weight * x."""
    zero = fill(x, 0.0)
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        factor = splat(weight, c * g[SLOPE_STEP])
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                v = load(x, source + w)
                store(y, target + w, select(greater(v, zero), v, multiply(v, factor)))


@dividing_operation
def prelu_channels(x, y, weight, _c, _d, _e, g, s):
    """As `prelu`, of samples whose channels lie in the lanes; the slope step is the planes of a vector."""
    zero = fill(x, 0.0)
    first, last = share(g[PLANES.channels], s)
    for c in range(first, last):
        factor = load(weight, c // g[SLOPE_STEP])
        for h in range(g[PLANES.height]):
            source, target = source_at(g, c, h), target_at(g, c, h)
            for w in range(g[PLANES.width]):
                v = load(x, source + w)
                store(y, target + w, select(greater(v, zero), v, multiply(v, factor)))


@operation
def prelu_grad(dy, dx, x, weight, sums, _e, g, s):
    """dx = dy where x > 0, else weight * dy; sums += dweight, the sums of dy * x where x is not positive."""
    zero, step, valid = fill(x, 0.0), g[SLOPE_STEP], lane_mask(x, s[STATE.valid])
    for c in range(g[PLANES.channels]):
        factor, channel = splat(weight, c * step), zero
        for h in range(g[PLANES.height]):
            line, source, target, own = zero, source_at(g, c, h), target_at(g, c, h), y_at(g, c, h)
            for w in range(g[PLANES.width]):
                v, slope = load(x, own + w), load(dy, source + w)
                positive = greater(v, zero)
                line = fma(slope, select(positive, zero, v), line)
                if g[DX_WANTED]:
                    store(dx, target + w, select(positive, slope, multiply(slope, factor)))
            channel = add(channel, line)
        add_lane_sum(sums, c * step, channel, s[STATE.fresh] != 0 and c * (1 - step) == 0, valid)
