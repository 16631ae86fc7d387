"""What a layer's lowering works with: the plan that it adds operations to, and the network's arrays."""

import numpy as np

from ..kernels.lanes import layout


class Emitter:
    """The plan of a network for one run, and where the network's numbers lie in memory.

    Attributes
    ----------
    plan : Plan
    training, updates_statistics : bool
        Whether gradients are wanted, and whether running statistics follow the batch.
    single : bool
        Whether a single sample is predicted, with its channels in the lanes.
    after_backward : list
        Operations on the whole batch, as Plan.emit takes them, left for the end of the backward pass.
    """

    def __init__(self, network, run, plan, gradient, single):
        self.plan, self.single = plan, single
        self.training, self.updates_statistics = run.training, run.purpose == "train"
        self.after_backward = []
        self._network, self._gradient = network, gradient
        self._parameters = _offsets(network.parameters(), network.flat_parameters)
        # What some layers would give frozen parameters lies where nobody reads it, and never adds to a norm.
        self._frozen = run.frozen
        self._unread = np.zeros_like(gradient) if run.frozen and run.training else None
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

    def parameter(self, name):
        """The parameter in memory, or None where there is none of that name."""
        return self._flat(self._network.flat_parameters, name, f'parameters["{name}"]')

    def gradient(self, name):
        """The parameter's place in the flat gradient, or None."""
        flat = self._unread if name.rpartition(".")[0] in self._frozen else self._gradient
        return self._flat(flat, name, f'gradients["{name}"]')

    def _flat(self, flat, name, label):
        if name not in self._parameters:
            return None
        start, count = self._parameters[name]
        return self.plan.array(flat, start, count, label)

    def statistic(self, name):
        """A statistic in memory; those of a layer lie one after the other."""
        start, count = _offsets(self._network.statistics(), self._network.flat_statistics)[name]
        return self.plan.array(self._network.flat_statistics, start, count, f'statistics["{name}"]')

    def numbers(self, values):
        """Constants of the network's dtype in memory."""
        return self.plan.array(np.array(values, self._network.dtype), count=len(values), label=f"{values}")

    def to_rows(self, planes):
        """Emit the transpose of planes to a row a sample, for the whole batch."""
        rows = self.plan.sample_rows(planes.features, label=f"{planes.label}_rows")
        self.plan.emit(layout.lanes_to_rows, [planes, rows], layout.rows_geometry(planes, rows.length))
        return rows


def _offsets(views, flat):
    """Name -> (first element, number of elements) of views into a flat vector."""
    return {n: ((a.ctypes.data - flat.ctypes.data) // flat.itemsize, a.size) for n, a in views.items()}
