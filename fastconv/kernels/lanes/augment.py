"""Random changes of images on their way into a training step: shift, flip, rotation, noise.

    image in its halo of fill        (i, j) of the result        (y, x), another place in every lane
    [C][H + 3][W + 3][lanes]   <---------------------------->   a pixel there, or the four around

The random numbers are hashes of (seed, update, sample in the batch), as those of dropout: they depend neither
on threads nor on how steps are divided into calls.
"""

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
from ...simd.compiling import compiled
from ...simd.vector_math import floor, log, random_lanes, sine, square_root
from .operation import FIRST_SAMPLE, SEED, UPDATE, operation

# Around the images that `move` reads: a line of fill on every side, where all that lies outside is found, and
# one more below and right, as pixels are read by twos.
HALO = (1, 2, 1, 2)

# Numbers of the random streams, beside those of layers, which count from 0.
MOVES, NOISE = -1, -2


@compiled
def _key(s, stream):
    return s[SEED] * 1000003 + s[UPDATE] * 8191 + stream


@compiled
def _whole(p, number, reach):
    """A whole number from -reach to reach, all alike, of random numbers."""
    reach = splat(p, reach)
    choices = fma(reach, fill(p, 2.0), fill(p, 1.0))
    return subtract(floor(multiply(number, choices)), reach)


@compiled
def _sign(p, number, chance):
    """-1 where the random number is below scalar `chance` of the memory at p, else 1."""
    return select(less(number, splat(p, chance)), fill(p, -1.0), fill(p, 1.0))


@compiled
def _clamped(v, last):
    """`v` within 0 and `last`."""
    low, high = fill_like(v, 0.0), fill_like(v, last)
    return select(less(v, low), low, select(greater(v, high), high, v))


@compiled
def _between(image, y, x, row):
    """The value at (y, x) by straight lines between the four pixels around it."""
    n = lanes(image)
    top, left = floor(y), floor(x)
    down, right = subtract(y, top), subtract(x, left)
    a, b = load_lanes(image, top, left, row), load_lanes(advance(image, n), top, left, row)
    below = advance(image, row * n)
    c, d = load_lanes(below, top, left, row), load_lanes(advance(below, n), top, left, row)
    upper, lower = fma(right, subtract(b, a), a), fma(right, subtract(d, c), c)
    return fma(down, subtract(lower, upper), upper)


@compiled
def _places(ranges, g, s):
    """(first, by i, by j) of y and of x: where the pixel at (i, j) of the result comes from, first + ....

    That is centre + flip(rotate back(i - shift - centre, j - shift - centre)), multiplied out. y and x count
    from the corner of the halo.
    """
    key, first, height, width = _key(s, MOVES), s[FIRST_SAMPLE], g[1], g[2]
    down = _whole(ranges, random_lanes(ranges, key, first, 0), 0)
    right = _whole(ranges, random_lanes(ranges, key, first, 1), 1)
    flip_y = _sign(ranges, random_lanes(ranges, key, first, 2), 2)
    flip_x = _sign(ranges, random_lanes(ranges, key, first, 3), 3)
    cosine, sine_ = fill(ranges, 1.0), fill(ranges, 0.0)
    if g[7]:
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


@compiled
def _shifted(x, y, places, g):
    """Rows stay rows: every pixel is one of x, to the bit."""
    (y_first, y_by_i, _), (x_first, _, x_by_j) = places
    channels, height, width, plane, row = g[0], g[1], g[2], g[3], g[4]
    for h in range(height):
        from_y = _clamped(fma(y_by_i, fill(x, h), y_first), height + 1)
        for w in range(width):
            from_x = _clamped(fma(x_by_j, fill(x, w), x_first), width + 1)
            for c in range(channels):
                image = advance(x, c * plane * lanes(x))
                store(y, c * g[5] + h * g[6] + w, load_lanes(image, from_y, from_x, row))


@compiled
def _turned(x, y, places, g):
    (y_first, y_by_i, y_by_j), (x_first, x_by_i, x_by_j) = places
    channels, height, width, plane, row = g[0], g[1], g[2], g[3], g[4]
    for h in range(height):
        y_row, x_row = fma(y_by_i, fill(x, h), y_first), fma(x_by_i, fill(x, h), x_first)
        for w in range(width):
            from_y = _clamped(fma(y_by_j, fill(x, w), y_row), height + 1)
            from_x = _clamped(fma(x_by_j, fill(x, w), x_row), width + 1)
            for c in range(channels):
                image = advance(x, c * plane * lanes(x))
                store(y, c * g[5] + h * g[6] + w, _between(image, from_y, from_x, row))


@operation
def move(x, y, ranges, _c, _d, _e, g, s):
    """y = x flipped, then rotated about its centre, then shifted; what lies outside is what its halo holds.

    ranges: rows and columns to shift by, chances of a vertical and of a horizontal flip, turns to rotate by.
    g: C, H, W, plane and row steps of x, which starts at the corner of its halo, and of y; and whether there
    is a rotation.
    """
    places = _places(ranges, g, s)
    if g[7]:
        _turned(x, y, places, g)
    else:
        _shifted(x, y, places, g)


@operation
def noise(x, deviation, _b, _c, _d, _e, g, s):
    """Add normal random numbers of mean 0 to x, two at a time (Box and Muller, 1958).

    With u and v uniform, sqrt(-2 log u) times cos(2 pi v) and sin(2 pi v) are two independent normal numbers.
    g: C, H, W, plane and row steps.
    """
    key, first, one = _key(s, NOISE), s[FIRST_SAMPLE], fill(x, 1.0)
    factor, scale, element = fill(x, -2.0), splat(deviation, 0), 0
    for c in range(g[0]):
        for h in range(g[1]):
            for w in range(0, g[2], 2):
                at = c * g[3] + h * g[4] + w
                u = subtract(one, random_lanes(x, key, first, element))  # above 0
                turns = random_lanes(x, key, first, element + 1)
                radius = multiply(scale, square_root(multiply(factor, log(u))))
                store(x, at, fma(radius, sine(turns), load(x, at)))
                if w + 1 < g[2]:
                    cosine = sine(add(turns, fill(x, 0.25)))
                    store(x, at + 1, fma(radius, cosine, load(x, at + 1)))
                element += 2
