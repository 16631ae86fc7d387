"""The values of a network while its plan is made: who makes and reads each, and where their gradients lie."""

from collections import Counter

from ..kernels.lanes import merge
from ..kernels.lanes.planes import plane_geometry


class Values:
    """Who makes and who reads each value.

    Attributes
    ----------
    writer : list of Lowering or None
        By value; None for inputs.
    readers : list of lists of Lowering
        By value, in order.
    outputs : list of ints
        The values that the losses read, or the network gives.
    """

    def __init__(self, layers, count, outputs):
        self.writer, self.outputs = [None] * count, outputs
        self.readers = [[] for _ in self.writer]
        for layer in layers:
            self.writer[layer.output] = layer
            for value in dict.fromkeys(layer.inputs):
                self.readers[value].append(layer)

    def halo(self, value):
        """The zeros around a value: what its readers and its writer's backward pass need.

        Where a layer works in place, what it reads and what it makes have the same.
        """
        found, waiting, halos = set(), [value], [(0, 0, 0, 0)]
        while waiting:
            value = waiting.pop()
            if value in found:
                continue
            found.add(value)
            for layer in self.readers[value]:
                halos.append(layer.input_halo())
                waiting += [layer.output] if layer.in_place else []
            if (layer := self.writer[value]) is not None:
                halos.append(layer.gradient_halo())
                waiting += layer.inputs if layer.in_place else []
        return tuple(max(sides) for sides in zip(*halos, strict=True))


class Slopes:
    """The gradients of values in the backward pass: by value, the planes that hold the sum so far.

    Values may share the memory of a gradient that was handed on; nobody writes into it then.
    """

    def __init__(self, plan):
        self._plan, self._planes = plan, {}
        self._uses, self._added = Counter(), Counter()

    def __contains__(self, value):
        return value in self._planes

    def __getitem__(self, value):
        return self._planes[value]

    def is_alone(self, value):
        """Whether no other value's gradient lies in the same memory."""
        return self._uses[self._planes[value].storage] == 1

    def label(self, value, name):
        """What to call a gradient that is about to be added to a value's: a name of its own in listings."""
        self._added[value] += 1
        return name if self._added[value] == 1 else f"{name}_{self._added[value]}"

    def add(self, value, planes):
        """Add planes to the gradient of a value; the first ones become it."""
        if value in self._planes:
            planes = self._sum(value, planes)
            self.drop(value)
        self._planes[value] = planes
        self._uses[planes.storage] += 1

    def drop(self, value):
        """Forget a gradient that has had its last reader."""
        self._uses[self._planes.pop(value).storage] -= 1

    def _sum(self, value, planes):
        """Emit the sum, in memory that nobody else reads."""
        before = self._planes[value]
        if not self._uses[planes.storage]:
            total = planes
        elif self.is_alone(value):
            total = before
        else:
            total = self._plan.planes(before.sizes, before.halo, before.label, passing=True)
        self._plan.emit(merge.add_planes, [before, total, planes], plane_geometry(before, total, planes))
        return total
