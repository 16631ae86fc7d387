"""Transposed convolutions of few samples, with their channels in the lanes, and input gradients.

Outputs whose lines and columns leave the same rest when divided by the stride, a phase, are sums over the
same taps: an ordinary convolution of x, whose results lie so far apart in y. A phase may have no taps.
"""

import itertools
import math
from typing import Any, NamedTuple

import numpy as np

from ...kernels.lanes import channels, conv
from .channels import in_tiles, packed_numbers


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


class Transposed(NamedTuple):
    """A convolution that goes back from x to y, of so many channels each."""

    lowering: Any  # of the layer whose weight it is: [channels][outputs][kernel]
    channels: int
    outputs: int
    size: tuple[int, int]  # of y
    padding: tuple[int, int]  # before its first element

    @property
    def layer(self):
        return self.lowering.layer

    def phases(self):
        """For each phase: the names of its weights, and its outputs down and across."""
        strides = (range(min(s, n)) for s, n in zip(self.layer.stride, self.size, strict=True))
        for phase in itertools.product(*strides):
            directions = (
                _direction(self.layer, axis, self.size[axis], self.padding[axis], phase[axis])
                for axis in (0, 1)
            )
            yield f"back_{phase[0]}_{phase[1]}", *directions


def emit_transposed(back, x, y, ending, bias=None):
    """Emit y from x, phase by phase; `bias` is packed."""
    for name, down, across in back.phases():
        _emit_phase(back, (x, bias, y), down, across, name, ending)


def _emit_phase(back, operands, down, across, name, ending):
    """Emit the outputs of a phase."""
    lowering, (x, bias, y) = back.lowering, operands
    lanes, c = lowering.plan.lanes, np.arange(back.channels)
    reach = (down.reach[:, None] * x.row + across.reach).ravel()
    taps = (c // lanes * x.samples * x.plane)[:, None] + reach
    taps = (taps * lanes + (c % lanes)[:, None]).ravel()
    x_at, y_at = _places(down, across, x, y)
    table = _weights(back, down.taps, across.taps)
    packed = packed_numbers(
        lowering, lowering.parameter("weight"), in_tiles(table, len(x_at) * y.samples), name
    )
    part = max(1, conv.channels_at_once(len(reach)) * len(reach))
    images = y.samples, x.sample_distance(lanes), y.plane
    g = channels.sums_geometry(
        taps, part, x_at * lanes, y_at, len(table), y.plane * y.samples, images, ending, int(bias is not None)
    )
    lowering.plan.emit(channels.contract_channels, [x, packed, bias, y], g)


def _places(down, across, x, y):
    """At which vectors of x and y the outputs of a phase lie."""
    i, j = (index.ravel() for index in np.indices((len(down.outputs), len(across.outputs))))
    return i * x.row + j, down.outputs[i] * y.row + across.outputs[j]


def _weights(back, down, across):
    """Where in the weight [channels][outputs][kernel] those of some taps lie: [vectors][lanes][taps]."""
    outputs, lanes, kernel = back.outputs, back.lowering.plan.lanes, back.layer.kernel_size
    o = np.arange(-(-outputs // lanes) * lanes)[:, None, None]
    c, tap = np.arange(back.channels)[:, None], (down[:, None] * kernel[1] + across).ravel()
    table = np.where(o < outputs, (c * outputs + o) * math.prod(kernel) + tap, -1)
    return table.reshape(len(o) // lanes, lanes, back.channels * len(tap))


def emit_transposed_depthwise(back, x, y):
    """Emit y from x, as `emit_transposed`, where each channel is a sum over its own alone."""
    lowering, lanes = back.lowering, back.lowering.plan.lanes
    blocks, kernel = -(-back.outputs // lanes), back.layer.kernel_size
    c = np.arange(blocks * lanes).reshape(blocks, 1, lanes)
    for name, down, across in back.phases():
        reach = (down.reach[:, None] * x.row + across.reach).ravel()
        tap = (down.taps[:, None] * kernel[1] + across.taps).ravel()
        table = np.where(c < back.outputs, c * math.prod(kernel) + tap[:, None], -1)
        packed = packed_numbers(lowering, lowering.parameter("weight"), table.ravel(), name)
        images = y.samples, x.plane, y.plane
        g = channels.depthwise_geometry(reach, *_places(down, across, x, y), blocks, images, conv.PLAIN, 0)
        lowering.plan.emit(channels.depthwise_channels, [x, packed, None, y], g)
