"""Convolutions as operations of a plan."""

import math

from ...kernels.lanes import conv, conv_geometry
from ...nn.conv import Conv2d
from .base import WeightedLowering
from .channels import Windows, emit_positions, ending_of


class Conv2dLowering(WeightedLowering, layer=Conv2d):
    folds = True

    def __init__(self, *args):
        super().__init__(*args)
        (self.top, self.bottom), (self.left, self.right) = self.layer.pads(self.input_shape)
        self.channels, *self.in_size = self.input_shape
        self.out_size = self.output_shape[1:]

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

    def forward(self, x, y, relu):
        if self.emitter.few:
            if self._takes_positions():
                emit_positions(self, x, y, relu)
            else:
                Windows(self, x, y).emit(relu)
            return
        ending, bias = ending_of(relu), self.parameter("bias")
        g = conv_geometry.conv_forward(
            *self._shape(), *self._sizes(), *self._windows(), x.steps, y.steps, int(bias is not None), ending
        )
        self.plan.emit(conv.contract, [x, self.parameter("weight"), bias, None, y], g)

    @property
    def reads_scalars(self):
        """Whether x may be planes of scalars: the sums are not those of depthwise vectors."""
        return not 1 < self.layer.groups == self.channels == self.layer.out_channels

    def _takes_positions(self):
        """Whether the first layer is better off with positions in the lanes: its channels fill too few."""
        layer, channels, lanes = self.layer, self.output_shape[0], self.plan.lanes
        in_one_part = self.channels <= conv.channels_at_once(math.prod(layer.kernel_size))
        fits = layer.stride == (1, 1) and layer.groups == 1 and in_one_part and self.out_size != (1, 1)
        return self.reads_input_alone and fits and channels / (-(-channels // lanes) * lanes) <= 0.75

    def backward(self, x, y, dy, dx, gate):
        if self.trains:
            g = conv_geometry.conv_grad_weight(
                *self._shape(), self.out_size, *self._windows(), x.steps, dy.steps, int(self.layer.bias)
            )
            self.plan.emit(conv.contract_grad_weight, [x, dy, self.sums_of_blocks()], g)
        if dx is not None:
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
