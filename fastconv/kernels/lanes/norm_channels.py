"""Normalisation of each sample on its own, of few samples, whose channels lie in the lanes.

    x       planes of vectors: [channels / lanes][samples][H][W][lanes]
    lines   [channels / lanes][H][lanes]     sums of lines of one sample, in scratch
    means   [channels / lanes][lanes]        of each channel's group, in scratch behind them
    then inverse standard deviations, likewise

Lines are added up in the order of `norm.py`, which makes the same bits.
"""

from typing import NamedTuple

from ... import simd
from ...simd import add, advance, divide, fill, fma, load, multiply, store, subtract
from ...simd.compiling import compiled
from ...simd.vector_math import square_root
from .operation import offsets_of, operation


class NormSamplesGeometry(NamedTuple):
    """Sizes of the images and groups, and distances in vectors."""

    channels: int
    blocks: int  # vectors of channels
    samples: int
    height: int
    width: int
    groups: int
    x_plane: int
    x_line: int
    y_plane: int
    y_line: int
    each_element: int  # whether gamma and beta have a vector for each place, or one for all of them


NORM = offsets_of(NormSamplesGeometry)


def norm_samples_geometry(groups, x, y, channels, each_element):
    """Make the geometry of `norm_samples` from planes x, of so many channels, to planes y."""
    return NormSamplesGeometry(
        channels=channels,
        blocks=x.channels // x.samples,
        samples=x.samples,
        height=x.height,
        width=x.width,
        groups=groups,
        x_plane=x.plane,
        x_line=x.row,
        y_plane=y.plane,
        y_line=y.row,
        each_element=each_element,
    )


def scratch_size(g, lanes):
    """Scalars of scratch that `norm_samples` works in."""
    return (g.blocks * g.height + 2 * g.blocks) * lanes


@compiled
def _sum_lines(x, sample, centres, squared, lines, g):
    """The sum of each line of a sample, or of the squares of its distances to `centres`."""
    for block in range(g[NORM.blocks]):
        centre = load(centres, block) if squared else fill(x, 0.0)
        plane = (block * g[NORM.samples] + sample) * g[NORM.x_plane]
        for h in range(g[NORM.height]):
            line, at = fill(x, 0.0), plane + h * g[NORM.x_line]
            for w in range(g[NORM.width]):
                v = subtract(load(x, at + w), centre)
                line = fma(v, v, line) if squared else add(line, v)
            store(lines, block * g[NORM.height] + h, line)


@compiled
def _mean_of_groups(lines, means, g):
    """The mean over each group, of what the sums of lines add up to, for each of its channels."""
    lanes, height, groups = simd.lanes(lines), g[NORM.height], g[NORM.groups]
    size = g[NORM.channels] // groups
    share_of_one = simd.convert(1.0 / (size * height * g[NORM.width]), lines)
    for group in range(groups):
        total = simd.convert(0.0, lines)
        for c in range(group * size, (group + 1) * size):
            for h in range(height):
                total += lines[(c // lanes * height + h) * lanes + c % lanes]
        for c in range(group * size, (group + 1) * size):
            means[c] = total * share_of_one


@compiled
def _inverse_deviations(variances, eps, g):
    """Replace variances by the inverse standard deviations."""
    one = fill(variances, 1.0)
    for block in range(g[NORM.blocks]):
        variance = load(variances, block)
        store(variances, block, divide(one, square_root(add(variance, simd.splat(eps, 0)))))


@operation
def norm_samples(x, y, gamma, beta, eps, scratch, g, s):
    """y = gamma * (x - mean) * inverse deviation + beta, with those of each sample's own groups."""
    lanes, blocks, height, width = simd.lanes(x), g[NORM.blocks], g[NORM.height], g[NORM.width]
    means = advance(scratch, blocks * height * lanes)
    inverses = advance(means, blocks * lanes)
    for k in range(2 * blocks):
        store(means, k, fill(x, 0.0))  # lanes past the last channel, too
    for sample in range(g[NORM.samples]):
        _sum_lines(x, sample, means, False, scratch, g)
        _mean_of_groups(scratch, means, g)
        _sum_lines(x, sample, means, True, scratch, g)
        _mean_of_groups(scratch, inverses, g)
        _inverse_deviations(inverses, eps, g)
        for block in range(blocks):
            mean, inverse, plane = load(means, block), load(inverses, block), block * g[NORM.samples] + sample
            factor, shift = multiply(inverse, load(gamma, block)), load(beta, block)
            for h in range(height):
                x_at = plane * g[NORM.x_plane] + h * g[NORM.x_line]
                y_at = plane * g[NORM.y_plane] + h * g[NORM.y_line]
                for w in range(width):
                    v = subtract(load(x, x_at + w), mean)
                    if g[NORM.each_element]:
                        k = (block * height + h) * width + w
                        v = fma(multiply(v, inverse), load(gamma, k), load(beta, k))
                    else:
                        v = fma(v, factor, shift)
                    store(y, y_at + w, v)
