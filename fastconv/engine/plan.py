"""A plan: the operations of a network in order, and the memory they work in, laid out before the run.

Operations come in stages. In a stage of blocks, each thread takes its blocks of samples through all the
operations, one block after the other; in a stage of the batch, each operation runs once over the whole
batch, divided among the threads by what it produces. Where there are fewer blocks than threads, so are those
operations on a block that take long. Threads wait for each other after every stage.

    stage       its operations run                       its memory
    "block"     for each block, on one thread            one copy for each thread, or, where a later stage
                                                         needs it, for each block; or for each shard
    "divided"   for each block, on one or more threads   one copy for each block or shard
    "batch"     once, on all threads                     one for all

Within a stage of blocks, operations that take each channel for itself may run channel by channel (chains.py).
A shard is a run of blocks whose weight gradients are summed in one place. How many there are depends on
the batch alone, and they are added up by a fixed tree (kernels/lanes/shard_sums.py): results have the same
bits on any number of threads. Shards may also be divided among ranks, processes that each hold the whole plan
but go through their own blocks only; what they tell each other between two stages is in `exchanges`. Where
that pays, a stage is cut in the backward pass, and gradients are on their way while others are computed
(overlap.py).
"""

from typing import NamedTuple

import numpy as np

from ..kernels.lanes.operation import Operation, addresses_of
from ..simd import VECTOR_BYTES
from .arranging import arrange
from .assistant import assisted
from .chains import chain_table, find_chains
from .exchange import Begin, BlockRows, ShardSums
from .memory import CopyDistance, Planes, Rows, Storage, image_of, lanes_of
from .program import Program
from .tables import BATCH, BLOCK, DIVIDED, MAX_SHARDS, OPERANDS, ROW, address_of

STAGE_KINDS = {"block": BLOCK, "divided": DIVIDED, "batch": BATCH}
MOST_IDLE = 0.2  # of the threads' time while each block is one thread's: more is worth waiting at more stages


def idle_share(blocks, threads):
    """The share of the threads' time that is lost where each of so many blocks is one thread's."""
    return 1 - blocks / (threads * max(1, -(-blocks // threads)))


class Owner(NamedTuple):
    """Who asks for operations: a pass over the network, and its layers there, fused ones together.

    `products` says how many times these compute all their products: once forward, backward for the weights
    and for the input.
    """

    part: str
    layers: tuple[int, ...] = ()
    products: int = 1


class Emitted(tuple):
    """(operation, operands, geometry), with its `owner`."""

    def __new__(cls, parts, owner):
        made = super().__new__(cls, parts)
        made.owner = getattr(parts, "owner", owner)
        return made


class Postponed(list):
    """Operations that are left for later, with the owners that they have now."""

    def __init__(self, plan):
        super().__init__()
        self._plan = plan

    def append(self, operation):
        super().append(Emitted(operation, self._plan.owner))


class Plan:
    """Collects operations and memory; `finish` turns them into the table that the engine runs."""

    def __init__(self, dtype, batch_size, threads, few=0, shared=False, long_layers=()):
        self.dtype = np.dtype(dtype)
        self.lanes = lanes_of(dtype)
        self.blocks = -(-batch_size // (few or self.lanes))
        self.batch_size = batch_size
        self.threads = threads
        # The layers whose operations on a block several threads share, where blocks alone leave some idle.
        self.long_layers = frozenset(long_layers if idle_share(self.blocks, threads) > MOST_IDLE else ())
        self.stages = []  # ("block", "divided" or "batch", [(operation, operands, geometry)])
        self.shared = shared  # whether several ranks compute the blocks, each some of them
        self.exchanges = []  # what ranks share with each other, and how many stages come before
        self.chains, self.moments = [], []
        self._begun = None  # sums of shards that are sent early
        self.owner = None  # of the operations that are emitted next, for whoever wants to know
        self.preparation = []  # operations that run once, and again when a parameter has changed
        self._storages = []
        self._scratch = None
        self._kept_alive = []

    # Memory

    def planes(self, shape, halo=(0, 0, 0, 0), label="", fill=0.0, passing=False):
        """New planes for one block of samples of `shape`, in a halo of `fill`.

        Of `passing` ones, an operation writes every element, of all lanes, before one is read: their memory
        may be that of others, if there is a halo of ones of the same sizes, whose halo is as untouched.
        """
        planes = Planes(Storage(0, fill=fill), *image_of(shape), halo, label=label)
        planes.storage.size = (planes.channels * planes.plane) * self.lanes
        planes.storage.shape = (*planes.sizes, *halo, fill) if passing else None
        self._storages.append(planes.storage)
        return planes

    def scalar_planes(self, image, samples, halo, slack, label=""):
        """New planes of scalars for so many samples, one after the other, and `slack` more behind them."""
        sizes = samples * image[0], *image[1:]
        planes = Planes(Storage(0), *sizes, halo, self.dtype.itemsize, label, image, samples)
        planes.storage.size = -(-(planes.channels * planes.plane + slack) // self.lanes) * self.lanes
        self._storages.append(planes.storage)
        return planes

    def storage_like(self, other):
        """New memory of the size of another."""
        self._storages.append(Storage(other.size, fill=other.fill, shape=other.shape))
        return self._storages[-1]

    def rows(self, size, kept="all", label=""):
        """New scalars, kept once ("all"), for each thread or for each shard."""
        size = int(size)  # those of geometries are NumPy's
        storage = Storage(-(-size // self.lanes) * self.lanes, kept)
        self._storages.append(storage)
        return Rows(storage, count=size, label=label)

    def sample_rows(self, features, kept="all", label=""):
        """A row of `features` for each sample of the batch or of one block.

        Rows are padded to an odd number of vectors: an even one would let them share few sets of the cache.
        """
        length = (-(-features // self.lanes) | 1) * self.lanes
        samples = self.blocks * self.lanes if kept == "all" else self.lanes
        rows = self.rows(samples * length, kept, label)
        rows.length = length
        return rows

    def scratch(self, size):
        """Scalars for one operation to work in, which those of all other operations share."""
        if self._scratch is None:
            self._scratch = self.rows(0, "scratch", "scratch")
        storage = self._scratch.storage
        storage.size = max(storage.size, -(-int(size) // self.lanes) * self.lanes)
        self._scratch.count = storage.size
        return self._scratch

    def array(self, array, start=0, count=0, label=""):
        """Memory of a NumPy array of the plan's dtype: `count` elements from element `start`."""
        self._kept_alive.append(array)
        storage = Storage(array.size, "all", address=address_of(array))
        return Rows(storage, first_byte=start * array.itemsize, count=count, label=label)

    # Operations

    def emit(self, operation: Operation, operands, geometry=(), stage="block"):
        """Append an operation; block operations in a row share a stage, others have stages of their own."""
        if stage == "block" and not self.long_layers.isdisjoint(self._owners()) and operation.divides:
            stage = "divided"
        if stage != "block" or not self.stages or self.stages[-1][0] != "block":
            self.stages.append((stage, []))
        self._append((operation, operands, geometry))

    def _owners(self):
        return self.owner.layers if self.owner else ()

    @property
    def divides(self):
        """Whether several threads share the work on a block."""
        return any(kind == "divided" for kind, _ in self.stages)

    def emit_together(self, operations):
        """Append batch operations as one stage: each thread needs only what it has itself made in it."""
        if operations:
            self.stages.append(("batch", []))
        for one in operations:
            self._append(one)

    def _append(self, one):
        self.stages[-1][1].append(Emitted(one, self.owner))

    def drop_empty_stages(self):
        """Leave out the stages in which nothing runs."""
        kept = [bool(operations) for _, operations in self.stages]
        self.exchanges = [(sum(kept[:place]), exchange) for place, exchange in self.exchanges]
        self.stages = [stage for stage, keep in zip(self.stages, kept, strict=True) if keep]

    def share_blocks(self, *rows):
        """Let all ranks have what these rows (or planes) hold for each block, before what comes next."""
        if self.shared and rows:
            self.exchanges.append((len(self.stages), BlockRows([one.storage for one in rows])))

    def share_shards(self):
        """Let all ranks have the sums of all shards, in the place of those of the first one."""
        if self.shared:
            self.exchanges.append((len(self.stages), self._shard_sums()))

    def begin_sharing_shards(self):
        """Send the sums of all shards that there are so far; `share_shards` takes in those of others."""
        self._begun = self._shard_sums()
        self.exchanges.append((len(self.stages), Begin(self._begun)))

    def _shard_sums(self):
        """The sums of shards that are not on their way yet."""
        begun = self._begun.storages if self._begun else []
        rest = [one for one in self._storages if one.kept == "shard" and one not in begun]
        return ShardSums(rest, self._begun)

    @property
    def operations(self):
        """All operations in order, as (operation, operands, geometry)."""
        return [one for _, operations in self.stages for one in operations]

    def prepare(self, operation, operands, geometry=()):
        """Append an operation that makes something of parameters alone, in memory that it keeps: `rows`."""
        self.preparation.append(Emitted((operation, operands, geometry), self.owner))

    # The finished plan

    def settle(self):
        """Find out when each memory is used, of which there is a copy for each block, and the chains.

        Of what the whole batch or more than one stage reads there is one, now that all operations are known.
        """
        for _, operands, _ in self.preparation:
            for operand in operands:
                if operand is not None:
                    operand.storage.first = operand.storage.last = 0
        moment, self.moments = 0, []  # of the operations
        for number, (kind, operations) in enumerate(self.stages):
            for place, (_, operands, _) in enumerate(operations):
                if kind == "block" or place == 0:  # threads do not wait for each other within a batch stage
                    moment += 1
                self.moments.append(moment)
                for storage in (operand.storage for operand in operands if operand is not None):
                    storage.stages.add(number)
                    storage.first, storage.last = moment if storage.first < 0 else storage.first, moment
                    if kind != "block" and storage.kept == "thread":
                        storage.kept = "block"
        for storage in self._storages:
            if storage.kept == "thread" and len(storage.stages) > 1:
                storage.kept = "block"
        self.chains = find_chains(self)

    def copies(self, storage):
        """How many copies of a storage there are."""
        kinds = {"thread": self.threads, "scratch": self.threads, "block": self.blocks, "shard": self.shards}
        return kinds.get(storage.kept, 1)

    @property
    def shards(self):
        """How many runs of blocks have sums of their own."""
        return min(self.blocks, MAX_SHARDS)

    def lay_out(self):
        """Give each storage its place in memory; returns how many bytes that takes.

        All copies for one block lie together, and so do those for one thread: what belongs to each of them
        is laid out alike.
        """
        self.settle()
        end, groups = 0, {}
        for storage in sorted(self._storages, key=lambda storage: storage.first):
            # A vector more, so that equal planes of two storages do not share cache sets throughout.
            storage.copy_bytes = storage.size * self.dtype.itemsize + VECTOR_BYTES
            if storage.first >= 0:
                groups.setdefault(storage.kept, []).append(storage)
        for storages in groups.values():
            copy_bytes = arrange(storages)
            for storage in storages:
                storage.offset += end
                storage.copy_bytes = copy_bytes
            end += copy_bytes * self.copies(storages[0])
        return end

    def clear(self, memory):
        """Put into the memory what it held at first."""
        memory[:] = 0
        self._fill(memory)

    def _fill(self, memory):
        """Fill all copies of storages with what they hold at first."""
        numbers = memory.view(self.dtype)
        for storage in self._storages:
            if storage.fill and storage.first >= 0:
                for copy in range(self.copies(storage)):
                    start = storage.address - memory.ctypes.data + copy * storage.copy_bytes
                    first = start // self.dtype.itemsize
                    numbers[first : first + storage.size] = storage.fill

    def finish(self):
        """Lay the memory out, compile the operations and build the tables. Returns a `Program`."""
        memory = np.zeros(self.lay_out() // 8 + 8, np.int64)
        base = -(-memory.ctypes.data // VECTOR_BYTES) * VECTOR_BYTES
        for storage in self._storages:
            storage.address = base + storage.offset
        self._fill(memory)
        dtype = self.dtype.name  # NumPy makes the name anew each time
        rows, stage_rows, geometries, chosen = [], [], [], []
        for kind, operations in (*self.stages, ("batch", self.preparation)):
            stage_rows.append((STAGE_KINDS[kind], len(rows), len(rows) + len(operations)))
            for operation, operands, geometry in operations:
                geometries.append(_resolved(geometry, self.dtype.itemsize))
                chosen.append(operation.for_geometry(geometries[-1]))
                row = [geometries[-1].ctypes.data]
                for operand in (*operands, *[None] * (OPERANDS - len(operands))):
                    row += _operand_fields(operand)
                rows.append(row)
        for _, exchange in self.exchanges:
            exchange.bind(memory, self.dtype)
        with assisted(chosen, dtype):
            rows = [[code, *row] for code, row in zip(addresses_of(chosen, dtype), rows, strict=True)]
        return Program(
            operations=np.array(rows, np.int64).reshape(-1, ROW),
            chains=chain_table(self.chains, len(rows)),
            stages=np.array(stage_rows[:-1], np.int64).reshape(-1, 3),
            preparation=np.array(stage_rows[-1:], np.int64),
            memory=memory,
            geometries=geometries,
            kept_alive=self._kept_alive,
            plan=self,
            threads=self.threads,
        )


def _resolved(geometry, itemsize):
    """The geometry as int64, with distances filled in now that memory is laid out."""
    if isinstance(geometry, np.ndarray):
        return geometry
    values = [v.storage.copy_bytes // itemsize if isinstance(v, CopyDistance) else v for v in geometry]
    return np.array(values or [0], np.int64)


def _operand_fields(operand):
    if operand is None:
        return [0, 0, 0, 0]
    storage = operand.storage
    kept = "thread" if storage.kept == "scratch" else storage.kept
    steps = [storage.copy_bytes if kept == kind else 0 for kind in ("block", "thread", "shard")]
    return [storage.address + operand.first_byte, *steps]
