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
        self._regroup(x, y, x.samples)

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            dx.storage.shape = None  # so do the lanes past the channels
            self._regroup(dy, dx, dx.samples)

    def _regroup(self, source, target, samples):
        """Emit the copy of all features of the samples."""
        lanes = self.plan.lanes
        g = layout.regroup_geometry(samples, *source.scalars(lanes), *target.scalars(lanes))
        self.plan.emit(layout.regroup, [source, target], g)
