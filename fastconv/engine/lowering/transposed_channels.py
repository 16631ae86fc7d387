"""Transposed convolutions of few samples, with their channels in the lanes.

Outputs whose lines and columns leave the same rest when divided by the stride, a phase, are sums over the
same taps: an ordinary convolution of x, whose results lie so far apart in y. A phase may have no taps.
"""

import itertools
import math
from typing import NamedTuple

import numpy as np

from ...kernels.lanes import channels, conv
from .channels import ending_of, in_tiles, packed_bias, packed_numbers


class Direction(NamedTuple):
    """The outputs of a phase in one direction, and what they are sums over."""

    outputs: np.ndarray  # where they lie
    taps: np.ndarray
    reach: np.ndarray  # where each tap lies in x, from the first output's place 0 on; the others follow


def _direction(layer, axis, out_size, padding, phase):
    """The outputs phase, phase + stride, ...

    Tap k reaches output h from (h + padding - k * dilation) / stride, where that is whole.
    """
    stride, taps = layer.stride[axis], np.arange(layer.kernel_size[axis])
    distance = phase + padding - taps * layer.dilation[axis]
    meets = distance % stride == 0
    return Direction(np.arange(phase, out_size, stride), taps[meets], distance[meets] // stride)


def emit_transposed(lowering, x, y, relu):
    """Emit y from x, phase by phase."""
    layer = lowering.layer
    bias = packed_bias(lowering, 0, -(-layer.out_channels // lowering.plan.lanes))
    phases = itertools.product(
        *(range(min(s, n)) for s, n in zip(layer.stride, lowering.sizes[0], strict=True))
    )
    for phase in phases:
        down, across = (
            _direction(layer, axis, lowering.sizes[0][axis], lowering.first[axis], phase[axis])
            for axis in (0, 1)
        )
        _emit_phase(lowering, (x, bias, y), down, across, f"weight_{phase[0]}_{phase[1]}", ending_of(relu))


def _emit_phase(lowering, operands, down, across, name, ending):
    """Emit the outputs of a phase."""
    plan, (x, bias, y) = lowering.plan, operands
    lanes, c = plan.lanes, np.arange(lowering.input_shape[0])
    reach = (down.reach[:, None] * x.row + across.reach).ravel()
    taps = (c // lanes * x.samples * x.plane)[:, None] + reach
    taps = (taps * lanes + (c % lanes)[:, None]).ravel()
    i, j = (index.ravel() for index in np.indices((len(down.outputs), len(across.outputs))))
    x_at, y_at = (i * x.row + j) * lanes, down.outputs[i] * y.row + across.outputs[j]
    table = _weights(lowering, down.taps, across.taps)
    packed = packed_numbers(
        lowering, lowering.parameter("weight"), in_tiles(table, len(x_at) * y.samples), name
    )
    part = max(1, conv.channels_at_once(len(reach)) * len(reach))
    images = y.samples, x.sample_distance(lanes), y.plane
    g = channels.sums_geometry(
        taps, part, x_at, y_at, len(table), y.plane * y.samples, images, ending, int(bias is not None)
    )
    plan.emit(channels.contract_channels, [x, packed, bias, y], g)


def _weights(lowering, down, across):
    """Where in the weight [channels][outputs][kernel] those of some taps lie: [vectors][lanes][taps]."""
    outputs, (channel_count, _, _) = lowering.output_shape[0], lowering.input_shape
    kernel, lanes = lowering.layer.kernel_size, lowering.plan.lanes
    o = np.arange(-(-outputs // lanes) * lanes)[:, None, None]
    c, tap = np.arange(channel_count)[:, None], (down[:, None] * kernel[1] + across).ravel()
    table = np.where(o < outputs, (c * outputs + o) * math.prod(kernel) + tap, -1)
    return table.reshape(len(o) // lanes, lanes, channel_count * len(tap))
