"""The geometry of `depthwise`: phases, taps and patches, for every shape.

As in conv_geometry.py, distances are those of planes in halos of zeros, and the functions run when a network
is planned or inside a user's @njit code. What they know of a phase stands in two rows of a table `axes`, the
one down and the one across: named tuples, passed from function to function, take Numba twice as long.
"""

from typing import NamedTuple

import numpy as np

from ...simd import VECTOR_BYTES
from ...simd.compiling import compiled
from .conv import channels_at_once
from .depthwise import DEPTHWISE, FORMS, PATCH, PHASE, PHASES_AT
from .operation import offsets_of

CACHE_BYTES = 24 * 1024  # of planes that go through all phases together: half of a first-level cache, or more


class Axis(NamedTuple):
    """One direction of a phase, a row of `axes`.

    Position i and tap k meet in the source at start + i * stride + k * tap_stride, or in the padding unless
    that is from 0 to size - 1. Their product is with weight w_first + k * w_step, and goes to position
    y_first + i * y_step.
    """

    positions: int
    start: int
    stride: int
    size: int
    taps: int
    tap_stride: int
    w_first: int
    w_step: int
    y_first: int
    y_step: int


AXIS = offsets_of(Axis)


@compiled
def _patches(form, height, width):
    """How positions are cut in patches of a form: (patches, pieces that each line is cut in).

    Pieces of a line are the lines of a patch; of a line in one piece, patches take several. 0 patches: the
    form does not fit.
    """
    lines, columns = FORMS[form]
    patches, pieces = np.int64(0), np.int64(1)
    if height >= lines and width >= columns:
        patches = (height + lines - 1) // lines * ((width + columns - 1) // columns)
    longest = width - (lines - 1) * (width // lines)
    cut = height * ((longest + columns - 1) // columns)
    if longest >= columns and width >= lines and (patches == 0 or cut < patches):
        patches, pieces = cut, np.int64(lines)
    return patches, pieces


@compiled
def _choose_form(height, width):
    """The form whose patches make the fewest products: (its number, patches, pieces of a line)."""
    chosen, least = (np.int64(0), np.int64(0), np.int64(1)), np.int64(-1)
    for form in range(len(FORMS)):
        patches, pieces = _patches(form, height, width)
        # To begin and to end a patch takes as long as 3 products at each of its positions.
        cost = patches * (FORMS[form][0] * FORMS[form][1] + 3)
        if patches > 0 and (least < 0 or cost < least):
            chosen, least = (np.int64(form), patches, pieces), cost
    return chosen


@compiled
def _set_taps(g, phase, taps, stride, dilation):
    """Fill in how the taps of a line are taken: several at once, where neighbours are."""
    threes = taps // 3 if dilation == 1 and stride == 1 else 0
    strided = taps // 3 if dilation == 1 and stride == 2 else 0
    left = taps - 3 * (threes + strided)
    twos = left // 2 if dilation == 1 and stride == 1 else 0
    g[phase + PHASE.threes], g[phase + PHASE.strided_threes], g[phase + PHASE.twos] = threes, strided, twos
    g[phase + PHASE.ones] = left - 2 * twos


def tap_order(kernel, stride, dilation):
    """The taps of a kernel in the order of a forward pass's sums: of a few columns, line by line."""
    g = np.zeros(PHASES_AT + len(PHASE), np.int64)
    _set_taps(g, PHASES_AT, kernel[1], stride, dilation)
    phase = g[PHASES_AT:]
    at_once = [3] * (phase[PHASE.threes] + phase[PHASE.strided_threes])
    at_once += [2] * phase[PHASE.twos] + [1] * phase[PHASE.ones]
    numbers, order, first = np.arange(kernel[0] * kernel[1]).reshape(kernel), [], 0
    for columns in at_once:
        order += numbers[:, first : first + columns].ravel().tolist()
        first += columns
    return np.array(order)


@compiled
def _write_phase(g, phase, axes, row, cut, kernel_w, x_line, y_line):
    """Fill in the phase at g[phase], whose table lies at g[patches_at]; rows `row` and on of `axes` are its.

    `cut` is what `_choose_form` says.
    """
    form, patches, pieces = cut
    lines, columns = FORMS[form]
    height, width = axes[row, AXIS.positions], axes[row + 1, AXIS.positions]
    step, y_step, piece = axes[row + 1, AXIS.stride], axes[row + 1, AXIS.y_step], width // pieces
    g[phase + PHASE.form], g[phase + PHASE.patches] = form, patches
    g[phase + PHASE.w_tap_h], g[phase + PHASE.w_tap_w] = (
        axes[row, AXIS.w_step] * kernel_w,
        axes[row + 1, AXIS.w_step],
    )
    g[phase + PHASE.x_tap_h] = axes[row, AXIS.tap_stride] * x_line
    g[phase + PHASE.x_tap_w], g[phase + PHASE.x_step] = axes[row + 1, AXIS.tap_stride], step
    g[phase + PHASE.x_line] = axes[row, AXIS.stride] * x_line if pieces == 1 else piece * step
    _set_taps(g, phase, axes[row + 1, AXIS.taps], step, axes[row + 1, AXIS.tap_stride])
    at, apart = (
        g[phase + PHASE.patches_at],
        axes[row, AXIS.y_step] * y_line if pieces == 1 else piece * y_step,
    )
    if lines > 1:
        for k in range(lines):
            g[at + k] = k * apart
        at += lines
    for k in range(columns):
        g[at + k] = k * y_step
    at += columns
    lines_down, longest = lines if pieces == 1 else 1, width - (pieces - 1) * piece
    for number in range(patches):
        across = (longest + columns - 1) // columns
        i = min(number // across * lines_down, height - lines_down)
        j = min(number % across * columns, longest - columns)
        _write_patch(g, at + number * len(PATCH), i, j, lines_down, axes, row, kernel_w, x_line, y_line)


@compiled
def _write_patch(g, at, i, j, lines, axes, row, kernel_w, x_line, y_line):
    """Write a patch of so many lines, whose first position is (i, j), to g[at] and on."""
    top, tap_stride = axes[row, AXIS.start] + i * axes[row, AXIS.stride], axes[row, AXIS.tap_stride]
    bottom = top + (lines - 1) * axes[row, AXIS.stride]
    first, last = 0, axes[row, AXIS.taps] if axes[row + 1, AXIS.taps] > 0 else 0
    while first < last and bottom + first * tap_stride < 0:
        first += 1
    while first < last and top + (last - 1) * tap_stride >= axes[row, AXIS.size]:
        last -= 1
    x_place = axes[row + 1, AXIS.start] + j * axes[row + 1, AXIS.stride]
    y_place = axes[row + 1, AXIS.y_first] + j * axes[row + 1, AXIS.y_step]
    g[at + PATCH.x_at] = (top + first * tap_stride) * x_line + x_place
    w_line = axes[row, AXIS.w_first] + first * axes[row, AXIS.w_step]
    g[at + PATCH.w_at] = w_line * kernel_w + axes[row + 1, AXIS.w_first]
    g[at + PATCH.y_at] = (axes[row, AXIS.y_first] + i * axes[row, AXIS.y_step]) * y_line + y_place
    g[at + PATCH.lines] = last - first


@compiled
def _depthwise(axes, groups, inputs, outputs, kernel, x_distances, y_distances, has_bias, ending):
    """Make a geometry of `depthwise` for the phases whose axes these are."""
    phases = len(axes) // 2
    cuts = [_choose_form(axes[2 * k, AXIS.positions], axes[2 * k + 1, AXIS.positions]) for k in range(phases)]
    length = PHASES_AT + phases * len(PHASE)
    for form, patches, _ in cuts:
        length += FORMS[form][0] + FORMS[form][1] + patches * len(PATCH)
    g, at = np.zeros(length, np.int64), PHASES_AT + phases * len(PHASE)
    g[DEPTHWISE.groups], g[DEPTHWISE.inputs], g[DEPTHWISE.outputs] = groups, inputs, outputs
    g[DEPTHWISE.inputs_at_once] = channels_at_once(kernel[0] * kernel[1])
    size = (inputs * x_distances[0] + outputs * y_distances[0]) * VECTOR_BYTES
    g[DEPTHWISE.groups_at_once] = groups if phases == 1 else max(1, CACHE_BYTES // max(1, size))
    g[DEPTHWISE.x_plane], g[DEPTHWISE.y_plane] = x_distances[0], y_distances[0]
    g[DEPTHWISE.w_plane], g[DEPTHWISE.phases] = kernel[0] * kernel[1], phases
    g[DEPTHWISE.bias], g[DEPTHWISE.ending] = has_bias, ending
    for k in range(phases):
        phase, (form, patches, _) = PHASES_AT + k * len(PHASE), cuts[k]
        g[phase + PHASE.patches_at] = at
        _write_phase(g, phase, axes, 2 * k, cuts[k], kernel[1], x_distances[1], y_distances[1])
        at += FORMS[form][0] + FORMS[form][1] + patches * len(PATCH)
    return g


@compiled
def depthwise_forward(
    channels, out_channels, kernel, in_size, out_size, stride, padding, dilation, groups,
    x_distances, y_distances, has_bias, ending,
):  # fmt: skip
    """Make the geometry of `depthwise` for a convolution, y from x; arguments as of `conv_forward`."""
    axes = np.zeros((2, len(AXIS)), np.int64)
    for k in range(2):
        axes[k, AXIS.positions], axes[k, AXIS.start], axes[k, AXIS.stride] = (
            out_size[k],
            -padding[k],
            stride[k],
        )
        axes[k, AXIS.size], axes[k, AXIS.taps], axes[k, AXIS.tap_stride] = in_size[k], kernel[k], dilation[k]
        axes[k, AXIS.w_step], axes[k, AXIS.y_step] = 1, 1
    inputs, outputs = channels // groups, out_channels // groups
    return _depthwise(axes, groups, inputs, outputs, kernel, x_distances, y_distances, has_bias, ending)


@compiled
def depthwise_grad_input(
    channels, out_channels, kernel, in_size, out_size, stride, padding, dilation, groups,
    dx_distances, dy_distances, has_bias, ending,
):  # fmt: skip
    """Make the geometry of `depthwise` for dx from dy, all phases; arguments as of `conv_grad_input`."""
    across = min(stride[1], in_size[1])
    axes = np.zeros((2 * min(stride[0], in_size[0]) * across, len(AXIS)), np.int64)
    for row in range(len(axes)):
        k = row % 2
        phase = row // 2 % across if k == 1 else row // 2 // across
        _set_input_axis(
            axes, row, phase, in_size[k], out_size[k], kernel[k], stride[k], padding[k], dilation[k]
        )
    inputs, outputs = out_channels // groups, channels // groups
    return _depthwise(axes, groups, inputs, outputs, kernel, dy_distances, dx_distances, has_bias, ending)


@compiled
def _set_input_axis(axes, row, phase, in_size, out_size, kernel, stride, padding, dilation):
    """Fill in one direction of the input gradient at positions phase, phase + stride, ...

    Tap k reaches input position h from output position (h + padding - k * dilation) / stride, where that is
    whole: which taps these are depends on the phase alone. Here the last of them comes first.
    """
    every, last, taps = 1, 0, 0
    while every * dilation % stride != 0:
        every += 1
    for k in range(kernel):
        if (phase + padding - k * dilation) % stride == 0:
            last, taps = k, taps + 1
    axes[row, AXIS.positions] = max(0, (in_size - phase + stride - 1) // stride)
    axes[row, AXIS.start] = (phase + padding - last * dilation) // stride
    axes[row, AXIS.stride], axes[row, AXIS.size], axes[row, AXIS.taps] = 1, out_size, taps
    axes[row, AXIS.tap_stride] = every * dilation // stride
    axes[row, AXIS.w_first], axes[row, AXIS.w_step] = last, -every
    axes[row, AXIS.y_first], axes[row, AXIS.y_step] = phase, stride
