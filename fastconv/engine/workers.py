"""Threads that take the steps of a job together with the caller's.

    mailbox     status       EMPTY  --post-->  POSTED  --worker-->  RUNNING  --worker-->  EMPTY
                                <--withdraw--

A worker that has nothing to do looks into its mailbox for a tenth of a millisecond, then sleeps, and ends
after a second: calls in a row find it awake, and nobody pays for one that is not needed any more. The caller
waits for no worker: a job that one has not begun when all is done is withdrawn. Workers end before a fork, so
that a child is as safe as that of a process with one thread.
"""

import _thread
import atexit
import contextlib
import functools
import os

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..kernels.lanes.operation import address_of_code
from ..simd import advance
from ..simd.compiling import compiled
from .atomics import SPINS, atomic_exchange, atomic_load, cells_at, compare_and_swap, spin
from .loop import run_steps
from .threads import sharing

EMPTY, POSTED, RUNNING, ENDED = 0, 1, 2, 3
STATUS, ASLEEP, FUNCTION, JOB_AT, THREAD, CELLS = 0, 1, 2, 3, 4, 16  # of a mailbox; two cache lines
AWAKE_SPINS = 200 * SPINS  # a tenth of a millisecond or two
SECONDS_ASLEEP = 1.0


@intrinsic
def _call_steps(typingctx, function, job, thread):
    """Call `run_steps` by its address."""

    def codegen(context, b, sig, args):
        arguments = (types.int64,) * 3
        kind = context.call_conv.get_function_type(types.none, arguments)
        steps = b.inttoptr(args[0], kind.as_pointer())
        nothing = ir.Constant(args[0].type, 0)
        context.call_conv.call_function(b, steps, types.none, arguments, [args[1], args[2], nothing])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), codegen


@compiled
def _serve(mailbox):
    """Take the steps that are posted; once none have been for a while, returns what the status is."""
    cells, spins = cells_at(mailbox), 0
    atomic_exchange(cells, ASLEEP, 0)
    while spins < AWAKE_SPINS and atomic_load(cells, STATUS) != ENDED:
        if atomic_load(cells, STATUS) == POSTED and compare_and_swap(cells, STATUS, POSTED, RUNNING):
            _call_steps(cells[FUNCTION], cells[JOB_AT], cells[THREAD])
            atomic_exchange(cells, STATUS, EMPTY)
            spins = 0
        spins = spin(spins)
    atomic_exchange(cells, ASLEEP, 1)
    return atomic_load(cells, STATUS)


@compiled
def _post(mailboxes, count, function, job):
    """Post a job in `count` mailboxes, for threads 1, 2, ...; returns how many workers have to be woken."""
    silent = 0
    for k in range(count):
        cells = advance(cells_at(mailboxes), k * CELLS)
        cells[FUNCTION], cells[JOB_AT], cells[THREAD] = function, job, k + 1
        ended = atomic_exchange(cells, STATUS, POSTED) == ENDED
        if ended:
            cells[ASLEEP] = ENDED
        if ended or atomic_load(cells, ASLEEP):
            silent += 1
    return silent


@compiled
def _withdraw(mailboxes, count):
    """Take back what has not been begun, and wait for the end of what has."""
    for k in range(count):
        cells, spins = advance(cells_at(mailboxes), k * CELLS), 0
        compare_and_swap(cells, STATUS, POSTED, EMPTY)
        while atomic_load(cells, STATUS) == RUNNING:
            spins = spin(spins)


@compiled
def _end(mailbox):
    """Tell a worker to end, or note that it has: whether there was nothing for it to do."""
    return compare_and_swap(cells_at(mailbox), STATUS, EMPTY, ENDED)


@functools.cache
def address_of_steps():
    """The address of the machine code of `run_steps`."""
    return address_of_code(run_steps, (types.int64,) * 3)


class _Worker:
    """A thread and its mailbox. No `threading.Thread`, whose start waits until the thread runs."""

    def __init__(self, cells):
        self._cells, self._mailbox = cells, cells.ctypes.data
        self._bell, self._at_work = _thread.allocate_lock(), _thread.allocate_lock()
        self._bell.acquire()

    def wake(self):
        """Wake the thread if it sleeps; start one where it has ended."""
        if self._cells[ASLEEP] != ENDED:
            if self._cells[ASLEEP]:
                self._ring()
            return
        self._at_work.acquire()  # which the last thread is about to release
        try:
            self._cells[ASLEEP] = 0
            _thread.start_new_thread(self._work, ())
        except RuntimeError:  # no more threads here: the others do its part
            self._cells[STATUS] = ENDED
            self._at_work.release()

    def _ring(self):
        with contextlib.suppress(RuntimeError):  # it rings already
            self._bell.release()

    def _work(self):
        try:
            while True:
                if _serve(self._mailbox) == EMPTY:
                    woken = self._bell.acquire(timeout=SECONDS_ASLEEP)
                    if not woken and _end(self._mailbox):
                        return
                if self._cells[STATUS] == ENDED:
                    return
        finally:
            self._at_work.release()

    def end(self):
        """End the thread, which has nothing to do, and wait until it has."""
        _end(self._mailbox)
        self._ring()
        with self._at_work:
            pass


class _Team:
    """Workers for one caller at a time."""

    def __init__(self):
        self._workers = []

    def run(self, job, count):
        """Take the steps of a job in the caller's thread and in `count` workers."""
        if count > len(self._workers):
            self._grow(count)
        mailboxes, failure, waiting = self._address, None, True
        try:
            if _post(mailboxes, count, address_of_steps(), job):
                for worker in self._workers[:count]:
                    worker.wake()
            run_steps(job, 0, 0)
        except BaseException as interrupt:
            failure = interrupt
        while waiting:  # whatever comes: the job's memory may go once this returns
            try:
                _withdraw(mailboxes, count)
                waiting = False
            except BaseException as interrupt:
                failure = interrupt
        if failure is not None:
            raise failure

    def _grow(self, count):
        """Make room for so many workers; those of a smaller room end."""
        self.end()
        self._mailboxes = np.zeros((count, CELLS), np.int64)
        self._address = self._mailboxes.ctypes.data  # which takes a microsecond
        self._mailboxes[:, STATUS] = ENDED
        self._workers = [_Worker(cells) for cells in self._mailboxes]

    def end(self):
        """End all workers."""
        for worker in self._workers:
            worker.end()


# One list operation takes or gives back a team: neither threads nor a fork need a lock.
_idle: list[_Team] = []


def _take_team():
    try:
        return _idle.pop()
    except IndexError:
        return None


def run_job(job, threads):
    """Take the steps of the job at this address on so many threads, the caller's among them."""
    if threads == 1:
        run_steps(job, 0, 0)
        return
    team = _take_team() or _Team()
    try:
        with sharing() as share:
            threads = share(threads)
            if threads == 1:
                run_steps(job, 0, 0)  # all of them: it finds the others missing
            else:
                team.run(job, threads - 1)
    finally:
        _idle.append(team)


def end_workers():
    """End all threads that wait for work; later work starts new ones."""
    teams = []
    while team := _take_team():
        teams.append(team)
        team.end()
    _idle.extend(teams)


atexit.register(end_workers)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=end_workers, after_in_child=_idle.clear)
