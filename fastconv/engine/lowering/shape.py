"""Flatten as an operation of a plan."""

from ...kernels.lanes import layout
from ...kernels.lanes.planes import plane_geometry
from ...nn.shape import Flatten
from ..memory import Planes
from .base import Lowering


class FlattenLowering(Lowering, layer=Flatten):
    """Features in row-major order are what planes without a halo hold already; others are copied.

    A single sample stays as it is: its readers know the order of the features.
    """

    repeated = True
    passes_on = True

    def forward(self, x, y, relu):
        self._copy(x, Planes(y.storage, *x.sizes, label=y.label))

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            self._copy(Planes(dy.storage, *dx.sizes, label=dy.label), dx)

    def _copy(self, source, target):
        if source.storage is not target.storage:
            self.plan.emit(layout.copy_planes, [source, target], plane_geometry(source, target))
