"""Runs a network: one compiled call takes a whole run of steps, forward, loss, backward and update.

    Engine       a plan with its memory, for one purpose and batch size; `run` takes steps
    IdleEngines  those of one network that wait for their next use
    run_steps    the compiled loop: step, stage, block, operation

Python sees only the ends of calls. Data are read where they lie (any strides, uint8 or float), sample by
sample, as blocks are packed; nothing is copied whole.
"""

import ctypes
import struct
import time
from functools import partial

import numpy as np

from . import runtime
from .builder import STEPS_PER_CALL, Builder
from .compiling import compiled
from .lanes import operation as op
from .lanes import pack
from .plan import BATCH, FIRST_OPERAND, MAX_SHARDS, OPERAND_FIELDS, OPERANDS, lanes_of

PRODUCTS_PER_THREAD = 500_000  # some 4 us: with less to do, a thread costs more than it brings
SECONDS_PER_CALL = 0.1  # so that an interrupt and a progress bar are served in time


@compiled
def _point(operations, calls, first, last, block, thread, shard):
    """Point the calls first..last to the copies of their memory that belong to this block."""
    for k in range(first, last):
        row = operations[k]
        for n in range(FIRST_OPERAND):
            calls[k, n] = row[n]
        for n in range(OPERANDS):
            at = FIRST_OPERAND + n * OPERAND_FIELDS
            calls[k, FIRST_OPERAND + n] = (
                row[at] + block * row[at + 1] + thread * row[at + 2] + shard * row[at + 3]
            )


@compiled
def _first_block(shard, blocks, shards):
    """The first block of a shard; mostly there is one in each."""
    return shard if shards == blocks else shard * blocks // shards


@compiled
def _run_calls(calls, first, last, state):
    for k in range(first, last):
        runtime.call_operation(calls, k, state)


@compiled
def run_steps(
    operations,
    stages,
    all_calls,
    all_held,
    states,
    barrier,
    lanes,
    batch_size,
    samples,
    first_step,
    steps,
    thread,
    threads,
):
    """Take `steps` steps from `first_step` on; every thread calls this with its own number.

    Ends early where another thread was kept from coming to the barrier.
    """
    control = runtime.flush_denormals()
    calls, held, state = all_calls[thread], all_held[thread], states[thread]
    state[op.THREAD], state[op.THREADS] = thread, threads
    for step in range(steps):
        position = (first_step + step) * batch_size
        count = min(batch_size, samples - position)
        if state[op.SAMPLES] != count:  # small networks would notice the division
            state[op.SAMPLES], state[op.BLOCKS] = count, (count + lanes - 1) // lanes
            state[op.SHARDS] = min(state[op.BLOCKS], MAX_SHARDS)
        blocks, shards = state[op.BLOCKS], state[op.SHARDS]
        state[op.POSITION], state[op.STEP] = position, step
        state[op.UPDATE] += 1
        for stage in range(stages.shape[0]):
            first, last = stages[stage, 1], stages[stage, 2]
            if stages[stage, 0] == BATCH:
                if held[stage] < 0:
                    _point(operations, calls, first, last, 0, 0, 0)
                    held[stage] = 0
                _run_calls(calls, first, last, state)
            else:
                for shard in range(thread, shards, threads):
                    begin = _first_block(shard, blocks, shards)
                    for block in range(begin, _first_block(shard + 1, blocks, shards)):
                        place = block * MAX_SHARDS + shard
                        if held[stage] != place:
                            _point(operations, calls, first, last, block, thread, shard)
                            held[stage] = place
                        state[op.FIRST_SAMPLE] = block * lanes
                        state[op.VALID] = min(lanes, count - block * lanes)
                        state[op.FRESH] = block == begin
                        _run_calls(calls, first, last, state)
            if not runtime.wait_for_all(barrier, threads):
                runtime.restore_denormals(control)
                return
    runtime.restore_denormals(control)


class Engine:
    """A network ready to run for one purpose: "predict", "evaluate", "gradients" or "train".

    Parameters
    ----------
    network : Network
        Its parameters and statistics are read and changed in place.
    purpose : str
        What a run does.
    batch_size : int
        Samples of a step; the last one may have fewer.
    loss : str or None
        Name of the loss, where one is computed.
    optimizer, optimizer_state
        The record, and its vectors, for "train".
    seed : int
        Of the random numbers of dropout and augmentation.
    weighted : bool
        Whether `load` gets a weight for each sample, which its loss and gradient are multiplied by.
    augmentation : Augment or None
        How images are changed at random as they are packed.
    outputs : bool
        Whether `write_to` says where outputs go, in the order in which samples are taken, beside the loss.

    All that a run needs is compiled, or read from the cache, as the engine is built: `build_seconds` says how
    long that took.
    """

    def __init__(
        self,
        network,
        purpose,
        batch_size,
        loss=None,
        optimizer=None,
        optimizer_state=None,
        seed=0,
        weighted=False,
        augmentation=None,
        outputs=False,
    ):
        lanes = lanes_of(network.dtype)
        threads = runtime.get_num_threads()
        self.key = purpose, batch_size, threads, loss, weighted, outputs
        work = network.products() * batch_size
        threads = min(threads, -(-batch_size // lanes), 1 + work // PRODUCTS_PER_THREAD)
        started = time.perf_counter()
        built = Builder(
            network,
            purpose,
            batch_size,
            threads,
            loss,
            optimizer,
            optimizer_state,
            weighted,
            augmentation,
            outputs,
        )
        self.batch_size, self.ports = batch_size, built.ports
        self.program, self.lanes, self.threads = built.plan.finish(), lanes, threads
        self.chunk = 1
        self._barrier = np.zeros(2, np.int64)
        self.release()
        self.set_seed(seed)
        self._steps(0, 0, 0)
        self.build_seconds = time.perf_counter() - started

    def load(self, X, y=None, order=None, weight=None):
        """Set the samples of the coming runs, arrays that stay the caller's, and their order."""
        addresses = _address(order) if order is not None else 0
        _describe_source(self.ports.source, X, addresses, X.dtype == np.uint8)
        if self.ports.target is not None:
            _describe_source(self.ports.target, y, addresses, False)
        if self.ports.weight is not None:
            _describe_source(self.ports.weight, weight, addresses, False)
        self._samples = len(X) if order is None else len(order)
        self._data = X, y, order, weight  # kept alive

    def release(self):
        """Let go of the caller's arrays."""
        self._samples, self._data, self._output = 0, (), None

    def write_to(self, output):
        """Set where outputs go: a C-ordered array of the network's dtype, not empty."""
        self.ports.sink[pack.TARGET] = _address(output)
        self._output = output

    @property
    def steps(self):
        """Steps through all samples."""
        return -(-self._samples // self.batch_size)

    def set_updates(self, count):
        """Tell how many optimizer steps came before."""
        self.program.state[:, op.UPDATE] = count

    def set_seed(self, seed):
        """Set the seed of the random numbers; of a large one, the lower 63 bits."""
        self.program.state[:, op.SEED] = seed % 2**63

    def run(self, first_step, steps):
        """Take `steps` steps; returns their (loss, right answers), one row each, where there is a loss."""
        self._barrier[:] = 0  # an earlier run may have been interrupted
        runtime.run_threads(self.threads, partial(self._steps, first_step, steps), self._barrier)
        return None if self.ports.log is None else self.ports.log[:steps]

    def _steps(self, first_step, steps, thread):
        """One thread's part of a run."""
        program = self.program
        run_steps(
            program.operations, program.stages, program.calls, program.held, program.state, self._barrier,
            self.lanes, self.batch_size, self._samples, first_step, steps, thread, self.threads,
        )  # fmt: skip

    def run_all(self, each=None, chunk=1):
        """Take all steps, in calls of about SECONDS_PER_CALL; yields (first step, log) after each call.

        `each` is called as each(first_step, steps) before a call, to set its learning rates. `chunk` is the
        number of steps in the first call; the attribute `chunk` is what would have been that of the next.
        """
        step, steps = 0, self.steps
        while step < steps:
            chunk = min(chunk, steps - step, STEPS_PER_CALL)
            if each is not None:
                each(step, chunk)
            started = time.perf_counter()
            log = self.run(step, chunk)
            wanted = SECONDS_PER_CALL * chunk / (time.perf_counter() - started + 1e-9)
            yield step, log
            step += chunk
            self.chunk = chunk = int(min(wanted, 8 * chunk + 8)) or 1


FEW_SAMPLES = 4  # LeNet-5 takes 8 us for each alone, 40 us for a block
KEPT_ENGINES = 4
KEPT_BYTES = 1 << 26  # a larger engine is built in a hundredth of the time of its step (VGG, batch 256)


class IdleEngines:
    """Engines of one network that wait for their next use: building one takes 0.2 to 2 ms.

    Who takes an engine has it alone. One list operation takes or puts back, so that neither threads nor a
    fork need a lock. Copies and pickles of it are empty.
    """

    def __init__(self):
        self._engines = []

    def __reduce__(self):
        return IdleEngines, ()

    def take(self, network, purpose, samples, batch_size=None, loss=None, weighted=False, outputs=False):
        """An engine that takes `samples` samples in batches of `batch_size`, or all at once.

        Where they fit in one batch, the engine is for whole blocks, so that it serves similar numbers too.
        Predictions of a few samples are made one by one: a block would leave most of its lanes empty.
        """
        if purpose == "predict" and samples <= FEW_SAMPLES and not network.grouped:
            batch_size = 1
        elif batch_size is None or batch_size >= samples:
            lanes = lanes_of(network.dtype)
            batch_size = -(-samples // lanes) * lanes
        key = purpose, batch_size, runtime.get_num_threads(), loss, weighted, outputs
        for engine in self._engines.copy():
            if engine.key == key:
                try:
                    self._engines.remove(engine)
                except ValueError:  # another thread was faster
                    continue
                return engine
        return Engine(network, purpose, batch_size, loss, weighted=weighted, outputs=outputs)

    def put_back(self, engine):
        """Keep an engine whose run has ended well; the one that has waited longest may have to go."""
        engine.release()
        if engine.program.memory.nbytes <= KEPT_BYTES:
            self._engines.append(engine)
            del self._engines[:-KEPT_ENGINES]


def _address(array):
    """As `array.ctypes.data`, in a quarter of the time for most arrays."""
    if array.flags.carray and array.size:
        return ctypes.addressof(ctypes.c_char.from_buffer(array))
    return array.__array_interface__["data"][0]


_SOURCE_FIELDS = struct.Struct(f"={pack.TABLE - pack.C_STEP}q")


def _describe_source(g, array, order, scaled):
    """Fill in the geometry of a gather: see lanes/pack.py."""
    item = array.itemsize
    steps = array.strides[1:]
    if array.ndim == 4:
        c, h, w = steps
    else:  # features in the last axis, or none
        c, h, w = (steps[0] if steps else item), item, item
    g[pack.KIND] = pack.DTYPE_CODES[array.dtype]
    values = c, h, w, array.strides[0], _address(array), order, scaled
    _SOURCE_FIELDS.pack_into(g, pack.C_STEP * 8, *values)  # in a third of the time of an assignment
