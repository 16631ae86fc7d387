"""Batch normalisation in the lane layout: each channel by its mean and variance over the whole batch.

As soon as a block of samples is made, and while it is in cache, its sums are; what then runs over the whole
batch reads a few numbers of each block, and adds them up in the order of blocks:

    x of a block  --batch_norm_sums-->  `parts` of the block  --batch_norm_statistics-->  saved
    dy, x of it   --batch_norm_grad_sums-->  `parts` of it    --batch_norm_grad_total-->  dgamma, dbeta
                  (or batch_norm_grad_finish)

`saved` holds the means of the channels, then the inverse standard deviations; behind gamma lies beta, and
behind dgamma dbeta. y may end in max(y, 0): the gradient of that needs no y, as x tells where it is positive.
The lanes past the batch's samples hold numbers that do not count.
"""

import math
from typing import NamedTuple

import numpy as np

from ... import simd
from ...simd import (
    add,
    advance,
    fill,
    fma,
    greater,
    lane_mask,
    load,
    multiply,
    select,
    store,
    subtract,
    total,
)
from ...simd.compiling import compiled, inlined
from .operation import STATE, channel_operation, offsets_of, operation, share


class BatchNormGeometry(NamedTuple):
    """Sizes of the images, and distances in vectors; planes whose lines touch count as one long line."""

    channels: int
    height: int
    width: int
    x_plane: int
    x_line: int
    y_plane: int  # of y, or of dy in the backward pass
    y_line: int
    z_plane: int  # of what is added to y, or of dx
    z_line: int
    relu: int  # whether y ends in max(y, 0)
    adds: int  # whether y is a sum with z, or dy is still to become one
    gated: int = 0  # whether dy is still to become 0 where `gate` is not positive
    gate_plane: int = 0
    gate_line: int = 0


NORM = offsets_of(BatchNormGeometry)


def batch_norm_geometry(x, y=None, z=None, relu=False, adds=False, gate=None):
    """Make the geometry from planes x to y; backward, y is dy, which `gate` is for, and z is dx."""
    y = x if y is None else y
    z = y if z is None else z
    together = all(planes.row == x.width for planes in (x, y, z, gate or x))
    height, width = (1, x.height * x.width) if together else (x.height, x.width)
    steps, gate_steps = (*x.steps, *y.steps, *z.steps), (0, 0) if gate is None else gate.steps
    return BatchNormGeometry(
        x.channels, height, width, *steps, int(relu), int(adds), int(gate is not None), *gate_steps
    )


class PartsGeometry(NamedTuple):
    """What is added up over the blocks."""

    channels: int
    positions: int  # of an image
    distance: int  # scalars from the parts of one block to those of the next


PARTS = offsets_of(PartsGeometry)

CENTRE, MEAN, SQUARES, PARTS_OF_SUMS = 0, 1, 2, 3  # what `batch_norm_sums` says of a channel
SLOPES, SLOPES_X, PARTS_OF_SLOPES = 0, 1, 2  # and what `batch_norm_grad_sums` does
AT_ONCE = 512  # vectors in a part of a sum, whose rounding is that of so many numbers
EVERY = 8  # one vector of so many says around which centre a block is summed up


@compiled
def _lines_at_once(width):
    """How many lines of so many vectors are summed up in one part of a sum."""
    return max(1, AT_ONCE // max(1, width))


@compiled
def _centre(x, at, valid, g, s):
    """A number amid those of a channel: the mean of every eighth vector.

    At least an eighth of all numbers are in it, so it is at most 3 deviations away from their mean, and no
    more than 3 of the 24 bits of a sum of squares are lost in that.
    """
    height, width = g[NORM.height], g[NORM.width]
    acc = fill(x, 0.0)
    for h in range(height):
        for w in range(0, width, EVERY):
            acc = add(acc, load(x, at + h * g[NORM.x_line] + w))
    count = height * ((width + EVERY - 1) // EVERY) * s[STATE.valid]
    return total(select(valid, acc, fill(x, 0.0))) / max(1, count)


@channel_operation
def batch_norm_sums(x, parts, _b, _c, _d, _e, g, s):
    """parts of a block and channel: a centre, the mean around it, and the squares around the mean."""
    height, width, x_line = g[NORM.height], g[NORM.width], g[NORM.x_line]
    band, valid, zero = _lines_at_once(width), lane_mask(x, s[STATE.valid]), fill(x, 0.0)
    count = max(1, height * width * s[STATE.valid])
    first, last = share(g[NORM.channels], s)
    for c in range(first, last):
        part, at = advance(parts, c * PARTS_OF_SUMS), c * g[NORM.x_plane]
        part[CENTRE] = _centre(x, at, valid, g, s)
        centre, result, squares = fill(x, part[CENTRE]), 0.0, 0.0
        for top in range(0, height, band):
            for left in range(0, width, AT_ONCE):
                right = min(left + AT_ONCE, width)
                even, odd, even_squares, odd_squares = zero, zero, zero, zero
                for h in range(top, min(top + band, height)):
                    line = at + h * x_line
                    for w in range(left, right - 1, 2):  # two chains of sums, as one waits for itself
                        v = subtract(load(x, line + w), centre)
                        even, even_squares = add(even, v), fma(v, v, even_squares)
                        v = subtract(load(x, line + w + 1), centre)
                        odd, odd_squares = add(odd, v), fma(v, v, odd_squares)
                    if (right - left) % 2 == 1:
                        v = subtract(load(x, line + right - 1), centre)
                        even, even_squares = add(even, v), fma(v, v, even_squares)
                result += total(select(valid, add(even, odd), zero))
                squares += total(select(valid, add(even_squares, odd_squares), zero))
        around_mean = squares - result * result / count
        part[MEAN] = result / count
        part[SQUARES] = 0.0 if around_mean < 0 else around_mean


@compiled
def _numbers_of(block, lane_count, g, s):
    """How many numbers of a channel a block has."""
    return min(lane_count, s[STATE.samples] - block * lane_count) * g[PARTS.positions]


@operation
def batch_norm_statistics(parts, saved, running, options, _d, _e, g, s):
    """Mean and inverse deviation of every channel, and the running ones after them (PyTorch's rule).

    options: momentum, eps. running: the means, then the variances (unbiased).
    """
    channels, lane_count = g[PARTS.channels], simd.lanes(parts)
    count = s[STATE.samples] * g[PARTS.positions]
    first, last = share(channels, s)
    for c in range(first, last):
        mean, squares, centre = 0.0, 0.0, np.float64(parts[c * PARTS_OF_SUMS + CENTRE])
        for block in range(s[STATE.blocks]):
            part = advance(parts, block * g[PARTS.distance] + c * PARTS_OF_SUMS)
            mean += (part[CENTRE] - centre + part[MEAN]) * _numbers_of(block, lane_count, g, s)
        mean /= count  # counted from the centre, as all means here
        for block in range(s[STATE.blocks]):
            part = advance(parts, block * g[PARTS.distance] + c * PARTS_OF_SUMS)
            apart = part[CENTRE] - centre + part[MEAN] - mean
            squares += part[SQUARES] + apart * apart * _numbers_of(block, lane_count, g, s)
        mean += centre
        variance, unbiased = squares / count, squares / max(count - 1, 1)
        running[c] += options[0] * (mean - running[c])
        running[channels + c] += options[0] * (unbiased - running[channels + c])
        saved[c] = mean
        saved[channels + c] = 1.0 / math.sqrt(variance + options[1])


@operation
def batch_norm_running(saved, running, options, _c, _d, _e, g, s):
    """saved = the running mean and the inverse running deviation of every channel. options: momentum, eps."""
    channels = g[PARTS.channels]
    for c in range(channels):
        saved[c] = running[c]
        saved[channels + c] = 1.0 / math.sqrt(running[channels + c] + options[1])


@channel_operation
def batch_norm(x, y, saved, gamma, z, _, g, s):
    """y = gamma * (x - mean) * inverse deviation + beta; then perhaps + z, and then perhaps max(y, 0).

    y may be the memory of z.
    """
    channels, relu, adds, zero = g[NORM.channels], g[NORM.relu] != 0, g[NORM.adds] != 0, fill(x, 0.0)
    first, last = share(channels, s)
    for c in range(first, last):
        scale = gamma[c] * saved[channels + c]
        factor, mean, shift = fill(x, scale), fill(x, saved[c]), fill(x, gamma[channels + c])
        for h in range(g[NORM.height]):
            x_at, y_at = c * g[NORM.x_plane] + h * g[NORM.x_line], c * g[NORM.y_plane] + h * g[NORM.y_line]
            z_at = c * g[NORM.z_plane] + h * g[NORM.z_line]
            for w in range(g[NORM.width]):
                v = fma(subtract(load(x, x_at + w), mean), factor, shift)
                if adds:
                    v = add(v, load(z, z_at + w))
                if relu:
                    v = select(greater(zero, v), zero, v)
                store(y, y_at + w, v)


@compiled
def _finish_band(dy, more, gate, c, band, g):
    """In a band of channel c, add `more` to dy, and make it 0 where `gate` is not positive, if g asks so."""
    top, bottom, left, right = band
    adds, gated, zero = g[NORM.adds] != 0, g[NORM.gated] != 0, fill(dy, 0.0)
    for h in range(top, bottom):
        y_at = c * g[NORM.y_plane] + h * g[NORM.y_line]
        gate_at = c * g[NORM.gate_plane] + h * g[NORM.gate_line]
        for w in range(left, right):
            v = load(dy, y_at + w)
            if adds:
                v = add(v, load(more, y_at + w))
            if gated:
                v = select(greater(load(gate, gate_at + w), zero), v, zero)
            store(dy, y_at + w, v)


@inlined
def slope_at(x, x_at, dy, y_at, mean, factor, shift, relu):
    """(x - mean, dy), which is 0 where the ReLU's y is."""
    v, slope = subtract(load(x, x_at), mean), load(dy, y_at)
    if relu:
        zero = fill(x, 0.0)
        slope = select(greater(fma(v, factor, shift), zero), slope, zero)
    return v, slope


@compiled
def _sums_of_band(x, dy, saved, gamma, c, band, g, s):
    """The sums of dy and of dy * (x - mean) over a band of channel c."""
    top, bottom, left, right = band
    channels, relu, valid, zero = (
        g[NORM.channels],
        g[NORM.relu] != 0,
        lane_mask(x, s[STATE.valid]),
        fill(x, 0.0),
    )
    scale = gamma[c] * saved[channels + c]
    factor, mean, shift = fill(x, scale), fill(x, saved[c]), fill(x, gamma[channels + c])
    even, odd, even_x, odd_x = zero, zero, zero, zero
    for h in range(top, bottom):
        x_at, y_at = c * g[NORM.x_plane] + h * g[NORM.x_line], c * g[NORM.y_plane] + h * g[NORM.y_line]
        for w in range(left, right - 1, 2):  # two chains of sums, as in `batch_norm_sums`
            v, slope = slope_at(x, x_at + w, dy, y_at + w, mean, factor, shift, relu)
            even, even_x = add(even, slope), fma(slope, v, even_x)
            v, slope = slope_at(x, x_at + w + 1, dy, y_at + w + 1, mean, factor, shift, relu)
            odd, odd_x = add(odd, slope), fma(slope, v, odd_x)
        if (right - left) % 2 == 1:
            v, slope = slope_at(x, x_at + right - 1, dy, y_at + right - 1, mean, factor, shift, relu)
            even, even_x = add(even, slope), fma(slope, v, even_x)
    return total(select(valid, add(even, odd), zero)), total(select(valid, add(even_x, odd_x), zero))


@compiled
def _sums_of_slopes(x, dy, saved, gamma, parts, more, gate, g, s):
    """As `batch_norm_grad_sums`, of a dy that may be still to be finished."""
    height, width, unfinished = g[NORM.height], g[NORM.width], g[NORM.adds] != 0 or g[NORM.gated] != 0
    lines = _lines_at_once(width)
    first, last = share(g[NORM.channels], s)
    for c in range(first, last):
        slopes, slopes_x = 0.0, 0.0
        for top in range(0, height, lines):
            for left in range(0, width, AT_ONCE):
                band = top, min(top + lines, height), left, min(left + AT_ONCE, width)
                if unfinished:
                    _finish_band(dy, more, gate, c, band, g)
                here, here_x = _sums_of_band(x, dy, saved, gamma, c, band, g, s)
                slopes += here
                slopes_x += here_x
        parts[c * PARTS_OF_SLOPES + SLOPES] = slopes
        parts[c * PARTS_OF_SLOPES + SLOPES_X] = slopes_x


@channel_operation
def batch_norm_grad_sums(x, dy, saved, gamma, parts, more, g, s):
    """parts of a block and channel: the sums of dy and of dy * (x - mean); dy is 0 where the ReLU's y is.

    First `more`, which lies as dy does, may be added to dy in its memory.
    """
    _sums_of_slopes(x, dy, saved, gamma, parts, more, dy, g, s)


@channel_operation
def batch_norm_grad_finish(x, dy, saved, gate, parts, more, g, s):
    """As `batch_norm_grad_sums`, where dy is first to become 0 wherever `gate` is not positive.

    That is what another ReLU gave, behind the sum that y went into.
    """
    _sums_of_slopes(x, dy, saved, saved, parts, more, gate, g, s)


@operation
def batch_norm_grad_total(parts, saved, dgamma, _c, _d, _e, g, s):
    """dgamma = the sum of dy * xhat and behind it dbeta, that of dy, channel by channel over all blocks."""
    channels = g[PARTS.channels]
    first, last = share(channels, s)
    for c in range(first, last):
        slopes, slopes_x = 0.0, 0.0
        for block in range(s[STATE.blocks]):
            part = advance(parts, block * g[PARTS.distance] + c * PARTS_OF_SLOPES)
            slopes += part[SLOPES]
            slopes_x += part[SLOPES_X]
        dgamma[c] = slopes_x * saved[channels + c]
        dgamma[channels + c] = slopes


@channel_operation
def batch_norm_grad_input(x, dy, dx, saved, gamma, dgamma, g, s):
    """dx = gamma * inverse deviation * (dy - dbeta / m - xhat * dgamma / m); 0 past the batch.

    m: elements of a channel over the batch. dy is 0 where the ReLU's y is.
    """
    channels, relu = g[NORM.channels], g[NORM.relu] != 0
    m = s[STATE.samples] * g[NORM.height] * g[NORM.width]
    valid, zero = lane_mask(x, s[STATE.valid]), fill(x, 0.0)
    first, last = share(channels, s)
    for c in range(first, last):
        inverse = saved[channels + c]
        factor, mean, shift = fill(x, gamma[c] * inverse), fill(x, saved[c]), fill(x, gamma[channels + c])
        slope_x, offset = fill(x, -dgamma[c] * inverse / m), fill(x, -dgamma[channels + c] / m)
        for h in range(g[NORM.height]):
            x_at, y_at = c * g[NORM.x_plane] + h * g[NORM.x_line], c * g[NORM.y_plane] + h * g[NORM.y_line]
            z_at = c * g[NORM.z_plane] + h * g[NORM.z_line]
            for w in range(g[NORM.width]):
                v, slope = slope_at(x, x_at + w, dy, y_at + w, mean, factor, shift, relu)
                v = multiply(fma(v, slope_x, add(slope, offset)), factor)
                store(dx, z_at + w, select(valid, v, zero))
