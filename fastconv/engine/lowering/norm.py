"""Normalisation as operations of a plan."""

from ...kernels.lanes import batch_norm, batch_norm_channels, norm, norm_channels, single_sample
from ...nn.norm import BatchNorm2d, GroupNorm, InstanceNorm2d, LayerNorm
from ..memory import CopyDistance
from .base import WeightedLowering
from .channels import channel_vectors, packed_numbers


class BatchNorm2dLowering(WeightedLowering, layer=BatchNorm2d):
    """Sums of a block are made as soon as there is one; only what they come to waits for the whole batch.

    Where it is frozen, the running mean and variance hold in training too, and stay as they are. They are
    constants then: of the sums that dx is made of nothing is left, and the zeros that stand for them are
    those of the gradients that nobody computes.
    """

    gates = False
    learns_from_few = True

    @property
    def finishes_gradient(self):
        return self.trains and not self.few

    fuses_relu = True
    gates_output = True  # x tells where y is positive

    @property
    def shares_blocks(self):
        return self.trains

    @property
    def joins_sum(self):
        return not self.few

    made_again = joins_sum

    def step_cost(self):
        return 4 * self.cost()  # sums, and then what is made with them

    def forward(self, x, y, relu):
        self.sum_up(x)
        self.finish(x, y, relu)

    def sum_up(self, x):
        """Emit what `finish` needs to know of x: mean and deviation."""
        by_batch = self.emitter.training and self.trains
        # Where it is constant, each block has its own, so that nobody waits for another one.
        kept = "all" if by_batch else "thread"
        self.saved = self.plan.rows(2 * self.input_shape[0], kept, f"saved{self.number}")
        momentum = self.layer.momentum if self.emitter.updates_statistics else 0.0
        options = self.emitter.numbers([momentum, self.layer.eps])
        running = self.emitter.statistic(f"{self.name}.running_mean")
        if not by_batch:
            g = batch_norm.PartsGeometry(self.input_shape[0], x.height * x.width, 0)
            self.plan.emit(batch_norm.batch_norm_running, [self.saved, running, options], g)
            return
        parts, g = self._parts(x, batch_norm.PARTS_OF_SUMS, "parts")
        if self.few:
            sums = batch_norm_channels.norm_training_geometry(self.input_shape[0], x)
            self.plan.emit(batch_norm_channels.norm_sums_channels, [x, parts], sums)
        else:
            self.plan.emit(batch_norm.batch_norm_sums, [x, parts], batch_norm.batch_norm_geometry(x))
        self.plan.share_blocks(parts)
        operands = [parts, self.saved, running, options]
        self.plan.emit(batch_norm.batch_norm_statistics, operands, g, stage="batch")

    def _parts(self, x, count, name):
        """Where the sums of each block of x lie, `count` a channel, and how they are found."""
        channels = self.input_shape[0]
        parts = self.plan.rows(count * channels, "block", f"{name}{self.number}")
        distance = CopyDistance(parts.storage)
        return parts, batch_norm.PartsGeometry(channels, x.height * x.width, distance)

    def finish(self, x, y, relu, z=None):
        """Emit y of what has been prepared, the sum with z if that is given."""
        gamma = self.parameter("weight")
        if not self.few:
            g = batch_norm.batch_norm_geometry(x, y, z, relu, z is not None)
            self.plan.emit(batch_norm.batch_norm, [x, y, self.saved, gamma, z], g)
            return
        x = self.laid_out_as(x, y)
        g = single_sample.norm_channels_geometry(x, y, self.input_shape[0], relu)
        self.plan.emit(single_sample.norm_channels, [x, y, self.saved, gamma, self.parameter("bias")], g)

    def backward(self, x, y, dy, dx, gate):
        """The gradient below a ReLU that took the layer over is that above it, where `gated`."""
        gamma, dgamma = self.parameter("weight"), self.gradient("weight")
        if self.trains:
            parts, totals = self._parts(x, batch_norm.PARTS_OF_SLOPES, "slopes")
            self._emit_sums(x, dy, parts)
            self.plan.share_blocks(parts)
            operands = [parts, self.saved, dgamma]
            self.plan.emit(batch_norm.batch_norm_grad_total, operands, totals, stage="batch")
            self.emitter.share_early(self.number)
        if dx is None:
            return
        operands = [x, dy, dx, self.saved, gamma, dgamma]
        if self.few:
            g = batch_norm_channels.norm_training_geometry(self.input_shape[0], x, dy, dx, self.gated)
            self.plan.emit(batch_norm_channels.norm_grad_input_channels, operands, g)
        else:
            g = batch_norm.batch_norm_geometry(x, dy, dx, self.gated)
            self.plan.emit(batch_norm.batch_norm_grad_input, operands, g)

    def _emit_sums(self, x, dy, parts):
        """Emit the sums of a block's dy, which is finished on the way."""
        if self.few:
            g = batch_norm_channels.norm_training_geometry(self.input_shape[0], x, dy, relu=self.gated)
            operands = [x, dy, self.saved, self.parameter("weight"), parts]
            self.plan.emit(batch_norm_channels.norm_grad_sums_channels, operands, g)
            return
        more, above = self.unfinished or (None, None)
        g = batch_norm.batch_norm_geometry(x, dy, None, self.gated, more is not None, above)
        operation, given = batch_norm.batch_norm_grad_sums, self.parameter("weight")
        if above is not None:
            operation, given = batch_norm.batch_norm_grad_finish, above
        self.plan.emit(operation, [x, dy, self.saved, given, parts, more], g)


class _SampleNorm(WeightedLowering):
    """Normalisation of each sample on its own; a subclass says how many groups of channels there are."""

    fuses_relu = False
    gates = False
    operation, gradient_operation = norm.group_norm, norm.group_norm_grad

    def groups(self):
        """Into how many groups the channels are divided."""
        raise NotImplementedError

    def scale_and_shift(self):
        """Operands: what the normalised numbers are multiplied with, and what is added."""
        return self.parameter("weight"), self.parameter("bias")

    def forward(self, x, y, relu):
        if self.few:
            self._forward_of_few(x, y)
            return
        self.saved = self.plan.planes((2 * self.groups(),), label=f"saved{self.number}")
        g = norm.group_norm_geometry(self.groups(), x, y)
        operands = [x, y, self.saved, *self.scale_and_shift(), self.emitter.numbers([self.layer.eps])]
        self.plan.emit(self.operation, operands, g)

    def _forward_of_few(self, x, y):
        """Emit y from x, whose channels lie in the lanes, as scale and shift do then."""
        x, lanes, channels = self.laid_out_as(x, y), self.plan.lanes, self.input_shape[0]
        each = self.operation is norm.layer_norm
        image = (channels, y.height, y.width) if each else (channels, 1, 1)
        table = channel_vectors(image, lanes)
        gamma, beta = (
            packed_numbers(self, numbers, table, name)
            for name, numbers in zip(("weight", "bias"), self.scale_and_shift(), strict=True)
        )
        g = norm_channels.norm_samples_geometry(self.groups(), x, y, channels, int(each))
        scratch = self.plan.scratch(norm_channels.scratch_size(g, lanes))
        operands = [x, y, gamma, beta, self.emitter.numbers([self.layer.eps]), scratch]
        self.plan.emit(norm_channels.norm_samples, operands, g)

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
