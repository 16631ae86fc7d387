"""Upsampling as operations of a plan."""

import numpy as np

from ...kernels.lanes import resize
from ...nn.resize import Upsample
from .base import Lowering


class UpsampleLowering(Lowering, layer=Upsample):
    in_place = False
    learns_from_few = True

    def forward(self, x, y, relu):
        if self.layer.mode == "nearest":
            g = resize.upsample_geometry(x, y, self._scale())
            self.plan.emit(resize.upsample_nearest, [x, y], g)
        else:
            fractions, g = self._lines(x, y)
            self.plan.emit(resize.upsample_linear, [x, y, fractions], g)

    def backward(self, x, y, dy, dx, gate):
        if dx is None:
            return
        if self.layer.mode == "nearest":
            g = resize.upsample_geometry(dx, dy, self._scale())
            self.plan.emit(resize.upsample_nearest_grad, [dy, dx], g)
        else:
            fractions, g = self._lines(dx, dy)
            self.plan.emit(resize.upsample_linear_grad, [dy, dx, fractions], g)

    def _scale(self):
        """(down, across); of a signal, which is an image of one line, (1, along)."""
        pairs = zip(self.output_shape[1:], self.input_shape[1:], strict=True)
        return tuple(large // small for large, small in pairs)

    def _lines(self, small, large):
        """The fractions of the lines and columns between others, in memory, and the geometry."""
        scale, aligned = self._scale(), self.layer.align_corners
        sizes = small.height, small.width
        places, fractions = zip(
            *(resize.between(size, factor, aligned) for size, factor in zip(sizes, scale, strict=True)),
            strict=True,
        )
        numbers = np.concatenate(fractions).astype(self.plan.dtype)
        operand = self.plan.array(numbers, count=numbers.size, label=f"fractions{self.number}")
        return operand, resize.upsample_linear_geometry(small, large, scale, places)
