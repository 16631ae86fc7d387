"""From a network to a plan: which memory each layer works in, and the order of all operations."""

import math
from dataclasses import replace

import numpy as np

from ..kernels.lanes import augment, layout, losses, merge, optimizers, single_sample
from ..kernels.lanes.planes import plane_geometry
from ..nn.freezing import update_runs
from ..nn.joint_loss import parts_of
from .again import MadeAgain
from .backward import NO_HALO, Backward
from .emitter import Emitter
from .few_samples import MOVE
from .folding import fold_norms
from .lowering import lowering_of
from .lowering.to_samples import ToSamples
from .memory import CopyDistance, Planes, image_of, lanes_of
from .plan import Owner, Plan
from .ports import STEPS_PER_CALL, Ports
from .together import take_together
from .values import Values

LONG = 5000  # products of vectors, about a microsecond: as much as it takes until all threads have begun
LONG_FOR_FEW = 1000  # of few samples: between layers that are divided, one that is not is waited for, too


def long_layers(network, few):
    """The numbers of layers whose work on a block takes long enough for several threads."""
    lanes, long = lanes_of(network.dtype), LONG_FOR_FEW if few else LONG
    return [n for n, node in enumerate(network.nodes) if _products_of_vectors(node, few, lanes) >= long]


def _products_of_vectors(node, few, lanes):
    """What a layer takes of a block, or of `few` samples: values count as one product, weights as more."""
    work = node.layer.products(node.input_shape) + math.prod(node.output_shape)
    if not few:
        return work
    weights = sum(map(math.prod, node.layer.parameter_shapes(node.input_shape).values()))
    return (few * work + MOVE * weights) // lanes


class Builder:
    """Builds the plan of one network for one run.

    Memory is labelled as the plan's listing shows it: X, y0, y1, ... are the input and the layers' outputs,
    dy0, dy1, ... the gradients of these.
    """

    def __init__(self, network, run, optimizer_state=None, shared=False, early=-1):
        self.network, self.run = network, run
        self.plan = Plan(
            network.dtype, run.batch_size, run.threads, run.few, shared, long_layers(network, run.few)
        )
        self.ports = Ports()
        if run.training:
            self.ports.gradient = np.zeros(max(1, network.num_parameters), network.dtype)
        self.few = run.few
        self.emitter = Emitter(network, run, self.plan, self.ports.gradient, self.few)
        self.emitter.early = early
        self.layers = [
            lowering_of(node.layer)(number, node, self.emitter) for number, node in enumerate(network.nodes)
        ]
        self.losses = parts_of(run.loss)
        endings, outputs = self._endings()
        self.layers = [layer for layer in self.layers if layer not in endings]
        count = len(network.inputs) + len(network.nodes)
        if run.training:
            outputs, count = self._put_transitions(outputs, count)
        else:
            self.layers = fold_norms(self.layers, outputs)
        take_together(self.layers, self.plan, run.training)
        self.values = Values(self.layers, count, outputs)
        self.slots = self._slots()
        for layer in self.layers:
            writer = self.values.writer[layer.inputs[0]]
            alone = self.values.readers[layer.inputs[0]] == [layer]
            layer.follows_relu = alone and writer is not None and self._is_relu_in_place(writer)
        for layer in self.layers:
            self.plan.owner = Owner("forward", (layer.number,))
            layer.prepare()
        self.plan.stages.append(("batch", self.emitter.before_forward))  # which both passes may add to
        self.plan.owner = Owner("input")
        for value in network.inputs:
            self._read_input(value)
        self._forward()
        if run.outputs or not run.loss:
            for value, ending in zip(outputs, endings, strict=True):
                self._write_output(value, ending)
        if run.loss:
            self._compute_losses(endings)
        if run.training:
            self.backward.emit()
            self._add_up()
            self.plan.owner = Owner("shared")
            self.emitter.add_shared()
            self.made_again.emit(self.plan)
        if run.purpose == "train":
            self._update(optimizer_state)
        self.plan.drop_empty_stages()

    def _endings(self):
        """The final layer of each output that its loss absorbs, or None, and the values before these."""
        network, endings = self.network, []
        read = {value for layer in self.layers for value in layer.inputs}
        writer = {layer.output: layer for layer in self.layers}
        for k, value in enumerate(network.outputs):
            alone = value not in read and network.outputs.count(value) == 1
            absorbed = self.losses and alone and self.losses[k][0].absorbed(writer[value].layer)
            endings.append(writer[value] if absorbed else None)
        outputs = [
            value if ending is None else ending.inputs[0]
            for value, ending in zip(network.outputs, endings, strict=True)
        ]
        return endings, outputs

    def _put_transitions(self, outputs, count):
        """Let layers and losses that want samples in the lanes read copies of values that lie otherwise.

        Returns the outputs, some of which are copies then, and the number of all values.
        """
        shapes = dict(enumerate(self.network.input_shapes)) | {
            one.output: one.output_shape for one in self.layers
        }
        in_channels = {value for one in self.layers if one.few for value in (*one.inputs, one.output)}
        copies, layers = {}, []

        def copy_of(value, reader):
            if value not in in_channels:
                return value
            if value not in copies:
                copies[value] = count + len(copies)
                copy = ToSamples(reader, shapes[value], value, copies[value], self.emitter)
                self.emitter.note_copy(value, copy.output)
                layers.append(copy)
            return copies[value]

        for layer in self.layers:
            if not layer.few:
                layer.inputs = tuple(copy_of(value, layer.number) for value in layer.inputs)
            layers.append(layer)
        last = len(self.network.nodes) - 1
        outputs, self.layers = [copy_of(value, last) for value in outputs], layers
        return outputs, count + len(copies)

    # Memory of the values

    def _planes(self, shape, halo, label, few, passing=False):
        """New planes for samples of `shape`; of few samples, the channels share planes."""
        if not few:
            return self.plan.planes(shape, halo, label, passing=passing)
        image = image_of(shape)
        sizes = -(-image[0] // self.plan.lanes) * few, *image[1:]
        planes = self.plan.planes(sizes, halo, label, passing=passing)
        planes.image, planes.samples = image, few
        return planes

    def _slots(self):
        """The planes of every value, shared where a layer works in place.

        A value that is not a stack of images has no halo, and flattening planes without one is free.
        """
        slots = {value: self._input_slot(value) for value in self.network.inputs}
        for layer in self.layers:
            slots[layer.output] = self._slot(layer, slots)
        return slots

    def _input_slot(self, value):
        """The planes of an input."""
        shape, readers = self.network.input_shapes[value], self.values.readers[value]
        halo = self.values.halo(value) if len(shape) > 1 else NO_HALO
        label = self._label("X", value, self.network.inputs)
        if len(readers) == 1:
            readers[0].reads_input_alone = True
        few = max((reader.few for reader in readers), default=0)
        if few and self.values.read_as_scalars(value):
            slack = single_sample.OVERRUN * self.plan.lanes
            return self.plan.scalar_planes(image_of(shape), few, halo, slack, label)
        return self._planes(shape, halo, label, few)

    def _label(self, name, k, all_of_them):
        """What the k-th of several is called, or the only one."""
        return name if len(all_of_them) == 1 else f"{name}_{k}"

    def _slot(self, layer, slots):
        """The planes of what a layer makes, `slots` being those of the values before it."""
        label, shape = f"y{layer.number}", layer.output_shape
        below = next((slots[value] for value in layer.inputs if self._may_overwrite(layer, value)), None)
        if layer.few and layer.in_place:
            if below is None:  # a copy: the layout of few samples says how its features lie
                below = slots[layer.inputs[0]]
                return replace(below, storage=self.plan.storage_like(below.storage), label=label)
            return replace(below, label=label)
        if below is not None and (len(shape) > 1 or below.halo == NO_HALO):
            return Planes(below.storage, *image_of(shape), below.halo, label=label)
        halo = self.values.halo(layer.output) if len(shape) > 1 else NO_HALO
        return self._planes(shape, halo, label, layer.few, passing=True)

    def _may_overwrite(self, layer, value):
        """Whether a layer may work in the memory of one of its inputs: nobody else needs what it holds."""
        writer = self.values.writer[value]
        keeps = writer is not None and writer.needs_output and self.run.training
        alone = self.values.readers[value] == [layer] and layer.inputs.count(value) == 1
        return layer.in_place and alone and not keeps and value not in self.values.outputs

    # The passes

    def _gather(self, planes):
        """Emit the gather of samples into planes; returns the geometry to fill in."""
        g = layout.gather_geometry(planes.sizes, planes.table())
        self.plan.emit(layout.gather, [None, planes], g)
        return g

    def _read_input(self, value):
        planes, augmentation = self.slots[value], self.run.augmentation
        if planes.image is not None and augmentation is not None:
            block = self.plan.planes(planes.image, label=f"{planes.label}_samples")
            source = self._read_augmented(block, augmentation)
            tables = *block.scalars(self.plan.lanes), *planes.scalars(self.plan.lanes)
            self.plan.emit(layout.regroup, [block, planes], layout.regroup_geometry(planes.samples, *tables))
        elif planes.image is not None:
            source = layout.gather_geometry(planes.image, *planes.scalars(self.plan.lanes))
            self.plan.emit(layout.load_samples, [None, planes], source)
        elif augmentation is None:
            source = self._gather(planes)
        else:
            source = self._read_augmented(planes, augmentation)
        self.ports.sources.append(source)

    def _read_augmented(self, planes, augmentation):
        """Emit the gather of images, whose geometry is returned, and then what changes them at random."""
        images, turns = planes, augmentation.rotation / 360
        if augmentation.moves:
            images = self.plan.planes(planes.sizes, augment.HALO, "X_unmoved", augmentation.fill)
        source = self._gather(images)
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
        return source

    def _is_relu_in_place(self, layer):
        """Whether a layer is a ReLU in the memory of its input."""
        return layer.is_relu and self.slots[layer.output].storage is self.slots[layer.inputs[0]].storage

    def _forward(self):
        self.fused, self.made_again = set(), MadeAgain()  # ReLUs that the layers before them have taken over
        waiting = {}  # values that are made in the sum which reads them -> the layers that do so
        for layer in self.layers:
            if layer in self.fused:
                continue
            x = [self.slots[value] for value in layer.inputs]
            if self._joins_sum(layer, waiting):
                self.plan.owner = Owner("forward", (layer.number,))
                layer.sum_up(x[0])
                waiting[layer.output] = layer
                continue
            output, readers = layer.output, self.values.readers[layer.output]
            fused = layer.fuses_relu and len(readers) == 1 and self._is_relu_in_place(readers[0])
            together = (layer.number, readers[0].number) if fused else (layer.number,)
            self.plan.owner = Owner("forward", together)
            if fused:
                self.fused.add(readers[0])
                output = readers[0].output
            y, before = self.slots[output], len(self.plan.operations)
            if waiting.keys() & set(layer.inputs):
                first, other = sorted(layer.inputs, key=lambda value: value not in waiting)
                below = waiting[first]
                self.plan.owner = Owner("forward", (below.number, *together))
                below.finish(self.slots[below.inputs[0]], y, fused, self.slots[other])
            else:
                layer.forward(x if layer.takes_several else x[0], y, fused)
            self.made_again.note(layer, y.storage, self.plan.operations[before:])

    def _joins_sum(self, layer, waiting):
        """Whether a layer can make the sum that its output is for, with one other value that is there."""
        readers = self.values.readers[layer.output]
        if not layer.joins_sum or layer.output in self.values.outputs or len(readers) != 1:
            return False
        values = readers[0].inputs
        return readers[0].is_sum and len(set(values)) == len(values) == 2 and not waiting.keys() & set(values)

    def _result(self, value):
        """An output as features without a halo."""
        last = self.slots[value]
        if last.halo == NO_HALO:
            return Planes(last.storage, last.features, 1, 1, label=last.label)
        flat = self.plan.planes((last.features,), label=f"{last.label}_flat")
        target = Planes(flat.storage, *last.sizes, label=flat.label)
        self.plan.emit(layout.copy_planes, [last, target], plane_geometry(last, target))
        return flat

    def _write_output(self, value, ending):
        """Emit the scatter of an output, after a final layer that its loss does not need."""
        self.plan.owner = Owner("output")
        if self.slots[value].image is not None:
            result, lanes = self.slots[value], self.plan.lanes
            sink = layout.scatter_geometry(result.scalar_table(lanes), result.sample_distance(lanes))
            self.plan.emit(layout.store_samples, [result], sink)
        else:
            result = self._result(value)
            if ending is not None:
                features = result
                result = self.plan.planes((result.features,), label=self._ending_label(ending))
                self.plan.owner = Owner("forward", (ending.number,))
                ending.forward(features, result, False)
                self.plan.owner = Owner("output")
            sink = layout.scatter_geometry(result.table())
            self.plan.emit(layout.scatter, [result], sink)
        self.ports.sinks.append(sink)

    def _ending_label(self, ending):
        return "outputs" if len(self.losses) == 1 else f"y{ending.number}"

    def _compute_losses(self, endings):
        """Emit the loss of each output, and the gradient that its backward pass starts from."""
        loss_count, weight = len(self.losses), None
        width = len(losses.SUMS) * (loss_count if loss_count == 1 else 1 + loss_count)
        self.ports.log = np.zeros((STEPS_PER_CALL, width), self.network.dtype)
        self.backward = Backward(self.emitter, self.layers, self.values, self.slots, self.fused)
        for k, (loss, factor) in enumerate(self.losses):
            value = self.values.outputs[k]
            self.plan.owner = Owner("loss", () if endings[k] is None else (endings[k].number,))
            slope, weight = self._loss(k, loss, endings[k], weight)
            if factor != 1 and self.run.training:
                operands = [slope, slope, self.emitter.numbers([factor])]
                self.plan.emit(merge.scale_planes, operands, plane_geometry(slope, slope))
            if self.run.training and self.emitter.needs_gradient(value):
                self.backward.start(value, slope)
        if not self.run.training:
            self._add_up()

    def _loss(self, k, loss, ending, weight):
        """Emit the k-th loss; returns the gradient with respect to what it reads, and sample weights."""
        result, shape = self._result(self.values.outputs[k]), self.network.output_shapes[k]
        target = self.plan.planes(loss.target_shape(shape), label=self._label("target", k, self.losses))
        self.ports.targets.append(self._gather(target))
        slope = self.plan.planes((result.features,), label=f"d{result.label}")
        sums = self.plan.planes((1,), label=self._label("sums", k, self.losses))
        if self.run.weighted and weight is None:
            weight = self.plan.planes((1,), label="sample_weight")
            self.ports.weight = self._gather(weight)
        operands = [result, target, slope, sums, weight]
        if loss.numbers():
            operands.append(self.emitter.numbers(loss.numbers()))
        operation = loss.operation if ending is None else loss.absorbed(ending.layer).operation
        self.plan.emit(operation, operands, loss.geometry(shape, ending is not None, self.run.weighted))
        log = self.plan.array(self.ports.log, label="log")
        row = self.ports.log.shape[1]
        first = row - len(losses.SUMS) * (len(self.losses) - k)
        g = losses.RecordGeometry(CopyDistance(sums.storage), first, row)
        self.emitter.shared_rows.append(sums)
        self.emitter.after_backward.append((losses.record, [sums, log], g))
        return slope, weight

    def _add_up(self):
        """Emit what is left for the end: the sums over all blocks, and over those of other ranks."""
        emitter = self.emitter
        self.plan.emit_together(emitter.before_sharing)
        self.plan.share_blocks(*emitter.shared_rows)
        if emitter.before_sharing:
            self.plan.share_shards()
        self.plan.emit_together(emitter.after_backward)

    def _update(self, state):
        optimizer, self.plan.owner = self.run.optimizer, Owner("optimizer")
        self.ports.rates = np.zeros(STEPS_PER_CALL, self.network.dtype)
        operands = [
            self.plan.array(self.network.live_arrays()[0].flat, label="parameters"),
            self.plan.array(self.ports.gradient, label="gradients"),
            *self._optimizer_state(state),
            self.emitter.numbers(optimizer.numbers()),
            self.plan.array(self.ports.rates, label="rates"),
        ]
        count, runs = self.network.num_parameters, update_runs(self.network, optimizer, self.run.frozen)
        g = optimizers.update_geometry(runs, count, optimizer.variant(), state_distance=count)
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
