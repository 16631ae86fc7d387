"""What a layer's lowering works with: the plan that it adds operations to, and the network's arrays."""

from dataclasses import replace

import numpy as np

from ..kernels.lanes import layout, merge
from .lowering import lowering_of
from .plan import Postponed


class Emitter:
    """The plan of a network for one run, and where the network's numbers lie in memory.

    Attributes
    ----------
    plan : Plan
    training, updates_statistics : bool
        Whether gradients are wanted, and whether running statistics follow the batch.
    few : int
        So many samples have their channels in the lanes; 0 where samples lie in them.
    layers_of_channels : set of ints
        The layers that work on them: all, or in training those before the others.
    precision : str
        How convolutions are summed up: see `set_precision`.
    before_forward : list
        Operations on the parameters, as Plan.emit takes them, for the start of the step.
    after_backward : list
        Operations on the whole batch, as Plan.emit takes them, left for the end of the backward pass.
    before_sharing : list
        Those that come before these where ranks compute shards: they add up what a rank sends to others.
    shared_rows : list
        Rows of blocks that operations of `after_backward` read.
    early : int
        The layer before whose backward pass the sums so far are sent to other ranks, or -1: see `overlap.py`.
    """

    def __init__(self, network, run, plan, gradient, few):
        self.plan, self.few = plan, few
        self.layers_of_channels = layers_of_channels(network, run.training) if few else set()
        self.training, self.updates_statistics = run.training, run.purpose == "train"
        self.precision = run.precision
        self.before_forward, self.after_backward = Postponed(plan), Postponed(plan)
        self.before_sharing, self.shared_rows = Postponed(plan), []
        self._network, self._gradient = network, gradient
        self.early = -1
        # The network's own arrays: who asks for those that it hands out seems to change them.
        self._flat_parameters, self._flat_statistics = (live.flat for live in network.live_arrays())
        self._parameters, self._statistics = map(_offsets, network.live_arrays())
        # What some layers would give frozen parameters lies where nobody reads it, and never adds to a norm.
        self._frozen = run.frozen
        self._unread = np.zeros_like(gradient) if run.frozen and run.training else None
        self._parts = {}  # (node, name of a layer) -> its part of the gradient, where others share the layer
        self._first = {}  # name of a layer -> the first node of it to ask for its gradient
        self._trained = {name.rpartition(".")[0] for name in self._parameters} - run.frozen
        self._depends = set()  # values that depend on parameters that are trained
        for node in network.nodes:
            if node.name in self._trained or not self._depends.isdisjoint(node.inputs):
                self._depends.add(node.output)

    def trains(self, name):
        """Whether the layer of this name has parameters that training changes."""
        return name in self._trained

    def needs_gradient(self, value):
        """Whether the gradient of a value is wanted: whether parameters that are trained went into it."""
        return self.training and value in self._depends

    def note_copy(self, value, copy):
        """Take note of another value that is a copy of one."""
        if value in self._depends:
            self._depends.add(copy)

    def parameter(self, name):
        """The parameter in memory, or None where there is none of that name."""
        return self._flat(self._flat_parameters, name, f'parameters["{name}"]')

    def gradient(self, name, node):
        """Where node `node` puts the gradient of a parameter, or None where there is none of that name.

        That is its place in the flat gradient; of layers that share their parameters, the ones behind the
        first to ask have places of their own, which `add_shared` adds to it.
        """
        layer = name.rpartition(".")[0]
        if layer in self._frozen:
            return self._flat(self._unread, name, f'gradients["{name}"]')
        if name not in self._parameters or self._first.setdefault(layer, node) == node:
            return self._flat(self._gradient, name, f'gradients["{name}"]')
        first, size = self._range(layer)
        if (node, layer) not in self._parts:
            label = f'gradients["{layer}"] of layer {node}'
            self._parts[node, layer] = self.plan.rows(size, label=label)
        part, (start, count) = self._parts[node, layer], self._parameters[name]
        inside = (start - first) * self.plan.dtype.itemsize
        return replace(part, first_byte=inside, count=count, label=f'gradients["{name}"] of layer {node}')

    def add_shared(self):
        """Emit the sums of the gradients of shared parameters, in order."""
        sums = []
        for (_, layer), part in self._parts.items():
            start, count = self._range(layer)
            total = self.plan.array(self._gradient, start, count, f'gradients["{layer}"]')
            sums.append((merge.add_numbers, [part, total], merge.NumbersGeometry(count)))
        self.plan.emit_together(sums)

    def share_early(self, number):
        """Send the sums that are complete to other ranks, if the backward pass of layer `number` is next."""
        if number == self.early:
            self.plan.emit_together(self.before_sharing)
            self.before_sharing.clear()
            self.plan.begin_sharing_shards()

    def _range(self, layer):
        """(first element, number of elements) of a layer's parameters, which lie one after the other."""
        own = [place for name, place in self._parameters.items() if name.rpartition(".")[0] == layer]
        return own[0][0], sum(count for _, count in own)

    def _flat(self, flat, name, label):
        if name not in self._parameters:
            return None
        start, count = self._parameters[name]
        return self.plan.array(flat, start, count, label)

    def statistic(self, name):
        """A statistic in memory; those of a layer lie one after the other."""
        start, count = self._statistics[name]
        return self.plan.array(self._flat_statistics, start, count, f'statistics["{name}"]')

    def prepare(self, operation, operands, geometry=()):
        """Emit what depends on parameters and statistics alone: in training with each step, else once.

        It must write `rows` of its own, and is not shared among threads where it runs once.
        """
        if self.training:
            self.before_forward.append((operation, operands, geometry))
        else:
            self.plan.prepare(operation, operands, geometry)

    def numbers(self, values):
        """Constants of the network's dtype in memory."""
        return self.plan.array(np.array(values, self._network.dtype), count=len(values), label=f"{values}")

    def to_rows(self, planes):
        """Emit the transpose of planes to a row a sample, for the whole batch."""
        rows = self.plan.sample_rows(planes.features, label=f"{planes.label}_rows")
        self.plan.emit(layout.lanes_to_rows, [planes, rows], layout.rows_geometry(planes, rows.length))
        return rows


def layers_of_channels(network, training):
    """The numbers of the layers that can work on few samples with their channels in the lanes.

    In training only those are that can differentiate what they do, too, and that no other layer comes before.
    """
    if not training:
        return set(range(len(network.nodes)))
    found, values = set(), set(network.inputs)
    for number, node in enumerate(network.nodes):
        layer, reads = node.layer.image_layer(), values.issuperset(node.inputs)
        if reads and lowering_of(layer).learns_from_few_samples(layer, node.input_shape[0]):
            found.add(number)
            values.add(node.output)
    return found


def _offsets(live):
    """Name -> (first element, number of elements) of the arrays in a flat vector."""
    flat = live.flat
    return {n: ((a.ctypes.data - flat.ctypes.data) // flat.itemsize, a.size) for n, a in live.views.items()}
