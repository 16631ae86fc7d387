"""Convolutions and dense layers of few samples as operations of a plan: their channels lie in the lanes."""

import math
from dataclasses import replace

import numpy as np

from ...kernels.lanes import channels, conv, depthwise, depthwise_geometry, single_sample
from ..memory import Rows

PACKED = 3  # products in the time that it takes to pack a number of a weight, for both passes


def ending_of(relu):
    """What becomes of the sums of a forward pass."""
    return conv.RELU if relu else conv.PLAIN


def emit_dense(layer, x, y, relu, part):
    """Emit a dense layer, a sum over all features of x at one position."""
    nowhere, outputs = np.zeros(1, np.int64), layer.output_shape[0]
    packed = _pack(layer, outputs, math.prod(x.image), y.samples, layer.parameter("bias"))
    taps = x.scalar_table(layer.plan.lanes)
    _emit_sums(layer.plan, x, y, packed, ending_of(relu), taps, (nowhere, nowhere), part)


class Windows:
    """Where the taps and the positions of a convolution lie in the planes x and y of few samples.

    Windows begin `padding` before the first element of x. Forward, that is the layer's own convolution; of a
    transposed one, x is the gradient of what it made, and y of what it read.
    """

    def __init__(self, lowering, x, y, padding):
        self.lowering, self.layer, self.x, self.y = lowering, lowering.layer, x, y
        self.plan, self.padding = lowering.plan, padding
        self.channels, self.outputs = x.image[0], y.image[0]
        self.taps = math.prod(self.layer.kernel_size)  # of a channel
        self.order = self._order()
        self.scalars = x.element_bytes == self.plan.dtype.itemsize

    def positions(self, unit):
        """Where each position lies, in x in so many scalars for an element, and in y in vectors."""
        layer, x, y = self.layer, self.x, self.y
        i, j = (index.ravel() for index in np.indices((y.height, y.width)))
        line, place = (
            index * stride - padding
            for index, stride, padding in zip((i, j), layer.stride, self.padding, strict=True)
        )
        return (line * x.row + place) * unit, i * y.row + j

    def _order(self):
        """The taps of a channel in the order of the sums of a block, which makes the same bits."""
        layer = self.layer
        if depthwise.takes(layer.groups, self.channels, self.outputs):
            return depthwise_geometry.tap_order(layer.kernel_size, layer.stride[1], layer.dilation[1])
        return np.arange(self.taps)

    def window(self):
        """At which element each tap lies from the first one on, in their order."""
        kh, kw = (index.ravel()[self.order] for index in np.indices(self.layer.kernel_size))
        return kh * self.layer.dilation[0] * self.x.row + kw * self.layer.dilation[1]

    def emit(self, relu):
        """Emit what the layer makes of x, y."""
        if self.layer.groups == 1:
            self.emit_sums(ending_of(relu), self.lowering.parameter("bias"))
        elif self.layer.groups == self.channels == self.outputs:
            self._emit_depthwise(relu)
        else:
            self._emit_groups(relu)

    def emit_sums(self, ending, bias=None):
        """Emit y from x, without groups."""
        taps, places = self.scalars_of(range(self.channels)), self._places()
        part = conv.channels_at_once(self.taps) * self.taps
        packed = _pack(self.lowering, self.outputs, len(taps), len(places[0]) * self.y.samples, bias)
        _emit_sums(self.plan, self.x, self.y, packed, ending, taps, places, part)

    def _places(self):
        return self.positions(1 if self.scalars else self.plan.lanes)

    def scalars_of(self, wanted):
        """At which scalar the taps of these channels lie."""
        x, lanes, c = self.x, self.plan.lanes, np.array(wanted)[:, None]
        if self.scalars:
            return (c * x.plane + self.window()).ravel()
        return ((c // lanes * x.samples * x.plane + self.window()) * lanes + c % lanes).ravel()

    def _emit_depthwise(self, relu):
        lowering, x, y = self.lowering, self.x, self.y
        blocks = -(-self.outputs // self.plan.lanes)
        output = np.arange(blocks * self.plan.lanes).reshape(blocks, 1, -1)
        table = np.where(output < self.outputs, output * self.taps + self.order[None, :, None], -1)
        packed = packed_numbers(lowering, lowering.parameter("weight"), table.ravel(), "weight")
        bias = packed_bias(self.lowering, 0, blocks)
        g = channels.depthwise_geometry(
            self.window(),
            *self.positions(1),
            blocks,
            (y.samples, x.plane, y.plane),
            ending_of(relu),
            int(bias is not None),
        )
        self.plan.emit(channels.depthwise_channels, [x, packed, bias, y], g)

    def _emit_groups(self, relu):
        """Emit an operation for each tile of outputs: with the channels of all its groups as taps.

        Weights of other groups' channels are zeros. As many vectors of outputs share a tile as make the
        fewest products.
        """
        vectors = -(-self.outputs // self.plan.lanes)
        tiles = {
            width: [(first, min(first + width, vectors)) for first in range(0, vectors, width)]
            for width in (channels.WIDE, 2, 1)
        }
        best = min(
            tiles.values(), key=lambda runs: sum((b - a) * len(self._channels_of(a, b)) for a, b in runs)
        )
        for first, last in best:
            self._emit_group(first, last, relu)

    def _channels_of(self, first, last):
        """The channels that vectors of outputs from `first` to before `last` are sums over."""
        lanes, (outputs, size) = self.plan.lanes, self._of_a_group()
        end = min(last * lanes, self.outputs) - 1
        return range(first * lanes // outputs * size, (end // outputs + 1) * size)

    def _of_a_group(self):
        """How many outputs and channels a group has."""
        return self.outputs // self.layer.groups, self.channels // self.layer.groups

    def _emit_group(self, first, last, relu):
        lowering, plan, x, y = self.lowering, self.plan, self.x, self.y
        wanted, places = self._channels_of(first, last), self._places()
        table = self._packed_from(first, last, wanted, len(places[0]) * y.samples)
        packed = packed_numbers(lowering, lowering.parameter("weight"), table, f"weight_{first}")
        bias = packed_bias(self.lowering, first, last)
        part = conv.channels_at_once(self.taps) * self.taps
        taps, images = self.scalars_of(wanted), _images(x, y, plan.lanes)
        y_block, ending, has_bias = y.plane * y.samples, ending_of(relu), int(bias is not None)
        g = channels.sums_geometry(taps, part, *places, last - first, y_block, images, ending, has_bias)
        target = replace(y, first_channel=y.first_channel + first * y.samples)
        plan.emit(channels.contract_channels, [x, packed, bias, target], g)

    def _packed_from(self, first, last, wanted, positions):
        """Where in the weight each packed number of these vectors of outputs comes from, -1 for zeros."""
        lanes, (outputs, size) = self.plan.lanes, self._of_a_group()
        o = np.arange(first * lanes, last * lanes)[:, None, None]
        c = np.array(wanted)[:, None] - o // outputs * size  # in the group of the output
        inside = (c >= 0) & (c < size) & (o < self.outputs)
        table = np.where(inside, (o * size + c) * self.taps + self.order, -1)
        return in_tiles(table.reshape(last - first, lanes, -1), positions)


def packed_numbers(lowering, numbers, table, name):
    """Emit the packing of the numbers that a table names; returns where they lie."""
    packed = lowering.plan.rows(table.size, label=f"packed{lowering.number}_{name}")
    by_vectors = channels.pack_vectors_geometry(table, lowering.plan.lanes)
    if by_vectors is not None:
        lowering.emitter.prepare(channels.pack_vectors, [numbers, packed], by_vectors)
    else:
        lowering.emitter.prepare(channels.pack_from, [numbers, packed], channels.pack_from_geometry(table))
    return packed


def packed_bias(lowering, first, last):
    """The biases of vectors of outputs from `first` to before `last`, or None."""
    bias, lanes = lowering.parameter("bias"), lowering.plan.lanes
    if bias is None:
        return None
    table = channel_vectors((bias.count, 1, 1), lanes)[first * lanes : last * lanes]
    return packed_numbers(lowering, bias, table, f"bias_{first}")


def channel_vectors(image, lanes):
    """Which elements of an image [channels][height][width] lie in vectors of channels, -1 for no channel."""
    channel_count, height, width = image
    c = np.arange(-(-channel_count // lanes) * lanes).reshape(-1, 1, lanes)
    place = np.arange(height * width)[:, None]
    return np.where(c < channel_count, c * height * width + place, -1).ravel()


def in_tiles(table, positions):
    """A table [vectors of outputs][lanes][taps] in the order of the sums at so many positions."""
    parts = [
        table[at : at + width].transpose(2, 0, 1).ravel()
        for begin, end, width, _ in channels.widths(len(table), positions)
        for at in range(begin, end, width)
    ]
    return np.concatenate(parts)


def _images(x, y, lanes):
    return y.samples, x.sample_distance(lanes), y.plane


def _emit_sums(plan, x, y, packed, ending, taps, places, part):
    """Emit y, sums over the scalars of x where `taps` are at the `places` of positions in x and in y."""
    weight, bias = packed
    blocks, images = -(-y.image[0] // plan.lanes), _images(x, y, plan.lanes)
    g = channels.sums_geometry(
        taps, part, *places, blocks, y.plane * y.samples, images, ending, int(bias is not None)
    )
    plan.emit(channels.contract_channels, [x, weight, bias, y], g)


def _pack(lowering, outputs, taps, positions, bias):
    """The weight and the bias, or None, in the order of the sums at so many positions."""
    plan, weight = lowering.plan, lowering.parameter("weight")
    blocks = -(-outputs // plan.lanes)
    packed, packed_bias = (
        plan.rows(blocks * n * plan.lanes, label=f"packed_{name}{lowering.number}")
        for name, n in (("weight", taps), ("bias", 1))
    )
    g = channels.pack_geometry(outputs, taps, int(bias is not None), plan.lanes, positions)
    lowering.emitter.prepare(channels.pack_weights, [weight, packed, bias, packed_bias], g)
    return packed, None if bias is None else packed_bias


def emit_positions(lowering, x, y, relu):
    """Emit a first layer of few channels, with positions in the lanes, one sample after the other.

    The first position's window begins in the corner of the halo, where the storage does.
    """
    plan, layer = lowering.plan, lowering.layer
    weight, bias = lowering.parameter("weight"), lowering.parameter("bias")
    outputs = lowering.output_shape[0]
    vectors = -(-((y.height - 1) * x.row + y.width) // plan.lanes)
    plane = vectors + single_sample.OVERRUN
    positions = plan.rows(outputs * plane * plan.lanes, "thread", f"positions{lowering.number}")
    g = single_sample.contract_positions_geometry(
        x, outputs, vectors, lowering.channels, layer.kernel_size, layer.dilation, plane, ending_of(relu),
        int(bias is not None),
    )  # fmt: skip
    back = single_sample.positions_to_channels_geometry(outputs, plane * plan.lanes, x.row, y)
    for sample in range(y.samples):
        first = sample * x.sample_distance(plan.lanes) * plan.dtype.itemsize
        source = Rows(x.storage, first_byte=first, label=x.label)
        plan.emit(single_sample.contract_positions, [source, weight, bias, positions], g)
        target = replace(y, first_channel=sample)
        plan.emit(single_sample.positions_to_channels, [positions, target], back)
