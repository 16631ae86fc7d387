"""From a network to a plan: which memory each layer works in, and the order of all operations."""

from dataclasses import replace

import numpy as np

from ..kernels.lanes import augment, layout, losses, optimizers, single_sample
from ..kernels.lanes.planes import plane_geometry
from .emitter import Emitter
from .lowering import lowering_of, takes_single_sample
from .plan import CopyDistance, Plan, Planes
from .ports import STEPS_PER_CALL, Ports

NO_HALO = (0, 0, 0, 0)


class Builder:
    """Builds the plan of one network for one run.

    Memory is labelled as the plan's listing shows it: X, y0, y1, ... are the input and the layers' outputs,
    dy0, dy1, ... the gradients of these.
    """

    def __init__(self, network, run, optimizer_state=None):
        self.network, self.run = network, run
        self.plan = Plan(network.dtype, run.batch_size, run.threads)
        self.ports = Ports()
        if run.training:
            self.ports.gradient = np.zeros(max(1, network.num_parameters), network.dtype)
        self.single = run.purpose == "predict" and run.batch_size == 1 and takes_single_sample(network)
        self.emitter = Emitter(network, run, self.plan, self.ports.gradient, self.single)
        self.layers = [
            lowering_of(node.layer)(number, node, self.emitter) for number, node in enumerate(network.nodes)
        ]
        absorbed = run.loss and run.loss.absorbed(network.nodes[-1].layer)
        ending = self.layers.pop() if absorbed else None
        self.slots = self._slots()
        for number, layer in enumerate(self.layers):
            layer.follows_relu = self._relu_follows(number - 2)
        self._read_input()
        self._forward()
        if run.outputs or not run.loss:
            self._write_output(ending)
        if run.loss:
            self._loss(absorbed)
        if run.training:
            self._backward()
            self.plan.emit_together(self.emitter.after_backward)
        if run.purpose == "train":
            self._update(optimizer_state)

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
        if not self.single:
            return self.plan.planes(shape, halo, label)
        image = shape if len(shape) == 3 else (shape[0], 1, 1)
        planes = self.plan.planes((-(-image[0] // self.plan.lanes), *image[1:]), halo, label)
        planes.image = image
        return planes

    def _slots(self):
        """The planes of the input and of every layer's output, shared where a layer works in place.

        An output that is not a stack of images has no halo, and flattening planes without one is free.
        """
        shape = self.network.input_shape
        halo = self._halo(0) if len(shape) == 3 else NO_HALO
        if self.single and self.layers[0].reads_positions:
            slots = [self.plan.scalar_planes(shape, halo, single_sample.OVERRUN * self.plan.lanes, "X")]
        else:
            slots = [self._planes(shape, halo, "X")]
        for number, layer in enumerate(self.layers):
            below, shape, label = slots[-1], layer.output_shape, f"y{number}"
            if self.single and layer.in_place:
                slots.append(replace(below, label=label))
                continue
            keeps = number > 0 and self.layers[number - 1].needs_output and self.run.training
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

    def _read_input(self):
        planes, augmentation = self.slots[0], self.run.augmentation
        if self.single:
            positions = self.layers[0].reads_positions
            table = planes.table() if positions else planes.scalar_table(self.plan.lanes)
            self.ports.source = layout.gather_geometry(planes.sizes if positions else planes.image, table)
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
            ranges = self.emitter.numbers([*augmentation.shift, *flips, turns])
            with_halo = Planes(
                images.storage, images.channels, images.plane // images.row, images.row, label=images.label
            )
            g = augment.move_geometry(images, planes, turns > 0)
            self.plan.emit(augment.move, [with_halo, planes, ranges], g)
        if augmentation.noise:
            g = plane_geometry(planes, planes)
            self.plan.emit(augment.noise, [planes, self.emitter.numbers([augmentation.noise])], g)

    def _relu_follows(self, number):
        """Whether layer `number` is followed by a ReLU in the same memory."""
        following = self.layers[number + 1] if -1 <= number < len(self.layers) - 1 else None
        if following is None or not following.is_relu:
            return False
        return self.slots[number + 2].storage is self.slots[number + 1].storage

    def _forward(self):
        done = False
        for number, layer in enumerate(self.layers):
            if not done:
                fused = layer.fuses_relu and self._relu_follows(number)
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
            table = result.scalar_table(self.plan.lanes)
        else:
            result, operation = self._result(), layout.scatter
            if ending is not None:
                features, result = result, self.plan.planes((result.features,), label="outputs")
                ending.forward(features, result, False)
            table = result.table()
        self.ports.sink = layout.scatter_geometry(table)
        self.plan.emit(operation, [result], self.ports.sink)

    def _loss(self, absorbed):
        loss, weighted = self.run.loss, self.run.weighted
        result = self._result()
        labelled = loss.targets == "labels"
        target = self.plan.planes((1,) if labelled else (result.features,), label="target")
        self.ports.target = self._gather(target)
        self.slope = self.plan.planes((result.features,), label=f"d{result.label}")
        sums = self.plan.planes((1,), label="sums")
        operands = [result, target, self.slope, sums, None]
        if weighted:
            operands[-1] = self.plan.planes((1,), label="sample_weight")
            self.ports.weight = self._gather(operands[-1])
        if loss.numbers():
            operands.append(self.emitter.numbers(loss.numbers()))
        operation = absorbed.operation if absorbed else loss.operation
        clipped = int(absorbed is not None)
        g = losses.LossGeometry(result.features, clipped, int(weighted), int(labelled))
        self.plan.emit(operation, operands, g)
        self.ports.log = np.zeros((STEPS_PER_CALL, len(losses.SUMS)), self.network.dtype)
        log = self.plan.array(self.ports.log, label="log")
        g = losses.RecordGeometry(block=CopyDistance(sums.storage))
        self.emitter.after_backward.append((losses.record, [sums, log], g))
        if not self.run.training:
            self.plan.emit_together(self.emitter.after_backward)

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
            if self.emitter.needs_gradient(number):
                gate = layer.gates and layer.follows_relu
                label = f"d{self.slots[number - gate].label}"  # a gate gives the gradient below the ReLU
                if y.storage is x.storage:
                    dx = Planes(dy.storage, *x.sizes, x.halo, label=label)
                else:
                    dx = self.plan.planes(layer.input_shape, x.halo, label)
            if not gated:
                layer.backward(x, y, dy, dx, gate)
            if dx is None:
                break
            gated, dy = gate, dx

    def _update(self, state):
        optimizer = self.run.optimizer
        self.ports.rates = np.zeros(STEPS_PER_CALL, self.network.dtype)
        operands = [
            self.plan.array(self.network.flat_parameters, label="parameters"),
            self.plan.array(self.ports.gradient, label="gradients"),
            *self._optimizer_state(state),
            self.emitter.numbers(optimizer.numbers()),
            self.plan.array(self.ports.rates, label="rates"),
        ]
        count = self.network.num_parameters
        g = optimizers.UpdateGeometry(count, variant=optimizer.variant(), state_distance=count)
        update = (optimizer.operation, operands, g)
        self.plan.emit_together([*self._clipping(optimizer), update])

    def _optimizer_state(self, state):
        """The optimizer's vectors as operands: each, or the first of those that lie one after the other."""
        vectors = [self.plan.array(a, label=f"optimizer_state[{k}]") for k, a in enumerate(state)]
        if self.run.optimizer.state_in_one:
            return vectors[:1] or [None]
        return vectors

    def _clipping(self, optimizer):
        """Operations that clip a thread's share of the gradient, for the stage in which it takes its step."""
        gradient = self.plan.array(self.ports.gradient, label="gradients")
        g = optimizers.UpdateGeometry(parameters=self.network.num_parameters)
        if optimizer.clip_value is not None:
            return [(optimizers.clip_value, [gradient, self.emitter.numbers([optimizer.clip_value])], g)]
        if optimizer.clip_norm is None:
            return []
        norms = self.plan.rows(-(-g.parameters // optimizers.CHUNK), label="norms")
        self.plan.emit(optimizers.chunk_norms, [gradient, norms], g, stage="batch")
        return [(optimizers.clip_norm, [gradient, norms, self.emitter.numbers([optimizer.clip_norm])], g)]
