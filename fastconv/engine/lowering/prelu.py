"""PReLU as operations of a plan."""

from ...kernels.lanes import prelu
from ...nn.prelu import PReLU
from .base import WeightedLowering


class PReLULowering(WeightedLowering, layer=PReLU):
    """Its gradients need the input, which may not be overwritten before the backward pass."""

    fuses_relu = False
    gates = False

    @property
    def in_place(self):
        return not self.emitter.training

    @classmethod
    def takes_few_samples(cls, layer):
        return not layer.per_channel  # the slopes would have to lie as the channels do

    def forward(self, x, y, relu):
        g = prelu.prelu_geometry(x, y, self.layer.per_channel)
        self.plan.emit(prelu.prelu, [x, y, self.parameter("weight")], g)

    def backward(self, x, y, dy, dx, gate):
        g = prelu.prelu_grad_geometry(dy, dx, x, self.layer.per_channel)
        operands = [dy, dx, x, self.parameter("weight"), self.sums_of_blocks()]
        self.plan.emit(prelu.prelu_grad, operands, g)
