"""The memory that operations of a plan work in: storages, and the planes and rows that lie in them.

How many copies there are of each, and where they lie, is decided when the plan is finished: see `plan.py`.
"""

from dataclasses import dataclass, field

import numpy as np

from ..simd import VECTOR_BYTES


def image_of(shape):
    """The shape of a sample as an image: a signal (C, L) is one of a single line, features are (F, 1, 1)."""
    return shape if len(shape) == 3 else (shape[0], 1, shape[1] if len(shape) == 2 else 1)


def lanes_of(dtype):
    """Samples in a block of this dtype: one in each lane of a vector."""
    return VECTOR_BYTES // np.dtype(dtype).itemsize


@dataclass(eq=False)
class Storage:
    """Memory of `size` scalars; `kept` says for what there is a copy: thread, scratch, block, shard or all.

    Scratch is a thread's too, and holds nothing from one operation to the next.
    """

    size: int
    kept: str = "thread"
    fill: float = 0.0  # what it holds at first
    shape: tuple | None = None  # of planes that may lie in the memory of others, before and after their use
    stages: set = field(default_factory=set)
    first: int = -1  # the moments of its first and last use
    last: int = -1
    offset: int = 0
    address: int = 0
    copy_bytes: int = 0


@dataclass(eq=False)
class Planes:
    """Images [channels][height][width] of vectors (or scalars) in a storage, each in a halo of its `fill`.

    `label` is the name that they have in a listing of the plan, here and in `Rows`.
    """

    storage: Storage
    channels: int
    height: int
    width: int
    halo: tuple[int, int, int, int] = (0, 0, 0, 0)  # top, bottom, left, right
    element_bytes: int = VECTOR_BYTES
    label: str = ""
    image: tuple[int, int, int] | None = None  # of few samples, whose channels share these planes
    samples: int = 1  # how many these are
    first_channel: int = 0  # in the storage, where they are a part of other planes

    @property
    def row(self):
        """Elements from one row to the next."""
        return self.width + self.halo[2] + self.halo[3]

    @property
    def plane(self):
        """Elements from one channel to the next."""
        return self.row * (self.height + self.halo[0] + self.halo[1])

    @property
    def steps(self):
        """(plane, row)."""
        return self.plane, self.row

    @property
    def sizes(self):
        """(channels, height, width)."""
        return self.channels, self.height, self.width

    @property
    def features(self):
        """Elements of one sample."""
        return self.channels * self.height * self.width

    @property
    def first_byte(self):
        """Where the first element lies, past the halo."""
        inside = self.halo[0] * self.row + self.halo[2]
        return (self.first_channel * self.plane + inside) * self.element_bytes

    def table(self):
        """The element at which each feature lies, in row-major order, counted from the first."""
        c, h, w = (np.arange(n) for n in self.sizes)
        return (c[:, None, None] * self.plane + h[:, None] * self.row + w).ravel()

    def scalar_table(self, lanes):
        """At which scalar each feature of the first of few samples lies."""
        c, h, w = (index.ravel() for index in np.indices(self.image))
        if self.element_bytes != VECTOR_BYTES:
            return c * self.plane + h * self.row + w
        return (c // lanes * self.samples * self.plane + h * self.row + w) * lanes + c % lanes

    def scalars(self, lanes):
        """At which scalar each feature of the first sample lies, and how far from it that of the next one."""
        if self.image is None:  # samples lie in the lanes
            return self.table() * lanes, 1
        return self.scalar_table(lanes), self.sample_distance(lanes)

    def sample_distance(self, lanes):
        """How many scalars lie between one of few samples and the next."""
        scalars = self.element_bytes != VECTOR_BYTES
        return self.plane * (self.image[0] if scalars else lanes)


@dataclass(eq=False)
class Rows:
    """Scalars in a storage, such as samples x features."""

    storage: Storage
    length: int = 0
    first_byte: int = 0
    count: int = 0
    label: str = ""


@dataclass(frozen=True)
class CopyDistance:
    """In a geometry: how many scalars lie between one block of a storage and the next."""

    storage: Storage
