"""Which passes of a convolution along one direction go by Winograd's products, and their operations."""

from ...kernels.lanes import conv, winograd_line, winograd_line_weights
from ...kernels.lanes.winograd_line_cost import (
    NO_FORM,
    best_form,
    forward_line,
    input_gradient_line,
    is_line,
)
from ...kernels.lanes.winograd_line_geometry import (
    grad_weight_geometry,
    input_halo,
    result_halo,
    scratch_size,
    winograd_line_geometry,
)
from ..memory import CopyDistance
from ..values import largest


class WinogradLine:
    """Which passes go by the products, forward and those of the two gradients, and the line of each."""

    def __init__(self, lowering, share=1.0, gradient_share=1.0):
        self.plan, emitter = lowering.plan, lowering.emitter  # and not the lowering, which refers to this
        layer, plan = lowering.layer, self.plan
        kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
        padding = lowering.top, lowering.left
        self.channels, self.outputs = lowering.channels, layer.out_channels
        self.in_size, self.out_size = tuple(lowering.in_size), tuple(lowering.out_size)
        possible = (
            emitter.precision == "high"
            and plan.dtype.itemsize == 4  # who asks for float64 wants its precision
            and not lowering.few
            and is_line(kernel, stride, dilation)
            and layer.groups == 1
        )
        self.forward = self.weight_gradient = self.input_gradient = None
        if not possible:
            return
        line = forward_line(kernel, self.out_size, stride, padding, dilation)
        shape = self.channels, self.outputs, plan.lanes
        self.forward, self.cost = self._best(line, *shape, share, False)
        if lowering.trains:
            self.weight_gradient, _ = self._best(line, *shape, share, True)
        # Where there is a stride, dx is several convolutions of few taps: direct sums.
        if stride == (1, 1) and emitter.needs_gradient(lowering.inputs[0]):
            line = input_gradient_line(kernel, self.in_size, padding, dilation)
            shape = self.outputs, self.channels, plan.lanes
            self.input_gradient, _ = self._best(line, *shape, gradient_share, False)

    def _best(self, *settings):
        """The line of the cheapest form, or None where direct sums are cheaper; and the cost."""
        line, cost = best_form(*settings)
        return None if line.form == NO_FORM else line, cost

    def forward_cost(self):
        """The cost of forward, or None where it does not go by the products."""
        return None if self.forward is None else self.cost

    # What tiles at the end of a line read behind it

    def input_halo(self):
        """Zeros that the passes read around x."""
        lines = [line for line in (self.forward, self.weight_gradient) if line is not None]
        return largest(*(input_halo(line, self.in_size) for line in lines))

    def gradient_halo(self):
        """Zeros that the passes read around dy."""
        halos = []
        if self.input_gradient:
            halos.append(input_halo(self.input_gradient, self.out_size))
        if self.weight_gradient:
            halos.append(result_halo(self.weight_gradient))
        return largest(*halos)

    # Operations

    def prepare(self, lowering):
        """Leave the transforms of the weights to the start of the step."""
        if self.forward:
            self.weights = self._transformed(lowering, self.forward, turned=False)
        if self.input_gradient:
            self.turned_weights = self._transformed(lowering, self.input_gradient, turned=True)

    def _transformed(self, lowering, line, turned):
        """Where the transformed weights of a line will be."""
        lanes = self.plan.lanes
        g = winograd_line_weights.line_weights_geometry(line, self.outputs, self.channels, lanes, turned)
        shape = (self.channels, self.outputs) if turned else (self.outputs, self.channels)
        size = winograd_line_weights.line_matrices_size(line, *shape, lanes)
        name = "turned" if turned else "transformed"
        weights = self.plan.rows(size, label=f"{name}_weight{lowering.number}")
        operands = [lowering.parameter("weight"), weights]
        lowering.emitter.prepare(winograd_line_weights.transform_line_weights, operands, g)
        return weights

    def emit_forward(self, lowering, x, y, ending):
        """Emit y from x."""
        bias = lowering.parameter("bias")
        g = winograd_line_geometry(
            self.forward, self.channels, self.outputs, x.steps, y.steps,
            self.plan.lanes, ending, int(bias is not None),
        )  # fmt: skip
        operands = [x, self.weights, bias, None, y, self._scratch(g)]
        self.plan.emit(winograd_line.winograd_line, operands, g)

    def emit_input_gradient(self, dy, dx, gate):
        """Emit dx from dy, 0 where `gate` is not positive."""
        g = winograd_line_geometry(
            self.input_gradient, self.outputs, self.channels, dy.steps, dx.steps,
            self.plan.lanes, conv.PLAIN if gate is None else conv.GATE, 0,
        )  # fmt: skip
        operands = [dy, self.turned_weights, None, gate, dx, self._scratch(g)]
        self.plan.emit(winograd_line.winograd_line, operands, g)

    def emit_weight_gradient(self, lowering, x, dy):
        """Emit the gradients of weight and bias; that of the weight is summed up before it is transformed."""
        plan, lanes, line = self.plan, self.plan.lanes, self.weight_gradient
        channels, outputs = self.channels, self.outputs
        bias = int(lowering.layer.bias)
        g = grad_weight_geometry(line, channels, outputs, x.steps, dy.steps, lanes, bias)
        size = winograd_line_weights.line_matrices_size(line, outputs, channels, lanes)
        sums = plan.rows(size, "shard", f"transformed_gradient{lowering.number}")
        bias = lowering.sums_of_blocks(("bias",)) if lowering.layer.bias else None
        operands = [x, dy, sums, self._scratch(g), bias]
        plan.emit(winograd_line.winograd_line_grad_weight, operands, g)
        lowering.add_own_shards(sums)
        distance = CopyDistance(sums.storage)
        g = winograd_line_weights.line_weight_sums_geometry(line, outputs, channels, lanes, distance)
        operands = [sums, lowering.gradient("weight")]
        lowering.emitter.after_backward.append((winograd_line_weights.winograd_line_weight_sums, operands, g))

    def _scratch(self, g):
        return self.plan.scratch(scratch_size(g, self.plan.lanes))
