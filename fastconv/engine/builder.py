"""From a network to a plan: which memory each layer works in, and the order of all operations."""

from dataclasses import replace

import numpy as np

from ..kernels.lanes import augment, layout, losses, optimizers, single_sample
from ..kernels.lanes.planes import plane_geometry
from ..nn.losses import LOSSES
from ..nn.optimizers import optimizer_operation
from .lowering.base import LOWERINGS
from .plan import CopyDistance, Plan, Planes
from .ports import STEPS_PER_CALL, Ports

NO_HALO = (0, 0, 0, 0)


class Builder:
    """Builds the plan of one network for one purpose.

    purpose: "predict" (outputs), "evaluate" (loss), "gradients" (loss and gradients) or "train"
    (and the optimizer's step). `outputs` asks for the outputs beside the loss.

    Memory is labelled as the plan's listing shows it: X, y0, y1, ... are the input and the layers' outputs,
    dy0, dy1, ... the gradients of these.
    """

    def __init__(
        self,
        network,
        purpose,
        batch_size,
        threads,
        loss=None,
        optimizer=None,
        optimizer_state=None,
        weighted=False,
        augmentation=None,
        outputs=False,
    ):
        self.network = network
        self.training = purpose in ("gradients", "train")
        self.updates_statistics = purpose == "train"
        self.plan = Plan(network.dtype, batch_size, threads)
        self.ports = Ports()
        self._after_backward = []
        self._offsets = _offsets(network.parameters(), network.flat_parameters)
        loss_operation, absorbed = LOSSES[loss] if loss else (None, {})
        self.layers = [
            LOWERINGS[type(layer).__name__](number, layer, network, self)
            for number, layer in enumerate(network.layers)
        ]
        last, ending = type(network.layers[-1]).__name__, None
        if last in absorbed:
            ending = self.layers.pop()
            loss_operation = absorbed[last]
        if self.training:
            self.ports.gradient = np.zeros(max(1, network.num_parameters), network.dtype)
        self.single = purpose == "predict" and batch_size == 1 and not network.grouped
        self.slots = self._slots()
        self._read_input(augmentation)
        self._forward()
        if outputs or not loss:
            self._write_output(ending)
        if loss:
            self._loss(loss, loss_operation, weighted)
        if self.training:
            self._backward()
            self.plan.emit_together(self._after_backward)
        if purpose == "train":
            self._update(optimizer, optimizer_state)
        self.layers.clear()  # they refer back to this: a circle would keep the network alive

    # What lowerings ask for

    def needs_gradient(self, number):
        """Whether any layer before layer `number` has parameters, so that its input gradient is wanted."""
        return self.training and any(int(name.split(".")[0]) < number for name in self.network.parameters())

    def parameter(self, name):
        """The parameter in memory, or None where there is none of that name."""
        return self._flat(self.network.flat_parameters, name, f'parameters["{name}"]')

    def gradient(self, name):
        """The parameter's place in the flat gradient, or None."""
        return self._flat(self.ports.gradient, name, f'gradients["{name}"]')

    def _flat(self, flat, name, label):
        if name not in self._offsets:
            return None
        start, count = self._offsets[name]
        return self.plan.array(flat, start, count, label)

    def statistic(self, name):
        """A statistic in memory; those of a layer lie one after the other."""
        start, count = _offsets(self.network.statistics(), self.network.flat_statistics)[name]
        return self.plan.array(self.network.flat_statistics, start, count, f'statistics["{name}"]')

    def numbers(self, values):
        """Constants of the network's dtype in memory."""
        return self.plan.array(np.array(values, self.network.dtype), count=len(values), label=f"{values}")

    def to_rows(self, planes):
        """Emit the transpose of planes to a row a sample, for the whole batch."""
        rows = self.plan.sample_rows(planes.features, label=f"{planes.label}_rows")
        self.plan.emit(layout.lanes_to_rows, [planes, rows], layout.rows_geometry(planes, rows.length))
        return rows

    def after_backward(self, operation, operands, geometry):
        """Leave an operation on the whole batch for the end of the backward pass."""
        self._after_backward.append((operation, operands, geometry))

    # Memory of the activations

    def _halo(self, number):
        """The halo around the output of layer `number` - 1: what its reader and its own backward need."""
        halos = [NO_HALO]
        for layer in self.layers[number:]:  # the reader
            halos.append(layer.input_halo())
            if not layer.in_place:
                break
        for layer in reversed(self.layers[:number]):  # the writer
            halos.append(layer.gradient_halo())
            if not layer.in_place:
                break
        return tuple(max(sides) for sides in zip(*halos, strict=True))

    def _planes(self, shape, halo, label):
        """New planes for samples of `shape`; of a single sample, the channels share planes."""
        if self.single:
            shape = (-(-shape[0] // self.plan.lanes), *shape[1:])
        return self.plan.planes(shape, halo, label)

    def image_shape(self, number):
        """(C, H, W) of the input of layer `number` as a single sample lies: flattening changes nothing."""
        while number > 0 and self.layers[number - 1].in_place:
            number -= 1
        shape = self.network.shapes[number]
        return shape if len(shape) == 3 else (shape[0], 1, 1)

    def scalar_table(self, number, planes):
        """At which scalar of the planes of a single sample each input feature of layer `number` lies."""
        lanes = self.plan.lanes
        c, h, w = (index.ravel() for index in np.indices(self.image_shape(number)))
        return (c // lanes * planes.plane + h * planes.row + w) * lanes + c % lanes

    def _slots(self):
        """The planes of the input and of every layer's output, shared where a layer works in place.

        An output that is not a stack of images has no halo, and flattening planes without one is free.
        """
        shapes = self.network.shapes
        halo = self._halo(0) if len(shapes[0]) == 3 else NO_HALO
        if self.single and self.layers[0].reads_positions:
            slots = [self.plan.scalar_planes(shapes[0], halo, single_sample.OVERRUN * self.plan.lanes, "X")]
        else:
            slots = [self._planes(shapes[0], halo, "X")]
        for number, layer in enumerate(self.layers):
            below, shape, label = slots[-1], shapes[number + 1], f"y{number}"
            if self.single and layer.in_place:
                slots.append(replace(below, label=label))
                continue
            keeps = number > 0 and self.layers[number - 1].needs_output and self.training
            flat = len(shape) == 1 and below.halo == NO_HALO
            if layer.in_place and not keeps and (len(shape) == 3 or flat):
                sizes = shape if len(shape) == 3 else (*shape, 1, 1)
                slots.append(Planes(below.storage, *sizes, below.halo, label=label))
            else:
                halo = self._halo(number + 1) if len(shape) == 3 else NO_HALO
                slots.append(self._planes(shape, halo, label))
        return slots

    # The passes

    def _gather(self, planes):
        """Emit the gather of samples into planes; returns the geometry to fill in."""
        g = layout.gather_geometry(planes.sizes, planes.table())
        self.plan.emit(layout.gather, [None, planes], g)
        return g

    def _read_input(self, augmentation):
        planes = self.slots[0]
        if self.single:
            table = planes.table() if self.layers[0].reads_positions else self.scalar_table(0, planes)
            self.ports.source = layout.gather_geometry(self.image_shape(0), table)
            self.plan.emit(layout.load_sample, [None, planes], self.ports.source)
        elif augmentation is None:
            self.ports.source = self._gather(planes)
        else:
            self._read_augmented(planes, augmentation)

    def _read_augmented(self, planes, augmentation):
        """Emit the gather of images, and then what changes them at random."""
        images, turns = planes, augmentation.rotation / 360
        if augmentation.moves:
            images = self.plan.planes(planes.sizes, augment.HALO, "X_unmoved", augmentation.fill)
        self.ports.source = self._gather(images)
        if augmentation.moves:
            flips = augmentation.vertical_flip / 2, augmentation.horizontal_flip / 2
            ranges = self.numbers([*augmentation.shift, *flips, turns])
            with_halo = Planes(
                images.storage, images.channels, images.plane // images.row, images.row, label=images.label
            )
            g = augment.move_geometry(images, planes, turns > 0)
            self.plan.emit(augment.move, [with_halo, planes, ranges], g)
        if augmentation.noise:
            g = plane_geometry(planes, planes)
            self.plan.emit(augment.noise, [planes, self.numbers([augmentation.noise])], g)

    def relu_follows(self, number):
        """Whether layer `number` is followed by a ReLU in the same memory."""
        following = self.layers[number + 1] if -1 <= number < len(self.layers) - 1 else None
        if type(following).__name__ != "ReLU":
            return False
        return self.slots[number + 2].storage is self.slots[number + 1].storage

    def _forward(self):
        done = False
        for number, layer in enumerate(self.layers):
            if not done:
                fused = layer.fuses_relu and self.relu_follows(number)
                layer.forward(self.slots[number], self.slots[number + 1 + fused], fused)
                done = fused
            else:
                done = False

    def _result(self):
        """The last output as features without a halo."""
        last = self.slots[-1]
        if last.halo == NO_HALO:
            return Planes(last.storage, last.features, 1, 1, label=last.label)
        flat = self.plan.planes((last.features,), label=f"{last.label}_flat")
        target = Planes(flat.storage, *last.sizes, label=flat.label)
        self.plan.emit(layout.copy_planes, [last, target], plane_geometry(last, target))
        return flat

    def _write_output(self, ending):
        """Emit the scatter of the outputs, after a final layer that the loss does not need."""
        if self.single:
            result, operation = self.slots[-1], layout.store_sample
            table = self.scalar_table(len(self.layers), result)
        else:
            result, operation = self._result(), layout.scatter
            if ending is not None:
                features, result = result, self.plan.planes((result.features,), label="outputs")
                ending.forward(features, result, False)
            table = result.table()
        self.ports.sink = layout.scatter_geometry(table)
        self.plan.emit(operation, [result], self.ports.sink)

    def _loss(self, name, operation, weighted):
        result = self._result()
        labels = self.plan.planes((1,) if name == "cross_entropy" else (result.features,), label="target")
        self.ports.target = self._gather(labels)
        self.slope = self.plan.planes((result.features,), label=f"d{result.label}")
        sums = self.plan.planes((1,), label="sums")
        operands = [result, labels, self.slope, sums]
        if weighted:
            operands.append(self.plan.planes((1,), label="sample_weight"))
            self.ports.weight = self._gather(operands[-1])
        g = losses.LossGeometry(features=result.features, clipped=int(name == "bce"), weighted=int(weighted))
        self.plan.emit(operation, operands, g)
        self.ports.log = np.zeros((STEPS_PER_CALL, len(losses.SUMS)), self.network.dtype)
        log = self.plan.array(self.ports.log, label="log")
        g = losses.RecordGeometry(block=CopyDistance(sums.storage))
        self._after_backward.append((losses.record, [sums, log], g))
        if not self.training:
            self.plan.emit_together(self._after_backward)

    def _backward(self):
        last = self.slots[-1]
        dy = Planes(self.slope.storage, *last.sizes, label=self.slope.label)
        if last.halo != NO_HALO:
            inner = self.plan.planes(last.sizes, last.halo, f"d{last.label}")
            self.plan.emit(layout.copy_planes, [dy, inner], plane_geometry(dy, inner))
            dy = inner
        gated = False
        for number in reversed(range(len(self.layers))):
            layer, x, y = self.layers[number], self.slots[number], self.slots[number + 1]
            dx, gate = None, False
            if self.needs_gradient(number):
                gate = layer.gates and self.relu_follows(number - 2)
                label = f"d{self.slots[number - gate].label}"  # a gate gives the gradient below the ReLU
                if y.storage is x.storage:
                    dx = Planes(dy.storage, *x.sizes, x.halo, label=label)
                else:
                    dx = self.plan.planes(self.network.shapes[number], x.halo, label)
            if not gated:
                layer.backward(x, y, dy, dx, gate)
            if dx is None:
                break
            gated, dy = gate, dx

    def _update(self, optimizer, state):
        self.ports.rates = np.zeros(STEPS_PER_CALL, self.network.dtype)
        operation, options, flag = optimizer_operation(optimizer)
        operands = [
            self.plan.array(self.network.flat_parameters, label="parameters"),
            self.plan.array(self.ports.gradient, label="gradients"),
            *(self.plan.array(a, label=f"optimizer_state[{k}]") for k, a in enumerate(state)),
            self.numbers(options),
            self.plan.array(self.ports.rates, label="rates"),
        ]
        g = optimizers.UpdateGeometry(parameters=self.network.num_parameters, variant=flag)
        update = (operation, operands, g)
        self.plan.emit_together([*self._clipping(optimizer), update])

    def _clipping(self, optimizer):
        """Operations that clip a thread's share of the gradient, for the stage in which it takes its step."""
        gradient = self.plan.array(self.ports.gradient, label="gradients")
        g = optimizers.UpdateGeometry(parameters=self.network.num_parameters)
        if optimizer.clip_value is not None:
            return [(optimizers.clip_value, [gradient, self.numbers([optimizer.clip_value])], g)]
        if optimizer.clip_norm is None:
            return []
        norms = self.plan.rows(-(-g.parameters // optimizers.CHUNK), label="norms")
        self.plan.emit(optimizers.chunk_norms, [gradient, norms], g, stage="batch")
        return [(optimizers.clip_norm, [gradient, norms, self.numbers([optimizer.clip_norm])], g)]


def _offsets(views, flat):
    """Name -> (first element, number of elements) of views into a flat vector."""
    return {n: ((a.ctypes.data - flat.ctypes.data) // flat.itemsize, a.size) for n, a in views.items()}
