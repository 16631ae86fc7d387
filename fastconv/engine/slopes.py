"""The gradients of values in the backward pass, and what is still to be done with them.

Several layers may read a value, and a ReLU may have made it: then its gradient is a sum, and 0 in some
places. To make either takes a pass over memory, unless whoever reads the gradient does so on the way. So it
is left until somebody asks for the gradient.
"""

from collections import Counter
from dataclasses import dataclass, replace

from ..kernels.lanes import activations, merge
from ..kernels.lanes.planes import plane_geometry
from .memory import Planes
from .plan import Owner


@dataclass(eq=False)
class Slope:
    """The gradient of a value, or of several that it was handed on to: `planes`, as soon as it is whole.

    Until then `more` is to be added, if that is given, and after that all is 0 where `gate`, what a ReLU
    gave, is not positive. All three are laid out alike, but for the halo of the gate.
    """

    planes: Planes
    more: Planes | None = None
    gate: Planes | None = None
    owner: Owner | None = None  # of the operation that makes it whole
    relu: tuple[int, ...] = ()  # number of the layer that gave `gate`

    @property
    def is_whole(self):
        """Whether nothing is left to be done."""
        return self.more is None and self.gate is None

    def holds(self, storage):
        """Whether it reads this memory."""
        return self.planes.storage is storage or (self.more is not None and self.more.storage is storage)

    def become(self, planes):
        """Be whole: these planes."""
        self.planes, self.more, self.gate, self.relu = planes, None, None, ()


class Slopes:
    """The gradient of each value that has one so far.

    Values may share one that was handed on, and its memory; nobody writes into it then, but to make it whole.
    """

    def __init__(self, plan):
        self._plan, self._slopes = plan, {}
        self._added, self._labels = Counter(), {}

    def __contains__(self, value):
        return value in self._slopes

    def __getitem__(self, value):
        """The gradient of a value, whole: planes."""
        self._finish(self._slopes[value])
        return replace(self._slopes[value].planes, label=self._labels[value])

    def unfinished(self, value):
        """The gradient of a value, for somebody who makes it whole in its own memory, or None.

        It is None where there is nothing to do, or the memory has other readers.
        """
        slope = self._slopes[value]
        return None if slope.is_whole or not self._is_free(slope.planes, slope) else slope

    def open(self, value):
        """Planes of a value's gradient, to which more may be added.

        What is added before the gradient is whole counts once; where `more` lies in the same memory, as of a
        value that is added to itself, it would count twice.
        """
        slope = self._slopes[value]
        doubled = slope.more is not None and slope.more.storage is slope.planes.storage
        if slope.gate is not None or doubled:
            return self[value]
        return replace(slope.planes, label=self._labels[value])

    def is_shared(self, value):
        """Whether another value has the same gradient."""
        return sum(slope is self._slopes[value] for slope in self._slopes.values()) > 1

    def is_alone(self, value):
        """Whether no other value's gradient lies in the same memory."""
        slope = self._slopes[value]
        return not self.is_shared(value) and self._is_free(slope.planes, slope)

    def label(self, value, name):
        """What to call a gradient that is about to be added to a value's: a name of its own in listings."""
        self._added[value] += 1
        return name if self._added[value] == 1 else f"{name}_{self._added[value]}"

    def add(self, value, planes):
        """Add planes to the gradient of a value; the first ones become it."""
        self._put(value, Slope(planes), planes.label)

    def hand_on(self, source, value, name):
        """Add the gradient of a value to that of another one, which may share it."""
        self._put(value, self._slopes[source], self.label(value, name))

    def gate(self, source, y, relu):
        """Let the gradient of y, what a ReLU gave, become that of what it read."""
        slope = self._slopes[source]
        if slope.gate is not None or self.is_shared(source):
            self._finish(slope)
        self._slopes[source] = Slope(slope.planes, slope.more, y, Owner("backward", (relu,)), (relu,))

    def drop(self, value):
        """Forget a gradient that has had its last reader."""
        del self._labels[value], self._slopes[value]

    def _put(self, value, slope, label):
        if value not in self._slopes:
            self._slopes[value], self._labels[value] = slope, label
            return
        owner = self._plan.owner
        self._finish(slope)  # first, as it may need memory that the value's own may be finished in
        more = replace(slope.planes, label=label)
        self._slopes[value] = Slope(self[value], more, owner=owner)

    def _is_free(self, planes, own):
        """Whether no other gradient than `own` lies in the memory of some planes."""
        return not any(slope is not own and slope.holds(planes.storage) for slope in self._slopes.values())

    def _finish(self, slope):
        """Emit what is left to be done, in memory that nobody else reads."""
        if slope.is_whole:
            return
        first, more, gate = slope.planes, slope.more, slope.gate
        free = (planes for planes in (more, first) if planes is not None and self._is_free(planes, slope))
        total = next(free, None)
        if total is None:
            total = self._plan.planes(first.sizes, first.halo, first.label, passing=True)
            total.image, total.samples = first.image, first.samples
        before, self._plan.owner = self._plan.owner, slope.owner
        if more is None:
            self._plan.emit(activations.relu_grad, [first, total, gate], plane_geometry(first, total, gate))
        elif gate is None:
            self._plan.emit(merge.add_planes, [first, total, more], plane_geometry(first, total, more))
        else:
            g = plane_geometry(first, total, gate)
            self._plan.emit(merge.add_planes_gated, [first, total, more, gate], g)
        self._plan.owner = before
        slope.become(total)
