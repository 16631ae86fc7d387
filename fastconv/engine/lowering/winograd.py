"""Which passes of a convolution go by Winograd's products, and their operations.

A pass does where a model of its cost says that it is faster by more than a little, since its rounding errors
are larger. Costs are counted in products of vectors, as many as a direct sum makes in the same time, for a
batch of one block: were there more, some layers would change sides, and results with the size of the batch.
"""

from dataclasses import dataclass

from ...kernels.lanes import conv, conv_grad_weight, winograd, winograd_weights
from ...kernels.lanes.winograd_transforms import MATRICES, RESULTS, TAPS
from ..plan import CopyDistance

# Measured on Zen 5, of planes from 4x4 to 32x32 with 3 to 128 channels: what the transforms of a tile of one
# channel or output cost, there and back, and those of a vector of weights, with what they miss in the cache.
TILE_COST, GRADIENT_TILE_COST = 250, 350
WEIGHTS_COST, WEIGHT_SUMS_COST = 450, 950
WORTH_IT = 0.85  # of the direct sums' cost


@dataclass(frozen=True)
class Sums:
    """A convolution of 3x3 taps and stride 1: what its cost depends on."""

    channels: int
    outputs: int
    size: tuple[int, int]  # of a plane of results
    lanes: int
    share: float = 1.0  # of the direct sums' cost that is left where the images are cut in strips

    @property
    def direct(self):
        """Products of the direct sums."""
        height, width = self.size
        return height * width * TAPS * TAPS * self.channels * self.outputs

    @property
    def tiles(self):
        """Tiles of a plane."""
        return winograd.tile_count(*self.size)

    @property
    def weight_vectors(self):
        """Vectors that hold one weight of each output and channel."""
        return self.outputs * -(-self.channels // self.lanes)

    def fits(self, cost):
        """Whether planes are large enough for a tile, and the cost is worth it."""
        return min(self.size) >= RESULTS and cost < WORTH_IT * self.share * self.direct

    def forward_pays(self):
        """Whether the convolution, or the gradient of its input, is faster by Winograd's products."""
        rows = winograd.rounded_outputs(self.outputs, self.size)
        products = MATRICES * self.channels * rows * self.tiles
        transforms = TILE_COST * (self.channels + self.outputs) * self.tiles
        return self.fits(products + transforms + WEIGHTS_COST * self.weight_vectors)

    def weight_gradient_pays(self):
        """Whether the gradient of the weights is."""
        channels = -(-self.channels // self.lanes) * self.lanes
        rows = -(-self.outputs // winograd.OUTPUTS_AT_ONCE) * winograd.OUTPUTS_AT_ONCE
        products = MATRICES * channels * rows * self.tiles
        transforms = GRADIENT_TILE_COST * (self.channels + self.outputs) * self.tiles
        return self.fits(products + transforms + WEIGHT_SUMS_COST * self.weight_vectors)


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
        sums = Sums(self.channels, self.outputs, self.out_size, plan.lanes, share)
        back = Sums(self.outputs, self.channels, self.in_size, plan.lanes, gradient_share)
        self.forward = possible and sums.forward_pays()
        self.weight_gradient = possible and lowering.trains and sums.weight_gradient_pays()
        wanted = possible and emitter.needs_gradient(lowering.inputs[0])
        self.input_gradient = wanted and back.forward_pays()

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
            plan.emit(conv_grad_weight.channel_sums, [dy, bias], conv_grad_weight.channel_sums_geometry(dy))

    def _scratch(self, g):
        return self.plan.scratch(winograd.scratch_size(g, self.plan.lanes))
