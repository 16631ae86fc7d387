"""Activations that users write, as operations of a plan."""

from ...kernels.lanes import user_functions
from ...nn.elementwise import Elementwise
from .base import Lowering


class ElementwiseLowering(Lowering, layer=Elementwise):
    needs_output = True
    in_place = False  # LLVM makes vectors of the loop only where x and y are known to differ; dx needs x

    def forward(self, x, y, relu):
        self.plan.emit(user_functions.elementwise(self.layer.function), [x, y], self._geometry(x, y))

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            operation = user_functions.elementwise_grad(self.layer.derivative)
            self.plan.emit(operation, [dy, dx, x, y], self._geometry(x, y, dx, dy))

    def _geometry(self, x, *others):
        steps = [step for planes in (x, *others) for step in planes.steps]
        return [*x.sizes, int(self.emitter.training), *steps]
