"""Convolutions as operations of a plan."""

import math

import numpy as np

from ...kernels.lanes import conv, conv_geometry, single_sample
from ...nn.conv import Conv2d
from ..plan import Rows
from .base import WeightedLowering, ending_of
from .winograd import Winograd


class Conv2dLowering(WeightedLowering, layer=Conv2d):
    def __init__(self, *args):
        super().__init__(*args)
        (self.top, self.bottom), (self.left, self.right) = self.layer.pads(self.input_shape)
        self.channels, *self.in_size = self.input_shape
        self.out_size = self.output_shape[1:]
        self.winograd = Winograd(self)

    @classmethod
    def takes_single_sample(cls, layer):
        return layer.groups == 1

    def input_halo(self):
        ends = [
            (out - 1) * stride + (kernel - 1) * dilation + 1 - size - first
            for out, stride, kernel, dilation, size, first in zip(
                self.out_size, self.layer.stride, self.layer.kernel_size, self.layer.dilation, self.in_size,
                (self.top, self.left), strict=True,
            )
        ]  # fmt: skip
        return self.top, max(0, ends[0]), self.left, max(0, ends[1])

    def gradient_halo(self):
        if not self.emitter.needs_gradient(self.inputs[0]):
            return (0, 0, 0, 0)
        layer = self.layer
        return conv_geometry.grad_input_halo(
            layer.kernel_size,
            *self._sizes(),
            layer.stride,
            (self.top, self.left),
            layer.dilation,
        )

    def _shape(self):
        layer = self.layer
        return self.channels, layer.out_channels, layer.kernel_size

    def _sizes(self):
        return tuple(self.in_size), tuple(self.out_size)

    def _windows(self):
        layer = self.layer
        return layer.stride, (self.top, self.left), layer.dilation, layer.groups

    def prepare(self):
        self.winograd.prepare(self)

    def forward(self, x, y, relu):
        if self.emitter.single:
            self._forward_single(x, y, relu)
            return
        if self.winograd.forward:
            self.winograd.emit_forward(self, x, y, ending_of(relu))
            return
        ending = ending_of(relu)
        g = conv_geometry.conv_forward(
            *self._shape(), *self._sizes(), *self._windows(), x.steps, y.steps, int(self.layer.bias), ending
        )
        self.plan.emit(conv.contract, [x, self.parameter("weight"), self.parameter("bias"), None, y], g)

    def _forward_single(self, x, y, relu):
        if self.reads_positions:
            self._forward_positions(x, y, relu)
        elif self.out_size == (1, 1):
            at_once = self._channels_at_once() * math.prod(self.layer.kernel_size)
            self.forward_one_position(x, y, relu, self._taps(x), at_once)
        else:
            self._forward_channels(x, y, relu)

    @property
    def reads_positions(self):
        """Whether the first layer is better off with positions in the lanes: its channels fill too few."""
        channels, lanes = self.output_shape[0], self.plan.lanes
        fits = self.layer.stride == (1, 1) and self.channels <= self._channels_at_once()
        fill = channels / (-(-channels // lanes) * lanes)
        return self.reads_input_alone and fits and self.out_size != (1, 1) and fill <= 0.75

    def _channels_at_once(self):
        return conv.channels_at_once(math.prod(self.layer.kernel_size))

    def _taps(self, x):
        """At which scalar of the channels x each tap of the window at the first position lies."""
        layer, lanes = self.layer, self.plan.lanes
        c, kh, kw = (index.ravel() for index in np.indices((self.channels, *layer.kernel_size)))
        h, w = kh * layer.dilation[0] - self.top, kw * layer.dilation[1] - self.left
        return (c // lanes * x.plane + h * x.row + w) * lanes + c % lanes

    def _forward_channels(self, x, y, relu):
        plan, weight, bias = self.plan, self.parameter("weight"), self.parameter("bias")
        taps = weight.count // self.output_shape[0]
        packed, packed_bias = (
            plan.rows(y.channels * n * plan.lanes, "thread", f"packed_{name}{self.number}")
            for name, n in (("weight", taps), ("bias", 1))
        )
        has_bias = int(bias is not None)
        g = single_sample.PackWeightsGeometry(outputs=self.output_shape[0], taps=taps, bias=has_bias)
        plan.emit(single_sample.pack_weights, [weight, packed, bias, packed_bias], g)
        layer, padding = self.layer, (self.top, self.left)
        g = single_sample.contract_channels_geometry(
            x, self.channels, y, layer.kernel_size, layer.stride, padding, layer.dilation,
            plan.lanes, ending_of(relu), has_bias,
        )  # fmt: skip
        plan.emit(single_sample.contract_channels, [x, packed, packed_bias, y], g)

    def _forward_positions(self, x, y, relu):
        """The first position's window begins in the corner of the halo, where the storage does."""
        plan, layer, bias = self.plan, self.layer, self.parameter("bias")
        channels = self.output_shape[0]
        vectors = -(-((y.height - 1) * x.row + y.width) // plan.lanes)
        plane = vectors + single_sample.OVERRUN
        positions = plan.rows(channels * plane * plan.lanes, "thread", f"positions{self.number}")
        g = single_sample.contract_positions_geometry(
            x, channels, vectors, self.channels, layer.kernel_size, layer.dilation, plane,
            ending_of(relu), int(bias is not None),
        )  # fmt: skip
        operands = [Rows(x.storage, label=x.label), self.parameter("weight"), bias, positions]
        plan.emit(single_sample.contract_positions, operands, g)
        g = single_sample.positions_to_channels_geometry(channels, plane * plan.lanes, x.row, y)
        plan.emit(single_sample.positions_to_channels, [positions, y], g)

    def backward(self, x, y, dy, dx, gate):
        if self.winograd.weight_gradient:
            self.winograd.emit_weight_gradient(self, x, dy)
        elif self.trains:
            g = conv_geometry.conv_grad_weight(
                *self._shape(), self.out_size, *self._windows(), x.steps, dy.steps, int(self.layer.bias)
            )
            self.plan.emit(conv.contract_grad_weight, [x, dy, self.sums_of_blocks()], g)
        if dx is not None and self.winograd.input_gradient:
            self.winograd.emit_input_gradient(dy, dx, x if gate else None)
        elif dx is not None:
            self._input_gradient(dy, dx, self.parameter("weight"), x if gate else None)

    def _input_gradient(self, dy, dx, weight, gate):
        ending = conv.PLAIN if gate is None else conv.GATE
        rows, columns = map(min, self.layer.stride, self.in_size)  # from there on there are no positions
        for row in range(rows):
            for column in range(columns):
                g = conv_geometry.conv_grad_input(
                    *self._shape(),
                    *self._sizes(),
                    *self._windows(),
                    dx.steps,
                    dy.steps,
                    (row, column),
                    0,
                    ending,
                )
                self.plan.emit(conv.contract, [dy, weight, None, gate, dx], g)
