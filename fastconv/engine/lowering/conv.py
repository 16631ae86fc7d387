"""Convolutions as operations of a plan."""

import math

from ...kernels.lanes import activations, conv
from ...kernels.lanes import strips as lanes_strips
from ...nn.conv import Conv2d
from ..values import largest
from . import conv_geometry, strips
from .base import WeightedLowering
from .channels import PACKED, Windows, emit_positions, ending_of
from .channels_grad_weight import (
    emit_channels_grad_bias,
    emit_channels_grad_weight,
    emit_depthwise_grad_weight,
)
from .depthwise import emit_forward, emit_grad_input, emit_grad_weight, takes_grad_input
from .transposed_channels import Transposed, emit_transposed, emit_transposed_depthwise
from .winograd import Winograd
from .winograd_channels import WinogradChannels
from .winograd_line import WinogradLine


def _size(planes):
    return planes.height, planes.width


class Conv2dLowering(WeightedLowering, layer=Conv2d):
    folds = True

    def __init__(self, *args):
        super().__init__(*args)
        (self.top, self.bottom), (self.left, self.right) = self.layer.pads(self.input_shape)
        self.channels, *self.in_size = self.input_shape
        self.out_size = self.output_shape[1:]
        layer = self.layer
        reach = [(k - 1) * d + 1 for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
        sides = zip(self.in_size, self.out_size, layer.stride, reach, (self.top, self.left), strict=True)
        self.axes = [strips.Axis(*side) for side in sides]
        self.products = layer.out_channels * self.channels // layer.groups * math.prod(layer.kernel_size)
        self._choose()

    @classmethod
    def learns_from_few_samples(cls, layer, channels):
        return layer.groups == 1 or layer.groups == channels == layer.out_channels

    @property
    def gates(self):
        return not self.few

    def cost(self):
        products = self.winograd_channels.cost() if self.few else self.winograd.forward_cost()
        if products is None:
            return super().cost()
        return products + math.prod(self.output_shape) // (self.plan.lanes if self.few else 1)

    def step_cost(self):
        layer, lanes, positions = self.layer, self.plan.lanes, math.prod(self.out_size)
        back = self.emitter.needs_gradient(self.inputs[0])
        if self.few:
            taps = math.prod(layer.kernel_size) * positions // layer.groups
            sums, sums_back = (
                -(-outputs // lanes) * inputs * taps
                for outputs, inputs in (
                    (layer.out_channels, self.channels),
                    (self.channels, layer.out_channels),
                )
            )
            forward = self.winograd_channels.cost() or sums
            sums_back = self.winograd_channels_back.cost() or sums_back
            return forward + sums + back * sums_back + -(-layer.out_channels // lanes) * positions
        products = [share * self.products * positions for share in (self.share, self.gradient_share)]
        for k, form in enumerate((self.winograd.forward, self.winograd.input_gradient)):
            if form is not None:
                products[k] = min(products[k], self.winograd.cost)
        return 2 * products[0] + back * products[1] + layer.out_channels * positions

    def packing_cost(self):
        return PACKED * self.emitter.parameter(f"{self.name}.weight").count

    def input_halo(self):
        ends = [
            (axis.out_size - 1) * axis.stride + axis.reach - axis.in_size - axis.padding for axis in self.axes
        ]
        return largest((self.top, ends[0], self.left, ends[1]), self.winograd.input_halo())

    def gradient_halo(self):
        if not self.emitter.needs_gradient(self.inputs[0]):
            return self.winograd.gradient_halo()
        layer = self.layer
        direct = conv_geometry.grad_input_halo(
            layer.kernel_size,
            *self._sizes(),
            layer.stride,
            (self.top, self.left),
            layer.dilation,
        )
        return largest(direct, self.winograd.gradient_halo())

    def _shape(self):
        layer = self.layer
        return self.channels, layer.out_channels, layer.kernel_size

    def _sizes(self):
        return tuple(self.in_size), tuple(self.out_size)

    def _windows(self, padding):
        layer = self.layer
        return layer.stride, padding, layer.dilation, layer.groups

    def prepare(self):
        self.winograd.prepare(self)

    def forward(self, x, y, relu):
        if self.few:
            if self.winograd_channels.pays:
                self.winograd_channels.emit(self, x, y, ending_of(relu), self.parameter("bias"))
            elif self._takes_positions():
                emit_positions(self, x, y, relu)
            else:
                Windows(self, x, y, (self.top, self.left)).emit(relu)
            return
        if self.winograd.forward is not None:
            self.winograd.emit_forward(self, x, y, ending_of(relu))
            return
        ending = ending_of(relu)
        if self.cut is None:
            self._sums(x, y, (self.top, self.left), ending)
            return
        self.x_strips = self._cut_strips(self.cut, x, self.cut.windows(self.axes, x.halo), "x")
        outputs = self.cut.spans(self.out_size)
        y_strips = self._strips(outputs, y, "y")
        self._sums(self.x_strips, y_strips, (0, 0), ending)
        self._join_strips(self.cut, y_strips, y, outputs)

    def _sums(self, x, y, padding, ending):
        """Emit y from x, whose windows begin so far before its first element."""
        bias = self.parameter("bias")
        operands = [x, self.parameter("weight"), bias, None, y]
        rest = x.steps, y.steps, int(bias is not None), ending
        emit_forward(self.plan, operands, self._shape(), (_size(x), _size(y)), self._windows(padding), *rest)

    @property
    def reads_scalars(self):
        """Whether x may be planes of scalars: it is not vectors of channels that are multiplied or added."""
        depthwise = 1 < self.layer.groups == self.channels == self.layer.out_channels
        return not (depthwise or self.winograd_channels.pays)

    def _takes_positions(self):
        """Whether the first layer is better off with positions in the lanes: its channels fill too few."""
        layer, channels, lanes = self.layer, self.output_shape[0], self.plan.lanes
        in_one_part = self.channels <= conv_geometry.channels_at_once(math.prod(layer.kernel_size))
        fits = layer.stride == (1, 1) and layer.groups == 1 and in_one_part and self.out_size != (1, 1)
        return self.reads_input_alone and fits and channels / (-(-channels // lanes) * lanes) <= 0.75

    @property
    def adds_gradient(self):
        """Whether the input gradient is made of direct sums, in the memory that it is for."""
        direct = self.winograd.input_gradient is None and self.gradient_cut is None
        return direct and not self.few and not takes_grad_input(self._shape(), self.layer.groups)

    def backward(self, x, y, dy, dx, gate):
        if self.few:
            self._gradients_of_few(x, dy, dx)
            return
        padding = self.top, self.left
        if self.winograd.weight_gradient is not None:
            self.winograd.emit_weight_gradient(self, x, dy)
        elif self.trains and self.cut is None:
            self._weight_gradient(x, dy, padding)
        elif self.trains:
            dy_strips = self._cut_strips(self.cut, dy, self.cut.spans(self.out_size), "dy")
            self._weight_gradient(self.x_strips, dy_strips, (0, 0))
        if dx is None:
            return
        if self.winograd.input_gradient is not None:
            self.winograd.emit_input_gradient(dy, dx, x if gate else None)
        elif self.gradient_cut is None:
            self._input_gradient(dy, dx, padding, x if gate else None)
        else:
            self._input_gradient_in_strips(dy, dx, self.gradient_cut)
            if gate:
                self.elementwise(activations.relu_grad, [dx, dx, x], [dx, dx, x])

    def _gradients_of_few(self, x, dy, dx):
        """Emit the gradients of samples whose channels lie in the lanes."""
        depthwise = self.layer.groups > 1
        if self.trains:
            windows = Windows(self, x, dy, (self.top, self.left))
            sums = (emit_depthwise_grad_weight if depthwise else emit_channels_grad_weight)(windows)
            emit_channels_grad_bias(self, dy, sums)
        if dx is None:
            return
        if self.winograd_channels_back.pays:
            self.winograd_channels_back.emit(self, dy, dx, conv.PLAIN)
            return
        back = Transposed(
            self, self.layer.out_channels, self.channels, tuple(self.in_size), (self.top, self.left)
        )
        if depthwise:
            emit_transposed_depthwise(back, dy, dx)
        else:
            emit_transposed(back, dy, dx, conv.PLAIN)

    def _input_gradient_in_strips(self, dy, dx, cut):
        slopes, inputs = cut.slopes(self.axes, dy.halo), cut.spans(self.in_size)
        before = tuple(
            axis.padding - span.start * axis.stride for axis, span in zip(self.axes, slopes, strict=True)
        )
        dx_strips = self._strips(inputs, dx, "dx")
        self._input_gradient(self._cut_strips(cut, dy, slopes, "dy"), dx_strips, before, None)
        self._join_strips(cut, dx_strips, dx, inputs)

    def _weight_gradient(self, x, dy, padding):
        operands, rest = [x, dy, self.sums_of_blocks()], (x.steps, dy.steps, int(self.layer.bias))
        emit_grad_weight(self.plan, operands, self._shape(), _size(dy), self._windows(padding), *rest)

    def _input_gradient(self, dy, dx, padding, gate):
        operands = [dy, self.parameter("weight"), None, gate, dx]
        rest = dx.steps, dy.steps, 0, conv.PLAIN if gate is None else conv.GATE
        emit_grad_input(
            self.plan, operands, self._shape(), (_size(dx), _size(dy)), self._windows(padding), *rest,
            adds=self.adds,
        )  # fmt: skip

    # Strips of the images of few samples

    def _choose(self):
        """Decide how each pass is computed: in strips, by Winograd's products, or neither."""
        self.cut, self.share = self._best_cut(self.out_size, (1, 1), self._forward_cost)
        self.gradient_cut, self.gradient_share = self._best_cut(
            self.in_size, self.layer.stride, self._gradient_cost
        )
        along_a_line = 1 in self.layer.kernel_size
        self.winograd = (WinogradLine if along_a_line else Winograd)(self, self.share, self.gradient_share)
        self.winograd_channels = WinogradChannels(self)
        self.winograd_channels_back = WinogradChannels(self, turned=True)
        if self.winograd.forward is not None or self.winograd.weight_gradient is not None:
            self.cut = None

    def _best_cut(self, sizes, multiples, cost):
        """How the images are cut for sums of these sizes, or None, and the share of the cost that is left."""
        plan = self.plan
        samples = strips.samples_of_strip(plan.batch_size, plan.lanes)
        if samples == plan.lanes or not self.emitter.training or self.few:
            return None, 1.0
        return strips.best_cut(plan.lanes, samples, sizes, multiples, cost)

    def _forward_cost(self, cut, sizes):
        """The cost of outputs of `sizes`, and of the weight's gradient from them."""
        passes = 1 + self.trains
        products = passes * self.products * math.prod(sizes)
        if cut is None:
            return products
        read = [(n - 1) * axis.stride + axis.reach for n, axis in zip(sizes, self.axes, strict=True)]
        moves = cut.moves(self.channels, read) + passes * cut.moves(self.layer.out_channels, sizes)
        return products + strips.MOVE * moves

    def _gradient_cost(self, cut, sizes):
        """The cost of an input gradient of `sizes`."""
        products = self.products * math.prod(sizes) // math.prod(self.layer.stride)
        if cut is None:
            return products
        read = [(n + axis.reach) // axis.stride for n, axis in zip(sizes, self.axes, strict=True)]
        moves = cut.moves(self.layer.out_channels, read) + cut.moves(self.channels, sizes)
        return products + strips.MOVE * moves

    def _strips(self, spans, image, name):
        """Planes for strips of an image."""
        sizes = [span.size for span in spans]
        return self.plan.planes((image.channels, *sizes), label=f"{name}{self.number}_strips")

    def _cut_strips(self, cut, image, spans, name):
        """Emit the cut of an image; returns the planes of its strips."""
        planes = self._strips(spans, image, name)
        self.plan.emit(lanes_strips.cut_strips, [image, planes], strips.geometry(cut, spans, image, planes))
        return planes

    def _join_strips(self, cut, planes, image, spans):
        """Emit what makes an image of its strips."""
        g = strips.geometry(cut, spans, image, planes)
        self.plan.emit(lanes_strips.join_strips, [planes, image], g)
