"""How a convolution with any kernel and stride becomes one of few taps and stride 1, with more channels.

Every s-th element of x, from a phase on, is an image of its own; and what a kernel has of taps s apart is a
kernel for it. Of those, a piece of r taps is again a kernel, for the image moved by r:

    7 taps, stride 2       tap    0   1   2   3   4   5   6         r = 2: parts begin at taps 0, 4, 1 and 5
                           part   0   2   0   2   1   3   1         (the last one has a tap of weight 0)

    y[i] = sum over parts and t < r of w[start + s t] x[s (i + t) + start - padding]

So a part of a channel counts as a channel of the products. In the gradient of x, whose phases have sums of
their own, a phase counts as an output, and a piece of dy as a channel:

    dx[s a + phase - padding] = sum over pieces and t < r of w[s (r piece + t) + phase] dy[a - r piece - t]

These functions, and all that make geometries of Winograd's products, run in Python, where the engine plans a
network, and in compiled code, where the kernels of arrays learn their shapes.
"""

from typing import NamedTuple

from numba.extending import register_jitable

from .winograd_transforms import results_for


class Direction(NamedTuple):
    """One direction of a convolution, down or across, and how many taps are taken at once."""

    kernel: int
    stride: int
    taps: int


class Parts(NamedTuple):
    """Both directions of a convolution."""

    down: Direction
    across: Direction


@register_jitable
def parts_of(kernel, stride, taps):
    """The `Parts` of a kernel of which so many taps are taken at once: pairs (down, across)."""
    # Numba compiles a function anew for each constant in a tuple that it gets: here they become int64.
    return Parts(
        Direction(int(kernel[0]), int(stride[0]), int(taps[0])),
        Direction(int(kernel[1]), int(stride[1]), int(taps[1])),
    )


@register_jitable
def piece_count(one):
    """How many pieces the taps of a phase make."""
    of_phase = -(-one.kernel // one.stride)
    return -(-of_phase // one.taps)


@register_jitable
def part_count(one):
    """How many parts the kernel has: the pieces of all phases."""
    return one.stride * piece_count(one)


@register_jitable
def part_start(one, number):
    """The first tap of a part."""
    pieces = piece_count(one)
    return number // pieces + number % pieces * one.stride * one.taps


@register_jitable
def _after(one, in_size, out_size, padding):
    """How many elements past its end the sums read of x."""
    reach = one.taps * part_count(one)  # elements that the taps of all parts span, those of weight 0 included
    return max(0, one.stride * (out_size - 1) + reach - padding - in_size)


@register_jitable
def input_halo(parts, in_size, out_size, padding):
    """Zeros that tiles read past the end of x: (top, bottom, left, right)."""
    bottom = _after(parts.down, in_size[0], out_size[0], padding[0])
    return 0, bottom, 0, _after(parts.across, in_size[1], out_size[1], padding[1])


@register_jitable
def places(one, in_size, padding):
    """For the gradient of x: the first a, and how many there are."""
    first = padding // one.stride
    return first, (in_size - 1 + padding) // one.stride - first + 1


@register_jitable
def _slopes_around(one, in_size, out_size, padding):
    """How many elements before the first and past its last the gradient of x reads of dy."""
    first, count = places(one, in_size, padding)
    return max(0, one.taps * piece_count(one) - 1 - first), max(0, first + count - out_size)


@register_jitable
def slope_halo(parts, in_size, out_size, padding):
    """Zeros that tiles of the gradient of x read around dy: (top, bottom, left, right)."""
    top, bottom = _slopes_around(parts.down, in_size[0], out_size[0], padding[0])
    left, right = _slopes_around(parts.across, in_size[1], out_size[1], padding[1])
    return top, bottom, left, right


@register_jitable
def limits(one, phase, in_size, padding):
    """For the gradient of x: the first and the last of the places at which a phase has an element."""
    first, _ = places(one, in_size, padding)
    last = (in_size - 1 + padding - phase) // one.stride
    return -(-(padding - phase) // one.stride) - first, last - first


@register_jitable
def results_of(parts):
    """How many results a tile has: (down, across)."""
    return results_for(parts.down.taps), results_for(parts.across.taps)


@register_jitable
def tap_count(parts):
    """How many taps a part has."""
    return parts.down.taps * parts.across.taps


@register_jitable
def inputs_of(parts, back):
    """How many channels of the products a channel makes; going `back`, one of dy."""
    if back:
        return piece_count(parts.down) * piece_count(parts.across)
    return part_count(parts.down) * part_count(parts.across)


@register_jitable
def rows_of(parts, back):
    """How many outputs of the products an output makes; going `back`, one of dx."""
    return parts.down.stride * parts.across.stride if back else 1


@register_jitable
def is_whole(parts):
    """Whether there is one part, of exactly the kernel's taps."""
    down, across = parts
    plain = down.stride == 1 and across.stride == 1
    return plain and down.kernel == down.taps and across.kernel == across.taps


@register_jitable
def tap_place(parts, i, j):
    """Where tap (i, j) lies in the kernel, or -1 where there is none."""
    inside = i < parts.down.kernel and j < parts.across.kernel
    return i * parts.across.kernel + j if inside else -1


OF_3X3 = parts_of((3, 3), (1, 1), (3, 3))
