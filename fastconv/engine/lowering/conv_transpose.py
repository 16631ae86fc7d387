"""Transposed convolutions as operations of a plan."""

import math

from ...checks.padding import first_of
from ...kernels.lanes import conv, conv_grad_weight
from ...nn.conv_transpose import ConvTranspose2d
from . import conv_geometry
from .base import WeightedLowering
from .channels import PACKED, Windows, ending_of, packed_bias
from .channels_grad_weight import emit_channels_grad_bias, emit_channels_grad_weight
from .depthwise import emit_forward, emit_grad_input, emit_grad_weight
from .transposed_channels import Transposed, emit_transposed


class ConvTranspose2dLowering(WeightedLowering, layer=ConvTranspose2d):
    """The convolution that goes back from y to x: forward is its input gradient, and backward its forward."""

    def __init__(self, *args):
        super().__init__(*args)
        layer = self.layer
        self.back = self.output_shape[0], self.input_shape[0], layer.kernel_size
        self.sizes = self.output_shape[1:], self.input_shape[1:]
        self.first = first_of(layer.pads(self.input_shape))
        self.windows = layer.stride, self.first, layer.dilation, layer.groups

    @classmethod
    def takes_few_samples(cls, layer):
        return layer.groups == 1  # the weights of groups lie in two axes

    @classmethod
    def learns_from_few_samples(cls, layer, channels):
        return layer.groups == 1

    def step_cost(self):
        return 3 * self.cost()

    def packing_cost(self):
        return PACKED * self.emitter.parameter(f"{self.name}.weight").count

    @property
    def gates(self):
        return not self.few

    @property
    def folds(self):
        """Whether the outputs are an axis of the weight: those of groups lie in two."""
        return self.layer.groups == 1

    def weight_axes(self):
        return self.input_shape[0], self.output_shape[0], math.prod(self.layer.kernel_size)

    def input_halo(self):
        return conv_geometry.grad_input_halo(self.layer.kernel_size, *self.sizes, *self.windows[:3])

    def gradient_halo(self):
        if not self.emitter.training:
            return (0, 0, 0, 0)
        return conv_geometry.forward_halo(self.layer.kernel_size, *self.sizes, *self.windows[:3])

    def forward(self, x, y, relu):
        if self.few:
            bias = packed_bias(self, 0, -(-self.output_shape[0] // self.plan.lanes))
            back = Transposed(self, self.input_shape[0], self.output_shape[0], self.sizes[0], self.first)
            emit_transposed(back, x, y, ending_of(relu), bias)
            return
        weight, bias = self.parameter("weight"), self.parameter("bias")
        operands = [x, weight, bias, None, y]
        rest = y.steps, x.steps, int(bias is not None), ending_of(relu)
        emit_grad_input(self.plan, operands, self.back, self.sizes, self.windows, *rest)

    def backward(self, x, y, dy, dx, gate):
        if self.few:
            self._gradients_of_few(x, dy, dx)
            return
        if self.trains:
            self._weight_gradient(x, dy)
        if dx is not None:
            operands = [dy, self.parameter("weight"), None, x if gate else None, dx]
            rest = dy.steps, dx.steps, 0, conv.GATE if gate else conv.PLAIN
            emit_forward(self.plan, operands, self.back, self.sizes, self.windows, *rest)

    def _gradients_of_few(self, x, dy, dx):
        """Emit the gradients of samples whose channels lie in the lanes."""
        if self.trains:
            sums = emit_channels_grad_weight(Windows(self, dy, x, self.first))
            emit_channels_grad_bias(self, dy, sums)
        if dx is not None:
            Windows(self, dy, dx, self.first).emit_sums(conv.PLAIN)

    def _weight_gradient(self, x, dy):
        """Emit the gradients of weight and bias."""
        sums = self.sums_of_blocks()
        operands, rest = [dy, x, sums], (dy.steps, x.steps, 0)
        emit_grad_weight(self.plan, operands, self.back, self.input_shape[1:], self.windows, *rest)
        if self.layer.bias:
            g = conv_grad_weight.channel_sums_geometry(dy)
            self.plan.emit(conv_grad_weight.channel_sums, [dy, self.behind_weight(sums)], g)
