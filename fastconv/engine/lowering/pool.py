"""Pools as operations of a plan."""

from ...kernels.lanes import pool
from ...nn.pool import AvgPool2d, GlobalAvgPool2d, MaxPool2d
from .base import Lowering


class MaxPool2dLowering(Lowering, layer=MaxPool2d):
    in_place = False
    gates = True  # forward has already marked where nothing is positive

    def _geometry(self, x, y):
        layer = self.layer
        windows = layer.kernel_size, layer.stride, layer.padding, layer.dilation
        inside = all(
            pad == 0 and (out - 1) * stride + dilation < size
            for size, out, stride, pad, dilation in zip(
                (x.height, x.width), (y.height, y.width), *windows[1:], strict=True
            )
        )
        fours = layer.kernel_size == (2, 2) and inside
        return [
            *y.sizes,
            x.height,
            x.width,
            *(n for pair in windows for n in pair),
            *x.steps,
            *y.steps,
            int(fours),
        ]

    def forward(self, x, y, relu):
        training = self.emitter.training
        gated = training and self.follows_relu
        self.argmax = self.plan.planes(self.output_shape, label=f"argmax{self.number}") if training else None
        self.plan.emit(pool.max_pool, [x, y, self.argmax], [*self._geometry(x, y), int(training), int(gated)])

    def backward(self, x, y, dy, dx, gate):
        if dx is None:
            return
        layer = self.layer
        reach = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
        overlaps = any(r > s for r, s in zip(reach, layer.stride, strict=True))
        self.plan.emit(pool.max_pool_grad, [dy, self.argmax, dx], [*self._geometry(dx, dy), int(overlaps)])


class AvgPool2dLowering(Lowering, layer=AvgPool2d):
    in_place = False

    def _geometry(self, x, y):
        kernel, stride, padding, counted = self._windows(x)
        return [
            *y.sizes,
            x.height,
            x.width,
            *kernel,
            *stride,
            *padding,
            1,
            1,
            *x.steps,
            *y.steps,
            int(counted),
        ]

    def _windows(self, x):
        layer = self.layer
        return layer.kernel_size, layer.stride, layer.padding, layer.count_include_pad

    def forward(self, x, y, relu):
        self.plan.emit(pool.avg_pool, [x, y], self._geometry(x, y))

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            self.plan.emit(pool.avg_pool_grad, [dy, dx], self._geometry(dx, dy))


class GlobalAvgPool2dLowering(AvgPool2dLowering, layer=GlobalAvgPool2d):
    def _windows(self, x):
        size = x.height, x.width
        return size, size, (0, 0), True
