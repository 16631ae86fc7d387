"""Which passes of a convolution along one direction go by Winograd's products, and their operations.

As in `winograd.py`, a model of the cost decides, of each pass and of the form that it goes by.
"""

from dataclasses import dataclass

from ...kernels.lanes import conv, winograd_line, winograd_line_weights
from ...kernels.lanes.matrix_product import OUTPUTS_AT_ONCE, rounded, rounded_outputs
from ...kernels.lanes.winograd_cost import WORTH_IT
from ...kernels.lanes.winograd_line import Line
from ...kernels.lanes.winograd_line_forms import FORMS
from ..plan import CopyDistance

# Measured on Zen 4, with 16 to 128 channels and lines of 25 to 150: what a product costs, as one of those in
# the transformed domain needs no addresses of taps; the transform of a tile of one channel or output; and
# those of a vector of weights for a piece, with what they miss in the cache.
PRODUCT_COST = 0.9
INPUT_COST, RESULT_COST = 30, 42
TURNED_INPUT_COST, GRADIENT_COST = 57, 22
WEIGHTS_COST, SUMS_COST = 140, 200


@dataclass(frozen=True)
class Sums:
    """A convolution along a line in a form: what its cost depends on."""

    line: Line
    channels: int
    outputs: int
    lanes: int

    @property
    def direct(self):
        """Products of the direct sums."""
        height, width = self.line.size
        return height * width * self.line.kernel * self.channels * self.outputs

    @property
    def tiles(self):
        """Tiles of a plane."""
        return self.line.lines * self.line.line_tiles

    @property
    def weight_vectors(self):
        """Vectors that hold the weights of a piece for each output and channel."""
        return self.line.pieces * self.outputs * -(-self.channels // self.lanes)

    def _products(self, channels, outputs):
        """What the products cost."""
        line = self.line
        return PRODUCT_COST * FORMS[line.form].points * line.pieces * channels * outputs * self.tiles

    def forward_cost(self):
        """Of the convolution, or the gradient of its input."""
        line = self.line
        rows = rounded_outputs(self.outputs, line.strip(self.channels, self.outputs))
        products = self._products(self.channels, rows)
        transforms = INPUT_COST * self.channels * line.inputs + RESULT_COST * self.outputs * self.tiles
        return products + transforms + WEIGHTS_COST * self.weight_vectors

    def weight_gradient_cost(self):
        """Of the gradient of the weights."""
        line, channels = self.line, rounded(self.channels, self.lanes)
        rows = rounded(self.outputs, OUTPUTS_AT_ONCE)
        products = self._products(channels, rows)
        transforms = TURNED_INPUT_COST * channels * line.inputs + GRADIENT_COST * self.outputs * self.tiles
        return products + transforms + SUMS_COST * self.weight_vectors


class WinogradLine:
    """Which passes go by the products, forward and those of the two gradients, and the line of each."""

    def __init__(self, lowering, share=1.0, gradient_share=1.0):
        self.plan, emitter = lowering.plan, lowering.emitter  # and not the lowering, which refers to this
        layer, plan = lowering.layer, self.plan
        self.axis = 0 if layer.kernel_size[1] == 1 else 1
        self.kernel, self.dilation = layer.kernel_size[self.axis], layer.dilation[self.axis]
        self.stride, other_stride = layer.stride[self.axis], layer.stride[1 - self.axis]
        self.padding = lowering.top, lowering.left
        self.channels, self.outputs = lowering.channels, layer.out_channels
        self.in_size, self.out_size = tuple(lowering.in_size), tuple(lowering.out_size)
        possible = (
            emitter.precision == "high"
            and plan.dtype.itemsize == 4  # who asks for float64 wants its precision
            and not emitter.few
            and self.kernel > 1
            and other_stride == 1
            and 1 in (self.stride, self.dilation)
            and layer.groups == 1
        )
        self.forward = self.weight_gradient = self.input_gradient = None
        if possible:
            self.forward = self._best(self._lines(False), Sums.forward_cost, share)
        if possible and lowering.trains:
            self.weight_gradient = self._best(self._lines(False), Sums.weight_gradient_cost, share)
        # Where there is a stride, dx is several convolutions of few taps: direct sums.
        if possible and self.stride == 1 and emitter.needs_gradient(lowering.inputs[0]):
            self.input_gradient = self._best(self._lines(True), Sums.forward_cost, gradient_share)

    def _lines(self, back):
        """The convolution in all forms, or that which gives the gradient of its input."""
        along, other = self.axis, 1 - self.axis
        padding, before = self.padding[along], self.padding[other]
        if back:
            padding, before = (self.kernel - 1) * self.dilation - padding, -before
        size = self.in_size if back else self.out_size
        channels, outputs = (self.outputs, self.channels) if back else (self.channels, self.outputs)
        return [
            Sums(
                Line(form, self.kernel, self.dilation, padding, along, size, before, self.stride),
                channels,
                outputs,
                self.plan.lanes,
            )
            for form in range(len(FORMS))
        ]

    def _best(self, sums, cost, share):
        """The line of the cheapest form, or None where direct sums are cheaper."""
        best = min(sums, key=cost)
        return best.line if cost(best) < WORTH_IT * share * best.direct else None

    def forward_cost(self):
        """The cost of forward, or None where it does not go by the products."""
        if self.forward is None:
            return None
        return Sums(self.forward, self.channels, self.outputs, self.plan.lanes).forward_cost()

    # What tiles at the end of a line read behind it

    def input_halo(self):
        """Zeros that the passes read around x."""
        lines = [line for line in (self.forward, self.weight_gradient) if line is not None]
        return self._around(lines, [line.inputs_end - self.in_size[self.axis] for line in lines])

    def gradient_halo(self):
        """Zeros that the passes read around dy."""
        lines = [self.input_gradient] if self.input_gradient else []
        size = self.out_size[self.axis]
        ends = [line.inputs_end - size for line in lines]
        if self.weight_gradient:
            ends.append(self.weight_gradient.results_end - size)
        return self._around(lines, ends)

    def _around(self, lines, ends):
        """Zeros before what the lines read, and up to the ends behind it: (top, bottom, left, right)."""
        sides = max([0, *(line.padding for line in lines)]), max([0, *ends])
        others = (max([0, *(line.before for line in lines)]),) * 2
        return (*sides, *others) if self.axis == 0 else (*others, *sides)

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
        size = FORMS[line.form].points * g.u_matrix
        name = "turned" if turned else "transformed"
        weights = self.plan.rows(size, label=f"{name}_weight{lowering.number}")
        operands = [lowering.parameter("weight"), weights]
        lowering.emitter.prepare(winograd_line_weights.transform_line_weights, operands, g)
        return weights

    def emit_forward(self, lowering, x, y, ending):
        """Emit y from x."""
        bias = lowering.parameter("bias")
        g = winograd_line.winograd_line_geometry(
            self.forward, self.channels, self.outputs, x.steps, y.steps,
            self.plan.lanes, ending, int(bias is not None),
        )  # fmt: skip
        operands = [x, self.weights, bias, None, y, self._scratch(g)]
        self.plan.emit(winograd_line.winograd_line, operands, g)

    def emit_input_gradient(self, dy, dx, gate):
        """Emit dx from dy, 0 where `gate` is not positive."""
        g = winograd_line.winograd_line_geometry(
            self.input_gradient, self.outputs, self.channels, dy.steps, dx.steps,
            self.plan.lanes, conv.PLAIN if gate is None else conv.GATE, 0,
        )  # fmt: skip
        operands = [dy, self.turned_weights, None, gate, dx, self._scratch(g)]
        self.plan.emit(winograd_line.winograd_line, operands, g)

    def emit_weight_gradient(self, lowering, x, dy):
        """Emit the gradients of weight and bias; that of the weight is summed up before it is transformed."""
        plan, lanes, line = self.plan, self.plan.lanes, self.weight_gradient
        channels, outputs = self.channels, self.outputs
        g = winograd_line.grad_weight_geometry(
            line, channels, outputs, x.steps, dy.steps, lanes, int(lowering.layer.bias)
        )
        size = FORMS[line.form].points * winograd_line.matrix_distance(line, outputs, channels, lanes) * lanes
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
        return self.plan.scratch(winograd_line.scratch_size(g, self.plan.lanes))
