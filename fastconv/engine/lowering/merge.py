"""Where branches meet, as operations of a plan."""

import math
from dataclasses import replace

from ...kernels.lanes import layout, merge
from ...kernels.lanes.planes import plane_geometry
from ...nn.merge import Stack, Sum
from .base import Lowering


class SumLowering(Lowering, layer=Sum):
    """The gradient of each input is that of the output: the builder hands it on."""

    fuses_relu = True
    is_sum = True
    passes_gradient = True

    def forward(self, x, y, relu):
        """y is the memory of one of `x`, or of none."""
        own = next((k for k, value in enumerate(x) if value.storage is y.storage), 0)
        first, *others = (self.laid_out_as(value, y) for value in (x[own], *x[:own], *x[own + 1 :]))
        for k, other in enumerate(others):
            operation = merge.add_planes_relu if relu and k == len(others) - 1 else merge.add_planes
            self.elementwise(operation, [first, y, other], [first, y, other])
            first = y


class StackLowering(Lowering, layer=Stack):
    in_place = False

    def forward(self, x, y, relu):
        if self.emitter.few:
            self._stack_channels(x, y)
            return
        for value, part in zip(x, self._parts(x, y), strict=True):
            self._copy(value, part)

    def _stack_channels(self, x, y):
        """Emit y from values whose channels share planes: whole planes, or scalars that change their lanes.

        Features that were an image's still lie as that does.
        """
        lanes, place, first = self.plan.lanes, y.image[1] * y.image[2], 0
        table = y.scalar_table(lanes)
        for value in x:
            last = first + math.prod(value.image)
            channel, whole = first // place, last % (place * lanes) == 0 or last == len(table)
            if value.image[1:] == y.image[1:] and channel % lanes == 0 and whole:
                self._copy(
                    value, replace(y, channels=value.channels, first_channel=channel // lanes * y.samples)
                )
            else:
                self.regroup(value.scalar_table(lanes), value, y, table[first:last])
            first = last

    def backward(self, x, y, dy, dx, gate):
        for slope, part in zip(dx, self._parts(x, dy), strict=True):
            if slope is not None:
                self._copy(part, slope)

    def _parts(self, x, whole):
        """The planes of `whole` that belong to each of `x`."""
        first = 0
        for value in x:
            yield replace(whole, channels=value.channels, first_channel=whole.first_channel + first)
            first += value.channels

    def _copy(self, source, target):
        self.plan.emit(layout.copy_planes, [source, target], plane_geometry(source, target))
