"""The backward pass of a plan: the layers from the last to the first, and where their gradients lie."""

import itertools

from ..kernels.lanes import layout
from ..kernels.lanes.planes import plane_geometry
from .memory import Planes
from .plan import Owner
from .slopes import Slopes

NO_HALO = (0, 0, 0, 0)


class Backward:
    """Emits the backward pass of a network whose forward pass has been.

    Attributes
    ----------
    layers : list of Lowering
    values : Values
    slots : dict
        The planes of each value.
    fused : set of Lowering
        ReLUs that the layers before them have taken over.
    """

    def __init__(self, emitter, layers, values, slots, fused):
        self.plan, self.emitter = emitter.plan, emitter
        self.layers, self.values, self.slots, self.fused = layers, values, slots, fused
        self.slopes = Slopes(self.plan)
        self._done = set()  # ReLUs whose gradient the layers behind them have taken over
        self._postponed = set()

    def start(self, value, slope):
        """Add the gradient of a loss to that of the value which it reads."""
        last = self.slots[value]
        dy = Planes(slope.storage, *last.sizes, label=slope.label)
        halo = self._halo(value)
        if halo != NO_HALO:
            inner = self.plan.planes(last.sizes, halo, f"d{last.label}")
            self.plan.emit(layout.copy_planes, [dy, inner], plane_geometry(dy, inner))
            dy = inner
        self.slopes.add(value, dy)

    def emit(self):
        """Emit the operations of all layers.

        A layer that can add to the gradient of what it reads comes behind the others that read it.
        """
        coming, waiting = set(self.layers), []
        for layer in reversed(self.layers):
            coming.remove(layer)
            if layer not in self._done and layer.output in self.slopes:
                waiting.append(layer)
            ready = [one for one in waiting if not self._waits(one, coming)]
            waiting = [one for one in waiting if one not in ready]
            for one in sorted(ready, key=lambda one: one in self._postponed):
                if not one.shares_blocks:
                    self.emitter.share_early(one.number)
                self._differentiate(one)

    def _waits(self, layer, coming):
        """Whether a layer is to wait for others, which read its input and have not had their turn.

        Not if its own gradient would only be kept for that.
        """
        if not layer.adds_gradient or coming.isdisjoint(self.values.readers[layer.inputs[0]]):
            return False
        if self.slopes.is_shared(layer.output):
            self._postponed.add(layer)
        return layer in self._postponed

    def _differentiate(self, layer):
        """Emit a layer's backward pass and add what it gives to the gradients of its inputs."""
        wanted = [self.emitter.needs_gradient(value) for value in layer.inputs]
        if not any(wanted) and not self.emitter.trains(layer.name):
            self.slopes.drop(layer.output)
        elif layer.passes_gradient or layer.is_relu or self._is_gated_below(layer):
            self._hand_on(layer, [*itertools.compress(layer.inputs, wanted)])
        else:
            self._emit(layer, wanted)

    def _hand_on(self, layer, values):
        """Make the gradient of a layer's output that of its inputs; of a ReLU, but for what is 0."""
        if layer.is_relu and not self._is_gated_below(layer):
            self.slopes.gate(layer.output, self.slots[layer.output], layer.number)
        for value in values:
            self.slopes.hand_on(layer.output, value, f"d{self.slots[value].label}")
        self.slopes.drop(layer.output)

    def _emit(self, layer, wanted):
        """Emit the operations of a layer."""
        relu = self.values.writer[layer.inputs[0]]
        gate = wanted[0] and layer.follows_relu and self.values.gate(layer, relu)
        targets = relu.inputs if gate else layer.inputs  # gated, it gives the gradient below the ReLU
        if gate:
            self._done.add(relu)
        dy, together = self._gradient_of(layer)
        x, y = [self.slots[value] for value in layer.inputs], self.slots[layer.output]
        layer.adds = wanted[0] and not gate and self._can_add(layer, targets[0])
        if layer.adds:
            made = [self.slopes.open(targets[0])]
        else:
            made = [
                self._new(value, place, layer, dy) if asked else None
                for value, place, asked in zip(targets, x, wanted, strict=True)
            ]
        several = layer.takes_several
        layers = (layer.number, relu.number) if gate else (layer.number, *together)
        self.plan.owner = Owner("backward", layers, self.emitter.trains(layer.name) + any(wanted))
        layer.backward(x if several else x[0], y, dy, made if several else made[0], gate)
        self.slopes.drop(layer.output)
        for value, dx in zip(targets, made, strict=True):
            if dx is not None and not layer.adds:
                self.slopes.add(value, dx)

    def _gradient_of(self, layer):
        """The planes of dy, and the ReLUs whose gradients a layer takes over that makes dy whole itself."""
        slope = self.slopes.unfinished(layer.output) if layer.finishes_gradient else None
        layer.unfinished = None
        if slope is None or (slope.gate is not None and layer.gated):
            return self.slopes[layer.output], ()
        layer.unfinished, relu = (slope.more, slope.gate), slope.relu
        slope.become(slope.planes)
        return self.slopes[layer.output], relu

    def _can_add(self, layer, value):
        """Whether a layer can add to the gradient that a value has so far."""
        return layer.adds_gradient and value in self.slopes and self.slopes.is_alone(value)

    def _new(self, value, x, layer, dy):
        """Planes for what a layer gives to the gradient of a value, x being what it reads."""
        label = self.slopes.label(value, f"d{self.slots[value].label}")
        halo, y = self._halo(value), self.slots[layer.output]
        if y.storage is x.storage and self.slopes.is_alone(layer.output) and halo == dy.halo:
            made = Planes(dy.storage, *x.sizes, halo, label=label)
        else:
            made = self.plan.planes(x.sizes, halo, label, passing=True)
        made.image, made.samples = x.image, x.samples
        return made

    def _halo(self, value):
        """The halo of the gradient of a value that some layer makes, if that is a stack of images."""
        images = len(self.values.writer[value].output_shape) > 1
        return self.values.slope_halo(value) if images else NO_HALO

    def _is_gated_below(self, layer):
        """Whether the layer that has taken a ReLU over does so in its backward pass, too: it is told then."""
        below = self.values.writer[layer.inputs[0]]
        gated = layer in self.fused and below.gates_output
        if gated:
            below.gated = True
        return gated
