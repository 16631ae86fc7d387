"""Activations and dropout as operations of a plan."""

from typing import ClassVar

from ...kernels.lanes import activations, single_sample
from ...kernels.lanes.planes import plane_geometry
from ...nn.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from ...nn.dropout import Dropout, SpatialDropout2d
from .base import Lowering


class Activation(Lowering):
    function: ClassVar = None
    gradient: ClassVar = None
    needs_output = True
    learns_from_few = True

    def forward(self, x, y, relu):
        self.elementwise(self.function, [x, y, *self.options()], [x, y])

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            self.elementwise(self.gradient, [dy, dx, y, *self.options()], [dy, dx, y])

    def options(self):
        """Further operands: the layer's own numbers."""
        return []


class ReLULowering(Activation, layer=ReLU):
    is_relu = True
    repeated = True
    function, gradient = activations.relu, activations.relu_grad


class LeakyReLULowering(Activation, layer=LeakyReLU):
    repeated = True
    function, gradient = activations.leaky_relu, activations.leaky_relu_grad

    def options(self):
        return [self.emitter.numbers([self.layer.negative_slope])]


class SigmoidLowering(Activation, layer=Sigmoid):
    function, gradient = activations.sigmoid, activations.sigmoid_grad


class TanhLowering(Activation, layer=Tanh):
    function, gradient = activations.hyperbolic_tangent, activations.hyperbolic_tangent_grad


class SoftmaxLowering(Activation, layer=Softmax):
    function, gradient = activations.softmax, activations.softmax_grad
    learns_from_few = False

    def forward(self, x, y, relu):
        if not self.few:
            super().forward(x, y, relu)
            return
        g = single_sample.softmax_channels_geometry(x, y, self.plan.lanes)
        self.plan.emit(single_sample.softmax_channels, [x, y], g)


class DropoutLowering(Lowering, layer=Dropout):
    operation, operation_of_few = activations.dropout, activations.dropout_channels
    learns_from_few = True

    def forward(self, x, y, relu):
        self._mask(x, y)

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            self._mask(dy, dx)

    @property
    def passes_on(self):
        return not self.emitter.training

    def _mask(self, source, target):
        rate = self.layer.p if self.emitter.training else 0.0
        if rate or source.storage is not target.storage:
            few = self.few and self.emitter.training
            operands = [source, target, self.emitter.numbers([rate])]
            g = plane_geometry(source, target, layer=self.number, samples=source.samples)
            self.plan.emit(self.operation_of_few if few else self.operation, operands, g)


class SpatialDropout2dLowering(DropoutLowering, layer=SpatialDropout2d):
    operation, operation_of_few = activations.spatial_dropout, activations.spatial_dropout_channels
