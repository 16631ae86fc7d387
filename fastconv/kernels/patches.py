"""Convolutions of NCHW arrays whose lanes hold positions, as the arrays do: no sample is turned into a lane.

    x  [N][C][H][W]  --pad-->   planes of samples in their zeros, one for each phase of a stride
                     --copy-->  patches [C * KH * KW][positions]    those of all samples, one after the other
                     --sum-->   sums    [O][positions]
                     --copy-->  y [N][O][OH * OW]

A block of positions is as many as stay, with their sums, in the second-level cache. A line of a plane lies as
it does in x, so that vectors are copied, each for all outputs. Where every position has sums of its own, x
needs no padding.
"""

from typing import NamedTuple

import numpy as np

from .. import simd
from ..simd import advance, keep, pointer
from ..simd.compiling import compiled
from .conv_sums import is_pointwise
from .lanes import conv_geometry
from .lanes.conv import COLUMNS_4, PLAIN, contract
from .lanes.conv_grad_weight import contract_grad_weight
from .lanes.operation import STATE_SIZE

_contract, _contract_grad_weight = contract.function, contract_grad_weight.function

AT_ONCE = 8192  # vectors of patches and sums: half of a second-level cache of 1 MiB
MOST_POSITIONS = 240  # vectors of a row
ONE, NOTHING = (1, 1), (0, 0)


class Windows(NamedTuple):
    """Where the numbers of patches come from: pairs are (down, across)."""

    channels: int
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    size: tuple[int, int]  # of a plane of x
    out_size: tuple[int, int]
    plain: int  # whether patches are planes of x: their lines are one, and nothing is padded


class Planes(NamedTuple):
    """The padded planes of a sample, in scalars: [channels][phases down][phases across][height][width]."""

    phases: tuple[int, int]
    height: int
    width: int


@compiled
def windows_of(shape):
    """The `Windows` of a convolution."""
    (height, width), (out_height, out_width), plain = shape.size, shape.out_size, is_pointwise(shape)
    if plain:
        height, width, out_height, out_width = 1, height * width, 1, out_height * out_width
    return Windows(
        shape.channels, shape.kernel, shape.stride, shape.padding, shape.dilation,
        (height, width), (out_height, out_width), 1 if plain else 0,
    )  # fmt: skip


@compiled
def _phases(kernel, stride, dilation):
    """How many phases of x the taps of a direction meet: those of taps 0, 1, ... repeat after so many."""
    return min(kernel, stride // np.gcd(stride, dilation))


@compiled
def _extent(out_size, kernel, stride, dilation):
    """Elements of a padded plane of a phase, in one direction."""
    return ((out_size - 1) * stride + (kernel - 1) * dilation) // stride + 1


@compiled
def _planes(windows):
    """The planes of a sample as they are copied from: x itself where windows are plain."""
    kernel, stride, dilation, out_size = windows.kernel, windows.stride, windows.dilation, windows.out_size
    return Planes(
        (_phases(kernel[0], stride[0], dilation[0]), _phases(kernel[1], stride[1], dilation[1])),
        _extent(out_size[0], kernel[0], stride[0], dilation[0]),
        _extent(out_size[1], kernel[1], stride[1], dilation[1]),
    )


@compiled
def _sample_size(windows, planes):
    """Scalars of a sample."""
    return windows.channels * planes.phases[0] * planes.phases[1] * planes.height * planes.width


@compiled
def _tap_starts(windows, planes):
    """Where each row of patches begins in the planes of a sample."""
    kernel, stride, dilation = windows.kernel, windows.stride, windows.dilation
    starts, (down, across) = np.empty(windows.channels * kernel[0] * kernel[1], np.int64), planes.phases
    at = 0
    for c in range(windows.channels):
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                plane = (c * down + i % down) * across + j % across
                line = plane * planes.height + i * dilation[0] // stride[0]
                starts[at] = line * planes.width + j * dilation[1] // stride[1]
                at += 1
    return starts


@compiled
def _copy(source, first, target, place, count, room):
    """Copy `count` numbers as vectors: the last may write past the end, and reads nothing from `room` on."""
    lanes, start = simd.lanes(source), 0
    while start < count and first + start + lanes <= room:
        simd.store(advance(target, place + start), 0, simd.load(advance(source, first + start), 0))
        start += lanes
    if start < count:
        simd.store(
            advance(target, place + start), 0, simd.load_part(source, first + start, room - first - start)
        )


@compiled
def _put(source, place, target, first, count):
    """Copy `count` numbers as vectors, and write nothing past them."""
    lanes = simd.lanes(source)
    whole = count // lanes * lanes
    for k in range(0, whole, lanes):
        simd.store(advance(target, first + k), 0, simd.load(advance(source, place + k), 0))
    if whole < count:
        simd.store_part(target, first + whole, simd.load(advance(source, place + whole), 0), count - whole)


@compiled
def _copy_every(source, first, step, target, count, room):
    """target[k] = source[first + k * step], and nothing past `count`."""
    lanes, done = simd.lanes(source), 0
    if step <= 2:
        while done < count and first + done * step + 2 * lanes <= room:
            at = advance(source, first + done * step)
            value = simd.load(at, 0) if step == 1 else simd.every_other(simd.load(at, 0), simd.load(at, 1))
            simd.store_part(target, done, value, count - done)
            done += lanes
    for k in range(done, count):
        target[k] = source[first + k * step]


@compiled
def _inside(first, stride, size, count):
    """Which of `count` elements first, first + stride, ... are from 0 to before `size`: (first, after)."""
    start = max(0, -(first // stride))
    return start, max(start, min(count, (size - 1 - first) // stride + 1))


@compiled
def _pad(x, n, windows, planes, padded):
    """Copy sample n to its padded planes, whose borders are zeros from the start."""
    (height, width), stride, dilation = windows.size, windows.stride, windows.dilation
    at = 0
    for c in range(windows.channels):
        image = (n * windows.channels + c) * height * width
        for a in range(planes.phases[0]):
            top = a * dilation[0] % stride[0] - windows.padding[0]
            first_line, end_line = _inside(top, stride[0], height, planes.height)
            for b in range(planes.phases[1]):
                left = b * dilation[1] % stride[1] - windows.padding[1]
                first, end = _inside(left, stride[1], width, planes.width)
                for i in range(first_line, end_line):
                    place = image + (top + i * stride[0]) * width + left + first * stride[1]
                    target = advance(padded, at + i * planes.width + first)
                    _copy_every(pointer(x), place, stride[1], target, end - first, x.size)
                at += planes.height * planes.width


# Blocks of positions


class Source(NamedTuple):
    """What patches are copied from, and where it lies."""

    windows: Windows
    planes: Planes
    starts: np.ndarray  # of each row of patches, in a sample
    sample: int  # scalars of one
    slots: int  # samples that are there at once: sample n in slot n % slots
    numbers: np.ndarray


@compiled
def _source(x, windows, at_once):
    """The source of blocks of so many positions: x itself where windows are plain."""
    planes = _planes(windows)
    starts, sample = _tap_starts(windows, planes), _sample_size(windows, planes)
    if windows.plain:
        return Source(windows, planes, starts, sample, x.shape[0], x.reshape(-1))
    slots = min(x.shape[0], at_once // (windows.out_size[0] * windows.out_size[1]) + 2)
    return Source(
        windows, planes, starts, sample, slots, np.zeros(slots * sample + simd.lanes(pointer(x)), x.dtype)
    )


@compiled
def _pad_samples(x, source, first, last):
    """Put the samples from `first` to before `last` into their slots."""
    if not source.windows.plain:
        for n in range(first, last):
            at = n % source.slots * source.sample
            _pad(x, n, source.windows, source.planes, advance(pointer(source.numbers), at))
    return last


@compiled
def _copy_lines(source, step, target, length, count):
    """Copy lines that are `step` apart, one after the other: each may read and write past its end."""
    lanes = simd.lanes(source)
    if length <= lanes:
        for _ in range(count):
            simd.store(target, 0, simd.load(source, 0))
            source, target = advance(source, step), advance(target, length)
    elif length <= 2 * lanes:
        for _ in range(count):
            first, second = simd.load(source, 0), simd.load(source, 1)
            simd.store(target, 0, first)
            simd.store(target, 1, second)
            source, target = advance(source, step), advance(target, length)
    else:
        for _ in range(count):
            for k in range(0, length, lanes):
                simd.store(advance(target, k), 0, simd.load(advance(source, k), 0))
            source, target = advance(source, step), advance(target, length)


@compiled
def _fill(source, start, count, patches, pitch):
    """Copy the positions of a block for each row of patches; rows are `pitch` scalars apart."""
    (height, width), numbers, step = source.windows.out_size, pointer(source.numbers), source.planes.width
    position, end = start, start + count
    while position < end:
        n, rest = position // (height * width), position % (height * width)
        i, j = rest // width, rest % width
        lines, length = min(height - i, (end - position) // width), width
        if j > 0 or lines == 0:
            lines, length = 1, min(width - j, end - position)
        first, place = n % source.slots * source.sample + i * step + j, position - start
        for k in range(len(source.starts)):
            at, row = first + source.starts[k], k * pitch + place
            if source.windows.plain:
                _copy(numbers, at, patches, row, lines * length, source.numbers.size)
            else:
                _copy_lines(advance(numbers, at), step, advance(patches, row), length, lines)
        position += lines * length


@compiled
def _run(start, end, plane):
    """The positions from `start` on that lie in one sample: (the sample, the first there, how many)."""
    return start // plane, start % plane, min(plane - start % plane, end - start)


@compiled
def _take(y, start, count, rows, pitch):
    """Copy the positions of y to rows, which are `pitch` scalars apart."""
    outputs, plane, position = y.shape[1], y.shape[2] * y.shape[3], start
    while position < start + count:
        n, first, length = _run(position, start + count, plane)
        for o in range(outputs):
            at = (n * outputs + o) * plane + first
            _copy(pointer(y), at, rows, o * pitch + position - start, length, y.size)
        position += length


@compiled
def _give(rows, pitch, y, start, count):
    """The reverse."""
    outputs, plane, position = y.shape[1], y.shape[2] * y.shape[3], start
    while position < start + count:
        n, first, length = _run(position, start + count, plane)
        for o in range(outputs):
            at = (n * outputs + o) * plane + first
            _put(rows, o * pitch + position - start, pointer(y), at, length)
        position += length


@compiled
def _clear(rows, number, pitch, first, last):
    """Zeros in the positions from `first` to before `last`."""
    for k in range(number):
        for at in range(k * pitch + first, k * pitch + last):
            rows[at] = 0.0


@compiled
def _vectors_at_once(rows, outputs, positions, lanes):
    """How many vectors of positions a block has."""
    fits = min(MOST_POSITIONS, AT_ONCE // (rows + outputs))
    return min(max(1, fits // COLUMNS_4) * COLUMNS_4, max(1, (positions + lanes - 1) // lanes))


@compiled
def _pitch(vectors):
    """Vectors from one row to the next: an odd number, for all sets of a cache, and one to spare."""
    return vectors + 1 + vectors % 2


@compiled
def _geometry(rows, outputs, vectors, pitch, groups, has_bias, turned):
    """The geometry of the sums of a block, or `turned`, that of a gradient of the input of 1x1 kernels."""
    size, apart = (1, vectors), (pitch, pitch)
    if turned:
        return conv_geometry.conv_grad_input(
            outputs, rows, ONE, size, size, ONE, NOTHING, ONE, groups, apart, apart, NOTHING, has_bias, PLAIN
        )
    return conv_geometry.conv_forward(
        rows, outputs, ONE, size, size, ONE, NOTHING, ONE, groups, apart, apart, has_bias, PLAIN
    )


@compiled
def _memory(numbers, like):
    """Memory for so many numbers, and its first whole vector."""
    memory = np.empty(numbers + simd.lanes(pointer(like)), like.dtype)
    return memory, advance(pointer(memory), -memory.ctypes.data % simd.VECTOR_BYTES // memory.itemsize)


@compiled
def convolve_patches(x, weight, bias, shape, y, turned):
    """y of a convolution; an empty bias stands for none.

    `turned`, dx of a convolution of 1x1 taps from its dy; `shape` is that of a convolution from dy to dx.
    """
    lanes, windows = simd.lanes(pointer(x)), windows_of(shape)
    rows, outputs = windows.channels * windows.kernel[0] * windows.kernel[1], y.shape[1]
    plane, positions = y.shape[2] * y.shape[3], y.shape[0] * y.shape[2] * y.shape[3]
    vectors = _vectors_at_once(rows, outputs, positions, lanes)
    pitch, block, has_bias = _pitch(vectors), vectors * lanes, 1 if bias.size else 0
    source = _source(x, windows, block)
    memory, patches = _memory((rows + outputs) * pitch * lanes, x)
    sums = advance(patches, rows * pitch * lanes)
    state = np.zeros(STATE_SIZE, np.int64)
    g, done = _geometry(rows, outputs, vectors, pitch, shape.groups, has_bias, turned), 0
    for start in range(0, positions, block):
        count = min(block, positions - start)
        if count < block:
            here = (count + lanes - 1) // lanes
            g = _geometry(rows, outputs, here, pitch, shape.groups, has_bias, turned)
        done = _pad_samples(x, source, done, (start + count - 1) // plane + 1)
        _fill(source, start, count, patches, pitch * lanes)
        _contract(patches, pointer(weight), pointer(bias), patches, sums, patches, pointer(g), pointer(state))
        _give(sums, pitch * lanes, y, start, count)
    keep((g, state, memory, source.numbers))


@compiled
def weight_gradient_patches(x, dy, shape, dweight):
    """Add the gradient of a convolution's weight to dweight."""
    lanes, windows = simd.lanes(pointer(x)), windows_of(shape)
    rows, outputs = windows.channels * windows.kernel[0] * windows.kernel[1], dy.shape[1]
    plane, positions = dy.shape[2] * dy.shape[3], dy.shape[0] * dy.shape[2] * dy.shape[3]
    vectors = _vectors_at_once(rows, outputs, positions, lanes)
    pitch, block = _pitch(vectors), vectors * lanes
    source = _source(x, windows, block)
    memory, patches = _memory((rows + outputs) * pitch * lanes, x)
    slopes, total = advance(patches, rows * pitch * lanes), pointer(dweight)
    state = np.zeros(STATE_SIZE, np.int64)
    g, done = _weight_geometry(rows, outputs, vectors, pitch, shape.groups), 0
    for start in range(0, positions, block):
        count = min(block, positions - start)
        done = _pad_samples(x, source, done, (start + count - 1) // plane + 1)
        _fill(source, start, count, patches, pitch * lanes)
        _take(dy, start, count, slopes, pitch * lanes)
        if count < block:
            here = (count + lanes - 1) // lanes
            _clear(patches, rows + outputs, pitch * lanes, count, here * lanes)
            g = _weight_geometry(rows, outputs, here, pitch, shape.groups)
        _contract_grad_weight(patches, slopes, total, total, total, total, pointer(g), pointer(state))
    keep((g, state, memory, source.numbers))


@compiled
def _weight_geometry(rows, outputs, vectors, pitch, groups):
    """The geometry of the sums of a block for the gradient of the weight."""
    apart = pitch, pitch
    return conv_geometry.conv_grad_weight(
        rows, outputs, ONE, (1, vectors), ONE, NOTHING, ONE, groups, apart, apart, 0
    )
