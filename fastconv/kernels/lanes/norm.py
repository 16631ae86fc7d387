"""Normalisation in the lane layout by groups of channels of each sample, and of whole samples.

Sums stay in a lane, so that each thread takes its own blocks (those of a batch do not: `batch_norm.py`). The
lanes past the batch's samples hold numbers that do not count. `saved` holds the means, a vector for each
group, then the inverse standard deviations.
"""

from typing import NamedTuple

from ...simd import (
    add,
    divide,
    fill,
    fma,
    lane_mask,
    load,
    multiply,
    splat,
    store,
    subtract,
)
from ...simd.compiling import internal
from ...simd.vector_math import square_root
from .operation import STATE, offsets_of, operation
from .planes import add_lane_sum


class GroupNormGeometry(NamedTuple):
    """Sizes of the images and groups, and distances in vectors."""

    channels: int
    height: int
    width: int
    groups: int
    x_plane: int
    x_line: int
    y_plane: int  # of y, or of dy in the backward pass
    y_line: int
    dx_plane: int = 0
    dx_line: int = 0
    dx_wanted: int = 0  # whether anybody needs the input gradient


GROUPS = offsets_of(GroupNormGeometry)


def group_norm_geometry(groups, x, y, dx=None):
    """Make the geometry of group normalisation from planes x to y; backward, y is dy."""
    dx_distances = () if dx is None else (dx.plane, dx.row, 1)
    return GroupNormGeometry(
        x.channels, x.height, x.width, groups, x.plane, x.row, y.plane, y.row, *dx_distances
    )


@internal
def _group_x_at(g, c, h):
    """At which vector of x line `h` of channel `c` begins."""
    return c * g[GROUPS.x_plane] + h * g[GROUPS.x_line]


@internal
def _group_y_at(g, c, h):
    """At which vector of y, or of dy, line `h` of channel `c` begins."""
    return c * g[GROUPS.y_plane] + h * g[GROUPS.y_line]


@internal
def _group_sum(x, centre, squared, first, last, g):
    """The sum over the channels first..last of x - centre, or of its square, lane by lane."""
    result = fill(x, 0.0)
    for c in range(first, last):
        for h in range(g[GROUPS.height]):
            line, at = fill(x, 0.0), _group_x_at(g, c, h)
            for w in range(g[GROUPS.width]):
                v = subtract(load(x, at + w), centre)
                line = fma(v, v, line) if squared else add(line, v)
            result = add(result, line)
    return result


@operation
def group_norm(x, y, saved, gamma, beta, options, g, s):
    """y = gamma * (x - mean) * inverse deviation + beta, with mean and deviation of a sample's own groups.

    options: eps.
    """
    groups = g[GROUPS.groups]
    size, one = g[GROUPS.channels] // groups, fill(x, 1.0)
    share_of_one = fill(x, 1.0 / (size * g[GROUPS.height] * g[GROUPS.width]))
    for group in range(groups):
        first, last = group * size, (group + 1) * size
        mean = multiply(_group_sum(x, fill(x, 0.0), False, first, last, g), share_of_one)
        variance = multiply(_group_sum(x, mean, True, first, last, g), share_of_one)
        inverse = divide(one, square_root(add(variance, splat(options, 0))))
        store(saved, group, mean)
        store(saved, groups + group, inverse)
        for c in range(first, last):
            factor, shift = multiply(inverse, splat(gamma, c)), splat(beta, c)
            for h in range(g[GROUPS.height]):
                x_at, y_at = _group_x_at(g, c, h), _group_y_at(g, c, h)
                for w in range(g[GROUPS.width]):
                    store(y, y_at + w, fma(subtract(load(x, x_at + w), mean), factor, shift))


@operation
def group_norm_grad(x, dy, dx, saved, gamma, sums, g, s):
    """dx of group normalisation; sums += dgamma, the sums of dy * xhat, and behind it dbeta, those of dy.

    With d = dy * gamma and means over a group: dx = inverse deviation * (d - mean(d) - xhat mean(d xhat)).
    """
    channels, groups, fresh = g[GROUPS.channels], g[GROUPS.groups], s[STATE.fresh] != 0
    size, valid = channels // groups, lane_mask(x, s[STATE.valid])
    count = size * g[GROUPS.height] * g[GROUPS.width]
    share_of_one = fill(x, -1.0 / count)
    for group in range(groups):
        first, last = group * size, (group + 1) * size
        mean, inverse = load(saved, group), load(saved, groups + group)
        sum_d, sum_d_x = fill(x, 0.0), fill(x, 0.0)
        for c in range(first, last):
            channel_dy, channel_dy_x = fill(x, 0.0), fill(x, 0.0)
            for h in range(g[GROUPS.height]):
                line, line_x = fill(x, 0.0), fill(x, 0.0)
                x_at, dy_at = _group_x_at(g, c, h), _group_y_at(g, c, h)
                for w in range(g[GROUPS.width]):
                    slope = load(dy, dy_at + w)
                    line = add(line, slope)
                    line_x = fma(slope, subtract(load(x, x_at + w), mean), line_x)
                channel_dy, channel_dy_x = add(channel_dy, line), add(channel_dy_x, line_x)
            channel_dy_x = multiply(channel_dy_x, inverse)
            add_lane_sum(sums, c, channel_dy_x, fresh, valid)
            add_lane_sum(sums, channels + c, channel_dy, fresh, valid)
            scale = splat(gamma, c)
            sum_d, sum_d_x = fma(channel_dy, scale, sum_d), fma(channel_dy_x, scale, sum_d_x)
        if g[GROUPS.dx_wanted]:
            shift, slope_x = multiply(sum_d, share_of_one), multiply(multiply(sum_d_x, share_of_one), inverse)
            for c in range(first, last):
                scale = splat(gamma, c)
                for h in range(g[GROUPS.height]):
                    x_at, dy_at = _group_x_at(g, c, h), _group_y_at(g, c, h)
                    dx_at = c * g[GROUPS.dx_plane] + h * g[GROUPS.dx_line]
                    for w in range(g[GROUPS.width]):
                        v = fma(load(dy, dy_at + w), scale, shift)
                        v = fma(subtract(load(x, x_at + w), mean), slope_x, v)
                        store(dx, dx_at + w, multiply(v, inverse))


@operation
def layer_norm(x, y, saved, gamma, beta, options, g, s):
    """y = gamma * (x - mean) * inverse deviation + beta, with mean and deviation of the whole sample.

    gamma and beta: one for each element. The geometry is that of a single group. options: eps.
    """
    channels, one, element = g[GROUPS.channels], fill(x, 1.0), 0
    share_of_one = fill(x, 1.0 / (channels * g[GROUPS.height] * g[GROUPS.width]))
    mean = multiply(_group_sum(x, fill(x, 0.0), False, 0, channels, g), share_of_one)
    variance = multiply(_group_sum(x, mean, True, 0, channels, g), share_of_one)
    inverse = divide(one, square_root(add(variance, splat(options, 0))))
    store(saved, 0, mean)
    store(saved, 1, inverse)
    for c in range(channels):
        for h in range(g[GROUPS.height]):
            x_at, y_at = _group_x_at(g, c, h), _group_y_at(g, c, h)
            for w in range(g[GROUPS.width]):
                normal = multiply(subtract(load(x, x_at + w), mean), inverse)
                store(y, y_at + w, fma(normal, splat(gamma, element), splat(beta, element)))
                element += 1


@operation
def layer_norm_grad(x, dy, dx, saved, gamma, sums, g, s):
    """dx of layer normalisation; sums += dgamma, dy * xhat of each element, and behind it dbeta, dy.

    With d = dy * gamma and means over a sample: dx = inverse deviation * (d - mean(d) - xhat mean(d xhat)).
    """
    channels, height, width = g[GROUPS.channels], g[GROUPS.height], g[GROUPS.width]
    fresh, valid, elements = s[STATE.fresh] != 0, lane_mask(x, s[STATE.valid]), channels * height * width
    mean, inverse, share_of_one = load(saved, 0), load(saved, 1), fill(x, -1.0 / elements)
    sum_d, sum_d_x, element = fill(x, 0.0), fill(x, 0.0), 0
    for c in range(channels):
        for h in range(height):
            line, line_x = fill(x, 0.0), fill(x, 0.0)
            x_at, dy_at = _group_x_at(g, c, h), _group_y_at(g, c, h)
            for w in range(width):
                normal = multiply(subtract(load(x, x_at + w), mean), inverse)
                slope = load(dy, dy_at + w)
                add_lane_sum(sums, element, multiply(slope, normal), fresh, valid)
                add_lane_sum(sums, elements + element, slope, fresh, valid)
                d = multiply(slope, splat(gamma, element))
                line, line_x = add(line, d), fma(d, normal, line_x)
                element += 1
            sum_d, sum_d_x = add(sum_d, line), add(sum_d_x, line_x)
    if g[GROUPS.dx_wanted]:
        shift, slope_x, element = multiply(sum_d, share_of_one), multiply(sum_d_x, share_of_one), 0
        for c in range(channels):
            for h in range(height):
                x_at, dy_at = _group_x_at(g, c, h), _group_y_at(g, c, h)
                dx_at = c * g[GROUPS.dx_plane] + h * g[GROUPS.dx_line]
                for w in range(width):
                    normal = multiply(subtract(load(x, x_at + w), mean), inverse)
                    v = fma(load(dy, dy_at + w), splat(gamma, element), fma(normal, slope_x, shift))
                    store(dx, dx_at + w, multiply(v, inverse))
                    element += 1
