"""Normalisation as operations of a plan."""

from ...kernels.lanes import norm, single_sample
from ...nn.norm import BatchNorm2d, GroupNorm
from ..plan import CopyDistance
from .base import WeightedLowering


class BatchNorm2dLowering(WeightedLowering, layer=BatchNorm2d):
    """Where it is frozen, the running mean and variance hold in training too, and stay as they are.

    They are constants then: of the sums that dx is made of nothing is left, and the zeros that stand for
    them are those of the gradients that nobody computes.
    """

    fuses_relu = False
    gates = False

    def _geometry(self, x, y, dx):
        x_block, y_block = CopyDistance(x.storage), CopyDistance(y.storage)
        shape = self.input_shape[0], x.height, x.width
        by_batch = self.emitter.training and self.trains
        return norm.norm_geometry(shape, x, y, dx, x_block, y_block, by_batch)

    def forward(self, x, y, relu):
        x_channels = self.input_shape[0]
        self.saved = self.plan.rows(2 * x_channels, label=f"saved{self.number}")
        momentum = self.layer.momentum if self.emitter.updates_statistics else 0.0
        options = self.emitter.numbers([momentum, self.layer.eps])
        running = self.emitter.statistic(f"{self.name}.running_mean")
        g = self._geometry(x, y, y)
        self.plan.emit(norm.batch_norm_statistics, [x, self.saved, running, options], g, stage="batch")
        gamma, beta = self.parameter("weight"), self.parameter("bias")
        operands = [x, y, self.saved, gamma, beta]
        if self.emitter.single:
            g = single_sample.norm_channels_geometry(x, y, x_channels)
            self.plan.emit(single_sample.norm_channels, operands, g)
        else:
            self.plan.emit(norm.batch_norm, operands, g)

    def backward(self, x, y, dy, dx, gate):
        dgamma, dbeta = self.gradient("weight"), self.gradient("bias")
        g = self._geometry(x, dy, dy if dx is None else dx)
        if self.trains:
            self.plan.emit(norm.batch_norm_grad_sums, [x, dy, self.saved, dgamma, dbeta], g, stage="batch")
        if dx is not None:
            operands = [x, dy, dx, self.saved, self.parameter("weight"), dgamma]
            self.plan.emit(norm.batch_norm_grad_input, operands, g)


class GroupNormLowering(WeightedLowering, layer=GroupNorm):
    fuses_relu = False
    gates = False

    @classmethod
    def takes_single_sample(cls, layer):
        return False

    def forward(self, x, y, relu):
        self.saved = self.plan.planes((2 * self.layer.num_groups,), label=f"saved{self.number}")
        g = norm.group_norm_geometry(self.layer.num_groups, x, y)
        gamma, beta = self.parameter("weight"), self.parameter("bias")
        operands = [x, y, self.saved, gamma, beta, self.emitter.numbers([self.layer.eps])]
        self.plan.emit(norm.group_norm, operands, g)

    def backward(self, x, y, dy, dx, gate):
        g = norm.group_norm_geometry(self.layer.num_groups, x, dy, dx)
        operands = [x, dy, dx, self.saved, self.parameter("weight"), self.sums_of_blocks()]
        self.plan.emit(norm.group_norm_grad, operands, g)
