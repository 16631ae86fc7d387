"""Convolutions of few samples in strips of their images: when that pays, and how the images are cut.

A block of 2 samples leaves 14 of 16 lanes empty; cut in 8 strips, their images fill all. The sums of outputs
and of input gradients keep their terms and the order of these; a weight's gradient is summed up by strips.
"""

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

from ...kernels.lanes import strips

# What it takes to move a number into its lane or out of it, where a product of vectors is 1: measured.
MOVE = 2


def samples_of_strip(batch_size, lanes):
    """How many lanes a strip of a batch has: the next power of two, and all where there are no strips."""
    samples = 1
    while samples < min(batch_size, lanes):
        samples *= 2
    return samples


class Axis(NamedTuple):
    """One direction of a convolution, down or across."""

    in_size: int
    out_size: int
    stride: int
    reach: int  # of a window
    padding: int  # before the input, where the first window begins


class Span(NamedTuple):
    """What strips read or write along one axis of an image: where the first begins, and what each needs."""

    start: int
    size: int
    every: int  # from one strip to the next; 0 where the image is not cut along this axis
    limit: int  # how much there is from the start on, zeros around the image included


@dataclass(frozen=True)
class Cut:
    """How outputs are cut along an axis: `number` strips of `size`, each in so many lanes."""

    axis: int  # 0: one below the other, 1: beside each other
    number: int
    size: int
    samples: int

    def spans(self, sizes):
        """The spans of the outputs themselves."""
        return [
            Span(0, self.size, self.size, n) if axis == self.axis else Span(0, n, 0, n)
            for axis, n in enumerate(sizes)
        ]

    def moves(self, channels, sizes):
        """How many numbers are moved to or from all strips of (channels, *sizes)."""
        return channels * math.prod(sizes) * self.number * self.samples

    def windows(self, axes, halo):
        """What strips of outputs read of an input with this halo."""
        return [
            Span(
                -axis.padding,
                (outputs.size - 1) * axis.stride + axis.reach,
                outputs.every * axis.stride,
                axis.padding + axis.in_size + after,
            )
            for axis, outputs, after in zip(
                axes, self.spans([axis.out_size for axis in axes]), halo[1::2], strict=True
            )
        ]

    def slopes(self, axes, halo):
        """What strips of an input's gradient read of that of the outputs, with this halo."""
        spans = []
        for axis, inputs, after in zip(
            axes, self.spans([axis.in_size for axis in axes]), halo[1::2], strict=True
        ):
            start = (axis.padding - axis.reach + 1) // axis.stride
            size = (inputs.size - 1 + axis.padding) // axis.stride - start + 1
            spans.append(Span(start, size, inputs.every // axis.stride, axis.out_size + after - start))
        return spans


def best_cut(lanes, samples, sizes, multiples, cost):
    """The cheapest cut of images of `sizes`, and its share of the cost of whole ones; or None, and 1.

    `cost(cut, sizes)` is that of a strip's sums and of all moves, in products of vectors. The length of a
    strip is a multiple of `multiples`, so that all are alike.
    """
    whole = cost(None, sizes)
    best, least = None, whole
    for axis, power in itertools.product(range(2), range(1, 7)):
        count = 2**power
        size = -(-sizes[axis] // count)
        size = -(-size // multiples[axis]) * multiples[axis]
        cut = Cut(axis, -(-sizes[axis] // size), size, samples)
        if count * samples <= lanes and cut.number > 1:
            found = cost(cut, [span.size for span in cut.spans(sizes)])
            if found < least:
                best, least = cut, found
    return best, least / max(whole, 1)


def geometry(cut, spans, image, planes):
    """Make the geometry of `cut_strips` or `join_strips` between an image and the planes of its strips."""
    down, across = spans
    span = spans[cut.axis]
    return strips.StripGeometry(
        channels=planes.channels,
        height=planes.height,
        width=planes.width,
        strips=cut.number,
        samples=cut.samples,
        first=down.start * image.row + across.start,
        strip=down.every * image.row + across.every,
        across=cut.axis,
        places=span.every,
        limit=span.limit,
        image_plane=image.plane,
        image_line=image.row,
        strips_plane=planes.plane,
        strips_line=planes.row,
    )
