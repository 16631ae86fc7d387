"""How a convolution with any kernel and stride becomes one of few taps and stride 1, with more channels.

Every s-th element of x, from a phase on, is an image of its own; and what a kernel has of taps s apart is a
kernel for it. Of those, a piece of r taps is again a kernel, for the image moved by r:

    7 taps, stride 2       tap    0   1   2   3   4   5   6         r = 2: parts begin at taps 0, 4, 1 and 5
                           part   0   2   0   2   1   3   1         (the last one has a tap of weight 0)

    y[i] = sum over parts and t < r of w[start + s t] x[s (i + t) + start - padding]

So a part of a channel counts as a channel of the products. In the gradient of x, whose phases have sums of
their own, a phase counts as an output, and a piece of dy as a channel:

    dx[s a + phase - padding] = sum over pieces and t < r of w[s (r piece + t) + phase] dy[a - r piece - t]
"""

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from .winograd_transforms import results_for


class Direction(NamedTuple):
    """One direction of a convolution, down or across, and how many taps are taken at once."""

    kernel: int
    stride: int
    taps: int

    @property
    def pieces(self):
        """How many pieces the taps of a phase make."""
        of_phase = -(-self.kernel // self.stride)
        return -(-of_phase // self.taps)

    @property
    def starts(self):
        """The first tap of each part of the kernel."""
        piece = self.stride * self.taps
        return [phase + n * piece for phase in range(self.stride) for n in range(self.pieces)]

    @property
    def reach(self):
        """How many elements the taps of all parts span, those of weight 0 included."""
        return self.stride * self.taps * self.pieces

    def after(self, in_size, out_size, padding):
        """How many elements past its end the sums read of x."""
        return max(0, self.stride * (out_size - 1) + self.reach - padding - in_size)

    def places(self, in_size, padding):
        """For the gradient of x: the first a, and how many there are."""
        first = padding // self.stride
        return first, (in_size - 1 + padding) // self.stride - first + 1

    def slopes_around(self, in_size, out_size, padding):
        """How many elements before the first and past its last the gradient of x reads of dy."""
        first, count = self.places(in_size, padding)
        return max(0, self.taps * self.pieces - 1 - first), max(0, first + count - out_size)

    def limits(self, phase, in_size, padding):
        """For the gradient of x: the first and the last of the places at which a phase has an element."""
        first, _ = self.places(in_size, padding)
        return -(-(padding - phase) // self.stride) - first, (
            in_size - 1 + padding - phase
        ) // self.stride - first


@dataclass(frozen=True)
class Parts:
    """Both directions of a convolution, and what its parts are: pairs (down, across) throughout."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    taps: tuple[int, int] = (3, 3)

    @cached_property
    def directions(self):
        """Down and across."""
        return tuple(map(Direction, self.kernel_size, self.stride, self.taps))

    @property
    def results(self):
        """How many results a tile has."""
        return tuple(map(results_for, self.taps))

    @property
    def starts(self):
        """The first tap of each part."""
        return list(itertools.product(*(direction.starts for direction in self.directions)))

    @property
    def phases(self):
        """All phases of x."""
        return list(itertools.product(*map(range, self.stride)))

    @property
    def pieces(self):
        """The numbers of all pieces of a phase."""
        return list(itertools.product(*(range(direction.pieces) for direction in self.directions)))

    @property
    def whole(self):
        """Whether there is one part, of exactly the kernel's taps."""
        return self.kernel_size == self.taps and self.stride == (1, 1)

    def taps_of(self, start):
        """Where each tap of a part lies in the kernel, line by line, or -1."""
        (height, width), (down, across) = self.kernel_size, self.stride
        lines = [start[0] + down * t for t in range(self.taps[0])]
        places = [start[1] + across * t for t in range(self.taps[1])]
        return [i * width + j if i < height and j < width else -1 for i in lines for j in places]

    def turned_taps_of(self, phase, piece):
        """As `taps_of`, for the gradient of x, whose taps come the other way round."""
        start = [
            first + one.stride * one.taps * number
            for one, first, number in zip(self.directions, phase, piece, strict=True)
        ]
        return self.taps_of(start)[::-1]


OF_3X3 = Parts((3, 3))
