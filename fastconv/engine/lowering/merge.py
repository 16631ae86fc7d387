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
    learns_from_few = True

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
    learns_from_few = True

    def forward(self, x, y, relu):
        if self.few:
            self._stack_channels(x, y)
            return
        for value, part in zip(x, self._parts(x, y), strict=True):
            self._copy(value, part)

    def _stack_channels(self, x, y):
        """Emit y from values whose channels share planes: whole planes, or scalars that change their lanes.

        Features that were an image's still lie as that does.
        """
        for value, part, table in self._channels_of(x, y):
            if table is None:
                self._copy(value, part)
            else:
                self.regroup(value.scalar_table(self.plan.lanes), value, y, table)

    def _channels_of(self, x, y):
        """Of each value, the planes of y that are its own, or in which scalars of y it lies."""
        lanes, place, first = self.plan.lanes, y.image[1] * y.image[2], 0
        table = y.scalar_table(lanes)
        for value in x:
            last = first + math.prod(value.image)
            channel, whole = first // place, last % (place * lanes) == 0 or last == len(table)
            if value.image[1:] == y.image[1:] and channel % lanes == 0 and whole:
                first_channel = channel // lanes * y.samples
                yield value, replace(y, channels=value.channels, first_channel=first_channel), None
            else:
                yield value, y, table[first:last]
            first = last

    def _gradients_of_channels(self, x, dy, dx):
        """Emit the gradients of values whose channels share planes."""
        for slope, (_, part, table) in zip(dx, self._channels_of(x, dy), strict=True):
            if slope is None:
                continue
            if table is None:
                self._copy(part, slope)
            else:
                slope.storage.shape = None  # not all lanes are written, so that it is nobody else's
                self.regroup(table, dy, slope, slope.scalar_table(self.plan.lanes))

    def backward(self, x, y, dy, dx, gate):
        if self.few:
            self._gradients_of_channels(x, dy, dx)
            return
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
