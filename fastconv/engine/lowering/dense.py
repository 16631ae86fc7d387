"""Dense layers as operations of a plan."""

from ...kernels.lanes import conv, conv_grad_weight, dense
from ...nn.dense import Dense
from ..memory import CopyDistance, Planes
from . import conv_geometry
from .base import WeightedLowering
from .channels import emit_dense, ending_of

FEW_WEIGHTS = 32  # a dense layer of so few is faster differentiated block by block than as a matrix product


class DenseLowering(WeightedLowering, layer=Dense):
    folds = True
    reads_scalars = True
    takes_blocks_together = True

    def step_cost(self):
        return 3 * self.cost()

    def forward(self, x, y, relu):
        if self.few:
            emit_dense(self, x, y, relu, dense.DENSE_PRODUCTS)
            return
        bias = self.parameter("bias")
        sizes = x.features, y.features, int(bias is not None)
        g = dense.forward_geometry(*sizes, ending_of(relu), self._block(y))
        self._multiply([x, self.parameter("weight"), bias, None, y], g)

    def backward(self, x, y, dy, dx, gate):
        if self.trains:
            self._weight_gradient(x, dy)
        if dx is not None:
            ending = conv.GATE if gate else conv.PLAIN
            g = dense.grad_input_geometry(x.features, dy.features, ending, self._block(dx))
            self._multiply([dy, self.parameter("weight"), None, x if gate else None, dx], g)

    def _block(self, y):
        """The distance from one block to the next, where all are taken together; else 0."""
        return CopyDistance(y.storage) if self.together else 0

    def _multiply(self, operands, g):
        """Emit a product of the weights with each block, or with all of them together."""
        self.plan.emit(dense.dense, operands, g, "batch" if self.together else "block")

    def _weight_gradient(self, x, dy):
        """Emit the gradients of weight and bias."""
        if self.parameter("weight").count <= FEW_WEIGHTS:
            ones, zeros = (1, 1), (0, 0)  # a convolution of one position
            g = conv_geometry.conv_grad_weight(
                x.features, dy.features, ones, ones, ones, zeros, ones, 1, ones, ones, int(self.layer.bias)
            )
            flat = Planes(dy.storage, dy.features, 1, 1, label=dy.label)
            self.plan.emit(conv_grad_weight.contract_grad_weight, [x, flat, self.sums_of_blocks()], g)
        else:
            self._multiply_rows(x, dy)

    def _multiply_rows(self, x, dy):
        """Emit the weight's gradient as a product of matrices, samples x features, over the whole batch."""
        x_rows, dy_rows = self.emitter.to_rows(x), self.emitter.to_rows(dy)
        sizes = x.features, dy.features, x_rows.length, dy_rows.length, int(self.layer.bias), self.plan.lanes
        if not self.plan.shared:
            operands = [x_rows, dy_rows, self.gradient("weight"), self.gradient("bias")]
            g = dense.grad_weight_geometry(*sizes)
            self.emitter.after_backward.append((dense.rows_grad_weight, operands, g))
            return
        sums = self.sums_of_shards()
        bias = self.behind_weight(sums) if self.layer.bias else None
        g = dense.grad_weight_geometry(*sizes, CopyDistance(sums.storage))
        operands = [x_rows, dy_rows, sums, bias]
        self.emitter.before_sharing.append((dense.rows_grad_weight, operands, g))
