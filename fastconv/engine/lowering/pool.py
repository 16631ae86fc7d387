"""Pools as operations of a plan."""

from ...checks.padding import first_of
from ...kernels.lanes import pool
from ...nn.pool import AdaptiveAvgPool2d, AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d
from .base import Lowering


class MaxPool2dLowering(Lowering, layer=MaxPool2d):
    in_place = False
    gates = True  # forward has already marked where nothing is positive
    learns_from_few = True

    def _geometry(self, x, y, **more):
        return pool.max_pool_geometry(x, y, *self._windows(x), **more)

    def _windows(self, x):
        layer = self.layer
        return layer.kernel_size, layer.stride, first_of(layer.pads(self.input_shape)), layer.dilation

    def forward(self, x, y, relu):
        training = self.emitter.training
        gated = training and self.follows_relu
        self.argmax = self.plan.planes(y.sizes, label=f"argmax{self.number}") if training else None
        g = self._geometry(x, y, taps_wanted=training, gated=gated)
        self.plan.emit(pool.max_pool, [x, y, self.argmax], g)

    def backward(self, x, y, dy, dx, gate):
        if dx is None:
            return
        self.plan.emit(pool.max_pool_grad, [dy, self.argmax, dx], self._geometry(dx, dy))


class GlobalMaxPool2dLowering(MaxPool2dLowering, layer=GlobalMaxPool2d):
    def _windows(self, x):
        size = x.height, x.width
        return size, size, (0, 0), (1, 1)


class AvgPool2dLowering(Lowering, layer=AvgPool2d):
    in_place = False
    learns_from_few = True

    def _geometry(self, x, y):
        return pool.avg_pool_geometry(x, y, *self._windows(x))

    def _windows(self, x):
        layer = self.layer
        return layer.kernel_size, layer.stride, layer.pads(self.input_shape), layer.count_include_pad

    def forward(self, x, y, relu):
        self.plan.emit(pool.avg_pool, [x, y], self._geometry(x, y))

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            self.plan.emit(pool.avg_pool_grad, [dy, dx], self._geometry(dx, dy))


class GlobalAvgPool2dLowering(AvgPool2dLowering, layer=GlobalAvgPool2d):
    def _windows(self, x):
        size = x.height, x.width
        return size, size, ((0, 0), (0, 0)), True


class AdaptiveAvgPool2dLowering(AvgPool2dLowering, layer=AdaptiveAvgPool2d):
    def _geometry(self, x, y):
        return pool.adaptive_pool_geometry(x, y)
