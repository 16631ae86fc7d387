"""Activations that users write, as operations of a plan."""

from ...kernels.lanes import user_functions
from ...nn.elementwise import Elementwise
from .base import Lowering


class ElementwiseLowering(Lowering, layer=Elementwise):
    needs_output = True
    in_place = False  # LLVM makes vectors of the loop only where x and y are known to differ; dx needs x
    learns_from_few = True

    def forward(self, x, y, relu):
        x = self.laid_out_as(x, y)
        g = user_functions.elementwise_geometry(self.emitter.training, x, y)
        self.plan.emit(user_functions.elementwise(self.layer.function), [x, y], g)

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            g = user_functions.elementwise_geometry(self.emitter.training, x, y, dx, dy)
            self.plan.emit(user_functions.elementwise_grad(self.layer.derivative), [dy, dx, x, y], g)
