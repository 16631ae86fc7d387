"""Runs a network: one compiled call takes a whole run of steps, forward, loss, backward and update.

    Engine       a plan with its memory; `run` takes steps in the compiled loop of `loop.py`

Python sees only the ends of calls. Data are read where they lie (any strides; uint8, int64 or float), sample
by sample, as blocks are packed; other numbers are converted before each call. Nothing is copied whole.
"""

import itertools
import time

import numpy as np

from ..kernels.lanes import layout
from ..kernels.lanes.operation import STATE
from ..nn.joint_loss import JointLoss
from .builder import Builder
from .columns import arrays_in
from .few_samples import threads_of_few
from .loop import JOB
from .memory import lanes_of
from .overlap import Cuts
from .ports import STEPS_PER_CALL
from .ranks.communicator import ALONE
from .shares import shares_of
from .tables import address_of, cell_of
from .workers import run_job

PRODUCTS_PER_THREAD = 500_000  # some 4 us: with less to do, a thread costs more than it brings
PRODUCTS_PER_SHARE = 1_000_000  # the same where threads share the work on each block
SHORT_PRODUCTS = 100_000_000  # so many take a few milliseconds on one thread
SECONDS_PER_CALL = 0.1  # so that an interrupt and a progress bar are served in time
CONVERTED_AT_ONCE = 1 << 22  # bytes of what the kernels can't read, unless a single step takes more


def useful_threads(network, batch_size, threads):
    """How many of the threads have enough to do in a step.

    More than there are blocks share the work on them, and wait for each other after every operation.
    """
    if threads == 1:
        return 1
    blocks, work = -(-batch_size // lanes_of(network.dtype)), network.products() * batch_size
    alone = min(threads, blocks, 1 + work // PRODUCTS_PER_THREAD)
    return max(alone, min(threads, work // PRODUCTS_PER_SHARE))


class Engine:
    """A network ready to run for one purpose: "predict", "evaluate", "gradients" or "train".

    Parameters
    ----------
    network : Network
        Its parameters and statistics are read and changed in place.
    run : Run
        What the engine does.
    optimizer_state : list of ndarrays, optional
        The optimizer's vectors, changed in place, for "train".
    seed : int
        Of the random numbers of dropout and augmentation.
    ranks : Ranks, optional
        The processes that take each step together: this one computes its part of every batch (`shares.py`),
        and all of them end with the same numbers, which are those of one process on its own.

    All that a run needs is compiled, or read from the cache, as the engine is built: `build_seconds` says how
    long that took.
    """

    def __init__(self, network, run, optimizer_state=None, seed=0, ranks=ALONE):
        self.asked_run, in_a_block = run, run.few or lanes_of(network.dtype)
        if run.few:
            threads = threads_of_few(network, run.batch_size, run.threads, run.training)
        else:
            threads = useful_threads(network, run.batch_size, run.threads)
        if run.few and run.few < run.batch_size:
            threads = min(threads, -(-run.batch_size // run.few))
        started = time.perf_counter()
        built = self._built(network, run._replace(threads=threads), optimizer_state, ranks)
        self.ranks = ranks
        self.batch_size, self.ports = run.batch_size, built.ports
        self._live, self._changes = network.live_arrays(), run.purpose == "train"
        self._weights = run.loss.weights if isinstance(run.loss, JointLoss) else ()
        self.program, self.in_a_block, self.threads = built.plan.finish(), in_a_block, threads
        self.bytes = self.program.memory.nbytes
        self.chunk = 1
        self._form = None  # dtype and strides of the samples that are described
        self._first_source = cell_of(self.ports.sources[0], layout.GATHER.source)
        self._targets = [cell_of(port, layout.SCATTER.target) for port in self.ports.sinks]
        predicts = run.purpose == "predict"  # others go through their samples in calls of a limited time
        self._samples_at_once = SHORT_PRODUCTS // max(1, network.products()) if predicts else 0
        # What is made of parameters once: it has been made of those of this stamp.
        self._prepares = bool(built.plan.preparation)
        self._stamp = 0
        self.release()
        self.set_seed(seed)
        self._job, self._asked = self.program.job(in_a_block, ranks), None
        self._segments = self.program.segments()
        self._job_address = address_of(self._job)
        if self._prepares:
            self._preparing = self.program.preparing_job(in_a_block, ranks)
        run_job(self._job_address, 1)  # no steps: it is compiled, or read from the cache
        self.build_seconds = time.perf_counter() - started

    def _built(self, network, run, optimizer_state, ranks):
        """The plan, cut where ranks gain by gradients that are on their way early."""
        self.cut, built = None, Builder(network, run, optimizer_state, ranks.count > 1)
        if ranks.count > 1 and run.training and not run.few:  # few are all of one rank
            shares = shares_of(run.batch_size, lanes_of(network.dtype), ranks.count)
            # Rank 0 decides for all: others may have another number of threads, and so another plan.
            self.cut = ranks.broadcast(Cuts(built.plan, network).best(shares, ranks.wire()))
        if self.cut is None:
            return built
        return Builder(network, run, optimizer_state, True, self.cut.layer)

    def load(self, X, y=None, order=None, weight=None):
        """Set the samples of the coming runs, arrays (or columns) that stay the caller's, and their order."""
        alone = y is None and order is None and weight is None and isinstance(X, np.ndarray)
        form = (X.dtype, X.strides) if alone else None
        if alone and form == self._form:  # as those before, elsewhere
            self._first_source.value = address_of(X)
            self._samples, self._data = len(X), (X, y, order, weight)
            return
        addresses = address_of(order) if order is not None else 0
        self._to_convert = []
        for port, array in zip(self.ports.sources, arrays_in(X), strict=True):
            self._read(port, array, addresses, array.dtype == np.uint8)
        if self.ports.targets:
            for port, array in zip(self.ports.targets, arrays_in(y), strict=True):
                self._read(port, array, addresses)
        if self.ports.weight is not None:
            self._read(self.ports.weight, weight, addresses)
        self._samples = len(X) if order is None else len(order)
        self._data = X, y, order, weight  # kept alive
        self._form = None if self._to_convert else form

    def _read(self, port, array, addresses, scaled=False):
        """Set what a gather reads; what it can't read is converted before each call."""
        if array.dtype in layout.DTYPE_CODES:
            _describe_source(port, array, addresses, scaled)
        else:
            self._to_convert.append((port, array))

    def release(self):
        """Let go of the caller's arrays."""
        self._samples, self._data, self._output = 0, (), None
        self._to_convert = self._converted = ()

    def write_to(self, output):
        """Set where outputs go: a C-ordered array of the network's dtype, not empty, or columns of such."""
        for number, array in enumerate(arrays_in(output)):
            self._targets[number].value = address_of(array)
        self._output = output

    @property
    def steps(self):
        """Steps through all samples."""
        return -(-self._samples // self.batch_size)

    def set_updates(self, count):
        """Tell how many optimizer steps came before."""
        self._job[JOB.update] = count

    def set_seed(self, seed):
        """Set the seed of the random numbers; of a large one, the lower 63 bits."""
        self.program.state[:, STATE.seed] = seed % 2**63

    def run(self, first_step, steps):
        """Take `steps` steps; returns their (loss, right answers), one row each, where there is a loss.

        Of several outputs, a row holds the sum of the weighted losses and 0, and then (loss, right answers)
        of each output.
        """
        if self._to_convert:
            self._convert(first_step * self.batch_size, (first_step + steps) * self.batch_size)
        if self._prepares:
            parameters, statistics = self._live
            stamp = parameters.stamp() + statistics.stamp()  # both only grow
            if stamp != self._stamp:
                run_job(address_of(self._preparing), 1)
                self._stamp = stamp
        try:
            self.take(first_step, steps)
        finally:
            if self._changes:
                self._job[JOB.update] += steps
                for live in self._live:
                    live.note_change()
        if self.ranks.count > 1 and self._output is not None:
            self._share_outputs(first_step, steps)
        if self.ports.log is None:
            return None
        log = self.ports.log[:steps]
        if self._weights:
            log[:, 0] = sum(weight * log[:, 2 + 2 * k] for k, weight in enumerate(self._weights))
        return log

    def take(self, first_step, steps, run=run_job):
        """Take steps and nothing else; `run(job, threads)` makes each call of the compiled loop."""
        if len(self._segments) == 1:
            run(self.job(first_step, steps), self.threads)
            return
        for step in range(steps):
            self._run_with_others(first_step, step, run)

    def _run_with_others(self, first_step, step, run):
        """Take step number `step` after `first_step`, and stop wherever ranks share what they have."""
        shares = self.shares(first_step + step)
        for first, last, exchange in self._segments:
            job = self.job(first_step + step, 1)
            self._job[JOB.step], self._job[JOB.first_stage], self._job[JOB.last_stage] = step, first, last
            run(job, self.threads)
            if exchange is not None:
                exchange.run(self.ranks, shares)

    def shares(self, step):
        """Which rank computes what of a step's batch."""
        samples = min(self.batch_size, self._samples - step * self.batch_size)
        return shares_of(samples, self.in_a_block, self.ranks.count)

    def _share_outputs(self, first_step, steps):
        """Let all ranks have the outputs of the samples of these steps."""
        owned = [[] for _ in range(self.ranks.count)]  # of each rank, the rows that it has written
        for step in range(first_step, first_step + steps):
            ends, at = self.shares(step).sample_ends, step * self.batch_size
            for rows, (first, last) in zip(owned, itertools.pairwise(ends), strict=True):
                rows.append(np.arange(at + first, at + last))
        rows = [np.concatenate(some) for some in owned]
        for array in arrays_in(self._output):
            found = self.ranks.all_rows(array[rows[self.ranks.number]], [len(some) for some in rows])
            array[np.concatenate(rows)] = found

    def job(self, first_step, steps):
        """The address of what `run_steps` has to do."""
        if (asked := (self._samples, first_step, steps)) != self._asked:
            self._job[JOB.samples], self._job[JOB.first_step], self._job[JOB.steps] = self._asked = asked
        if self.threads > 1:
            self.program.claims.fill(0)
        return self._job_address

    def _convert(self, first, stop):
        """Make float64 of the samples at first..stop, of the arrays that the kernels can't read."""
        order, self._converted = self._data[2], []
        for port, array in self._to_convert:
            some = array[first:stop] if order is None else array[order[first:stop]]
            some = some.astype(np.float64)
            _describe_source(port, some, 0, False)
            port[layout.GATHER.source] -= first * some.strides[0]  # they come at their places in the order
            self._converted.append(some)  # kept alive

    def _most_steps(self):
        """Steps that a call may take."""
        if not self._to_convert:
            return STEPS_PER_CALL
        converted = sum(array[:1].size for _, array in self._to_convert) * self.batch_size * 8
        return max(1, min(STEPS_PER_CALL, CONVERTED_AT_ONCE // max(converted, 1)))

    def predict(self, X, output):
        """Write the outputs of all samples: few of them in one call, which needs no measuring."""
        self.load(X)
        self.write_to(output)
        if self._samples <= self._samples_at_once and not self._to_convert:
            self.run(0, self.steps)
        else:
            for _ in self.run_all():
                pass

    def run_all(self, each=None, chunk=1):
        """Take all steps, in calls of about SECONDS_PER_CALL; yields (first step, log) after each call.

        `each` is called as each(first_step, steps) before a call, to set its learning rates. `chunk` is the
        number of steps in the first call; the attribute `chunk` is what would have been that of the next.
        """
        step, steps, most = 0, self.steps, self._most_steps()
        while step < steps:
            chunk = min(chunk, steps - step, most)
            if each is not None:
                each(step, chunk)
            started = time.perf_counter()
            log = self.run(step, chunk)
            # Ranks have clocks of their own, and must all stop at the same step.
            wanted = self.ranks.broadcast(SECONDS_PER_CALL * chunk / (time.perf_counter() - started + 1e-9))
            yield step, log
            step += chunk
            self.chunk = chunk = int(min(wanted, 8 * chunk + 8)) or 1


def _describe_source(g, array, order, scaled):
    """Fill in the geometry of a gather: see kernels/lanes/layout.py."""
    item = array.itemsize
    steps = array.strides[1:]
    if array.ndim == 4:
        c, h, w = steps
    elif array.ndim == 3:
        c, h, w = steps[0], item, steps[1]
    else:  # features in the last axis, or none
        c, h, w = (steps[0] if steps else item), item, item
    layout.set_source(g, array.dtype, c, h, w, array.strides[0], address_of(array), order, scaled)
