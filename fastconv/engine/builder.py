"""From a network to a plan: which memory each layer works in, and the order of all operations."""

import itertools
from dataclasses import replace

import numpy as np

from ..kernels.lanes import augment, layout, losses, optimizers, single_sample
from ..kernels.lanes.planes import plane_geometry
from .emitter import Emitter
from .lowering import lowering_of, takes_single_sample
from .plan import CopyDistance, Plan, Planes, image_of
from .ports import STEPS_PER_CALL, Ports
from .values import Slopes, Values

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
        self.values = Values(self.layers, network.nodes[-1].output if ending is None else ending.inputs[0])
        self.slots = self._slots()
        for layer in self.layers:
            writer = self.values.writer[layer.inputs[0]]
            alone = self.values.readers[layer.inputs[0]] == [layer]
            layer.follows_relu = alone and writer is not None and self._is_relu_in_place(writer)
        self._read_input()
        self._forward()
        if run.outputs or not run.loss:
            self._write_output(ending)
        if run.loss:
            self._loss(absorbed)
        if run.training:
            self._backward()
            self.plan.emit_together(self.emitter.after_backward)
            self.emitter.add_shared()
        if run.purpose == "train":
            self._update(optimizer_state)

    # Memory of the values

    def _planes(self, shape, halo, label):
        """New planes for samples of `shape`; of a single sample, the channels share planes."""
        if not self.single:
            return self.plan.planes(shape, halo, label)
        image = image_of(shape)
        planes = self.plan.planes((-(-image[0] // self.plan.lanes), *image[1:]), halo, label)
        planes.image = image
        return planes

    def _slots(self):
        """The planes of every value, shared where a layer works in place.

        A value that is not a stack of images has no halo, and flattening planes without one is free.
        """
        values, shape = self.values, self.network.input_shape
        halo = values.halo(0) if len(shape) > 1 else NO_HALO
        first = self.layers[0]
        first.reads_input_alone = values.readers[0] == [first]
        if self.single and first.reads_positions:
            slots = [
                self.plan.scalar_planes(image_of(shape), halo, single_sample.OVERRUN * self.plan.lanes, "X")
            ]
        else:
            slots = [self._planes(shape, halo, "X")]
        for layer in self.layers:
            slots.append(self._slot(layer, slots))
        return slots

    def _slot(self, layer, slots):
        """The planes of what a layer makes, `slots` being those of the values before it."""
        label, shape = f"y{layer.number}", layer.output_shape
        below = next((slots[value] for value in layer.inputs if self._may_overwrite(layer, value)), None)
        if self.single and layer.in_place:
            if below is None:  # a copy: the layout of a single sample says how its features lie
                below = slots[layer.inputs[0]]
                return replace(below, storage=self.plan.storage_like(below.storage), label=label)
            return replace(below, label=label)
        if below is not None and (len(shape) > 1 or below.halo == NO_HALO):
            return Planes(below.storage, *image_of(shape), below.halo, label=label)
        halo = self.values.halo(layer.output) if len(shape) > 1 else NO_HALO
        return self._planes(shape, halo, label)

    def _may_overwrite(self, layer, value):
        """Whether a layer may work in the memory of one of its inputs: nobody else needs what it holds."""
        writer = self.values.writer[value]
        keeps = writer is not None and writer.needs_output and self.run.training
        alone = self.values.readers[value] == [layer] and layer.inputs.count(value) == 1
        return layer.in_place and alone and not keeps and value != self.values.output

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

    def _is_relu_in_place(self, layer):
        """Whether a layer is a ReLU in the memory of its input."""
        return layer.is_relu and self.slots[layer.output].storage is self.slots[layer.inputs[0]].storage

    def _forward(self):
        done = set()  # ReLUs that the layers before them have taken over
        for layer in self.layers:
            if layer in done:
                continue
            output, readers = layer.output, self.values.readers[layer.output]
            fused = layer.fuses_relu and len(readers) == 1 and self._is_relu_in_place(readers[0])
            if fused:
                done.add(readers[0])
                output = readers[0].output
            x = [self.slots[value] for value in layer.inputs]
            layer.forward(x if layer.layer.takes_several else x[0], self.slots[output], fused)

    def _result(self):
        """The last output as features without a halo."""
        last = self.slots[self.values.output]
        if last.halo == NO_HALO:
            return Planes(last.storage, last.features, 1, 1, label=last.label)
        flat = self.plan.planes((last.features,), label=f"{last.label}_flat")
        target = Planes(flat.storage, *last.sizes, label=flat.label)
        self.plan.emit(layout.copy_planes, [last, target], plane_geometry(last, target))
        return flat

    def _write_output(self, ending):
        """Emit the scatter of the outputs, after a final layer that the loss does not need."""
        if self.single:
            result, operation = self.slots[self.values.output], layout.store_sample
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
        last = self.slots[self.values.output]
        dy = Planes(self.slope.storage, *last.sizes, label=self.slope.label)
        if last.halo != NO_HALO:
            inner = self.plan.planes(last.sizes, last.halo, f"d{last.label}")
            self.plan.emit(layout.copy_planes, [dy, inner], plane_geometry(dy, inner))
            dy = inner
        slopes = Slopes(self.plan)
        slopes.add(self.values.output, dy)
        done = set()  # ReLUs whose gradient the layers behind them have taken over
        for layer in reversed(self.layers):
            if layer not in done and layer.output in slopes:
                self._differentiate(layer, slopes, done)

    def _differentiate(self, layer, slopes, done):
        """Emit a layer's backward pass and add what it gives to the gradients of its inputs."""
        y, dy = self.slots[layer.output], slopes[layer.output]
        wanted = [self.emitter.needs_gradient(value) for value in layer.inputs]
        if layer.passes_gradient:
            for value in itertools.compress(layer.inputs, wanted):
                slopes.add(value, replace(dy, label=slopes.label(value, f"d{self.slots[value].label}")))
            slopes.drop(layer.output)
            return
        targets = layer.inputs
        gate = wanted[0] and layer.gates and layer.follows_relu
        if gate:  # it gives the gradient below the ReLU
            relu = self.values.writer[layer.inputs[0]]
            done.add(relu)
            targets = relu.inputs
        x = [self.slots[value] for value in layer.inputs]
        made = [None] * len(x)
        for k in itertools.compress(range(len(x)), wanted):
            label = slopes.label(targets[k], f"d{self.slots[targets[k]].label}")
            if y.storage is x[k].storage and slopes.is_alone(layer.output):
                made[k] = Planes(dy.storage, *x[k].sizes, x[k].halo, label=label)
            else:
                made[k] = self.plan.planes(x[k].sizes, x[k].halo, label)
        several = layer.layer.takes_several
        layer.backward(x if several else x[0], y, dy, made if several else made[0], gate)
        slopes.drop(layer.output)
        for value, dx in zip(targets, made, strict=True):
            if dx is not None:
                slopes.add(value, dx)

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
