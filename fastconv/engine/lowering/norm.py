"""Normalisation as operations of a plan."""

from ...kernels.lanes import norm, single_sample
from ...nn.norm import BatchNorm2d, GroupNorm, InstanceNorm2d, LayerNorm
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
        if self.emitter.few:
            operands[0] = self.laid_out_as(x, y)
            g = single_sample.norm_channels_geometry(operands[0], y, x_channels)
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


class _SampleNorm(WeightedLowering):
    """Normalisation of each sample on its own; a subclass says how many groups of channels there are."""

    fuses_relu = False
    gates = False
    operation, gradient_operation = norm.group_norm, norm.group_norm_grad

    @classmethod
    def takes_few_samples(cls, layer):
        return False

    def groups(self):
        """Into how many groups the channels are divided."""
        raise NotImplementedError

    def scale_and_shift(self):
        """Operands: what the normalised numbers are multiplied with, and what is added."""
        return self.parameter("weight"), self.parameter("bias")

    def forward(self, x, y, relu):
        self.saved = self.plan.planes((2 * self.groups(),), label=f"saved{self.number}")
        g = norm.group_norm_geometry(self.groups(), x, y)
        operands = [x, y, self.saved, *self.scale_and_shift(), self.emitter.numbers([self.layer.eps])]
        self.plan.emit(self.operation, operands, g)

    def backward(self, x, y, dy, dx, gate):
        g = norm.group_norm_geometry(self.groups(), x, dy, dx)
        operands = [x, dy, dx, self.saved, self.scale_and_shift()[0], self.sums_of_blocks()]
        self.plan.emit(self.gradient_operation, operands, g)


class GroupNormLowering(_SampleNorm, layer=GroupNorm):
    def groups(self):
        return self.layer.num_groups


class InstanceNorm2dLowering(_SampleNorm, layer=InstanceNorm2d):
    def groups(self):
        return self.input_shape[0]

    def scale_and_shift(self):
        if self.layer.affine:
            return super().scale_and_shift()
        return tuple(self.emitter.numbers([value] * self.groups()) for value in (1.0, 0.0))

    def sums_of_blocks(self):
        """Without parameters, a place for sums that nobody reads."""
        if self.layer.affine:
            return super().sums_of_blocks()
        return self.plan.rows(2 * self.groups(), "thread", f"unused{self.number}")

    def backward(self, x, y, dy, dx, gate):
        if self.layer.affine or dx is not None:
            super().backward(x, y, dy, dx, gate)


class LayerNormLowering(_SampleNorm, layer=LayerNorm):
    operation, gradient_operation = norm.layer_norm, norm.layer_norm_grad

    def groups(self):
        return 1
