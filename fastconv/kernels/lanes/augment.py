"""Random changes of images on their way into a training step: shift, flip, rotation, noise.

    image in its halo of fill        (i, j) of the result        (y, x), another place in every lane
    [C][H + 3][W + 3][lanes]   <---------------------------->   a pixel there, or the four around

The random numbers are hashes of (seed, update, sample in the batch), as those of dropout: they depend neither
on threads nor on how steps are divided into calls.
"""

from typing import NamedTuple

from ...simd import (
    add,
    advance,
    fill,
    fill_like,
    fma,
    greater,
    lanes,
    less,
    load,
    load_lanes,
    multiply,
    select,
    splat,
    store,
    subtract,
)
from ...simd.compiling import internal
from ...simd.vector_math import floor, log, random_lanes, sine, square_root
from .operation import STATE, offsets_of, operation, random_key
from .planes import PLANES, source_at

# Around the images that `move` reads: a line of fill on every side, where all that lies outside is found, and
# one more below and right, as pixels are read by twos.
HALO = (1, 2, 1, 2)

# Numbers of the random streams, beside those of layers, which count from 0.
MOVES, NOISE = -1, -2


class MoveGeometry(NamedTuple):
    """Sizes of an image, and the distances in vectors from plane to plane and from line to line."""

    channels: int
    height: int
    width: int
    x_plane: int
    x_line: int
    y_plane: int
    y_line: int
    rotates: int  # whether there is a rotation


MOVE = offsets_of(MoveGeometry)


def move_geometry(x, y, rotates):
    """Make the geometry of `move` from the planes x to the planes y."""
    return MoveGeometry(
        channels=y.channels,
        height=y.height,
        width=y.width,
        x_plane=x.plane,
        x_line=x.row,
        y_plane=y.plane,
        y_line=y.row,
        rotates=int(rotates),
    )


@internal
def _whole(p, number, reach):
    """A whole number from -reach to reach, each as likely, in every lane, made of a random number there."""
    reach = splat(p, reach)
    choices = fma(reach, fill(p, 2.0), fill(p, 1.0))
    return subtract(floor(multiply(number, choices)), reach)


@internal
def _sign(p, number, chance):
    """-1 in the lanes whose random number is below p[chance], else 1."""
    return select(less(number, splat(p, chance)), fill(p, -1.0), fill(p, 1.0))


@internal
def _clamped(v, last):
    """The vector v with all that is below 0 raised to 0, and all above `last` lowered to it."""
    low, high = fill_like(v, 0.0), fill_like(v, last)
    return select(less(v, low), low, select(greater(v, high), high, v))


@internal
def _between(image, y, x, line):
    """The value of an image at (y, x), interpolated linearly between the four pixels around that place.

    `line` is the distance from one line of the image to the next.
    """
    n = lanes(image)
    top, left = floor(y), floor(x)
    down, right = subtract(y, top), subtract(x, left)
    a, b = load_lanes(image, top, left, line), load_lanes(advance(image, n), top, left, line)
    below = advance(image, line * n)
    c, d = load_lanes(below, top, left, line), load_lanes(advance(below, n), top, left, line)
    upper, lower = fma(right, subtract(b, a), a), fma(right, subtract(d, c), c)
    return fma(down, subtract(lower, upper), upper)


@internal
def _places(ranges, g, s):
    """Where each pixel of the result comes from: (first, by_i, by_j) for its y, and the same for its x.

    The pixel at (i, j) of the result is that at y = first + i * by_i + j * by_j of the image, and x likewise.
    That is centre + flip(rotate back(i - shift - centre, j - shift - centre)), multiplied out. y and x count
    from the corner of the halo.
    """
    key, first = random_key(s, MOVES), s[STATE.first_sample]
    height, width = g[MOVE.height], g[MOVE.width]
    down = _whole(ranges, random_lanes(ranges, key, first, 0), 0)
    right = _whole(ranges, random_lanes(ranges, key, first, 1), 1)
    flip_y = _sign(ranges, random_lanes(ranges, key, first, 2), 2)
    flip_x = _sign(ranges, random_lanes(ranges, key, first, 3), 3)
    cosine, sine_ = fill(ranges, 1.0), fill(ranges, 0.0)
    if g[MOVE.rotates]:
        number = fma(random_lanes(ranges, key, first, 4), fill(ranges, 2.0), fill(ranges, -1.0))
        turns = multiply(number, splat(ranges, 4))
        cosine, sine_ = sine(add(turns, fill(ranges, 0.25))), sine(turns)
    y_by_i, y_by_j = multiply(flip_y, cosine), multiply(flip_y, sine_)
    x_by_i, x_by_j = multiply(flip_x, subtract(fill(ranges, 0.0), sine_)), multiply(flip_x, cosine)
    down = add(down, fill(ranges, (height - 1) / 2))
    right = add(right, fill(ranges, (width - 1) / 2))
    y_first = subtract(fill(ranges, (height + 1) / 2), fma(y_by_i, down, multiply(y_by_j, right)))
    x_first = subtract(fill(ranges, (width + 1) / 2), fma(x_by_i, down, multiply(x_by_j, right)))
    return (y_first, y_by_i, y_by_j), (x_first, x_by_i, x_by_j)


@internal
def _shifted(x, y, places, g):
    """Move images that are shifted and flipped, but not rotated: every pixel is one of x, to the bit."""
    (y_first, y_by_i, _), (x_first, _, x_by_j) = places
    channels, height, width = g[MOVE.channels], g[MOVE.height], g[MOVE.width]
    plane, line = g[MOVE.x_plane], g[MOVE.x_line]
    for h in range(height):
        from_y = _clamped(fma(y_by_i, fill(x, h), y_first), height + 1)
        for w in range(width):
            from_x = _clamped(fma(x_by_j, fill(x, w), x_first), width + 1)
            for c in range(channels):
                image = advance(x, c * plane * lanes(x))
                store(
                    y, c * g[MOVE.y_plane] + h * g[MOVE.y_line] + w, load_lanes(image, from_y, from_x, line)
                )


@internal
def _turned(x, y, places, g):
    """Move images that are rotated as well: every pixel is interpolated between four of x."""
    (y_first, y_by_i, y_by_j), (x_first, x_by_i, x_by_j) = places
    channels, height, width = g[MOVE.channels], g[MOVE.height], g[MOVE.width]
    plane, line = g[MOVE.x_plane], g[MOVE.x_line]
    for h in range(height):
        line_y, line_x = fma(y_by_i, fill(x, h), y_first), fma(x_by_i, fill(x, h), x_first)
        for w in range(width):
            from_y = _clamped(fma(y_by_j, fill(x, w), line_y), height + 1)
            from_x = _clamped(fma(x_by_j, fill(x, w), line_x), width + 1)
            for c in range(channels):
                image = advance(x, c * plane * lanes(x))
                store(y, c * g[MOVE.y_plane] + h * g[MOVE.y_line] + w, _between(image, from_y, from_x, line))


@operation
def move(x, y, ranges, _c, _d, _e, g, s):
    """y = x flipped, then rotated about its centre, then shifted; what lies outside is what its halo holds.

    ranges: pixels to shift by down and across, chances of a vertical and of a horizontal flip, turns to
    rotate by. x starts at the corner of its halo.
    """
    places = _places(ranges, g, s)
    if g[MOVE.rotates]:
        _turned(x, y, places, g)
    else:
        _shifted(x, y, places, g)


@operation
def noise(x, deviation, _b, _c, _d, _e, g, s):
    """Add normal random numbers of mean 0 to x, two at a time (Box and Muller, 1958).

    With u and v uniform, sqrt(-2 log u) times cos(2 pi v) and sin(2 pi v) are two independent normal numbers.
    """
    key, first, one = random_key(s, NOISE), s[STATE.first_sample], fill(x, 1.0)
    factor, scale, element = fill(x, -2.0), splat(deviation, 0), 0
    for c in range(g[PLANES.channels]):
        for h in range(g[PLANES.height]):
            for w in range(0, g[PLANES.width], 2):
                at = source_at(g, c, h) + w
                u = subtract(one, random_lanes(x, key, first, element))  # above 0
                turns = random_lanes(x, key, first, element + 1)
                radius = multiply(scale, square_root(multiply(factor, log(u))))
                store(x, at, fma(radius, sine(turns), load(x, at)))
                if w + 1 < g[PLANES.width]:
                    cosine = sine(add(turns, fill(x, 0.25)))
                    store(x, at + 1, fma(radius, cosine, load(x, at + 1)))
                element += 2
