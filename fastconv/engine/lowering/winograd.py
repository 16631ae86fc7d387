"""Which passes of a convolution go by Winograd's products, and their operations.

A pass does where a model of its cost says that it is faster: see `kernels/lanes/winograd_cost.py`.
"""

from ...kernels.lanes import conv, winograd, winograd_weights
from ...kernels.lanes.winograd_cost import forward_pays, weight_gradient_pays
from ...kernels.lanes.winograd_transforms import MATRICES, TAPS
from ..plan import CopyDistance


class Winograd:
    """Which passes of a convolution go by the products: forward, and those of the two gradients."""

    def __init__(self, lowering, share=1.0, gradient_share=1.0):
        self.plan, emitter = lowering.plan, lowering.emitter  # and not the lowering, which refers to this
        layer, plan = lowering.layer, self.plan
        self.padding = lowering.top, lowering.left
        self.channels, self.outputs = lowering.channels, layer.out_channels
        self.in_size, self.out_size = tuple(lowering.in_size), tuple(lowering.out_size)
        possible = (
            emitter.precision == "high"
            and plan.dtype.itemsize == 4  # who asks for float64 wants its precision
            and not emitter.few
            and layer.kernel_size == (TAPS, TAPS)
            and layer.stride == layer.dilation == (1, 1)
            and layer.groups == 1
        )
        sums = self.channels, self.outputs, self.out_size, plan.lanes, share
        back = self.outputs, self.channels, self.in_size, plan.lanes, gradient_share
        self.forward = possible and forward_pays(*sums)
        self.weight_gradient = possible and lowering.trains and weight_gradient_pays(*sums)
        wanted = possible and emitter.needs_gradient(lowering.inputs[0])
        self.input_gradient = wanted and forward_pays(*back)

    def input_halo(self):
        """Zeros that the passes read around x, more than direct sums: none."""
        return (0, 0, 0, 0)

    gradient_halo = input_halo  # the same of dy

    def prepare(self, lowering):
        """Leave the transforms of the weights to the start of the step."""
        if self.forward:
            self.weights = self._transformed(lowering, self.outputs, self.channels, turned=False)
        if self.input_gradient:
            self.turned_weights = self._transformed(lowering, self.channels, self.outputs, turned=True)

    def _transformed(self, lowering, outputs, channels, turned):
        """Where the transformed weights of sums over `channels` will be."""
        lanes = self.plan.lanes
        size = MATRICES * winograd.matrix_distance(outputs, channels, lanes) * lanes
        name = "turned" if turned else "transformed"
        weights = self.plan.rows(size, label=f"{name}_weight{lowering.number}")
        g = winograd_weights.transform_weights_geometry(self.outputs, self.channels, lanes, turned)
        operands = [lowering.parameter("weight"), weights]
        lowering.emitter.prepare(winograd_weights.transform_weights, operands, g)
        return weights

    def emit_forward(self, lowering, x, y, ending):
        """Emit y from x."""
        bias = lowering.parameter("bias")
        g = winograd.winograd_geometry(
            self.channels, self.outputs, self.out_size, self.padding, x.steps, y.steps,
            self.plan.lanes, ending, int(bias is not None),
        )  # fmt: skip
        self.plan.emit(winograd.winograd, [x, self.weights, bias, None, y, self._scratch(g)], g)

    def emit_input_gradient(self, dy, dx, gate):
        """Emit dx from dy, 0 where `gate` is not positive."""
        padding = TAPS - 1 - self.padding[0], TAPS - 1 - self.padding[1]
        g = winograd.winograd_geometry(
            self.outputs, self.channels, self.in_size, padding, dy.steps, dx.steps,
            self.plan.lanes, conv.PLAIN if gate is None else conv.GATE, 0,
        )  # fmt: skip
        self.plan.emit(winograd.winograd, [dy, self.turned_weights, None, gate, dx, self._scratch(g)], g)

    def emit_weight_gradient(self, lowering, x, dy):
        """Emit the gradients of weight and bias; that of the weight is summed up before it is transformed."""
        plan, lanes = self.plan, self.plan.lanes
        g = winograd.grad_weight_geometry(
            self.channels, self.outputs, self.out_size, self.padding, x.steps, dy.steps, lanes
        )
        size = MATRICES * winograd.matrix_distance(self.outputs, self.channels, lanes) * lanes
        sums = plan.rows(size, "shard", f"transformed_gradient{lowering.number}")
        plan.emit(winograd.winograd_grad_weight, [x, dy, sums, self._scratch(g)], g)
        g = winograd_weights.weight_sums_geometry(
            self.outputs, self.channels, lanes, CopyDistance(sums.storage)
        )
        operation = winograd_weights.winograd_weight_sums, [sums, lowering.gradient("weight")], g
        lowering.emitter.after_backward.append(operation)
        if lowering.layer.bias:
            bias = lowering.sums_of_blocks(("bias",))
            plan.emit(conv.channel_sums, [dy, bias], conv.channel_sums_geometry(dy))

    def _scratch(self, g):
        return self.plan.scratch(winograd.scratch_size(g, self.plan.lanes))
