"""Which passes of a convolution go by Winograd's products, and their operations.

A pass does where a model of its cost says that it is faster by more than a little, since its rounding errors
are larger. So it is decided, too, how many taps are taken at once. Costs are counted in operations on
vectors, of which a direct sum makes one a product, for a batch of one block: were there more, some layers
would change sides, and results with the size of the batch.
"""

import itertools
import math
from dataclasses import dataclass, replace
from functools import cached_property

from ...kernels.lanes import conv, winograd, winograd_weights
from ...kernels.lanes.winograd_cost import WORTH_IT, sums_cost, weight_gradient_cost
from ...kernels.lanes.winograd_parts import OF_3X3, Parts
from ...kernels.lanes.winograd_transforms import ALL_TAPS, MATRICES
from ..plan import CopyDistance

DIRECT_GRADIENT = 1.25  # of a direct gradient of the input, for a product: tiles reach past the edges of dy
# Sums of fewer taps are so exact, if made directly, that the products lose more than 5 times as much: 7 times
# with kernels of 2x2, 5 times in the gradient of an input that was read by 3x3 taps with stride 2.
ENOUGH_TAPS, ENOUGH_TAPS_OF_PHASE = 9, 4


@dataclass(frozen=True)
class Sums:
    """A convolution, or the gradient of its input: what its cost depends on.

    Of a gradient, `channels` are those of dy, and `size` is that of a phase of dx.
    """

    channels: int
    outputs: int
    size: tuple[int, int]  # of a plane of results
    lanes: int
    share: float = 1.0  # of the direct sums' cost that is left where the images are cut in strips
    parts: Parts = OF_3X3
    dy_size: tuple[int, int] | None = None  # of a gradient of the input

    @property
    def direct(self):
        """The cost of the direct sums."""
        places = DIRECT_GRADIENT * math.prod(self.dy_size) if self.dy_size else math.prod(self.size)
        return places * math.prod(self.parts.kernel_size) * self.channels * self.outputs

    @cached_property
    def tiles(self):
        """Tiles of a plane."""
        return winograd.tile_count(self.size, self.parts.results)

    @cached_property
    def inputs(self):
        """Channels of the products."""
        return self.channels * len(self.parts.pieces if self.dy_size else self.parts.starts)

    @cached_property
    def rows(self):
        """Outputs of the products."""
        return self.outputs * (len(self.parts.phases) if self.dy_size else 1)

    @property
    def tap_moves(self):
        """What it takes to move a vector of weights tap by tap, where they don't come as squares."""
        return 0 if self.parts.whole else 3 * self.lanes * math.prod(self.parts.taps)

    def fits(self, cost):
        """Whether planes are large enough for a tile, and the cost is worth it."""
        large = all(n >= m for n, m in zip(self.size, self.parts.results, strict=True))
        return large and cost < WORTH_IT * self.share * self.direct

    def _cost(self, of, outputs):
        """What a pass costs, by a function of `winograd_cost.py`."""
        parts = self.parts
        return of(self.inputs, outputs, self.tiles, parts.results, parts.taps, self.lanes, self.tap_moves)

    @property
    def cost(self):
        """The cost of the sums, and of the weights' transform."""
        return self._cost(sums_cost, self.rows)

    @property
    def weight_gradient_cost(self):
        """The cost of the weight's gradient."""
        return self._cost(weight_gradient_cost, self.outputs)

    def forward_pays(self):
        """Whether the convolution, or the gradient of its input, is faster by Winograd's products."""
        return self.fits(self.cost)

    def weight_gradient_pays(self):
        """Whether the gradient of the weights is."""
        return self.fits(self.weight_gradient_cost)

    def _with_taps(self):
        """The same, with all numbers of taps at once."""
        parts = self.parts
        for taps in itertools.product(ALL_TAPS, repeat=2):
            yield replace(self, parts=replace(parts, taps=taps))

    def best_parts(self):
        """How the sums are cheapest by the products, or None where direct ones are."""
        found = [sums for sums in self._with_taps() if sums.forward_pays()]
        return min(found, key=lambda sums: sums.cost).parts if found else None

    def best_parts_of_weight_gradient(self):
        """How the weight's gradient is cheapest by the products, or None where direct sums are."""
        found = [sums for sums in self._with_taps() if sums.weight_gradient_pays()]
        return min(found, key=lambda sums: sums.weight_gradient_cost).parts if found else None


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
            and not emitter.few
            and min(layer.kernel_size) > 1
            and layer.dilation == (1, 1)
            and layer.groups == 1
        )
        if not possible:
            return
        kernel = Parts(tuple(layer.kernel_size), tuple(layer.stride))
        taps, phases = math.prod(layer.kernel_size), math.prod(layer.stride)
        sums = Sums(self.channels, self.outputs, self.out_size, plan.lanes, share, kernel)
        if taps >= ENOUGH_TAPS:
            self.forward = sums.best_parts()
        if lowering.trains:
            self.weight_gradient = sums.best_parts_of_weight_gradient()
        enough = taps >= max(ENOUGH_TAPS, ENOUGH_TAPS_OF_PHASE * phases)
        if enough and emitter.needs_gradient(lowering.inputs[0]):
            sizes = zip(kernel.directions, self.in_size, self.padding, strict=True)
            places = tuple(one.places(n, before)[1] for one, n, before in sizes)
            shape = self.outputs, self.channels, places, plan.lanes
            sums = Sums(*shape, gradient_share, kernel, self.out_size)
            self.input_gradient = sums.best_parts()

    def forward_cost(self):
        """The cost of forward, or None where it does not go by the products."""
        if self.forward is None:
            return None
        return Sums(self.channels, self.outputs, self.out_size, self.plan.lanes, parts=self.forward).cost

    def input_halo(self):
        """Zeros that tiles read past the end of x: (top, bottom, left, right)."""
        return self._halo(
            [parts for parts in (self.forward, self.weight_gradient) if parts is not None],
            lambda one, *sizes: (0, one.after(*sizes)),
        )

    def gradient_halo(self):
        """Zeros that tiles read around dy."""
        parts = [] if self.input_gradient is None else [self.input_gradient]
        return self._halo(parts, lambda one, *sizes: one.slopes_around(*sizes))

    def _halo(self, all_parts, around):
        """The largest halo of all parts: `around` gives what comes before and after in a direction."""
        halo = (0, 0, 0, 0)
        for parts in all_parts:
            sizes = zip(parts.directions, self.in_size, self.out_size, self.padding, strict=True)
            sides = itertools.chain.from_iterable(around(*one) for one in sizes)
            halo = tuple(map(max, halo, sides))
        return halo

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
        inputs = self.channels * len(self.weight_gradient.starts)
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
