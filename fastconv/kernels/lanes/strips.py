"""Images of few samples cut in strips, one a lane, so that a convolution of them fills the vectors.

    x (2 of 16 lanes hold samples)          strips (6 lines of y need 3 strips of 2 lines; 3 x 2 lanes)
    line 0  [a0 b0 . . . .  ...]
    line 1  [a1 b1 . . . .  ...]            line 0  [a0 b0 a2 b2 a4 b4 ...]
    line 2  [a2 b2 . . . .  ...]            line 1  [a1 b1 a3 b3 a5 b5 ...]
    line 3  [a3 b3 . . . .  ...]   ---->    line 2  [a2 b2 a4 b4 a6 b6 ...]   of windows that reach into
    ...                                     line 3  [a3 b3 a5 b5  0  0 ...]   the next strip's lines

A strip of the input has also the lines that the windows of its outputs read beyond it; those past the image
are zeros. Strips may run down or across: all that differs is how far one is from the next in memory.
"""

from typing import NamedTuple

from ... import simd
from ...simd.compiling import internal
from .operation import dividing_operation, offsets_of, share


class StripGeometry(NamedTuple):
    """Sizes of a strip, how many there are, and distances in vectors."""

    channels: int
    height: int  # of a strip
    width: int
    strips: int
    samples: int  # lanes of a strip
    first: int  # where the first strip begins in the image
    strip: int  # from one strip to the next in the image
    across: int  # whether they lie beside each other, and not one below the other
    places: int  # lines (across: places in a line) from one strip to the next
    limit: int  # lines (across: places) of the image from the first strip's start on
    image_plane: int
    image_line: int
    strips_plane: int
    strips_line: int


STRIPS = offsets_of(StripGeometry)


@internal
def _lines(g, c, h, t):
    """At which vectors of the image and of the strips line `h` of channel `c` begins, in strip t."""
    image = g[STRIPS.first] + c * g[STRIPS.image_plane] + h * g[STRIPS.image_line] + t * g[STRIPS.strip]
    return image, c * g[STRIPS.strips_plane] + h * g[STRIPS.strips_line]


@internal
def _sizes_within(g, t):
    """How many lines, and places in a line, of strip t lie in the image."""
    left = max(0, g[STRIPS.limit] - t * g[STRIPS.places])
    if g[STRIPS.across]:
        return g[STRIPS.height], min(g[STRIPS.width], left)
    return min(g[STRIPS.height], left), g[STRIPS.width]


@internal
def _cut_line(x, strips, samples, inside, width):
    """Copy the first `samples` lanes of `inside` vectors of x; zeros go into the rest of `width`."""
    lanes = simd.lanes(x)
    if samples == 1:  # twice as fast as what follows
        for w in range(inside):
            strips[w * lanes] = x[w * lanes]
    else:
        for w in range(inside):
            simd.store_part(strips, w * lanes, simd.load(x, w), samples)
    for w in range(inside, width):
        simd.store_part(strips, w * lanes, simd.fill(x, 0.0), samples)


@dividing_operation
def cut_strips(x, strips, _c, _d, _e, _f, g, s):
    """strips[c, h, w] = x[c, h, w] of each strip, in lanes of its own; zeros past the image."""
    lanes, samples, width = simd.lanes(x), g[STRIPS.samples], g[STRIPS.width]
    first_channel, last_channel = share(g[STRIPS.channels], s)
    for c in range(first_channel, last_channel):  # the strips of one go to the same vectors
        for t in range(g[STRIPS.strips]):
            lines, places = _sizes_within(g, t)
            for h in range(g[STRIPS.height]):
                image, at = _lines(g, c, h, t)
                line, target = simd.advance(x, image * lanes), simd.advance(strips, at * lanes + t * samples)
                _cut_line(line, target, samples, places if h < lines else 0, width)


@dividing_operation
def join_strips(strips, y, _c, _d, _e, _f, g, s):
    """y[c, h, w] = strips[c, h, w] of each strip, within the image; zeros in the lanes past the samples."""
    lanes, samples = simd.lanes(y), g[STRIPS.samples]
    first_channel, last_channel = share(g[STRIPS.channels], s)
    for c in range(first_channel, last_channel):
        for t in range(g[STRIPS.strips]):
            lines, places = _sizes_within(g, t)
            for h in range(lines):
                image, at = _lines(g, c, h, t)
                first = at * lanes + t * samples
                for w in range(places):
                    simd.store(y, image + w, simd.load_part(strips, first + w * lanes, samples))
