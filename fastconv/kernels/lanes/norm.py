"""Normalisation in the lane layout: by batch, by groups of channels of each sample, and of whole samples.

The sums of a batch run over all its blocks, so each thread takes channels; those of a group stay in a lane,
so each thread takes its own blocks. The lanes past the batch's samples hold numbers that do not count.
`saved` holds the means, one for each channel (or group: a vector), then the inverse standard deviations.
"""

import math
from typing import NamedTuple

from ... import simd
from ...simd import (
    add,
    advance,
    divide,
    fill,
    fma,
    lane_mask,
    load,
    multiply,
    select,
    splat,
    store,
    subtract,
    total,
)
from ...simd.compiling import compiled
from ...simd.vector_math import square_root
from .operation import STATE, offsets_of, operation, share
from .planes import add_lane_sum


class NormGeometry(NamedTuple):
    """Sizes of the images, and distances: in vectors, but those between blocks in scalars."""

    channels: int
    height: int
    width: int
    x_plane: int
    x_line: int
    y_plane: int  # of y, or of dy in the backward pass
    y_line: int
    dx_plane: int
    dx_line: int
    x_block: int  # from one block of samples to the next
    y_block: int
    training: int  # whether mean and variance are those of the batch, or the running ones


NORM = offsets_of(NormGeometry)


def norm_geometry(shape, x, y, dx, x_block, y_block, training):
    """Make the geometry of batch normalisation of samples (C, H, W), from x to y; backward, y is dy."""
    return NormGeometry(
        channels=shape[0],
        height=shape[1],
        width=shape[2],
        x_plane=x.plane,
        x_line=x.row,
        y_plane=y.plane,
        y_line=y.row,
        dx_plane=dx.plane,
        dx_line=dx.row,
        x_block=x_block,
        y_block=y_block,
        training=int(training),
    )


@compiled
def _x_at(g, c, h, w):
    """At which vector of x place `w` in line `h` of channel `c` lies."""
    return c * g[NORM.x_plane] + h * g[NORM.x_line] + w


@compiled
def _y_at(g, c, h, w):
    """At which vector of y, or of dy, place `w` in line `h` of channel `c` lies."""
    return c * g[NORM.y_plane] + h * g[NORM.y_line] + w


@operation
def batch_norm_statistics(x, saved, running, options, _d, _e, g, s):
    """Mean and inverse deviation of every channel, and the running ones after them (PyTorch's rule).

    options: momentum, eps. running: the means, then the variances (unbiased).
    """
    channels, height, width = g[NORM.channels], g[NORM.height], g[NORM.width]
    count = s[STATE.samples] * height * width
    lane_count = simd.lanes(x)
    first, last = share(channels, s)
    for c in range(first, last):
        if g[NORM.training]:
            mean = 0.0
            variance = 0.0
            for turn in range(2):
                centre = fill(x, mean)
                result = 0.0
                for block in range(s[STATE.blocks]):
                    plane = advance(x, block * g[NORM.x_block])
                    valid = lane_mask(x, s[STATE.samples] - block * lane_count)
                    for h in range(height):
                        acc = fill(x, 0.0)
                        for w in range(width):
                            v = subtract(load(plane, c * g[NORM.x_plane] + h * g[NORM.x_line] + w), centre)
                            acc = add(acc, v) if turn == 0 else fma(v, v, acc)
                        result += total(select(valid, acc, fill(x, 0.0)))
                if turn == 0:
                    mean = result / count
                else:
                    variance = result / count
            unbiased = variance * count / max(count - 1, 1)
            running[c] += options[0] * (mean - running[c])
            running[channels + c] += options[0] * (unbiased - running[channels + c])
        else:
            mean, variance = running[c], running[channels + c]
        saved[c] = mean
        saved[channels + c] = 1.0 / math.sqrt(variance + options[1])


@operation
def batch_norm(x, y, saved, gamma, beta, _e, g, s):
    """y = gamma * (x - mean) * inverse deviation + beta."""
    for c in range(g[NORM.channels]):
        scale = gamma[c] * saved[g[NORM.channels] + c]
        factor, mean, shift = fill(x, scale), fill(x, saved[c]), fill(x, beta[c])
        for h in range(g[NORM.height]):
            for w in range(g[NORM.width]):
                v = subtract(load(x, _x_at(g, c, h, w)), mean)
                store(y, _y_at(g, c, h, w), fma(v, factor, shift))


@operation
def batch_norm_grad_sums(x, dy, saved, dgamma, dbeta, _e, g, s):
    """dbeta = the sum of dy, dgamma = the sum of dy * xhat, channel by channel over the whole batch."""
    channels, height, width = g[NORM.channels], g[NORM.height], g[NORM.width]
    lane_count = simd.lanes(x)
    first, last = share(channels, s)
    for c in range(first, last):
        mean = fill(x, saved[c])
        sum_dy, sum_dy_x = 0.0, 0.0
        for block in range(s[STATE.blocks]):
            x_block, dy_block = advance(x, block * g[NORM.x_block]), advance(dy, block * g[NORM.y_block])
            valid = lane_mask(x, s[STATE.samples] - block * lane_count)
            for h in range(height):
                acc, acc_x = fill(x, 0.0), fill(x, 0.0)
                for w in range(width):
                    slope = load(dy_block, _y_at(g, c, h, w))
                    acc = add(acc, slope)
                    acc_x = fma(slope, subtract(load(x_block, _x_at(g, c, h, w)), mean), acc_x)
                zero = fill(x, 0.0)
                sum_dy += total(select(valid, acc, zero))
                sum_dy_x += total(select(valid, acc_x, zero))
        dbeta[c] = sum_dy
        dgamma[c] = sum_dy_x * saved[channels + c]


@operation
def batch_norm_grad_input(x, dy, dx, saved, gamma, dgamma_dbeta, g, s):
    """dx = gamma * inverse deviation * (dy - dbeta / m - xhat * dgamma / m); 0 past the batch.

    m: elements of a channel over the batch.
    """
    channels, height, width = g[NORM.channels], g[NORM.height], g[NORM.width]
    m = s[STATE.samples] * height * width
    valid, zero = lane_mask(x, s[STATE.valid]), fill(x, 0.0)
    for c in range(channels):
        inverse = saved[channels + c]
        mean = fill(x, saved[c])
        slope = fill(x, -dgamma_dbeta[c] * inverse / m)
        offset = fill(x, -dgamma_dbeta[channels + c] / m)
        factor = fill(x, gamma[c] * inverse)
        for h in range(height):
            for w in range(width):
                v = subtract(load(x, _x_at(g, c, h, w)), mean)
                v = fma(v, slope, add(load(dy, _y_at(g, c, h, w)), offset))
                dx_at = c * g[NORM.dx_plane] + h * g[NORM.dx_line] + w
                store(dx, dx_at, select(valid, multiply(v, factor), zero))


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


@compiled
def _group_x_at(g, c, h):
    """At which vector of x line `h` of channel `c` begins."""
    return c * g[GROUPS.x_plane] + h * g[GROUPS.x_line]


@compiled
def _group_y_at(g, c, h):
    """At which vector of y, or of dy, line `h` of channel `c` begins."""
    return c * g[GROUPS.y_plane] + h * g[GROUPS.y_line]


@compiled
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
