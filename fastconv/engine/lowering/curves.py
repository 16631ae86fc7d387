"""Smooth and bent activations as operations of a plan."""

from typing import ClassVar

from ...kernels.lanes import curves
from ...nn.curves import ELU, GELU, Hardsigmoid, Hardswish, ReLU6, SiLU, Softplus
from .activations import Activation
from .base import Lowering


class ReLU6Lowering(Activation, layer=ReLU6):
    repeated = True
    function, gradient = curves.relu6, curves.relu6_grad


class HardsigmoidLowering(Activation, layer=Hardsigmoid):
    repeated = True
    function, gradient = curves.hardsigmoid, curves.hardsigmoid_grad


class SoftplusLowering(Activation, layer=Softplus):
    function, gradient = curves.softplus, curves.softplus_grad


class ELULowering(Activation, layer=ELU):
    function, gradient = curves.elu, curves.elu_grad

    def options(self):
        return [self.emitter.numbers([self.layer.alpha])]


class _FromInput(Lowering):
    """An activation whose derivative needs the input: it may not be overwritten before the backward pass."""

    function: ClassVar = None
    gradient: ClassVar = None
    learns_from_few = True

    @property
    def in_place(self):
        return not self.emitter.training

    def operations(self):
        """The operations forward and backward."""
        return self.function, self.gradient

    def forward(self, x, y, relu):
        self.elementwise(self.operations()[0], [x, y], [x, y])

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            self.elementwise(self.operations()[1], [dy, dx, x], [dy, dx, x])


class SiLULowering(_FromInput, layer=SiLU):
    function, gradient = curves.silu, curves.silu_grad


class HardswishLowering(_FromInput, layer=Hardswish):
    function, gradient = curves.hardswish, curves.hardswish_grad


class GELULowering(_FromInput, layer=GELU):
    def operations(self):
        if self.layer.approximate == "tanh":
            return curves.gelu_tanh, curves.gelu_tanh_grad
        return curves.gelu, curves.gelu_grad
