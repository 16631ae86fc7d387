"""Depthwise convolutions and their input gradients: sums over the taps of planes, output by output.

    y[o, p] = bias[o] + sum over the inputs c of its group, kh, kw of w[o, c, kh, kw] * x[c, p + tap]

    +----+----+-----+    A plane is cut in patches of one shape, the `form`: accumulators stay in registers
    |    |    |     |    over all the taps, and each vector of x serves all taps of its line. The last
    |    |    |     |    patches of lines and columns lie partly on those before them.
    +----+----+-----+
    +----+----+-----+    A line alone is cut in pieces, whose positions make the lines of a patch.

`contract` has tiles of several outputs, which is better where there are some: one output alone loads a vector
for each product there, and two thirds of one here. Sums at every stride-th position of an input gradient
are a phase each: another form, other taps, other patches.
"""

from typing import NamedTuple

from numba import types
from numba.extending import intrinsic

from ...simd import advance, opaque, tiles
from ...simd.compiling import compiled, inlined, internal
from ...simd.taps import line_add, neighbours
from ...simd.tiles import (
    offset_count,
    offsets,
    tile_add_rows,
    tile_add_stored,
    tile_gate,
    tile_relu,
    tile_store,
    zeros,
)
from .conv import GATE, RELU
from .operation import offsets_of, operation_in_parts, share

# Shapes of patches, as lines x positions in a line. With 32 registers, 20 accumulators leave room for 3
# weights and the 7 vectors of a line. Sizes that these shapes do not fit have positions that are computed
# twice: with all shapes of 3 and 4 lines by 3 to 5 positions a sixth less at most, for twice the time to
# compile. With 8 vectors in registers there are 4 accumulators, and with 4 only one.
EDGE = tiles.tile_patch()[0]
FORMS = {
    4: ((4, 5), (4, 4), (3, 3), (1, 1)),
    2: ((2, 2), (1, 1)),
    1: ((1, 1),),
}[EDGE]


class DepthwiseGeometry(NamedTuple):
    """What `depthwise` needs to know of all phases; distances in vectors for x and y, in scalars for w."""

    groups: int
    outputs: int  # in a group
    inputs: int  # in a group
    inputs_at_once: int  # in a part of a sum
    groups_at_once: int  # that go through all phases while their planes are in cache
    x_plane: int  # from one plane to the next
    y_plane: int
    w_plane: int  # taps of a plane
    ending: int  # what becomes of a finished sum: PLAIN, RELU or GATE
    bias: int  # whether there is one
    phases: int


class PhaseGeometry(NamedTuple):
    """The sums at some positions: the taps, which are added up line by line, and the patches."""

    form: int  # a number in FORMS
    w_tap_h: int  # from one tap to the one below
    w_tap_w: int  # from one tap to the one at its right
    x_tap_h: int
    x_tap_w: int
    threes: int  # taps of a line that are taken three at a time, then two at a time
    twos: int
    strided_threes: int  # three at a time at stride 2, in place of these
    ones: int  # one at a time, at any stride and dilation
    x_line: int  # from one line of a patch to the next
    x_step: int  # from one position in a line to the next
    patches: int
    patches_at: int  # where `g` says how far lines and positions are apart in y; then come the patches


class PatchGeometry(NamedTuple):
    """A patch: where it lies, and which lines of taps it sums up: those that meet more than padding."""

    x_at: int  # of its first position
    w_at: int
    y_at: int
    lines: int  # of taps


DEPTHWISE, PHASE, PATCH = (
    offsets_of(DepthwiseGeometry),
    offsets_of(PhaseGeometry),
    offsets_of(PatchGeometry),
)
PHASES_AT = len(DEPTHWISE)


@compiled
def takes(groups, x_planes, y_planes):
    """Whether `depthwise` makes sums from so many planes to so many others, faster than `contract`.

    With one input in a group, `contract` takes a tenth longer even with 4 outputs: its sums are too short. A
    network without groups needs no further kernel.
    """
    inputs, outputs = x_planes // groups, y_planes // groups
    return groups > 1 and inputs > 0 and (outputs == 1 or (inputs == 1 and outputs <= 4))


@intrinsic
def _form(typingctx, p, number):
    """The shape of patch that FORMS has under a literal number, of the dtype that p points to."""
    if not isinstance(number, types.IntegerLiteral):
        return None
    lines, columns = FORMS[min(number.literal_value, len(FORMS) - 1)]
    grid = tiles.Tile(p.dtype, 1, lines * columns, lines)
    return tiles.Shape(grid)(p, number), lambda context, b, sig, args: context.get_dummy_value()


@inlined
def _add_columns(acc, x, w, x_at, w_at, lines, taps, phase):
    """Add the products of some columns of taps, `neighbours`, to a patch, line by line."""
    x_tap, w_tap = opaque(x_at), opaque(w_at)
    for _ in range(lines):
        acc = line_add(
            acc, w, w_tap, phase[PHASE.w_tap_w], x, x_tap, phase[PHASE.x_line], phase[PHASE.x_step], taps
        )
        x_tap += phase[PHASE.x_tap_h]
        w_tap += phase[PHASE.w_tap_h]
    return acc


@inlined
def _add_plane(acc, x, w, x_at, w_at, lines, phase):
    """Add the products of all taps of a plane to a patch: of a few columns of taps, then of the next few."""
    w_tap_w = phase[PHASE.w_tap_w]
    for _ in range(phase[PHASE.threes]):
        acc = _add_columns(acc, x, w, x_at, w_at, lines, neighbours(3, 1), phase)
        x_at, w_at = x_at + 3, w_at + 3 * w_tap_w
    for _ in range(phase[PHASE.twos]):
        acc = _add_columns(acc, x, w, x_at, w_at, lines, neighbours(2, 1), phase)
        x_at, w_at = x_at + 2, w_at + 2 * w_tap_w
    for _ in range(phase[PHASE.strided_threes]):
        acc = _add_columns(acc, x, w, x_at, w_at, lines, neighbours(3, 2), phase)
        x_at, w_at = x_at + 3, w_at + 3 * w_tap_w
    for _ in range(phase[PHASE.ones]):
        acc = _add_columns(acc, x, w, x_at, w_at, lines, neighbours(1, 0), phase)
        x_at, w_at = x_at + phase[PHASE.x_tap_w], w_at + w_tap_w
    return acc


@inlined
def _end_sum(acc, bias, gate, plane, target, y_at, g):
    """Add the bias to a patch of finished sums, and apply ReLU or the gate."""
    if g[DEPTHWISE.bias]:
        acc = tile_add_rows(acc, bias, plane, 1)
    if g[DEPTHWISE.ending] == RELU:
        acc = tile_relu(acc)
    elif g[DEPTHWISE.ending] == GATE:
        acc = tile_gate(acc, gate, target, 0, y_at)
    return acc


@internal
def _planes(form, x, w, bias, gate, y, first, last, phase, g):
    """Compute the sums of one phase for the groups `first` to before `last`, in patches of shape `form`."""
    inputs, outputs, at_once = g[DEPTHWISE.inputs], g[DEPTHWISE.outputs], g[DEPTHWISE.inputs_at_once]
    x_plane, w_plane, patch_count = g[DEPTHWISE.x_plane], g[DEPTHWISE.w_plane], phase[PHASE.patches]
    y_at = offsets(form, g, phase[PHASE.patches_at])
    patches = advance(g, phase[PHASE.patches_at] + offset_count(form))
    for group in range(first, last):
        for plane in range(group * outputs, group * outputs + outputs):
            for k in range(patch_count):
                patch, start = advance(patches, k * len(PATCH)), 0
                target, lines = plane * g[DEPTHWISE.y_plane] + patch[PATCH.y_at], patch[PATCH.lines]
                x_at = group * inputs * x_plane + patch[PATCH.x_at]
                w_at = plane * inputs * w_plane + patch[PATCH.w_at]
                while start < inputs:
                    acc, end = zeros(form), min(start + at_once, inputs)
                    for _ in range(start, end):
                        acc = _add_plane(acc, x, w, x_at, w_at, lines, phase)
                        x_at += x_plane
                        w_at += w_plane
                    if start > 0:
                        acc = tile_add_stored(acc, y, target, 0, y_at)
                    if end == inputs:
                        acc = _end_sum(acc, bias, gate, plane, target, y_at, g)
                    tile_store(acc, y, target, 0, y_at)
                    start = end


FIRST, SECOND, THIRD, FOURTH = True, True, True, True  # parts of `depthwise`: its forms


def _used_forms(g):
    """Which parts of `depthwise` a geometry uses."""
    phases = [g[PHASES_AT + number * len(PHASE) :] for number in range(g[DEPTHWISE.phases])]
    used = {min(phase[PHASE.form], 3) for phase in phases}
    return [form in used for form in range(4)]


@operation_in_parts(("FIRST", "SECOND", "THIRD", "FOURTH"), _used_forms, by_channel=True)
def depthwise(x, w, bias, gate, y, _, g, s):
    """y = bias + the sum of w * x over the taps, for each plane; then ReLU, or 0 where `gate` is not > 0."""
    begin, end = share(g[DEPTHWISE.groups], s)
    for first in range(begin, end, g[DEPTHWISE.groups_at_once]):
        last = min(first + g[DEPTHWISE.groups_at_once], end)
        for number in range(g[DEPTHWISE.phases]):
            phase = advance(g, PHASES_AT + number * len(PHASE))
            form = phase[PHASE.form]
            if FIRST and form == 0:
                _planes(_form(x, 0), x, w, bias, gate, y, first, last, phase, g)
            elif SECOND and form == 1:
                _planes(_form(x, 1), x, w, bias, gate, y, first, last, phase, g)
            elif THIRD and form == 2:
                _planes(_form(x, 2), x, w, bias, gate, y, first, last, phase, g)
            elif FOURTH:
                _planes(_form(x, 3), x, w, bias, gate, y, first, last, phase, g)
