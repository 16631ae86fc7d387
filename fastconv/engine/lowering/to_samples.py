"""From few samples with their channels in the lanes to a block of samples, and back."""

from ...kernels.lanes import layout
from .base import Lowering


class ToSamples(Lowering):
    """A value of few samples, whose channels lie in the lanes, for layers that want samples in them.

    It is no layer of the network: the builder puts it in, and it counts as part of the layer `reader`.
    """

    in_place = False
    reads_scalars = True
    takes_several = False
    few = 0  # of what it makes

    def __init__(self, reader, shape, value, output, emitter):
        self.number, self.name, self.emitter, self.plan = reader, None, emitter, emitter.plan
        self.input_shape = self.output_shape = shape
        self.inputs, self.output = (value,), output

    def forward(self, x, y, relu):
        y.storage.shape = None  # the lanes past the samples stay as they are, so that it is nobody else's
        g = layout.regroup_geometry(x.samples, *self._in_channels(x), *self._in_samples(y))
        self.plan.emit(layout.regroup, [x, y], g)

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            dx.storage.shape = None  # so do the lanes past the channels
            g = layout.regroup_geometry(dx.samples, *self._in_samples(dy), *self._in_channels(dx))
            self.plan.emit(layout.regroup, [dy, dx], g)

    def _in_channels(self, planes):
        """At which scalar each feature of few samples lies, and how far one of them is from the next."""
        return planes.scalar_table(self.plan.lanes), planes.sample_distance(self.plan.lanes)

    def _in_samples(self, planes):
        """The same of a block of samples."""
        return planes.table() * self.plan.lanes, 1
