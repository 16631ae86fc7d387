"""Upsampling by whole factors in the lane layout: repeated elements, or straight lines between them.

x   a     b           nearest, factor 2    a a b b
                      linear               a, (3a + b) / 4, (a + 3b) / 4, b
                      aligned corners      a, (2a + b) / 3, (a + 2b) / 3, b
"""

from typing import NamedTuple

import numpy as np

from ...simd import add, advance, fill, fma, load, multiply, store
from ...simd.compiling import compiled, internal
from .operation import channel_operation, offsets_of, share


class UpsampleGeometry(NamedTuple):
    """Sizes of the small images, the factors, and distances in vectors between planes and lines."""

    channels: int
    height: int
    width: int
    scale_h: int
    scale_w: int
    x_plane: int  # of x, or of dx in the backward pass
    x_line: int
    y_plane: int  # of y, or of dy
    y_line: int


UPSAMPLE = offsets_of(UpsampleGeometry)
PLACES_AT = len(UPSAMPLE)  # behind them: the two lines of x that each line of y lies between, then columns


def upsample_geometry(x, y, scale):
    """Make the geometry of `upsample_nearest` from planes x to y, or of its gradient, given dx and dy."""
    return UpsampleGeometry(
        channels=x.channels,
        height=x.height,
        width=x.width,
        scale_h=scale[0],
        scale_w=scale[1],
        x_plane=x.plane,
        x_line=x.row,
        y_plane=y.plane,
        y_line=y.row,
    )


def upsample_linear_geometry(x, y, scale, places):
    """Make the geometry of `upsample_linear` or its gradient; `places` are those of `between`, h and w."""
    numbers = [upsample_geometry(x, y, scale), *(table.ravel() for table in places)]
    return np.concatenate(numbers).astype(np.int64)


@compiled
def between(size, scale, align_corners):
    """For each element of a line of size * scale: the two that it lies between, and its way to the second.

    (places [2] of int64, fractions of float64).
    """
    count = size * scale
    places, fractions = np.empty((count, 2), np.int64), np.empty(count)
    for k in range(count):
        at = k * (size - 1) / max(count - 1, 1) if align_corners else max((k + 0.5) / scale - 0.5, 0.0)
        first = min(int(at), size - 1)
        places[k, 0], places[k, 1] = first, min(first + 1, size - 1)
        fractions[k] = at - first
    return places, fractions


@channel_operation
def upsample_nearest(x, y, _b, _c, _d, _e, g, s):
    """y = each element of x, repeated down and across."""
    first, last = share(g[UPSAMPLE.channels], s)
    for c in range(first, last):
        for h in range(g[UPSAMPLE.height]):
            for w in range(g[UPSAMPLE.width]):
                v = load(x, c * g[UPSAMPLE.x_plane] + h * g[UPSAMPLE.x_line] + w)
                for i in range(g[UPSAMPLE.scale_h]):
                    line = c * g[UPSAMPLE.y_plane] + (h * g[UPSAMPLE.scale_h] + i) * g[UPSAMPLE.y_line]
                    for j in range(g[UPSAMPLE.scale_w]):
                        store(y, line + w * g[UPSAMPLE.scale_w] + j, v)


@channel_operation
def upsample_nearest_grad(dy, dx, _b, _c, _d, _e, g, s):
    """dx = the sum of dy over the repetitions of each element."""
    first, last = share(g[UPSAMPLE.channels], s)
    for c in range(first, last):
        for h in range(g[UPSAMPLE.height]):
            for w in range(g[UPSAMPLE.width]):
                total = fill(dy, 0.0)
                for i in range(g[UPSAMPLE.scale_h]):
                    line = c * g[UPSAMPLE.y_plane] + (h * g[UPSAMPLE.scale_h] + i) * g[UPSAMPLE.y_line]
                    for j in range(g[UPSAMPLE.scale_w]):
                        total = add(total, load(dy, line + w * g[UPSAMPLE.scale_w] + j))
                store(dx, c * g[UPSAMPLE.x_plane] + h * g[UPSAMPLE.x_line] + w, total)


@channel_operation
def upsample_linear(x, y, fractions, _c, _d, _e, g, s):
    """y = the mean of the four elements of x around each, by how near they are."""
    out_height, out_width = g[UPSAMPLE.height] * g[UPSAMPLE.scale_h], g[UPSAMPLE.width] * g[UPSAMPLE.scale_w]
    lines, columns = advance(g, PLACES_AT), advance(g, PLACES_AT + 2 * out_height)
    first, last = share(g[UPSAMPLE.channels], s)
    for c in range(first, last):
        for i in range(out_height):
            upper = c * g[UPSAMPLE.x_plane] + lines[2 * i] * g[UPSAMPLE.x_line]
            lower = c * g[UPSAMPLE.x_plane] + lines[2 * i + 1] * g[UPSAMPLE.x_line]
            target = c * g[UPSAMPLE.y_plane] + i * g[UPSAMPLE.y_line]
            above, below = fill(x, 1 - fractions[i]), fill(x, fractions[i])
            for j in range(out_width):
                left, right = columns[2 * j], columns[2 * j + 1]
                a = fill(x, 1 - fractions[out_height + j])
                b = fill(x, fractions[out_height + j])
                top = fma(load(x, upper + right), b, multiply(load(x, upper + left), a))
                bottom = fma(load(x, lower + right), b, multiply(load(x, lower + left), a))
                store(y, target + j, fma(bottom, below, multiply(top, above)))


@channel_operation
def upsample_linear_grad(dy, dx, fractions, _c, _d, _e, g, s):
    """dx = each dy, shared out over the four elements around it as they were weighted."""
    out_height, out_width = g[UPSAMPLE.height] * g[UPSAMPLE.scale_h], g[UPSAMPLE.width] * g[UPSAMPLE.scale_w]
    lines, columns = advance(g, PLACES_AT), advance(g, PLACES_AT + 2 * out_height)
    first, last = share(g[UPSAMPLE.channels], s)
    for c in range(first, last):
        for h in range(g[UPSAMPLE.height]):
            for w in range(g[UPSAMPLE.width]):
                store(dx, c * g[UPSAMPLE.x_plane] + h * g[UPSAMPLE.x_line] + w, fill(dx, 0.0))
        for i in range(out_height):
            upper = c * g[UPSAMPLE.x_plane] + lines[2 * i] * g[UPSAMPLE.x_line]
            lower = c * g[UPSAMPLE.x_plane] + lines[2 * i + 1] * g[UPSAMPLE.x_line]
            source = c * g[UPSAMPLE.y_plane] + i * g[UPSAMPLE.y_line]
            above, below = fill(dy, 1 - fractions[i]), fill(dy, fractions[i])
            for j in range(out_width):
                left, right = columns[2 * j], columns[2 * j + 1]
                a = fill(dy, 1 - fractions[out_height + j])
                b = fill(dy, fractions[out_height + j])
                slope = load(dy, source + j)
                top, bottom = multiply(slope, above), multiply(slope, below)
                _add_to(dx, upper + left, top, a)
                _add_to(dx, upper + right, top, b)
                _add_to(dx, lower + left, bottom, a)
                _add_to(dx, lower + right, bottom, b)


@internal
def _add_to(dx, at, slope, factor):
    """Add slope * factor to vector `at` of dx."""
    store(dx, at, fma(slope, factor, load(dx, at)))
