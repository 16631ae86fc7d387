"""Activations that users write, as operations of a plan."""

from ...kernels.lanes import user_functions
from ...nn.elementwise import Elementwise
from .base import Lowering


class ElementwiseLowering(Lowering, layer=Elementwise):
    in_place = False  # LLVM makes vectors of the loop only where x and y are known to differ; dx needs x

    def forward(self, x, y, relu):
        self.plan.emit(user_functions.elementwise(self.layer.function), [x, y], self._geometry(x, y, y))

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            operation = user_functions.elementwise_grad(self.layer.derivative)
            self.plan.emit(operation, [dy, dx, x], self._geometry(x, dx, dy))

    def _geometry(self, x, y, dy):
        return [*x.sizes, *x.steps, *y.steps, *dy.steps, int(self.emitter.training)]
