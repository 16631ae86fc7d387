"""Convolutions of few samples that go by Winograd's products, and when that pays.

Costs are counted in products of vectors, as many as are made in the same time, and for one sample: were there
more, some layers would change sides, and results with the number of samples.
"""

from functools import cached_property

import numpy as np

from ...kernels.lanes import channels, winograd_channels
from ...kernels.lanes.matrix_product import CHANNELS_AT_ONCE
from ...kernels.lanes.winograd_channels import RESULTS, TAPS
from ...kernels.lanes.winograd_cost import WORTH_IT
from ...kernels.lanes.winograd_geometry import SCRATCH_BYTES, tile_starts
from ...kernels.lanes.winograd_transforms import MATRICES
from ...simd import VECTOR_BYTES

TILE_COST = 250  # of the transforms of a tile of one vector, there and back
WEIGHTS_COST = 4  # of a vector of weights: between predictions, most leave the second-level cache
TRANSFORM_COST = 300  # of the transforms of a vector of weights, in training


class WinogradChannels:
    """A convolution with its channels in the lanes: whether it goes by the products, and how.

    `turned` is the one that makes the input gradient, from dy to dx.
    """

    def __init__(self, lowering, turned=False):
        self.plan, emitter, layer = lowering.plan, lowering.emitter, lowering.layer
        self.size, self.padding = tuple(lowering.out_size), (lowering.top, lowering.left)
        self.channels, self.outputs = lowering.channels, layer.out_channels
        self.turned, self.training = turned, emitter.training
        if turned:
            self.size = tuple(lowering.in_size)
            self.padding = tuple(TAPS - 1 - padding for padding in self.padding)
            self.channels, self.outputs = self.outputs, self.channels
        self.pays = (
            lowering.few > 0
            and min(self.padding) >= 0
            and emitter.precision == "high"
            and self.plan.dtype.itemsize == 4  # who asks for float64 wants its precision
            and layer.kernel_size == (TAPS, TAPS)
            and layer.stride == layer.dilation == (1, 1)
            and layer.groups == 1
            and min(self.size) >= RESULTS
            and self._cost() < WORTH_IT * self._direct_cost()
        )

    @property
    def blocks(self):
        """Vectors of channels and of outputs."""
        return -(-self.channels // self.plan.lanes), -(-self.outputs // self.plan.lanes)

    @cached_property
    def corners(self):
        """The first line and column of each tile of a sample."""
        return [(i, j) for i, j in np.ndindex(self.size) if i in self._lines[0] and j in self._lines[1]]

    @cached_property
    def _lines(self):
        return [{first for first, _ in tile_starts(n, RESULTS)} for n in self.size]

    def _cost(self):
        """The cost of one sample by Winograd's products."""
        tiles, (blocks, out_blocks) = len(self.corners), self.blocks
        products = sum(
            (last - first) * -(-tiles // height) * height
            for first, last, _, height in channels.widths(out_blocks, tiles)
        )
        changing = TRANSFORM_COST * self.training
        weights = (WEIGHTS_COST * MATRICES + changing) * self.channels * out_blocks
        return MATRICES * self.channels * products + weights + TILE_COST * tiles * (blocks + out_blocks)

    def _direct_cost(self):
        """The cost of one sample by direct sums."""
        height, width = self.size
        return TAPS * TAPS * self.channels * self.blocks[1] * (height * width + WEIGHTS_COST)

    def cost(self):
        """The cost of one sample, or None where it does not go by the products."""
        return self._cost() if self.pays else None

    def emit(self, lowering, x, y, ending, bias=None):
        """Emit y from x, as many tiles at a time as stay in the second-level cache."""
        tiles = [(sample, i, j) for sample in range(x.samples) for i, j in self.corners]
        at_once = self._at_once(len(tiles))
        widths = channels.widths(self.blocks[1], at_once)
        u = self._transformed(lowering, widths)
        sizes = (winograd_channels.matrix_distance(at_once, n) for n in self.blocks)
        v, m = (
            self.plan.rows(MATRICES * size * self.plan.lanes, "thread", f"{name}{lowering.number}")
            for name, size in zip(("points", "products"), sizes, strict=True)
        )
        for first in range(0, len(tiles), at_once):
            self._emit_strip(tiles[first : first + at_once], widths, (x, u, v, m, bias, y), ending)

    def _at_once(self, tiles):
        """How many tiles of v and m stay in the cache, in strips that are as even as they can be."""
        fitting = max(1, SCRATCH_BYTES // (MATRICES * VECTOR_BYTES * sum(self.blocks)))
        return -(-tiles // -(-tiles // fitting))

    def _transformed(self, lowering, widths):
        """The transforms of the weight, packed for tiles of these widths."""
        size = winograd_channels.weight_size(self.outputs, self.channels, self.plan.lanes)
        u = self.plan.rows(
            size, label=f"{'turned' if self.turned else 'transformed'}_weight{lowering.number}"
        )
        g = winograd_channels.transform_packed_geometry(self.outputs, self.channels, widths, self.turned)
        lowering.emitter.prepare(winograd_channels.transform_packed, [lowering.parameter("weight"), u], g)
        return u

    def _emit_strip(self, tiles, widths, operands, ending):
        """Emit the results of some tiles: (sample, line, column)."""
        plan, (blocks, out_blocks), (x, u, v, m, bias, y) = self.plan, self.blocks, operands
        scratch = plan.scratch(MATRICES * plan.lanes)
        top, left = self.padding
        places = [sample * x.plane + (i - top) * x.row + j - left for sample, i, j in tiles]
        g = winograd_channels.tiles_geometry(places, blocks, x.samples * x.plane, x.row)
        plan.emit(winograd_channels.tiles_to_points, [x, v], g)
        number = np.arange(len(tiles))
        g = channels.products_geometry(
            self.channels, CHANNELS_AT_ONCE, number * blocks * plan.lanes, number * out_blocks, widths,
            (
                MATRICES,
                winograd_channels.matrix_distance(len(tiles), blocks) * plan.lanes,
                winograd_channels.matrix_distance(len(tiles), out_blocks),
                self.channels * out_blocks,
            ),
        )  # fmt: skip
        plan.emit(channels.contract_channels, [v, u, None, m], g)
        places = [sample * y.plane + i * y.row + j for sample, i, j in tiles]
        g = winograd_channels.tiles_geometry(
            places, out_blocks, y.samples * y.plane, y.row,
            outputs=self.outputs, ending=ending, bias=int(bias is not None),
        )  # fmt: skip
        plan.emit(winograd_channels.points_to_tiles, [m, bias, y, scratch], g)
