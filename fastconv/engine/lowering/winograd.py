"""Which passes of a convolution go by Winograd's products, and their operations."""

from ...kernels.lanes import conv, winograd, winograd_weights
from ...kernels.lanes.winograd_cost import (
    DIRECT,
    forward_taps,
    input_gradient_taps,
    is_plane,
    weight_gradient_taps,
)
from ...kernels.lanes.winograd_parts import input_halo, inputs_of, parts_of, slope_halo
from ...kernels.lanes.winograd_transforms import MATRICES
from ..memory import CopyDistance
from ..values import largest


class Winograd:
    """Which passes of a convolution go by the products: forward, and those of the two gradients.

    Each is the `Parts` that the kernel is taken in, or None.
    """

    def __init__(self, lowering, share=1.0, gradient_share=1.0):
        self.plan, emitter = lowering.plan, lowering.emitter  # and not the lowering, which refers to this
        layer, plan = lowering.layer, self.plan
        self.padding = lowering.top, lowering.left
        self.channels, self.outputs = lowering.channels, layer.out_channels
        self.in_size, self.out_size = tuple(lowering.in_size), tuple(lowering.out_size)
        self.forward = self.weight_gradient = self.input_gradient = None
        possible = (
            emitter.precision == "high"
            and plan.dtype.itemsize == 4  # who asks for float64 wants its precision
            and not lowering.few
            and is_plane(layer.kernel_size, layer.stride, layer.dilation)
            and layer.groups == 1
        )
        if not possible:
            return
        self.kernel, self.stride = tuple(layer.kernel_size), tuple(layer.stride)
        shape, kernel = (self.channels, self.outputs), (self.kernel, self.stride)
        chosen = forward_taps(*shape, self.out_size, *kernel, plan.lanes, share)
        self.forward, self.cost = self._parts(chosen), chosen[1]
        if lowering.trains:
            chosen = weight_gradient_taps(*shape, self.out_size, *kernel, plan.lanes, share)
            self.weight_gradient = self._parts(chosen)
        if emitter.needs_gradient(lowering.inputs[0]):
            sizes = self.in_size, self.out_size
            chosen = input_gradient_taps(*shape, *sizes, *kernel, self.padding, plan.lanes, gradient_share)
            self.input_gradient = self._parts(chosen)

    def _parts(self, chosen):
        """The parts for so many taps at once, or None where sums are direct."""
        taps, _ = chosen
        return None if taps == DIRECT else parts_of(self.kernel, self.stride, taps)

    def forward_cost(self):
        """The cost of forward, or None where it does not go by the products."""
        return None if self.forward is None else self.cost

    def input_halo(self):
        """Zeros that tiles read past the end of x: (top, bottom, left, right)."""
        return self._halo(input_halo, self.forward, self.weight_gradient)

    def gradient_halo(self):
        """Zeros that tiles read around dy."""
        return self._halo(slope_halo, self.input_gradient)

    def _halo(self, of, *all_parts):
        """The largest halo of all parts that there are."""
        sizes = self.in_size, self.out_size, self.padding
        return largest(*(of(parts, *sizes) for parts in all_parts if parts is not None))

    def prepare(self, lowering):
        """Leave the transforms of the weights to the start of the step."""
        if self.forward is not None:
            self.weights = self._transformed(lowering, self.forward, turned=False)
        if self.input_gradient is not None:
            self.turned_weights = self._transformed(lowering, self.input_gradient, turned=True)

    def _transformed(self, lowering, parts, turned):
        """Where the transformed weights will be."""
        lanes = self.plan.lanes
        g = winograd_weights.transform_weights_geometry(self.outputs, self.channels, lanes, turned, parts)
        name = "turned" if turned else "transformed"
        weights = self.plan.rows(winograd_weights.matrices_size(g), label=f"{name}_weight{lowering.number}")
        operands = [lowering.parameter("weight"), weights]
        lowering.emitter.prepare(winograd_weights.transform_weights, operands, g)
        return weights

    def emit_forward(self, lowering, x, y, ending):
        """Emit y from x."""
        bias = lowering.parameter("bias")
        g = winograd.winograd_geometry(
            self.channels, self.outputs, self.out_size, self.padding, x.steps, y.steps,
            self.plan.lanes, ending, int(bias is not None), self.forward,
        )  # fmt: skip
        self.plan.emit(winograd.winograd, [x, self.weights, bias, None, y, self._scratch(g)], g)

    def emit_input_gradient(self, dy, dx, gate):
        """Emit dx from dy, 0 where `gate` is not positive."""
        ending = conv.PLAIN if gate is None else conv.GATE
        g = winograd.grad_input_geometry(
            self.channels, self.outputs, self.in_size, self.padding, dy.steps, dx.steps,
            self.plan.lanes, ending, self.input_gradient,
        )  # fmt: skip
        self.plan.emit(winograd.winograd, [dy, self.turned_weights, None, gate, dx, self._scratch(g)], g)

    def emit_weight_gradient(self, lowering, x, dy):
        """Emit the gradients of weight and bias; that of the weight is summed up before it is transformed."""
        plan, lanes, shape = self.plan, self.plan.lanes, (self.channels, self.outputs)
        g = winograd.grad_weight_geometry(
            *shape, self.out_size, self.padding, x.steps, dy.steps, lanes, self.weight_gradient,
            int(lowering.layer.bias),
        )  # fmt: skip
        inputs = self.channels * inputs_of(self.weight_gradient, False)
        size = MATRICES * winograd.matrix_distance(self.outputs, inputs, lanes) * lanes
        sums = plan.rows(size, "shard", f"transformed_gradient{lowering.number}")
        bias = lowering.sums_of_blocks(("bias",)) if lowering.layer.bias else None
        plan.emit(winograd.winograd_grad_weight, [x, dy, sums, self._scratch(g), bias], g)
        lowering.add_own_shards(sums)
        distance = CopyDistance(sums.storage)
        g = winograd_weights.weight_sums_geometry(*shape[::-1], lanes, distance, self.weight_gradient)
        operation = winograd_weights.winograd_weight_sums, [sums, lowering.gradient("weight")], g
        lowering.emitter.after_backward.append(operation)

    def _scratch(self, g):
        return self.plan.scratch(winograd.scratch_size(g, self.plan.lanes))
