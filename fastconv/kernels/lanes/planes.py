"""Planes [C][H][W] of vectors, which elementwise kernels read and write line by line.

A plane may lie in a halo, so that its lines, and the planes themselves, are further apart than they are long.
"""

from typing import NamedTuple

from ...simd import fill_like, select, total
from ...simd.compiling import internal
from .operation import offsets_of


class PlaneGeometry(NamedTuple):
    """Sizes, and the distances in vectors from plane to plane and from line to line of each buffer."""

    channels: int
    height: int
    width: int
    source_plane: int  # the planes that are read: x, or dy of a gradient
    source_line: int
    target_plane: int  # the planes that are written: y, or dx of a gradient
    target_line: int
    y_plane: int = 0  # the output of the forward pass, which some gradients read too
    y_line: int = 0
    layer: int = 0  # the layer's number, which its random numbers depend on
    samples: int = 1  # whose channels share planes, where these lie in the lanes


PLANES = offsets_of(PlaneGeometry)


def plane_geometry(source, target, y=None, layer=0, samples=1):
    """Make the geometry of an elementwise kernel from planes `source`, and perhaps `y`, to `target`."""
    return PlaneGeometry(
        channels=source.channels,
        height=source.height,
        width=source.width,
        source_plane=source.plane,
        source_line=source.row,
        target_plane=target.plane,
        target_line=target.row,
        y_plane=0 if y is None else y.plane,
        y_line=0 if y is None else y.row,
        layer=layer,
        samples=samples,
    )


@internal
def source_at(g, c, h):
    """At which vector line `h` of channel `c` begins, in the planes that a kernel reads."""
    return c * g[PLANES.source_plane] + h * g[PLANES.source_line]


@internal
def target_at(g, c, h):
    """At which vector line `h` of channel `c` begins, in the planes that a kernel writes."""
    return c * g[PLANES.target_plane] + h * g[PLANES.target_line]


@internal
def y_at(g, c, h):
    """At which vector line `h` of channel `c` begins, in the output of the forward pass."""
    return c * g[PLANES.y_plane] + h * g[PLANES.y_line]


@internal
def add_lane_sum(sums, at, v, fresh, valid):
    """Add the sum of the valid lanes of v to a parameter's gradient; the first block of a shard begins it."""
    value = total(select(valid, v, fill_like(v, 0.0)))
    sums[at] = value if fresh else sums[at] + value
