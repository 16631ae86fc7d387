"""PReLU as operations of a plan."""

from ...kernels.lanes import prelu
from ...nn.prelu import PReLU
from .base import WeightedLowering
from .channels import channel_vectors, packed_numbers


class PReLULowering(WeightedLowering, layer=PReLU):
    """Its gradients need the input, which may not be overwritten before the backward pass."""

    fuses_relu = False
    gates = False

    @property
    def in_place(self):
        return not (self.emitter.training or self._in_lanes)

    @property
    def _in_lanes(self):
        """Whether the slopes lie in the lanes, as the channels of few samples do."""
        return self.few and self.layer.per_channel

    def forward(self, x, y, relu):
        slopes = self.parameter("weight")
        if not self._in_lanes:
            g = prelu.prelu_geometry(x, y, self.layer.per_channel)
            self.plan.emit(prelu.prelu, [x, y, slopes], g)
            return
        x = self.laid_out_as(x, y)
        table = channel_vectors((self.input_shape[0], 1, 1), self.plan.lanes)
        packed = packed_numbers(self, slopes, table, "weight")
        self.plan.emit(prelu.prelu_channels, [x, y, packed], prelu.prelu_geometry(x, y, x.samples))

    def backward(self, x, y, dy, dx, gate):
        g = prelu.prelu_grad_geometry(dy, dx, x, self.layer.per_channel)
        operands = [dy, dx, x, self.parameter("weight"), self.sums_of_blocks()]
        self.plan.emit(prelu.prelu_grad, operands, g)
