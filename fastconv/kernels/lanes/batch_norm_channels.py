"""Batch normalisation of few samples, whose channels lie in the lanes, in training.

All samples of the batch are one block, so that sums are sums of vectors. What they come to is told in the
`parts` of `batch_norm.py`, whose operations on these follow.
"""

from typing import NamedTuple

from ... import simd
from ...simd import add, fill, fma, load, load_part, multiply, store, subtract
from ...simd.compiling import compiled, inlined
from .batch_norm import CENTRE, MEAN, PARTS_OF_SLOPES, PARTS_OF_SUMS, SLOPES, SLOPES_X, SQUARES, slope_at
from .operation import STATE, dividing_operation, offsets_of, share


class NormTrainingGeometry(NamedTuple):
    """Sizes of the planes of vectors, and distances in vectors."""

    channels: int  # of the image
    blocks: int  # vectors of these
    samples: int  # that have a plane for the same channels
    height: int
    width: int
    x_plane: int
    x_line: int
    dy_plane: int
    dy_line: int
    dx_plane: int
    dx_line: int
    relu: int  # whether dy is 0 where a ReLU behind the normalisation is, as x tells


NORM = offsets_of(NormTrainingGeometry)


def norm_training_geometry(channels, x, dy=None, dx=None, relu=False):
    """Make the geometry from the planes x of so many channels, and those of dy and dx."""
    dy = x if dy is None else dy
    dx = dy if dx is None else dx
    return NormTrainingGeometry(
        channels, x.channels // x.samples, x.samples, x.height, x.width, *x.steps, *dy.steps, *dx.steps,
        int(relu),
    )  # fmt: skip


@compiled
def _store_parts(parts, block, count, place, v, buffer, g):
    """Put the lanes of v into the parts of the channels of a block, `count` a channel, at `place`."""
    lanes = simd.lanes(parts)
    store(buffer, 0, v)
    for lane in range(min(lanes, g[NORM.channels] - block * lanes)):
        parts[(block * lanes + lane) * count + place] = buffer[lane]


@dividing_operation
def norm_sums_channels(x, parts, _c, _d, _e, _f, g, s):
    """parts of each channel, as `batch_norm_sums`: the mean, 0 and the squares around the mean."""
    samples, height, width = min(g[NORM.samples], s[STATE.valid]), g[NORM.height], g[NORM.width]
    buffer, zero = simd.local(x, 1), fill(x, 0.0)
    share_of_one = fill(x, 1.0 / max(1, samples * height * width))
    first, last = share(g[NORM.blocks], s)
    for block in range(first, last):
        mean, squares = zero, zero
        for n in range(samples):
            at = (block * g[NORM.samples] + n) * g[NORM.x_plane]
            for h in range(height):
                line = zero
                for w in range(width):
                    line = add(line, load(x, at + h * g[NORM.x_line] + w))
                mean = add(mean, line)
        mean = multiply(mean, share_of_one)
        for n in range(samples):
            at = (block * g[NORM.samples] + n) * g[NORM.x_plane]
            for h in range(height):
                line = zero
                for w in range(width):
                    v = subtract(load(x, at + h * g[NORM.x_line] + w), mean)
                    line = fma(v, v, line)
                squares = add(squares, line)
        _store_parts(parts, block, PARTS_OF_SUMS, CENTRE, mean, buffer, g)
        _store_parts(parts, block, PARTS_OF_SUMS, MEAN, zero, buffer, g)
        _store_parts(parts, block, PARTS_OF_SUMS, SQUARES, squares, buffer, g)


@inlined
def _statistics(saved, gamma, block, g):
    """What the lanes of a block of channels have: mean, inverse deviation, and the factor and shift of y."""
    channels, c = g[NORM.channels], block * simd.lanes(saved)
    mean, inverse = load_part(saved, c, channels - c), load_part(saved, channels + c, channels - c)
    factor = multiply(load_part(gamma, c, channels - c), inverse)
    return mean, inverse, factor, load_part(gamma, channels + c, channels - c)


@dividing_operation
def norm_grad_sums_channels(x, dy, saved, gamma, parts, _f, g, s):
    """parts of each channel, as `batch_norm_grad_sums`: the sums of dy and of dy * (x - mean)."""
    samples, relu = min(g[NORM.samples], s[STATE.valid]), g[NORM.relu] != 0
    buffer, zero = simd.local(x, 1), fill(x, 0.0)
    first, last = share(g[NORM.blocks], s)
    for block in range(first, last):
        mean, _, factor, shift = _statistics(saved, gamma, block, g)
        slopes, slopes_x = zero, zero
        for n in range(samples):
            plane = block * g[NORM.samples] + n
            for h in range(g[NORM.height]):
                x_at = plane * g[NORM.x_plane] + h * g[NORM.x_line]
                dy_at = plane * g[NORM.dy_plane] + h * g[NORM.dy_line]
                line, line_x = zero, zero
                for w in range(g[NORM.width]):
                    v, slope = slope_at(x, x_at + w, dy, dy_at + w, mean, factor, shift, relu)
                    line, line_x = add(line, slope), fma(slope, v, line_x)
                slopes, slopes_x = add(slopes, line), add(slopes_x, line_x)
        _store_parts(parts, block, PARTS_OF_SLOPES, SLOPES, slopes, buffer, g)
        _store_parts(parts, block, PARTS_OF_SLOPES, SLOPES_X, slopes_x, buffer, g)


@dividing_operation
def norm_grad_input_channels(x, dy, dx, saved, gamma, dgamma, g, s):
    """dx = gamma * inverse deviation * (dy - dbeta / m - xhat * dgamma / m), as `batch_norm_grad_input`."""
    lanes, channels, relu = simd.lanes(x), g[NORM.channels], g[NORM.relu] != 0
    share_of_one = fill(x, -1.0 / max(1, s[STATE.samples] * g[NORM.height] * g[NORM.width]))
    zero, samples = fill(x, 0.0), g[NORM.samples]
    first, last = share(g[NORM.blocks] * samples, s)
    for plane in range(first, last):
        c, valid = plane // samples * lanes, plane % samples < s[STATE.valid]
        count = channels - c
        mean, inverse, factor, shift = _statistics(saved, gamma, plane // samples, g)
        slope_x = multiply(multiply(load_part(dgamma, c, count), inverse), share_of_one)
        offset = multiply(load_part(dgamma, channels + c, count), share_of_one)
        for h in range(g[NORM.height]):
            x_at = plane * g[NORM.x_plane] + h * g[NORM.x_line]
            dy_at = plane * g[NORM.dy_plane] + h * g[NORM.dy_line]
            dx_at = plane * g[NORM.dx_plane] + h * g[NORM.dx_line]
            for w in range(g[NORM.width]):
                v, slope = slope_at(x, x_at + w, dy, dy_at + w, mean, factor, shift, relu)
                v = multiply(fma(v, slope_x, add(slope, offset)), factor)
                store(dx, dx_at + w, v if valid else zero)
