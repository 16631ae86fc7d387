"""How each layer is computed: the lane operations of its forward and its backward pass.

One class a layer, found by its name; to add a layer, add its record to `layers.py` and its class here.
"""

import math
from typing import ClassVar

import numpy as np

from .lanes import activations, contract, dense, norm, pack, pool, single, tables
from .plan import CopyDistance, Planes, Rows

LOWERINGS: dict = {}
FEW_WEIGHTS = 32  # a dense layer of so few is faster differentiated block by block than as a matrix product


class Lowering:
    """A layer in a plan. Defaults describe an elementwise layer that may work in place.

    x, y, dy and dx are planes; dx is None where nobody needs the input gradient.
    """

    in_place: ClassVar[bool] = True  # y may be the same memory as x
    needs_output: ClassVar[bool] = False  # backward reads y, so that no later layer may overwrite it
    fuses_relu: ClassVar[bool] = False  # forward can end in max(y, 0)
    gates: ClassVar[bool] = False  # backward can zero dx where x is not positive
    reads_positions: ClassVar[bool] = False  # x, of a single sample, are planes of scalars

    def __init_subclass__(cls):
        LOWERINGS[cls.__name__] = cls

    def __init__(self, number, layer, network, builder):
        self.number, self.layer, self.builder = number, layer, builder
        self.plan = builder.plan
        self.input_shape, self.output_shape = network.shapes[number], network.shapes[number + 1]

    def input_halo(self):
        """Zeros that forward reads around x: (top, bottom, left, right)."""
        return (0, 0, 0, 0)

    def gradient_halo(self):
        """Zeros that backward reads around dy."""
        return (0, 0, 0, 0)

    def forward(self, x, y, relu):
        """Emit y from x; `relu` asks for max(y, 0), where `fuses_relu`."""
        raise NotImplementedError

    def backward(self, x, y, dy, dx, gate):
        """Emit the gradients; `gate` asks for dx = 0 where x is not positive, where `gates`."""
        raise NotImplementedError

    def elementwise(self, operation, operands, planes):
        """Emit an operation over planes of one size with the steps of each of `planes`."""
        steps = [step for p in planes for step in p.steps]
        self.plan.emit(operation, operands, [*planes[0].sizes, *steps, *[0] * (6 - len(steps)), self.number])


class _Activation(Lowering):
    function: ClassVar = None
    gradient: ClassVar = None
    needs_output = True

    def forward(self, x, y, relu):
        self.elementwise(self.function, [x, y, *self.options()], [x, y])

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            self.elementwise(self.gradient, [dy, dx, y, *self.options()], [dy, dx, y])

    def options(self):
        """Further operands: the layer's own numbers."""
        return []


class ReLU(_Activation):
    function, gradient = activations.relu, activations.relu_grad


class LeakyReLU(_Activation):
    function, gradient = activations.leaky_relu, activations.leaky_relu_grad

    def options(self):
        return [self.builder.numbers([self.layer.negative_slope])]


class Sigmoid(_Activation):
    function, gradient = activations.sigmoid, activations.sigmoid_grad


class Tanh(_Activation):
    function, gradient = activations.hyperbolic_tangent, activations.hyperbolic_tangent_grad


class Softmax(_Activation):
    function, gradient = activations.softmax, activations.softmax_grad

    def forward(self, x, y, relu):
        if not self.builder.single:
            super().forward(x, y, relu)
            return
        table = self.builder.scalar_table(self.number, x)
        self.plan.emit(single.softmax_channels, [x, y], [x.features, len(table), *table])


class Dropout(Lowering):
    def forward(self, x, y, relu):
        self._mask(x, y)

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            self._mask(dy, dx)

    def _mask(self, source, target):
        rate = self.layer.p if self.builder.training else 0.0
        if rate or source.storage is not target.storage:
            self.elementwise(
                activations.dropout, [source, target, self.builder.numbers([rate])], [source, target]
            )


class Flatten(Lowering):
    """Features in row-major order are what planes without a halo hold already; others are copied.

    A single sample stays as it is: its readers know the order of the features.
    """

    def forward(self, x, y, relu):
        self._copy(x, Planes(y.storage, *x.sizes, label=y.label))

    def backward(self, x, y, dy, dx, gate):
        if dx is not None:
            self._copy(Planes(dy.storage, *dx.sizes, label=dy.label), dx)

    def _copy(self, source, target):
        if source.storage is not target.storage:
            self.plan.emit(pack.copy_planes, [source, target], [*source.sizes, *source.steps, *target.steps])


def _ending(relu):
    """What becomes of the sums of a forward pass."""
    return contract.RELU if relu else contract.PLAIN


class _Weighted(Lowering):
    """A layer with a weight and perhaps a bias."""

    in_place = False
    fuses_relu = True
    gates = True

    def parameter(self, name):
        """The layer's parameter in memory, or None."""
        return self.builder.parameter(f"{self.number}.{name}")

    def forward_one_position(self, x, y, relu, table, at_once):
        """Emit y, one position, from the x of a single sample; `table` says at which scalar each tap lies."""
        weight, bias = self.parameter("weight"), self.parameter("bias")
        sizes = [self.output_shape[0], len(table), at_once, y.plane, _ending(relu), int(bias is not None)]
        self.plan.emit(single.dense_channels, [x, weight, bias, y], [*sizes, *table])

    def gradient(self, name):
        """Where the sum of the parameter's gradient goes, or None."""
        return self.builder.gradient(f"{self.number}.{name}")

    def sum_in_shards(self, x, dy, g):
        """Emit the gradients of weight and bias as sums over positions and lanes, block by block."""
        if self.plan.blocks == 1:
            self.plan.emit(contract.contract_grad_weight, [x, dy, self.gradient("weight")], g)
            return
        size = self.parameter("weight").count + (dy.channels if self.layer.bias else 0)
        shard = self.plan.rows(size, "shard", f"shards{self.number}")
        self.plan.emit(contract.contract_grad_weight, [x, dy, shard], g)
        self.builder.after_backward(
            contract.add_shards, [shard, self.gradient("weight")], [size, CopyDistance(shard.storage)]
        )


class Conv2d(_Weighted):
    def __init__(self, *args):
        super().__init__(*args)
        (self.top, self.bottom), (self.left, self.right) = self.layer.pads()
        self.channels, *self.in_size = self.input_shape
        self.out_size = self.output_shape[1:]

    def input_halo(self):
        ends = [
            (out - 1) * stride + (kernel - 1) * dilation + 1 - size - first
            for out, stride, kernel, dilation, size, first in zip(
                self.out_size, self.layer.stride, self.layer.kernel_size, self.layer.dilation, self.in_size,
                (self.top, self.left), strict=True,
            )
        ]  # fmt: skip
        return self.top, max(0, ends[0]), self.left, max(0, ends[1])

    def gradient_halo(self):
        if not self.builder.needs_gradient(self.number):
            return (0, 0, 0, 0)
        layer = self.layer
        return tables.grad_input_halo(
            layer.kernel_size,
            *self._sizes(),
            layer.stride,
            (self.top, self.left),
            layer.dilation,
        )

    def _shape(self):
        layer = self.layer
        return self.channels, layer.out_channels, layer.kernel_size

    def _sizes(self):
        return tuple(self.in_size), tuple(self.out_size)

    def _windows(self):
        layer = self.layer
        return layer.stride, (self.top, self.left), layer.dilation, layer.groups

    def forward(self, x, y, relu):
        if self.builder.single:
            self._forward_single(x, y, relu)
            return
        ending = _ending(relu)
        g = tables.conv_forward(
            *self._shape(), *self._sizes(), *self._windows(), x.steps, y.steps, int(self.layer.bias), ending
        )
        self.plan.emit(contract.contract, [x, self.parameter("weight"), self.parameter("bias"), None, y], g)

    def _forward_single(self, x, y, relu):
        if self.reads_positions:
            self._forward_positions(x, y, relu)
        elif self.out_size == (1, 1):
            at_once = self._channels_at_once() * math.prod(self.layer.kernel_size)
            self.forward_one_position(x, y, relu, self._taps(x), at_once)
        else:
            self._forward_channels(x, y, relu)

    @property
    def reads_positions(self):
        """Whether the first layer is better off with positions in the lanes: its channels fill too few."""
        channels, lanes = self.output_shape[0], self.plan.lanes
        fits = self.layer.stride == (1, 1) and self.channels <= self._channels_at_once()
        fill = channels / (-(-channels // lanes) * lanes)
        return self.number == 0 and fits and self.out_size != (1, 1) and fill <= 0.75

    def _channels_at_once(self):
        return contract.channels_at_once(math.prod(self.layer.kernel_size))

    def _taps(self, x):
        """At which scalar of the channels x each tap of the window at the first position lies."""
        layer, lanes = self.layer, self.plan.lanes
        c, kh, kw = (index.ravel() for index in np.indices((self.channels, *layer.kernel_size)))
        h, w = kh * layer.dilation[0] - self.top, kw * layer.dilation[1] - self.left
        return (c // lanes * x.plane + h * x.row + w) * lanes + c % lanes

    def _forward_channels(self, x, y, relu):
        plan, weight, bias = self.plan, self.parameter("weight"), self.parameter("bias")
        taps = weight.count // self.output_shape[0]
        packed, packed_bias = (
            plan.rows(y.channels * n * plan.lanes, "thread", f"packed_{name}{self.number}")
            for name, n in (("weight", taps), ("bias", 1))
        )
        sizes = [self.output_shape[0], taps, int(bias is not None)]
        plan.emit(single.pack_weights, [weight, packed, bias, packed_bias], sizes)
        layer, padding = self.layer, (self.top, self.left)
        g = single.contract_geometry(
            x, self.channels, y, layer.kernel_size, layer.stride, padding, layer.dilation,
            plan.lanes, _ending(relu), sizes[2],
        )  # fmt: skip
        plan.emit(single.contract_channels, [x, packed, packed_bias, y], g)

    def _forward_positions(self, x, y, relu):
        """The first position's window begins in the corner of the halo, where the storage does."""
        plan, layer, bias = self.plan, self.layer, self.parameter("bias")
        channels, dilation = self.output_shape[0], layer.dilation
        vectors = -(-((y.height - 1) * x.row + y.width) // plan.lanes)
        plane = vectors + single.SLACK
        positions = plan.rows(channels * plane * plan.lanes, "thread", f"positions{self.number}")
        sizes = [channels, vectors, self.channels, *layer.kernel_size]
        steps = [x.plane, dilation[0] * x.row, dilation[1], plane]
        plan.emit(
            single.contract_positions,
            [Rows(x.storage, label=x.label), self.parameter("weight"), bias, positions],
            [*sizes, *steps, _ending(relu), int(bias is not None), *range(single.SLACK)],
        )
        g = [channels, y.height, y.width, plane * plan.lanes, x.row, y.plane, y.row]
        plan.emit(single.positions_to_channels, [positions, y], g)

    def backward(self, x, y, dy, dx, gate):
        g = tables.conv_grad_weight(
            *self._shape(), self.out_size, *self._windows(), x.steps, dy.steps, int(self.layer.bias)
        )
        self.sum_in_shards(x, dy, g)
        if dx is not None:
            self._input_gradient(dy, dx, self.parameter("weight"), x if gate else None)

    def _input_gradient(self, dy, dx, weight, gate):
        ending = contract.PLAIN if gate is None else contract.GATE
        for row in range(self.layer.stride[0]):
            for column in range(self.layer.stride[1]):
                g = tables.conv_grad_input(
                    *self._shape(),
                    *self._sizes(),
                    *self._windows(),
                    dx.steps,
                    dy.steps,
                    (row, column),
                    ending,
                )
                self.plan.emit(contract.contract, [dy, weight, None, gate, dx], g)


class Dense(_Weighted):
    def forward(self, x, y, relu):
        if self.builder.single:
            table = self.builder.scalar_table(self.number, x)
            self.forward_one_position(x, y, relu, table, dense.DENSE_PRODUCTS)
            return
        g = dense.forward_geometry(x.features, y.features, int(self.layer.bias), _ending(relu))
        self.plan.emit(dense.dense, [x, self.parameter("weight"), self.parameter("bias"), None, y], g)

    def backward(self, x, y, dy, dx, gate):
        if self.parameter("weight").count <= FEW_WEIGHTS:
            ones, zeros = (1, 1), (0, 0)  # a convolution of one position
            g = tables.conv_grad_weight(
                x.features, dy.features, ones, ones, ones, zeros, ones, 1, ones, ones, int(self.layer.bias)
            )
            self.sum_in_shards(x, Planes(dy.storage, dy.features, 1, 1, label=dy.label), g)
        else:
            self._multiply_rows(x, dy)
        if dx is not None:
            ending = contract.GATE if gate else contract.PLAIN
            g = dense.grad_input_geometry(x.features, dy.features, ending)
            operands = [dy, self.parameter("weight"), None, x if gate else None, dx]
            self.plan.emit(dense.dense, operands, g)

    def _multiply_rows(self, x, dy):
        """Emit the weight's gradient as a product of matrices, samples x features, over the whole batch."""
        x_rows, dy_rows = self.builder.to_rows(x), self.builder.to_rows(dy)
        g = dense.grad_weight_geometry(
            x.features, dy.features, x_rows.length, dy_rows.length, int(self.layer.bias), self.plan.lanes
        )
        operands = [x_rows, dy_rows, self.gradient("weight"), self.gradient("bias")]
        self.builder.after_backward(dense.rows_grad_weight, operands, g)


class MaxPool2d(Lowering):
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
        training = self.builder.training
        gated = training and self.builder.relu_follows(self.number - 2)
        self.argmax = self.plan.planes(self.output_shape, label=f"argmax{self.number}") if training else None
        self.plan.emit(pool.max_pool, [x, y, self.argmax], [*self._geometry(x, y), int(training), int(gated)])

    def backward(self, x, y, dy, dx, gate):
        if dx is None:
            return
        layer = self.layer
        reach = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
        overlaps = any(r > s for r, s in zip(reach, layer.stride, strict=True))
        self.plan.emit(pool.max_pool_grad, [dy, self.argmax, dx], [*self._geometry(dx, dy), int(overlaps)])


class AvgPool2d(Lowering):
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


class GlobalAvgPool2d(AvgPool2d):
    def _windows(self, x):
        size = x.height, x.width
        return size, size, (0, 0), True


class BatchNorm2d(_Weighted):
    fuses_relu = False
    gates = False

    def _geometry(self, x, y, dx):
        steps = [step for p in (x, y, dx) for step in p.steps]
        return [
            *self.input_shape,
            *steps,
            CopyDistance(x.storage),
            CopyDistance(y.storage),
            int(self.builder.training),
        ]

    def forward(self, x, y, relu):
        x_channels = self.input_shape[0]
        self.saved = self.plan.rows(2 * x_channels, label=f"saved{self.number}")
        momentum = self.layer.momentum if self.builder.updates_statistics else 0.0
        options = self.builder.numbers([momentum, self.layer.eps])
        running = self.builder.statistic(f"{self.number}.running_mean")
        g = self._geometry(x, y, y)
        self.plan.emit(norm.batch_norm_statistics, [x, self.saved, running, options], g, stage="batch")
        gamma, beta = self.parameter("weight"), self.parameter("bias")
        operands = [x, y, self.saved, gamma, beta]
        if self.builder.single:
            self.plan.emit(single.norm_channels, operands, [*x.sizes, *x.steps, *y.steps, x_channels])
        else:
            self.plan.emit(norm.batch_norm, operands, g)

    def backward(self, x, y, dy, dx, gate):
        dgamma, dbeta = self.gradient("weight"), self.gradient("bias")
        g = self._geometry(x, dy, dy if dx is None else dx)
        self.plan.emit(norm.batch_norm_grad_sums, [x, dy, self.saved, dgamma, dbeta], g, stage="batch")
        if dx is not None:
            operands = [x, dy, dx, self.saved, self.parameter("weight"), dgamma]
            self.plan.emit(norm.batch_norm_grad_input, operands, g)


def table_geometry(planes, row_length):
    """Geometry of the transposes between rows and lanes."""
    return np.array([planes.features, row_length, *planes.table()], np.int64)
