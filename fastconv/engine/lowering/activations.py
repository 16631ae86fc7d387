"""Activations and dropout as operations of a plan."""

from typing import ClassVar

from ...kernels.lanes import activations, single_sample
from .base import Lowering


class _Activation(Lowering):
    function: ClassVar = None
    gradient: ClassVar = None
    needs_output = True

    def forward(self, x, y, relu):
        self.elementwise(self.function, [x, y, *self.options()], [x, y])

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            self.elementwise(self.gradient, [dy, dx, y, *self.options()], [dy, dx, y])

    def options(self):
        """Further operands: the layer's own numbers."""
        return []


class ReLU(_Activation):
    function, gradient = activations.relu, activations.relu_grad


class LeakyReLU(_Activation):
    function, gradient = activations.leaky_relu, activations.leaky_relu_grad

    def options(self):
        return [self.builder.numbers([self.layer.negative_slope])]


class Sigmoid(_Activation):
    function, gradient = activations.sigmoid, activations.sigmoid_grad


class Tanh(_Activation):
    function, gradient = activations.hyperbolic_tangent, activations.hyperbolic_tangent_grad


class Softmax(_Activation):
    function, gradient = activations.softmax, activations.softmax_grad

    def forward(self, x, y, relu):
        if not self.builder.single:
            super().forward(x, y, relu)
            return
        table = self.builder.scalar_table(self.number, x)
        g = single_sample.softmax_channels_geometry(x.features, table)
        self.plan.emit(single_sample.softmax_channels, [x, y], g)


class Dropout(Lowering):
    def forward(self, x, y, relu):
        self._mask(x, y)

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            self._mask(dy, dx)

    def _mask(self, source, target):
        rate = self.layer.p if self.builder.training else 0.0
        if rate or source.storage is not target.storage:
            self.elementwise(
                activations.dropout, [source, target, self.builder.numbers([rate])], [source, target]
            )
